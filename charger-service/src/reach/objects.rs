//! Whether what a call is about stands within groups of sites.

use service_kit::database;
use service_kit::reason::Reason;
use sqlx::PgPool;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::api::v1::object::Kind;

use crate::charge_point::find::FindError;
use crate::transaction::list::GetError as NoTransaction;

/// # Errors
/// It does not, or there is none of this name: which of the two is not told.
pub(super) async fn check(database: &PgPool, kind: Kind, name: &str, groups: &[String]) -> Result<(), Status> {
    let is_within = is_within(database, kind, name, groups)
        .await
        .map_err(|error| database::failed(&error))?;
    if is_within { Ok(()) } else { Err(unknown(kind)) }
}

async fn is_within(database: &PgPool, kind: Kind, name: &str, groups: &[String]) -> Result<bool, sqlx::Error> {
    let mut connection = database::begin(database).await?;
    // What is no id names nothing.
    let (id, number) = (Uuid::try_parse(name).ok(), name.parse::<i32>().ok());
    let charge_point = match kind {
        Kind::Unspecified => return Ok(false),
        Kind::Site => {
            return sqlx::query_scalar!(
                r#"SELECT EXISTS (SELECT FROM ocpp.site WHERE id = $1 AND groups && $2) AS "is_within!""#,
                id,
                groups,
            )
            .fetch_one(&mut *connection)
            .await;
        }
        Kind::ChargePoint => {
            sqlx::query_scalar!("SELECT id FROM ocpp.charge_point WHERE identity = $1", name)
                .fetch_optional(&mut *connection)
                .await?
        }
        Kind::Transaction => {
            sqlx::query_scalar!("SELECT charge_point_id FROM ocpp.transaction WHERE id = $1", number)
                .fetch_optional(&mut *connection)
                .await?
        }
        Kind::Command => {
            sqlx::query_scalar!("SELECT charge_point_id FROM ocpp.command WHERE id = $1", id)
                .fetch_optional(&mut *connection)
                .await?
        }
        Kind::Stray => {
            sqlx::query_scalar!("SELECT charge_point_id FROM ocpp.unmatched WHERE id = $1", id)
                .fetch_optional(&mut *connection)
                .await?
        }
        Kind::ChargeRecord => {
            sqlx::query_scalar!("SELECT charge_point_id FROM ocpp.charge_record WHERE id = $1", id)
                .fetch_optional(&mut *connection)
                .await?
        }
    };
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM ocpp.charge_point JOIN ocpp.site ON site.id = site_id
             WHERE charge_point.id = $1 AND groups && $2) AS "is_within!""#,
        charge_point,
        groups,
    )
    .fetch_one(&mut *connection)
    .await
}

/// In the words of who finds none.
fn unknown(kind: Kind) -> Status {
    match kind {
        Kind::ChargePoint | Kind::Unspecified => FindError::Unknown.into(),
        Kind::Transaction => NoTransaction::NotFound.into(),
        Kind::Command => Reason::NotFound.status("There is no command of this id"),
        Kind::Site => Reason::NotFound.status("There is no site of this id"),
        Kind::Stray => Reason::NotFound.status("There is no stray of this id"),
        Kind::ChargeRecord => Reason::NotFound.status("There is no charge record of this id"),
    }
}
