//! Charging profiles: what limits a charge point has been given, and what it makes of them.
//!
//! Kept are those that the charge point has confirmed, with the rules by which 1.6 has it replace and drop them (3.13, 5.16),
//! since it cannot be asked which it has. What follows from them it can be asked: a composite schedule.

pub mod clear;
pub mod composite;
mod list;
pub mod set;
pub mod transaction;

use std::sync::Arc;

use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::charging_profile_service_server::ChargingProfileService;
use voltgate_proto::ocpp::v1::{
    ListChargingProfilesRequest, ListChargingProfilesResponse, ListCompositeSchedulesRequest,
    ListCompositeSchedulesResponse,
};

use crate::State;

pub struct Grpc(pub Arc<State>);

/// The purpose of a profile for one transaction.
const TX_PROFILE: &str = "TxProfile";

#[tonic::async_trait]
impl ChargingProfileService for Grpc {
    async fn list_charging_profiles(
        &self,
        request: Request<ListChargingProfilesRequest>,
    ) -> Result<Response<ListChargingProfilesResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let charging_profiles = list::list(&self.0.database, page).await?;
        Ok(Response::new(charging_profiles))
    }

    async fn list_composite_schedules(
        &self,
        request: Request<ListCompositeSchedulesRequest>,
    ) -> Result<Response<ListCompositeSchedulesResponse>, Status> {
        let page = composite::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let composite_schedules = composite::list(&self.0.database, page).await?;
        Ok(Response::new(composite_schedules))
    }
}
