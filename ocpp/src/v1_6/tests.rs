//! Payloads as stations really send them.
#![allow(clippy::unwrap_used)]

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::*;
use crate::{Message, Unreadable, Version, timestamp, validate};

fn raw(json: &str) -> &RawValue {
    serde_json::from_str(json).unwrap()
}

fn time(text: &str) -> DateTime<Utc> {
    timestamp::parse(text).unwrap()
}

fn answer(action: Action, response: &impl Serialize) -> String {
    let payload = to_raw_value(response).unwrap();
    assert_eq!(
        validate(Version::V1_6, Message::Response(action.as_str()), &payload),
        []
    );
    payload.get().to_owned()
}

#[test]
fn a_boot_with_empty_strings_reads_them_as_absent() {
    let boot = BootNotification::read(raw(
        r#"{"chargePointVendor":"Acme","chargePointModel":"One","iccid":"","imsi":"","meterType":""}"#,
    ));
    let expected = BootNotification {
        charge_point_vendor: Some("Acme".to_owned()),
        charge_point_model: Some("One".to_owned()),
        ..BootNotification::default()
    };
    assert_eq!(boot, expected);
}

#[test]
fn a_boot_that_says_nothing_is_still_a_boot() {
    assert_eq!(BootNotification::read(raw("null")), BootNotification::default());
}

#[test]
fn a_start_with_a_tag_of_21_characters_and_no_readable_time_is_read() {
    let start = StartTransaction::read(raw(
        r#"{"connectorId":1,"idTag":"123456789012345678901","meterStart":0,"timestamp":"yesterday"}"#,
    ));
    let start = start.unwrap();
    assert_eq!(start.id_tag.len(), 21);
    assert_eq!(start.meter_start, Some(0));
    assert_eq!(start.timestamp, None);
}

#[test]
fn a_start_without_a_tag_cannot_be_read() {
    let start = StartTransaction::read(raw(r#"{"connectorId":1,"idTag":null,"meterStart":0}"#));
    assert_eq!(start, Err(Unreadable { field: "idTag" }));
}

#[test]
fn a_stop_is_read_whatever_it_lacks() {
    assert_eq!(StopTransaction::read(raw("{}")), StopTransaction::default());
    let stop = StopTransaction::read(raw(
        r#"{"transactionId":-1,"meterStop":"15200","timestamp":"2026-01-31T09:30:00.123456","reason":"Unplugged",
        "transactionData":[{"timestamp":null,"sampledValue":[{"value":"15200"},{"value":null},{"unit":"Wh"}]}]}"#,
    ));
    assert_eq!((stop.transaction_id, stop.meter_stop), (Some(-1), Some(15200)));
    assert_eq!(stop.timestamp, Some(time("2026-01-31T09:30:00.123456Z")));
    assert_eq!(stop.reason.as_deref(), Some("Unplugged"));
    assert_eq!(stop.transaction_data.len(), 1);
    assert_eq!(stop.transaction_data[0].timestamp, None);
    assert_eq!(
        stop.transaction_data[0].samples,
        [Sample {
            value: "15200".to_owned(),
            ..Sample::default()
        }]
    );
}

#[test]
fn an_unknown_measurand_is_kept_as_it_came() {
    let values = MeterValues::read(raw(
        r#"{"connectorId":1,"transactionId":7,"meterValue":[{"timestamp":"2026-01-31T09:30:00Z","sampledValue":[
        {"value":"21.5","measurand":"Fan.Speed","unit":"Hz","phase":"L1","context":"Sample.Periodic","location":"Body"},
        {"value":230}]}]}"#,
    ));
    assert_eq!((values.connector_id, values.transaction_id), (Some(1), Some(7)));
    let reading = &values.readings[0];
    assert_eq!(reading.timestamp, Some(time("2026-01-31T09:30:00Z")));
    assert_eq!(reading.samples[0].measurand.as_deref(), Some("Fan.Speed"));
    assert_eq!(reading.samples[0].unit.as_deref(), Some("Hz"));
    assert_eq!(reading.samples[1].value, "230");
    assert_eq!(reading.samples[1].measurand, None);
}

#[test]
fn a_status_without_a_timestamp_is_read() {
    let status =
        StatusNotification::read(raw(r#"{"connectorId":0,"errorCode":"NoError","status":"Available"}"#)).unwrap();
    assert_eq!((status.connector_id, status.timestamp), (0, None));
    assert_eq!((&*status.status, &*status.error_code), ("Available", "NoError"));
}

#[test]
fn answers_match_the_specification_in_the_order_of_its_fields() {
    let now = time("2026-01-31T09:30:00.123456Z");
    assert_eq!(
        answer(
            Action::BootNotification,
            &BootNotificationResponse::new(RegistrationStatus::Accepted, now, 300)
        ),
        r#"{"status":"Accepted","currentTime":"2026-01-31T09:30:00.123Z","interval":300}"#
    );
    assert_eq!(
        answer(Action::Heartbeat, &heartbeat_response(now)),
        r#"{"currentTime":"2026-01-31T09:30:00.123Z"}"#
    );
    let id_tag_info = IdTagInfo {
        expiry_date: Some(time("2027-01-01T00:00:00Z")),
        parent_id_tag: Some("FAMILY".to_owned()),
        status: AuthorizationStatus::ConcurrentTx,
    };
    assert_eq!(
        answer(
            Action::StartTransaction,
            &StartTransactionResponse {
                id_tag_info,
                transaction_id: 7
            }
        ),
        r#"{"idTagInfo":{"expiryDate":"2027-01-01T00:00:00Z","parentIdTag":"FAMILY","status":"ConcurrentTx"},"transactionId":7}"#
    );
    assert_eq!(
        answer(Action::StopTransaction, &StopTransactionResponse { id_tag_info: None }),
        "{}"
    );
    assert_eq!(
        answer(
            Action::DataTransfer,
            &DataTransferResponse {
                status: DataTransferStatus::UnknownVendorId,
                data: None
            }
        ),
        r#"{"status":"UnknownVendorId"}"#
    );
}

fn value() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "null",
        "true",
        "0",
        "1",
        "-1",
        "1.5",
        "2147483648",
        "1e30",
        "\"\"",
        "\"1\"",
        "\"Accepted\"",
        "{}",
        "[]",
        "[{}]",
        "\"\\ud800\"",
        "\"2026-01-31T09:30:00Z\"",
    ])
    .prop_map(str::to_owned)
}

fn field() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "connectorId",
        "idTag",
        "vendorId",
        "status",
        "errorCode",
        "meterStart",
        "timestamp",
        "else",
    ])
}

proptest! {
    /// The session answers an unreadable message with the code of the violation of that field, so there must be one.
    #[test]
    fn what_cannot_be_read_has_a_violation(members in prop::collection::vec((field(), value()), 0..8)) {
        let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let json = format!("{{{}}}", members.join(","));
        let payload = raw(&json);
        for (action, unreadable) in [
            (Action::Authorize, Authorize::read(payload).err()),
            (Action::DataTransfer, DataTransfer::read(payload).err()),
            (Action::StartTransaction, StartTransaction::read(payload).err()),
            (Action::StatusNotification, StatusNotification::read(payload).err()),
            (Action::FirmwareStatusNotification, StatusOnly::read(payload).err()),
        ] {
            let violations = validate(Version::V1_6, Message::Request(action.as_str()), payload);
            if let Some(Unreadable { field }) = unreadable {
                let path = format!("$.{field}");
                prop_assert!(violations.iter().any(|violation| violation.path == path), "{action:?} {json}");
            }
        }
    }
}
