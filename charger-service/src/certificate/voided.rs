//! Certificates that open no door any more, because their device has been replaced. One that was issued here is known with its
//! charge point; of one that was issued elsewhere no more is known than that it was shown.

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// What a certificate, given in DER, is known by.
pub fn digest(der: &[u8]) -> [u8; 32] {
    Sha256::digest(der).into()
}

/// A charge point has come in with another certificate than the last time.
pub async fn shown(
    database: &PgPool,
    charge_point: Uuid,
    installation: i32,
    digest: &[u8; 32],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.charge_point SET shown_certificate = $3 WHERE id = $1 AND installation = $2",
        charge_point,
        installation,
        digest.as_slice(),
    )
    .execute(database)
    .await?;
    Ok(())
}

/// Whether a charge point may not come in with a certificate any more.
pub async fn is_void(database: &PgPool, charge_point: Uuid, der: &[u8]) -> Result<bool, sqlx::Error> {
    let digest = digest(der);
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ocpp.void_certificate WHERE charge_point_id = $1 AND sha256 = $2) AS "void!""#,
        charge_point,
        digest.as_slice(),
    )
    .fetch_one(database)
    .await
}

/// The device of a charge point is another one from now on: neither the certificates that were issued to it are good any more,
/// nor the one that it came in with last.
pub async fn void(connection: &mut PgConnection, charge_point: Uuid, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH issued AS (
             UPDATE ocpp.issued_certificate SET void_since = $2 WHERE charge_point_id = $1 AND void_since IS NULL)
         INSERT INTO ocpp.void_certificate (charge_point_id, sha256, void_since)
         SELECT id, shown_certificate, $2 FROM ocpp.charge_point WHERE id = $1 AND shown_certificate IS NOT NULL
         ON CONFLICT DO NOTHING",
        charge_point,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}
