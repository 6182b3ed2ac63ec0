//! What was decided about a transaction, by rules and by operators.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Step;
use super::facts::Facts;
use crate::station_clock::{Plausibility, ordered_at};
use crate::transaction::correct::Earlier;

pub(super) async fn read(connection: &mut PgConnection, facts: &Facts) -> Result<Vec<Step>, sqlx::Error> {
    let mut steps = of_start(facts);
    steps.extend(reservation(&mut *connection, facts).await?);
    steps.extend(of_stop(facts));
    steps.extend(strays(connection, facts).await?);
    Ok(steps)
}

/// The message log is kept for so long only.
pub(super) fn forgotten(facts: &Facts) -> Step {
    Step::decision(
        facts.start_received_at,
        "The frame that told the start is not in the message log any more",
    )
}

fn of_start(facts: &Facts) -> Vec<Step> {
    let at = facts.start_received_at;
    let status = &facts.authorization_status;
    let token = &facts.id_token;
    let mut texts = Vec::new();
    if facts.status == "refused" {
        texts.push(format!("{token} is {status}: the charge is refused, and costs nothing"));
    } else {
        texts.push(format!("{token} is {status}: the charge counts"));
    }
    texts.extend(clock(facts.started_at, at, "starts"));
    if let Some(account) = facts.account {
        texts.push(format!(
            "The charge is the account's {account}, whose token it is when the charge starts"
        ));
    }
    match &facts.tariff {
        Some((name, version)) => texts.push(format!(
            "The charge goes by the tariff “{name}” in its version {version}: of those that hold at the charge point when \
             the charge starts, it is the one of the narrowest place"
        )),
        None if facts.status == "refused" => {}
        None => texts.push(
            "No tariff holds at the charge point when the charge starts, so that the charge costs nothing".to_owned(),
        ),
    }
    texts.into_iter().map(|text| Step::decision(at, text)).collect()
}

fn of_stop(facts: &Facts) -> Vec<Step> {
    let Some(at) = facts.stop_received_at else {
        return Vec::new();
    };
    let mut texts = Vec::new();
    if let (Some(account), Some(reason)) = (facts.closed_by, &facts.close_reason) {
        texts.push(format!(
            "The account {account} closes the charge, whose stop never came: “{reason}”{}",
            facts
                .stop_reason
                .as_deref()
                .map_or_else(String::new, |reason| format!(" ({reason})"))
        ));
    }
    texts.extend(clock(facts.stopped_at, at, "stops"));
    texts.push(energy(facts));
    texts.into_iter().map(|text| Step::decision(at, text)).collect()
}

/// Says which time counts, where it is not the one that the charge point told.
fn clock(told: Option<DateTime<Utc>>, received_at: DateTime<Utc>, what: &str) -> Option<String> {
    let counted = ordered_at(told, received_at).format("%Y-%m-%d %H:%M:%S UTC");
    let why = match told.map(|told| Plausibility::of(told, received_at)) {
        Some(Plausibility::Plausible) => return None,
        Some(Plausibility::Ahead) => "the charge point's clock is ahead of ours",
        Some(Plausibility::NeverSet) => "the charge point's clock was never set",
        None => "the charge point tells no time that can be read",
    };
    Some(format!("The charge {what} at {counted} by our clock, since {why}"))
}

/// How the energy follows from the registers.
fn energy(facts: &Facts) -> String {
    let stop = facts.meter_stop_wh.map(Decimal::from);
    let start = facts.meter_start_wh.map(Decimal::from);
    match (facts.energy_wh, stop, start) {
        (Some(energy), Some(stop), Some(start)) => format!(
            "Energy: {} Wh, the register at the stop ({stop} Wh) less the register at the start ({start} Wh)",
            energy.normalize()
        ),
        (Some(energy), None, _) if facts.register_is_of_session => format!(
            "Energy: {} Wh, as the last meter value tells, whose register counts from the start of the charge",
            energy.normalize()
        ),
        (Some(energy), _, Some(start)) => format!(
            "Energy: {} Wh, the register in the last meter value ({} Wh) less the register at the start ({start} Wh)",
            energy.normalize(),
            facts.register_wh.unwrap_or_default().normalize()
        ),
        (None, Some(stop), Some(start)) => format!(
            "Energy: unknown, since the register stands lower at the stop ({stop} Wh) than at the start ({start} Wh)"
        ),
        (Some(_) | None, _, _) => "Energy: unknown, since the charge point's readings do not tell".to_owned(),
    }
}

async fn reservation(connection: &mut PgConnection, facts: &Facts) -> Result<Option<Step>, sqlx::Error> {
    let reservation = sqlx::query!(
        "SELECT reservation_id, ended_at FROM ocpp.reservation WHERE charge_point_id = $1 AND transaction_id = $2 LIMIT 1",
        facts.charge_point,
        facts.id,
    )
    .fetch_optional(connection)
    .await?;
    Ok(reservation.map(|reservation| {
        Step::decision(
            reservation.ended_at.unwrap_or(facts.start_received_at),
            format!("The charge uses the reservation {} up", reservation.reservation_id),
        )
    }))
}

