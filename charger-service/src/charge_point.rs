//! Charge points as operators see them.

mod connector;
pub mod create;
mod credentials;
mod device;
pub mod filter;
pub mod find;
mod history;
mod hold;
pub mod identity;
mod import;
mod list;
pub mod names;
mod open_transactions;
pub mod password;
mod registered;
mod rename;
mod replace;
mod restore;
pub mod retire;
pub mod rotation;
pub mod security_profile;
mod tags;
mod update;

use std::sync::Arc;

use service_kit::reason;
use tonic::{Request, Response, Status, Streaming};
use voltgate_proto::ocpp::v1::charge_point_service_server::ChargePointService;
use voltgate_proto::ocpp::v1::{
    ChargePoint, Command, Connector, CreateChargePointRequest, DeleteConnectorRequest, GetChargePointRequest,
    GetConnectorRequest, ImportChargePointsResponse, ImportRequest, ListChargePointsRequest, ListChargePointsResponse,
    ListConnectorHistoryRequest, ListConnectorHistoryResponse, ListConnectorsRequest, ListConnectorsResponse,
    RenameChargePointRequest, ReplaceChargePointRequest, RestoreChargePointRequest, RetireChargePointRequest,
    RotatePasswordRequest, UpdateChargePointRequest, UpdateConnectorRequest,
};

use self::create::NewChargePoint;
use self::rename::Renaming;
use self::replace::Replacement;
use self::restore::Restoration;
use self::update::Change;
use crate::State;
use crate::audit::Author;
use crate::command::asking::Asking;
use crate::command::send::send;
use crate::import::take_in;
use crate::reach;
use service_kit::version::IfMatch;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl ChargePointService for Grpc {
    async fn create_charge_point(
        &self,
        request: Request<CreateChargePointRequest>,
    ) -> Result<Response<ChargePoint>, Status> {
        let author = Author::of(&request);
        let new = NewChargePoint::parse(request.into_inner(), self.0.allow_unsecured).map_err(reason::invalid)?;
        let created = create::create(&self.0, new, &author).await?;
        Ok(created.into())
    }

    async fn import_charge_points(
        &self,
        request: Request<Streaming<ImportRequest>>,
    ) -> Result<Response<ImportChargePointsResponse>, Status> {
        let file = take_in(&self.0, request, import::FIELDS).await?;
        let imported = import::import(&self.0, file).await?;
        Ok(Response::new(imported))
    }

    async fn list_charge_points(
        &self,
        request: Request<ListChargePointsRequest>,
    ) -> Result<Response<ListChargePointsResponse>, Status> {
        let groups = reach::groups_of(&request);
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let charge_points = list::list(&self.0.database, page.within(groups)).await?;
        Ok(Response::new(charge_points))
    }

    async fn get_charge_point(&self, request: Request<GetChargePointRequest>) -> Result<Response<ChargePoint>, Status> {
        let charge_point = list::get(&self.0.database, &request.into_inner().identity).await?;
        Ok(charge_point.into())
    }

    async fn update_charge_point(
        &self,
        request: Request<UpdateChargePointRequest>,
    ) -> Result<Response<ChargePoint>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let change = Change::parse(request.into_inner(), self.0.allow_unsecured).map_err(reason::invalid)?;
        let charge_point = update::update(&self.0, change, &if_match, &author).await?;
        Ok(charge_point.into())
    }

    async fn rename_charge_point(
        &self,
        request: Request<RenameChargePointRequest>,
    ) -> Result<Response<ChargePoint>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let renaming = Renaming::try_from(request.into_inner()).map_err(reason::invalid)?;
        let charge_point = rename::rename(&self.0, renaming, &if_match, &author).await?;
        Ok(charge_point.into())
    }

    async fn replace_charge_point(
        &self,
        request: Request<ReplaceChargePointRequest>,
    ) -> Result<Response<ChargePoint>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let replacement = Replacement::parse(request.into_inner(), self.0.allow_unsecured).map_err(reason::invalid)?;
        let charge_point = replace::replace(&self.0, replacement, &if_match, &author).await?;
        Ok(charge_point.into())
    }

    async fn retire_charge_point(
        &self,
        request: Request<RetireChargePointRequest>,
    ) -> Result<Response<ChargePoint>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let charge_point = retire::retire(&self.0, request.into_inner(), &if_match, &author).await?;
        Ok(charge_point.into())
    }

    async fn restore_charge_point(
        &self,
        request: Request<RestoreChargePointRequest>,
    ) -> Result<Response<ChargePoint>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let restoration = Restoration::try_from(request.into_inner()).map_err(reason::invalid)?;
        let charge_point = restore::restore(&self.0, restoration, &if_match, &author).await?;
        Ok(charge_point.into())
    }

    async fn rotate_password(&self, request: Request<RotatePasswordRequest>) -> Result<Response<Command>, Status> {
        let (asking, request) = Asking::of(request)?;
        let command = rotation::parse(request, asking).map_err(reason::invalid)?;
        Ok(Response::new(send(&self.0, command).await?))
    }

    async fn list_connector_history(
        &self,
        request: Request<ListConnectorHistoryRequest>,
    ) -> Result<Response<ListConnectorHistoryResponse>, Status> {
        let page = history::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let history = history::list(&self.0.database, page).await?;
        Ok(Response::new(history))
    }

    async fn list_connectors(
        &self,
        request: Request<ListConnectorsRequest>,
    ) -> Result<Response<ListConnectorsResponse>, Status> {
        let charge_point = list::get(&self.0.database, &request.into_inner().identity).await?;
        Ok(Response::new(ListConnectorsResponse {
            connectors: charge_point.resource.connectors,
        }))
    }

    async fn get_connector(&self, request: Request<GetConnectorRequest>) -> Result<Response<Connector>, Status> {
        let request = request.into_inner();
        let connector = connector::get(&self.0.database, &request.identity, request.connector_id).await?;
        Ok(connector.into())
    }

    async fn update_connector(&self, request: Request<UpdateConnectorRequest>) -> Result<Response<Connector>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let change = connector::declare::Change::try_from(request.into_inner()).map_err(reason::invalid)?;
        let declared = connector::declare::declare(&self.0, change, &if_match, &author).await?;
        Ok(declared.into())
    }

    async fn delete_connector(&self, request: Request<DeleteConnectorRequest>) -> Result<Response<()>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let DeleteConnectorRequest { identity, connector_id } = request.into_inner();
        connector::undeclare::undeclare(&self.0, &identity, connector_id, &if_match, &author).await?;
        Ok(Response::new(()))
    }
}
