//! Where mail programs end a subscription at one click (RFC 8058): at Voltgate itself, below the URL under which the world reaches it.

use service_kit::start::StartError;
use url::Url;

/// Where Voltgate is reached, if anybody has said.
#[derive(Debug, Clone, Default)]
pub(crate) struct PublicUrl(Option<Url>);

impl PublicUrl {
    /// Reads `EMAIL_PUBLIC_URL`. Left out or empty, there is none.
    ///
    /// # Errors
    /// It is none that may stand in a mail: RFC 8058 wants https.
    pub fn at(url: Option<&str>) -> Result<Self, StartError> {
        let Some(text) = url.filter(|url| !url.is_empty()) else {
            return Ok(Self(None));
        };
        let wrong = || StartError::setting("EMAIL_PUBLIC_URL", "is not a URL such as https://voltgate.example");
        let mut url = Url::parse(text).map_err(|_| wrong())?;
        if url.scheme() != "https" || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong());
        }
        // A path that does not end in a slash would lose its last part to what is joined to it.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(Some(url)))
    }

    /// Ends the subscription that has the token.
    pub fn unsubscribe(&self, token: &str) -> Option<String> {
        Some(
            self.0
                .as_ref()?
                .join(&format!("email/unsubscribe/{token}"))
                .ok()?
                .into(),
        )
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_its_place_below_the_setting() {
        for (url, expected) in [
            (
                "https://voltgate.example",
                "https://voltgate.example/email/unsubscribe/a-1",
            ),
            (
                "https://example.org/charging",
                "https://example.org/charging/email/unsubscribe/a-1",
            ),
        ] {
            assert_eq!(PublicUrl::at(Some(url)).unwrap().unsubscribe("a-1").unwrap(), expected);
        }
        assert_eq!(PublicUrl::at(Some("")).unwrap().unsubscribe("a-1"), None);
    }

    #[test]
    fn one_that_may_not_stand_in_a_mail_names_its_setting() {
        for url in [
            "http://voltgate.example",
            "voltgate.example",
            "https://voltgate.example/?a",
            "mailto:a@b.example",
        ] {
            let error = PublicUrl::at(Some(url)).unwrap_err().to_string();
            assert!(error.starts_with("EMAIL_PUBLIC_URL: "), "{error}");
        }
    }
}
