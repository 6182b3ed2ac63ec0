//! Authorize (4.2): may this tag charge?

use ocpp::v1_6::{Authorize, AuthorizeResponse};
use sqlx::PgConnection;

use super::Failure;
use super::id_tag_info::id_tag_info;
use crate::authorization::{self, Presented, Purpose};
use crate::session::answer::{Answer, Incoming};

pub(super) async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let request = Authorize::read(call.payload)?;
    let presented = Presented {
        id_token: &request.id_tag,
        charge_point: call.charge_point,
        connector_id: None,
        purpose: Purpose::Authorize,
        at: call.received_at,
        heard: call.advice.of_token(),
    };
    let authorization = authorization::decide(connection, &presented).await?;
    Answer::result(&AuthorizeResponse {
        id_tag_info: id_tag_info(authorization),
    })
}
