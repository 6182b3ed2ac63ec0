//! `EmailService`.

use std::sync::Arc;

use service_kit::database;
use service_kit::reason::{self, Reason};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::email::v1::email_service_server::EmailService;
use voltgate_proto::email::v1::{
    CreateMessageRequest, GetMessageRequest, ListMessagesRequest, ListMessagesResponse, Message, ResendMessageRequest,
};

use crate::State;
use crate::audit::Author;
use crate::message::{self, Filter, Key, NewLetter, WriteError};

pub(super) struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl EmailService for Grpc {
    async fn list_messages(
        &self,
        request: Request<ListMessagesRequest>,
    ) -> Result<Response<ListMessagesResponse>, Status> {
        let filter = Filter::try_from(request.into_inner()).map_err(reason::invalid)?;
        let messages = message::list(&self.0.database, &filter).await;
        messages.map(Response::new).map_err(|error| database::failed(&error))
    }

    async fn get_message(&self, request: Request<GetMessageRequest>) -> Result<Response<Message>, Status> {
        let unknown = || Reason::NotFound.status("There is no message of this id");
        // What is no UUID is no message's.
        let id = Uuid::parse_str(&request.into_inner().id).map_err(|_| unknown())?;
        let message = message::get(&self.0.database, id).await;
        let message = message.map_err(|error| database::failed(&error))?;
        Ok(Response::new(message.ok_or_else(unknown)?))
    }

    async fn create_message(&self, request: Request<CreateMessageRequest>) -> Result<Response<Message>, Status> {
        let author = Author::of(&request);
        let key = Key::of(request.metadata(), "letter", request.get_ref()).map_err(reason::invalid)?;
        let letter = NewLetter::try_from(request.into_inner()).map_err(reason::invalid)?;
        Ok(Response::new(message::create(&self.0, letter, &key, &author).await?))
    }

    async fn resend_message(&self, request: Request<ResendMessageRequest>) -> Result<Response<Message>, Status> {
        let author = Author::of(&request);
        let key = Key::of(request.metadata(), "resend", request.get_ref()).map_err(reason::invalid)?;
        let id = Uuid::parse_str(&request.get_ref().id).map_err(|_| WriteError::NotFound)?;
        Ok(Response::new(message::resend(&self.0, id, &key, &author).await?))
    }
}
