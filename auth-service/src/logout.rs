//! Log out: the account ends sessions of its own.

use service_kit::access::Client;
use service_kit::reason::FieldViolation;
use voltgate_proto::auth::v1::LogOutRequest;

use crate::State;
use crate::caller::LoggedInAs;
use crate::session::end::{self, EndError, Which};

/// Which sessions to end, as the request says.
///
/// # Errors
/// It says something else.
pub fn which(request: &LogOutRequest, caller: &LoggedInAs) -> Result<Which, Vec<FieldViolation>> {
    match request.sessions.as_str() {
        "" | "this" => Ok(Which::One(caller.session)),
        "others" => Ok(Which::Others(caller.session)),
        "all" => Ok(Which::All),
        _ => Err(vec![FieldViolation::new(
            "sessions",
            "must be `this`, `others` or `all`",
        )]),
    }
}

pub async fn log_out(state: &State, caller: &LoggedInAs, client: &Client, which: Which) -> Result<(), EndError> {
    let ended = end::by_account(state, caller, client, which).await?;
    tracing::info!(account = %caller.account, ended, "An account logged out");
    Ok(())
}
