//! A mail, ready to be handed over: multipart text and HTML, with headers that a stranger's name cannot touch.
//!
//! The same message makes the same mail, byte for byte, at every attempt made with the same settings. Its Message-ID stays whatever
//! the settings, and so is kept with the message: it is how a mail server, or the person reading, knows a second copy for what it is.

use std::time::SystemTime;

use chrono::{DateTime, Utc};
use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart, SinglePart};
use serde_json::Value;
use service_kit::start::StartError;
use uuid::Uuid;

use crate::pages::Pages;
use crate::template::{Language, Rendered, Template, Templates, sample};
use crate::unsubscribing::PublicUrl;

/// What a transport hands over.
pub(crate) struct Mail {
    /// Of the message.
    pub id: Uuid,
    pub envelope: Envelope,
    /// As RFC 5322 has it, ASCII only.
    pub bytes: Vec<u8>,
}

/// What a mail is made of.
pub(crate) struct Content<'a> {
    pub id: Uuid,
    /// The Message-ID, with its angle brackets.
    pub mail_id: &'a str,
    pub template: &'a str,
    pub recipient: &'a str,
    /// A BCP 47 tag, where somebody has said.
    pub language: Option<&'a str>,
    pub variables: &'a Value,
    pub created_at: DateTime<Utc>,
}

/// Why a message can never become a mail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComposeError {
    #[error("there is no template of this name")]
    Template,
    #[error("the template cannot be filled in: {0}")]
    Render(#[from] minijinja::Error),
    #[error("the recipient is not a mail address")]
    Recipient,
    #[error("the mail cannot be put together: {0}")]
    Build(#[from] lettre::error::Error),
}

/// Makes mails in the name of one sender.
pub(crate) struct Composer {
    templates: Templates,
    from: Mailbox,
    pages: Pages,
    public_url: PublicUrl,
}

impl Composer {
    /// `from` is `EMAIL_FROM`: an address, or a name with an address in angle brackets.
    pub fn new(from: &str, pages: Pages, public_url: PublicUrl) -> Result<Self, StartError> {
        let from = from.parse().map_err(|_| {
            StartError::setting(
                "EMAIL_FROM",
                "is not a mail address such as `Voltgate <mail@example.org>`",
            )
        })?;
        let templates =
            Templates::embedded().map_err(|error| StartError::other("a mail template is malformed", error))?;
        Ok(Self {
            templates,
            from,
            pages,
            public_url,
        })
    }

    /// For the Message-IDs of new messages.
    pub fn domain(&self) -> &str {
        self.from.email.domain()
    }

    /// What a template makes of made-up values: its parts, and the whole mail.
    pub fn preview(&self, template: Template, language: Language) -> Result<(Rendered, Mail), ComposeError> {
        let variables = sample(template);
        let rendered = self.render(template, language, &variables)?;
        let id = Uuid::nil();
        let mail = self.compose(&Content {
            id,
            mail_id: &format!("<{id}@{}>", self.domain()),
            template: template.name(),
            recipient: "mara@example.org",
            language: Some(language.tag()),
            variables: &variables,
            created_at: DateTime::UNIX_EPOCH,
        })?;
        Ok((rendered, mail))
    }

    fn render(&self, template: Template, language: Language, variables: &Value) -> Result<Rendered, minijinja::Error> {
        let code = variables.get("code").and_then(Value::as_str);
        let link = code.and_then(|code| self.pages.link(template, code));
        self.templates.render(template, language, variables, link.as_deref())
    }

    pub fn compose(&self, content: &Content<'_>) -> Result<Mail, ComposeError> {
        let template = Template::parse(content.template).ok_or(ComposeError::Template)?;
        let rendered = self.render(template, Language::of(content.language), content.variables)?;
        let to = recipient(content.recipient).ok_or(ComposeError::Recipient)?;
        let id = content.id;
        let message = Message::builder()
            .message_id(Some(content.mail_id.to_owned()))
            .date(SystemTime::from(content.created_at))
            .from(self.from.clone())
            // The address alone. A name beside it would be text of a stranger in a header.
            .to(Mailbox::new(None, to))
            .subject(rendered.subject);
        let mut headers = self.ways_to_unsubscribe(template, content.variables);
        // Tells an out-of-office reply to stay silent (RFC 3834, section 5).
        headers.push(("Auto-Submitted", "auto-generated".to_owned()));
        let message = headers
            .into_iter()
            .fold(message, |message, (name, value)| {
                message.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value))
            })
            .multipart(
                MultiPart::alternative()
                    .boundary(format!("part-{}", id.simple()))
                    .singlepart(SinglePart::plain(rendered.text))
                    .singlepart(SinglePart::html(rendered.html)),
            )?;
        Ok(Mail {
            id,
            envelope: message.envelope().clone(),
            bytes: message.formatted(),
        })
    }

    /// What somebody has subscribed to, they can end: on a page (RFC 2369), or at one click of their mail program (RFC 8058).
    fn ways_to_unsubscribe(&self, template: Template, variables: &Value) -> Vec<(&'static str, String)> {
        if template != Template::Notices {
            return Vec::new();
        }
        let token = variables.get("unsubscribe").and_then(Value::as_str);
        let at_one_click = token.and_then(|token| self.public_url.unsubscribe(token));
        let is_at_one_click = at_one_click.is_some();
        let ways: Vec<_> = at_one_click
            .into_iter()
            .chain(self.pages.subscriptions())
            .map(|way| format!("<{way}>"))
            .collect();
        let mut headers = Vec::new();
        if !ways.is_empty() {
            headers.push(("List-Unsubscribe", ways.join(", ")));
        }
        if is_at_one_click {
            headers.push(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned()));
        }
        headers
    }
}

