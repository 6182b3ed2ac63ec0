//! The service as a whole: built from settings, then run until it is told to stop. Tests run the very same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use metrics::counter;
use service_kit::Shared;
use service_kit::access::AccessLayer;
use service_kit::bus::Bus;
use service_kit::bus::rabbitmq::topology::EMAIL_SERVICE;
use service_kit::dead_letter::{self, Keeper, SetAside};
use service_kit::grpc::{ServeError, Server};
use service_kit::housekeeping::every;
use service_kit::outbox::Relay;
use service_kit::start::StartError;
use tokio_util::sync::CancellationToken;

use crate::contacts::Contacts;
use crate::inbox::{self, Inbox};
use crate::mail::Composer;
use crate::pages::Pages;
use crate::sender::Sender;
use crate::settings::Settings;
use crate::transport::{FileTransport, MailTransport, SmtpTransport};
use crate::unsubscribing::PublicUrl;
use crate::webhook::Courier;
use crate::{State, audit, grpc, message, notice, webhook};

/// email-service, ready to run.
pub struct Application {
    server: Server,
    state: Arc<State>,
    access: AccessLayer,
    bus: Bus,
    relay: Relay,
    sender: Sender,
    courier: Courier,
    retention: TimeDelta,
    audit_retention: TimeDelta,
    drain: Duration,
}

/// Between two looks at how much mail waits.
const MEASURING: Duration = Duration::from_secs(15);

/// Between two rounds of deleting what is older than the retention.
const PRUNING: Duration = Duration::from_secs(3600);

/// Between two looks for events that came in before a version knew them.
const READING: Duration = Duration::from_secs(60);

/// Between two looks for what has waited too long for a webhook.
const GIVING_UP: Duration = Duration::from_secs(60);

/// Digests are sent at most this much late.
const DIGESTS: Duration = Duration::from_secs(1);

impl Application {
    /// Reads the settings, then brings the database up to date, then takes the port. Neither the queue nor the mail server
    /// is asked whether it is there: what they have to do waits for them.
    ///
    /// # Errors
    /// Any of these cannot be done; the error names the setting to look at.
    pub async fn build(settings: Settings, shared: Shared) -> Result<Self, StartError> {
        let own_url = settings.email_database_url.as_ref().filter(|url| !url.is_empty());
        let url = shared.database.url_or(own_url, "EMAIL_DATABASE_URL")?;
        let pages = Pages::at(settings.email_pages_url.as_deref())?;
        let public_url = PublicUrl::at(settings.email_public_url.as_deref())?;
        let composer = Composer::new(&settings.email_from, pages, public_url)?;
        let transport = transport(&settings).await?;
        let access = shared.access_layer(crate::NAME)?;
        let sealing = settings.sealing()?;
        let contacts = Contacts::of(&shared)?;

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

        let counter = counter!("voltgate_mail_dead_letters_total");
        let state = Arc::new(State {
            database: database.clone(),
            clock: Arc::clone(&shared.clock),
            dead_letters: Keeper::new(database.clone(), Arc::clone(&shared.clock), counter),
            composer: Arc::new(composer),
            sealing,
            webhook_reach: settings.webhook_reach(),
        });
        let courier = Courier::new(Arc::clone(&state), settings.webhook_reach(), shared.drain);
        let relay = Relay::new(database, shared.bus.publisher());
        let sender = Sender::new(&state, contacts, transport, shared.drain);
        Ok(Self {
            server,
            state,
            access,
            bus: shared.bus,
            relay,
            sender,
            courier,
            retention: settings.retention(),
            audit_retention: settings.audit_retention(),
            drain: shared.drain,
        })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Serves, takes events in and sets aside what cannot be, publishes events of its own, sends mail, calls webhooks and deletes what is old until
    /// told to stop.
    ///
    /// # Errors
    /// The server broke.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let state = &self.state;
        let routes = grpc::routes(state);
        let stop = shutdown.child_token();
        let serve = async {
            let result = self
                .server
                .serve(routes, &grpc::SERVICES, self.access, self.drain, stop.clone())
                .await;
            stop.cancel();
            result
        };
        let prune = every(PRUNING, "deleting what is older than the retention", || async {
            let now = state.clock.now();
            message::prune::older_than(&state.database, now - self.retention).await?;
            webhook::prune(&state.database, now - self.retention).await?;
            dead_letter::prune(&state.database, now - self.retention).await?;
            audit::prune(&state.database, now - self.audit_retention).await
        });
        let give_up = every(GIVING_UP, "giving up what no webhook took", || async {
            webhook::give_up(&state.database, state.clock.now()).await?;
            webhook::clear(&state.database).await
        });
        let read = every(READING, "reading events that were not known before", || {
            inbox::read(state)
        });
        let measure = every(MEASURING, "measuring how much mail waits", || {
            message::gauge::measure(&state.database, state.clock.now())
        });
        let digest = every(DIGESTS, "sending digests", || {
            notice::send_due(&state.database, state.clock.now())
        });
        let keeper = state.dead_letters.clone();
        let inbox = Arc::new(SetAside::new(Inbox::new(Arc::clone(state)), keeper.clone()));
        let (result, (), (), (), (), (), _, _, _, _, _) = tokio::join!(
            serve,
            self.bus.subscribe(EMAIL_SERVICE, inbox, stop.clone()),
            self.bus
                .collect_dead_letters(EMAIL_SERVICE, Arc::new(keeper), stop.clone()),
            self.relay.run(stop.clone()),
            self.sender.run(stop.clone()),
            self.courier.run(stop.clone()),
            stop.run_until_cancelled(prune),
            stop.run_until_cancelled(give_up),
            stop.run_until_cancelled(read),
            stop.run_until_cancelled(measure),
            stop.run_until_cancelled(digest),
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
