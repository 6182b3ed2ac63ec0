//! What an account can prove itself by beside its password.

use service_kit::database;
use service_kit::event::timestamp;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::auth::v1::SecondFactors;

use crate::State;

#[derive(Debug, Error)]
#[error("the second factors could not be looked up")]
pub struct StatusError(#[from] sqlx::Error);

pub async fn status(state: &State, account: Uuid) -> Result<SecondFactors, StatusError> {
    let mut connection = database::begin(&state.database).await?;
    let found = sqlx::query!(
        r#"SELECT (SELECT confirmed_at FROM authentication.totp WHERE account_id = $1) AS totp_since,
                  (SELECT count(*)::integer FROM authentication.recovery_code WHERE account_id = $1)
                      AS "recovery_codes_left!",
                  (SELECT count(*)::integer FROM authentication.passkey WHERE account_id = $1) AS "passkeys!""#,
        account
    )
    .fetch_one(&mut *connection)
    .await?;
    Ok(SecondFactors {
        totp: found.totp_since.is_some(),
        totp_since: found.totp_since.map(timestamp),
        recovery_codes_left: found.recovery_codes_left,
        passkeys: found.passkeys,
    })
}

impl From<StatusError> for Status {
    fn from(StatusError(error): StatusError) -> Self {
        database::failed(&error)
    }
}
