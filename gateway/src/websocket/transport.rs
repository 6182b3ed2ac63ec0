//! The bytes under a WebSocket, within reach of the one who closes it.
//!
//! After a message that is too large there are bytes on the way that nobody will read. Closing the connection over them
//! makes TCP answer with a reset, and the reset can overtake our close frame: the station would never learn why. So the
//! rest is read and thrown away, within bounds (RFC 9112, section 9.6, tells the same of HTTP).

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

/// As much is thrown away at most, in bytes and in time.
const MOST_DISCARDED: u64 = 4 * 1024 * 1024;
const LONGEST_DISCARD: Duration = Duration::from_secs(5);

type Stream = TokioIo<Upgraded>;

/// A connection that two owners share; they never use it at the same time.
#[derive(Clone, Debug)]
pub struct Transport(Arc<Mutex<Stream>>);

impl Transport {
    pub fn new(upgraded: Upgraded) -> Self {
        Self(Arc::new(Mutex::new(TokioIo::new(upgraded))))
    }

    /// Ends our side, and waits for the other to end its own.
    pub async fn linger(mut self) {
        let end = async {
            self.shutdown().await?;
            tokio::io::copy(&mut (&mut self).take(MOST_DISCARDED), &mut tokio::io::sink()).await
        };
        // A peer that is gone, or that never ends, is dropped all the same.
        let _ended = timeout(LONGEST_DISCARD, end).await;
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_read(context, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.stream()).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream()).poll_shutdown(context)
    }
}
