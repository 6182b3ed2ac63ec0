//! Asks others about a CALL before it is answered, outside of any transaction. What is asked does not depend on the version of
//! OCPP.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::advice::Advice;
use crate::State;
use crate::authority::Request;
use crate::authorization::{self, Presented, Purpose};
use crate::boot::{self, Registration};
use crate::data_transfer_vendor::forward::{Transfer, forward};

/// What there is to ask.
pub enum Question {
    Token {
        id_token: String,
        connector_id: Option<i32>,
        purpose: Purpose,
    },
    Vendor {
        vendor_id: String,
        message_id: Option<String>,
        data: Option<String>,
    },
}

/// The charge point whose CALL it is.
pub struct Asker {
    pub charge_point: Uuid,
    pub identity: String,
    /// Its epoch and the number of its frame, which stay the same when it comes in again; None outside of a session.
    pub frame: Option<(i64, u64)>,
    pub at: DateTime<Utc>,
}

/// Asks, where somebody has to be. Of a charge point that is not accepted nobody else hears.
pub async fn consult(state: &State, asker: &Asker, question: &Question) -> Result<Advice, sqlx::Error> {
    let registration = boot::last_answer(&mut *state.database.acquire().await?, asker.charge_point).await?;
    if !matches!(registration, None | Some(Registration::Accepted)) {
        return Ok(Advice::None);
    }
    match question {
        Question::Token {
            id_token,
            connector_id,
            purpose,
        } => about_token(state, asker, id_token, *connector_id, *purpose).await,
        Question::Vendor {
            vendor_id,
            message_id,
            data,
        } => {
            let transfer = Transfer {
                vendor_id,
                message_id: message_id.as_deref(),
                data: data.as_deref(),
            };
            let forwarded = forward(state, asker, &transfer).await?;
            Ok(forwarded.map_or(Advice::None, Advice::Vendor))
        }
    }
}

async fn about_token(
    state: &State,
    asker: &Asker,
    id_token: &str,
    connector_id: Option<i32>,
    purpose: Purpose,
) -> Result<Advice, sqlx::Error> {
    let Some(authority) = &state.authority else {
        return Ok(Advice::None);
    };
    let presented = Presented {
        id_token,
        charge_point: asker.charge_point,
        connector_id,
        purpose,
        at: asker.at,
        heard: None,
    };
    let has_a_say = {
        let mut connection = state.database.acquire().await?;
        authorization::has_a_say(&mut connection, &presented, authority.is_always_asked()).await?
    };
    if !has_a_say {
        return Ok(Advice::None);
    }
    let request = Request {
        id_token,
        identity: &asker.identity,
        connector_id,
        purpose,
    };
    Ok(authority.ask(&request).await.map_or(Advice::None, Advice::Token))
}
