//! The profiles that one charge point has, a page at a time.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use sqlx::types::Json;
use voltgate_proto::ocpp::v1::{ChargingProfile, ListChargingProfilesRequest, ListChargingProfilesResponse};

use crate::charge_point::find::{FindError, find};

#[derive(Debug)]
pub struct Page {
    identity: String,
    size: PageSize,
    /// The last id seen.
    after: Option<i32>,
}

impl TryFrom<ListChargingProfilesRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListChargingProfilesRequest) -> Result<Self, Self::Error> {
        let (size, after) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            identity: request.identity,
            size,
            after,
        })
    }
}

struct Row {
    charging_profile_id: i32,
    connector_id: Option<i32>,
    purpose: String,
    stack_level: i32,
    kind: String,
    transaction_id: Option<i32>,
    valid_from: Option<DateTime<Utc>>,
    valid_to: Option<DateTime<Utc>>,
    profile: Json<Box<RawValue>>,
    confirmed_at: DateTime<Utc>,
}

/// By id.
pub async fn list(database: &PgPool, page: Page) -> Result<ListChargingProfilesResponse, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, &page.identity).await?;
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT charging_profile_id, connector_id, purpose, stack_level, kind, transaction_id, valid_from, valid_to,
               profile AS "profile: Json<Box<RawValue>>", confirmed_at
           FROM ocpp.charging_profile
           WHERE charge_point_id = $1 AND ($2::integer IS NULL OR charging_profile_id > $2)
           ORDER BY charging_profile_id LIMIT $3"#,
        charge_point,
        page.after,
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.charging_profile_id);
    Ok(ListChargingProfilesResponse {
        charging_profiles: rows.into_iter().map(ChargingProfile::from).collect(),
        next_page_token,
    })
}

impl From<Row> for ChargingProfile {
    fn from(row: Row) -> Self {
        Self {
            charging_profile_id: row.charging_profile_id,
            connector_id: row.connector_id,
            purpose: row.purpose,
            stack_level: row.stack_level,
            kind: row.kind,
            transaction_id: row.transaction_id,
            valid_from: row.valid_from.map(timestamp),
            valid_to: row.valid_to.map(timestamp),
            profile: row.profile.get().to_owned(),
            confirmed_at: Some(timestamp(row.confirmed_at)),
        }
    }
}
