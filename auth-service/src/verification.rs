//! `voltgate.auth.v1.VerificationService` as tonic serves it: what Voltgate's own processes need to know to verify what
//! they are shown.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use service_kit::access::ApiKey;
use tokio_stream::wrappers::WatchStream;
use tonic::{Request, Response, Status};
use voltgate_proto::auth::v1::verification_service_server::VerificationService;
use voltgate_proto::auth::v1::{
    ExchangeApiKeyRequest, ExchangeApiKeyResponse, WatchRevocationsRequest, WatchRevocationsResponse,
};

use crate::State;
use crate::api_key::exchange::exchange;
use crate::signing_key::KeySet;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl VerificationService for Grpc {
    type WatchRevocationsStream = BoxStream<'static, Result<WatchRevocationsResponse, Status>>;

    async fn watch_revocations(
        &self,
        _: Request<WatchRevocationsRequest>,
    ) -> Result<Response<Self::WatchRevocationsStream>, Status> {
        let stopping = self.0.stopping.clone();
        let keys = WatchStream::new(self.0.tokens.keys.watch()).map(|keys| keys_message(&keys));
        let told = stream::select(keys, self.0.revocations.watch())
            .map(Ok)
            .take_until(stopping.cancelled_owned());
        Ok(Response::new(told.boxed()))
    }

    async fn exchange_api_key(
        &self,
        request: Request<ExchangeApiKeyRequest>,
    ) -> Result<Response<ExchangeApiKeyResponse>, Status> {
        let state = &self.0;
        let access_token = match ApiKey::parse(&request.into_inner().api_key) {
            Some(key) => exchange(&state.database, &state.tokens, &state.clock, &key).await?,
            None => None,
        };
        Ok(Response::new(ExchangeApiKeyResponse { access_token }))
    }
}

/// Tells which keys there are.
fn keys_message(keys: &KeySet) -> WatchRevocationsResponse {
    WatchRevocationsResponse {
        revocations: Vec::new(),
        complete: false,
        key_ids: keys.kids().map(str::to_owned).collect(),
        keys_revision: keys.revision(),
    }
}
