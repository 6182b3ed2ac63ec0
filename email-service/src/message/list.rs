//! Messages, newest first, a page at a time.

use service_kit::database;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Message, Status};

/// Which messages, and from where on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    status: Option<Status>,
    size: PageSize,
    /// The last message of the page before.
    after: Option<Uuid>,
}

impl Filter {
    /// # Errors
    /// All that is wrong with the request, each with its field.
    pub fn parse(status: Option<&str>, page_size: i32, page_token: &str) -> Result<Self, Vec<FieldViolation>> {
        let status = status
            .map(|text| {
                Status::parse(text).ok_or_else(|| {
                    FieldViolation::new("status", "must be one of queued, sending, sent, failed, expired")
                })
            })
            .transpose();
        let size = PageSize::parse(page_size);
        let after = page::parse_token(page_token);
        match (status, size, after) {
            (Ok(status), Ok(size), Ok(after)) => Ok(Self { status, size, after }),
            (status, size, after) => Err([status.err(), size.err(), after.err()].into_iter().flatten().collect()),
        }
    }
}

/// A page, and the token of the next one; an empty token on the last page.
pub(crate) async fn list(database: &PgPool, filter: &Filter) -> Result<(Vec<Message>, String), sqlx::Error> {
    let mut connection = database::begin(database).await?;
    let mut messages = match filter.status {
        Some(status) => of_status(&mut connection, status, filter).await?,
        None => of_all(&mut connection, filter).await?,
    };
    let next = filter.size.cut(&mut messages, |last| last.id);
    Ok((messages, next))
}

async fn of_all(connection: &mut PgConnection, filter: &Filter) -> Result<Vec<Message>, sqlx::Error> {
    sqlx::query_as!(
        Message,
        r#"
        SELECT id, event_id, template, recipient, status, attempts, last_error, possibly_duplicate, created_at, sent_at
        FROM email.message
        WHERE id < $1
        ORDER BY id DESC
        LIMIT $2
        "#,
        filter.after.unwrap_or(Uuid::max()),
        filter.size.limit(),
    )
    .fetch_all(connection)
    .await
}

/// A statement of its own, because one that took either would not use the index of this one.
async fn of_status(
    connection: &mut PgConnection,
    status: Status,
    filter: &Filter,
) -> Result<Vec<Message>, sqlx::Error> {
    sqlx::query_as!(
        Message,
        r#"
        SELECT id, event_id, template, recipient, status, attempts, last_error, possibly_duplicate, created_at, sent_at
        FROM email.message
        WHERE status = $1 AND id < $2
        ORDER BY id DESC
        LIMIT $3
        "#,
        status.as_str(),
        filter.after.unwrap_or(Uuid::max()),
        filter.size.limit(),
    )
    .fetch_all(connection)
    .await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let violations = Filter::parse(Some("lost"), 1001, "???").unwrap_err();
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["status", "pageSize", "pageToken"]);
    }

    #[test]
    fn nothing_is_required() {
        let filter = Filter::parse(None, 0, "").unwrap();
        assert_eq!(filter.status, None);
        assert_eq!(filter.after, None);
    }
}
