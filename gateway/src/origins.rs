//! Which web pages may open a socket, and read what the API answers. A charge point sends no `Origin`, or that of the very
//! host it talks to; a browser sends the page's, and would send along the credentials it remembers.

use std::str::FromStr;

use http::Uri;
use http::header::{self, HeaderMap, HeaderValue};

/// The origins allowed besides the gateway's own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origins {
    all: bool,
    listed: Vec<String>,
}

/// An entry that is no origin; the rest of a sentence that starts with the setting's name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("has `{0}`, which is not of the form https://host")]
pub struct BadOrigin(String);

impl FromStr for Origins {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut origins = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == "*" {
                origins.all = true;
            } else if authority(entry).is_some() {
                origins.listed.push(entry.trim_end_matches('/').to_ascii_lowercase());
            } else {
                return Err(BadOrigin(entry.to_owned()));
            }
        }
        Ok(origins)
    }
}

impl Origins {
    /// Whether a request with these headers may open a socket.
    pub fn admit(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else {
            return true;
        };
        let Ok(origin) = origin.to_str() else {
            return false;
        };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let same_host = authority(origin)
            .zip(host)
            .is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host));
        self.all || same_host || self.lists(origin)
    }

    /// What `Access-Control-Allow-Origin` says to a page of this origin; nothing where it is none of those allowed. The
    /// gateway's own pages need no leave.
    pub fn allow(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.all {
            return Some(HeaderValue::from_static("*"));
        }
        let listed = origin.to_str().is_ok_and(|origin| self.lists(origin));
        listed.then(|| origin.clone())
    }

    /// Whether answers differ by the origin of the page that asks.
    pub fn tell_apart(&self) -> bool {
        !self.all && !self.listed.is_empty()
    }

    fn lists(&self, origin: &str) -> bool {
        self.listed.contains(&origin.to_ascii_lowercase())
    }
}

fn authority(origin: &str) -> Option<String> {
    let uri: Uri = origin.parse().ok()?;
    let plain = matches!(uri.scheme_str(), Some("http" | "https" | "ws" | "wss")) && matches!(uri.path(), "" | "/");
    uri.authority()
        .filter(|_| plain)
        .map(|authority| authority.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn admits(allowed: &str, origin: Option<&'static str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_static("csms.example.com:8080"));
        headers.extend(origin.map(|origin| (header::ORIGIN, HeaderValue::from_static(origin))));
        allowed.parse::<Origins>().expect("a list").admit(&headers)
    }

    #[test]
    fn a_charge_point_sends_none_or_that_of_its_host() {
        assert!(admits("", None));
        assert!(admits("", Some("http://csms.example.com:8080")));
    }

    #[test]
    fn a_foreign_page_must_be_listed() {
        for foreign in ["https://evil.example", "null", "http://csms.example.com"] {
            assert!(!admits("", Some(foreign)), "{foreign}");
        }
        assert!(admits(
            "https://console.example.com",
            Some("https://Console.example.com")
        ));
        assert!(admits("*", Some("https://evil.example")));
    }

    #[test]
    fn an_entry_that_is_no_origin_stops_the_start() {
        assert!("console.example.com".parse::<Origins>().is_err());
        assert!("https://a.example/path".parse::<Origins>().is_err());
    }
}
