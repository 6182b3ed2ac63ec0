//! A charge point moves up to a higher security profile (A05). It agrees to that when it answers a ChangeConfiguration of
//! `SecurityProfile`, and has done so when it comes in with it. Nothing that is said by OCPP moves it down (A00.FR.005).

use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

/// The charge point has agreed to another profile. What is not higher than the present one counts for nothing.
pub async fn agreed(connection: &mut PgConnection, charge_point: Uuid, profile: i16) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.charge_point SET next_security_profile = $2 WHERE id = $1 AND security_profile < $2",
        charge_point,
        profile,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The charge point has come in with the profile that it agreed to, and never again with less (A05.FR.09).
pub async fn reached(database: &PgPool, charge_point: Uuid, profile: i16) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.charge_point
         SET security_profile = next_security_profile, next_security_profile = NULL, revision = nextval('ocpp.revision')
         WHERE id = $1 AND next_security_profile = $2",
        charge_point,
        profile,
    )
    .execute(database)
    .await?;
    tracing::info!(%charge_point, profile, "A charge point has moved up to a higher security profile");
    Ok(())
}
