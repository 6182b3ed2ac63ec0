//! A charge as it comes on, for whoever charges to watch.
//!
//! Each who watches costs one row a second, which the charge point's meter values keep up to date (`meter_values.rs`). It is the
//! client that draws: one that does not read is asked nothing for. A watch ends with the charge, when its access token expires,
//! or when this process is told to stop.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{Stream, stream};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use sqlx::PgPool;
use thiserror::Error;
use tokio::time::sleep;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::ChargeProgress;

use super::Driver;
use super::transaction::GetError;
use crate::State;

const PACE: Duration = Duration::from_secs(1);

/// Watches of a process: as many statements a second.
const MOST: usize = 500;

/// Watches of one account at a process, such as a phone and a few windows.
const MOST_OF_ONE: usize = 8;

const AGAIN_AFTER: Duration = Duration::from_secs(5);

pub type Progress = Pin<Box<dyn Stream<Item = Result<ChargeProgress, Status>> + Send>>;

/// Who watches, and how often.
#[derive(Debug, Clone, Default)]
pub struct Followers(Arc<Mutex<HashMap<Uuid, usize>>>);

/// One watch, until it is dropped.
#[derive(Debug)]
struct Place {
    followers: Followers,
    account: Uuid,
}

#[derive(Debug, Error)]
pub(super) enum FollowError {
    #[error("as many charges are watched as may be")]
    Full,
    #[error("the account watches as often as it may")]
    TooMany,
    #[error(transparent)]
    Transaction(#[from] GetError),
}

impl From<FollowError> for Status {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Full => Reason::Overloaded.retry_after(AGAIN_AFTER, "Too many charges are watched just now"),
            FollowError::TooMany => Reason::TooManyRequests.retry_after(AGAIN_AFTER, "You watch too often at once"),
            FollowError::Transaction(error) => error.into(),
        }
    }
}

impl Followers {
    fn enter(&self, account: Uuid) -> Result<Place, FollowError> {
        // What is counted stays right whoever panics.
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let all: usize = watches.values().sum();
        if all >= MOST {
            return Err(FollowError::Full);
        }
        let own = watches.entry(account).or_default();
        if *own >= MOST_OF_ONE {
            return Err(FollowError::TooMany);
        }
        *own += 1;
        Ok(Place {
            followers: self.clone(),
            account,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut watches = self.followers.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = watches.get_mut(&self.account) {
            *own -= 1;
            if *own == 0 {
                watches.remove(&self.account);
            }
        }
    }
}

struct Watch {
    state: Arc<State>,
    driver: Driver,
    transaction: i32,
    /// What was told last.
    told: ChargeProgress,
    _place: Place,
}

/// # Errors
/// The transaction is none of the driver's, or there is no room.
pub(super) async fn follow(state: &Arc<State>, driver: Driver, transaction: i32) -> Result<Progress, FollowError> {
    let place = state.followers.enter(driver.account)?;
    let first = read(&state.database, driver.account, transaction).await?;
    let watch = Watch {
        state: Arc::clone(state),
        driver,
        transaction,
        told: first.clone(),
        _place: place,
    };
    let rest = stream::unfold(Some(watch), |watch| async { watch?.next().await });
    let first = stream::once(std::future::ready(Ok(first)));
    Ok(Box::pin(futures_util::StreamExt::chain(first, rest)))
}

impl Watch {
    /// The next that there is to tell with what is left of the watch.
    async fn next(mut self) -> Option<(Result<ChargeProgress, Status>, Option<Self>)> {
        loop {
            if self.told.status != "active" {
                return None;
            }
            tokio::select! {
                () = sleep(PACE) => {}
                () = self.state.shutdown.cancelled() => {
                    let leaving = Reason::Unavailable.status("The service is shutting down; please ask again");
                    return Some((Err(leaving), None));
                }
            }
            if self.driver.until <= self.state.clock.now() {
                let expired = Reason::InvalidToken.status("The access token has expired; ask again with another one");
                return Some((Err(expired), None));
            }
            match read(&self.state.database, self.driver.account, self.transaction).await {
                Ok(progress) if progress == self.told => {}
                Ok(progress) => {
                    self.told = progress.clone();
                    return Some((Ok(progress), Some(self)));
                }
                Err(error) => return Some((Err(error.into()), None)),
            }
        }
    }
}

struct Row {
    status: String,
    energy_wh: Option<i32>,
    power_w: Option<i32>,
    soc_percent: Option<i32>,
    sampled_at: Option<DateTime<Utc>>,
}

async fn read(database: &PgPool, account: Uuid, id: i32) -> Result<ChargeProgress, GetError> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT status, CASE WHEN energy_wh < 2147483648 THEN floor(energy_wh)::integer END AS energy_wh,
               CASE WHEN status = 'active' AND abs(power_w) < 2147483647 THEN round(power_w)::integer END AS power_w,
               round(soc_percent)::integer AS soc_percent, greatest(register_at, power_at, soc_at) AS sampled_at
           FROM ocpp.transaction WHERE id = $1 AND account_id = $2"#,
        id,
        account,
    )
    .fetch_optional(&mut *database::begin(database).await?)
    .await?
    .ok_or(GetError::NotFound)?;
    Ok(ChargeProgress {
        status: row.status,
        energy_wh: row.energy_wh,
        power_watts: row.power_w,
        soc_percent: row.soc_percent,
        sampled_at: row.sampled_at.map(timestamp),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nobody_watches_more_often_than_they_may_and_a_watch_that_ends_makes_room() {
        let followers = Followers::default();
        let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut places: Vec<_> = (0..MOST_OF_ONE).map(|_| followers.enter(ada).unwrap()).collect();
        assert!(matches!(followers.enter(ada), Err(FollowError::TooMany)));
        let other = followers.enter(bob).unwrap();
        places.pop();
        places.push(followers.enter(ada).unwrap());
        drop((places, other));
        assert!(followers.0.lock().unwrap().is_empty());
    }

    #[test]
    fn a_process_has_room_for_so_many_watches_and_no_more() {
        let followers = Followers::default();
        let enter = |account: usize| followers.enter(Uuid::from_u128(account as u128));
        let places: Vec<_> = (0..MOST).map(|account| enter(account).unwrap()).collect();
        assert!(matches!(enter(MOST), Err(FollowError::Full)));
        drop(places);
        assert!(enter(MOST).is_ok());
    }
}
