//! Who calls, where the access layer let in somebody who is logged in.

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
    /// Nobody is logged in. The access layer lets nobody through to where this is asked, so it is the rule of the RPC that
    /// is wrong then.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        match Caller::of(request) {
            Caller::Account { id, session, .. } => Ok(Self { account: id, session }),
            Caller::Anonymous | Caller::Service { .. } => {
                Err(Reason::MissingCredentials.status("An access token is required"))
            }
        }
    }
}
