//! A certificate that was sent to a charge point by hand: it is kept like those that were issued here.

use chrono::{DateTime, Utc};
use ocpp::v1_6::CertificateSigned;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::details::Details;
use super::issue::keep;

/// The charge point has taken a certificate. Where it had asked for one that nobody has signed yet, it is this.
pub async fn taken(
    connection: &mut PgConnection,
    charge_point: Uuid,
    command: Uuid,
    request: &RawValue,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let known = sqlx::query_scalar!("SELECT id FROM ocpp.issued_certificate WHERE command_id = $1", command)
        .fetch_optional(&mut *connection)
        .await?;
    let request = CertificateSigned::read(request).ok();
    let (
        None,
        Some(CertificateSigned {
            certificate_chain: chain,
        }),
    ) = (known, request)
    else {
        return Ok(());
    };
    let details = Details::of_first(&chain);
    let answered = sqlx::query!(
        "UPDATE ocpp.issued_certificate
         SET chain = $2, command_id = $3, serial_number = $4, common_name = $5, not_before = $6, not_after = $7
         WHERE id = (SELECT id FROM ocpp.issued_certificate WHERE charge_point_id = $1 AND chain IS NULL
                     ORDER BY id DESC LIMIT 1)",
        charge_point,
        chain,
        command,
        details.as_ref().map(|details| details.serial_number.as_str()),
        details.as_ref().and_then(|details| details.common_name.as_deref()),
        details.as_ref().map(|details| details.not_before),
        details.as_ref().map(|details| details.not_after),
    )
    .execute(&mut *connection)
    .await?;
    if answered.rows_affected() == 0 {
        keep(connection, charge_point, None, Some(&chain), Some(command), now).await?;
    }
    Ok(())
}
