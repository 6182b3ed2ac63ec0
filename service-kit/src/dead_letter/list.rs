//! Dead letters, newest first, a page at a time, and one of them.

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{DeadLetter, DeadLetterError};
use crate::database;
use crate::page::{self, PageSize};
use crate::reason::FieldViolation;

/// Nobody needs to know exactly how many there are beyond this, and counting takes time.
const MOST: i64 = 100_000;

/// Which of them.
#[derive(Debug)]
pub struct Page {
    kind: Option<String>,
    size: PageSize,
    /// The last id seen.
    before: Option<Uuid>,
}

impl Page {
    /// Reads the fields of a request for a page, and says all that is wrong with them. `kind` is a type of events.
    ///
    /// # Errors
    /// As [`page::parse`], and a type that no event can have.
    pub fn parse(page_size: i32, page_token: &str, kind: Option<String>) -> Result<Self, Vec<FieldViolation>> {
        let mut violations = Vec::new();
        let page = page::parse(page_size, page_token).map_err(|problems| violations.extend(problems));
        if kind.as_ref().is_some_and(|text| text.contains('\0')) {
            violations.push(FieldViolation::new("type", "must not contain a null character"));
        }
        match page {
            Ok((size, before)) if violations.is_empty() => Ok(Self { kind, size, before }),
            _ => Err(violations),
        }
    }
}

/// A page of them, without their bodies, and the token of the next page.
///
/// # Errors
/// The database does not answer.
pub async fn list(database: &PgPool, page: Page) -> Result<(Vec<DeadLetter>, String), DeadLetterError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let mut rows = sqlx::query_as!(
        DeadLetter,
        r#"SELECT id, event_id, type AS kind, source, ''::bytea AS "body!", reason, redrives, died_at
           FROM dead_letter WHERE id < $1 AND ($2::text IS NULL OR type = $2)
           ORDER BY id DESC LIMIT $3"#,
        page.before.unwrap_or(Uuid::max()),
        page.kind,
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.id);
    Ok((rows, next_page_token))
}

/// One with all that it holds.
///
/// # Errors
/// There is none of this id, or the database does not answer.
pub async fn get(database: &PgPool, id: Uuid) -> Result<DeadLetter, DeadLetterError> {
    let mut connection = database::begin(database).await?;
    sqlx::query_as!(
        DeadLetter,
        "SELECT id, event_id, type AS kind, source, body, reason, redrives, died_at FROM dead_letter WHERE id = $1",
        id,
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(DeadLetterError::NotFound)
}

/// How many there are, counted up to 100,000.
///
/// # Errors
/// The database does not answer.
pub async fn count(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    // In the order of an index it is the index that is counted, and not the bodies.
    sqlx::query_scalar!(
        r#"SELECT count(*) AS "letters!" FROM (SELECT FROM dead_letter ORDER BY id LIMIT $1) AS letters"#,
        MOST,
    )
    .fetch_one(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_with_a_page_is_said() {
        let violations = Page::parse(-1, "%", Some("\0".to_owned())).expect_err("nothing of it is right");
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["pageSize", "pageToken", "type"]);
    }
}
