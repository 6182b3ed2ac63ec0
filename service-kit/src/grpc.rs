//! The gRPC server of every service: its RPCs behind their access rules, with health and reflection, which are open.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use http::{Request, Response};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::{Routes, RoutesBuilder};
use tower::layer::util::Identity;
use tower::{Layer, Service};

use crate::access::AccessLayer;
use crate::calls::CallsLayer;
use crate::database;
use crate::start::{StartError, listen};
use crate::tls::{self, ServiceTls};
use crate::trace::{TraceLayer, Tracer};

/// Streams that one connection may carry. A charge point takes one, so this is far above hyper's default of 200: above
/// the limit a client queues without a word.
const MAX_STREAMS_PER_CONNECTION: u32 = 100_000;

/// Bytes that a peer may send ahead on one stream, and on all streams of a connection together. The second is far above
/// the first, so that charge points which are slow to be served do not hold up the others on their connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;

/// Idle peers are asked for a sign of life this often.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A port, bound and not yet served.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<ServiceTls>,
    max_calls: usize,
    healthy: watch::Receiver<bool>,
    /// Whose calls they are.
    tracer: Tracer,
    /// The pool that calls have their connections from.
    database: Option<PgPool>,
    /// What else there is a health of, by its name.
    parts: Vec<(&'static str, watch::Receiver<bool>)>,
}

/// Why a server ended before it was told to.
#[derive(Debug, thiserror::Error)]
#[error("the gRPC server on {address} failed: {source}")]
pub struct ServeError {
    address: SocketAddr,
    source: tonic::transport::Error,
}

impl Server {
    /// With `tls`, only those who show a certificate of its authority are served. Calls beyond `max_calls` are refused.
    ///
    /// # Errors
    /// The port is in use.
    pub async fn bind(
        address: SocketAddr,
        setting: &'static str,
        tls: Option<ServiceTls>,
        max_calls: usize,
    ) -> Result<Self, StartError> {
        let listener = listen(address, setting).await?;
        let address = listener
            .local_addr()
            .map_err(|error| StartError::other("cannot read the address of a listener", error))?;
        // Without anybody to say otherwise.
        let (_, healthy) = watch::channel(true);
        Ok(Self {
            listener,
            address,
            tls,
            max_calls,
            healthy,
            tracer: Tracer::default(),
            database: None,
            parts: Vec::new(),
        })
    }

    /// Has its calls traced as those of `service`, and its connections to the database measured.
    #[must_use]
    pub fn observed(self, service: &'static str, database: &PgPool) -> Self {
        Self {
            database: Some(database.clone()),
            ..self.traced(service)
        }
    }

    /// The same for a service without a database.
    #[must_use]
    pub fn traced(self, service: &'static str) -> Self {
        Self {
            tracer: Tracer::of(service),
            ..self
        }
    }

    /// Has the health of the services say what `healthy` says.
    #[must_use]
    pub fn healthy_while(self, healthy: watch::Receiver<bool>) -> Self {
        Self { healthy, ..self }
    }

    /// Has the health of `name` say what `healthy` says. It is no service, so nobody keeps calls away for it.
    #[must_use]
    pub fn telling_of(mut self, name: &'static str, healthy: watch::Receiver<bool>) -> Self {
        self.parts.push((name, healthy));
        self
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until told to stop, and follows who may call meanwhile; then says so in its health, takes no new calls, and gives those under way until
    /// `drain` has passed. `services` are full names, for the health service.
    ///
    /// # Errors
    /// The server broke.
    pub async fn serve(
        self,
        routes: RoutesBuilder,
        services: &[&'static str],
        access: AccessLayer,
        drain: Duration,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError> {
        self.serve_guarded(routes, services, access, Identity::new(), drain, shutdown)
            .await
    }

    /// The same, with `guard` between the access rules and the RPCs: it knows who calls, and has the last word.
    ///
    /// # Errors
    /// The server broke.
    pub async fn serve_guarded<G>(
        self,
        mut routes: RoutesBuilder,
        services: &[&'static str],
        access: AccessLayer,
        guard: G,
        drain: Duration,
        shutdown: CancellationToken,
    ) -> Result<(), ServeError>
    where
        G: Layer<Routes> + Clone + Send + 'static,
        G::Service: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
        <G::Service as Service<Request<Body>>>::Future: Send + 'static,
    {
        // Its first rise is to be seen as one.
        metrics::counter!("voltgate_calls_shed_total").increment(0);
        let address = self.address;
        let follow = access.access();
        let (health, health_service) = tonic_health::server::health_reporter();
        let tell = async |names: &[&'static str], serving: bool| {
            let status = if serving {
                tonic_health::ServingStatus::Serving
            } else {
                tonic_health::ServingStatus::NotServing
            };
            for name in names {
                health.set_service_status(name, status).await;
            }
        };
        let parts = self.parts.into_iter().map(|(name, healthy)| (vec![name], healthy));
        let mut told: Vec<_> = parts.chain([(services.to_vec(), self.healthy)]).collect();
        for (names, healthy) in &mut told {
            let now = *healthy.borrow_and_update();
            tell(names, now).await;
        }
        routes.add_service(health_service);
        add_reflection(&mut routes, services);

        let serve = tonic::transport::Server::builder()
            .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keepalive_interval(Some(KEEPALIVE))
            // Outermost: whatever becomes of a call, and whatever is logged meanwhile, belongs to its trace.
            .layer(TraceLayer::new(self.tracer))
            // Before anything is looked at: a call has a deadline, and there may be so many.
            .layer(CallsLayer::new(voltgate_proto::pool(), self.max_calls))
            .layer(access)
            .layer(guard)
            .add_routes(routes.routes())
            .serve_with_incoming_shutdown(
                tls::incoming(self.listener, self.tls),
                shutdown.clone().cancelled_owned(),
            );
        let drained = async {
            let follow_health = join_all(told.iter_mut().map(async |(names, healthy)| {
                while healthy.changed().await.is_ok() {
                    let now = *healthy.borrow_and_update();
                    tell(names, now).await;
                }
            }));
            shutdown.run_until_cancelled(follow_health).await;
            shutdown.cancelled().await;
            for (names, _) in &told {
                tell(names, false).await;
            }
            tokio::time::sleep(drain).await;
        };
        tokio::select! {
            result = serve => result.map_err(|source| ServeError { address, source }),
            () = follow.follow() => Ok(()),
            () = measure(self.database) => Ok(()),
            () = drained => {
                tracing::warn!(%address, "Calls were still under way when the time to drain was over");
                Ok(())
            }
        }
    }
}

async fn measure(database: Option<PgPool>) {
    match database {
        Some(database) => database::measure(&database).await,
        None => std::future::pending().await,
    }
}

/// Reflection in both versions: grpcurl asks for v1, older clients for v1alpha. It lists what this server serves, though
/// it knows every proto.
fn add_reflection(routes: &mut RoutesBuilder, services: &[&'static str]) {
    let builder = || {
        services.iter().fold(
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(voltgate_proto::DESCRIPTOR_SET)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name("grpc.health.v1.Health"),
            |builder, service| builder.with_service_name(*service),
        )
    };
    match (builder().build_v1(), builder().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => {
            routes.add_service(v1).add_service(v1alpha);
        }
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "Reflection is off, because the descriptors cannot be read");
        }
    }
}