/// What came in on its own, and was given to the transaction by an operator.
async fn strays(connection: &mut PgConnection, facts: &Facts) -> Result<Vec<Step>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT kind, state, note, settled_at AS "settled_at!", settled_by, received_at,
               replaced AS "replaced: Json<Earlier>"
           FROM ocpp.unmatched WHERE transaction_id = $1 AND settled_at IS NOT NULL ORDER BY settled_at LIMIT 1000"#,
        facts.id,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let what = if row.kind == "stop" { "a stop" } else { "meter values" };
            let verb = if row.state == "merged" { "merges" } else { "attaches" };
            let text = format!(
                "{} {verb} {what} that came in at {} and fitted no charge{}{}",
                row.settled_by.map_or_else(|| "An operator".to_owned(), account),
                row.received_at.format("%Y-%m-%d %H:%M:%S UTC"),
                row.note.map_or_else(String::new, |note| format!(": “{note}”")),
                row.replaced.map_or_else(String::new, |earlier| replaced(&earlier)),
            );
            Step::decision(row.settled_at, text)
        })
        .collect())
}

fn account(id: Uuid) -> String {
    format!("The account {id}")
}

fn replaced(earlier: &Earlier) -> String {
    let register = earlier.meter_stop_wh.map_or_else(
        || "without a register".to_owned(),
        |wh| format!("with the register at {wh} Wh"),
    );
    format!("; it takes the place of the stop {register}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            id: 42,
            charge_point: Uuid::nil(),
            connector_id: 1,
            id_token: "CARD1".to_owned(),
            status: "completed".to_owned(),
            authorization_status: "Accepted".to_owned(),
            account: None,
            meter_start_wh: Some(1000),
            meter_stop_wh: Some(6000),
            register_wh: None,
            register_is_of_session: false,
            energy_wh: Some(Decimal::from(5000)),
            started_at: Some("2026-03-01T12:00:00Z".parse().unwrap()),
            stopped_at: Some("2026-03-01T13:00:00Z".parse().unwrap()),
            start_received_at: "2026-03-01T12:00:01Z".parse().unwrap(),
            stop_received_at: Some("2026-03-01T13:00:01Z".parse().unwrap()),
            stop_reason: Some("Local".to_owned()),
            stop_id_token: None,
            closed_by: None,
            close_reason: None,
            tariff: None,
        }
    }

    #[test]
    fn energy_is_told_by_the_registers_that_it_comes_from() {
        let of = |facts: Facts| energy(&facts);
        assert_eq!(
            of(facts()),
            "Energy: 5000 Wh, the register at the stop (6000 Wh) less the register at the start (1000 Wh)"
        );
        let fell = Facts {
            meter_stop_wh: Some(10),
            energy_wh: None,
            ..facts()
        };
        assert!(of(fell).contains("lower at the stop (10 Wh) than at the start (1000 Wh)"));
        let of_samples = Facts {
            meter_stop_wh: None,
            register_wh: Some("3500.50".parse().unwrap()),
            energy_wh: Some("2500.50".parse().unwrap()),
            ..facts()
        };
        assert!(of(of_samples).starts_with("Energy: 2500.5 Wh, the register in the last meter value (3500.5 Wh)"));
        let of_session = Facts {
            meter_stop_wh: None,
            register_is_of_session: true,
            energy_wh: Some(Decimal::from(70)),
            ..facts()
        };
        assert!(of(of_session).contains("counts from the start of the charge"));
        let nothing = Facts {
            meter_start_wh: None,
            energy_wh: None,
            ..facts()
        };
        assert!(of(nothing).contains("readings do not tell"));
    }

    #[test]
    fn the_clock_that_counts_is_named_where_it_is_not_the_charge_points() {
        let received = "2026-03-01T12:00:00Z".parse().unwrap();
        let told = |text: &str| clock(Some(text.parse().unwrap()), received, "starts");
        assert_eq!(told("2026-03-01T11:00:00Z"), None);
        assert!(told("2027-03-01T11:00:00Z").unwrap().ends_with("is ahead of ours"));
        assert!(told("1970-01-01T00:00:00Z").unwrap().ends_with("was never set"));
        assert!(
            clock(None, received, "stops")
                .unwrap()
                .starts_with("The charge stops at 2026-03-01 12:00:00 UTC")
        );
    }

    #[test]
    fn a_refused_charge_costs_nothing_and_goes_by_no_tariff() {
        let refused = Facts {
            status: "refused".to_owned(),
            authorization_status: "Blocked".to_owned(),
            ..facts()
        };
        let texts: Vec<_> = of_start(&refused).into_iter().map(|step| step.text).collect();
        assert_eq!(texts, ["CARD1 is Blocked: the charge is refused, and costs nothing"]);
    }
}
