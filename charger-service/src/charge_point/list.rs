//! Charge points as they are now: registered facts, what they said of themselves, whether they are connected.

mod page;

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ChargePoint, ListChargePointsResponse};

use self::page::{Order, Seen};
use super::connector;
use super::find::FindError;
use crate::boot::Registration;
use service_kit::version::Versioned;

pub use self::page::Page;

#[derive(Debug, Error)]
#[error("the charge points could not be read")]
pub struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

struct Row {
    id: Uuid,
    identity: String,
    display_name: String,
    registration_status: String,
    security_profile: i16,
    next_security_profile: Option<i16>,
    certificate_name: Option<String>,
    online: bool,
    protocol: Option<String>,
    vendor: Option<String>,
    model: Option<String>,
    serial_number: Option<String>,
    firmware_version: Option<String>,
    last_seen_at: Option<DateTime<Utc>>,
    clock_offset_seconds: Option<f64>,
    subprotocol: Option<String>,
    site_id: Option<Uuid>,
    last_boot_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    number_of_connectors: Option<i32>,
    retired_at: Option<DateTime<Utc>>,
    tags: Vec<String>,
    revision: i64,
}

/// One text for all look-ups. A session counts as open while the process that owns it lives.
macro_rules! select {
    ([$($condition:tt),+], $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"SELECT charge_point.id, identity, display_name, registration_status, security_profile,
                   coalesce(next_security_profile, offered_security_profile) AS next_security_profile, certificate_name,
                   (disconnected_at IS NULL AND lease_until > now()) IS TRUE AS "online!", protocol AS "protocol?",
                   vendor, model, serial_number, firmware_version, last_seen_at AS "last_seen_at?", last_boot_at,
                   clock_offset_seconds AS "clock_offset_seconds?", subprotocol, site_id,
                   created_at, number_of_connectors, retired_at, tags, revision
               FROM ocpp.charge_point
               LEFT JOIN ocpp.session ON session.charge_point_id = charge_point.id
               LEFT JOIN ocpp.instance ON instance.id = session.instance_id "# $(+ $condition)+,
            $($argument),+
        )
    };
}

/// A page in one order. `$after`: what comes after the last one seen, which begins with the parameter 13; true where none was.
macro_rules! page {
    ($connection:expr, $page:expr, $after:tt, $order:tt, $($seen:expr),+) => {
        select!(
            [
                r#"WHERE ($1::boolean IS NULL OR (disconnected_at IS NULL AND lease_until > now()) IS TRUE = $1)
                     AND ($2::text IS NULL OR registration_status = $2)
                     AND ($3::text IS NULL OR lower(vendor) = lower($3))
                     AND ($4::text IS NULL OR lower(model) = lower($4))
                     AND ($5::text IS NULL OR lower(firmware_version) = lower($5))
                     AND ($6::uuid IS NULL OR site_id = $6)
                     AND ($7::text IS NULL OR site_id IN (SELECT id FROM ocpp.site WHERE groups @> ARRAY[$7]))
                     AND ($8::text[] IS NULL OR tags @> $8)
                     AND ($9::text IS NULL OR lower(identity) LIKE lower($9 COLLATE "C")
                          OR lower(display_name) LIKE lower($9))
                     AND (retired_at IS NOT NULL) = $10
                     AND ($12::text[] IS NULL OR site_id IN (SELECT id FROM ocpp.site WHERE groups && $12)) AND "#,
                $after,
                " ORDER BY ",
                $order,
                " LIMIT $11"
            ],
            $page.filter.online,
            $page.filter.registration.map(Registration::as_str),
            $page.filter.vendor,
            $page.filter.model,
            $page.filter.firmware_version,
            $page.filter.site,
            $page.filter.site_group,
            $page.tags.as_deref(),
            $page.filter.beginning,
            $page.retired,
            $page.size.limit(),
            $page.within.as_deref(),
            $($seen),+
        )
        .fetch_all($connection)
        .await
    };
}

/// In the order that was asked for.
pub async fn list(database: &PgPool, page: Page) -> Result<ListChargePointsResponse, ListError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let mut rows = rows(&mut connection, &page).await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.seen(page.order));
    let charge_points = with_connectors(&mut connection, rows).await?;
    Ok(ListChargePointsResponse {
        charge_points,
        next_page_token,
    })
}

async fn rows(connection: &mut PgConnection, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    match page.order {
        Order::Identity => by_identity(connection, page).await,
        Order::DisplayName => by_name(connection, page).await,
        Order::LastSeenAt => by_last_seen(connection, page).await,
        Order::CreatedAt => by_age(connection, page).await,
    }
}

async fn by_identity(connection: &mut PgConnection, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    let identity = match &page.seen {
        Some(Seen::Identity(identity)) => Some(identity.as_str()),
        _ => None,
    };
    if page.desc {
        page!(
            connection,
            page,
            "($13::text IS NULL OR identity < $13)",
            "identity DESC",
            identity
        )
    } else {
        page!(
            connection,
            page,
            "($13::text IS NULL OR identity > $13)",
            "identity",
            identity
        )
    }
}

