//! A TCP proxy that fails on demand.
//!
//! Put between a service and RabbitMQ or PostgreSQL, it loses what one of them says at the very moment that a test is
//! about, cuts their connections, or refuses new ones. It knows nothing of the protocol it carries.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// A listener on a free port that forwards to a target. Dropping it closes everything.
///
/// Every switch has taken effect when its future returns.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    switches: mpsc::Sender<(Switch, oneshot::Sender<()>)>,
    task: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Forward,
    LoseToClient,
    LoseToServer,
    Refuse,
}

#[derive(Debug, Clone, Copy)]
enum Switch {
    Mode(Mode),
    Cut,
}

impl Proxy {
    /// Listens on a free loopback port and forwards every connection to the target.
    pub async fn start(target: SocketAddr) -> Proxy {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, crate::free_port()));
        let listener = TcpListener::bind(address).await.expect("the proxy's port is free");
        let (switches, orders) = mpsc::channel(1);
        let task = tokio::spawn(serve(listener, address, target, orders));
        Proxy {
            address,
            switches,
            task,
        }
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Swallows what the server says, its closing included; the client still reaches the server.
    pub async fn hold_to_client(&self) {
        self.order(Switch::Mode(Mode::LoseToClient)).await;
    }

    /// Swallows what the client says, its closing included; the server still reaches the client.
    pub async fn hold_to_server(&self) {
        self.order(Switch::Mode(Mode::LoseToServer)).await;
    }

    /// Closes every connection. New ones are treated as before.
    pub async fn cut(&self) {
        self.order(Switch::Cut).await;
    }

    /// Closes every connection and refuses new ones, as a machine does whose server is down.
    pub async fn refuse(&self) {
        self.order(Switch::Mode(Mode::Refuse)).await;
    }

    /// Forwards again. A connection that has lost bytes can never be whole again and is closed.
    pub async fn resume(&self) {
        self.order(Switch::Mode(Mode::Forward)).await;
    }

    async fn order(&self, switch: Switch) {
        let (done, is_done) = oneshot::channel();
        let sent = self.switches.send((switch, done)).await;
        sent.expect("the proxy runs as long as it is not dropped");
        is_done.await.expect("the proxy runs as long as it is not dropped");
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    address: SocketAddr,
    target: SocketAddr,
    mut orders: mpsc::Receiver<(Switch, oneshot::Sender<()>)>,
) {
    let mut listener = Some(listener);
    let (mode, _) = watch::channel(Mode::Forward);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some(client) = accept(listener.as_ref()) => {
                connections.spawn(carry(client, target, mode.subscribe()));
            }
            Some(_) = connections.join_next() => {}
            order = orders.recv() => {
                let Some((switch, done)) = order else { return };
                match switch {
                    Switch::Cut => connections.shutdown().await,
                    Switch::Mode(Mode::Refuse) => {
                        listener = None;
                        connections.shutdown().await;
                    }
                    Switch::Mode(new) => {
                        mode.send_replace(new);
                        if listener.is_none() {
                            listener = Some(listen_again(address).await);
                        }
                    }
                }
                done.send(()).ok();
            }
        }
    }
}

/// The next client, or never if nobody listens.
async fn accept(listener: Option<&TcpListener>) -> Option<TcpStream> {
    match listener {
        Some(listener) => listener.accept().await.ok().map(|(client, _)| client),
        None => std::future::pending().await,
    }
}

async fn listen_again(address: SocketAddr) -> TcpListener {
    for _ in 0..100 {
        if let Ok(listener) = TcpListener::bind(address).await {
            return listener;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("somebody took the proxy's port {address} while it refused connections");
}

/// Carries one connection until both sides have closed it, or until it has lost bytes and is to be whole again.
async fn carry(client: TcpStream, target: SocketAddr, mode: watch::Receiver<Mode>) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    // Without this a small frame waits for the acknowledgement of the one before.
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let ended = tokio::try_join!(
        pump(from_client, to_server, mode.clone(), Mode::LoseToServer),
        pump(from_server, to_client, mode, Mode::LoseToClient),
    );
    drop(ended);
}

/// The connection is of no use any more.
struct Broken;

/// Copies one direction, or loses it while the mode is `losing`.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut mode: watch::Receiver<Mode>,
    losing: Mode,
) -> Result<(), Broken> {
    let mut buffer = vec![0; 16 * 1024];
    let mut has_lost = false;
    let mut has_ended = false;
    loop {
        tokio::select! {
            changed = mode.changed(), if has_lost => {
                if changed.is_err() || *mode.borrow() != losing {
                    return Err(Broken);
                }
            }
            read = from.read(&mut buffer), if !has_ended => {
                let length = read.map_err(|_| Broken)?;
                if *mode.borrow() == losing {
                    has_lost = true;
                    has_ended = length == 0;
                } else if has_lost {
                    return Err(Broken);
                } else if length == 0 {
                    return to.shutdown().await.map_err(|_| Broken);
                } else {
                    to.write_all(&buffer[..length]).await.map_err(|_| Broken)?;
                }
            }
        }
    }
}
