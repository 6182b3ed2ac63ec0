//! Requests for verbs, held against what any charge point can be asked.

use rust_decimal::prelude::FromPrimitive as _;
use rust_decimal::{Decimal, RoundingStrategy};
use service_kit::page;
use service_kit::reason::FieldViolation;
use voltgate_proto::ocpp::v1::{
    ClearChargingLimitRequest, ResetChargePointRequest, SetAvailabilityRequest, SetChargingLimitRequest,
    StartChargingRequest, StopChargingRequest, UnlockConnectorRequest,
};

use super::verb::{ChargingLimit, Unit, Verb};
use crate::command::send::Patience;

/// In seconds. Nobody stands at the charge point any more when it comes back tomorrow.
const WHILE_SOMEBODY_WAITS: i32 = 60;

/// As many characters as an idTag of OCPP 1.6 has room for.
const LONGEST_ID_TAG: usize = 20;

const LARGEST_LIMIT: f64 = 1e8;

/// A verb, and for whom it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    pub identity: String,
    pub verb: Verb,
}

impl Asked {
    /// How long it has time where it was told this.
    pub fn patience(&self, told: Patience) -> Patience {
        let expires_in_seconds = match self.verb {
            Verb::StartCharging { .. } | Verb::UnlockConnector { .. } => {
                told.expires_in_seconds.or(Some(WHILE_SOMEBODY_WAITS))
            }
            Verb::StopCharging { .. }
            | Verb::Reset { .. }
            | Verb::SetAvailability { .. }
            | Verb::SetChargingLimit(_)
            | Verb::ClearChargingLimit { .. } => told.expires_in_seconds,
        };
        Patience {
            expires_in_seconds,
            ..told
        }
    }
}

pub fn start_charging(request: StartChargingRequest) -> Result<Asked, Vec<FieldViolation>> {
    let mut violations = Vec::new();
    if !is_id_tag(&request.id_token) {
        let problem = "must have 1 to 20 printable characters, and no space at either end";
        violations.push(FieldViolation::new("idToken", problem));
    }
    if request.connector_id.is_some_and(|connector| connector < 1) {
        violations.push(not_a_connector());
    }
    ask(violations, || Asked {
        identity: request.identity,
        verb: Verb::StartCharging {
            id_token: request.id_token,
            connector_id: request.connector_id,
        },
    })
}

pub fn stop_charging(request: StopChargingRequest, identity: String) -> Asked {
    Asked {
        identity,
        verb: Verb::StopCharging {
            transaction_id: request.id,
        },
    }
}

pub fn unlock_connector(request: UnlockConnectorRequest) -> Result<Asked, Vec<FieldViolation>> {
    let Some(connector_id) = request.connector_id.filter(|connector| *connector >= 1) else {
        return Err(vec![not_a_connector()]);
    };
    Ok(Asked {
        identity: request.identity,
        verb: Verb::UnlockConnector { connector_id },
    })
}

pub fn reset_charge_point(request: ResetChargePointRequest) -> Asked {
    Asked {
        identity: request.identity,
        verb: Verb::Reset {
            immediately: request.immediately,
        },
    }
}

pub fn set_availability(request: SetAvailabilityRequest) -> Result<Asked, Vec<FieldViolation>> {
    let mut violations = Vec::new();
    if request.operative.is_none() {
        violations.push(FieldViolation::new("operative", "is required"));
    }
    check_any_connector(request.connector_id, &mut violations);
    ask(violations, || Asked {
        identity: request.identity,
        verb: Verb::SetAvailability {
            connector_id: request.connector_id,
            operative: request.operative.unwrap_or_default(),
        },
    })
}

pub fn set_charging_limit(request: SetChargingLimitRequest, stack_level: i32) -> Result<Asked, Vec<FieldViolation>> {
    let mut violations = Vec::new();
    let limit = request.limit.and_then(tenths);
    if limit.is_none() {
        violations.push(FieldViolation::new("limit", "must be between 0 and 100000000"));
    }
    let unit = request.unit.as_deref().and_then(Unit::parse);
    if unit.is_none() {
        violations.push(FieldViolation::new("unit", "must be W or A"));
    }
    check_any_connector(request.connector_id, &mut violations);
    if request.phases.is_some_and(|phases| !(1..=3).contains(&phases)) {
        violations.push(FieldViolation::new("phases", "must be between 1 and 3"));
    }
    let until = page::time("validUntil", request.valid_until, &mut violations);
    let (Some(limit), Some(unit), true) = (limit, unit, violations.is_empty()) else {
        return Err(violations);
    };
    Ok(Asked {
        identity: request.identity,
        verb: Verb::SetChargingLimit(ChargingLimit {
            connector_id: request.connector_id,
            limit,
            unit,
            phases: request.phases,
            until,
            stack_level,
        }),
    })
}

