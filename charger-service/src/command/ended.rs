//! What follows for others when a command has its outcome, whichever it is: the charge point's answer, none, or that it
//! was never sent. Part of the transaction of the outcome, and after whatever the charge point's answer has changed.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::charging_profile_template::place;
use crate::configuration::desire;
use crate::local_list::synchronize;

/// A command that has its outcome.
#[derive(Debug)]
pub struct Finished {
    pub id: Uuid,
    pub action: String,
}

pub async fn ended(
    connection: &mut PgConnection,
    commands: &[Finished],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let of_action = |action: &str| -> Vec<Uuid> {
        commands
            .iter()
            .filter(|command| command.action == action)
            .map(|command| command.id)
            .collect()
    };
    let profiles = of_action("SetChargingProfile");
    if !profiles.is_empty() {
        place::ended(connection, &profiles).await?;
    }
    let lists = of_action("SendLocalList");
    if !lists.is_empty() {
        synchronize::ended(connection, &lists, now).await?;
    }
    let configurations = of_action("ChangeConfiguration");
    if !configurations.is_empty() {
        desire::ended(connection, &configurations).await?;
    }
    Ok(())
}
