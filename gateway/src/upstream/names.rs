//! From the addresses of the setting to those of replicas, through DNS where they are names.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use http::Uri;
use service_kit::tls::ServiceTls;
use tokio::time::timeout;

use super::dial::{Destination, host};

/// How long a look-up may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// What a name stands for, as somebody who knows says it.
pub type Resolver = fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;

/// Where a service's replicas are.
#[derive(Debug)]
pub struct Names {
    names: Vec<Name>,
    tls: Option<ServiceTls>,
    resolver: Resolver,
}

#[derive(Debug)]
struct Name {
    origin: Arc<Uri>,
    host: String,
    port: u16,
    /// What it stood for when it was looked up last.
    addresses: Vec<SocketAddr>,
    /// An address already: there is nothing to look up.
    is_literal: bool,
}

impl Names {
    /// With the system's resolver.
    pub fn new(origins: Vec<Uri>, tls: Option<ServiceTls>) -> Self {
        Self {
            names: origins.into_iter().map(Name::new).collect(),
            tls,
            resolver: |host, port| Box::pin(system(host, port)),
        }
    }

    #[cfg(test)]
    pub fn with_resolver(self, resolver: Resolver) -> Self {
        Self { resolver, ..self }
    }

    /// Whether there is anything that can change.
    pub fn are_fixed(&self) -> bool {
        self.names.iter().all(|name| name.is_literal)
    }

    /// Every address known.
    pub fn destinations(&self) -> impl Iterator<Item = Destination> {
        self.names.iter().flat_map(|name| {
            name.addresses.iter().map(|address| Destination {
                origin: Arc::clone(&name.origin),
                tls: self.tls.clone(),
                address: *address,
            })
        })
    }

    /// Looks every name up again.
    pub async fn look_up(&mut self) {
        self.look_up_with(self.resolver).await;
    }

    /// One that cannot be looked up keeps what it stood for: DNS that fails is no reason to give up what works.
    async fn look_up_with<F>(&mut self, resolver: impl Fn(String, u16) -> F)
    where
        F: Future<Output = io::Result<Vec<SocketAddr>>>,
    {
        let names = self.names.iter_mut().filter(|name| !name.is_literal);
        join_all(names.map(|name| async {
            let answer = timeout(LOOKUP_TIMEOUT, resolver(name.host.clone(), name.port)).await;
            match answer.map_err(io::Error::from).flatten() {
                Ok(addresses) if !addresses.is_empty() => name.addresses = addresses,
                Ok(_) => tracing::warn!(host = name.host, "The name of a service stands for no address"),
                Err(error) => tracing::warn!(host = name.host, %error, "The name of a service cannot be looked up"),
            }
        }))
        .await;
    }
}

impl Name {
    fn new(origin: Uri) -> Self {
        let host = host(&origin).to_owned();
        let default_port = if origin.scheme_str() == Some("https") { 443 } else { 80 };
        let port = origin.port_u16().unwrap_or(default_port);
        let literal = host.parse::<IpAddr>().ok();
        Self {
            origin: Arc::new(origin),
            addresses: literal.map(|ip| SocketAddr::new(ip, port)).into_iter().collect(),
            is_literal: literal.is_some(),
            host,
            port,
        }
    }
}

async fn system(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    Ok(tokio::net::lookup_host((host, port)).await?.collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn names(origins: &[&str]) -> Names {
        Names::new(origins.iter().map(|origin| origin.parse().unwrap()).collect(), None)
    }

    fn addresses(names: &Names) -> Vec<String> {
        names
            .destinations()
            .map(|destination| destination.address.to_string())
            .collect()
    }

    #[tokio::test]
    async fn an_address_is_not_looked_up() {
        let mut fixed = names(&["http://127.0.0.1:1", "http://[::1]:2"]);
        assert!(fixed.are_fixed());
        fixed.look_up_with(async |_, _| unreachable!("there is no name")).await;
        assert_eq!(addresses(&fixed), ["127.0.0.1:1", "[::1]:2"]);
    }

    #[tokio::test]
    async fn every_address_of_a_name_is_a_replica_until_another_answer_comes() {
        let mut named = names(&["http://charger:50052", "http://10.0.0.9:50052"]);
        assert!(!named.are_fixed() && addresses(&named) == ["10.0.0.9:50052"]);
        let two = async |host: String, port| {
            assert_eq!(host, "charger");
            Ok(vec![
                SocketAddr::new([10, 0, 0, 1].into(), port),
                SocketAddr::new([10, 0, 0, 2].into(), port),
            ])
        };
        named.look_up_with(two).await;
        assert_eq!(
            addresses(&named),
            ["10.0.0.1:50052", "10.0.0.2:50052", "10.0.0.9:50052"]
        );
        named
            .look_up_with(async |_, port| Ok(vec![SocketAddr::new([10, 0, 0, 3].into(), port)]))
            .await;
        assert_eq!(addresses(&named), ["10.0.0.3:50052", "10.0.0.9:50052"]);
    }

    #[tokio::test]
    async fn a_look_up_that_fails_keeps_the_last_answer() {
        let mut named = names(&["http://charger:1"]);
        named
            .look_up_with(async |_, port| Ok(vec![SocketAddr::new([10, 0, 0, 1].into(), port)]))
            .await;
        named
            .look_up_with(async |_, _| Err(io::ErrorKind::TimedOut.into()))
            .await;
        named.look_up_with(async |_, _| Ok(vec![])).await;
        assert_eq!(addresses(&named), ["10.0.0.1:1"]);
    }

    #[tokio::test]
    async fn the_systems_resolver_knows_this_machine() {
        let mut named = names(&["http://localhost:7"]);
        named.look_up().await;
        assert!(
            addresses(&named).contains(&"127.0.0.1:7".to_owned()),
            "{:?}",
            addresses(&named)
        );
    }
}
