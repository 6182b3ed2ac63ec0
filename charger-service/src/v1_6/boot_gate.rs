//! What a charge point may say before it was accepted.
//!
//! The gate follows the last answer to a BootNotification. A charge point that never booted here is let through: it was
//! accepted by whoever ran it before us, and need not boot again; the message log shows that it did not. One that is
//! pending may say what it was asked to say (4.2, TriggerMessage).

use chrono::{DateTime, TimeDelta, Utc};
use ocpp::v1_6::Action;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::boot::{self, Registration};
use crate::session::answer::Incoming;

/// A message that comes in this long after it was asked for is taken for the one that was.
const TRIGGERED: TimeDelta = TimeDelta::minutes(1);

/// Whether a message comes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    Granted,
    /// Though the charge point never booted here.
    Unregistered,
    Denied,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// For one that never booted here.
    Unattended,
    /// Only for what a TriggerMessage of ours has caused.
    OnRequest,
    Closed,
}

/// As the transaction of the answer sees it: a boot may have come in on another connection.
pub(super) async fn passage(
    connection: &mut PgConnection,
    action: Action,
    call: &Incoming<'_>,
) -> Result<Passage, sqlx::Error> {
    let registration = boot::last_answer(connection, call.charge_point).await?;
    Ok(match gate(registration, action) {
        Gate::Open => Passage::Granted,
        Gate::Unattended => Passage::Unregistered,
        Gate::OnRequest if is_triggered(connection, call.charge_point, action, call.received_at).await? => {
            Passage::Granted
        }
        Gate::OnRequest | Gate::Closed => Passage::Denied,
    })
}

fn gate(registration: Option<Registration>, action: Action) -> Gate {
    // It may always try again, and energy that has flowed is a fact whoever asks.
    let is_always_open = matches!(
        action,
        Action::BootNotification | Action::MeterValues | Action::StopTransaction
    );
    match registration {
        None if action != Action::BootNotification => Gate::Unattended,
        None | Some(Registration::Accepted) => Gate::Open,
        Some(_) if is_always_open => Gate::Open,
        Some(Registration::Pending) => Gate::OnRequest,
        Some(Registration::Rejected) => Gate::Closed,
    }
}

/// Whether it was asked for of late. The message may come before the answer to the request, and one request can cause
/// several: a status for each connector.
async fn is_triggered(
    connection: &mut PgConnection,
    charge_point: Uuid,
    action: Action,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (
             SELECT FROM ocpp.command
             WHERE charge_point_id = $1 AND action IN ('TriggerMessage', 'ExtendedTriggerMessage') AND sent_at > $2
               AND status IN ('sent', 'accepted') AND payload->>'requestedMessage' = ANY($3)) AS "triggered!""#,
        charge_point,
        now - TRIGGERED,
        &requests_for(action) as &[&str],
    )
    .fetch_one(connection)
    .await
}

/// What a TriggerMessage, or an ExtendedTriggerMessage, calls an action.
fn requests_for(action: Action) -> Vec<&'static str> {
    match action {
        Action::SignCertificate => vec!["SignChargePointCertificate"],
        Action::SignedFirmwareStatusNotification => vec!["FirmwareStatusNotification"],
        other => vec![other.as_str()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rule 2.
    #[test]
    fn a_charge_point_that_is_accepted_or_never_booted_here_may_say_anything() {
        for &action in Action::ALL {
            assert_eq!(gate(Some(Registration::Accepted), action), Gate::Open);
            let unregistered = match action {
                Action::BootNotification => Gate::Open,
                _ => Gate::Unattended,
            };
            assert_eq!(gate(None, action), unregistered, "{action:?}");
        }
    }

    /// Rule 2.
    #[test]
    fn one_that_is_not_accepted_may_boot_and_tell_of_energy_and_when_pending_say_what_it_was_asked_for() {
        for (registration, otherwise) in [
            (Registration::Pending, Gate::OnRequest),
            (Registration::Rejected, Gate::Closed),
        ] {
            for &action in Action::ALL {
                let expected = match action {
                    Action::BootNotification | Action::MeterValues | Action::StopTransaction => Gate::Open,
                    _ => otherwise,
                };
                assert_eq!(gate(Some(registration), action), expected, "{action:?}");
            }
        }
    }
}
