//! What an account has logged in with, and from where. A device is what the client says that it is, without the numbers of
//! its versions, for a browser has another one each month; a network is an IPv4 address or the /64 of an IPv6 one. Both are
//! only worth a notice: whoever wants to looks like the owner's browser, though hardly from the owner's network.

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::access::Client;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::State;
use crate::housekeeping::{BATCH, in_batches};
use crate::throttle::Network;

/// Of more than these, those used last stay.
const MOST: i64 = 50;

/// Forgotten when no login came from there for so long. Longer than any session, or everybody would be new where they always
/// are.
const KEPT: TimeDelta = TimeDelta::days(400);

/// Who is new after so many others within the hour is not told of any more. Whoever has read of those needs no more, and a
/// program that is new each time floods no mailbox.
const MOST_OF_LATE: i64 = 5;
const OF_LATE: TimeDelta = TimeDelta::hours(1);

/// No device is remembered at greater length, in characters. Less than what is left of the longest without its numbers, so
/// that where it was cut off makes no difference.
const LONGEST: usize = 100;

/// How a login looks beside those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    is_new: bool,
    /// Others that were new within the hour, the signup included.
    others_of_late: i64,
}

impl Look {
    pub fn is_worth_a_mail(self) -> bool {
        self.is_new && self.others_of_late < MOST_OF_LATE
    }
}

/// Remembers the client of a login, or of a signup. It is new where either its device or its network is; the first of an
/// account is new to nobody. Of several at once one is new.
pub async fn remember(
    connection: &mut PgConnection,
    account: Uuid,
    client: &Client,
    now: DateTime<Utc>,
) -> Result<Look, sqlx::Error> {
    let (device, network) = (device_of(client), Network::of(client.address));
    sqlx::query_as!(
        Look,
        r#"WITH before AS (
               SELECT bool_or(device = $2) AS device, bool_or(network = $3) AS network,
                      count(*) FILTER (WHERE first_used_at > $5) AS of_late
               FROM authentication.known_device WHERE account_id = $1
           ),
           surplus AS (
               DELETE FROM authentication.known_device
               WHERE account_id = $1 AND (device, network) IN (
                   SELECT device, network FROM authentication.known_device
                   WHERE account_id = $1 AND (device, network) <> ($2, $3)
                   ORDER BY last_used_at DESC, device, network
                   OFFSET $6
                   FOR UPDATE SKIP LOCKED
               )
           ),
           used AS (
               INSERT INTO authentication.known_device AS d (account_id, device, network, first_used_at, last_used_at)
               VALUES ($1, $2, $3, $4, $4)
               ON CONFLICT (account_id, device, network) DO UPDATE SET last_used_at = $4
               -- No transaction has ever changed a row that was inserted just now.
               RETURNING xmax = 0 AS is_inserted
           )
           SELECT is_inserted AND NOT coalesce(device AND network, true) AS "is_new!", of_late AS "others_of_late!"
           FROM before, used"#,
        account,
        device,
        network.as_str(),
        now,
        now - OF_LATE,
        MOST - 1
    )
    .fetch_one(connection)
    .await
}

/// Removes what has not been used for long.
///
/// # Errors
/// The database failed.
pub async fn prune(state: &State) -> Result<(), sqlx::Error> {
    in_batches(|| {
        sqlx::query!(
            "DELETE FROM authentication.known_device WHERE (account_id, device, network) IN (
                 SELECT account_id, device, network FROM authentication.known_device
                 WHERE last_used_at < $1 LIMIT $2 FOR UPDATE SKIP LOCKED
             )",
            state.clock.now() - KEPT,
            BATCH
        )
        .execute(&state.database)
    })
    .await
}

fn device_of(client: &Client) -> String {
    let says = client.device.as_deref().unwrap_or_default();
    let is_version = |c: char| c.is_ascii_digit() || matches!(c, '.' | '_');
    says.chars().filter(|c| !is_version(*c)).take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn device(says: &str) -> String {
        device_of(&Client {
            device: Some(says.to_owned()),
            ..Client::at(Ipv4Addr::LOCALHOST.into())
        })
    }

    #[test]
    fn a_browser_that_was_updated_is_the_same_device_and_another_one_is_not() {
        let chrome = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0.4844.84 Safari/537.36";
        let updated = chrome.replace("99.0.4844.84", "126.0.0.0").replace("10_15_7", "14");
        assert_eq!(device(chrome), device(&updated));
        let firefox = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) Gecko/20100101 Firefox/127.0";
        assert_ne!(device(chrome), device(firefox));
        assert_ne!(device("curl/8.5.0"), device("python-requests/2.32"));
    }

    #[test]
    fn what_a_long_name_was_cut_off_at_makes_no_difference() {
        let long =
            |version: &str| -> String { format!("app/{version} {}", "x".repeat(300)).chars().take(200).collect() };
        assert_eq!(device(&long("1.0")), device(&long("10.123.4567")));
    }

    #[test]
    fn only_what_is_new_is_worth_a_mail_and_only_a_few_times_an_hour() {
        let look = |is_new, others_of_late| Look { is_new, others_of_late };
        assert!(look(true, 0).is_worth_a_mail() && look(true, 4).is_worth_a_mail());
        assert!(!look(true, 5).is_worth_a_mail() && !look(false, 0).is_worth_a_mail());
    }
}
