//! Whether the service is well: looked at in the background, so that asking costs nothing, however often somebody does.
//!
//! Without its database the service serves nothing, and says so to whoever sends it calls (`grpc.health.v1`). That events
//! are late is told to those who ask for it (`GET /auth/health`, and [`EVENTS`] in `grpc.health.v1`), and keeps nobody from
//! logging in.

use std::time::Duration;

use service_kit::outbox;
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use voltgate_proto::auth::v1::{HealthPart, ServiceHealth};

/// Between two looks, and how long one may take.
const INTERVAL: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(2);

/// An event that has waited for longer is late. A relay that works publishes within seconds.
const LATE: Duration = Duration::from_secs(60);

/// The name in `grpc.health.v1` that serves as long as no event is late. There is no such service.
pub const EVENTS: &str = "voltgate.auth.v1.Events";

/// What the last look found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// The database answers.
    pub database: bool,
    /// No event is late.
    pub events: bool,
}

impl From<Health> for ServiceHealth {
    fn from(health: Health) -> Self {
        let status = |is_ok| if is_ok { "ok" } else { "degraded" }.to_owned();
        let part = |name: &str, is_ok| HealthPart {
            name: name.to_owned(),
            status: status(is_ok),
        };
        Self {
            status: status(health.database && health.events),
            parts: vec![part("database", health.database), part("events", health.events)],
        }
    }
}

/// Whom it is told to whether the service serves, and whether no event is late.
pub struct Told {
    pub serving: watch::Sender<bool>,
    pub events: watch::Sender<bool>,
}

/// Looks from time to time, for as long as it is polled, and tells `health` and `told` what it finds.
pub async fn watch(database: &PgPool, health: &watch::Sender<Health>, told: &Told) {
    loop {
        let found = look(database).await;
        let changed = |known: &mut Health| std::mem::replace(known, found) != found;
        if health.send_if_modified(changed) {
            tracing::info!(found.database, found.events, "The health of the service has changed");
        }
        for (told, is_ok) in [(&told.serving, found.database), (&told.events, found.events)] {
            told.send_if_modified(|known| std::mem::replace(known, is_ok) != is_ok);
        }
        sleep(INTERVAL).await;
    }
}

async fn look(database: &PgPool) -> Health {
    match timeout(PATIENCE, outbox::lag(database)).await {
        Ok(Ok(lag)) => Health {
            database: true,
            events: lag < LATE,
        },
        // Whether events are late cannot be told without it, and then they will be.
        Ok(Err(_)) | Err(_) => Health {
            database: false,
            events: false,
        },
    }
}
