//! The Local Authorization List: whom a station lets charge without asking.

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendLocalList {
    pub list_version: i32,
    /// Whether it replaces the list, or changes it.
    pub full: bool,
    pub entries: Vec<AuthorizationData>,
}

/// An entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationData {
    pub id_tag: String,
    /// Absent in a change that takes the tag off the list.
    pub status: Option<String>,
    pub expiry_date: Option<DateTime<Utc>>,
    pub parent_id_tag: Option<String>,
}

impl SendLocalList {
    pub fn read(payload: &RawValue) -> Result<SendLocalList, Unreadable> {
        let fields = Fields::of(payload);
        let entries = fields.list("localAuthorizationList").into_iter().filter_map(|entry| {
            let info = entry.object("idTagInfo");
            Some(AuthorizationData {
                id_tag: entry.text("idTag")?,
                status: info.and_then(|info| info.text("status")),
                expiry_date: info.and_then(|info| info.time("expiryDate")),
                parent_id_tag: info.and_then(|info| info.text("parentIdTag")),
            })
        });
        Ok(SendLocalList {
            list_version: fields.required_small_integer("listVersion")?,
            full: fields.required_text("updateType")? == "Full",
            entries: entries.collect(),
        })
    }
}

/// A station's answer to GetLocalListVersion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalListVersion {
    /// 0 is an empty list, -1 a station that has none.
    pub version: i32,
}

impl LocalListVersion {
    pub fn read(payload: &RawValue) -> Result<LocalListVersion, Unreadable> {
        Ok(LocalListVersion {
            version: Fields::of(payload).required_small_integer("listVersion")?,
        })
    }
}
