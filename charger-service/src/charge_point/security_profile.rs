//! A charge point moves up to a higher security profile (A05). It is offered one by a ChangeConfiguration of `SecurityProfile`,
//! agrees to it by its answer, and has done so when it comes in with it. While nobody knows whether it has agreed, it may come
//! with either. Nothing that is said by OCPP moves it down (A00.FR.005).

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// The charge point is about to be sent another profile. What is not higher than the present one counts for nothing.
pub async fn offered(connection: &mut PgConnection, charge_point: Uuid, profile: i16) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.charge_point SET offered_security_profile = $2 WHERE id = $1 AND security_profile < $2",
        charge_point,
        profile,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The charge point has answered to another profile. A word that is none of OCPP's leaves everything as it is.
pub async fn answered(
    connection: &mut PgConnection,
    charge_point: Uuid,
    profile: i16,
    status: &str,
) -> Result<(), sqlx::Error> {
    match status {
        // Now, or after a reboot.
        "Accepted" | "RebootRequired" => agreed(connection, charge_point, profile).await,
        "Rejected" | "NotSupported" => refused(connection, charge_point, profile).await,
        _ => Ok(()),
    }
}

/// What it agreed to before still counts.
pub async fn refused(connection: &mut PgConnection, charge_point: Uuid, profile: i16) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.charge_point SET offered_security_profile = NULL WHERE id = $1 AND offered_security_profile = $2",
        charge_point,
        profile,
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn agreed(connection: &mut PgConnection, charge_point: Uuid, profile: i16) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.charge_point SET next_security_profile = $2, offered_security_profile = NULL
         WHERE id = $1 AND security_profile < $2",
        charge_point,
        profile,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The charge point has come in with a profile that it was to move up to, and never again comes with less (A05.FR.09).
pub async fn reached(database: &PgPool, charge_point: Uuid, profile: i16) -> Result<(), sqlx::Error> {
    let reached = sqlx::query!(
        "UPDATE ocpp.charge_point
         SET security_profile = $2, revision = nextval('ocpp.revision'),
             next_security_profile = CASE WHEN next_security_profile > $2 THEN next_security_profile END,
             offered_security_profile = CASE WHEN offered_security_profile > $2 THEN offered_security_profile END
         WHERE id = $1 AND security_profile < $2 AND $2 IN (next_security_profile, offered_security_profile)",
        charge_point,
        profile,
    )
    .execute(database)
    .await?;
    // An operator may have decided otherwise meanwhile.
    if reached.rows_affected() > 0 {
        tracing::info!(%charge_point, profile, "A charge point has moved up to a higher security profile");
    }
    Ok(())
}
