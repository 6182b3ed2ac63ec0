//! The id tokens of a driver: which there are, and which one charges.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use voltgate_proto::ocpp::v1::{ListMyIdTokensRequest, ListMyIdTokensResponse, MyIdToken};

use super::Driver;

/// So many of a driver's tokens are looked at where they do not say which one.
const MOST_LOOKED_AT: i64 = 100;

#[derive(Debug)]
pub(super) struct Page {
    size: PageSize,
    /// The last value seen, in lower case.
    after: Option<String>,
}

impl TryFrom<ListMyIdTokensRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListMyIdTokensRequest) -> Result<Self, Self::Error> {
        let (size, after) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self { size, after })
    }
}

#[derive(Debug, Error)]
#[error("the id tokens could not be read")]
pub(super) struct ListError(#[from] sqlx::Error);

impl From<ListError> for Status {
    fn from(ListError(error): ListError) -> Self {
        database::failed(&error)
    }
}

struct Row {
    value: String,
    r#type: String,
    expires_at: Option<DateTime<Utc>>,
    blocked: bool,
}

/// By value.
pub(super) async fn list(database: &PgPool, driver: Driver, page: Page) -> Result<ListMyIdTokensResponse, ListError> {
    let mut connection = database::begin(database).await?;
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT value, type, expires_at, blocked FROM ocpp.id_token
           WHERE account_id = $1 AND lower(value) > $2 COLLATE "C" ORDER BY lower(value) LIMIT $3"#,
        driver.account,
        page.after.unwrap_or_default(),
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    // In collation "C" lower() changes ASCII letters only.
    let next_page_token = page.size.cut(&mut rows, |row| row.value.to_ascii_lowercase());
    Ok(ListMyIdTokensResponse {
        id_tokens: rows.into_iter().map(MyIdToken::from).collect(),
        next_page_token,
    })
}

/// Which of a driver's tokens is to charge.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Token(String),
    /// The one that was named is none of the driver's.
    NotTheirs,
    /// There is none at all.
    None,
    /// More than one may be meant.
    Several,
}

/// The one that is named; or else the only one, and of several the only one that is good now.
pub(super) async fn choose(
    connection: &mut PgConnection,
    driver: Driver,
    named: Option<&str>,
    now: DateTime<Utc>,
) -> Result<Choice, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT value, type, expires_at, blocked FROM ocpp.id_token
           WHERE account_id = $1 AND ($2::text IS NULL OR lower(value) = lower($2 COLLATE "C"))
           ORDER BY lower(value) LIMIT $3"#,
        driver.account,
        named,
        MOST_LOOKED_AT,
    )
    .fetch_all(connection)
    .await?;
    Ok(chosen(rows, named.is_some(), now))
}

fn chosen(mut rows: Vec<Row>, is_named: bool, now: DateTime<Utc>) -> Choice {
    if rows.len() > 1 {
        let is_good = |row: &Row| !row.blocked && row.expires_at.is_none_or(|expiry| now < expiry);
        // Where none is good, any of them tells why.
        if rows.iter().any(is_good) {
            rows.retain(is_good);
        } else {
            rows.truncate(1);
        }
    }
    match (rows.pop(), rows.is_empty()) {
        (Some(only), true) => Choice::Token(only.value),
        (Some(_), false) => Choice::Several,
        (None, _) if is_named => Choice::NotTheirs,
        (None, _) => Choice::None,
    }
}

impl From<Row> for MyIdToken {
    fn from(row: Row) -> Self {
        Self {
            id_token: row.value,
            r#type: row.r#type,
            expires_at: row.expires_at.map(timestamp),
            blocked: row.blocked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(value: &str, blocked: bool) -> Row {
        Row {
            value: value.to_owned(),
            r#type: "ISO14443".to_owned(),
            expires_at: None,
            blocked,
        }
    }

    fn choose(rows: Vec<Row>) -> Choice {
        chosen(rows, false, DateTime::UNIX_EPOCH)
    }

    #[test]
    fn the_only_token_is_meant_or_the_only_good_one() {
        let is = |value: &str| Choice::Token(value.to_owned());
        assert_eq!(choose(vec![token("A", false)]), is("A"));
        assert_eq!(choose(vec![token("A", true)]), is("A"));
        assert_eq!(choose(vec![token("A", true), token("B", false)]), is("B"));
        let expired = Row {
            expires_at: Some(DateTime::UNIX_EPOCH),
            ..token("C", false)
        };
        assert_eq!(choose(vec![token("B", false), expired]), is("B"));
        assert_eq!(choose(vec![token("A", true), token("B", true)]), is("A"));
    }

    #[test]
    fn several_good_tokens_leave_it_open_and_none_is_told_from_another_ones() {
        assert_eq!(choose(vec![token("A", false), token("B", false)]), Choice::Several);
        assert_eq!(choose(Vec::new()), Choice::None);
        assert_eq!(chosen(Vec::new(), true, DateTime::UNIX_EPOCH), Choice::NotTheirs);
    }
}
