//! What a charge point is told of firmware but for the URL, which is each one's own. It is kept as JSON with a campaign, so names in it
//! are never changed.

use chrono::{DateTime, TimeDelta, Utc};
use ocpp::v1_6::Action;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use service_kit::page;
use service_kit::reason::FieldViolation;
use voltgate_proto::ocpp::v1::UpdateFirmwareRequest;

use super::ask::{put_retries, written};
use super::request_log::number;

/// How far ahead it may be planned: its URL has to be good that long.
const LONGEST_WAIT: TimeDelta = TimeDelta::days(366);

const LONGEST_CERTIFICATE: usize = 5500;
const LONGEST_SIGNATURE: usize = 800;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The name of a firmware.
    pub firmware: String,
    /// At once where it is None.
    pub retrieve_at: Option<DateTime<Utc>>,
    pub install_at: Option<DateTime<Utc>>,
    pub signed: Option<Signed>,
    pub retries: Option<i32>,
    pub retry_interval_seconds: Option<i32>,
}

/// Certificate and signature, for a charge point to verify.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    pub certificate: String,
    pub signature: String,
}

impl Order {
    /// Notes what is wrong with it. Whether there is a firmware of that name, the database knows.
    pub fn parse(request: &UpdateFirmwareRequest, now: DateTime<Utc>, violations: &mut Vec<FieldViolation>) -> Self {
        let retrieve_at = page::time("retrieveAt", request.retrieve_at, violations);
        if retrieve_at.is_some_and(|at| at > now + LONGEST_WAIT) {
            let problem = "must be at most 366 days from now";
            violations.push(FieldViolation::new("retrieveAt", problem));
        }
        let install_at = page::time("installAt", request.install_at, violations);
        let signed = signed(&request.signing_certificate, &request.signature, violations);
        if install_at.is_some() && signed.is_none() {
            let problem = "has a use with a signature only";
            violations.push(FieldViolation::new("installAt", problem));
        }
        let (retries, interval) = (request.retries, request.retry_interval_seconds);
        put_retries(&mut Map::new(), retries, interval, violations);
        Self {
            firmware: request.firmware.clone(),
            retrieve_at,
            install_at,
            signed,
            retries,
            retry_interval_seconds: interval,
        }
    }

    pub fn action(&self) -> Action {
        match self.signed {
            None => Action::UpdateFirmware,
            Some(_) => Action::SignedUpdateFirmware,
        }
    }

    /// The CALL's payload, with the URL to fetch it from. A signed one has a number of its own each time.
    pub fn payload(&self, location: &str, now: DateTime<Utc>) -> Map<String, Value> {
        let retrieve = written(self.retrieve_at.unwrap_or(now));
        let mut payload = Map::new();
        match &self.signed {
            None => {
                payload.insert("location".to_owned(), location.into());
                payload.insert("retrieveDate".to_owned(), retrieve);
            }
            Some(Signed { certificate, signature }) => {
                let mut firmware = json!({ "location": location, "retrieveDateTime": retrieve });
                if let Some(install_at) = self.install_at {
                    firmware["installDateTime"] = written(install_at);
                }
                firmware["signingCertificate"] = certificate.as_str().into();
                firmware["signature"] = signature.as_str().into();
                payload.insert("requestId".to_owned(), number());
                payload.insert("firmware".to_owned(), firmware);
            }
        }
        // They were looked at when it was parsed.
        put_retries(&mut payload, self.retries, self.retry_interval_seconds, &mut Vec::new());
        payload
    }
}

fn signed(
    certificate: &Option<String>,
    signature: &Option<String>,
    violations: &mut Vec<FieldViolation>,
) -> Option<Signed> {
    for (field, text, longest) in [
        ("signingCertificate", certificate, LONGEST_CERTIFICATE),
        ("signature", signature, LONGEST_SIGNATURE),
    ] {
        let length = text.as_ref().map(|text| text.chars().count());
        if length.is_some_and(|length| !(1..=longest).contains(&length)) {
            let problem = format!("must have 1 to {longest} characters");
            violations.push(FieldViolation::new(field, problem));
        }
    }
    match (certificate, signature) {
        (Some(certificate), Some(signature)) => Some(Signed {
            certificate: certificate.clone(),
            signature: signature.clone(),
        }),
        (None, None) => None,
        (Some(_), None) => {
            let problem = "is required together with a certificate";
            violations.push(FieldViolation::new("signature", problem));
            None
        }
        (None, Some(_)) => {
            let problem = "is required together with a signature";
            violations.push(FieldViolation::new("signingCertificate", problem));
            None
        }
    }
}
