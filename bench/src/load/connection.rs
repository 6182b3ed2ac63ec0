//! One connection, and what is asked on it.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rand::RngExt as _;
use tokio::net::TcpStream;

use crate::route::Route;

/// How it is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// REST, by HTTP/1.1
    Http,
    Grpc,
}

/// A connection with one request under way at a time.
pub enum Connection {
    Http(http1::SendRequest<Full<Bytes>>),
    Grpc(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// # Errors
    /// Nobody is there.
    pub async fn open(protocol: Protocol, address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let stream = TokioIo::new(stream);
        // What ends a connection early shows in the next answer.
        Ok(match protocol {
            Protocol::Http => {
                let (requests, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                Self::Http(requests)
            }
            Protocol::Grpc => {
                let (requests, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                Self::Grpc(requests)
            }
        })
    }

    /// Asks, and reads the answer to its end.
    ///
    /// # Errors
    /// There is none, or it is an error.
    pub async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Bytes> {
        let response = match self {
            Self::Http(requests) => {
                requests.ready().await?;
                requests.send_request(request).await?
            }
            Self::Grpc(requests) => {
                requests.ready().await?;
                requests.send_request(request).await?
            }
        };
        let status = response.status();
        let body = response.into_body().collect().await?;
        if let Self::Grpc(_) = self {
            let code = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
            ensure!(code.is_some_and(|code| code == "0"), "gRPC status {code:?}");
        }
        let body = body.to_bytes();
        ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}

/// The same request by one account after the other.
#[derive(Debug)]
pub struct Requests {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    tokens: Vec<HeaderValue>,
    turn: usize,
}

impl Requests {
    /// # Errors
    /// The route has a path that is none.
    pub fn new(protocol: Protocol, address: SocketAddr, route: &Route, tokens: &[HeaderValue]) -> Result<Self> {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static("voltgate-bench"));
        let (method, uri, body) = match protocol {
            Protocol::Http => {
                headers.insert(header::HOST, address.to_string().parse()?);
                headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
                if route.body.is_some() {
                    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                }
                let body = Bytes::from_static(route.body.unwrap_or_default().as_bytes());
                (route.method.clone(), route.path.parse()?, body)
            }
            Protocol::Grpc => {
                headers.insert(header::TE, HeaderValue::from_static("trailers"));
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                let uri = format!("http://{address}{}", route.grpc_path).parse()?;
                (Method::POST, uri, route.frame.clone())
            }
        };
        ensure!(!tokens.is_empty(), "nobody asks");
        Ok(Self {
            method,
            uri,
            headers,
            body,
            // Connections that begin together do not ask in step.
            turn: rand::rng().random_range(0..tokens.len()),
            tokens: tokens.to_vec(),
        })
    }

    pub fn next(&mut self) -> Request<Full<Bytes>> {
        self.turn = (self.turn + 1) % self.tokens.len();
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let token = self.tokens[self.turn].clone();
        request.headers_mut().insert(header::AUTHORIZATION, token);
        request
    }
}
