//! What somebody who charges a vehicle sees and does.
//!
//! Every look-up here names the account that asks, in the statement itself or in the one before it: what is somebody else's is not
//! found, and so looks like what does not exist. Whoever asks is a driver here, whatever else they may do. Tells nothing that is the operators' to
//! know: identities and addresses of charge points, what they sent, other people.

mod charge;
mod command;
mod connector;
mod id_token;
mod progress;
mod stop;
mod transaction;

use std::sync::Arc;

use service_kit::access::{Admission, Caller};
use service_kit::reason::{self, Reason};
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::google::api::HttpBody;
use voltgate_proto::ocpp::v1::driver_service_server::DriverService;
use voltgate_proto::ocpp::v1::{
    ChargeCommand, ChargeCost, FollowMyTransactionRequest, GetMyConnectorRequest, GetMyCostRequest,
    GetMyPowerCurveRequest, GetMyTransactionRequest, ListMeterValuesRequest, ListMeterValuesResponse,
    ListMyIdTokensRequest, ListMyIdTokensResponse, ListMyMeterValuesRequest, ListMyTransactionsRequest,
    ListMyTransactionsResponse, MyTransaction, PublicConnector, StartMyChargeRequest, StopMyTransactionRequest,
};

use crate::State;
use crate::audit::Author;
use crate::charge_record;
use crate::command::send::idempotency_key;
use crate::power_curve;
use crate::transaction::list_meter_values;

/// What drivers wait for, or watch, at one replica at a time, and one of them, with a phone and a few windows.
pub const PLACES: (usize, usize) = (500, 8);

pub struct Grpc(pub Arc<State>);

/// The account that asks.
#[derive(Debug, Clone, Copy)]
struct Driver {
    account: Uuid,
}

impl Driver {
    /// # Errors
    /// No account asks. The access layer lets nobody else through, so it is the rule of the RPC that is wrong then.
    fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        match Caller::of(request) {
            Caller::Account { id, .. } => Ok(Self { account: id }),
            Caller::Anonymous | Caller::Service { .. } => {
                Err(Reason::MissingCredentials.status("An access token is required"))
            }
        }
    }
}

#[tonic::async_trait]
impl DriverService for Grpc {
    async fn list_my_id_tokens(
        &self,
        request: Request<ListMyIdTokensRequest>,
    ) -> Result<Response<ListMyIdTokensResponse>, Status> {
        let driver = Driver::of(&request)?;
        let page = id_token::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let id_tokens = id_token::list(&self.0.database, driver, page).await?;
        Ok(Response::new(id_tokens))
    }

    async fn get_my_connector(
        &self,
        request: Request<GetMyConnectorRequest>,
    ) -> Result<Response<PublicConnector>, Status> {
        let connector = connector::get(&self.0.database, &request.into_inner().code).await?;
        Ok(Response::new(connector))
    }

    async fn start_my_charge(&self, request: Request<StartMyChargeRequest>) -> Result<Response<ChargeCommand>, Status> {
        let (driver, author) = (Driver::of(&request)?, Author::of_driver(&request));
        let key = idempotency_key(request.metadata()).map_err(reason::invalid)?;
        let wish = charge::Wish::try_from(request.into_inner()).map_err(reason::invalid)?;
        let command = charge::start(&self.0, driver, wish, author, key).await?;
        Ok(Response::new(command))
    }

    async fn list_my_transactions(
        &self,
        request: Request<ListMyTransactionsRequest>,
    ) -> Result<Response<ListMyTransactionsResponse>, Status> {
        let driver = Driver::of(&request)?;
        let page = transaction::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let transactions = transaction::list(&self.0.database, driver, page).await?;
        Ok(Response::new(transactions))
    }

    async fn get_my_transaction(
        &self,
        request: Request<GetMyTransactionRequest>,
    ) -> Result<Response<MyTransaction>, Status> {
        let driver = Driver::of(&request)?;
        let transaction = transaction::get(&self.0.database, driver, request.into_inner().id).await?;
        Ok(Response::new(transaction))
    }

    async fn get_my_cost(&self, request: Request<GetMyCostRequest>) -> Result<Response<ChargeCost>, Status> {
        let driver = Driver::of(&request)?;
        let id = request.into_inner().id;
        // Whose it is never changes.
        transaction::find(&self.0.database, driver, id).await?;
        let cost = charge_record::cost_of(&self.0, id).await?;
        Ok(Response::new(cost))
    }

    async fn list_my_meter_values(
        &self,
        request: Request<ListMyMeterValuesRequest>,
    ) -> Result<Response<ListMeterValuesResponse>, Status> {
        let driver = Driver::of(&request)?;
        let request = request.into_inner();
        let asked = ListMeterValuesRequest {
            id: request.id,
            measurand: request.measurand,
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let page = list_meter_values::Page::try_from(asked).map_err(reason::invalid)?;
        // Whose it is never changes.
        transaction::find(&self.0.database, driver, request.id).await?;
        let meter_values = list_meter_values::list(&self.0.database, page).await?;
        Ok(Response::new(meter_values))
    }

    async fn get_my_power_curve(&self, request: Request<GetMyPowerCurveRequest>) -> Result<Response<HttpBody>, Status> {
        let driver = Driver::of(&request)?;
        let id = request.into_inner().id;
        transaction::find(&self.0.database, driver, id).await?;
        let drawing = power_curve::draw(&self.0.database, id).await?;
        Ok(Response::new(drawing))
    }

    type FollowMyTransactionStream = progress::Progress;

    async fn follow_my_transaction(
        &self,
        request: Request<FollowMyTransactionRequest>,
    ) -> Result<Response<Self::FollowMyTransactionStream>, Status> {
        let (driver, admission) = (Driver::of(&request)?, Admission::of(&request));
        let progress = progress::follow(&self.0, driver, request.into_inner().id, admission).await?;
        Ok(Response::new(progress))
    }

    async fn stop_my_transaction(
        &self,
        request: Request<StopMyTransactionRequest>,
    ) -> Result<Response<ChargeCommand>, Status> {
        let (driver, author) = (Driver::of(&request)?, Author::of_driver(&request));
        let key = idempotency_key(request.metadata()).map_err(reason::invalid)?;
        let command = stop::stop(&self.0, driver, request.into_inner(), author, key).await?;
        Ok(Response::new(command))
    }
}
