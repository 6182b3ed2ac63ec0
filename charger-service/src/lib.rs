//! charger-service: charge points, their connectors, tokens, transactions and meter values, and the commands sent to them.
//! It owns the schema `ocpp` and nothing else, and it is the only place that knows OCPP. It speaks gRPC: WebSockets and REST are
//! the gateway's.

mod announce;
mod application;
mod audit;
mod authority;
mod authorization;
mod availability;
mod boot;
mod campaign;
mod certificate;
mod charge_point;
mod charge_record;
mod charging_profile;
mod charging_profile_template;
mod clock_offset;
mod command;
mod configuration;
mod configuration_change;
mod cost;
mod data_transfer_vendor;
mod dead_letter;
mod driver;
mod erasure;
mod event;
mod explanation;
mod file;
mod gauge;
mod housekeeping;
mod id_token;
mod import;
mod instance;
mod job;
mod label;
mod local_list;
mod message;
mod meter_values;
mod notice;
mod places;
mod power_curve;
mod reach;
mod redact;
mod registration;
mod registry;
mod remark;
mod remote_control;
mod reservation;
mod routine;
mod security_event;
mod session;
mod settings;
mod site;
mod station_clock;
mod status;
mod stray;
mod tariff;
mod transaction;
mod transfer;
mod unknown;
mod unmatched;
mod v1_6;

pub use application::Application;
pub use authority::{Asked, Fallback};
pub use settings::Settings;

use std::time::Duration;

use service_kit::clock::SharedClock;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// The name under which this service is known to the others.
pub const NAME: &str = "charger-service";

/// What every operation works with.
struct State {
    database: PgPool,
    clock: SharedClock,
    passwords: charge_point::password::PasswordKey,
    allow_unsecured: bool,
    issuance: certificate::issue::Issuance,
    /// Seals secrets that the database keeps.
    sealing: service_kit::sealing::SealingKey,
    /// Others who are asked about tokens.
    authority: Option<authority::Authority>,
    /// Calls to vendors, and how far they may go.
    webhooks: service_kit::hook::Hooks,
    webhook_reach: service_kit::hook::Reach,
    vendor_rooms: data_transfer_vendor::forward::Rooms,
    intervals: session::answer::Intervals,
    call_timeout: Duration,
    files: file::Store,
    transfers: transfer::Transfers,
    /// Files of many new things.
    imports: import::Places,
    /// Register charge points that nobody has registered, when they connect.
    accept_unknown: bool,
    knocks: unknown::Knocks,
    failures: session::failures::Failures,
    /// Messages that a charge point may send for ever.
    messages_per_second: u32,
    /// Of those that post frames.
    posting: session::pace::Posting,
    /// Drivers who watch their charges, and those whose requests wait for a charge point.
    following_drivers: places::Places,
    waiting_drivers: places::Places,
    /// This process among its replicas.
    instance: Uuid,
    sessions: registry::Registry,
    /// What charge points say all the time is kept by way of these.
    routine: routine::Lanes,
    /// What happens, for those who listen at this replica.
    events: event::feed::Feed,
    waiters: command::waiters::Waiters,
    tracer: service_kit::trace::Tracer,
    /// For which traces commands were asked for.
    traced: command::traced::Traced,
    /// Wakes the task that moves campaigns on.
    campaigns: tokio::sync::Notify,
    /// Owns the sessions' tasks, and what else has to be finished when nobody waits for it any more.
    tasks: TaskTracker,
    /// Take on nothing new.
    shutdown: CancellationToken,
    /// Everything has had its time to end.
    stopped: CancellationToken,
}
