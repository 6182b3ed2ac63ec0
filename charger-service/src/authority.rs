//! Asks an authority of others whether a token may charge, such as the system that knows a roaming partner's customers.
//!
//! It is asked before the transaction of the answer begins, and for as long as a setting says. What it does not answer in time,
//! or not as it should, another setting decides. What it said is combined with what is registered here in `authorization.rs`.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use crate::authorization::{Authorization, AuthorizationStatus, Purpose};
use service_kit::hook::{CallError, Hooks, Url};

/// As many questions are under way from one replica; more wait for their turn, as long as the answer may take.
const MOST_AT_ONCE: usize = 128;

/// As long as a group may be called here.
const LONGEST_GROUP: usize = 36;

/// The tokens that it is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Asked {
    /// Those that are not registered here.
    Unknown,
    /// Those too that are registered here and would be accepted; then both have to accept them.
    Always,
}

/// What counts where it does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Fallback {
    /// What is registered here.
    Local,
    /// Nothing that it would have been asked about may charge.
    Reject,
    /// Everything that it would have been asked about may charge.
    Accept,
}

pub struct Authority {
    pub hooks: Hooks,
    pub url: Url,
    /// Sent as `Authorization: Bearer …`.
    pub bearer: Option<HeaderValue>,
    pub timeout: Duration,
    pub asked: Asked,
    pub fallback: Fallback,
    pub room: Semaphore,
    pub patience: Patience,
}

/// Failures in a row after which it is left alone for a while. A charge point that was offline has hundreds of questions, and would
/// wait for each.
const FAILURES: u32 = 3;

/// How long it is left alone. Then one question is tried, and the others if that is answered.
const PAUSE: Duration = Duration::from_secs(5);

/// Whether it is worth while to ask.
#[derive(Debug, Default)]
pub struct Patience(Mutex<Endured>);

#[derive(Debug, Default)]
struct Endured {
    failures: u32,
    /// Until when nobody asks.
    until: Option<Instant>,
}

impl Patience {
    /// Whether to ask now, a question that takes so long at most.
    fn is_left(&self, longest: Duration) -> bool {
        let (mut endured, now) = (self.endured(), Instant::now());
        if endured.failures < FAILURES {
            return true;
        }
        if endured.until.is_some_and(|until| now < until) {
            return false;
        }
        // The others wait for how this one fares.
        endured.until = Some(now + longest);
        true
    }

    fn note(&self, is_answered: bool) {
        let mut endured = self.endured();
        if is_answered {
            *endured = Endured::default();
        } else {
            endured.failures = endured.failures.saturating_add(1);
            endured.until = Some(Instant::now() + PAUSE);
        }
    }

    fn endured(&self) -> MutexGuard<'_, Endured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The question, in the form in which it is asked.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    pub id_token: &'a str,
    pub identity: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connector_id: Option<i32>,
    #[serde(serialize_with = "purpose")]
    pub purpose: Purpose,
}

