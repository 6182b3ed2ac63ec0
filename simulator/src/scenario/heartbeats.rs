//! Signs of life alone: Heartbeats and StatusNotifications in turn.

use chrono::Utc;

use crate::fleet::Member;
use crate::pace::Turns;
use crate::saying::{Saying, Status};
use crate::station::{Station, StationError};

pub async fn play(member: &mut Member, mut station: Station, turns: &mut Turns) -> Result<Station, StationError> {
    // Another status each time: one that has not changed is less work.
    let mut statuses = [Status::Preparing, Status::Available].into_iter().cycle();
    while !turns.are_over() {
        let turn = turns.next().await;
        member.say(&mut station, turn, &Saying::Heartbeat).await?;
        let Some(status) = statuses.next().filter(|_| !turns.are_over()) else {
            break;
        };
        let turn = turns.next().await;
        let saying = Saying::Status {
            connector: 1,
            status,
            error: "NoError",
            at: Utc::now(),
        };
        member.say(&mut station, turn, &saying).await?;
    }
    Ok(station)
}
