//! Authorize (4.2): may this tag charge?

use ocpp::v1_6::{Authorize, AuthorizeResponse};
use sqlx::PgConnection;

use super::Failure;
use super::id_tag_info::id_tag_info;
use crate::authorization;
use crate::session::answer::{Answer, Incoming};

pub(super) async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let request = Authorize::read(call.payload)?;
    let authorization = authorization::decide(connection, &request.id_tag, call.received_at).await?;
    Answer::result(&AuthorizeResponse {
        id_tag_info: id_tag_info(authorization),
    })
}
