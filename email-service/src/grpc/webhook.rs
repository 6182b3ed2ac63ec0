//! `WebhookService`.

use std::sync::Arc;

use service_kit::version::{IfMatch, Versioned};
use service_kit::{database, reason};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::email::v1::webhook_service_server::WebhookService;
use voltgate_proto::email::v1::{
    DeleteWebhookRequest, Delivery, GetWebhookRequest, ListDeliveriesRequest, ListDeliveriesResponse,
    ListWebhooksRequest, ListWebhooksResponse, ReplaceWebhookRequest, RetryDeliveryRequest, Webhook,
};

use crate::State;
use crate::audit::Author;
use crate::webhook::{self, Page, Replacement, WebhookError};

pub(super) struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl WebhookService for Grpc {
    async fn replace_webhook(&self, request: Request<ReplaceWebhookRequest>) -> Result<Response<Webhook>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let new = Replacement::parse(request.into_inner(), self.0.webhook_reach).map_err(reason::invalid)?;
        Ok(webhook::replace(&self.0, new, &if_match, &author).await?.into())
    }

    async fn get_webhook(&self, request: Request<GetWebhookRequest>) -> Result<Response<Webhook>, Status> {
        let row = webhook::get(&self.0.database, &request.into_inner().name).await?;
        Ok(Versioned::from(row).into())
    }

    async fn list_webhooks(
        &self,
        _request: Request<ListWebhooksRequest>,
    ) -> Result<Response<ListWebhooksResponse>, Status> {
        let webhooks = webhook::list(&self.0.database).await;
        webhooks.map(Response::new).map_err(|error| database::failed(&error))
    }

    async fn delete_webhook(&self, request: Request<DeleteWebhookRequest>) -> Result<Response<()>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        webhook::delete(&self.0, &request.into_inner().name, &if_match, &author).await?;
        Ok(Response::new(()))
    }

    async fn list_deliveries(
        &self,
        request: Request<ListDeliveriesRequest>,
    ) -> Result<Response<ListDeliveriesResponse>, Status> {
        let page = Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        Ok(Response::new(webhook::list_deliveries(&self.0.database, page).await?))
    }

    async fn retry_delivery(&self, request: Request<RetryDeliveryRequest>) -> Result<Response<Delivery>, Status> {
        let author = Author::of(&request);
        let request = request.into_inner();
        // What is no UUID is no delivery's.
        let id = Uuid::parse_str(&request.id).map_err(|_| WebhookError::NoDelivery)?;
        Ok(Response::new(
            webhook::retry(&self.0, &request.name, id, &author).await?,
        ))
    }
}
