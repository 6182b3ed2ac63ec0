//! Connectors that are kept free for a token.
//!
//! A reservation is the charge point's to hold; here is what it said of each. It ends when it is cancelled, when a transaction
//! names it, when another one takes its number, or when its time is over.

pub mod cancel;
mod list;
pub mod redeem;
pub mod reserve;

use std::sync::Arc;

use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::reservation_service_server::ReservationService;
use voltgate_proto::ocpp::v1::{ListChargePointReservationsRequest, ListReservationsRequest, ListReservationsResponse};

use crate::State;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl ReservationService for Grpc {
    async fn list_reservations(
        &self,
        request: Request<ListReservationsRequest>,
    ) -> Result<Response<ListReservationsResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let reservations = list::list(&self.0.database, page, self.0.clock.now()).await?;
        Ok(Response::new(reservations))
    }

    async fn list_charge_point_reservations(
        &self,
        request: Request<ListChargePointReservationsRequest>,
    ) -> Result<Response<ListReservationsResponse>, Status> {
        let page = list::PageOfOne::try_from(request.into_inner()).map_err(reason::invalid)?;
        let reservations = list::list_of_one(&self.0.database, page, self.0.clock.now()).await?;
        Ok(Response::new(reservations))
    }
}
