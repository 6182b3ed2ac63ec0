//! `EarlierApiService`.

use std::sync::Arc;

use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::email::v1::earlier_api_service_server::EarlierApiService;
use voltgate_proto::email::v1::{PublishUserCreatedRequest, SendWelcomeRequest};

use crate::State;
use crate::audit::Author;
use crate::earlier_api::{self, NewUser};
use crate::message::Key;

pub(super) struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl EarlierApiService for Grpc {
    async fn send_welcome(&self, request: Request<SendWelcomeRequest>) -> Result<Response<()>, Status> {
        let author = Author::of(&request);
        let key = Key::of(request.metadata(), "welcome", request.get_ref()).map_err(reason::invalid)?;
        let user = NewUser::try_from(request.into_inner()).map_err(reason::invalid)?;
        earlier_api::welcome_user(&self.0, user, &key, &author).await?;
        Ok(Response::new(()))
    }

    async fn publish_user_created(&self, request: Request<PublishUserCreatedRequest>) -> Result<Response<()>, Status> {
        let author = Author::of(&request);
        let key = Key::of(request.metadata(), "user-created", request.get_ref()).map_err(reason::invalid)?;
        let user = NewUser::try_from(request.into_inner()).map_err(reason::invalid)?;
        earlier_api::announce_user(&self.0, user, &key, &author).await?;
        Ok(Response::new(()))
    }
}
