//! `DeadLetterService`.

use std::sync::Arc;

use service_kit::dead_letter::{Page, parse_id};
use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::email::v1::dead_letter_service_server::DeadLetterService;
use voltgate_proto::email::v1::{
    DeadLetter, DeleteDeadLetterRequest, GetDeadLetterRequest, ListDeadLettersRequest, ListDeadLettersResponse,
    RedriveDeadLetterRequest, RedriveDeadLetterResponse,
};

use crate::State;
use crate::audit::Author;
use crate::dead_letter;

pub(super) struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl DeadLetterService for Grpc {
    async fn list_dead_letters(
        &self,
        request: Request<ListDeadLettersRequest>,
    ) -> Result<Response<ListDeadLettersResponse>, Status> {
        let ListDeadLettersRequest {
            page_size,
            page_token,
            r#type,
        } = request.into_inner();
        let page = Page::parse(page_size, &page_token, r#type).map_err(reason::invalid)?;
        Ok(Response::new(dead_letter::list(&self.0.database, page).await?))
    }

    async fn get_dead_letter(&self, request: Request<GetDeadLetterRequest>) -> Result<Response<DeadLetter>, Status> {
        let id = parse_id(&request.into_inner().id)?;
        Ok(Response::new(dead_letter::get(&self.0.database, id).await?))
    }

    async fn redrive_dead_letter(
        &self,
        request: Request<RedriveDeadLetterRequest>,
    ) -> Result<Response<RedriveDeadLetterResponse>, Status> {
        let (author, id) = (Author::of(&request), parse_id(&request.get_ref().id)?);
        let taken_in = dead_letter::redrive(&self.0, id, &author).await?;
        Ok(Response::new(RedriveDeadLetterResponse { taken_in }))
    }

    async fn delete_dead_letter(&self, request: Request<DeleteDeadLetterRequest>) -> Result<Response<()>, Status> {
        let (author, id) = (Author::of(&request), parse_id(&request.get_ref().id)?);
        dead_letter::delete(&self.0, id, &author).await?;
        Ok(Response::new(()))
    }
}
