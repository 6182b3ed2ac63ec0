//! Where a limit that an operator sets stands among the charging profiles of a charge point.

use service_kit::database;
use sqlx::PgPool;

use crate::charge_point::find::{FindError, find};

/// On the highest level that the charge point has said to know, where profiles outweigh those below (3.13.2); on the lowest
/// where it has not said so, since it refuses what is too high.
pub async fn stack_level(database: &PgPool, identity: &str) -> Result<i32, FindError> {
    let mut connection = database::begin(database).await?;
    let charge_point = find(&mut connection, identity).await?;
    let highest = sqlx::query_scalar!(
        r#"SELECT reported_value FROM ocpp.configuration_key
           WHERE charge_point_id = $1 AND lower(key) = 'chargeprofilemaxstacklevel'"#,
        charge_point,
    )
    .fetch_optional(&mut *connection)
    .await?;
    let highest = highest.flatten().and_then(|text| text.trim().parse().ok());
    Ok(highest.filter(|level: &i32| *level >= 0).unwrap_or(0))
}
