//! `SubscriptionService`.

use std::sync::Arc;

use service_kit::access::Client;
use service_kit::reason;
use service_kit::version::{IfMatch, Versioned};
use tonic::{Request, Response, Status};
use voltgate_proto::email::v1::subscription_service_server::SubscriptionService;
use voltgate_proto::email::v1::{
    DeleteSubscriptionRequest, GetSubscriptionRequest, ListSubscriptionsRequest, ListSubscriptionsResponse,
    ReplaceSubscriptionRequest, Subscription, UnsubscribeRequest,
};

use crate::State;
use crate::audit::Author;
use crate::notice::{self, Replacement};

pub(super) struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl SubscriptionService for Grpc {
    async fn replace_subscription(
        &self,
        request: Request<ReplaceSubscriptionRequest>,
    ) -> Result<Response<Subscription>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let new = Replacement::try_from(request.into_inner()).map_err(reason::invalid)?;
        let row = notice::replace(&self.0, new, &if_match, &author).await?;
        Ok(Versioned::from(row).into())
    }

    async fn get_subscription(
        &self,
        request: Request<GetSubscriptionRequest>,
    ) -> Result<Response<Subscription>, Status> {
        let author = Author::of(&request);
        let row = notice::get(&self.0.database, &request.into_inner().name, &author).await?;
        Ok(Versioned::from(row).into())
    }

    async fn unsubscribe(&self, request: Request<UnsubscribeRequest>) -> Result<Response<()>, Status> {
        let client = Client::of(&request);
        notice::unsubscribe(&self.0, &request.into_inner().token, client).await?;
        Ok(Response::new(()))
    }

    async fn list_subscriptions(
        &self,
        request: Request<ListSubscriptionsRequest>,
    ) -> Result<Response<ListSubscriptionsResponse>, Status> {
        let author = Author::of(&request);
        Ok(Response::new(notice::list(&self.0.database, &author).await?))
    }

    async fn delete_subscription(&self, request: Request<DeleteSubscriptionRequest>) -> Result<Response<()>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        notice::delete(&self.0, &request.into_inner().name, &if_match, &author).await?;
        Ok(Response::new(()))
    }
}
