//! Charges that took place without a connection: the socket is closed, cars charge, and after the charge point is back all of it
//! is told, one thing after the other.

use chrono::{TimeDelta, Utc};

use super::charge::METER_VALUES;
use crate::backlog::{Backlog, Event, Happened};
use crate::fleet::Member;
use crate::pace::Turns;
use crate::saying::{Answer, Kind, StopReason};
use crate::station::{Station, StationError};

/// Charges of one time without a connection.
const CHARGES: u64 = 10;

/// Between two things that happened, by the charge point's clock.
const APART: TimeDelta = TimeDelta::minutes(3);

const ENERGY: u64 = 500;
const POWER: u32 = 7400;

pub async fn play(member: &mut Member, mut station: Station, turns: &mut Turns) -> Result<Station, StationError> {
    while !turns.are_over() {
        station.close().await;
        member.offline();
        let mut backlog = charges(member);
        station = member.online().await?;
        while let Some(saying) = backlog.first() {
            let turn = turns.next().await;
            let answer = member.say(&mut station, turn, &saying).await?;
            if matches!(answer, Answer::Started { may_charge: false, .. }) {
                member.not_accepted(Kind::Start);
            }
            backlog.told(&answer);
        }
    }
    Ok(station)
}

/// What took place until now.
fn charges(member: &mut Member) -> Backlog {
    let mut backlog = Backlog::default();
    let things = CHARGES * u64::from(METER_VALUES + 2);
    let mut at = Utc::now() - APART * i32::try_from(things).unwrap_or_default();
    let mut push = |charge, happened| {
        backlog.push(Event { charge, at, happened });
        at += APART;
    };
    for charge in 0..CHARGES {
        push(
            charge,
            Happened::Started {
                connector: 1,
                id_token: member.id_token.clone(),
                register: member.register,
            },
        );
        for _ in 0..METER_VALUES {
            member.register += ENERGY;
            let happened = Happened::Metered {
                connector: 1,
                register: member.register,
                power: POWER,
            };
            push(charge, happened);
        }
        let happened = Happened::Stopped {
            id_token: member.id_token.clone(),
            register: member.register,
            reason: StopReason::Local,
        };
        push(charge, happened);
    }
    backlog
}
