//! What has become of a template at each connector that it was applied to, a page at a time.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{
    ChargingProfileApplication, ListChargingProfileApplicationsRequest, ListChargingProfileApplicationsResponse,
};

use super::list::{self, GetError};

/// What the charge point has of a template. Kept is whether it has any version (`held`); whether that is the present
/// one follows from the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Pending,
    Current,
    Outdated,
    Cleared,
    Replaced,
    Unconfirmed,
}

impl State {
    const ALL: [Self; 6] = [
        Self::Pending,
        Self::Current,
        Self::Outdated,
        Self::Cleared,
        Self::Replaced,
        Self::Unconfirmed,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Current => "current",
            Self::Outdated => "outdated",
            Self::Cleared => "cleared",
            Self::Replaced => "replaced",
            Self::Unconfirmed => "unconfirmed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

#[derive(Debug)]
pub struct Page {
    template: String,
    state: Option<State>,
    identity: Option<String>,
    size: PageSize,
    /// The last place seen.
    after: Option<(Uuid, i32)>,
}

impl TryFrom<ListChargingProfileApplicationsRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListChargingProfileApplicationsRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let state = request.state.as_deref().map(State::parse);
        if state == Some(None) {
            let problem = "must be one of pending, current, outdated, cleared, replaced and unconfirmed";
            violations.push(FieldViolation::new("state", problem));
        }
        match page::parse(request.page_size, &request.page_token) {
            Ok((size, after)) if violations.is_empty() => Ok(Self {
                template: request.id,
                state: state.flatten(),
                identity: request.identity,
                size,
                after,
            }),
            Ok(_) => Err(violations),
            Err(wrong) => Err(violations.into_iter().chain(wrong).collect()),
        }
    }
}

struct Row {
    identity: String,
    charge_point_id: Uuid,
    connector_id: i32,
    charging_profile_id: i32,
    version: i32,
    command_id: Uuid,
    command_status: String,
    applied_at: DateTime<Utc>,
    state: String,
    confirmed_version: Option<i32>,
    confirmed_at: Option<DateTime<Utc>>,
}

/// By charge point, in the order in which they were registered, and by connector.
pub async fn list(database: &PgPool, page: Page) -> Result<ListChargingProfileApplicationsResponse, GetError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let template = list::read(&mut connection, list::parse_id(&page.template)?).await?;
    let mut rows = rows(&mut connection, &template, &page).await?;
    let next_page_token = page.size.cut(&mut rows, |row| (row.charge_point_id, row.connector_id));
    let present = template.version;
    Ok(ListChargingProfileApplicationsResponse {
        applications: rows.into_iter().map(|row| row.shown(present)).collect(),
        next_page_token,
    })
}

async fn rows(connection: &mut PgConnection, template: &super::Row, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    match page.state {
        Some(State::Current) => held(connection, template, page, true).await,
        Some(State::Outdated) => held(connection, template, page, false).await,
        Some(State::Pending | State::Cleared | State::Replaced | State::Unconfirmed) | None => {
            in_state(connection, template, page).await
        }
    }
}

async fn in_state(connection: &mut PgConnection, template: &super::Row, page: &Page) -> Result<Vec<Row>, sqlx::Error> {
    let (charge_point, connector) = page.after.unwrap_or((Uuid::nil(), -1));
    sqlx::query_as!(
        Row,
        r#"SELECT identity, place.charge_point_id, connector_id, charging_profile_id, version, command_id,
               command.status AS command_status, applied_at, place.state, confirmed_version, confirmed_at
           FROM ocpp.charging_profile_template_place AS place
           JOIN ocpp.command ON command.id = place.command_id
           JOIN ocpp.charge_point ON charge_point.id = place.charge_point_id
           WHERE template_id = $1 AND (place.charge_point_id, connector_id) > ($2, $3)
             AND ($4::text IS NULL OR place.state = $4)
             AND ($5::text IS NULL OR place.charge_point_id = (SELECT id FROM ocpp.charge_point WHERE identity = $5))
           ORDER BY place.charge_point_id, connector_id LIMIT $6"#,
        template.id,
        charge_point,
        connector,
        page.state.map(State::as_str),
        page.identity,
        page.size.limit(),
    )
    .fetch_all(connection)
    .await
}

/// Those that have the present version, or an older one. A page of each version that anybody has, by one look at the index for each:
/// there are few of those, and there may be a million of one and a handful of another.
async fn held(
    connection: &mut PgConnection,
    template: &super::Row,
    page: &Page,
    present: bool,
) -> Result<Vec<Row>, sqlx::Error> {
    let (charge_point, connector) = page.after.unwrap_or((Uuid::nil(), -1));
    sqlx::query_as!(
        Row,
        r#"WITH RECURSIVE held (version) AS (
               SELECT (SELECT min(confirmed_version) FROM ocpp.charging_profile_template_place
                       WHERE template_id = $1 AND state = 'held')
               UNION ALL
               SELECT (SELECT min(confirmed_version) FROM ocpp.charging_profile_template_place
                       WHERE template_id = $1 AND state = 'held' AND confirmed_version > held.version)
               FROM held WHERE held.version IS NOT NULL
           )
           SELECT identity, place.charge_point_id, connector_id, charging_profile_id, place.version, command_id,
               command.status AS command_status, applied_at, place.state, confirmed_version, confirmed_at
           FROM held
           CROSS JOIN LATERAL (
               SELECT * FROM ocpp.charging_profile_template_place
               WHERE template_id = $1 AND state = 'held' AND confirmed_version = held.version
                 AND (charge_point_id, connector_id) > ($2, $3)
                 AND ($4::text IS NULL OR charge_point_id = (SELECT id FROM ocpp.charge_point WHERE identity = $4))
               ORDER BY charge_point_id, connector_id LIMIT $5
           ) AS place
           JOIN ocpp.command ON command.id = place.command_id
           JOIN ocpp.charge_point ON charge_point.id = place.charge_point_id
           WHERE (held.version = $6) = $7
           ORDER BY place.charge_point_id, connector_id LIMIT $5"#,
        template.id,
        charge_point,
        connector,
        page.identity,
        page.size.limit(),
        template.version,
        present,
    )
    .fetch_all(connection)
    .await
}

impl Row {
    fn shown(self, present: i32) -> ChargingProfileApplication {
        let is_present = self.confirmed_version == Some(present);
        let state = match (self.state.as_str(), is_present) {
            ("held", true) => State::Current.as_str().to_owned(),
            ("held", false) => State::Outdated.as_str().to_owned(),
            _ => self.state,
        };
        ChargingProfileApplication {
            identity: self.identity,
            connector_id: self.connector_id,
            charging_profile_id: self.charging_profile_id,
            version: self.version,
            command_id: self.command_id.to_string(),
            command_status: self.command_status,
            applied_at: Some(timestamp(self.applied_at)),
            state,
            confirmed_version: self.confirmed_version,
            confirmed_at: self.confirmed_at.map(timestamp),
            drift: !is_present,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_known_by_its_name() {
        for state in State::ALL {
            assert_eq!(State::parse(state.as_str()), Some(state));
        }
        assert_eq!(State::parse("held"), None);
    }

    #[test]
    fn what_is_wrong_with_a_page_is_named_at_once() {
        let request = ListChargingProfileApplicationsRequest {
            state: Some("held".to_owned()),
            page_size: -1,
            page_token: "%".to_owned(),
            ..Default::default()
        };
        let wrong = Page::try_from(request).err().unwrap_or_default();
        let fields: Vec<_> = wrong.into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["state", "pageSize", "pageToken"]);
    }
}
