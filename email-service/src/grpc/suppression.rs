//! `SuppressionService`.

use std::sync::Arc;

use service_kit::{database, reason};
use tonic::{Request, Response, Status};
use voltgate_proto::email::v1::suppression_service_server::SuppressionService;
use voltgate_proto::email::v1::{
    AddSuppressionRequest, DeleteSuppressionRequest, GetSuppressionRequest, ListSuppressionsRequest,
    ListSuppressionsResponse, Suppression,
};

use crate::State;
use crate::audit::Author;
use crate::suppression::{self, NewSuppression, Page};

pub(super) struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl SuppressionService for Grpc {
    async fn list_suppressions(
        &self,
        request: Request<ListSuppressionsRequest>,
    ) -> Result<Response<ListSuppressionsResponse>, Status> {
        let page = Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let suppressions = suppression::list(&self.0.database, page).await;
        suppressions
            .map(Response::new)
            .map_err(|error| database::failed(&error))
    }

    async fn get_suppression(&self, request: Request<GetSuppressionRequest>) -> Result<Response<Suppression>, Status> {
        let row = suppression::get(&self.0.database, &request.into_inner().address).await?;
        Ok(Response::new(row.into()))
    }

    async fn add_suppression(&self, request: Request<AddSuppressionRequest>) -> Result<Response<Suppression>, Status> {
        let author = Author::of(&request);
        let new = NewSuppression::try_from(request.into_inner()).map_err(reason::invalid)?;
        Ok(Response::new(suppression::add(&self.0, new, &author).await?.into()))
    }

    async fn delete_suppression(&self, request: Request<DeleteSuppressionRequest>) -> Result<Response<()>, Status> {
        let author = Author::of(&request);
        suppression::delete(&self.0, &request.into_inner().address, &author).await?;
        Ok(Response::new(()))
    }
}
