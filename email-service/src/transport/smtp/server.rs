//! What `SMTP_URL` says: which server, how to encrypt, and as whom to log in.
//!
//! `smtp://` is plain, with `?tls=required` encrypted by STARTTLS before anything else is said; `smtps://` is encrypted
//! from the start. A user and password in the URL are percent-encoded, as in any URL.

use std::net::IpAddr;

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::TlsParameters;
use percent_encoding::percent_decode_str;
use service_kit::start::StartError;
use url::Url;

const SMTP: u16 = 25;
const SUBMISSION: u16 = 587;
const SUBMISSIONS: u16 = 465;

pub(super) struct Server {
    host: String,
    port: u16,
    pub(super) encryption: Encryption,
    pub(super) credentials: Option<Credentials>,
}

pub(super) enum Encryption {
    None,
    StartTls(TlsParameters),
    FromTheStart(TlsParameters),
}

impl Server {
    /// # Errors
    /// They name the setting, and never repeat the URL, for it may hold a password.
    pub fn parse(url: &str) -> Result<Self, StartError> {
        let wrong = |problem: &str| StartError::setting("SMTP_URL", problem);
        let url =
            Url::parse(url).map_err(|_| wrong("is not a URL such as smtp://user:password@host:587?tls=required"))?;
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| wrong("names no host"))?
            .to_owned();
        let starts_tls = match url.query() {
            None => false,
            Some("tls=required") => true,
            Some(_) => return Err(wrong("may end with `?tls=required` and nothing else")),
        };
        let tls = || {
            TlsParameters::new(host.clone())
                .map_err(|error| StartError::other("TLS cannot be set up for SMTP_URL", error))
        };
        let (encryption, usual_port) = match (url.scheme(), starts_tls) {
            ("smtp", false) => (Encryption::None, SMTP),
            ("smtp", true) => (Encryption::StartTls(tls()?), SUBMISSION),
            ("smtps", _) => (Encryption::FromTheStart(tls()?), SUBMISSIONS),
            _ => return Err(wrong("must start with smtp:// or smtps://")),
        };
        let credentials = credentials(&url).ok_or_else(|| wrong("has a user or password that is not UTF-8"))?;
        let server = Self {
            port: url.port().unwrap_or(usual_port),
            host,
            encryption,
            credentials,
        };
        if server.tells_its_password() {
            tracing::warn!("SMTP_URL has a password and no encryption; add ?tls=required, or use smtps://");
        }
        Ok(server)
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub fn address(&self) -> (&str, u16) {
        (self.host.trim_matches(['[', ']']), self.port)
    }

    fn tells_its_password(&self) -> bool {
        let is_near = self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        matches!(self.encryption, Encryption::None) && self.credentials.is_some() && !is_near
    }
}

/// `None` if they cannot be read, `Some(None)` if there are none.
fn credentials(url: &Url) -> Option<Option<Credentials>> {
    let Some(password) = url.password() else {
        return Some(None);
    };
    let decoded = |text| percent_decode_str(text).decode_utf8().map(String::from).ok();
    Some(Some(Credentials::new(decoded(url.username())?, decoded(password)?)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_encryption_follow_from_the_url() {
        let read = |url| {
            let server = Server::parse(url).unwrap();
            let encryption = match server.encryption {
                Encryption::None => "none",
                Encryption::StartTls(_) => "starttls",
                Encryption::FromTheStart(_) => "tls",
            };
            (server.port, encryption, server.credentials.is_some())
        };
        assert_eq!(read("smtp://mail.example"), (25, "none", false));
        assert_eq!(read("smtp://mail.example?tls=required"), (587, "starttls", false));
        assert_eq!(read("smtps://volt:p%40ss@mail.example"), (465, "tls", true));
        assert_eq!(read("smtp://127.0.0.1:2525"), (2525, "none", false));
    }

    #[test]
    fn an_ipv6_address_loses_its_brackets() {
        assert_eq!(Server::parse("smtp://[::1]:2525").unwrap().address(), ("::1", 2525));
    }

    #[test]
    fn a_malformed_url_names_its_setting_and_keeps_the_password() {
        for url in [
            "mail.example",
            "http://u:hunter2@mail.example",
            "smtp://u:hunter2@",
            "smtp://u:hunter2@mail.example?tls=perhaps",
            "smtp://u:hunter2%ff@mail.example",
            "smtp://u:hunter2@mail.example:port",
        ] {
            let error = Server::parse(url).err().expect(url).to_string();
            assert!(error.starts_with("SMTP_URL: "), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_password_in_the_clear_is_noticed_unless_it_stays_on_the_machine() {
        let tells = |url| Server::parse(url).unwrap().tells_its_password();
        assert!(tells("smtp://u:p@mail.example"));
        assert!(!tells("smtp://u:p@localhost"));
        assert!(!tells("smtp://u:p@127.0.0.1"));
        assert!(!tells("smtp://u:p@mail.example?tls=required"));
        assert!(!tells("smtp://mail.example"));
    }
}
