#![allow(clippy::unwrap_used)]

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use voltgate_proto::ocpp::v1::{ListTransactionsResponse, Transaction};

use super::*;
use crate::json::{RawJsonFields, write};
use crate::test_protos;

fn pool() -> DescriptorPool {
    test_protos::compile(
        r#"syntax = "proto3"; package test; import "google/protobuf/timestamp.proto";
        message Row {
          int32 id = 1; repeated int32 numbers = 2; Row inner = 3; map<string, string> named = 4;
          oneof choice { string either = 5; } google.protobuf.Timestamp at = 6;
        }"#,
    )
}

/// The JSON of these bytes, as of a `Row`.
fn straight(encoded: &[u8]) -> Option<String> {
    let row = pool().get_message_by_name("test.Row").unwrap();
    let layouts = Layouts::of([row.clone()], &RawJsonFields::default());
    let json = write_encoded(&layouts, &row, encoded)?;
    // Where it can be done at all it is the same.
    let message = DynamicMessage::decode(row, encoded).unwrap();
    assert_eq!(json, write(&message, None, &RawJsonFields::default()).unwrap());
    Some(String::from_utf8(json).unwrap())
}

#[test]
fn what_lists_are_made_of_is_written_straight() {
    let name = "voltgate.ocpp.v1.ListTransactionsResponse";
    let message = voltgate_proto::pool().get_message_by_name(name).unwrap();
    let layouts = Layouts::of([message.clone()], &RawJsonFields::default());
    let list = ListTransactionsResponse {
        transactions: vec![Transaction::default(); 3],
        next_page_token: "x".into(),
    };
    assert!(write_encoded(&layouts, &message, &list.encode_to_vec()).is_some());
}

#[test]
fn lists_come_packed_or_not() {
    let text = straight(&[8, 2, 16, 7, 18, 2, 8, 9, 16, 5]).unwrap();
    assert_eq!(text, r#"{"id":2,"numbers":[7,8,9,5],"named":{}}"#);
}

#[test]
fn fields_of_a_newer_version_are_passed_over() {
    let newer = [0xf8, 0x01, 1, 0xfa, 0x01, 1, b'x', 8, 3, 0xfd, 0x01, 0, 0, 0, 0];
    assert_eq!(straight(&newer).unwrap(), r#"{"id":3,"numbers":[],"named":{}}"#);
}

#[test]
fn what_is_rare_is_left_to_others() {
    let twice = [8, 1, 8, 2];
    let in_parts = [26, 2, 8, 1, 26, 2, 8, 2];
    let map = [34, 2, 10, 0];
    let oneof = [42, 1, b'x'];
    for encoded in [&twice[..], &in_parts, &map, &oneof] {
        assert_eq!(straight(encoded), None, "{encoded:?}");
    }
}

#[test]
fn what_is_wrong_is_left_to_others() {
    let row = pool().get_message_by_name("test.Row").unwrap();
    let layouts = Layouts::of([row.clone()], &RawJsonFields::default());
    let no_time = [50, 2, 16, 0x81];
    for encoded in [
        &[8][..],
        &[10, 1, 1],
        &[10, 1, 1, 8, 2],
        &[26, 9, 1],
        &[27],
        &[0, 1],
        &no_time,
    ] {
        assert_eq!(write_encoded(&layouts, &row, encoded), None, "{encoded:?}");
    }
}

#[test]
fn no_message_nests_so_deep_that_the_stack_ends() {
    let deep = (0..40).fold(Vec::new(), |inner: Vec<u8>, _| {
        [&[26, u8::try_from(inner.len()).unwrap()], inner.as_slice()].concat()
    });
    assert_eq!(straight(&deep), None);
}
