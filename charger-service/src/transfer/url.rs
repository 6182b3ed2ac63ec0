//! Where charge points reach the gateway, and the URLs of transfers below it.

use std::str::FromStr;

use thiserror::Error;

use super::Token;
use crate::file::name::percent_encoded;
use crate::redact::location::TRANSFERS;

/// Scheme, host and perhaps port and path, without a slash at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("must be a URL such as https://charge.example.com, without user, query and fragment")]
pub struct NoPublicUrl;

impl FromStr for PublicUrl {
    type Err = NoPublicUrl;

    fn from_str(text: &str) -> Result<Self, NoPublicUrl> {
        let url = text.trim_end_matches('/');
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        let host = rest.ok_or(NoPublicUrl)?.split('/').next().unwrap_or_default();
        let is_plain = |letter: u8| letter.is_ascii_graphic() && !b"@?#\"\\<>^`{|}".contains(&letter);
        if host.is_empty() || host.starts_with(':') || !url.bytes().all(is_plain) {
            return Err(NoPublicUrl);
        }
        Ok(Self(url.to_owned()))
    }
}

impl PublicUrl {
    /// Where a file may be left: a charge point adds its name.
    pub fn of_upload(&self, token: &Token) -> String {
        format!("{}{TRANSFERS}{}/", self.0, token.as_str())
    }

    /// Where the file of this name can be fetched.
    pub fn of_download(&self, token: &Token, name: &str) -> String {
        format!("{}{}", self.of_upload(token), percent_encoded(name))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_a_path_can_follow_is_one_and_nothing_else_is() {
        for good in [
            "http://127.0.0.1:8080",
            "https://charge.example.com/",
            "https://example.com/csms",
            "http://[::1]:8080",
        ] {
            let url: PublicUrl = good.parse().unwrap();
            assert!(!url.0.ends_with('/'), "{good}");
        }
        for bad in [
            "",
            "charge.example.com",
            "ftp://charge.example.com",
            "https://",
            "https://:443",
            "https://user@example.com",
            "https://example.com?x",
            "https://example.com#x",
            "https://exam ple.com",
        ] {
            assert_eq!(bad.parse::<PublicUrl>(), Err(NoPublicUrl), "{bad}");
        }
    }

    #[test]
    fn a_name_follows_the_token() {
        let (url, token) = ("https://h/x/".parse::<PublicUrl>().unwrap(), Token::generate());
        let expected = format!("https://h/x/ocpp/transfers/{}/", token.as_str());
        assert_eq!(url.of_upload(&token), expected);
        assert_eq!(url.of_download(&token, "fw 1.bin"), format!("{expected}fw%201.bin"));
    }
}
