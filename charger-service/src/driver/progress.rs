//! A charge as it comes on, for whoever charges to watch.
//!
//! Each who watches costs one row a second, which the charge point's meter values keep up to date (`meter_values.rs`). It is the
//! client that draws: one that does not read is asked nothing for. A watch ends with the charge, when whoever watches would not be
//! let in any more, or when this process is told to stop.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::{Stream, StreamExt as _, stream};
use service_kit::access::Admission;
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use sqlx::PgPool;
use tokio::time::sleep;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::ChargeProgress;

use super::Driver;
use super::transaction::GetError;
use crate::State;
use crate::places::Place;

const PACE: Duration = Duration::from_secs(1);

pub(super) type Progress = Pin<Box<dyn Stream<Item = Result<ChargeProgress, Status>> + Send>>;

/// Ends with a status when the driver may see no more.
type Lapse = Pin<Box<dyn Future<Output = Result<Infallible, Status>> + Send>>;

struct Watch {
    state: Arc<State>,
    driver: Driver,
    transaction: i32,
    /// What was told last.
    told: ChargeProgress,
    lapse: Lapse,
    _place: Place,
}

/// # Errors
/// The transaction is none of the driver's, or there is no room.
pub(super) async fn follow(
    state: &Arc<State>,
    driver: Driver,
    transaction: i32,
    admission: Option<Admission>,
) -> Result<Progress, Status> {
    let place = state.following_drivers.enter(driver.account)?;
    let first = read(&state.database, driver.account, transaction).await?;
    let lapse: Lapse = match admission {
        Some(admission) => Box::pin(admission.lapse()),
        None => Box::pin(std::future::pending()),
    };
    let watch = Watch {
        state: Arc::clone(state),
        driver,
        transaction,
        told: first.clone(),
        lapse,
        _place: place,
    };
    let rest = stream::unfold(Some(watch), |watch| async { watch?.next().await });
    let first = stream::once(std::future::ready(Ok(first)));
    Ok(Box::pin(first.chain(rest)))
}

impl Watch {
    /// The next that there is to tell with what is left of the watch.
    async fn next(mut self) -> Option<(Result<ChargeProgress, Status>, Option<Self>)> {
        loop {
            if self.told.status != "active" {
                return None;
            }
            tokio::select! {
                biased;
                () = self.state.shutdown.cancelled() => {
                    let leaving = Reason::Unavailable.status("The service is shutting down; please ask again");
                    return Some((Err(leaving), None));
                }
                lapsed = &mut self.lapse => {
                    let status = match lapsed {
                        Ok(never) => match never {},
                        Err(status) => status,
                    };
                    return Some((Err(status), None));
                }
                () = sleep(PACE) => {}
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
        r#"SELECT status, ocpp.whole(energy_wh) AS energy_wh,
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
