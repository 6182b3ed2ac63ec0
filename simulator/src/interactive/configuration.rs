//! Configuration keys that a played charge point has.

use std::collections::BTreeMap;

use crate::saying::Reply;

pub const HEARTBEAT: &str = "HeartbeatInterval";
pub const METER: &str = "MeterValueSampleInterval";

/// Keys that may be changed to another number of seconds; the others are as they are.
const CHANGEABLE: [&str; 2] = [HEARTBEAT, METER];

#[derive(Debug)]
pub struct Configuration(BTreeMap<String, String>);

impl Configuration {
    pub fn new(connectors: u32, meter_seconds: u64) -> Self {
        let keys = [
            ("AuthorizeRemoteTxRequests", "false".to_owned()),
            ("ConnectionTimeOut", "60".to_owned()),
            (HEARTBEAT, "300".to_owned()),
            (METER, meter_seconds.to_string()),
            (
                "MeterValuesSampledData",
                "Energy.Active.Import.Register,Power.Active.Import".to_owned(),
            ),
            ("NumberOfConnectors", connectors.to_string()),
            ("SupportedFeatureProfiles", "Core,RemoteTrigger".to_owned()),
        ];
        Self(keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// A number of seconds; 0 is never.
    pub fn seconds(&self, key: &str) -> u64 {
        self.0.get(key).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    pub fn set_seconds(&mut self, key: &str, seconds: u64) {
        self.0.insert(key.to_owned(), seconds.to_string());
    }

    /// All keys, or those that were asked for. Keys are the same whatever their case (OCPP 1.6, type CiString).
    pub fn read(&self, keys: &[String]) -> Reply {
        let entry = |key: &str, value: &str| {
            let changeable = CHANGEABLE.contains(&key);
            (key.to_owned(), value.to_owned(), !changeable)
        };
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        if keys.is_empty() {
            known.extend(self.0.iter().map(|(key, value)| entry(key, value)));
        }
        for wanted in keys {
            match self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(wanted)) {
                Some((key, value)) => known.push(entry(key, value)),
                None => unknown.push(wanted.clone()),
            }
        }
        Reply::Configuration { known, unknown }
    }

    pub fn change(&mut self, wanted: &str, value: &str) -> Reply {
        let Some(key) = self.0.keys().find(|key| key.eq_ignore_ascii_case(wanted)).cloned() else {
            return Reply::NotSupported;
        };
        match value.parse::<u32>() {
            Ok(seconds) if CHANGEABLE.contains(&key.as_str()) => {
                self.set_seconds(&key, seconds.into());
                Reply::Accepted
            }
            _ => Reply::Rejected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_may_be_changed_and_nothing_else() {
        let mut configuration = Configuration::new(2, 10);
        assert_eq!(configuration.change("heartbeatinterval", "60"), Reply::Accepted);
        assert_eq!(configuration.seconds(HEARTBEAT), 60);
        assert_eq!(configuration.change(HEARTBEAT, "often"), Reply::Rejected);
        assert_eq!(configuration.change("NumberOfConnectors", "7"), Reply::Rejected);
        assert_eq!(configuration.change("Colour", "red"), Reply::NotSupported);
    }

    #[test]
    fn keys_that_there_are_not_are_told() {
        let configuration = Configuration::new(2, 10);
        let reply = configuration.read(&["numberofconnectors".into(), "Colour".into()]);
        let expected = Reply::Configuration {
            known: vec![("NumberOfConnectors".into(), "2".into(), true)],
            unknown: vec!["Colour".into()],
        };
        assert_eq!(reply, expected);
        assert!(matches!(configuration.read(&[]), Reply::Configuration { known, .. } if known.len() == 7));
    }
}
