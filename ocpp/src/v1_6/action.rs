//! The 28 actions of OCPP 1.6 and the 11 of its security extension.

/// Who sends the CALL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initiator {
    Station,
    Csms,
    Both,
}

macro_rules! actions {
    ($($action:ident: $initiator:ident,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Action {
            $($action,)*
        }

        impl Action {
            pub const ALL: &[Action] = &[$(Action::$action,)*];

            /// Action names are case-sensitive.
            pub fn parse(name: &str) -> Option<Action> {
                match name {
                    $(stringify!($action) => Some(Action::$action),)*
                    _ => None,
                }
            }

            pub fn as_str(self) -> &'static str {
                match self {
                    $(Action::$action => stringify!($action),)*
                }
            }

            pub fn initiator(self) -> Initiator {
                match self {
                    $(Action::$action => Initiator::$initiator,)*
                }
            }
        }
    };
}

actions! {
    Authorize: Station,
    BootNotification: Station,
    CancelReservation: Csms,
    CertificateSigned: Csms,
    ChangeAvailability: Csms,
    ChangeConfiguration: Csms,
    ClearCache: Csms,
    ClearChargingProfile: Csms,
    DataTransfer: Both,
    DeleteCertificate: Csms,
    DiagnosticsStatusNotification: Station,
    ExtendedTriggerMessage: Csms,
    FirmwareStatusNotification: Station,
    GetCompositeSchedule: Csms,
    GetConfiguration: Csms,
    GetDiagnostics: Csms,
    GetInstalledCertificateIds: Csms,
    GetLocalListVersion: Csms,
    GetLog: Csms,
    Heartbeat: Station,
    InstallCertificate: Csms,
    LogStatusNotification: Station,
    MeterValues: Station,
    RemoteStartTransaction: Csms,
    RemoteStopTransaction: Csms,
    ReserveNow: Csms,
    Reset: Csms,
    SecurityEventNotification: Station,
    SendLocalList: Csms,
    SetChargingProfile: Csms,
    SignCertificate: Station,
    SignedFirmwareStatusNotification: Station,
    SignedUpdateFirmware: Csms,
    StartTransaction: Station,
    StatusNotification: Station,
    StopTransaction: Station,
    TriggerMessage: Csms,
    UnlockConnector: Csms,
    UpdateFirmware: Csms,
}

impl Action {
    /// Whether a charge point may send this CALL. An action that exists but comes from the wrong side is
    /// [`crate::ErrorCode::NotSupported`].
    pub fn is_for_csms(self) -> bool {
        matches!(self.initiator(), Initiator::Station | Initiator::Both)
    }

    /// Whether we may send this CALL to a charge point.
    pub fn is_for_station(self) -> bool {
        matches!(self.initiator(), Initiator::Csms | Initiator::Both)
    }

    /// Losing one of these costs somebody money or a charge point: they are taken in spite of violations, which are
    /// flagged, as long as the rule can read what it needs.
    pub fn tolerates_violations(self) -> bool {
        matches!(
            self,
            Action::BootNotification | Action::MeterValues | Action::StartTransaction | Action::StopTransaction
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_28_core_and_11_security_actions_and_each_is_found_by_its_name() {
        assert_eq!(Action::ALL.len(), 28 + 11);
        for &action in Action::ALL {
            assert_eq!(Action::parse(action.as_str()), Some(action));
        }
    }

    #[test]
    fn names_are_case_sensitive() {
        assert_eq!(Action::parse("heartbeat"), None);
    }

    #[test]
    fn only_data_transfer_goes_both_ways() {
        let both: Vec<_> = Action::ALL
            .iter()
            .filter(|action| action.is_for_csms() && action.is_for_station())
            .collect();
        assert_eq!(both, [&Action::DataTransfer]);
        assert!(!Action::Reset.is_for_csms());
        assert!(!Action::Heartbeat.is_for_station());
    }
}
