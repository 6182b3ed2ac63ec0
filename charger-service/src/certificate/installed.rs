//! The roots that charge points trust, as far as their answers to InstallCertificate, DeleteCertificate and
//! GetInstalledCertificateIds tell (M03 to M05).

use chrono::{DateTime, Utc};
use ocpp::v1_6::{
    CertificateHash, DeleteCertificate, GetInstalledCertificateIds, InstallCertificate, InstalledCertificates,
};
use serde_json::value::RawValue;
use sqlx::PgConnection;
use uuid::Uuid;

use super::details::{Details, normal_serial_number};

/// Roots of one charge point and type that are kept of one answer.
const MOST: usize = 100;

/// As it is compared; None for what no certificate is named by.
fn normal(told: CertificateHash) -> Option<CertificateHash> {
    let normal = CertificateHash {
        issuer_name_hash: told.issuer_name_hash.trim().to_ascii_lowercase(),
        issuer_key_hash: told.issuer_key_hash.trim().to_ascii_lowercase(),
        serial_number: normal_serial_number(&told.serial_number),
        hash_algorithm: told.hash_algorithm,
    };
    let texts = [&normal.issuer_name_hash, &normal.issuer_key_hash, &normal.serial_number];
    let known = matches!(normal.hash_algorithm.as_str(), "SHA256" | "SHA384" | "SHA512");
    let is_hexadecimal = |text: &&String| text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    (known && texts.iter().all(is_hexadecimal)).then_some(normal)
}

/// The charge point has installed a root that it was sent.
pub async fn installed(
    connection: &mut PgConnection,
    charge_point: Uuid,
    request: &RawValue,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let Ok(request) = InstallCertificate::read(request) else {
        return Ok(());
    };
    // What is no root, or cannot be read, shows up when the charge point is asked for its list.
    let Some(details) = Details::of_first(&request.certificate) else {
        return Ok(());
    };
    let Some(hashes) = &details.root_hashes else {
        return Ok(());
    };
    sqlx::query!(
        "INSERT INTO ocpp.installed_certificate (charge_point_id, certificate_type, hash_algorithm, issuer_name_hash,
             issuer_key_hash, serial_number, common_name, not_after, learnt_at)
         VALUES ($1, $2, 'SHA256', $3, $4, $5, $6, $7, $8)
         ON CONFLICT (charge_point_id, certificate_type, hash_algorithm, issuer_name_hash, issuer_key_hash, serial_number)
         DO UPDATE SET common_name = excluded.common_name, not_after = excluded.not_after, learnt_at = excluded.learnt_at",
        charge_point,
        request.certificate_type,
        hashes.issuer_name,
        hashes.issuer_key,
        details.serial_number,
        details.common_name,
        details.not_after,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The charge point has deleted a root, or never had it.
pub async fn deleted(connection: &mut PgConnection, charge_point: Uuid, request: &RawValue) -> Result<(), sqlx::Error> {
    let request = DeleteCertificate::read(request).ok();
    let Some(deleted) = request.and_then(|request| normal(request.certificate)) else {
        return Ok(());
    };
    sqlx::query!(
        "DELETE FROM ocpp.installed_certificate
         WHERE charge_point_id = $1 AND hash_algorithm = $2 AND issuer_name_hash = $3 AND issuer_key_hash = $4
           AND serial_number = $5",
        charge_point,
        deleted.hash_algorithm,
        deleted.issuer_name_hash,
        deleted.issuer_key_hash,
        deleted.serial_number,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The charge point has told which roots of a type it has: those, and no others.
pub async fn listed(
    connection: &mut PgConnection,
    charge_point: Uuid,
    request: &RawValue,
    response: &RawValue,
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let Ok(request) = GetInstalledCertificateIds::read(request) else {
        return Ok(());
    };
    let told = InstalledCertificates::read(response).certificates;
    let roots: Vec<CertificateHash> = told.into_iter().filter_map(normal).take(MOST).collect();
    let column =
        |of: fn(&CertificateHash) -> &String| -> Vec<String> { roots.iter().map(|root| of(root).clone()).collect() };
    sqlx::query!(
        "WITH told AS (
             SELECT DISTINCT * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[])
                 AS told (hash_algorithm, issuer_name_hash, issuer_key_hash, serial_number)),
         gone AS (
             DELETE FROM ocpp.installed_certificate AS known
             WHERE charge_point_id = $1 AND certificate_type = $2 AND NOT EXISTS (
                 SELECT FROM told WHERE told.hash_algorithm = known.hash_algorithm
                     AND told.issuer_name_hash = known.issuer_name_hash AND told.issuer_key_hash = known.issuer_key_hash
                     AND told.serial_number = known.serial_number))
         INSERT INTO ocpp.installed_certificate (charge_point_id, certificate_type, hash_algorithm, issuer_name_hash,
             issuer_key_hash, serial_number, learnt_at)
         SELECT $1, $2, hash_algorithm, issuer_name_hash, issuer_key_hash, serial_number, $7 FROM told
         ON CONFLICT (charge_point_id, certificate_type, hash_algorithm, issuer_name_hash, issuer_key_hash, serial_number)
         DO UPDATE SET learnt_at = excluded.learnt_at",
        charge_point,
        request.certificate_type,
        &column(|root| &root.hash_algorithm),
        &column(|root| &root.issuer_name_hash),
        &column(|root| &root.issuer_key_hash),
        &column(|root| &root.serial_number),
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
