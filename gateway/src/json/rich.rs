//! A message with every kind of field, for tests and for fuzzing: under a path, a query and a body.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;
#[cfg(test)]
use prost_reflect::MessageDescriptor;

use crate::test_protos;

const RICH: &str = r#"
syntax = "proto3";
package rich;
import "google/api/annotations.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "voltgate/api/v1/options.proto";

enum Color { COLOR_UNSPECIFIED = 0; COLOR_RED = 1; COLOR_BLUE = 2; }
message Inner { string text = 1; repeated string tags = 2; Inner inner = 3; }
message Rich {
  string text = 1;
  string display_name = 2;
  optional string nickname = 3;
  bool flag = 4;
  int32 int32 = 5;
  sint64 int64 = 6;
  fixed32 uint32 = 7;
  uint64 uint64 = 8;
  float float = 9;
  double double = 10;
  bytes data = 11;
  Color color = 12;
  Inner inner = 13;
  repeated string tags = 14;
  repeated Inner inners = 15;
  map<string, int32> counts = 16;
  map<int64, Inner> by_number = 17;
  map<bool, Color> by_flag = 18;
  oneof choice { string either = 19; int32 or = 20; }
  google.protobuf.Timestamp time = 21;
  google.protobuf.Duration span = 22;
  google.protobuf.FieldMask mask = 23;
  google.protobuf.Struct structure = 24;
  google.protobuf.Value value = 25;
  google.protobuf.ListValue list = 26;
  google.protobuf.Int64Value wrapped = 27;
  google.protobuf.StringValue wrapped_text = 28;
  string raw = 29 [(voltgate.api.v1.raw_json) = true];
  repeated double doubles = 30;
  google.protobuf.Any any = 31;
}
service Riches {
  option (voltgate.api.v1.upstream) = "riches";
  rpc Find(Rich) returns (Rich) {
    option (google.api.http) = {get: "/rich"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
  }
  rpc Put(Rich) returns (Rich) {
    option (google.api.http) = {put: "/rich/{int64}" body: "*"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
  }
  rpc PutInner(Rich) returns (Rich) {
    option (google.api.http) = {put: "/rich/{text}/inner" body: "inner"};
    option (voltgate.api.v1.endpoint) = {access: ACCESS_PUBLIC};
  }
}
"#;

pub fn rich_pool() -> DescriptorPool {
    static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| test_protos::compile(RICH));
    POOL.clone()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub fn rich(pool: &DescriptorPool) -> MessageDescriptor {
    pool.get_message_by_name("rich.Rich").unwrap()
}
