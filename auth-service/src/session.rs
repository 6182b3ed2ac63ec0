//! Sessions: where an account is logged in. A session starts with a login, goes on by refreshing, and ends by logging
//! out, by not being used, or by growing old. Its row is there exactly for as long as it goes on.

pub mod end;
pub mod list;
pub mod refresh;
mod refresh_token;
pub mod start;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use service_kit::access::Client;
use service_kit::reason::{self, Reason};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::auth::v1::login_session_service_server::LoginSessionService;
use voltgate_proto::auth::v1::{
    ListSessionsRequest, ListSessionsResponse, RevokeSessionRequest, RevokeSessionsRequest, TokenResponse,
};

use self::end::Which;
use crate::State;
use crate::access_token::AccessTokens;
use crate::account::Account;
use crate::caller::{LoggedInAs, Reader};

/// How long sessions last.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Without being used.
    pub idle: TimeDelta,
    /// In any case.
    pub absolute: TimeDelta,
}

/// Sessions of one account that go on at the same time. A login more ends the one that has been idle for longest, so that
/// a program that logs in for every call fills no table.
pub const MOST_OF_ONE_ACCOUNT: i64 = 100;

/// What a client is handed when it logged in, or refreshed.
pub struct LoggedIn {
    pub account: Account,
    pub access_token: String,
    pub expires_in: Duration,
    pub refresh_token: String,
}

impl From<LoggedIn> for TokenResponse {
    fn from(logged_in: LoggedIn) -> Self {
        Self {
            id: logged_in.account.id.to_string(),
            username: logged_in.account.username,
            access_token: logged_in.access_token,
            token_type: "Bearer".to_owned(),
            expires_in: i32::try_from(logged_in.expires_in.as_secs()).unwrap_or(i32::MAX),
            refresh_token: logged_in.refresh_token,
        }
    }
}

/// When a session that is used now ends without being used again.
fn expires_at(now: DateTime<Utc>, idle: TimeDelta, ends_at: DateTime<Utc>) -> DateTime<Utc> {
    (now + idle).min(ends_at)
}

/// An access token of this session. One that goes on after its earlier tokens were revoked says that it was issued after
/// that, though it may be the same second (`iat` knows no fractions).
fn access_token(
    tokens: &AccessTokens,
    account: &Account,
    session: Uuid,
    tokens_from: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<String, jsonwebtoken::errors::Error> {
    let issued_at = tokens_from.map_or(now, |from| from.max(now));
    tokens.issue(account, session, issued_at)
}

/// The first second that is later than `now`.
pub fn next_second(now: DateTime<Utc>) -> DateTime<Utc> {
    now.duration_trunc(TimeDelta::seconds(1)).unwrap_or(now) + TimeDelta::seconds(1)
}

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl LoginSessionService for Grpc {
    async fn list_sessions(
        &self,
        request: Request<ListSessionsRequest>,
    ) -> Result<Response<ListSessionsResponse>, Status> {
        let caller = Reader::of(&request)?;
        let sessions = list::list(&self.0, caller.account, caller.session).await?;
        Ok(Response::new(ListSessionsResponse { sessions }))
    }

    async fn revoke_session(&self, request: Request<RevokeSessionRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let session = Uuid::parse_str(&request.into_inner().session_id).map_err(|_| not_found())?;
        let ended = end::by_account(&self.0, &caller, &client, Which::One(session)).await?;
        if ended == 0 {
            Err(not_found())
        } else {
            Ok(Response::new(()))
        }
    }

    async fn revoke_sessions(&self, request: Request<RevokeSessionsRequest>) -> Result<Response<()>, Status> {
        let (caller, client) = (LoggedInAs::of(&request)?, Client::of(&request));
        let which = if request.into_inner().except_this {
            Which::Others(caller.session)
        } else {
            Which::All
        };
        end::by_account(&self.0, &caller, &client, which).await?;
        Ok(Response::new(()))
    }
}

fn not_found() -> Status {
    Reason::NotFound.status("You have no such session")
}

impl From<start::SessionError> for Status {
    fn from(error: start::SessionError) -> Self {
        match error {
            start::SessionError::Token(_) | start::SessionError::Sealing(_) => reason::internal(&error),
            start::SessionError::Database(error) => service_kit::database::failed(&error),
        }
    }
}
