//! The service as a whole: built from settings, then run until it is told to stop. Tests run the very same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use service_kit::Shared;
use service_kit::access::AccessLayer;
use service_kit::bus::Bus;
use service_kit::bus::rabbitmq::topology::EMAIL_SERVICE;
use service_kit::clock::SharedClock;
use service_kit::grpc::{ServeError, Server};
use service_kit::housekeeping::every;
use service_kit::start::StartError;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use voltgate_proto::email::v1::email_service_server::{EmailServiceServer, SERVICE_NAME};

use crate::grpc::Grpc;
use crate::inbox::Inbox;
use crate::mail::Composer;
use crate::message;
use crate::pages::Pages;
use crate::sender::Sender;
use crate::settings::Settings;
use crate::transport::{FileTransport, MailTransport, SmtpTransport};

/// email-service, ready to run.
pub struct Application {
    server: Server,
    grpc: Grpc,
    access: AccessLayer,
    bus: Bus,
    inbox: Inbox,
    sender: Sender,
    database: PgPool,
    clock: SharedClock,
    retention: TimeDelta,
    drain: Duration,
}

/// Between two looks at how much mail waits.
const MEASURING: Duration = Duration::from_secs(15);

/// Between two rounds of deleting what is older than the retention.
const PRUNING: Duration = Duration::from_secs(3600);

impl Application {
    /// Reads the settings, then brings the database up to date, then takes the port. Neither the queue nor the mail server
    /// is asked whether it is there: what they have to do waits for them.
    ///
    /// # Errors
    /// Any of these cannot be done; the error names the setting to look at.
    pub async fn build(settings: Settings, shared: Shared) -> Result<Self, StartError> {
        let own_url = settings.email_database_url.as_ref().filter(|url| !url.is_empty());
        let url = shared.database.url_or(own_url, "EMAIL_DATABASE_URL")?;
        let composer = Composer::new(&settings.email_from, Pages::at(settings.email_pages_url.as_deref())?)?;
        let transport = transport(&settings).await?;
        let access = shared.access_layer(crate::NAME)?;

        let migrations = sqlx::migrate!("../migrations/email");
        let database = service_kit::database::connect(&url, "email", &migrations).await?;
        let server = Server::bind(
            settings.email_listen,
            "EMAIL_LISTEN",
            shared.tls.clone(),
            shared.max_calls,
        )
        .await?
        .observed(crate::NAME, &database);

        let inbox = Inbox::new(database.clone(), Arc::clone(&shared.clock));
        let clock = Arc::clone(&shared.clock);
        let sender = Sender::new(database.clone(), shared.clock, composer, transport, shared.drain);
        Ok(Self {
            server,
            grpc: Grpc::new(database.clone()),
            access,
            bus: shared.bus,
            inbox,
            sender,
            database,
            clock,
            retention: settings.retention(),
            drain: shared.drain,
        })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Serves, takes events in, sends mail and deletes what is old until told to stop.
    ///
    /// # Errors
    /// The server broke.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let mut routes = RoutesBuilder::default();
        routes.add_service(EmailServiceServer::new(self.grpc));
        let stop = shutdown.child_token();
        let serve = async {
            let result = self
                .server
                .serve(routes, &[SERVICE_NAME], self.access, self.drain, stop.clone())
                .await;
            stop.cancel();
            result
        };
        let prune = every(PRUNING, "deleting what is older than the retention", || {
            message::prune::older_than(&self.database, self.clock.now() - self.retention)
        });
        let measure = every(MEASURING, "measuring how much mail waits", || {
            message::gauge::measure(&self.database, self.clock.now())
        });
        let (result, (), (), _, _) = tokio::join!(
            serve,
            self.bus.subscribe(EMAIL_SERVICE, Arc::new(self.inbox), stop.clone()),
            self.sender.run(stop.clone()),
            stop.run_until_cancelled(prune),
            stop.run_until_cancelled(measure),
        );
        result
    }
}

async fn transport(settings: &Settings) -> Result<Box<dyn MailTransport>, StartError> {
    Ok(match settings.smtp_url.as_deref().filter(|url| !url.is_empty()) {
        Some(url) => Box::new(SmtpTransport::to_server(url)?),
        None => Box::new(FileTransport::into_folder(settings.email_folder()).await?),
    })
}
