//! The audit log, newest first, a page at a time.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use service_kit::audit::{self, Asked};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::{self, FieldViolation};
use sqlx::PgPool;
use sqlx::types::Json;
use thiserror::Error;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::charge_point_audit_service_server::ChargePointAuditService;
use voltgate_proto::ocpp::v1::{AuditEntry, ListAuditEntriesRequest, ListAuditEntriesResponse};

use crate::State;
use crate::charge_point::password::PasswordKey;
use crate::id_token::key_code;

struct Page {
    page: audit::Page,
    charge_point: Option<String>,
    id_token: Option<String>,
}

impl TryFrom<ListAuditEntriesRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListAuditEntriesRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        for (field, text) in [("chargePoint", &request.charge_point), ("idToken", &request.id_token)] {
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                violations.push(FieldViolation::new(field, "must not contain a null character"));
            }
        }
        let asked = Asked {
            page_size: request.page_size,
            page_token: &request.page_token,
            actor_id: request.actor_id.as_deref(),
            action: &request.action,
            since: request.since,
            until: request.until,
        };
        match audit::Page::parse(asked, &mut violations) {
            Some(page) if violations.is_empty() => Ok(Self {
                page,
                charge_point: request.charge_point,
                id_token: request.id_token,
            }),
            _ => Err(violations),
        }
    }
}

#[derive(Debug, Error)]
#[error("the audit log could not be read")]
struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

struct Row {
    id: Uuid,
    at: DateTime<Utc>,
    actor_id: Option<Uuid>,
    action: String,
    charge_point: Option<String>,
    id_token: Option<String>,
    address: Option<String>,
    device: Option<String>,
    details: Json<serde_json::Value>,
}

/// A code stands in the log by its fingerprint.
fn names_of(id_token: &str, key: &PasswordKey) -> [String; 2] {
    [id_token.to_owned(), key_code::fingerprint(key, id_token)].map(|name| name.to_ascii_lowercase())
}

async fn list(database: &PgPool, key: &PasswordKey, asked: Page) -> Result<ListAuditEntriesResponse, ListError> {
    let id_token = asked.id_token.map(|id_token| names_of(&id_token, key));
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let page = asked.page;
    let (before_at, before_id) = page.before();
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT id, at, actor_id, action, charge_point, id_token, address, device,
                  details AS "details: Json<serde_json::Value>"
           FROM ocpp.audit
           WHERE (at, id) < (coalesce($1, 'infinity'::timestamptz), $2)
             AND ($3::text IS NULL OR charge_point = $3)
             AND ($4::text[] IS NULL OR lower(id_token COLLATE "C") = ANY($4))
             AND ($5::uuid IS NULL OR actor_id = $5)
             AND ($6::text IS NULL OR action = $6)
             AND ($7::timestamptz IS NULL OR at >= $7)
           ORDER BY at DESC, id DESC LIMIT $8"#,
        before_at,
        before_id,
        asked.charge_point,
        id_token.as_ref().map(<[String; 2]>::as_slice),
        page.actor,
        page.action,
        page.since,
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.cut(&mut rows, |row| (row.at, row.id));
    Ok(ListAuditEntriesResponse {
        entries: rows.into_iter().map(AuditEntry::from).collect(),
        next_page_token,
    })
}

impl From<Row> for AuditEntry {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            at: Some(timestamp(row.at)),
            action: row.action,
            actor_id: row.actor_id.map(|id| id.to_string()),
            charge_point: row.charge_point,
            id_token: row.id_token,
            address: row.address,
            device: row.device,
            details: row.details.0.to_string(),
        }
    }
}

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl ChargePointAuditService for Grpc {
    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let page = Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let entries = list(&self.0.database, &self.0.passwords, page).await?;
        Ok(Response::new(entries))
    }
}
