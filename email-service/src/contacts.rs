//! Who an account's owner is, and where they read their mail: asked of auth-service when a message is sent, so that it goes where they
//! read it by then, and not at all where they are gone.

use std::time::Duration;

use http::Uri;
use http::uri::InvalidUri;
use service_kit::Shared;
use service_kit::access::ServiceTokens;
use service_kit::reason::Reason;
use service_kit::start::StartError;
use service_kit::tls;
use thiserror::Error;
use tonic::Status;
use tonic::transport::Channel;
use uuid::Uuid;
use voltgate_proto::auth::v1::contact_service_client::ContactServiceClient;
use voltgate_proto::auth::v1::{Contact as Told, GetContactRequest};

/// For connecting, and for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Contacts {
    client: ContactServiceClient<Channel>,
    tokens: ServiceTokens,
}

/// The owner of an account that is open.
#[derive(Debug, Clone)]
pub(crate) struct Contact {
    pub username: String,
    /// None while they have shown no address to be theirs.
    pub email: Option<String>,
    pub language: Option<String>,
    notices: Notices,
}

/// Whether somebody may be told what happens to charge points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Notices {
    Allowed,
    Denied,
}

impl Notices {
    /// They are for whoever runs the whole network. An operator who is limited to some sites would learn of the others by them.
    fn of(roles: &[String], site_groups: &[String]) -> Self {
        let has = |role: &str| roles.iter().any(|one| one == role);
        match has("admin") || has("operator") && site_groups.is_empty() {
            true => Self::Allowed,
            false => Self::Denied,
        }
    }
}

impl Contact {
    /// Whether notices may go to them, as things are now.
    pub fn may_be_told(&self) -> bool {
        self.notices == Notices::Allowed
    }
}

/// auth-service does not answer, or not as it should.
#[derive(Debug, Error)]
#[error("auth-service does not say who it is for: {0}")]
pub(crate) struct Unknown(String);

impl Contacts {
    /// # Errors
    /// `AUTH_URL` cannot be used.
    pub fn of(shared: &Shared) -> Result<Self, StartError> {
        let url = &shared.access.auth_url;
        let address: Uri = url
            .parse()
            .map_err(|error: InvalidUri| StartError::setting("AUTH_URL", error.to_string()))?;
        tls::check_scheme(shared.tls.as_ref(), &address, "AUTH_URL")?;
        let channel = tls::channel(shared.tls.as_ref(), address, |endpoint| {
            endpoint.connect_timeout(PATIENCE).timeout(PATIENCE)
        });
        Ok(Self {
            client: ContactServiceClient::new(channel),
            tokens: shared.service_tokens(crate::NAME),
        })
    }

    /// None where there is no such account, or it is disabled.
    pub async fn find(&self, account: Uuid) -> Result<Option<Contact>, Unknown> {
        match self.ask(account).await {
            Ok(Told {
                username,
                email,
                language,
                roles,
                site_groups,
            }) => Ok(Some(Contact {
                username,
                email,
                language,
                notices: Notices::of(&roles, &site_groups),
            })),
            Err(status) if Reason::of(&status) == Reason::NotFound => Ok(None),
            Err(status) => Err(Unknown(status.message().to_owned())),
        }
    }

    async fn ask(&self, account: Uuid) -> Result<Told, Status> {
        let asked = GetContactRequest {
            account_id: account.to_string(),
        };
        let request = self.tokens.sign(asked)?;
        Ok(self.client.clone().get_contact(request).await?.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_for_whoever_runs_the_whole_network() {
        for (roles, groups, expected) in [
            (&["admin"][..], &[][..], Notices::Allowed),
            (&["admin", "operator"], &["north"], Notices::Allowed),
            (&["driver", "operator"], &[], Notices::Allowed),
            (&["operator"], &["north"], Notices::Denied),
            (&["driver"], &[], Notices::Denied),
            (&[], &[], Notices::Denied),
        ] {
            let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
            assert_eq!(
                Notices::of(&owned(roles), &owned(groups)),
                expected,
                "{roles:?} {groups:?}"
            );
        }
    }
}
