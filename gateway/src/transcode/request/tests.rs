#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use prost_reflect::DescriptorPool;

use super::*;
use crate::routes::Routes;
use crate::test_protos;

fn pool() -> DescriptorPool {
    test_protos::compile(
        r#"syntax = "proto3"; package test;
        import "google/api/annotations.proto"; import "google/api/httpbody.proto";
        import "google/protobuf/duration.proto"; import "google/protobuf/field_mask.proto";
        import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
        import "voltgate/api/v1/options.proto";
        enum State { STATE_UNSPECIFIED = 0; STATE_OPEN = 1; }
        message Filter { string owner_name = 1; repeated int32 sizes = 2; }
        message Ask {
          int32 id = 1; optional int32 page_size = 2; repeated State states = 3; Filter filter = 4;
          google.protobuf.Timestamp since = 5; google.protobuf.BoolValue live = 6; map<string, string> labels = 7;
          google.api.HttpBody raw = 8; string name = 9;
          oneof target { int32 slot = 10; string zone = 11; Filter area = 12; }
          google.protobuf.Duration wait = 13; google.protobuf.FieldMask mask = 14; bytes key = 15;
          repeated google.protobuf.Int64Value marks = 16; repeated Filter filters = 17; map<string, int32> counts = 18;
          string note = 19 [(voltgate.api.v1.raw_json) = true];
        }
        service Asks {
          option (voltgate.api.v1.upstream) = "asks";
          rpc List(Ask) returns (Ask) {
            option (google.api.http) = {get: "/asks/{id}"};
            option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
          }
          rpc Put(Ask) returns (Ask) {
            option (google.api.http) = {put: "/asks/{id}" body: "*"};
            option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
          }
          rpc Filtered(Ask) returns (Ask) {
            option (google.api.http) = {post: "/asks/{id}/filter" body: "filter"};
            option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
          }
          rpc Update(Ask) returns (Ask) {
            option (google.api.http) = {patch: "/filters/{filter.owner_name=owners/*}" body: "filter"};
            option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
          }
          rpc Many(Ask) returns (Ask) {
            option (google.api.http) = {
              put: "/asks/{id}/sizes" body: "filters"
              additional_bindings {put: "/asks/{id}/name" body: "name"}
              additional_bindings {put: "/asks/{id}/since" body: "since"}
              additional_bindings {put: "/asks/{id}/counts" body: "counts"}
            };
            option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
          }
          rpc Zone(Ask) returns (Ask) {
            option (google.api.http) = {post: "/zones/{zone}" body: "area"};
            option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
          }
          rpc Table(Ask) returns (Ask) {
            option (google.api.http) = {post: "/tables" body: "raw"};
            option (voltgate.api.v1.endpoint) = {
              access: ACCESS_PUBLIC media_types: ["text/csv", "application/json"]
            };
          }
          rpc Whole(google.api.HttpBody) returns (Ask) {
            option (google.api.http) = {post: "/whole" body: "*"};
            option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
          }
          rpc Raw(Ask) returns (Ask) {
            option (google.api.http) = {post: "/asks/{filter.owner_name}/raw" body: "raw"};
            option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
          }
        }"#,
    )
}

fn ask(method: &str, target: &str, content_type: Option<&str>, body: &'static str) -> Result<String, Refused> {
    let pool = pool();
    let raw_json = RawJsonFields::from_descriptors(&pool);
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query)));
    let found = Routes::from_descriptors(&pool)
        .unwrap()
        .find(&method.parse().unwrap(), path)
        .unwrap();
    let input = Input {
        variables: &found.variables,
        query,
        content_type,
        body: Bytes::from_static(body.as_bytes()),
    };
    message(&found.endpoint, &raw_json, input).map(|message| message.to_text_format())
}

fn violations(result: Result<String, Refused>) -> BTreeMap<String, String> {
    match result {
        Err(Refused::Invalid(violations)) => violations
            .into_iter()
            .map(|violation| (violation.field, violation.message))
            .collect(),
        other => panic!("{other:?}"),
    }
}

const JSON: Option<&str> = Some("application/json");

#[test]
fn parameters_fill_fields_by_either_name() {
    let filled = ask(
        "GET",
        "/asks/7?pageSize=5&states=STATE_OPEN&states=0&filter.owner_name=A+B%26C&filter.sizes=1&filter.sizes=2\
         &since=2026-01-31T08:15:00Z&live=true",
        None,
        "",
    );
    assert_eq!(
        filled.unwrap(),
        "id:7,page_size:5,states:[STATE_OPEN,STATE_UNSPECIFIED],filter{owner_name:\"A B&C\",sizes:[1,2]},\
         since{seconds:1769847300},live{value:true}"
    );
}

