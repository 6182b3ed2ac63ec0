//! Verbs in the words of OCPP 1.6.

use chrono::{DateTime, Utc};
use ocpp::timestamp::to_milliseconds;
use ocpp::v1_6::Action;
use ocpp::v1_6::request::{
    AvailabilityType, ChangeAvailabilityRequest, ChargingProfile, ChargingProfileKindType, ChargingProfilePurposeType,
    ChargingRateUnitType, ChargingSchedule, ChargingSchedulePeriod, ClearChargingProfileRequest,
    RemoteStartTransactionRequest, RemoteStopTransactionRequest, ResetRequest, ResetRequestStatus,
    SetChargingProfileRequest, UnlockConnectorRequest,
};
use serde_json::to_string;

use crate::remote_control::verb::{ChargingLimit, Unit, Verb};

/// The ids of profiles that hold limits begin here, one for each connector. Below them are those of templates
/// (`charging_profile_template/place.rs`).
const FIRST_LIMIT: i32 = 1_900_000_000;

/// When every limit has begun. It is before whatever the clock of a charge point shows, some of which begin in 1970: one that is
/// behind would take a limit from our present on for one of its future.
const LONG_AGO: DateTime<Utc> = DateTime::UNIX_EPOCH;

/// The action and the payload by which a charge point understands it.
///
/// # Errors
/// It cannot be written as JSON.
pub fn worded(verb: &Verb) -> Result<(Action, String), serde_json::Error> {
    Ok(match verb {
        Verb::StartCharging { id_token, connector_id } => {
            let request = RemoteStartTransactionRequest {
                connector_id: connector_id.map(i32::unsigned_abs),
                id_tag: id_token.clone(),
                charging_profile: None,
            };
            (Action::RemoteStartTransaction, to_string(&request)?)
        }
        Verb::StopCharging { transaction_id } => {
            let request = RemoteStopTransactionRequest {
                transaction_id: *transaction_id,
            };
            (Action::RemoteStopTransaction, to_string(&request)?)
        }
        Verb::UnlockConnector { connector_id } => {
            let request = UnlockConnectorRequest {
                connector_id: connector_id.unsigned_abs(),
            };
            (Action::UnlockConnector, to_string(&request)?)
        }
        Verb::Reset { immediately } => {
            let kind = match immediately {
                true => ResetRequestStatus::Hard,
                false => ResetRequestStatus::Soft,
            };
            (Action::Reset, to_string(&ResetRequest { kind })?)
        }
        Verb::SetAvailability {
            connector_id,
            operative,
        } => {
            let request = ChangeAvailabilityRequest {
                connector_id: connector_id.unsigned_abs(),
                kind: match operative {
                    true => AvailabilityType::Operative,
                    false => AvailabilityType::Inoperative,
                },
            };
            (Action::ChangeAvailability, to_string(&request)?)
        }
        Verb::SetChargingLimit(limit) => {
            let request = SetChargingProfileRequest {
                connector_id: limit.connector_id,
                cs_charging_profiles: profile(limit),
            };
            (Action::SetChargingProfile, to_string(&request)?)
        }
        Verb::ClearChargingLimit { connector_id } => {
            let request = ClearChargingProfileRequest {
                id: Some(profile_id(*connector_id)),
                ..ClearChargingProfileRequest::default()
            };
            (Action::ClearChargingProfile, to_string(&request)?)
        }
    })
}

/// At a connector it is the default of charges, which running ones without a profile of their own take on as well (3.13.1,
/// errata 3.8). For the whole charge point it is what all of them share.
fn profile(limit: &ChargingLimit) -> ChargingProfile {
    ChargingProfile {
        charging_profile_id: profile_id(limit.connector_id),
        stack_level: limit.stack_level.unsigned_abs(),
        charging_profile_purpose: match is_of_whole(limit.connector_id) {
            true => ChargingProfilePurposeType::ChargePointMaxProfile,
            false => ChargingProfilePurposeType::TxDefaultProfile,
        },
        charging_profile_kind: ChargingProfileKindType::Absolute,
        valid_to: limit.until.map(to_milliseconds),
        charging_schedule: ChargingSchedule {
            start_schedule: Some(to_milliseconds(LONG_AGO)),
            charging_rate_unit: match limit.unit {
                Unit::Watts => ChargingRateUnitType::W,
                Unit::Amperes => ChargingRateUnitType::A,
            },
            charging_schedule_period: vec![ChargingSchedulePeriod {
                start_period: 0,
                limit: limit.limit,
                number_phases: limit.phases,
            }],
            ..ChargingSchedule::default()
        },
        ..ChargingProfile::default()
    }
}

