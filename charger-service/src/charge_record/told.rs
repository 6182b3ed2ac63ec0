//! A cost as the API has it.

use rust_decimal::Decimal;
use voltgate_proto::ocpp::v1::{Cost as ToldCost, CostLine};

use crate::cost::{Cost, Line, Remark};
use crate::tariff::terms::Terms;

pub fn cost(terms: &Terms, cost: &Cost) -> ToldCost {
    ToldCost {
        currency: terms.currency.code().to_owned(),
        total: cost.total.to_string(),
        lines: cost.lines.iter().map(line).collect(),
        remarks: cost
            .remarks
            .iter()
            .copied()
            .map(Remark::sentence)
            .map(str::to_owned)
            .collect(),
    }
}

fn line(line: &Line) -> CostLine {
    let text = |number: &Decimal| Some(number.to_string());
    let amount = line.amount().to_string();
    match line {
        Line::Part {
            part,
            element,
            quantity,
            price,
            ..
        } => CostLine {
            part: part.as_str().to_owned(),
            element: i32::try_from(*element).ok(),
            quantity: text(quantity),
            unit: Some(part.unit().to_owned()),
            price: text(price),
            amount,
            ..CostLine::default()
        },
        Line::Tax { name, percent, .. } => CostLine {
            part: "tax".to_owned(),
            tax_name: Some(name.clone()),
            tax_percent: text(percent),
            amount,
            ..CostLine::default()
        },
        Line::Rounding { .. } => CostLine {
            part: "rounding".to_owned(),
            amount,
            ..CostLine::default()
        },
    }
}
