//! The bus between processes: RabbitMQ, from 3.10 on.
//!
//! Nothing here fails for good. Where the broker is unreachable, goes away or refuses, events wait in the outbox and
//! consumers come back by themselves; a service starts and serves without it.

mod consumer;
mod dead_letters;
mod publisher;
pub mod topology;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lapin::uri::AMQPUri;
use lapin::{Connection, ConnectionProperties};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use publisher::RabbitMqPublisher;

use super::{DeadLetterHandler, EventHandler, Subscription};
use crate::backoff::Backoff;
use crate::start::StartError;

/// For the TCP connection, TLS and the AMQP handshake together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How soon a silent broker is taken for dead: it is noticed after about two of these.
const HEARTBEAT_SECONDS: u16 = 10;
/// Pauses between two attempts to connect.
const RECONNECT: Backoff = Backoff {
    first: Duration::from_millis(500),
    longest: Duration::from_secs(30),
};

/// Where the broker is. Connections are made by whoever publishes or consumes.
#[derive(Clone)]
pub struct RabbitMq {
    uri: Arc<AMQPUri>,
}

impl RabbitMq {
    /// Reads `AMQP_URL`, `amqp://` or `amqps://`.
    ///
    /// # Errors
    /// It is not such a URL. The text does not repeat it, for it holds a password.
    pub fn at(url: &str) -> Result<Self, StartError> {
        let mut uri: AMQPUri = url.parse().map_err(|_| {
            StartError::setting(
                "AMQP_URL",
                "is not an AMQP URL (amqp://user:password@host:5672/%2f, or amqps:// for TLS)",
            )
        })?;
        uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
        Ok(Self { uri: Arc::new(uri) })
    }

    pub(super) fn publisher(&self) -> RabbitMqPublisher {
        RabbitMqPublisher::new(self.clone())
    }

    pub(super) async fn subscribe(
        &self,
        subscription: Subscription,
        handler: Arc<dyn EventHandler>,
        shutdown: CancellationToken,
    ) {
        consumer::consume(self, subscription, handler, shutdown).await;
    }

    pub(super) async fn collect_dead_letters(
        &self,
        subscription: Subscription,
        handler: Arc<dyn DeadLetterHandler>,
        shutdown: CancellationToken,
    ) {
        dead_letters::collect(self, subscription, handler.as_ref(), shutdown).await;
    }

    /// One connection, named after its purpose in RabbitMQ's own listings.
    async fn connect(&self, name: &str) -> Result<Connection, ConnectError> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let connecting = Connection::connect_uri(self.uri.as_ref().clone(), properties);
        Ok(timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| ConnectError::Silent)??)
    }
}

impl fmt::Display for RabbitMq {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = &self.uri.authority;
        write!(
            f,
            "{}://{}:{}/{}",
            self.uri.scheme, authority.host, authority.port, self.uri.vhost
        )
    }
}

impl fmt::Debug for RabbitMq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RabbitMq({self})")
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("RabbitMQ did not answer within {CONNECT_TIMEOUT:?}")]
    Silent,
    #[error(transparent)]
    Failed(#[from] lapin::Error),
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_malformed_url_names_its_setting_and_keeps_the_password() {
        for url in [
            "",
            "rabbit",
            "http://u:hunter2@host",
            "amqp:u:hunter2",
            "amqp://u:hunter2@host:no",
        ] {
            let error = RabbitMq::at(url).expect_err(url).to_string();
            assert!(error.starts_with("AMQP_URL: "), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_broker_is_shown_without_its_password() {
        let broker = RabbitMq::at("amqps://volt:hunter2@mq.example:5671/grid").unwrap();
        assert_eq!(broker.to_string(), "amqps://mq.example:5671/grid");
        assert_eq!(format!("{broker:?}"), "RabbitMq(amqps://mq.example:5671/grid)");
    }
}
