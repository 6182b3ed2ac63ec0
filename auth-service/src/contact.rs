//! How other services reach the owner of an account: only at an address that was verified, for anybody may claim one.

use std::sync::Arc;

use service_kit::database;
use service_kit::reason::Reason;
use sqlx::PgPool;
use thiserror::Error;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::auth::v1::contact_service_server::ContactService;
use voltgate_proto::auth::v1::{Contact, GetContactRequest};

use crate::State;

#[derive(Debug, Error)]
enum ContactError {
    #[error("there is no such account, or it is disabled")]
    NotFound,
    #[error("the account could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<ContactError> for Status {
    fn from(error: ContactError) -> Self {
        match error {
            ContactError::NotFound => Reason::NotFound.status("There is no account of this id that is open"),
            ContactError::Database(error) => database::failed(&error),
        }
    }
}

async fn get(database: &PgPool, account: &str) -> Result<Contact, ContactError> {
    // What is no UUID is no account's.
    let id = Uuid::parse_str(account).map_err(|_| ContactError::NotFound)?;
    let mut connection = database::begin(database).await?;
    let row = sqlx::query!(
        "SELECT username, CASE WHEN email_verified_at IS NOT NULL THEN email END AS email, language, roles, site_groups
         FROM authentication.account WHERE id = $1 AND disabled_at IS NULL",
        id
    )
    .fetch_optional(&mut *connection)
    .await?
    .ok_or(ContactError::NotFound)?;
    Ok(Contact {
        username: row.username,
        email: row.email,
        language: row.language,
        roles: row.roles,
        site_groups: row.site_groups.unwrap_or_default(),
    })
}

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl ContactService for Grpc {
    async fn get_contact(&self, request: Request<GetContactRequest>) -> Result<Response<Contact>, Status> {
        Ok(Response::new(
            get(&self.0.database, &request.get_ref().account_id).await?,
        ))
    }
}
