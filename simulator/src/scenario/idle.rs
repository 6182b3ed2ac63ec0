//! Being there, with a Heartbeat every so often.

use crate::fleet::Member;
use crate::pace::Turns;
use crate::saying::Saying;
use crate::station::{Station, StationError};

pub async fn play(member: &mut Member, mut station: Station, turns: &mut Turns) -> Result<Station, StationError> {
    while !turns.are_over() {
        let turn = tokio::select! {
            turn = turns.next() => turn,
            heard = station.listen() => {
                heard?;
                station.decline().await?;
                continue;
            }
        };
        member.say(&mut station, turn, &Saying::Heartbeat).await?;
    }
    Ok(station)
}
