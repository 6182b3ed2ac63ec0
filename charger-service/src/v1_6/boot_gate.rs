//! What a charge point may say before it was accepted.
//!
//! The gate follows the last answer to a BootNotification. A charge point that never booted here is let through: it was
//! accepted by whoever ran it before us, and need not boot again.

use ocpp::v1_6::Action;

use crate::boot::Registration;

pub(super) fn lets_through(registration: Option<Registration>, action: Action) -> bool {
    match registration {
        None | Some(Registration::Accepted) => true,
        // It may always try again, and energy that has flowed is a fact whoever asks.
        Some(Registration::Pending | Registration::Rejected) => {
            matches!(
                action,
                Action::BootNotification | Action::MeterValues | Action::StopTransaction
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_point_that_is_accepted_or_never_booted_here_may_say_anything() {
        for &action in Action::ALL {
            assert!(lets_through(Some(Registration::Accepted), action));
            assert!(lets_through(None, action));
        }
    }

    #[test]
    fn one_that_is_not_accepted_may_boot_and_tell_of_energy_and_nothing_else() {
        for registration in [Registration::Pending, Registration::Rejected] {
            let open: Vec<_> = Action::ALL
                .iter()
                .filter(|&&action| lets_through(Some(registration), action))
                .collect();
            assert_eq!(
                open,
                [
                    &Action::BootNotification,
                    &Action::MeterValues,
                    &Action::StopTransaction
                ]
            );
        }
    }
}
