//! Configuration keys: what a station says that they are, and what it is told to make of one.

use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetConfiguration {
    /// Empty stands for all.
    pub keys: Vec<String>,
}

impl GetConfiguration {
    pub fn read(payload: &RawValue) -> GetConfiguration {
        GetConfiguration {
            keys: Fields::of(payload).texts("key"),
        }
    }
}

/// A station's answer to GetConfiguration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configuration {
    pub known: Vec<KeyValue>,
    pub unknown: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    pub key: String,
    pub readonly: Option<bool>,
    /// Absent where the key has none, or may not be read.
    pub value: Option<String>,
}

impl Configuration {
    /// An entry without a name is passed over.
    pub fn read(payload: &RawValue) -> Configuration {
        let fields = Fields::of(payload);
        let known = fields.list("configurationKey").into_iter().filter_map(|entry| {
            Some(KeyValue {
                key: entry.text("key")?,
                readonly: entry.boolean("readonly"),
                value: entry.text("value"),
            })
        });
        Configuration {
            known: known.collect(),
            unknown: fields.texts("unknownKey"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeConfiguration {
    pub key: String,
    pub value: String,
}

impl ChangeConfiguration {
    pub fn read(payload: &RawValue) -> Result<ChangeConfiguration, Unreadable> {
        let fields = Fields::of(payload);
        Ok(ChangeConfiguration {
            key: fields.required_text("key")?,
            value: fields.required_text("value")?,
        })
    }

    /// The value to the letter, which a database may not take: a secret is compared, not stored.
    pub fn secret(payload: &RawValue) -> Result<String, Unreadable> {
        let field = "value";
        Fields::of(payload).exact_text(field).ok_or(Unreadable { field })
    }
}
