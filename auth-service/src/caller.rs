//! Who calls, where the access layer let in somebody. What changes an account wants a person who is logged in; an API key
//! only reads.

use service_kit::access::Caller;
use service_kit::reason::Reason;
use tonic::{Request, Status};
use uuid::Uuid;

/// The account that calls, and the session by which it does.
#[derive(Debug, Clone, Copy)]
pub struct LoggedInAs {
    pub account: Uuid,
    pub session: Uuid,
}

impl LoggedInAs {
    /// # Errors
    /// Nobody is logged in: nobody says who they are, or an API key calls. The access layer lets neither through to where
    /// this is asked, so it is the rule of the RPC that is wrong then.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        match Caller::of(request) {
            Caller::Account {
                id,
                session,
                scopes: None,
                ..
            } => Ok(Self { account: id, session }),
            Caller::Account { scopes: Some(_), .. } => {
                Err(Reason::InsufficientScope.status("No API key may do this; log in"))
            }
            Caller::Anonymous | Caller::Service { .. } => Err(nobody()),
        }
    }
}

/// The account that reads, or that an API key reads for.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    pub account: Uuid,
    /// None where it is an API key.
    pub session: Option<Uuid>,
}

impl Reader {
    /// # Errors
    /// Nobody says who they are. As with [`LoggedInAs::of`], the rule of the RPC is wrong then.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        match Caller::of(request) {
            Caller::Account {
                id, session, scopes, ..
            } => Ok(Self {
                account: id,
                session: scopes.is_none().then_some(session),
            }),
            Caller::Anonymous | Caller::Service { .. } => Err(nobody()),
        }
    }
}

fn nobody() -> Status {
    Reason::MissingCredentials.status("An access token is required")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use service_kit::access::{Roles, Scopes};

    use super::*;

    fn request(scopes: Option<&str>) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(Caller::Account {
            id: Uuid::from_u128(1),
            roles: Roles::default(),
            session: Uuid::from_u128(2),
            token_id: Uuid::from_u128(3),
            scopes: scopes.map(Scopes::parse),
            site_groups: None,
        });
        request
    }

    #[test]
    fn an_api_key_reads_and_is_nobody_who_is_logged_in_whatever_its_scopes() {
        let person = LoggedInAs::of(&request(None)).unwrap();
        assert_eq!(
            (person.account, person.session),
            (Uuid::from_u128(1), Uuid::from_u128(2))
        );
        assert_eq!(Reader::of(&request(None)).unwrap().session, Some(person.session));
        for scopes in ["auth:read", "auth:write", ""] {
            let refused = LoggedInAs::of(&request(Some(scopes))).unwrap_err();
            assert_eq!(Reason::of(&refused), Reason::InsufficientScope);
            let reader = Reader::of(&request(Some(scopes))).unwrap();
            assert_eq!((reader.account, reader.session), (person.account, None));
        }
    }

    #[test]
    fn without_credentials_nobody_is_anybody() {
        let refusals = [
            LoggedInAs::of(&Request::new(())).err(),
            Reader::of(&Request::new(())).err(),
        ];
        for refused in refusals {
            assert_eq!(Reason::of(&refused.unwrap()), Reason::MissingCredentials);
        }
    }
}
