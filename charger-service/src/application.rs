//! The service as a whole: built from settings, then run until it is told to stop. Tests run the very same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use service_kit::Shared;
use service_kit::access::AccessLayer;
use service_kit::bus::Bus;
use service_kit::bus::rabbitmq::topology::CHARGER_SERVICE;
use service_kit::dead_letter::{Keeper, SetAside};
use service_kit::grpc::{ServeError, Server};
use service_kit::hook::Hooks;
use service_kit::outbox::Relay;
use service_kit::start::StartError;
use service_kit::trace::Tracer;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::service::RoutesBuilder;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::campaign_service_server::{self, CampaignServiceServer};
use voltgate_proto::ocpp::v1::certificate_service_server::{self, CertificateServiceServer};
use voltgate_proto::ocpp::v1::charge_point_audit_service_server::{self, ChargePointAuditServiceServer};
use voltgate_proto::ocpp::v1::charge_point_service_server::{self, ChargePointServiceServer};
use voltgate_proto::ocpp::v1::charge_record_service_server::{self, ChargeRecordServiceServer};
use voltgate_proto::ocpp::v1::charger_dead_letter_service_server::{self, ChargerDeadLetterServiceServer};
use voltgate_proto::ocpp::v1::charging_profile_service_server::{self, ChargingProfileServiceServer};
use voltgate_proto::ocpp::v1::charging_profile_template_service_server::{self, ChargingProfileTemplateServiceServer};
use voltgate_proto::ocpp::v1::command_service_server::{self, CommandServiceServer};
use voltgate_proto::ocpp::v1::configuration_service_server::{self, ConfigurationServiceServer};
use voltgate_proto::ocpp::v1::data_transfer_vendor_service_server::{self, DataTransferVendorServiceServer};
use voltgate_proto::ocpp::v1::driver_service_server::{self, DriverServiceServer};
use voltgate_proto::ocpp::v1::event_service_server::{self, EventServiceServer};
use voltgate_proto::ocpp::v1::explanation_service_server::{self, ExplanationServiceServer};
use voltgate_proto::ocpp::v1::file_service_server::{self, FileServiceServer};
use voltgate_proto::ocpp::v1::id_token_service_server::{self, IdTokenServiceServer};
use voltgate_proto::ocpp::v1::job_service_server::{self, JobServiceServer};
use voltgate_proto::ocpp::v1::local_list_service_server::{self, LocalListServiceServer};
use voltgate_proto::ocpp::v1::message_service_server::{self, MessageServiceServer};
use voltgate_proto::ocpp::v1::registration_service_server::{self, RegistrationServiceServer};
use voltgate_proto::ocpp::v1::remote_control_service_server::{self, RemoteControlServiceServer};
use voltgate_proto::ocpp::v1::reservation_service_server::{self, ReservationServiceServer};
use voltgate_proto::ocpp::v1::security_event_service_server::{self, SecurityEventServiceServer};
use voltgate_proto::ocpp::v1::session_service_server::{self, SessionServiceServer};
use voltgate_proto::ocpp::v1::site_service_server::{self, SiteServiceServer};
use voltgate_proto::ocpp::v1::stray_service_server::{self, StrayServiceServer};
use voltgate_proto::ocpp::v1::tariff_service_server::{self, TariffServiceServer};
use voltgate_proto::ocpp::v1::transaction_service_server::{self, TransactionServiceServer};
use voltgate_proto::ocpp::v1::transfer_service_server::{self, TransferServiceServer};
use voltgate_proto::ocpp::v1::unknown_charge_point_service_server::{self, UnknownChargePointServiceServer};

use crate::command::traced::Traced;
use crate::command::waiters::Waiters;
use crate::data_transfer_vendor::forward::Rooms;
use crate::erasure::Erasure;
use crate::event::feed::Feed;
use crate::housekeeping::{Retention, keep_house};
use crate::message::partitions;
use crate::places::Places;
use crate::reach::ReachLayer;
use crate::registry::Registry;
use crate::routine::Lane;
use crate::session::failures::Failures;
use crate::session::pace::Posting;
use crate::settings::Settings;
use crate::unknown::Knocks;
use crate::{
    State, audit, campaign, certificate, charge_point, charge_record, charging_profile, charging_profile_template,
    command, configuration, data_transfer_vendor, dead_letter, driver, event, explanation, file, id_token, import,
    instance, job, local_list, message, registration, remote_control, reservation, routine, security_event, session,
    site, stray, tariff, transaction, transfer, unknown,
};

