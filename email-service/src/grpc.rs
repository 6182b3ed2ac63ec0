//! `voltgate.email.v1.EmailService`: converts, asks, answers. Who may call is decided before a call gets here.

use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::{self, Reason};
use sqlx::PgPool;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::email::v1 as api;
use voltgate_proto::email::v1::email_service_server::EmailService;

use crate::message::{self, Filter, Message};

pub(crate) struct Grpc {
    database: PgPool,
}

impl Grpc {
    pub fn new(database: PgPool) -> Self {
        Self { database }
    }
}

#[tonic::async_trait]
impl EmailService for Grpc {
    async fn list_messages(
        &self,
        request: Request<api::ListMessagesRequest>,
    ) -> Result<Response<api::ListMessagesResponse>, Status> {
        let request = request.into_inner();
        let filter = Filter::parse(request.status.as_deref(), request.page_size, &request.page_token)
            .map_err(reason::invalid)?;
        let (messages, next_page_token) = message::list(&self.database, &filter)
            .await
            .map_err(|error| database::failed(&error))?;
        Ok(Response::new(api::ListMessagesResponse {
            messages: messages.into_iter().map(api::Message::from).collect(),
            next_page_token,
        }))
    }

    async fn get_message(&self, request: Request<api::GetMessageRequest>) -> Result<Response<api::Message>, Status> {
        let unknown = || Reason::NotFound.status("There is no message of this id");
        // What is no UUID is no message's.
        let id = Uuid::parse_str(&request.into_inner().id).map_err(|_| unknown())?;
        let message = message::get(&self.database, id)
            .await
            .map_err(|error| database::failed(&error))?
            .ok_or_else(unknown)?;
        Ok(Response::new(message.into()))
    }
}

impl From<Message> for api::Message {
    fn from(message: Message) -> Self {
        Self {
            id: message.id.to_string(),
            event_id: message.event_id.to_string(),
            template: message.template,
            recipient: message.recipient,
            status: message.status,
            attempts: message.attempts,
            last_error: message.last_error,
            possibly_duplicate: message.possibly_duplicate,
            created_at: Some(timestamp(message.created_at)),
            sent_at: message.sent_at.map(timestamp),
        }
    }
}
