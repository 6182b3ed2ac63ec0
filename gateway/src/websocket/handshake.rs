//! The opening handshake (RFC 6455, section 4.2): is this a WebSocket, and in which words is it accepted?

use axum::body::Body;
use axum::extract::FromRequestParts as _;
use axum::response::Response;
use http::HeaderValue;
use http::header::{self, HeaderMap};
use http::request::Parts;
use hyper::upgrade::OnUpgrade;
use service_kit::reason::{Reason, internal};
use tonic::Status;
use yawc::{IncomingUpgrade, Options, Role, WebSocket};

use super::compression;
use super::socket::Socket;
use super::transport::Transport;
use crate::problem::Problem;

/// Buffers of an idle socket, in bytes. They grow with what they carry.
const BUFFER: usize = 1024;

/// How long a message may take to arrive once its first fragment is here.
const FRAGMENT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// A request that asks for a WebSocket.
pub struct Handshake {
    upgrade: IncomingUpgrade,
    on_upgrade: OnUpgrade,
    largest_message: usize,
}

impl Handshake {
    /// `largest_message`: in bytes.
    ///
    /// # Errors
    /// The request asks for something else.
    pub async fn read(parts: &mut Parts, largest_message: usize) -> Result<Self, Problem> {
        if !asks_for_websocket(&parts.headers) {
            return Err(upgrade_required("Connect with a WebSocket"));
        }
        if parts
            .headers
            .get(header::SEC_WEBSOCKET_VERSION)
            .is_none_or(|version| version != "13")
        {
            return Err(upgrade_required("Only version 13 of the WebSocket protocol is spoken"));
        }
        compression::choose_offer(&mut parts.headers);
        let on_upgrade = parts.extensions.get::<OnUpgrade>().cloned();
        let upgrade = IncomingUpgrade::from_request_parts(parts, &()).await.ok();
        let (on_upgrade, upgrade) = on_upgrade
            .zip(upgrade)
            .ok_or_else(|| Reason::InvalidRequest.status("The WebSocket handshake is not complete"))?;
        Ok(Self {
            upgrade,
            on_upgrade,
            largest_message,
        })
    }

    /// Accepts: the answer to the client, and the socket that exists once the answer is out.
    ///
    /// # Errors
    /// The answer cannot be made, which a well-formed request gives no cause for.
    pub fn accept(self, subprotocol: Option<&str>) -> Result<(Response, Opened), Status> {
        let options = compression::with_compression(
            Options::default()
                // yawc's bounds are exclusive.
                .with_limits(self.largest_message + 1, self.largest_message + 1)
                .with_read_buffer_capacity(BUFFER)
                .with_write_buffer_capacity(BUFFER)
                .with_fragment_timeout(FRAGMENT_TIMEOUT),
        );
        // Only its answer is used. Its socket is made below, over a transport that can be drained.
        let (answer, _) = self
            .upgrade
            .upgrade(options.clone())
            .map_err(|error| internal(&error))?;
        let mut response = answer.map(|_| Body::empty());
        if let Some(subprotocol) = subprotocol {
            let value = HeaderValue::from_str(subprotocol).map_err(|error| internal(&error))?;
            response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
        let extensions = response.headers().get(header::SEC_WEBSOCKET_EXTENSIONS);
        let opened = Opened {
            on_upgrade: self.on_upgrade,
            extensions: extensions.and_then(|value| value.to_str().ok()).map(str::to_owned),
            options,
        };
        Ok((response, opened))
    }
}

/// A socket that exists once its answer is out.
pub struct Opened {
    on_upgrade: OnUpgrade,
    extensions: Option<String>,
    options: Options,
}

impl Opened {
    /// Nothing where the client went away before.
    pub async fn socket(self) -> Option<Socket> {
        let transport = Transport::new(self.on_upgrade.await.ok()?);
        let extensions = self.extensions.as_deref();
        WebSocket::from_stream_with_extensions(transport.clone(), Role::Server, extensions, self.options)
            .ok()
            .map(|socket| Socket::new(socket, transport))
    }
}

/// The subprotocols that the client offers, in its order, as one list.
pub fn offered_subprotocols(headers: &HeaderMap) -> String {
    let values = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.collect::<Vec<_>>().join(", ")
}

fn asks_for_websocket(headers: &HeaderMap) -> bool {
    has_token(headers, header::UPGRADE, "websocket") && has_token(headers, header::CONNECTION, "upgrade")
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let values = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect::<Vec<_>>();
    values
        .iter()
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(token))
}

fn upgrade_required(message: &str) -> Problem {
    Problem::from(Reason::UpgradeRequired.status(message))
        .with_header(header::UPGRADE, HeaderValue::from_static("websocket"))
        .with_header(header::CONNECTION, HeaderValue::from_static("upgrade"))
        .with_header(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))
}
