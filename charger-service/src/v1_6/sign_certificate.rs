//! SignCertificate (A02, A03): the charge point asks for a certificate. It comes in a CertificateSigned of its own.

use ocpp::v1_6::SignCertificate;
use serde_json::json;
use sqlx::PgConnection;

use super::Failure;
use crate::certificate::issue;
use crate::session::answer::{Answer, Incoming};

pub(super) async fn answer(connection: &mut PgConnection, call: &Incoming<'_>) -> Result<Answer, Failure> {
    let request = SignCertificate::read(call.payload)?;
    let accepted = issue::asked(
        connection,
        call.issuance,
        call.charge_point,
        &request.csr,
        call.received_at,
    )
    .await?;
    Answer::result(&json!({ "status": if accepted { "Accepted" } else { "Rejected" } }))
}