/// The gRPC services, by their full names.
const SERVICES: [&str; 30] = [
    charge_point_audit_service_server::SERVICE_NAME,
    campaign_service_server::SERVICE_NAME,
    certificate_service_server::SERVICE_NAME,
    charge_point_service_server::SERVICE_NAME,
    charge_record_service_server::SERVICE_NAME,
    charger_dead_letter_service_server::SERVICE_NAME,
    charging_profile_service_server::SERVICE_NAME,
    charging_profile_template_service_server::SERVICE_NAME,
    command_service_server::SERVICE_NAME,
    configuration_service_server::SERVICE_NAME,
    data_transfer_vendor_service_server::SERVICE_NAME,
    driver_service_server::SERVICE_NAME,
    event_service_server::SERVICE_NAME,
    explanation_service_server::SERVICE_NAME,
    file_service_server::SERVICE_NAME,
    id_token_service_server::SERVICE_NAME,
    job_service_server::SERVICE_NAME,
    local_list_service_server::SERVICE_NAME,
    message_service_server::SERVICE_NAME,
    registration_service_server::SERVICE_NAME,
    remote_control_service_server::SERVICE_NAME,
    reservation_service_server::SERVICE_NAME,
    security_event_service_server::SERVICE_NAME,
    session_service_server::SERVICE_NAME,
    site_service_server::SERVICE_NAME,
    stray_service_server::SERVICE_NAME,
    tariff_service_server::SERVICE_NAME,
    transaction_service_server::SERVICE_NAME,
    transfer_service_server::SERVICE_NAME,
    unknown_charge_point_service_server::SERVICE_NAME,
];

/// For the last words in the database.
const FAREWELL: Duration = Duration::from_secs(5);

/// charger-service, ready to run.
pub struct Application {
    server: Server,
    state: Arc<State>,
    lanes: Vec<Lane>,
    access: AccessLayer,
    bus: Bus,
    retention: Retention,
    drain: Duration,
}

impl Application {
    /// Reads the settings, then brings the database up to date, then takes the port.
    ///
    /// # Errors
    /// Any of these cannot be done; the error names the setting to look at.
    pub async fn build(settings: Settings, shared: Shared) -> Result<Self, StartError> {
        let passwords = settings.password_key()?;
        let authority = settings.authority()?;
        let webhook_reach = settings.webhook_reach();
        let access = shared.access_layer(crate::NAME)?;
        let own_url = settings.charger_database_url.as_ref().filter(|url| !url.is_empty());
        let url = shared.database.url_or(own_url, "CHARGER_DATABASE_URL")?;
        let database = service_kit::database::connect(&url, "ocpp", &sqlx::migrate!("../migrations/ocpp")).await?;
        let unusable = |error| StartError::other("cannot prepare the schema `ocpp`", error);
        let retention = settings.retention();
        partitions::keep(&database, shared.clock.now(), retention.messages)
            .await
            .map_err(unusable)?;
        event::partitions::create(&database, shared.clock.now())
            .await
            .map_err(unusable)?;
        event::partitions::forget_foreign(&database).await.map_err(unusable)?;
        let instance = Uuid::now_v7();
        instance::renew(&database, instance).await.map_err(unusable)?;
        let issuance = settings.issuance(&database, shared.clock.now()).await?;
        let server = Server::bind(
            settings.charger_listen,
            "CHARGER_LISTEN",
            shared.tls.clone(),
            shared.max_calls,
        )
        .await?
        .observed(crate::NAME, &database);
        let (routine, lanes) = routine::lanes();
        let state = State {
            database,
            clock: shared.clock.clone(),
            passwords,
            allow_unsecured: settings.charger_allow_unsecured.unwrap_or(false),
            issuance,
            sealing: settings.sealing()?,
            authority,
            webhooks: Hooks::new(webhook_reach),
            webhook_reach,
            vendor_rooms: Rooms::default(),
            intervals: settings.intervals(),
            call_timeout: settings.call_timeout(),
            files: settings.file_store(),
            transfers: settings.transfers()?,
            imports: import::Places::default(),
            accept_unknown: settings.charger_accept_unknown,
            knocks: Knocks::default(),
            failures: Failures::default(),
            messages_per_second: settings.charger_messages_per_second,
            posting: Posting::default(),
            following_drivers: Places::new(driver::PLACES.0, driver::PLACES.1),
            waiting_drivers: Places::new(driver::PLACES.0, driver::PLACES.1),
            instance,
            sessions: Registry::default(),
            routine,
            events: Feed::default(),
            waiters: Waiters::default(),
            tracer: Tracer::of(crate::NAME),
            traced: Traced::default(),
            campaigns: Notify::new(),
            tasks: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            stopped: CancellationToken::new(),
        };
        Ok(Self {
            server,
            state: Arc::new(state),
            lanes,
            access,
            bus: shared.bus,
            retention,
            drain: shared.drain,
        })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Serves, keeps what charge points say all the time, hears of accounts that are deleted, sets aside what cannot be read of that, and publishes what happens to charges, until
    /// told to stop. Then sessions finish the CALL they are at and close their sockets, and the database hears that they did.
    ///
    /// # Errors
    /// The server broke.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let Self {
            server,
            state,
            lanes,
            access,
            bus,
            retention,
            drain,
        } = self;
        let counter = metrics::counter!("charger_dead_letters_total");
        let keeper = Keeper::new(state.database.clone(), state.clock.clone(), counter);
        let erasure = SetAside::new(Erasure::new(Arc::clone(&state)), keeper.clone());
        let relay = Relay::new(state.database.clone(), bus.publisher());
        let hear = bus.subscribe(CHARGER_SERVICE, Arc::new(erasure), state.shutdown.clone());
        let collect = bus.collect_dead_letters(CHARGER_SERVICE, Arc::new(keeper), state.shutdown.clone());
        let routes = routes(&state);
        let serve = async {
            let told_to_stop = state.shutdown.clone();
            let reach = ReachLayer::new(state.database.clone(), voltgate_proto::pool());
            let serve = server.serve_guarded(routes, &SERVICES, access, reach, drain, told_to_stop.clone());
            tokio::pin!(serve);
            let result = tokio::select! {
                result = &mut serve => result,
                () = shutdown.cancelled() => {
                    told_to_stop.cancel();
                    serve.await
                }
            };
            // Where the server broke, sessions end too.
            told_to_stop.cancel();
            end_sessions(&state).await;
            state.stopped.cancel();
            result
        };
        let publish = relay.run(state.stopped.clone());
        let keep = routine::work(lanes, &state);
        let (result, (), (), (), (), ()) =
            tokio::join!(serve, hear, collect, publish, keep, keep_house(&state, retention));
        farewell(&state).await;
        result
    }
}

