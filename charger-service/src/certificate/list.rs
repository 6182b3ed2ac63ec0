//! What certificates a charge point has, as far as it is known here. Both lists are short: older entries are not kept.

use service_kit::database;
use service_kit::event::timestamp;
use sqlx::PgPool;
use voltgate_proto::ocpp::v1::{InstalledCertificate, IssuedCertificate, ListCertificatesResponse};

use crate::charge_point::find::{FindError, find};

pub async fn list(database: &PgPool, identity: &str) -> Result<ListCertificatesResponse, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, identity).await?;
    let issued = sqlx::query!(
        r#"SELECT issued.id, request, chain, serial_number, common_name, not_before, not_after, command_id,
               issued.created_at, void_since, status AS "status?"
           FROM ocpp.issued_certificate AS issued LEFT JOIN ocpp.command ON command.id = command_id
           WHERE issued.charge_point_id = $1 ORDER BY issued.id DESC"#,
        charge_point,
    )
    .fetch_all(&mut *connection)
    .await?;
    let installed = sqlx::query!(
        "SELECT certificate_type, hash_algorithm, issuer_name_hash, issuer_key_hash, serial_number, common_name, not_after,
             learnt_at
         FROM ocpp.installed_certificate WHERE charge_point_id = $1
         ORDER BY certificate_type, hash_algorithm, issuer_name_hash, issuer_key_hash, serial_number",
        charge_point,
    )
    .fetch_all(&mut *connection)
    .await?;
    let issued = issued.into_iter().map(|row| IssuedCertificate {
        id: row.id.to_string(),
        status: row.status.unwrap_or_else(|| "requested".to_owned()),
        serial_number: row.serial_number,
        common_name: row.common_name,
        not_before: row.not_before.map(timestamp),
        not_after: row.not_after.map(timestamp),
        certificate_chain: row.chain,
        request: row.request,
        command_id: row.command_id.map(|id| id.to_string()),
        created_at: Some(timestamp(row.created_at)),
        void_since: row.void_since.map(timestamp),
    });
    let installed = installed.into_iter().map(|row| InstalledCertificate {
        certificate_type: row.certificate_type,
        hash_algorithm: row.hash_algorithm,
        issuer_name_hash: row.issuer_name_hash,
        issuer_key_hash: row.issuer_key_hash,
        serial_number: row.serial_number,
        common_name: row.common_name,
        not_after: row.not_after.map(timestamp),
        learnt_at: Some(timestamp(row.learnt_at)),
    });
    Ok(ListCertificatesResponse {
        issued: issued.collect(),
        installed: installed.collect(),
    })
}