#[test]
fn everything_wrong_with_path_and_query_is_told_at_once() {
    let told = violations(ask(
        "GET",
        "/asks/seven?pageSize=x&page_size=1&id=3&nope=1&labels=a&filter=b&states=SHUT&raw=x&name=%ff&since=now",
        None,
        "",
    ));
    let expected = [
        ("filter", "cannot be given as one value"),
        ("id", "must be an integer"),
        ("labels", "cannot be given in a query"),
        ("name", "is not UTF-8 once it is decoded"),
        ("nope", "is not a parameter of this endpoint"),
        ("pageSize", "must be an integer"),
        ("raw", "cannot be given as one value"),
        ("since", "must be a time as in RFC 3339, such as `2026-01-31T08:15:00Z`"),
        ("states", "must be one of `STATE_UNSPECIFIED`, `STATE_OPEN`"),
    ];
    for (field, message) in expected {
        assert_eq!(told.get(field).map(String::as_str), Some(message), "{field}: {told:?}");
    }
}

#[test]
fn a_single_value_may_be_given_once() {
    let told = violations(ask("GET", "/asks/7?pageSize=1&page_size=2", None, ""));
    assert_eq!(told["page_size"], "appears twice");
}

#[test]
fn a_parameter_that_holds_json_is_json() {
    let filled = ask("GET", "/asks/7?note=+%7B%22a%22:1.0%7D+", None, "");
    assert_eq!(filled.unwrap(), r#"id:7,note:"{\"a\":1.0}""#);
    for text in ["", "%7B", "1%202"] {
        let told = violations(ask("GET", &format!("/asks/7?note={text}"), None, ""));
        assert_eq!(told["note"], "must be JSON", "{text}");
    }
}

#[test]
fn a_body_fills_the_message_and_the_path_the_rest() {
    assert_eq!(
        ask("PUT", "/asks/7", JSON, r#"{"name": "n"}"#).unwrap(),
        r#"id:7,name:"n""#
    );
    let told = violations(ask("PUT", "/asks/7", JSON, r#"{"id": 8}"#));
    assert_eq!(told["$.id"], "is not what the path says");
    assert_eq!(ask("PUT", "/asks/7", JSON, r#"{"id": 7}"#).unwrap(), "id:7");
    let told = violations(ask("PUT", "/asks/7?name=n", JSON, "{}"));
    assert_eq!(told["name"], "is not a parameter of this endpoint");
}

#[test]
fn a_body_may_fill_one_field() {
    let filled = ask("POST", "/asks/7/filter?name=n", JSON, r#"{"ownerName": "o"}"#);
    assert_eq!(filled.unwrap(), r#"id:7,filter{owner_name:"o"},name:"n""#);
}

#[test]
fn a_raw_body_is_taken_as_it_is() {
    let filled = ask("POST", "/asks/o/raw", Some("text/csv"), "a,b");
    assert_eq!(
        filled.unwrap(),
        r#"filter{owner_name:"o"},raw{content_type:"text/csv",data:"a,b"}"#
    );
}

#[test]
fn a_body_that_is_not_json_by_its_type_is_refused() {
    for content_type in [None, Some("text/plain"), Some("application/x-www-form-urlencoded")] {
        assert!(matches!(
            ask("PUT", "/asks/7", content_type, "{}"),
            Err(Refused::MediaType(_))
        ));
    }
}

#[test]
fn a_body_that_nobody_reads_is_refused() {
    assert!(violations(ask("GET", "/asks/7", JSON, "{}"))["$"].contains("takes no body"));
}

#[test]
fn every_kind_of_parameter_is_read() {
    let filled = ask(
        "GET",
        "/asks/7?wait=1.5s&mask=ownerName,a.b&key=AP8&marks=9223372036854775807&marks=2&states=1&zone=z",
        None,
        "",
    );
    assert_eq!(
        filled.unwrap(),
        "id:7,states:[STATE_OPEN],zone:\"z\",wait{seconds:1,nanos:500000000},mask{paths:[\"owner_name\",\"a.b\"]},\
         key:\"\\000\\377\",marks:[{value:9223372036854775807},{value:2}]"
    );
}

#[test]
fn the_members_of_a_oneof_exclude_each_other_wherever_they_stand() {
    let told = violations(ask("GET", "/asks/7?slot=1&zone=z", None, ""));
    assert_eq!(told["zone"], "cannot be given together with `slot`");
    let told = violations(ask("GET", "/asks/7?slot=1&area.ownerName=o", None, ""));
    assert_eq!(told["area.ownerName"], "cannot be given together with `slot`");
    let told = violations(ask("POST", "/zones/z?slot=1", JSON, "{}"));
    assert_eq!(told["slot"], "cannot be given together with `area`");
    assert_eq!(told["zone"], "cannot be given together with `area`");
}

#[test]
fn what_is_wrong_with_body_query_and_path_is_told_together() {
    let told = violations(ask(
        "POST",
        "/asks/x/filter?nope=1",
        JSON,
        r#"{"sizes": ["a"], "more": 1}"#,
    ));
    let fields: Vec<_> = told.keys().map(String::as_str).collect();
    assert_eq!(fields, ["$.more", "$.sizes[0]", "id", "nope"]);
}

#[test]
fn a_body_that_is_not_json_does_not_hide_what_else_is_wrong() {
    let Err(Refused::Malformed(malformed, others)) = ask("POST", "/asks/x/filter?nope=1", JSON, "{\n 1}") else {
        panic!("the body is not JSON");
    };
    assert_eq!((malformed.line, malformed.column), (2, 2));
    let fields: Vec<_> = others.iter().map(|other| other.field.as_str()).collect();
    assert_eq!(fields, ["nope", "id"]);
}

#[test]
fn a_body_may_be_a_list_a_map_or_a_single_value() {
    for (path, body, filled) in [
        ("sizes", r#"[{"sizes": [1]}, {}]"#, "id:7,filters:[{sizes:[1]},{}]"),
        ("name", r#""n""#, r#"id:7,name:"n""#),
        ("since", r#""1970-01-01T00:00:01Z""#, "id:7,since{seconds:1}"),
        ("counts", r#"{"a": 1}"#, r#"id:7,counts:[{key:"a",value:1}]"#),
    ] {
        assert_eq!(ask("PUT", &format!("/asks/7/{path}"), JSON, body).unwrap(), filled);
    }
    let told = violations(ask("PUT", "/asks/7/sizes", JSON, r#"[{"sizes": ["x"]}]"#));
    assert_eq!(told["$[0].sizes[0]"], "must be an integer");
    assert_eq!(
        violations(ask("PUT", "/asks/7/name", JSON, "null"))["$"],
        "must be a string, not null"
    );
}

#[test]
fn the_path_may_name_what_the_body_changes() {
    let filled = ask("PATCH", "/filters/owners/7", JSON, r#"{"sizes": [1]}"#);
    assert_eq!(filled.unwrap(), r#"filter{owner_name:"owners/7",sizes:[1]}"#);
    let filled = ask("PATCH", "/filters/owners/7", JSON, r#"{"ownerName": "owners/7"}"#);
    assert_eq!(filled.unwrap(), r#"filter{owner_name:"owners/7"}"#);
    let told = violations(ask("PATCH", "/filters/owners/7", JSON, r#"{"ownerName": ""}"#));
    assert_eq!(told["$.ownerName"], "is not what the path says");
}

#[test]
fn a_raw_body_may_be_the_whole_message() {
    let filled = ask("POST", "/whole", Some("image/png"), "bytes");
    assert_eq!(filled.unwrap(), r#"content_type:"image/png",data:"bytes""#);
}

#[test]
fn a_raw_body_may_be_of_some_media_types_only() {
    for content_type in ["text/csv; charset=utf-8", "application/json"] {
        assert!(
            ask("POST", "/tables", Some(content_type), "a").is_ok(),
            "{content_type}"
        );
    }
    for content_type in [None, Some("text/plain"), Some("application/json; charset=latin1")] {
        let Err(Refused::MediaType(taken)) = ask("POST", "/tables", content_type, "a") else {
            panic!("{content_type:?} is not taken");
        };
        assert_eq!(taken, ["text/csv", "application/json"]);
    }
}

#[test]
fn the_number_of_parameters_is_bounded() {
    let many = format!("/asks/7?{}", "states=0&".repeat(1001));
    assert!(violations(ask("GET", &many, None, ""))["?"].contains("more than 1000 parameters"));
}
