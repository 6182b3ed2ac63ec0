//! What is to be done about an event. One visible dispatch: its arms are all that email-service acts on.
//!
//! A type stays here when nobody writes it any more: an event may be older than the version that reads it.

use chrono::{DateTime, Utc};
use service_kit::event::{self, Event, Unreadable};
use uuid::Uuid;

use super::{accounts, charges};
use crate::message::Draft;
use crate::notice::Occurrence;

pub(super) enum Decision {
    Queue(Draft),
    /// An account is no more. Its owner hears of it for the last time, where there is somebody to write to.
    Erase {
        account: Uuid,
        /// Its own, and nobody else's.
        address: Option<String>,
        farewell: Option<Draft>,
    },
    /// Something that operators may want to be told of.
    Notice(Occurrence),
    /// It is for webhooks alone.
    Told,
    /// There is nobody to write to.
    NoRecipient,
    /// This version does not know such events. It keeps the data for one that does.
    UnknownType,
    /// It came too late.
    Expired,
}

pub(super) fn decide(event: &Event, now: DateTime<Utc>) -> Result<Decision, Unreadable> {
    if event::has_expired(event, now) {
        return Ok(Decision::Expired);
    }
    let decision = match event.r#type.as_str() {
        "voltgate.events.v1.AccountDeleted" => accounts::account_deleted(event)?,
        "voltgate.events.v1.AccountSignedUp" => accounts::welcome(event::decode(event)?),
        "voltgate.events.v1.CertificateExpiring" => Decision::Notice(Occurrence::certificate_expiring(event)?),
        "voltgate.events.v1.ChargePointFaulted" => Decision::Notice(Occurrence::faulted(event)?),
        "voltgate.events.v1.ChargePointOffline" => Decision::Notice(Occurrence::offline(event)?),
        "voltgate.events.v1.ChargingFinished" => charges::receipt(event::decode(event)?)?,
        "voltgate.events.v1.ChargingStarted" => Decision::Told,
        "voltgate.events.v1.EmailChanged" => accounts::email_changed(event::decode(event)?),
        "voltgate.events.v1.EmailVerificationRequested" => accounts::verify_email(event)?,
        "voltgate.events.v1.NewSignIn" => accounts::new_sign_in(event)?,
        "voltgate.events.v1.PasswordChanged" => accounts::password_changed(event::decode(event)?),
        "voltgate.events.v1.PasswordResetRequested" => accounts::reset_password(event)?,
        "voltgate.events.v1.SecondFactorChanged" => accounts::second_factor_changed(event::decode(event)?),
        "voltgate.events.v1.SignupWithKnownEmail" => accounts::known_email(event::decode(event)?),
        _ => Decision::UnknownType,
    };
    Ok(decision.in_language(event.language.as_deref()))
}

impl Decision {
    /// What is written is written in the language that the event names.
    fn in_language(mut self, language: Option<&str>) -> Self {
        if let Self::Queue(draft)
        | Self::Erase {
            farewell: Some(draft), ..
        } = &mut self
        {
            draft.language = language.map(str::to_owned);
        }
        self
    }

    pub(super) fn draft(&self) -> Option<&Draft> {
        match self {
            Self::Queue(draft) => Some(draft),
            Self::Erase { farewell, .. } => farewell.as_ref(),
            Self::Notice(_) | Self::Told | Self::NoRecipient | Self::UnknownType | Self::Expired => None,
        }
    }

    pub(super) fn outcome(&self) -> &'static str {
        match self {
            Self::Queue(_) | Self::Erase { farewell: Some(_), .. } => "queued",
            Self::Notice(_) | Self::Told => "noted",
            Self::NoRecipient | Self::Erase { farewell: None, .. } => "no_recipient",
            Self::UnknownType => "unknown_type",
            Self::Expired => "expired",
        }
    }
}
