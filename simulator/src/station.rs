//! One charge point that is connected: it says one thing at a time, and takes in meanwhile what is wanted of it.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use thiserror::Error;
use tokio::time::timeout;

use crate::central_system::CentralSystem;
use crate::incoming::Incoming;
use crate::saying::{Answer, Kind, Reply, Saying, Wish};
use crate::version::Version;
use crate::websocket::{Socket, SocketError};

/// Wishes that wait to be answered. More are not read.
const MOST_WISHES: usize = 16;

/// Why there was no answer.
#[derive(Debug, Error)]
pub enum StationError {
    #[error(transparent)]
    Socket(#[from] SocketError),
    #[error("{action} was answered with {code}: {description}")]
    Refused {
        action: &'static str,
        code: String,
        description: String,
    },
    #[error("{action} was not answered within {} s", .within.as_secs())]
    Unanswered { action: &'static str, within: Duration },
    #[error("the answer to {action} cannot be read: {problem}")]
    Unreadable { action: &'static str, problem: String },
    #[error("the charge point was not accepted")]
    NotAccepted,
    #[error("more is wanted of the charge point than it can note")]
    TooManyWishes,
}

impl StationError {
    /// A few words, the same for all of a kind.
    pub fn label(&self) -> String {
        match self {
            Self::Socket(SocketError::Connect(error)) => format!("cannot connect: {}", error.kind()),
            Self::Socket(SocketError::Refused { status, .. }) => format!("refused with {status}"),
            Self::Socket(SocketError::Closed { code, .. }) => format!("closed with {code}"),
            Self::Socket(SocketError::Lost(error)) => format!("connection lost: {}", error.kind()),
            Self::Refused { action, code, .. } => format!("{action}: {code}"),
            Self::Unanswered { action, .. } => format!("{action}: no answer"),
            Self::Unreadable { action, .. } => format!("{action}: unreadable answer"),
            Self::Socket(SocketError::Handshake(_) | SocketError::Protocol(_))
            | Self::NotAccepted
            | Self::TooManyWishes => self.to_string(),
        }
    }
}

/// Sees the frames of a charge point.
pub type Watch = fn(direction: char, frame: &str);

/// A charge point with an open socket.
#[derive(Debug)]
pub struct Station {
    socket: Socket,
    version: Version,
    patience: Duration,
    /// CALLs so far, which is what their ids are made of.
    calls: u64,
    frame: String,
    wishes: VecDeque<(String, Wish)>,
    watch: Option<Watch>,
}

impl Station {
    /// # Errors
    /// The central system is not there, or refuses it.
    pub async fn connect(
        central: &CentralSystem,
        identity: &str,
        source: Option<IpAddr>,
        watch: Option<Watch>,
    ) -> Result<Self, StationError> {
        Ok(Self {
            socket: central.connect(identity, source).await?,
            version: central.version,
            patience: central.patience,
            calls: 0,
            frame: String::new(),
            wishes: VecDeque::new(),
            watch,
        })
    }

    /// Says something, and waits for the answer.
    ///
    /// # Errors
    /// There is none, or it is no good.
    pub async fn call(&mut self, saying: &Saying<'_>) -> Result<Answer, StationError> {
        let kind = saying.kind();
        self.calls += 1;
        self.frame.clear();
        self.version.write_call(self.calls, saying, &mut self.frame);
        if let Some(watch) = self.watch {
            watch('→', &self.frame);
        }
        let within = self.patience;
        match timeout(within, self.exchange(kind)).await {
            Ok(answer) => answer,
            Err(_) => Err(StationError::Unanswered {
                action: self.version.action(kind),
                within,
            }),
        }
    }

    async fn exchange(&mut self, kind: Kind) -> Result<Answer, StationError> {
        self.socket.send(&self.frame).await?;
        loop {
            let text = self.socket.receive().await?;
            if let Some(watch) = self.watch {
                watch('←', text);
            }
            match Incoming::parse(text) {
                Some(Incoming::Result { id, payload }) if id == Some(self.calls) => {
                    let answer = self.version.read_answer(kind, payload);
                    return answer.map_err(|error| StationError::Unreadable {
                        action: self.version.action(kind),
                        problem: error.to_string(),
                    });
                }
                Some(Incoming::Error { id, code, description }) if id == Some(self.calls) => {
                    let action = self.version.action(kind);
                    return Err(StationError::Refused {
                        action,
                        code,
                        description,
                    });
                }
                Some(Incoming::Call { id, action, payload }) => {
                    note(&mut self.wishes, id, self.version.read_wish(&action, payload))?;
                }
                // Answers to what was asked before, and what is no frame, are nobody's.
                Some(Incoming::Result { .. } | Incoming::Error { .. }) | None => {}
            }
        }
    }

    /// Waits until something is wanted of it. Nothing is lost where this is dropped.
    ///
    /// # Errors
    /// The socket is closed.
    pub async fn listen(&mut self) -> Result<(), StationError> {
        while self.wishes.is_empty() {
            let text = self.socket.receive().await?;
            if let Some(watch) = self.watch {
                watch('←', text);
            }
            if let Some(Incoming::Call { id, action, payload }) = Incoming::parse(text) {
                note(&mut self.wishes, id, self.version.read_wish(&action, payload))?;
            }
        }
        Ok(())
    }

    /// The first thing that is wanted and not answered.
    pub fn wish(&mut self) -> Option<(String, Wish)> {
        self.wishes.pop_front()
    }

    /// Answers what is wanted.
    ///
    /// # Errors
    /// The socket is closed, or takes nothing any more.
    pub async fn reply(&mut self, id: &str, wish: &Wish, reply: &Reply) -> Result<(), StationError> {
        let frame = self.version.write_reply(id, wish, reply);
        if let Some(watch) = self.watch {
            watch('→', &frame);
        }
        match timeout(self.patience, self.socket.send(&frame)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(SocketError::Lost(ErrorKind::TimedOut.into()).into()),
        }
    }

    /// Says of all that is wanted that it does nothing of the kind, as a charge point of a fleet.
    ///
    /// # Errors
    /// The socket is closed.
    pub async fn decline(&mut self) -> Result<(), StationError> {
        while let Some((id, wish)) = self.wish() {
            self.reply(&id, &wish, &Reply::NotImplemented).await?;
        }
        Ok(())
    }

    /// Says goodbye, and goes, whether that can be sent or not.
    pub async fn close(self) {
        let _ = timeout(self.patience, self.socket.close()).await;
    }
}

fn note(wishes: &mut VecDeque<(String, Wish)>, id: String, wish: Wish) -> Result<(), StationError> {
    if wishes.len() == MOST_WISHES {
        return Err(StationError::TooManyWishes);
    }
    wishes.push_back((id, wish));
    Ok(())
}
