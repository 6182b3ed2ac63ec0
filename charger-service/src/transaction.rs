//! Charges: how they start and stop, and how they are looked at.

pub mod close;
pub mod correct;
pub mod list;
pub mod list_meter_values;
pub mod owned;
pub mod placed;
pub mod start;
pub mod stop;

use std::sync::Arc;

use service_kit::{database, reason};
use tonic::{Request, Response, Status};
use voltgate_proto::google::api::HttpBody;
use voltgate_proto::ocpp::v1::transaction_service_server::TransactionService;
use voltgate_proto::ocpp::v1::{
    CloseTransactionRequest, GetPowerCurveRequest, GetTransactionRequest, ListMeterValuesRequest,
    ListMeterValuesResponse, ListTransactionsRequest, ListTransactionsResponse, Transaction,
};

use crate::State;
use crate::audit::Author;
use crate::power_curve;
use crate::reach;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl TransactionService for Grpc {
    async fn list_transactions(
        &self,
        request: Request<ListTransactionsRequest>,
    ) -> Result<Response<ListTransactionsResponse>, Status> {
        let groups = reach::groups_of(&request);
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let transactions = list::list(&self.0.database, page, groups).await?;
        Ok(Response::new(transactions))
    }

    async fn get_transaction(&self, request: Request<GetTransactionRequest>) -> Result<Response<Transaction>, Status> {
        let mut connection = database::begin(&self.0.database)
            .await
            .map_err(|error| database::failed(&error))?;
        let transaction = list::get(&mut connection, request.into_inner().id).await?;
        Ok(Response::new(transaction))
    }

    async fn close_transaction(
        &self,
        request: Request<CloseTransactionRequest>,
    ) -> Result<Response<Transaction>, Status> {
        let author = Author::of(&request);
        let closing = close::Closing::parse(request.into_inner(), self.0.clock.now()).map_err(reason::invalid)?;
        let closed = close::close(&self.0, closing, &author).await?;
        Ok(Response::new(closed))
    }

    async fn list_meter_values(
        &self,
        request: Request<ListMeterValuesRequest>,
    ) -> Result<Response<ListMeterValuesResponse>, Status> {
        let page = list_meter_values::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let meter_values = list_meter_values::list(&self.0.database, page).await?;
        Ok(Response::new(meter_values))
    }

    async fn get_power_curve(&self, request: Request<GetPowerCurveRequest>) -> Result<Response<HttpBody>, Status> {
        let drawing = power_curve::draw(&self.0.database, request.into_inner().id).await?;
        Ok(Response::new(drawing))
    }
}
