//! Where a limit that an operator sets stands among the charging profiles of a charge point.

use std::collections::HashSet;

use service_kit::database;
use sqlx::PgPool;

use crate::charge_point::find::{FindError, find};
use crate::v1_6::verb::{profile_id, purpose_of_limit};

/// Profiles that are looked at; a charge point has few.
const MOST: i64 = 1000;

/// A level on which nothing is known to stand that was sent otherwise: a profile of the same purpose there would be replaced (5.16.3).
/// 0 is the charge point as a whole, any other connector that one.
pub async fn stack_level(database: &PgPool, identity: &str, connector_id: i32) -> Result<i32, FindError> {
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
    let taken = sqlx::query_scalar!(
        "SELECT stack_level FROM ocpp.charging_profile
         WHERE charge_point_id = $1 AND connector_id = $2 AND purpose = $3 AND charging_profile_id <> $4
         LIMIT $5",
        charge_point,
        connector_id,
        purpose_of_limit(connector_id),
        profile_id(connector_id),
        MOST,
    )
    .fetch_all(&mut *connection)
    .await?;
    Ok(free(highest, &taken.into_iter().collect()))
}

/// The highest that the charge point has said to know, where profiles outweigh those below (3.13.2). The lowest where it has not
/// said so, since it refuses what is too high. Where none is free, somebody has to go.
fn free(highest: Option<i32>, taken: &HashSet<i32>) -> i32 {
    let is_free = |level: &i32| !taken.contains(level);
    match highest.filter(|level| *level >= 0) {
        Some(highest) => (0..=highest).rev().find(is_free).unwrap_or(highest),
        None => (0..=i32::MAX).find(is_free).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_stands_as_high_as_it_can_without_taking_a_place() {
        for (highest, taken, level) in [
            (Some(8), vec![], 8),
            (Some(8), vec![8, 7, 3], 6),
            (Some(8), vec![9, 0], 8),
            (Some(1), vec![0, 1], 1),
            (Some(0), vec![0], 0),
            (Some(-1), vec![], 0),
            (Some(i32::MAX), vec![i32::MAX], i32::MAX - 1),
            (None, vec![], 0),
            (None, vec![0, 2], 1),
        ] {
            let taken = taken.into_iter().collect();
            assert_eq!(free(highest, &taken), level, "{highest:?} {taken:?}");
        }
    }
}