pub fn clear_charging_limit(request: ClearChargingLimitRequest) -> Result<Asked, Vec<FieldViolation>> {
    let mut violations = Vec::new();
    check_any_connector(request.connector_id, &mut violations);
    ask(violations, || Asked {
        identity: request.identity,
        verb: Verb::ClearChargingLimit {
            connector_id: request.connector_id,
        },
    })
}

fn ask(violations: Vec<FieldViolation>, asked: impl FnOnce() -> Asked) -> Result<Asked, Vec<FieldViolation>> {
    if violations.is_empty() {
        Ok(asked())
    } else {
        Err(violations)
    }
}

fn is_id_tag(text: &str) -> bool {
    (1..=LONGEST_ID_TAG).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
}

fn not_a_connector() -> FieldViolation {
    FieldViolation::new("connectorId", "must be between 1 and 2147483647")
}

fn check_any_connector(connector_id: i32, violations: &mut Vec<FieldViolation>) {
    if connector_id < 0 {
        violations.push(FieldViolation::new("connectorId", "must be between 0 and 2147483647"));
    }
}

/// Rounded down, so that never more flows than was allowed. None for what is no limit.
fn tenths(limit: f64) -> Option<Decimal> {
    if !(0.0..=LARGEST_LIMIT).contains(&limit) {
        return None;
    }
    let limit = Decimal::from_f64(limit)?;
    Some(limit.round_dp_with_strategy(1, RoundingStrategy::ToZero).normalize())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fields<T: std::fmt::Debug>(refused: Result<T, Vec<FieldViolation>>) -> Vec<String> {
        refused
            .unwrap_err()
            .into_iter()
            .map(|violation| violation.field)
            .collect()
    }

    fn limit(limit: f64) -> SetChargingLimitRequest {
        SetChargingLimitRequest {
            limit: Some(limit),
            unit: Some("A".to_owned()),
            ..Default::default()
        }
    }

    fn limited(request: SetChargingLimitRequest) -> Result<ChargingLimit, Vec<FieldViolation>> {
        match set_charging_limit(request, 0)?.verb {
            Verb::SetChargingLimit(limit) => Ok(limit),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_field_that_is_wrong_is_named_at_once() {
        let start = StartChargingRequest {
            id_token: "x".repeat(21),
            connector_id: Some(0),
            ..Default::default()
        };
        assert_eq!(fields(start_charging(start)), ["idToken", "connectorId"]);
        assert_eq!(
            fields(unlock_connector(UnlockConnectorRequest::default())),
            ["connectorId"]
        );
        let availability = SetAvailabilityRequest {
            connector_id: -1,
            ..Default::default()
        };
        assert_eq!(fields(set_availability(availability)), ["operative", "connectorId"]);
        let wrong = SetChargingLimitRequest {
            connector_id: -1,
            phases: Some(4),
            unit: Some("kW".to_owned()),
            valid_until: Some(prost_types::Timestamp {
                seconds: i64::MAX,
                nanos: 0,
            }),
            ..limit(f64::NAN)
        };
        assert_eq!(
            fields(limited(wrong)),
            ["limit", "unit", "connectorId", "phases", "validUntil"]
        );
    }

    #[test]
    fn a_limit_is_rounded_down_to_what_charge_points_know() {
        for (asked, told) in [
            (16.0, "16"),
            (15.99, "15.9"),
            (0.0, "0"),
            (0.09, "0"),
            (13.8, "13.8"),
            (1e8, "100000000"),
        ] {
            assert_eq!(limited(limit(asked)).unwrap().limit.to_string(), told, "{asked}");
        }
        for refused in [-0.1, 1e8 + 1.0, f64::INFINITY, f64::NAN] {
            assert_eq!(fields(limited(limit(refused))), ["limit"], "{refused}");
        }
    }

    #[test]
    fn a_start_waits_no_longer_than_somebody_would_unless_it_is_told_to() {
        let start = StartChargingRequest {
            id_token: "CARD1".to_owned(),
            ..Default::default()
        };
        let expiry = |asked: &Asked, expires_in_seconds| {
            let told = Patience {
                expires_in_seconds,
                ..Patience::default()
            };
            asked.patience(told).expires_in_seconds
        };
        let start = start_charging(start).unwrap();
        assert_eq!(expiry(&start, None), Some(60));
        assert_eq!(expiry(&start, Some(3600)), Some(3600));
        let reset = reset_charge_point(ResetChargePointRequest::default());
        assert_eq!(expiry(&reset, None), None);
    }
}
