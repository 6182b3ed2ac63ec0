//! Suppressed addresses: no mail goes there. A mail server has said that there is no such mailbox, and asking it again and again is how
//! one comes to be taken for a sender of spam; or an administrator has decided so.

mod list;

pub(crate) use list::{Page, list};

use chrono::{DateTime, Utc};
use lettre::Address;
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::{FieldViolation, Reason};
use sqlx::{PgConnection, PgPool};
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::email::v1::{AddSuppressionRequest, Suppression};

use crate::audit::{self, Action, Author, Entry};
use crate::{State, address, words};

/// A row of `email.suppression`.
pub(crate) struct Row {
    pub address: String,
    pub reason: String,
    pub details: Option<String>,
    pub message_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
}

impl From<Row> for Suppression {
    fn from(row: Row) -> Self {
        Self {
            address: row.address,
            reason: row.reason,
            details: row.details,
            message_id: row.message_id.map(|id| id.to_string()),
            created_at: Some(timestamp(row.created_at)),
        }
    }
}

#[derive(Debug, Error)]
pub(crate) enum SuppressionError {
    #[error("the address is not suppressed")]
    NotFound,
    #[error("suppressions could not be read or written")]
    Database(#[from] sqlx::Error),
}

impl From<SuppressionError> for Status {
    fn from(error: SuppressionError) -> Self {
        match error {
            SuppressionError::NotFound => Reason::NotFound.status("The address is not suppressed"),
            SuppressionError::Database(error) => database::failed(&error),
        }
    }
}

/// An address to be suppressed, and why.
#[derive(Debug)]
pub(crate) struct NewSuppression {
    address: Address,
    details: Option<String>,
}

impl TryFrom<AddSuppressionRequest> for NewSuppression {
    type Error = Vec<FieldViolation>;

    fn try_from(request: AddSuppressionRequest) -> Result<Self, Self::Error> {
        let address = address::parse("address", &request.address);
        let details = request
            .details
            .map(|text| words::line("details", text, 500))
            .transpose();
        match (address, details) {
            (Ok(address), Ok(details)) => Ok(Self { address, details }),
            (address, details) => Err([address.err(), details.err()].into_iter().flatten().collect()),
        }
    }
}

pub(crate) async fn get(database: &PgPool, address: &str) -> Result<Row, SuppressionError> {
    read(&mut *database::begin(database).await?, address).await
}

async fn read(connection: &mut PgConnection, address: &str) -> Result<Row, SuppressionError> {
    sqlx::query_as!(
        Row,
        "SELECT address, reason, details, message_id, created_at FROM email.suppression WHERE address = lower($1)",
        address,
    )
    .fetch_optional(connection)
    .await?
    .ok_or(SuppressionError::NotFound)
}

/// By an administrator.
pub(crate) async fn add(state: &State, new: NewSuppression, author: &Author) -> Result<Row, SuppressionError> {
    let now = state.clock.now();
    let address: &str = new.address.as_ref();
    let mut transaction = database::begin(&state.database).await?;
    let added = sqlx::query!(
        "INSERT INTO email.suppression (address, reason, details, created_at)
         VALUES (lower($1), 'added', $2, $3) ON CONFLICT DO NOTHING",
        address,
        new.details,
        now,
    )
    .execute(&mut *transaction)
    .await?;
    if added.rows_affected() == 1 {
        let entry = Entry::new(Action::SuppressionAdded, now, author).on(address.to_lowercase());
        audit::record(&mut transaction, entry.with("details", new.details)).await?;
    }
    let row = read(&mut transaction, address).await?;
    transaction.commit().await?;
    Ok(row)
}

/// What a mail server said of the recipient of a message.
pub(crate) async fn refused(
    connection: &mut PgConnection,
    message: Uuid,
    said: &str,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO email.suppression (address, reason, details, message_id, created_at)
         SELECT lower(recipient), 'refused', $2, id, $3 FROM email.message WHERE id = $1 AND recipient <> ''
         ON CONFLICT DO NOTHING",
        message,
        said,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(crate) async fn delete(state: &State, address: &str, author: &Author) -> Result<(), SuppressionError> {
    let mut transaction = database::begin(&state.database).await?;
    let deleted = sqlx::query_scalar!(
        "DELETE FROM email.suppression WHERE address = lower($1) RETURNING address",
        address
    )
    .fetch_optional(&mut *transaction)
    .await?
    .ok_or(SuppressionError::NotFound)?;
    let entry = Entry::new(Action::SuppressionDeleted, state.clock.now(), author).on(deleted);
    audit::record(&mut transaction, entry).await?;
    transaction.commit().await?;
    Ok(())
}

/// Whether mail to this address would not be sent.
pub(crate) async fn is_suppressed(connection: &mut PgConnection, address: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM email.suppression WHERE address = lower($1)) AS "there!""#,
        address
    )
    .fetch_one(connection)
    .await
}

/// How callers are told who write to such an address.
pub(crate) fn refusal() -> Status {
    Reason::AddressSuppressed.status("No mail goes to this address; it is among the suppressions")
}
