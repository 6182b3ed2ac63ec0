//! The audit log, newest first, a page at a time.

use chrono::{DateTime, Utc};
use service_kit::audit::{self, Asked};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use sqlx::types::Json;
use uuid::Uuid;
use voltgate_proto::email::v1::{AuditEntry, ListAuditEntriesRequest, ListAuditEntriesResponse};

pub(crate) struct Page {
    page: audit::Page,
    subject: Option<String>,
}

impl TryFrom<ListAuditEntriesRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListAuditEntriesRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        if request.subject.as_ref().is_some_and(|text| text.contains('\0')) {
            violations.push(FieldViolation::new("subject", "must not contain a null character"));
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
                subject: request.subject,
            }),
            _ => Err(violations),
        }
    }
}

struct Row {
    id: Uuid,
    at: DateTime<Utc>,
    actor_id: Option<Uuid>,
    action: String,
    subject: Option<String>,
    address: Option<String>,
    device: Option<String>,
    details: Json<serde_json::Value>,
}

pub(crate) async fn list(database: &PgPool, asked: Page) -> Result<ListAuditEntriesResponse, sqlx::Error> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let page = asked.page;
    let (before_at, before_id) = page.before();
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT id, at, actor_id, action, subject, address, device, details AS "details: Json<serde_json::Value>"
           FROM email.audit
           WHERE (at, id) < (coalesce($1, 'infinity'::timestamptz), $2)
             AND ($3::text IS NULL OR subject = $3)
             AND ($4::uuid IS NULL OR actor_id = $4)
             AND ($5::text IS NULL OR action = $5)
             AND ($6::timestamptz IS NULL OR at >= $6)
           ORDER BY at DESC, id DESC LIMIT $7"#,
        before_at,
        before_id,
        asked.subject,
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
            subject: row.subject,
            address: row.address,
            device: row.device,
            details: row.details.0.to_string(),
        }
    }
}