fn routes(state: &Arc<State>) -> RoutesBuilder {
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(ChargePointAuditServiceServer::new(audit::Grpc(Arc::clone(state))))
        .add_service(CampaignServiceServer::new(campaign::Grpc(Arc::clone(state))))
        .add_service(CertificateServiceServer::new(certificate::Grpc(Arc::clone(state))))
        .add_service(ChargePointServiceServer::new(charge_point::Grpc(Arc::clone(state))))
        .add_service(ChargeRecordServiceServer::new(charge_record::Grpc(Arc::clone(state))))
        .add_service(ChargerDeadLetterServiceServer::new(dead_letter::Grpc(Arc::clone(
            state,
        ))))
        .add_service(ChargingProfileServiceServer::new(charging_profile::Grpc(Arc::clone(
            state,
        ))))
        .add_service(ChargingProfileTemplateServiceServer::new(
            charging_profile_template::Grpc(Arc::clone(state)),
        ))
        .add_service(CommandServiceServer::new(command::Grpc(Arc::clone(state))))
        .add_service(ConfigurationServiceServer::new(configuration::Grpc(Arc::clone(state))))
        .add_service(DataTransferVendorServiceServer::new(data_transfer_vendor::Grpc(
            Arc::clone(state),
        )))
        .add_service(DriverServiceServer::new(driver::Grpc(Arc::clone(state))))
        .add_service(EventServiceServer::new(event::Grpc(Arc::clone(state))))
        .add_service(ExplanationServiceServer::new(explanation::Grpc(Arc::clone(state))))
        .add_service(FileServiceServer::new(file::Grpc(Arc::clone(state))))
        .add_service(IdTokenServiceServer::new(id_token::Grpc(Arc::clone(state))))
        .add_service(JobServiceServer::new(job::Grpc(Arc::clone(state))))
        .add_service(LocalListServiceServer::new(local_list::Grpc(Arc::clone(state))))
        .add_service(MessageServiceServer::new(message::Grpc(Arc::clone(state))))
        .add_service(RegistrationServiceServer::new(registration::Grpc(Arc::clone(state))))
        .add_service(RemoteControlServiceServer::new(remote_control::Grpc(Arc::clone(state))))
        .add_service(ReservationServiceServer::new(reservation::Grpc(Arc::clone(state))))
        .add_service(SecurityEventServiceServer::new(security_event::Grpc(Arc::clone(state))))
        .add_service(SessionServiceServer::new(session::Grpc(Arc::clone(state))))
        .add_service(SiteServiceServer::new(site::Grpc(Arc::clone(state))))
        .add_service(StrayServiceServer::new(stray::Grpc(Arc::clone(state))))
        .add_service(TariffServiceServer::new(tariff::Grpc(Arc::clone(state))))
        .add_service(TransactionServiceServer::new(transaction::Grpc(Arc::clone(state))))
        .add_service(TransferServiceServer::new(transfer::Grpc(Arc::clone(state))))
        .add_service(UnknownChargePointServiceServer::new(unknown::Grpc(Arc::clone(state))));
    routes
}

async fn end_sessions(state: &State) {
    state.tasks.close();
    if timeout(FAREWELL, state.tasks.wait()).await.is_err() {
        tracing::warn!(
            sessions = state.tasks.len(),
            "Sessions were still open when the time to drain was over"
        );
    }
}

/// Without it, others would find out when the lease runs out.
async fn farewell(state: &State) {
    let retire = instance::retire(&state.database, state.instance);
    match timeout(FAREWELL, retire).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "The database did not hear that this replica stops"
            );
        }
        Err(_) => tracing::warn!("The database did not hear in time that this replica stops"),
    }
    state.database.close().await;
}
