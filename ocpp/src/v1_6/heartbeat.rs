//! Heartbeat: the station asks what time it is. Its request says nothing.

use chrono::{DateTime, Utc};

use crate::timestamp;

pub use rust_ocpp::v1_6::messages::heart_beat::HeartbeatResponse;

pub fn heartbeat_response(now: DateTime<Utc>) -> HeartbeatResponse {
    HeartbeatResponse {
        current_time: timestamp::to_milliseconds(now),
    }
}
