//! Suppressed addresses, the latest first, a page at a time.

use chrono::DateTime;
use service_kit::database;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use voltgate_proto::email::v1::{ListSuppressionsRequest, ListSuppressionsResponse, Suppression};

use super::Row;

#[derive(Debug)]
pub(crate) struct Page {
    size: PageSize,
    /// Time, in microseconds since 1970, and address of the last one seen.
    before: Option<(i64, String)>,
}

impl TryFrom<ListSuppressionsRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListSuppressionsRequest) -> Result<Self, Self::Error> {
        let (size, before) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self { size, before })
    }
}

pub(crate) async fn list(database: &PgPool, page: Page) -> Result<ListSuppressionsResponse, sqlx::Error> {
    let mut connection = database::begin(database).await?;
    let (at, address) = page.before.unwrap_or((i64::MAX, String::new()));
    let mut rows = sqlx::query_as!(
        Row,
        "SELECT address, reason, details, message_id, created_at FROM email.suppression
         WHERE (created_at, address) < (coalesce($1, 'infinity'::timestamptz), $2)
         ORDER BY created_at DESC, address DESC LIMIT $3",
        DateTime::from_timestamp_micros(at),
        address,
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| {
        (row.created_at.timestamp_micros(), row.address.clone())
    });
    Ok(ListSuppressionsResponse {
        suppressions: rows.into_iter().map(Suppression::from).collect(),
        next_page_token,
    })
}