/// Servers that take other than ASCII (SMTPUTF8) are too few to count on; a domain has its `xn--` form for that.
fn recipient(text: &str) -> Option<Address> {
    text.parse().ok().filter(|_| text.is_ascii())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::TimeZone;
    use serde_json::json;

    use super::*;

    fn mail(username: &str, recipient: &str) -> Result<Mail, ComposeError> {
        compose(Pages::default(), "welcome", recipient, &json!({ "username": username }))
    }

    fn compose(pages: Pages, template: &str, recipient: &str, variables: &Value) -> Result<Mail, ComposeError> {
        compose_from(
            "Voltgate <mail@voltgate.example>",
            pages,
            template,
            recipient,
            variables,
        )
    }

    fn compose_from(
        from: &str,
        pages: Pages,
        template: &str,
        recipient: &str,
        variables: &Value,
    ) -> Result<Mail, ComposeError> {
        Composer::new(from, pages, public_url()).unwrap().compose(&Content {
            id: Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001),
            mail_id: "<01900000-0000-7000-8000-000000000001@voltgate.example>",
            template,
            recipient,
            language: None,
            variables,
            created_at: Utc.with_ymd_and_hms(2026, 3, 1, 12, 0, 0).unwrap(),
        })
    }

    fn public_url() -> PublicUrl {
        PublicUrl::at(Some("https://api.voltgate.example")).unwrap()
    }

    fn text(mail: &Mail) -> String {
        String::from_utf8(mail.bytes.clone()).unwrap()
    }

    #[test]
    fn the_whole_mail_reads_as_it_was_approved() {
        insta::assert_snapshot!(
            "welcome.eml",
            text(&mail("mara", "mara@example.org").unwrap()).replace('\r', "")
        );
    }

    #[test]
    fn a_code_stands_in_the_text_in_one_piece_with_a_link_where_there_is_a_page() {
        let code = "5Fz0yQmVn3oXwqK1c8Zt4rLhUu7aBdEeGgIiJjMmNnO";
        let variables = json!({ "username": "mara", "code": code, "until": "2026-03-01T12:10:00Z" });
        let compose = |pages| compose(pages, "reset-password", "mara@example.org", &variables).unwrap();
        let without = text(&compose(Pages::default()));
        assert_eq!(without.matches(&format!("\r\n    {code}\r\n")).count(), 1, "{without}");
        assert!(!without.contains("https://"));
        let with = text(&compose(Pages::at(Some("https://voltgate.example")).unwrap()));
        assert_eq!(with.matches(&format!("\r\n    {code}\r\n")).count(), 1, "{with}");
        // Its line is too long for a mail to carry as it is.
        let unfolded = with.replace("=\r\n", "").replace("=3D", "=");
        let link = format!("\r\n    https://voltgate.example/reset-password#code={code}\r\n");
        assert_eq!(unfolded.matches(&link).count(), 1, "{with}");
    }

    #[test]
    fn a_mail_with_a_code_and_a_link_reads_as_it_was_approved() {
        let pages = Pages::at(Some("https://voltgate.example")).unwrap();
        let code = "5Fz0yQmVn3oXwqK1c8Zt4rLhUu7aBdEeGgIiJjMmNnO";
        let variables = json!({ "username": "mara", "code": code, "until": "2026-03-01T12:10:00Z" });
        let mail = compose(pages, "verify-email", "mara@example.org", &variables).unwrap();
        insta::assert_snapshot!("verify-email.eml", text(&mail).replace('\r', ""));
    }

    #[test]
    fn notices_can_be_ended_on_a_page_and_at_one_click_and_nothing_else_can() {
        let headers = |pages, template: Template, token: Option<&str>| {
            let mut variables = sample(template);
            variables["unsubscribe"] = token.into();
            let mail = text(&compose(pages, template.name(), "mara@example.org", &variables).unwrap());
            let head = mail.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
            let lines = head.lines().filter(|line| line.starts_with("List-"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let pages = || Pages::at(Some("https://voltgate.example")).unwrap();
        let (page, click) = (
            "<https://voltgate.example/subscriptions>",
            "<https://api.voltgate.example/email/unsubscribe/t-1>",
        );
        assert_eq!(
            headers(pages(), Template::Notices, Some("t-1")),
            [
                format!("List-Unsubscribe: {click}, {page}"),
                "List-Unsubscribe-Post: List-Unsubscribe=One-Click".to_owned()
            ]
        );
        assert_eq!(
            headers(pages(), Template::Notices, None),
            [format!("List-Unsubscribe: {page}")]
        );
        assert!(headers(pages(), Template::Receipt, Some("t-1")).is_empty());
    }

    #[test]
    fn every_attempt_makes_the_same_bytes() {
        assert_eq!(
            mail("mara", "mara@example.org").unwrap().bytes,
            mail("mara", "mara@example.org").unwrap().bytes
        );
    }

    #[test]
    fn a_message_id_stays_though_the_sender_is_another() {
        let variables = json!({ "username": "mara" });
        let mail = compose_from(
            "Charging <post@charging.example>",
            Pages::default(),
            "welcome",
            "mara@example.org",
            &variables,
        );
        let mail = text(&mail.unwrap());
        assert!(
            mail.contains("\r\nFrom: Charging <post@charging.example>\r\n"),
            "{mail}"
        );
        let message_id = "Message-ID: <01900000-0000-7000-8000-000000000001@voltgate.example>\r\n";
        assert_eq!(mail.matches(message_id).count(), 1, "{mail}");
    }

    #[test]
    fn a_hostile_name_leaves_the_headers_as_they_are() {
        let headers = |username| {
            let mail = text(&mail(username, "mara@example.org").unwrap());
            mail.split("\r\n\r\n").next().unwrap().to_owned()
        };
        for username in [
            "mara\r\nBcc: all@example.org",
            "<mallory@example.org>",
            "\u{202e}gro.elpmaxe@yrollam",
            "=?utf-8?q?=0d=0aBcc:_all@example.org?=",
            "mara\r\n.\r\nMAIL FROM:<x@y>",
            "--part-01900000000070008000000000000001--",
        ] {
            assert_eq!(headers(username), headers("mara"), "{username:?}");
        }
    }

    #[test]
    fn a_name_that_looks_like_a_boundary_adds_no_part() {
        let boundary = format!("\n--part-{:032x}", 0x0190_0000_0000_7000_8000_0000_0000_0001_u128);
        let count = |username| {
            text(&mail(username, "mara@example.org").unwrap())
                .matches(&boundary)
                .count()
        };
        assert_eq!(count("\r\n--part-01900000000070008000000000000001"), count("mara"));
    }

    #[test]
    fn a_mail_is_plain_ascii_whatever_the_name() {
        assert!(mail("Žofie 柳 🚗", "zofie@example.org").unwrap().bytes.is_ascii());
    }

    #[test]
    fn a_recipient_that_is_no_address_is_refused() {
        for recipient in [
            "",
            "mara",
            "mara@",
            "a@b.example\r\nBcc: c@d.example",
            "Mara <mara@example.org>",
            "ma\u{e4}ra@example.org",
        ] {
            assert!(
                matches!(mail("mara", recipient), Err(ComposeError::Recipient)),
                "{recipient:?}"
            );
        }
    }

    #[test]
    fn a_sender_that_is_no_address_names_its_setting() {
        let error = Composer::new("Voltgate", Pages::default(), PublicUrl::default())
            .err()
            .unwrap()
            .to_string();
        assert!(error.starts_with("EMAIL_FROM: "), "{error}");
    }
}
