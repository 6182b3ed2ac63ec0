//! A virtual host for one test.

use std::io;
use std::net::SocketAddr;

use uuid::Uuid;

use crate::{RabbitMq, management};

/// A virtual host of its own on the run's RabbitMQ, deleted together with this value.
#[derive(Debug)]
pub struct Broker {
    virtual_host: String,
    address: SocketAddr,
    api: String,
    url: String,
}

impl Broker {
    /// Creates an empty virtual host with a name that no other test has, and full permissions on it.
    ///
    /// # Panics
    /// If `TEST_RABBITMQ_URL` or `TEST_RABBITMQ_API_URL` is missing or the node cannot be reached: a test never passes
    /// for want of one.
    pub async fn create() -> Broker {
        let server = crate::required("TEST_RABBITMQ_URL");
        let address = server
            .rsplit('@')
            .next()
            .and_then(|address| address.parse().ok())
            .expect("TEST_RABBITMQ_URL reads amqp://user:password@address:port");
        Self::create_at(address, crate::required("TEST_RABBITMQ_API_URL")).await
    }

    /// The same on a node of the test's own.
    ///
    /// # Panics
    /// It refuses.
    pub async fn create_on(node: &RabbitMq) -> Broker {
        Self::create_at(node.address(), node.api_url()).await
    }

    async fn create_at(address: SocketAddr, api: String) -> Broker {
        let virtual_host = format!("test_{}", Uuid::now_v7().simple());
        let broker = Broker {
            url: url(address, &virtual_host),
            virtual_host,
            address,
            api,
        };
        broker.create_virtual_host().await;
        broker
    }

    /// Where to connect.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where the node's management API listens, which takes the user `guest` with the password `guest`.
    pub fn api_url(&self) -> &str {
        &self.api
    }

    pub fn virtual_host(&self) -> &str {
        &self.virtual_host
    }

    /// The node's address, as a target for a [`Proxy`](crate::Proxy).
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The same virtual host through another address, such as that of a [`Proxy`](crate::Proxy).
    pub fn url_at(&self, address: SocketAddr) -> String {
        url(address, &self.virtual_host)
    }

    async fn create_virtual_host(&self) {
        let all = r#"{"configure": ".*", "write": ".*", "read": ".*"}"#;
        self.put(format!("/api/vhosts/{}", self.virtual_host), "{}").await;
        self.put(format!("/api/permissions/{}/guest", self.virtual_host), all)
            .await;
    }

    async fn put(&self, path: String, body: &'static str) {
        let api = self.api.clone();
        let status: io::Result<u16> =
            tokio::task::spawn_blocking(move || management::request("PUT", &api, &path, body))
                .await
                .unwrap_or_else(|error| Err(io::Error::other(error)));
        match status {
            Ok(200..300) => {}
            other => {
                panic!("RabbitMQ refused a virtual host: {other:?}")
            }
        }
    }
}

fn url(address: SocketAddr, virtual_host: &str) -> String {
    format!("amqp://guest:guest@{address}/{virtual_host}")
}

impl Drop for Broker {
    /// A failure costs memory only, and only until the run ends.
    fn drop(&mut self) {
        let path = format!("/api/vhosts/{}", self.virtual_host);
        management::request("DELETE", &self.api, &path, "").ok();
    }
}
