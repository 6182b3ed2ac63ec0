//! What has become of a template at a connector, changed in the transaction of whatever changes it: it is applied, the
//! charge point confirms it or the command ends otherwise, and the charge point drops the profile or takes another in
//! its place.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// The ids of templates' profiles begin here and end below those of limits (`v1_6/verb.rs`). What is lower is left to
/// whoever sends profiles as they are.
const FIRST: i32 = 1_800_000_000;

/// As many numbers as there are for templates.
pub const NUMBERS: i32 = 100_000;

/// As many connectors as a template can tell apart at a charge point, 0 among them.
pub const CONNECTORS: i32 = 1000;

/// The id of a template's profile at a connector: the same each time, and no other template's there.
pub fn profile_id(number: i32, connector_id: i32) -> i32 {
    FIRST + number * CONNECTORS + connector_id
}

/// How a charge point lost a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    Cleared,
    /// Another has its id, or its purpose and stack level.
    Replaced,
}

impl Loss {
    fn as_str(self) -> &'static str {
        match self {
            Self::Cleared => "cleared",
            Self::Replaced => "replaced",
        }
    }
}

/// A template as it was sent to a connector.
#[derive(Debug)]
pub struct Sent {
    pub charge_point: Uuid,
    pub connector_id: i32,
    pub charging_profile_id: i32,
    pub command: Uuid,
}

/// Commands with a template are on their way.
pub async fn applied(
    connection: &mut PgConnection,
    template: Uuid,
    version: i32,
    sent: &[Sent],
    at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let charge_points: Vec<Uuid> = sent.iter().map(|sent| sent.charge_point).collect();
    let connectors: Vec<i32> = sent.iter().map(|sent| sent.connector_id).collect();
    let profiles: Vec<i32> = sent.iter().map(|sent| sent.charging_profile_id).collect();
    let commands: Vec<Uuid> = sent.iter().map(|sent| sent.command).collect();
    // In one order, so that nobody waits for somebody who waits for them.
    sqlx::query!(
        "INSERT INTO ocpp.charging_profile_template_place (template_id, charge_point_id, connector_id, charging_profile_id,
             version, command_id, applied_at, state)
         SELECT $1, charge_point_id, connector_id, charging_profile_id, $2, command_id, $3, 'pending'
         FROM unnest($4::uuid[], $5::integer[], $6::integer[], $7::uuid[])
             AS sent (charge_point_id, connector_id, charging_profile_id, command_id)
         ORDER BY charge_point_id, connector_id
         ON CONFLICT (template_id, charge_point_id, connector_id) DO UPDATE
         SET version = excluded.version, command_id = excluded.command_id, applied_at = excluded.applied_at,
             state = excluded.state",
        template,
        version,
        at,
        &charge_points,
        &connectors,
        &profiles,
        &commands,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A charge point has taken the profile of a command. That of one which has a successor on its way counts until that is
/// decided.
pub async fn confirmed(connection: &mut PgConnection, command: Uuid, at: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE ocpp.charging_profile_template_place AS place
         SET confirmed_version = application.version, confirmed_at = $2,
             state = CASE WHEN place.state = 'pending' AND place.command_id <> $1 THEN 'pending' ELSE 'held' END
         FROM ocpp.charging_profile_application_command AS sent
         JOIN ocpp.charging_profile_application AS application ON application.id = sent.application_id
         JOIN ocpp.command ON command.id = sent.command_id
         WHERE sent.command_id = $1 AND place.template_id = application.template_id
           AND place.charge_point_id = command.charge_point_id AND place.connector_id = sent.connector_id",
        command,
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Commands have their outcomes. Where a charge point has not confirmed the profile by then, it has what it had before.
pub async fn ended(connection: &mut PgConnection, commands: &[Uuid]) -> Result<(), sqlx::Error> {
    // In one order, so that nobody waits for somebody who waits for them.
    sqlx::query!(
        "SELECT FROM ocpp.charging_profile_template_place WHERE command_id = ANY($1) AND state = 'pending'
         ORDER BY template_id, charge_point_id, connector_id FOR UPDATE",
        commands,
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "UPDATE ocpp.charging_profile_template_place
         SET state = CASE WHEN confirmed_version IS NULL THEN 'unconfirmed' ELSE 'held' END
         WHERE command_id = ANY($1) AND state = 'pending'",
        commands,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A charge point has these profiles no more, or not as a template has them.
pub async fn lost(
    connection: &mut PgConnection,
    charge_point: Uuid,
    profiles: &[i32],
    loss: Loss,
) -> Result<(), sqlx::Error> {
    let is_ours = |id: &i32| (FIRST..FIRST + NUMBERS * CONNECTORS).contains(id);
    if !profiles.iter().any(is_ours) {
        return Ok(());
    }
    sqlx::query!(
        "UPDATE ocpp.charging_profile_template_place
         SET confirmed_version = NULL, state = CASE state WHEN 'pending' THEN state ELSE $3 END
         WHERE charge_point_id = $1 AND charging_profile_id = ANY($2) AND confirmed_version IS NOT NULL",
        charge_point,
        profiles,
        loss.as_str(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::v1_6::verb;

    #[test]
    fn ids_of_templates_end_below_those_of_limits() {
        assert_eq!(profile_id(0, 0), 1_800_000_000);
        assert_eq!(profile_id(NUMBERS - 1, CONNECTORS - 1), 1_899_999_999);
        assert!(profile_id(NUMBERS - 1, CONNECTORS - 1) < verb::profile_id(0));
    }

    proptest! {
        #[test]
        fn no_two_templates_or_connectors_have_one_id(
            number in 0..NUMBERS, connector in 0..CONNECTORS, other in 0..NUMBERS, elsewhere in 0..CONNECTORS,
        ) {
            let is_same = profile_id(number, connector) == profile_id(other, elsewhere);
            prop_assert_eq!(is_same, (number, connector) == (other, elsewhere));
        }
    }
}