/// Names are compared without case.
async fn by_name(connection: &mut PgConnection, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    let (name, identity) = match &page.seen {
        Some(Seen::DisplayName(name, identity)) => (Some(name.as_str()), Some(identity.as_str())),
        _ => (None, None),
    };
    if page.desc {
        page!(
            connection,
            page,
            r#"($13::text IS NULL OR (lower(display_name COLLATE "C"), identity) < ($13, $14))"#,
            r#"lower(display_name COLLATE "C") DESC, identity DESC"#,
            name,
            identity
        )
    } else {
        page!(
            connection,
            page,
            r#"($13::text IS NULL OR (lower(display_name COLLATE "C"), identity) > ($13, $14))"#,
            r#"lower(display_name COLLATE "C"), identity"#,
            name,
            identity
        )
    }
}

/// Those that were never seen come first. There is no index of this: it would have to be written with every frame. So all sessions
/// are looked through, once for a page.
async fn by_last_seen(connection: &mut PgConnection, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    let (at, identity) = match &page.seen {
        Some(Seen::LastSeenAt(micros, identity)) => (
            micros.and_then(DateTime::from_timestamp_micros),
            Some(identity.as_str()),
        ),
        _ => (None, None),
    };
    if page.desc {
        page!(
            connection,
            page,
            "($14::text IS NULL OR (coalesce(last_seen_at, '-infinity'), identity) < (coalesce($13, '-infinity'::timestamptz), $14))",
            "coalesce(last_seen_at, '-infinity') DESC, identity DESC",
            at,
            identity
        )
    } else {
        page!(
            connection,
            page,
            "($14::text IS NULL OR (coalesce(last_seen_at, '-infinity'), identity) > (coalesce($13, '-infinity'::timestamptz), $14))",
            "coalesce(last_seen_at, '-infinity'), identity",
            at,
            identity
        )
    }
}

async fn by_age(connection: &mut PgConnection, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    let (at, identity) = match &page.seen {
        Some(Seen::CreatedAt(micros, identity)) => (DateTime::from_timestamp_micros(*micros), Some(identity.as_str())),
        _ => (None, None),
    };
    if page.desc {
        page!(
            connection,
            page,
            "($13::timestamptz IS NULL OR (created_at, identity) < ($13, $14))",
            "created_at DESC, identity DESC",
            at,
            identity
        )
    } else {
        page!(
            connection,
            page,
            "($13::timestamptz IS NULL OR (created_at, identity) > ($13, $14))",
            "created_at, identity",
            at,
            identity
        )
    }
}

impl Row {
    fn seen(&self, order: Order) -> Seen {
        let identity = self.identity.clone();
        match order {
            Order::Identity => Seen::Identity(identity),
            // In collation "C" lower() changes ASCII letters only.
            Order::DisplayName => Seen::DisplayName(self.display_name.to_ascii_lowercase(), identity),
            Order::LastSeenAt => Seen::LastSeenAt(self.last_seen_at.map(|at| at.timestamp_micros()), identity),
            Order::CreatedAt => Seen::CreatedAt(self.created_at.timestamp_micros(), identity),
        }
    }
}

pub async fn get(database: &PgPool, identity: &str) -> Result<Versioned<ChargePoint>, FindError> {
    read(&mut *database::begin(database).await?, identity).await
}

/// As the transaction sees it that the connection is in.
pub async fn read(connection: &mut PgConnection, identity: &str) -> Result<Versioned<ChargePoint>, FindError> {
    let row = select!(["WHERE identity = $1"], identity)
        .fetch_optional(&mut *connection)
        .await?
        .ok_or(FindError::Unknown)?;
    let revision = row.revision;
    let charge_point = with_connectors(connection, vec![row]).await?.pop();
    Ok(Versioned::with_reports(
        charge_point.ok_or(FindError::Unknown)?,
        revision,
    ))
}

async fn with_connectors(connection: &mut PgConnection, rows: Vec<Row>) -> Result<Vec<ChargePoint>, sqlx::Error> {
    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
    let mut connectors = connector::of_all(connection, &ids).await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let connectors = connectors.remove(&row.id).unwrap_or_default();
            ChargePoint {
                connectors,
                ..row.into()
            }
        })
        .collect())
}

impl From<Row> for ChargePoint {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            identity: row.identity,
            display_name: row.display_name,
            registration_status: row.registration_status,
            security_profile: row.security_profile.into(),
            next_security_profile: row.next_security_profile.map(i32::from),
            certificate_name: row.certificate_name,
            password: None,
            online: row.online,
            protocol: row.protocol,
            vendor: row.vendor,
            model: row.model,
            serial_number: row.serial_number,
            firmware_version: row.firmware_version,
            last_seen_at: row.last_seen_at.map(timestamp),
            last_boot_at: row.last_boot_at.map(timestamp),
            created_at: Some(timestamp(row.created_at)),
            number_of_connectors: row.number_of_connectors,
            connectors: Vec::new(),
            clock_offset_seconds: row.clock_offset_seconds,
            subprotocol: row.subprotocol,
            site_id: row.site_id.map(|id| id.to_string()),
            retired_at: row.retired_at.map(timestamp),
            tags: row.tags,
        }
    }
}
