//! One charge after the other. One that has begun is ended, even when the time is over. One that the central system does not want is an
//! error, and ends at once.

use chrono::Utc;

use crate::fleet::Member;
use crate::pace::Turns;
use crate::saying::{Answer, Kind, Saying, StopReason};
use crate::station::{Station, StationError};

/// MeterValues of one charge.
pub const METER_VALUES: u32 = 5;

/// Between two of them, in Wh, at that power, in W.
const ENERGY: u64 = 100;
const POWER: u32 = 7400;

pub async fn play(member: &mut Member, mut station: Station, turns: &mut Turns) -> Result<Station, StationError> {
    while !turns.are_over() {
        charge(member, &mut station, turns).await?;
        let turn = turns.next().await;
        member.say(&mut station, turn, &Saying::Heartbeat).await?;
    }
    Ok(station)
}

async fn charge(member: &mut Member, station: &mut Station, turns: &mut Turns) -> Result<(), StationError> {
    let id_token = member.id_token.clone();
    let turn = turns.next().await;
    let authorize = Saying::Authorize { id_token: &id_token };
    if member.say(station, turn, &authorize).await? != Answer::Authorized(true) {
        member.not_accepted(Kind::Authorize);
        return Ok(());
    }
    let turn = turns.next().await;
    let start = Saying::Start {
        connector: 1,
        id_token: &id_token,
        register: member.register,
        at: Utc::now(),
    };
    let Answer::Started {
        transaction,
        may_charge,
    } = member.say(station, turn, &start).await?
    else {
        return Ok(());
    };
    let (meter_values, reason) = if may_charge {
        (METER_VALUES, StopReason::Local)
    } else {
        member.not_accepted(Kind::Start);
        (0, StopReason::Deauthorized)
    };
    for _ in 0..meter_values {
        let turn = turns.next().await;
        member.register += ENERGY;
        let meter = Saying::Meter {
            connector: 1,
            transaction,
            register: member.register,
            power: POWER,
            at: Utc::now(),
        };
        member.say(station, turn, &meter).await?;
    }
    let turn = turns.next().await;
    let stop = Saying::Stop {
        transaction,
        id_token: &id_token,
        register: member.register,
        reason,
        at: Utc::now(),
    };
    member.say(station, turn, &stop).await?;
    Ok(())
}
