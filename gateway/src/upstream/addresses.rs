//! The setting that says where the services are: `auth=http://127.0.0.1:50051,ocpp=http://127.0.0.1:50052`.

use std::collections::BTreeMap;
use std::str::FromStr;

use http::Uri;

/// Where each service is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Addresses(BTreeMap<String, Uri>);

/// Why the setting cannot be used; the rest of a sentence that starts with its name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadAddresses {
    #[error("has `{0}`, which is not of the form name=http://host:port")]
    NotAPair(String),
    #[error("gives `{name}` the address `{address}`, which is not of the form http://host:port")]
    NotAnAddress { name: String, address: String },
    #[error("names `{0}` twice")]
    Twice(String),
}

impl Addresses {
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}

impl IntoIterator for Addresses {
    type Item = (String, Uri);
    type IntoIter = std::collections::btree_map::IntoIter<String, Uri>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromStr for Addresses {
    type Err = BadAddresses;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut addresses = BTreeMap::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (name, address) = pair
                .split_once('=')
                .ok_or_else(|| BadAddresses::NotAPair(pair.to_owned()))?;
            let (name, address) = (name.trim().to_owned(), address.trim());
            let uri = address
                .parse()
                .ok()
                .filter(is_plain_address)
                .ok_or_else(|| BadAddresses::NotAnAddress {
                    name: name.clone(),
                    address: address.to_owned(),
                })?;
            if addresses.insert(name.clone(), uri).is_some() {
                return Err(BadAddresses::Twice(name));
            }
        }
        Ok(Self(addresses))
    }
}

fn is_plain_address(uri: &Uri) -> bool {
    let plain_path = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
    uri.scheme_str() == Some("http") && uri.host().is_some_and(|host| !host.is_empty()) && plain_path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_read() {
        let addresses: Addresses = "auth=http://127.0.0.1:50051, ocpp = http://charger:50052/,"
            .parse()
            .expect("addresses");
        assert!(addresses.contains("auth") && addresses.contains("ocpp") && !addresses.contains("email"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "auth",
            "auth=",
            "auth=127.0.0.1:1",
            "auth=ftp://x:1",
            "auth=http://x:1/path",
            "auth=https://x:1",
        ] {
            assert!(text.parse::<Addresses>().is_err(), "{text}");
        }
        assert_eq!(
            "a=http://x:1,a=http://y:1".parse::<Addresses>(),
            Err(BadAddresses::Twice("a".into()))
        );
    }
}
