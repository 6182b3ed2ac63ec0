//! Dead letters, newest first, a page at a time, and one of them.

use service_kit::database;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use uuid::Uuid;
use voltgate_proto::email::v1::{DeadLetter, ListDeadLettersRequest, ListDeadLettersResponse};

use super::{DeadLetterError, Row};

#[derive(Debug)]
pub(crate) struct Page {
    kind: Option<String>,
    size: PageSize,
    /// The last id seen.
    before: Option<Uuid>,
}

impl TryFrom<ListDeadLettersRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListDeadLettersRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let page = page::parse(request.page_size, &request.page_token).map_err(|problems| violations.extend(problems));
        if request.r#type.as_ref().is_some_and(|text| text.contains('\0')) {
            violations.push(FieldViolation::new("type", "must not contain a null character"));
        }
        match page {
            Ok((size, before)) if violations.is_empty() => Ok(Self {
                kind: request.r#type,
                size,
                before,
            }),
            _ => Err(violations),
        }
    }
}

pub(crate) async fn list(database: &PgPool, page: Page) -> Result<ListDeadLettersResponse, sqlx::Error> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT id, event_id, type AS kind, source, ''::bytea AS "body!", reason, redrives, died_at
           FROM email.dead_letter WHERE id < $1 AND ($2::text IS NULL OR type = $2)
           ORDER BY id DESC LIMIT $3"#,
        page.before.unwrap_or(Uuid::max()),
        page.kind,
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.id);
    Ok(ListDeadLettersResponse {
        dead_letters: rows.into_iter().map(DeadLetter::from).collect(),
        next_page_token,
    })
}

pub(crate) async fn get(database: &PgPool, id: Uuid) -> Result<DeadLetter, DeadLetterError> {
    let mut connection = database::begin(database).await?;
    let row = sqlx::query_as!(
        Row,
        "SELECT id, event_id, type AS kind, source, body, reason, redrives, died_at FROM email.dead_letter WHERE id = $1",
        id,
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(DeadLetterError::NotFound)?;
    Ok(row.into())
}
