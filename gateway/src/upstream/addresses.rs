//! The setting that says where the services are: `auth=http://127.0.0.1:50051,ocpp=http://a:50052|http://b:50052`.
//!
//! A service has one address or several, with `|` between them. Each is a replica; where one names a host by DNS, every
//! address behind that name is.

use std::collections::BTreeMap;
use std::str::FromStr;

use http::Uri;

/// Where each service is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Addresses(BTreeMap<String, Vec<Uri>>);

/// Why the setting cannot be used; the rest of a sentence that starts with its name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadAddresses {
    #[error("has `{0}`, which is not of the form name=http://host:port")]
    NotAPair(String),
    #[error("gives `{name}` the address `{address}`, which is not of the form http://host:port")]
    NotAnAddress { name: String, address: String },
    #[error("gives `{name}` the address `{address}` twice")]
    AddressTwice { name: String, address: String },
    #[error("names `{0}` twice")]
    Twice(String),
}

impl Addresses {
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl IntoIterator for Addresses {
    type Item = (String, Vec<Uri>);
    type IntoIter = std::collections::btree_map::IntoIter<String, Vec<Uri>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromStr for Addresses {
    type Err = BadAddresses;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut addresses = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, replicas) = pair
                .split_once('=')
                .ok_or_else(|| BadAddresses::NotAPair(pair.to_owned()))?;
            let name = name.trim().to_owned();
            let replicas = replicas_of(&name, replicas)?;
            if addresses.insert(name.clone(), replicas).is_some() {
                return Err(BadAddresses::Twice(name));
            }
        }
        Ok(Self(addresses))
    }
}

fn replicas_of(name: &str, text: &str) -> Result<Vec<Uri>, BadAddresses> {
    let mut replicas = Vec::new();
    for address in text.split('|').map(str::trim) {
        let uri = address
            .parse()
            .ok()
            .filter(is_plain_address)
            .ok_or_else(|| BadAddresses::NotAnAddress {
                name: name.to_owned(),
                address: address.to_owned(),
            })?;
        if replicas.contains(&uri) {
            return Err(BadAddresses::AddressTwice {
                name: name.to_owned(),
                address: address.to_owned(),
            });
        }
        replicas.push(uri);
    }
    Ok(replicas)
}

fn is_plain_address(uri: &Uri) -> bool {
    let plain_path = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty()) && plain_path
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_and_addresses_are_read() {
        let addresses: Addresses = "auth=http://127.0.0.1:50051, ocpp = http://charger:50052/,"
            .parse()
            .unwrap();
        assert!(addresses.contains("auth") && addresses.contains("ocpp") && !addresses.contains("email"));
    }

    #[test]
    fn a_service_may_have_several_addresses() {
        let addresses: Addresses = "ocpp=http://a:50052 | http://b:50052,auth=http://c:1".parse().unwrap();
        let counts: Vec<_> = addresses
            .into_iter()
            .map(|(name, replicas)| (name, replicas.len()))
            .collect();
        assert_eq!(counts, [("auth".to_owned(), 1), ("ocpp".to_owned(), 2)]);
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "auth",
            "auth=",
            "auth=127.0.0.1:1",
            "auth=ftp://x:1",
            "auth=http://x:1/path",
            "auth=https://x:1/path",
            "auth=http://x:1|",
            "auth=http://x:1|http://x:1",
        ] {
            assert!(text.parse::<Addresses>().is_err(), "{text}");
        }
        assert_eq!(
            "a=http://x:1,a=http://y:1".parse::<Addresses>(),
            Err(BadAddresses::Twice("a".into()))
        );
    }
}
