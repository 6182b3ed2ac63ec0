//! MeterValues: what the meter read, at one or more points in time.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::fields::Fields;

/// Any part of it may be missing; a reading that cannot be placed is still kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MeterValues {
    /// 0 is the main meter of the charge point.
    pub connector_id: Option<i32>,
    pub transaction_id: Option<i32>,
    pub readings: Vec<MeterReading>,
}

/// What was sampled at one point in time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MeterReading {
    /// By the station's clock; `None` where it cannot be read.
    pub timestamp: Option<DateTime<Utc>>,
    pub samples: Vec<Sample>,
}

/// One value, its vocabulary as the station spelled it: vendors have units and measurands of their own. What is absent has
/// a default in the specification (`Energy.Active.Import.Register`, `Wh`, `Sample.Periodic`, `Outlet`, `Raw`); filling
/// it in is left to the rule, so that what was said and what was assumed stay apart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sample {
    /// A decimal number, or signed data where `format` is `SignedData`. A sample without a value is left out.
    pub value: String,
    pub context: Option<String>,
    pub format: Option<String>,
    pub measurand: Option<String>,
    pub phase: Option<String>,
    pub location: Option<String>,
    pub unit: Option<String>,
}

impl MeterValues {
    pub fn read(payload: &RawValue) -> MeterValues {
        let fields = Fields::of(payload);
        MeterValues {
            connector_id: fields.small_integer("connectorId"),
            transaction_id: fields.small_integer("transactionId"),
            readings: readings(&fields, "meterValue"),
        }
    }
}

/// The list of readings in a field: `meterValue` here, `transactionData` in a StopTransaction.
pub(super) fn readings(fields: &Fields<'_>, name: &str) -> Vec<MeterReading> {
    let reading = |fields: Fields<'_>| MeterReading {
        timestamp: fields.time("timestamp"),
        samples: fields.list("sampledValue").into_iter().filter_map(sample).collect(),
    };
    fields.list(name).into_iter().map(reading).collect()
}

fn sample(fields: Fields<'_>) -> Option<Sample> {
    Some(Sample {
        value: fields.text("value")?,
        context: fields.text("context"),
        format: fields.text("format"),
        measurand: fields.text("measurand"),
        phase: fields.text("phase"),
        location: fields.text("location"),
        unit: fields.text("unit"),
    })
}
