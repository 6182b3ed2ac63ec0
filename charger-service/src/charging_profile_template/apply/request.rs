//! What is asked for when a template is applied: to which connectors, and how long the commands have time.

use std::collections::HashSet;

use chrono::TimeDelta;
use prost::Message as _;
use service_kit::reason::{self, FieldViolation};
use tonic::{Request, Status};
use voltgate_proto::ocpp::v1::{ApplyChargingProfileTemplateRequest, ChargingProfilePlace};

use crate::audit::Author;
use crate::charge_point::identity::MAX_LENGTH;
use crate::charging_profile_template::place::CONNECTORS;
use crate::command::send::idempotency_key;

const MOST_PLACES: usize = 1000;
const DEFAULT_EXPIRY: i32 = 86_400;

/// A request to apply a template that breaks no rule by itself.
#[derive(Debug)]
pub struct Application {
    pub(super) template: String,
    pub(super) places: Vec<Place>,
    pub(super) expires_in: TimeDelta,
    pub(super) author: Author,
    pub(super) idempotency_key: Option<String>,
    /// Tells a repetition from another request under the same key, as `Asking::said` does.
    pub(super) said: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Place {
    pub identity: String,
    pub connector_id: i32,
}

impl Application {
    /// # Errors
    /// The request breaks a rule: all that it breaks is named.
    pub fn of(request: Request<ApplyChargingProfileTemplateRequest>) -> Result<Self, Status> {
        let author = Author::of(&request);
        let key = idempotency_key(request.metadata());
        Self::parse(request.into_inner(), author, key).map_err(reason::invalid)
    }

    fn parse(
        mut request: ApplyChargingProfileTemplateRequest,
        author: Author,
        key: Result<Option<String>, Vec<FieldViolation>>,
    ) -> Result<Self, Vec<FieldViolation>> {
        let expires_in = request.expires_in_seconds.take().unwrap_or(DEFAULT_EXPIRY);
        let said = request.encode_to_vec();
        let mut violations = Vec::new();
        let idempotency_key = key.unwrap_or_else(|wrong| {
            violations.extend(wrong);
            None
        });
        if !(1..=604_800).contains(&expires_in) {
            violations.push(FieldViolation::new("expiresInSeconds", "must be between 1 and 604800"));
        }
        let places = places(request.places, &mut violations);
        if !violations.is_empty() {
            return Err(violations);
        }
        Ok(Self {
            template: request.id,
            places,
            expires_in: TimeDelta::seconds(expires_in.into()),
            author,
            idempotency_key,
            said,
        })
    }
}

fn places(told: Vec<ChargingProfilePlace>, violations: &mut Vec<FieldViolation>) -> Vec<Place> {
    if !(1..=MOST_PLACES).contains(&told.len()) {
        violations.push(FieldViolation::new("places", format!("must be 1 to {MOST_PLACES}")));
        return Vec::new();
    }
    let mut seen = HashSet::new();
    for (index, place) in told.iter().enumerate() {
        let mut note = |field: &str, problem: &str| {
            violations.push(FieldViolation::new(format!("places[{index}]{field}"), problem));
        };
        if !(1..=MAX_LENGTH).contains(&place.identity.chars().count()) || place.identity.contains('\0') {
            note(".identity", "must have 1 to 48 characters, and no null character");
        }
        if !(0..CONNECTORS).contains(&place.connector_id) {
            note(".connectorId", "must be between 0 and 999");
        }
        if !seen.insert((&place.identity, place.connector_id)) {
            note("", "is there twice");
        }
    }
    let places = told.into_iter().map(|place| Place {
        identity: place.identity,
        connector_id: place.connector_id,
    });
    places.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wrong(places: &[(&str, i32)], expires_in_seconds: Option<i32>, key: Option<String>) -> Vec<String> {
        let places = places.iter().map(|(identity, connector_id)| ChargingProfilePlace {
            identity: (*identity).to_owned(),
            connector_id: *connector_id,
        });
        let request = ApplyChargingProfileTemplateRequest {
            id: String::new(),
            places: places.collect(),
            expires_in_seconds,
        };
        match Application::parse(request, Author::of(&Request::new(())), Ok(key)) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        }
    }

    #[test]
    fn every_place_that_is_wrong_is_named_at_once() {
        let places = [("CP1", 0), ("", -1), ("CP1", 0), ("CP1", 999), ("a\0", 1000)];
        assert_eq!(
            wrong(&places, Some(0), None),
            [
                "expiresInSeconds",
                "places[1].identity",
                "places[1].connectorId",
                "places[2]",
                "places[4].identity",
                "places[4].connectorId",
            ]
        );
    }

    #[test]
    fn there_are_1_to_1000_places() {
        let many: Vec<_> = (0..CONNECTORS).map(|connector| ("CP1", connector)).collect();
        assert_eq!(wrong(&many, None, Some("key".to_owned())), [""; 0]);
        assert_eq!(wrong(&[], None, None), ["places"]);
        let more: Vec<_> = many.into_iter().chain([("CP2", 0)]).collect();
        assert_eq!(wrong(&more, None, None), ["places"]);
    }

    #[test]
    fn a_request_is_the_same_however_long_it_has_time() {
        let said = |expires_in_seconds| {
            let request = ApplyChargingProfileTemplateRequest {
                id: "T".to_owned(),
                places: vec![ChargingProfilePlace {
                    identity: "CP1".to_owned(),
                    connector_id: 1,
                }],
                expires_in_seconds,
            };
            let author = Author::of(&Request::new(()));
            Application::parse(request, author, Ok(None)).unwrap().said
        };
        assert_eq!(said(None), said(Some(60)));
    }
}
