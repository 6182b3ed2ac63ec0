//! Who may charge. A token is registered here; what it may do at a station is `authorization.rs`.

mod create;
mod delete;
mod import;
pub mod key_code;
mod list;
mod location;
pub mod owner;
mod update;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use service_kit::event::timestamp;
use service_kit::reason;
use sqlx::types::Json;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::id_token_service_server::IdTokenService;
use voltgate_proto::ocpp::v1::{
    CreateIdTokenRequest, DeleteIdTokenRequest, GetIdTokenRequest, IdToken, ImportIdTokensResponse, ImportRequest,
    ListIdTokensRequest, ListIdTokensResponse, UpdateIdTokenRequest,
};

use self::create::NewIdToken;
use self::location::Location;
use self::update::Change;
use crate::State;
use crate::audit::Author;
use crate::import::take_in;
use service_kit::version::{IfMatch, Versioned};

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl IdTokenService for Grpc {
    async fn create_id_token(&self, request: Request<CreateIdTokenRequest>) -> Result<Response<IdToken>, Status> {
        let author = Author::of(&request);
        let new = NewIdToken::try_from(request.into_inner()).map_err(reason::invalid)?;
        let created = create::create(&self.0, new, &author).await?;
        Ok(Versioned::from(created).into())
    }

    async fn import_id_tokens(
        &self,
        request: Request<Streaming<ImportRequest>>,
    ) -> Result<Response<ImportIdTokensResponse>, Status> {
        let file = take_in(&self.0, request, import::FIELDS).await?;
        let imported = import::import(&self.0, file).await?;
        Ok(Response::new(imported))
    }

    async fn list_id_tokens(
        &self,
        request: Request<ListIdTokensRequest>,
    ) -> Result<Response<ListIdTokensResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let id_tokens = list::list(&self.0.database, page).await?;
        Ok(Response::new(id_tokens))
    }

    async fn get_id_token(&self, request: Request<GetIdTokenRequest>) -> Result<Response<IdToken>, Status> {
        let id_token = list::get(&self.0.database, &request.into_inner().id_token).await?;
        Ok(Versioned::from(id_token).into())
    }

    async fn update_id_token(&self, request: Request<UpdateIdTokenRequest>) -> Result<Response<IdToken>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let change = Change::try_from(request.into_inner()).map_err(reason::invalid)?;
        let id_token = update::update(&self.0, change, &if_match, &author).await?;
        Ok(Versioned::from(id_token).into())
    }

    async fn delete_id_token(&self, request: Request<DeleteIdTokenRequest>) -> Result<Response<()>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        delete::delete(&self.0, &request.into_inner().id_token, &if_match, &author).await?;
        Ok(Response::new(()))
    }
}

/// A row of `ocpp.id_token`.
struct Row {
    value: String,
    r#type: String,
    group_id: Option<String>,
    expires_at: Option<DateTime<Utc>>,
    blocked: bool,
    max_concurrent_transactions: Option<i32>,
    allowed_locations: Json<Vec<Location>>,
    account_id: Option<Uuid>,
    created_at: DateTime<Utc>,
    revision: i64,
}

impl From<Row> for Versioned<IdToken> {
    fn from(row: Row) -> Self {
        let revision = row.revision;
        Self::new(row.into(), revision)
    }
}

impl From<Row> for IdToken {
    fn from(row: Row) -> Self {
        Self {
            id_token: row.value,
            r#type: row.r#type,
            group_id: row.group_id,
            expires_at: row.expires_at.map(timestamp),
            blocked: row.blocked,
            created_at: Some(timestamp(row.created_at)),
            max_concurrent_transactions: row.max_concurrent_transactions,
            allowed_locations: row.allowed_locations.0.into_iter().map(Into::into).collect(),
            account_id: row.account_id.map(|id| id.to_string()),
        }
    }
}
