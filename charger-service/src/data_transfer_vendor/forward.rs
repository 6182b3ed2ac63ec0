//! Forwards what a charge point says to a vendor, and reads what the vendor answers.
//!
//! Nothing in the database waits for it. A vendor that is slow, or does not answer as it should, has rejected the transfer, and
//! the message log says why.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use service_kit::hook::{CallError, SigningSecret, Url, signed};
use sqlx::PgPool;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use crate::State;
use crate::session::consult::Asker;

/// As many calls of one vendor are under way from one replica, so that a slow one does not take the room of others; more wait
/// for their turn, as long as the answer may take.
const MOST_AT_ONCE: usize = 16;

/// What a charge point says.
#[derive(Debug, Clone, Copy)]
pub struct Transfer<'a> {
    pub vendor_id: &'a str,
    pub message_id: Option<&'a str>,
    pub data: Option<&'a str>,
}

/// What became of it.
#[derive(Debug)]
pub enum Forwarded {
    Answered {
        status: TransferStatus,
        data: Option<String>,
    },
    /// The vendor knows other messages only.
    UnknownMessage,
    /// There is no answer that could be passed on; why, as a sentence for the message log.
    Failed(String),
}

/// In OCPP's spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum TransferStatus {
    Accepted,
    Rejected,
    UnknownMessageId,
    UnknownVendorId,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    identity: &'a str,
    vendor_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
}

#[derive(Deserialize)]
struct Response {
    status: TransferStatus,
    data: Option<String>,
}

struct Vendor {
    id: Uuid,
    url: String,
    message_ids: Vec<String>,
    timeout_seconds: i32,
    signing_secret: Vec<u8>,
}

/// Room for calls, by vendor. What no call needs any more is forgotten.
#[derive(Default)]
pub struct Rooms(Mutex<HashMap<Uuid, Weak<Semaphore>>>);

impl Rooms {
    fn of(&self, vendor: Uuid) -> Arc<Semaphore> {
        let mut rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.retain(|&known, room| known == vendor || room.strong_count() > 0);
        let new = || Arc::new(Semaphore::new(MOST_AT_ONCE));
        match rooms.entry(vendor) {
            Entry::Occupied(mut known) => known.get().upgrade().unwrap_or_else(|| {
                let room = new();
                known.insert(Arc::downgrade(&room));
                room
            }),
            Entry::Vacant(place) => {
                let room = new();
                place.insert(Arc::downgrade(&room));
                room
            }
        }
    }
}

/// None where nobody has registered the vendor.
pub async fn forward(state: &State, asker: &Asker, transfer: &Transfer<'_>) -> Result<Option<Forwarded>, sqlx::Error> {
    let Some(vendor) = find(&state.database, transfer.vendor_id).await? else {
        return Ok(None);
    };
    if !knows(&vendor.message_ids, transfer.message_id) {
        return Ok(Some(Forwarded::UnknownMessage));
    }
    let forwarded = match call(state, asker, transfer, &vendor).await {
        Ok(response) => {
            count("answered");
            Forwarded::Answered {
                status: response.status,
                data: response.data,
            }
        }
        Err(error) => {
            count("failed");
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                identity = asker.identity,
                vendor = %vendor.id,
                "A vendor did not answer a transfer"
            );
            Forwarded::Failed(format!("the vendor's webhook did not answer: {error}"))
        }
    };
    Ok(Some(forwarded))
}

fn count(outcome: &'static str) {
    metrics::counter!("charger_data_transfers_forwarded_total", "outcome" => outcome).increment(1);
}

async fn find(database: &PgPool, vendor_id: &str) -> Result<Option<Vendor>, sqlx::Error> {
    sqlx::query_as!(
        Vendor,
        r#"SELECT id, url, message_ids, timeout_seconds, signing_secret FROM ocpp.data_transfer_vendor
           WHERE lower(vendor_id) = lower($1 COLLATE "C")"#,
        vendor_id,
    )
    .fetch_optional(database)
    .await
}

/// A vendor without a list knows them all; one with a list knows nothing that has no name.
fn knows(known: &[String], message_id: Option<&str>) -> bool {
    known.is_empty() || message_id.is_some_and(|asked| known.iter().any(|name| name.eq_ignore_ascii_case(asked)))
}

async fn call(state: &State, asker: &Asker, transfer: &Transfer<'_>, vendor: &Vendor) -> Result<Response, CallError> {
    let deadline = Instant::now() + Duration::from_secs(vendor.timeout_seconds.unsigned_abs().into());
    let room = state.vendor_rooms.of(vendor.id);
    // It is never closed.
    let permit = timeout_at(deadline, room.acquire()).await;
    let _permit = permit.map_err(|_| CallError::Busy)?.map_err(|_| CallError::Busy)?;
    // Another rule may have held when it was registered.
    let url = Url::parse(&vendor.url)
        .and_then(|url| url.within(state.webhook_reach))
        .map_err(|_| CallError::Forbidden)?;
    let secret = state.sealing.open(&vendor.signing_secret, &vendor.id.to_string());
    let secret = secret
        .ok()
        .and_then(SigningSecret::of_bytes)
        .ok_or(CallError::Unsignable)?;
    let body = Body {
        identity: &asker.identity,
        vendor_id: transfer.vendor_id,
        message_id: transfer.message_id,
        data: transfer.data,
    };
    let body = serde_json::to_vec(&body).map_err(|_| CallError::Unreadable)?;
    let headers = signed(&secret, &call_id(asker), state.clock.now().timestamp(), &body);
    let answer = state.webhooks.post(&url, headers, body, deadline).await?;
    serde_json::from_slice(&answer).map_err(|_| CallError::Unreadable)
}

/// The same for the same frame, so that the vendor knows one that had to be sent again.
fn call_id(asker: &Asker) -> String {
    match asker.frame {
        Some((epoch, number)) => format!("msg_{}_{epoch}_{number}", asker.charge_point.simple()),
        None => format!("msg_{}", Uuid::now_v7().simple()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vendor_without_a_list_knows_every_message_and_one_with_a_list_those_in_any_case() {
        let list = ["TariffQuery".to_owned()];
        for (known, asked, expected) in [
            (&[][..], None, true),
            (&[], Some("anything"), true),
            (&list, Some("tariffquery"), true),
            (&list, Some("other"), false),
            (&list, None, false),
        ] {
            assert_eq!(knows(known, asked), expected, "{known:?} {asked:?}");
        }
    }

    #[test]
    fn the_room_of_a_vendor_is_shared_while_it_is_used_and_forgotten_afterwards() {
        let rooms = Rooms::default();
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        let room = rooms.of(one);
        assert!(Arc::ptr_eq(&room, &rooms.of(one)));
        drop(room);
        let kept = rooms.of(other);
        assert_eq!(rooms.0.lock().map(|rooms| rooms.len()).ok(), Some(1));
        drop(kept);
    }

    #[test]
    fn a_frame_that_comes_in_again_is_the_same_call() {
        let asker = |frame| Asker {
            charge_point: Uuid::nil(),
            identity: "CP1".to_owned(),
            frame,
            at: chrono::DateTime::UNIX_EPOCH,
        };
        assert_eq!(call_id(&asker(Some((3, 7)))), call_id(&asker(Some((3, 7)))));
        assert_ne!(call_id(&asker(Some((3, 7)))), call_id(&asker(Some((3, 8)))));
        assert_ne!(call_id(&asker(None)), call_id(&asker(None)));
    }
}
