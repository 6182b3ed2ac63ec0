//! The lines of the cost, and what they come to.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sqlx::PgConnection;

use super::{Kind, Step};
use crate::charge_record;
use crate::cost::Line;
use crate::tariff::terms::{Part, Terms};

/// Nothing where it costs nothing.
pub(super) async fn read(
    connection: &mut PgConnection,
    transaction_id: i32,
    now: DateTime<Utc>,
) -> Result<Vec<Step>, sqlx::Error> {
    let Some(bill) = charge_record::bill(connection, transaction_id, now).await? else {
        return Ok(Vec::new());
    };
    let (at, currency) = (bill.at, bill.terms.currency.code());
    let cost = |amount: Decimal, text: String| Step {
        at,
        text,
        kind: Kind::Cost(amount.to_string(), currency.to_owned()),
    };
    let mut steps: Vec<_> = bill
        .cost
        .remarks
        .iter()
        .map(|remark| Step::decision(at, remark.sentence()))
        .collect();
    steps.extend(
        bill.cost
            .lines
            .iter()
            .map(|line| cost(line.amount(), words(line, &bill.terms))),
    );
    let whole = match &bill.record {
        None => "Up to now".to_owned(),
        Some(record) if record.number > 1 => format!(
            "In all, by the record {} in its number {}, which takes the place of the one before",
            record.id, record.number
        ),
        Some(record) => format!("In all, by the record {}", record.id),
    };
    steps.push(cost(
        bill.cost.total,
        format!("{whole}: {} {currency}", bill.cost.total),
    ));
    Ok(steps)
}

fn words(line: &Line, terms: &Terms) -> String {
    let currency = terms.currency.code();
    match line {
        Line::Part {
            part,
            element,
            quantity,
            price,
            amount,
        } => {
            let what = match part {
                Part::Energy => "Energy",
                Part::Time => "Time of charging",
                Part::Idle => "Idle time",
                Part::Session => "The session",
            };
            let unit = part.unit();
            // Where there is only one, nobody asks which.
            let which = match terms.elements.len() {
                0 | 1 => String::new(),
                _ => format!(", by the tariff's element {element}"),
            };
            format!("{what}: {quantity} {unit} at {price} {currency} each make {amount} {currency}{which}")
        }
        Line::Tax { name, percent, amount } => format!("{name}: {percent} % of that make {amount} {currency}"),
        Line::Rounding { amount } => format!("Rounding: {amount} {currency}"),
    }
}