fn purpose<S: serde::Serializer>(purpose: &Purpose, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(purpose.as_str())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Response {
    status: Status,
    expires_at: Option<DateTime<Utc>>,
    group_id: Option<String>,
}

#[derive(Deserialize)]
enum Status {
    Accepted,
    Blocked,
    ConcurrentTx,
    Expired,
    Invalid,
}

impl Authority {
    /// Room for as many questions as are asked at once.
    pub fn room() -> Semaphore {
        Semaphore::new(MOST_AT_ONCE)
    }

    pub fn is_always_asked(&self) -> bool {
        self.asked == Asked::Always
    }

    /// What it says, or what counts in its place. None: what is registered here decides.
    pub async fn ask(&self, request: &Request<'_>) -> Option<Authorization> {
        if !self.patience.is_left(self.timeout) {
            count("left_alone");
            return self.in_its_place();
        }
        let answer = self.call(request).await;
        self.patience.note(answer.is_ok());
        let error = match answer {
            Ok(authorization) => {
                count("answered");
                return Some(authorization);
            }
            Err(error) => error,
        };
        count("failed");
        // Not the token: it may be a code.
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            identity = request.identity,
            purpose = request.purpose.as_str(),
            fallback = ?self.fallback,
            "The authority for tokens did not answer"
        );
        self.in_its_place()
    }

    fn in_its_place(&self) -> Option<Authorization> {
        let status = match self.fallback {
            Fallback::Local => return None,
            Fallback::Reject => AuthorizationStatus::Invalid,
            Fallback::Accept => AuthorizationStatus::Accepted,
        };
        Some(Authorization {
            status,
            expires_at: None,
            group_id: None,
        })
    }

    async fn call(&self, request: &Request<'_>) -> Result<Authorization, CallError> {
        let deadline = Instant::now() + self.timeout;
        let room = timeout_at(deadline, self.room.acquire()).await;
        // It is never closed.
        let _permit = room.map_err(|_| CallError::Busy)?.map_err(|_| CallError::Busy)?;
        let mut headers = HeaderMap::new();
        if let Some(bearer) = &self.bearer {
            headers.insert(AUTHORIZATION, bearer.clone());
        }
        let body = serde_json::to_vec(request).map_err(|_| CallError::Unreadable)?;
        let answer = self.hooks.post(&self.url, headers, body, deadline).await?;
        let response: Response = serde_json::from_slice(&answer).map_err(|_| CallError::Unreadable)?;
        response.try_into()
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("charger_authority_questions_total", "outcome" => outcome).increment(1);
}

impl TryFrom<Response> for Authorization {
    type Error = CallError;

    fn try_from(response: Response) -> Result<Self, CallError> {
        let is_name = |group: &String| (1..=LONGEST_GROUP).contains(&group.chars().count()) && !group.contains('\0');
        if !response.group_id.iter().all(is_name) {
            return Err(CallError::Unreadable);
        }
        Ok(Self {
            status: match response.status {
                Status::Accepted => AuthorizationStatus::Accepted,
                Status::Blocked => AuthorizationStatus::Blocked,
                Status::ConcurrentTx => AuthorizationStatus::ConcurrentTx,
                Status::Expired => AuthorizationStatus::Expired,
                Status::Invalid => AuthorizationStatus::Invalid,
            },
            expires_at: response.expires_at,
            group_id: response.group_id,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_question_has_its_stated_form() {
        let request = Request {
            id_token: "TAG",
            identity: "CP1",
            connector_id: Some(2),
            purpose: Purpose::Start,
        };
        let json = serde_json::to_string(&request).unwrap();
        assert_eq!(
            json,
            r#"{"idToken":"TAG","identity":"CP1","connectorId":2,"purpose":"start"}"#
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_authority_that_fails_again_and_again_is_left_alone_and_tried_by_one_question_after_a_while() {
        let (patience, longest) = (Patience::default(), Duration::from_secs(30));
        for _ in 0..FAILURES {
            assert!(patience.is_left(longest));
            patience.note(false);
        }
        assert!(!patience.is_left(longest));
        tokio::time::advance(PAUSE).await;
        assert!(patience.is_left(longest));
        assert!(!patience.is_left(longest), "one is enough");
        patience.note(false);
        tokio::time::advance(PAUSE).await;
        assert!(patience.is_left(longest));
        patience.note(true);
        assert!(patience.is_left(longest) && patience.is_left(longest));
    }

    #[test]
    fn an_answer_has_a_status_of_ocpp_and_perhaps_more() {
        let read = |json: &str| serde_json::from_str::<Response>(json).ok().map(Authorization::try_from);
        let full = r#"{"status":"Accepted","expiresAt":"2031-01-02T03:04:05Z","groupId":"G","more":1}"#;
        let full = read(full).unwrap().unwrap();
        assert_eq!(full.status, AuthorizationStatus::Accepted);
        assert_eq!((full.expires_at.is_some(), full.group_id.as_deref()), (true, Some("G")));
        assert_eq!(
            read(r#"{"status":"Blocked"}"#).unwrap().unwrap().status,
            AuthorizationStatus::Blocked
        );
        for wrong in [
            r#"{"status":"accepted"}"#,
            "{}",
            r#"{"status":"Accepted","expiresAt":"soon"}"#,
        ] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
        assert!(read(r#"{"status":"Accepted","groupId":""}"#).unwrap().is_err());
    }
}
