//! Vendors whose part of the conversation with a charge point is theirs: what is said to them in a DataTransfer is forwarded, and
//! what they answer is passed on.

mod delete;
pub mod forward;
mod list;
mod replace;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use service_kit::event::timestamp;
use service_kit::reason;
use service_kit::version::{IfMatch, Versioned};
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::data_transfer_vendor_service_server::DataTransferVendorService;
use voltgate_proto::ocpp::v1::{
    DataTransferVendor, DeleteDataTransferVendorRequest, GetDataTransferVendorRequest, ListDataTransferVendorsRequest,
    ListDataTransferVendorsResponse, ReplaceDataTransferVendorRequest,
};

use self::replace::Replacement;
use crate::State;
use crate::audit::Author;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl DataTransferVendorService for Grpc {
    async fn replace_data_transfer_vendor(
        &self,
        request: Request<ReplaceDataTransferVendorRequest>,
    ) -> Result<Response<DataTransferVendor>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let replacement = Replacement::parse(request.into_inner(), self.0.webhook_reach).map_err(reason::invalid)?;
        let vendor = replace::replace(&self.0, replacement, &if_match, &author).await?;
        Ok(vendor.into())
    }

    async fn get_data_transfer_vendor(
        &self,
        request: Request<GetDataTransferVendorRequest>,
    ) -> Result<Response<DataTransferVendor>, Status> {
        let vendor = list::get(&self.0.database, &request.into_inner().vendor_id).await?;
        Ok(Versioned::from(vendor).into())
    }

    async fn list_data_transfer_vendors(
        &self,
        request: Request<ListDataTransferVendorsRequest>,
    ) -> Result<Response<ListDataTransferVendorsResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let vendors = list::list(&self.0.database, page).await?;
        Ok(Response::new(vendors))
    }

    async fn delete_data_transfer_vendor(
        &self,
        request: Request<DeleteDataTransferVendorRequest>,
    ) -> Result<Response<()>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        delete::delete(&self.0, &request.into_inner().vendor_id, &if_match, &author).await?;
        Ok(Response::new(()))
    }
}

/// A row of `ocpp.data_transfer_vendor`, without its secret.
struct Row {
    vendor_id: String,
    url: String,
    message_ids: Vec<String>,
    timeout_seconds: i32,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    revision: i64,
}

impl From<Row> for Versioned<DataTransferVendor> {
    fn from(row: Row) -> Self {
        let revision = row.revision;
        Self::new(row.into(), revision)
    }
}

impl From<Row> for DataTransferVendor {
    fn from(row: Row) -> Self {
        Self {
            vendor_id: row.vendor_id,
            url: row.url,
            message_ids: row.message_ids,
            timeout_seconds: row.timeout_seconds,
            signing_secret: None,
            created_at: Some(timestamp(row.created_at)),
            updated_at: Some(timestamp(row.updated_at)),
        }
    }
}
