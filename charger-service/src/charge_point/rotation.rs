//! A charge point gets another password (A01, rule 11 of the OCPP decisions): by a command that an operator sends as it is,
//! or by the verb that makes one up. Either way it is a ChangeConfiguration of `AuthorizationKey`, and our own copy follows
//! from its answer.
//!
//! While nobody knows whether the charge point has taken it, both let it in.

use ocpp::v1_6::Action;
use rand::RngExt;
use serde_json::json;
use serde_json::value::RawValue;
use service_kit::reason::FieldViolation;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::RotatePasswordRequest;

use super::password::PasswordKey;
use crate::command::asking::Asking;
use crate::command::send::SendCommand;
use crate::configuration_change::ConfigurationChange;
use crate::redact;

/// As many as the whitepaper gives to a password (A00.FR.205); they travel as twice as many hexadecimal digits.
const MADE_BYTES: usize = 20;

/// Passwords of one charge point that may be undecided at a time; beyond them the oldest go.
const MOST_OFFERED: i64 = 5;

/// A command that gives the charge point another password: the one asked for, or one that nobody has seen.
pub fn parse(request: RotatePasswordRequest, asking: Asking) -> Result<SendCommand, Vec<FieldViolation>> {
    if let Some(password) = &request.password
        && (!(1..=40).contains(&password.chars().count()) || password.chars().any(char::is_control))
    {
        let problem = "must have 1 to 40 printable characters";
        return Err(vec![FieldViolation::new("password", problem)]);
    }
    let password = request.password.unwrap_or_else(generate);
    let payload = json!({ "key": redact::SECRET_KEY, "value": password });
    let call = (Action::ChangeConfiguration, payload.to_string());
    SendCommand::worded(request.identity, call, asking)
}

fn generate() -> String {
    let bytes: [u8; MADE_BYTES] = rand::rng().random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A command is about to leave. The password that it may carry is in the clear for the last time.
pub async fn leaves(
    connection: &mut PgConnection,
    key: &PasswordKey,
    charge_point: Uuid,
    command: Uuid,
    action: &str,
    payload: &RawValue,
) -> Result<(), sqlx::Error> {
    let change = ConfigurationChange::read(action, payload);
    let Some(ConfigurationChange::Password(password)) = change else {
        return Ok(());
    };
    let hash = key.hash(charge_point, password.as_bytes());
    sqlx::query!(
        "INSERT INTO ocpp.offered_password (command_id, charge_point_id, hash) VALUES ($1, $2, $3)",
        command,
        charge_point,
        hash.as_slice(),
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "DELETE FROM ocpp.offered_password WHERE charge_point_id = $1 AND command_id <= (
             SELECT command_id FROM ocpp.offered_password WHERE charge_point_id = $1
             ORDER BY command_id DESC OFFSET $2 LIMIT 1)",
        charge_point,
        MOST_OFFERED,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The charge point has answered a change of its password.
pub async fn answered(
    connection: &mut PgConnection,
    charge_point: Uuid,
    command: Uuid,
    status: &str,
) -> Result<(), sqlx::Error> {
    match status {
        // The one before counts no more (A01.FR.03).
        "Accepted" => take(connection, charge_point, command).await,
        "Rejected" | "NotSupported" => refused(connection, command).await,
        // Until it boots it has the old one; and nobody knows what a word means that is none of OCPP's.
        _ => Ok(()),
    }
}

/// Makes an offered password the present one. Of the others, one is good still whose answer is due, and one that was sent later
/// and waits for the next boot.
async fn take(connection: &mut PgConnection, charge_point: Uuid, command: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH taken AS (SELECT hash FROM ocpp.offered_password WHERE charge_point_id = $1 AND command_id = $2),
         gone AS (
             DELETE FROM ocpp.offered_password AS offered
             WHERE charge_point_id = $1 AND EXISTS (SELECT FROM taken) AND (command_id = $2 OR NOT EXISTS (
                 SELECT FROM ocpp.command WHERE id = offered.command_id
                     AND (status = 'sent' OR (status = 'accepted' AND id > $2)))))
         UPDATE ocpp.charge_point SET password_hash = taken.hash FROM taken WHERE charge_point.id = $1",
        charge_point,
        command,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The charge point keeps what it has (A01.FR.04).
pub async fn refused(connection: &mut PgConnection, command: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM ocpp.offered_password WHERE command_id = $1", command)
        .execute(connection)
        .await?;
    Ok(())
}

/// A password that let the charge point in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Used {
    Present,
    /// The one that this command brought.
    Offered(Uuid),
}

/// The charge point has shown which password it has: an offered one that it uses is its only one from now on, and one that
/// it was sent and does not use is none.
pub async fn settle(database: &PgPool, charge_point: Uuid, used: Used) -> Result<(), sqlx::Error> {
    let mut transaction = database.begin().await?;
    match used {
        Used::Offered(command) => take(&mut transaction, charge_point, command).await?,
        Used::Present => {
            // Not those whose answer may still come, or that wait for the next boot.
            sqlx::query!(
                "DELETE FROM ocpp.offered_password AS offered WHERE charge_point_id = $1 AND NOT EXISTS (
                     SELECT FROM ocpp.command WHERE id = offered.command_id AND status IN ('sent', 'accepted'))",
                charge_point,
            )
            .execute(&mut *transaction)
            .await?;
        }
    }
    transaction.commit().await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn request(password: Option<&str>) -> RotatePasswordRequest {
        RotatePasswordRequest {
            identity: "CP1".to_owned(),
            password: password.map(str::to_owned),
            ..RotatePasswordRequest::default()
        }
    }

    #[test]
    fn a_made_password_is_forty_hexadecimal_digits_and_never_the_same() {
        let made = generate();
        assert_eq!(made.len(), 40);
        assert!(made.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(made, generate());
    }

    #[test]
    fn a_chosen_password_may_be_short_and_not_longer_than_a_charge_point_takes() {
        let asked = |password: &str| {
            let (asking, request) = Asking::of(tonic::Request::new(request(Some(password)))).unwrap();
            parse(request, asking)
        };
        assert!(asked("short").is_ok());
        for refused in [String::new(), "x".repeat(41), "a\nb".to_owned()] {
            let violations = asked(&refused).unwrap_err();
            assert_eq!(violations[0].field, "password");
        }
    }
}
