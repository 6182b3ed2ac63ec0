//! Charge points as they are now: registered facts, what they said of themselves, whether they are connected.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{ChargePoint, ListChargePointsRequest, ListChargePointsResponse};

use super::connector;
use super::filter::{Asked, Filter};
use super::find::FindError;
use crate::boot::Registration;
use service_kit::version::Versioned;

/// Which charge points, and how many.
#[derive(Debug)]
pub struct Page {
    filter: Filter,
    size: PageSize,
    /// The last identity seen.
    after: Option<String>,
}

impl TryFrom<ListChargePointsRequest> for Page {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ListChargePointsRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let page = page::parse(request.page_size, &request.page_token).map_err(|problems| violations.extend(problems));
        let asked = Asked {
            online: request.online,
            registration_status: request.registration_status.as_deref(),
            vendor: request.vendor.as_deref(),
            model: request.model.as_deref(),
            site_id: request.site_id.as_deref(),
            search: request.search.as_deref(),
        };
        let filter = Filter::parse(&asked, &mut violations);
        match page {
            Ok((size, after)) if violations.is_empty() => Ok(Self { filter, size, after }),
            _ => Err(violations),
        }
    }
}

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
    revision: i64,
}

/// One text for both look-ups. A session counts as open while the process that owns it lives.
macro_rules! select {
    ($condition:tt, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            r#"SELECT charge_point.id, identity, display_name, registration_status, security_profile,
                   coalesce(next_security_profile, offered_security_profile) AS next_security_profile, certificate_name,
                   (disconnected_at IS NULL AND lease_until > now()) IS TRUE AS "online!", protocol AS "protocol?",
                   vendor, model, serial_number, firmware_version, last_seen_at AS "last_seen_at?", last_boot_at,
                   clock_offset_seconds AS "clock_offset_seconds?", subprotocol, site_id,
                   created_at, number_of_connectors, revision
               FROM ocpp.charge_point
               LEFT JOIN ocpp.session ON session.charge_point_id = charge_point.id
               LEFT JOIN ocpp.instance ON instance.id = session.instance_id "# + $condition,
            $($argument),+
        )
    };
}

/// By identity.
pub async fn list(database: &PgPool, page: Page) -> Result<ListChargePointsResponse, ListError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let after = page.after.unwrap_or_default();
    let mut rows = select!(
        r#"WHERE identity > $1
             AND ($3::boolean IS NULL OR (disconnected_at IS NULL AND lease_until > now()) IS TRUE = $3)
             AND ($4::text IS NULL OR registration_status = $4)
             AND ($5::text IS NULL OR lower(vendor) = lower($5))
             AND ($6::text IS NULL OR lower(model) = lower($6))
             AND ($7::text IS NULL OR lower(identity) LIKE lower($7 COLLATE "C")
                  OR lower(display_name) LIKE lower($7))
             AND ($8::uuid IS NULL OR site_id = $8)
           ORDER BY identity LIMIT $2"#,
        after,
        page.size.limit(),
        page.filter.online,
        page.filter.registration.map(Registration::as_str),
        page.filter.vendor,
        page.filter.model,
        page.filter.beginning,
        page.filter.site
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.identity.clone());
    let charge_points = with_connectors(&mut connection, rows).await?;
    Ok(ListChargePointsResponse {
        charge_points,
        next_page_token,
    })
}

pub async fn get(database: &PgPool, identity: &str) -> Result<Versioned<ChargePoint>, FindError> {
    read(&mut *database::begin(database).await?, identity).await
}

/// As the transaction sees it that the connection is in.
pub async fn read(connection: &mut PgConnection, identity: &str) -> Result<Versioned<ChargePoint>, FindError> {
    let row = select!("WHERE identity = $1", identity)
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_that_is_wrong_is_named_at_once() {
        let wrong = ListChargePointsRequest {
            page_size: 1001,
            registration_status: Some("accepted".to_owned()),
            vendor: Some("\0".to_owned()),
            model: Some("x".repeat(101)),
            search: Some("\0".to_owned()),
            ..ListChargePointsRequest::default()
        };
        let violations = Page::try_from(wrong).expect_err("all are wrong");
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["pageSize", "registrationStatus", "vendor", "model", "search"]);
    }
}
