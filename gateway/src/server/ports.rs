//! Where the gateway listens: without TLS, with it, or both.

use std::io;
use std::net::{AddrParseError, SocketAddr};
use std::str::FromStr;

use service_kit::start::{StartError, listen};
use tokio::net::{TcpListener, TcpStream};

use super::tls::PublicTls;

/// An address to listen at, or `off`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Listen {
    #[default]
    Off,
    At(SocketAddr),
}

impl FromStr for Listen {
    type Err = AddrParseError;

    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        match text {
            "" | "off" => Ok(Self::Off),
            address => address.parse().map(Self::At),
        }
    }
}

/// The public ports, bound.
pub struct Ports {
    plain: Option<TcpListener>,
    tls: Option<(TcpListener, PublicTls)>,
}

/// Where the public ports are.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublicAddresses {
    pub http: Option<SocketAddr>,
    pub https: Option<SocketAddr>,
}

impl Ports {
    /// # Errors
    /// A port is in use, or there would be none.
    pub async fn bind(plain: Listen, tls: Listen, certificates: Option<PublicTls>) -> Result<Self, StartError> {
        let tls = match (tls, certificates) {
            (Listen::At(address), Some(certificates)) => {
                Some((listen(address, "GATEWAY_TLS_LISTEN").await?, certificates))
            }
            (Listen::Off, None) => None,
            (Listen::At(_), None) => {
                let problem = "is not set, though GATEWAY_TLS_LISTEN is";
                return Err(StartError::setting("GATEWAY_TLS_CERTIFICATES", problem));
            }
            (Listen::Off, Some(_)) => {
                let problem = "is off, though GATEWAY_TLS_CERTIFICATES is set";
                return Err(StartError::setting("GATEWAY_TLS_LISTEN", problem));
            }
        };
        let plain = match plain {
            Listen::At(address) => Some(listen(address, "GATEWAY_LISTEN").await?),
            Listen::Off if tls.is_some() => None,
            Listen::Off => {
                let problem = "is off, and so is GATEWAY_TLS_LISTEN; one of them must say where to listen";
                return Err(StartError::setting("GATEWAY_LISTEN", problem));
            }
        };
        Ok(Self { plain, tls })
    }

    /// # Errors
    /// The system does not tell.
    pub fn addresses(&self) -> io::Result<PublicAddresses> {
        let plain = self.plain.as_ref().map(TcpListener::local_addr);
        let tls = self.tls.as_ref().map(|(listener, _)| listener.local_addr());
        Ok(PublicAddresses {
            http: plain.transpose()?,
            https: tls.transpose()?,
        })
    }

    /// The next connection on either port, with what its handshake needs.
    ///
    /// # Errors
    /// The system has no means for another connection just now.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, Option<PublicTls>)> {
        let plain = async {
            match &self.plain {
                Some(listener) => listener.accept().await,
                None => std::future::pending().await,
            }
        };
        let tls = async {
            match &self.tls {
                Some((listener, tls)) => Ok((listener.accept().await?, tls.clone())),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            accepted = plain => accepted.map(|(stream, address)| (stream, address, None)),
            accepted = tls => accepted.map(|((stream, address), tls)| (stream, address, Some(tls))),
        }
    }
}

impl PublicAddresses {
    /// The URL to reach the gateway by; without TLS where it has both.
    pub fn url(&self) -> String {
        match (self.http, self.https) {
            (Some(address), _) => format!("http://{address}"),
            (None, Some(address)) => format!("https://{address}"),
            // There is always one.
            (None, None) => String::new(),
        }
    }
}