fn is_of_whole(connector_id: i32) -> bool {
    connector_id == 0
}

/// The purpose of the profile that holds a limit, as charge points call it.
pub fn purpose_of_limit(connector_id: i32) -> &'static str {
    match is_of_whole(connector_id) {
        true => "ChargePointMaxProfile",
        false => "TxDefaultProfile",
    }
}

/// The id of the profile that holds a limit: the same for a connector each time, so that a limit takes the place of the one before.
pub fn profile_id(connector_id: i32) -> i32 {
    FIRST_LIMIT.saturating_add(connector_id)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::TimeDelta;
    use ocpp::{Message, Version, validate};

    use super::*;

    fn said(verb: Verb) -> String {
        let (action, payload) = worded(&verb).unwrap();
        let raw = serde_json::from_str(&payload).unwrap();
        let violations = validate(Version::V1_6, Message::Request(action.as_str()), raw);
        assert!(violations.is_empty(), "{verb:?}: {violations:?}");
        format!("{} {payload}", action.as_str())
    }

    #[test]
    fn each_verb_is_a_call_of_1_6_and_says_no_more_than_it_means() {
        let start = |connector_id| Verb::StartCharging {
            id_token: "CARD \"1\"".to_owned(),
            connector_id,
        };
        assert_eq!(said(start(None)), r#"RemoteStartTransaction {"idTag":"CARD \"1\""}"#);
        assert_eq!(
            said(start(Some(99))),
            r#"RemoteStartTransaction {"connectorId":99,"idTag":"CARD \"1\""}"#
        );
        let others = [
            (
                Verb::StopCharging { transaction_id: 7 },
                r#"RemoteStopTransaction {"transactionId":7}"#,
            ),
            (
                Verb::UnlockConnector { connector_id: 2 },
                r#"UnlockConnector {"connectorId":2}"#,
            ),
            (Verb::Reset { immediately: false }, r#"Reset {"type":"Soft"}"#),
            (Verb::Reset { immediately: true }, r#"Reset {"type":"Hard"}"#),
            (
                Verb::SetAvailability {
                    connector_id: 0,
                    operative: false,
                },
                r#"ChangeAvailability {"connectorId":0,"type":"Inoperative"}"#,
            ),
            (
                Verb::ClearChargingLimit { connector_id: 3 },
                r#"ClearChargingProfile {"id":1900000003}"#,
            ),
        ];
        for (verb, expected) in others {
            assert_eq!(said(verb), expected);
        }
    }

    #[test]
    fn a_limit_is_a_profile_of_one_period_that_has_begun_whatever_the_clock_shows() {
        let limit = ChargingLimit {
            connector_id: 1,
            limit: "13.8".parse().unwrap(),
            unit: Unit::Amperes,
            phases: Some(1),
            until: Some(DateTime::UNIX_EPOCH + TimeDelta::days(1)),
            stack_level: 8,
        };
        assert_eq!(
            said(Verb::SetChargingLimit(limit.clone())),
            concat!(
                r#"SetChargingProfile {"connectorId":1,"csChargingProfiles":{"chargingProfileId":1900000001,"stackLevel":8,"#,
                r#""chargingProfilePurpose":"TxDefaultProfile","chargingProfileKind":"Absolute","validTo":"1970-01-02T00:00:00Z","#,
                r#""chargingSchedule":{"startSchedule":"1970-01-01T00:00:00Z","chargingRateUnit":"A","#,
                r#""chargingSchedulePeriod":[{"startPeriod":0,"limit":13.8,"numberPhases":1}]}}}"#
            )
        );
        let whole = ChargingLimit {
            connector_id: 0,
            limit: 11_000.into(),
            unit: Unit::Watts,
            phases: None,
            until: None,
            ..limit.clone()
        };
        assert_eq!(
            said(Verb::SetChargingLimit(whole.clone())),
            concat!(
                r#"SetChargingProfile {"connectorId":0,"csChargingProfiles":{"chargingProfileId":1900000000,"stackLevel":8,"#,
                r#""chargingProfilePurpose":"ChargePointMaxProfile","chargingProfileKind":"Absolute","#,
                r#""chargingSchedule":{"startSchedule":"1970-01-01T00:00:00Z","chargingRateUnit":"W","#,
                r#""chargingSchedulePeriod":[{"startPeriod":0,"limit":11000}]}}}"#
            )
        );
        for (connector_id, payload) in [
            (0, said(Verb::SetChargingLimit(whole))),
            (1, said(Verb::SetChargingLimit(limit))),
        ] {
            assert!(payload.contains(purpose_of_limit(connector_id)), "{payload}");
        }
    }
}
