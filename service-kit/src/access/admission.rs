//! Whether somebody who was let in would still be. An answer that goes on for hours has to ask: meanwhile a token expires, a
//! login ends, a role is taken away.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Uri, header};
use tokio::time::sleep;
use tonic::Status;

use super::caller::Caller;
use super::layer::Access;
use crate::reason::Reason;

/// A login that ended is over everywhere within a second.
const LOOK: Duration = Duration::from_millis(500);

/// Put into the extensions of every request by [`AccessLayer`](super::AccessLayer): what an account was let in by.
#[derive(Clone)]
pub struct Admission {
    access: Access,
    uri: Uri,
    authorization: Option<HeaderValue>,
    /// What the caller may see then.
    limits: Option<Arc<[String]>>,
}

impl Admission {
    pub(super) fn new(access: Access, uri: Uri, headers: &HeaderMap, caller: &Caller) -> Self {
        let authorization = headers.get(header::AUTHORIZATION).cloned();
        Self {
            access,
            uri,
            authorization,
            limits: caller.limits().cloned(),
        }
    }

    /// That of a request that came through the layer.
    pub fn of<T>(request: &tonic::Request<T>) -> Option<Self> {
        request.extensions().get().cloned()
    }

    /// Waits until the caller would not be let in any more: the token has expired or is void, or the API key is gone. That
    /// tokens cannot be verified for a while ends nothing.
    ///
    /// # Errors
    /// What a new call would be refused with.
    pub async fn lapse(self) -> Result<Infallible, Status> {
        let headers: HeaderMap = self
            .authorization
            .into_iter()
            .map(|value| (header::AUTHORIZATION, value))
            .collect();
        loop {
            sleep(LOOK).await;
            match self.access.admit(self.uri.path(), &headers).await {
                Ok(caller) if caller.limits() == self.limits.as_ref() => {}
                Ok(_) => return Err(Reason::InvalidToken.status("You may see something else by now; please ask again")),
                Err(status) if Reason::of(&status) == Reason::Unavailable => {}
                Err(status) => return Err(status),
            }
        }
    }
}
