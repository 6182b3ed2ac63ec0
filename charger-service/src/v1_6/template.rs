//! Templates of charging profiles in the words of OCPP 1.6.

use ocpp::timestamp::to_milliseconds;
use ocpp::v1_6::request::{
    ChargingProfile, ChargingProfileKindType, ChargingProfilePurposeType, ChargingRateUnitType, ChargingSchedule,
    ChargingSchedulePeriod, RecurrencyKindType, SetChargingProfileRequest,
};
use serde_json::to_string;

use crate::charging_profile_template::profile::{Kind, Period, Profile, Purpose, Recurrency};
use crate::remote_control::verb::Unit;

/// The payload of a SetChargingProfile that gives a profile to a connector.
///
/// # Errors
/// It cannot be written as JSON.
pub fn worded(profile: &Profile, connector_id: i32, profile_id: i32) -> Result<String, serde_json::Error> {
    to_string(&SetChargingProfileRequest {
        connector_id,
        cs_charging_profiles: ChargingProfile {
            charging_profile_id: profile_id,
            transaction_id: None,
            stack_level: profile.stack_level.unsigned_abs(),
            charging_profile_purpose: match profile.purpose {
                Purpose::ChargePointMaxProfile => ChargingProfilePurposeType::ChargePointMaxProfile,
                Purpose::TxDefaultProfile => ChargingProfilePurposeType::TxDefaultProfile,
            },
            charging_profile_kind: match profile.kind {
                Kind::Absolute { .. } => ChargingProfileKindType::Absolute,
                Kind::Recurring { .. } => ChargingProfileKindType::Recurring,
                Kind::Relative => ChargingProfileKindType::Relative,
            },
            recurrency_kind: profile.kind.recurrency().map(|recurrency| match recurrency {
                Recurrency::Daily => RecurrencyKindType::Daily,
                Recurrency::Weekly => RecurrencyKindType::Weekly,
            }),
            valid_from: profile.valid_from.map(to_milliseconds),
            valid_to: profile.valid_to.map(to_milliseconds),
            charging_schedule: schedule(profile),
        },
    })
}

fn schedule(profile: &Profile) -> ChargingSchedule {
    ChargingSchedule {
        duration: profile.duration_seconds,
        start_schedule: profile.kind.starts_at().map(to_milliseconds),
        charging_rate_unit: match profile.unit {
            Unit::Watts => ChargingRateUnitType::W,
            Unit::Amperes => ChargingRateUnitType::A,
        },
        charging_schedule_period: profile.periods.iter().map(period).collect(),
        min_charging_rate: profile.minimum_rate,
    }
}

fn period(period: &Period) -> ChargingSchedulePeriod {
    ChargingSchedulePeriod {
        start_period: period.start_seconds,
        limit: period.limit,
        number_phases: period.phases,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::{DateTime, Utc};
    use ocpp::{Message, Version, validate};

    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn said(profile: &Profile, connector_id: i32) -> String {
        let payload = worded(profile, connector_id, 1_800_000_000 + connector_id).unwrap();
        let raw = serde_json::from_str(&payload).unwrap();
        let violations = validate(Version::V1_6, Message::Request("SetChargingProfile"), raw);
        assert!(violations.is_empty(), "{payload}: {violations:?}");
        payload
    }

    fn period_of(start_seconds: i32, limit: &str, phases: Option<i32>) -> Period {
        Period {
            start_seconds,
            limit: limit.parse().unwrap(),
            phases,
        }
    }

    #[test]
    fn a_template_says_in_1_6_all_that_it_says() {
        let profile = Profile {
            purpose: Purpose::TxDefaultProfile,
            stack_level: 2,
            kind: Kind::Recurring {
                starts_at: at("2026-01-01T21:00:00.123456Z"),
                recurrency: Recurrency::Weekly,
            },
            valid_from: Some(at("2026-01-01T00:00:00Z")),
            valid_to: Some(at("2027-01-01T00:00:00Z")),
            unit: Unit::Amperes,
            periods: vec![period_of(0, "32", None), period_of(28_800, "8.1", Some(1))],
            duration_seconds: Some(604_800),
            minimum_rate: Some("6".parse().unwrap()),
        };
        assert_eq!(
            said(&profile, 1),
            concat!(
                r#"{"connectorId":1,"csChargingProfiles":{"chargingProfileId":1800000001,"stackLevel":2,"#,
                r#""chargingProfilePurpose":"TxDefaultProfile","chargingProfileKind":"Recurring","recurrencyKind":"Weekly","#,
                r#""validFrom":"2026-01-01T00:00:00Z","validTo":"2027-01-01T00:00:00Z","#,
                r#""chargingSchedule":{"duration":604800,"startSchedule":"2026-01-01T21:00:00.123Z","chargingRateUnit":"A","#,
                r#""chargingSchedulePeriod":[{"startPeriod":0,"limit":32},{"startPeriod":28800,"limit":8.1,"numberPhases":1}],"#,
                r#""minChargingRate":6}}}"#
            )
        );
    }

    #[test]
    fn what_a_template_leaves_out_is_left_out() {
        let profile = Profile {
            purpose: Purpose::ChargePointMaxProfile,
            stack_level: 0,
            kind: Kind::Absolute {
                starts_at: at("2026-01-01T00:00:00Z"),
            },
            valid_from: None,
            valid_to: None,
            unit: Unit::Watts,
            periods: vec![period_of(0, "11000", None)],
            duration_seconds: None,
            minimum_rate: None,
        };
        assert_eq!(
            said(&profile, 0),
            concat!(
                r#"{"connectorId":0,"csChargingProfiles":{"chargingProfileId":1800000000,"stackLevel":0,"#,
                r#""chargingProfilePurpose":"ChargePointMaxProfile","chargingProfileKind":"Absolute","#,
                r#""chargingSchedule":{"startSchedule":"2026-01-01T00:00:00Z","chargingRateUnit":"W","#,
                r#""chargingSchedulePeriod":[{"startPeriod":0,"limit":11000}]}}}"#
            )
        );
        let relative = Profile {
            purpose: Purpose::TxDefaultProfile,
            kind: Kind::Relative,
            ..profile
        };
        assert!(!said(&relative, 0).contains("startSchedule"));
    }
}
