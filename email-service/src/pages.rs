//! The pages that take the codes in mails. They are not Voltgate's own: whoever runs a site for drivers says where they are.
//!
//! A link carries its code behind the `#`. Browsers keep that part to themselves, so the code is in no server's log and in no
//! `Referer` header; the page reads it and posts it.

use service_kit::start::StartError;
use url::Url;

use crate::template::Template;

/// Where the pages are, if there are any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pages(Option<Url>);

impl Pages {
    /// Reads `EMAIL_PAGES_URL`. Left out or empty, there are none.
    ///
    /// # Errors
    /// It is not a URL that pages can stand below.
    pub fn at(url: Option<&str>) -> Result<Self, StartError> {
        let Some(text) = url.filter(|url| !url.is_empty()) else {
            return Ok(Self(None));
        };
        let wrong = || {
            StartError::setting(
                "EMAIL_PAGES_URL",
                "is not a URL such as https://voltgate.example/account",
            )
        };
        let mut url = Url::parse(text).map_err(|_| wrong())?;
        let usable = matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
        if !usable {
            return Err(wrong());
        }
        // A path that does not end in a slash would lose its last part to what is joined to it.
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(Some(url)))
    }

    /// Leads to the page where one ends what one has subscribed to.
    pub fn subscriptions(&self) -> Option<String> {
        Some(self.0.as_ref()?.join("subscriptions").ok()?.into())
    }

    /// Leads to the page where the code of such a mail is put to use.
    pub fn link(&self, template: Template, code: &str) -> Option<String> {
        let page = match template {
            Template::VerifyEmail => "verify-email",
            Template::ResetPassword => "reset-password",
            Template::AccountDeleted
            | Template::EmailChanged
            | Template::KnownEmail
            | Template::Letter
            | Template::NewSignIn
            | Template::Notices
            | Template::PasswordChanged
            | Template::Receipt
            | Template::SecondFactorChanged
            | Template::Welcome => return None,
        };
        let mut link = self.0.as_ref()?.join(page).ok()?;
        link.set_fragment(Some(&format!("code={code}")));
        Some(link.into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn link(url: &str) -> Option<String> {
        Pages::at(Some(url)).unwrap().link(Template::VerifyEmail, "a-B_9")
    }

    #[test]
    fn a_link_leads_below_the_setting_with_the_code_behind_the_hash() {
        assert_eq!(
            link("https://voltgate.example").unwrap(),
            "https://voltgate.example/verify-email#code=a-B_9"
        );
        for url in ["http://localhost:3000/my/account", "http://localhost:3000/my/account/"] {
            assert_eq!(
                link(url).unwrap(),
                "http://localhost:3000/my/account/verify-email#code=a-B_9"
            );
        }
    }

    #[test]
    fn without_pages_or_without_a_code_to_take_there_is_no_link() {
        assert_eq!(link(""), None);
        assert_eq!(Pages::default().link(Template::ResetPassword, "a"), None);
        let pages = Pages::at(Some("https://voltgate.example")).unwrap();
        assert_eq!(pages.link(Template::Welcome, "a"), None);
    }

    #[test]
    fn what_is_no_code_cannot_make_another_link_of_it() {
        let pages = Pages::at(Some("https://voltgate.example")).unwrap();
        assert_eq!(
            pages.link(Template::ResetPassword, "a\"> <b>\r\n").unwrap(),
            "https://voltgate.example/reset-password#code=a%22%3E%20%3Cb%3E"
        );
    }

    #[test]
    fn a_url_that_pages_cannot_stand_below_names_its_setting() {
        for url in [
            "voltgate.example",
            "mailto:mara@example.org",
            "ftp://voltgate.example",
            "https://voltgate.example/?page=",
            "https://voltgate.example/#",
        ] {
            let error = Pages::at(Some(url)).unwrap_err().to_string();
            assert!(error.starts_with("EMAIL_PAGES_URL: "), "{error}");
        }
    }
}
