//! Where a call goes.

use std::fmt;
use std::net::IpAddr;

use http::Uri;
use thiserror::Error;

use super::Reach;

const LONGEST: usize = 2048;

/// An absolute URL of http or https, without a user, a password or a fragment. Shows its origin only: paths and queries of hooks
/// often are secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(Uri);

/// The rest of a sentence that starts with the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UrlError {
    #[error("must be an http or https URL of at most 2048 characters, without a user or a fragment")]
    NotOne,
    #[error("must begin with https://")]
    NotSecure,
    #[error("is an internal address, which this installation does not call")]
    Internal,
}

impl Url {
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let rest = rest.filter(|_| text.len() <= LONGEST).ok_or(UrlError::NotOne)?;
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if !is_authority(authority) || !path.bytes().all(is_of_a_path) {
            return Err(UrlError::NotOne);
        }
        text.parse().map(Self).map_err(|_| UrlError::NotOne)
    }

    /// # Errors
    /// It is plainly out of reach: what a name stands for is seen when it is called. Within reach of the internet only, it has to
    /// be https.
    pub fn within(self, reach: Reach) -> Result<Self, UrlError> {
        if reach == Reach::Anywhere {
            return Ok(self);
        }
        match self.host().parse::<IpAddr>() {
            Ok(address) if !reach.includes(address) => Err(UrlError::Internal),
            Ok(_) | Err(_) if self.0.scheme_str() != Some("https") => Err(UrlError::NotSecure),
            Ok(_) | Err(_) => Ok(self),
        }
    }

    pub fn as_text(&self) -> String {
        self.0.to_string()
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    /// A name or an address, the latter without brackets.
    fn host(&self) -> &str {
        let host = self.0.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.0.scheme_str().unwrap_or_default(), self.0.authority());
        write!(f, "{scheme}://{}", authority.map_or("", |authority| authority.as_str()))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

fn is_authority(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, rest)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (None, rest),
            _ => return false,
        },
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (Some(host), port)
        }
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let is_port = |port: &str| {
        port.len() <= 5
            && port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    host.is_none_or(|host| host.len() <= 253 && host.split('.').all(is_label))
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

fn is_of_a_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:/?@!$&'()*+,;=%".contains(&byte)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_called_is_a_url() {
        for url in [
            "https://hooks.example.com",
            "http://localhost:8080/a/b?c=d&e",
            "https://[2606:4700::1111]:8443/",
            "https://10.0.0.1?x",
            "https://a_b.example/%7Euser",
        ] {
            assert!(Url::parse(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn what_cannot_is_none() {
        for url in [
            "",
            "hooks.example.com",
            "ftp://hooks.example.com",
            "HTTPS://hooks.example.com",
            "https://",
            "https:///path",
            "https://user@example.com",
            "https://user:secret@example.com",
            "https://example.com#fragment",
            "https://example.com:",
            "https://example.com:0",
            "https://example.com:65536",
            "https://example..com",
            "https://exa mple.com",
            "https://example.com/\u{e9}",
            "https://example.com/a b",
            "https://[::1",
            "https://[::g]/",
            "https://::1/",
        ] {
            assert_eq!(Url::parse(url).unwrap_err(), UrlError::NotOne, "{url}");
        }
        let long = format!("https://example.com/{}", "x".repeat(LONGEST));
        assert_eq!(Url::parse(&long).unwrap_err(), UrlError::NotOne);
    }

    #[test]
    fn within_the_internet_it_is_https_and_no_internal_address() {
        let within = |url: &str, reach| Url::parse(url).unwrap().within(reach).map(|_| ());
        for internal in [
            "https://127.0.0.1/",
            "https://[::1]/",
            "http://10.1.2.3",
            "https://169.254.169.254/x",
        ] {
            assert_eq!(within(internal, Reach::Public), Err(UrlError::Internal), "{internal}");
            assert_eq!(within(internal, Reach::Anywhere), Ok(()));
        }
        assert_eq!(within("http://example.com", Reach::Public), Err(UrlError::NotSecure));
        assert_eq!(within("https://example.com", Reach::Public), Ok(()));
        assert_eq!(within("https://8.8.8.8", Reach::Public), Ok(()));
    }

    #[test]
    fn it_shows_where_it_leads_and_no_more() {
        let url = Url::parse("https://hooks.example.com:8443/secret?token=secret").unwrap();
        assert_eq!(url.to_string(), "https://hooks.example.com:8443");
        assert_eq!(format!("{url:?}"), "Url(https://hooks.example.com:8443)");
        assert_eq!(url.as_text(), "https://hooks.example.com:8443/secret?token=secret");
    }
}
