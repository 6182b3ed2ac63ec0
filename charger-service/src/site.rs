//! Sites: where charge points stand, which time of day it is there, and how much the grid gives.

mod create;
mod delete;
mod import;
mod list;
mod properties;
mod update;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use service_kit::event::timestamp;
use service_kit::reason;
use service_kit::version::{IfMatch, Versioned};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::site_service_server::SiteService;
use voltgate_proto::ocpp::v1::{
    CreateSiteRequest, DeleteSiteRequest, GetSiteRequest, ImportRequest, ImportSitesResponse, ListSitesRequest,
    ListSitesResponse, Site, UpdateSiteRequest,
};

pub use self::properties::DEFAULT_TIME_ZONE;

use self::create::NewSite;
use self::update::Change;
use crate::State;
use crate::audit::Author;
use crate::import::take_in;
use crate::reach;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl SiteService for Grpc {
    async fn create_site(&self, request: Request<CreateSiteRequest>) -> Result<Response<Site>, Status> {
        let author = Author::of(&request);
        let new = NewSite::try_from(request.into_inner()).map_err(reason::invalid)?;
        let created = create::create(&self.0, new, &author).await?;
        Ok(Versioned::from(created).into())
    }

    async fn import_sites(
        &self,
        request: Request<Streaming<ImportRequest>>,
    ) -> Result<Response<ImportSitesResponse>, Status> {
        let file = take_in(&self.0, request, import::FIELDS).await?;
        let imported = import::import(&self.0, file).await?;
        Ok(Response::new(imported))
    }

    async fn list_sites(&self, request: Request<ListSitesRequest>) -> Result<Response<ListSitesResponse>, Status> {
        let groups = reach::groups_of(&request);
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let sites = list::list(&self.0.database, page, groups).await?;
        Ok(Response::new(sites))
    }

    async fn get_site(&self, request: Request<GetSiteRequest>) -> Result<Response<Site>, Status> {
        let site = list::get(&self.0.database, &request.into_inner().id).await?;
        Ok(Versioned::from(site).into())
    }

    async fn update_site(&self, request: Request<UpdateSiteRequest>) -> Result<Response<Site>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let change = Change::try_from(request.into_inner()).map_err(reason::invalid)?;
        let site = update::update(&self.0, change, &if_match, &author).await?;
        Ok(Versioned::from(site).into())
    }

    async fn delete_site(&self, request: Request<DeleteSiteRequest>) -> Result<Response<()>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        delete::delete(&self.0, &request.into_inner().id, &if_match, &author).await?;
        Ok(Response::new(()))
    }
}

/// A row of `ocpp.site`.
struct Row {
    id: Uuid,
    name: String,
    time_zone: String,
    grid_limit_watts: Option<i32>,
    address: Option<String>,
    groups: Vec<String>,
    created_at: DateTime<Utc>,
    revision: i64,
}

impl From<Row> for Versioned<Site> {
    fn from(row: Row) -> Self {
        let revision = row.revision;
        Self::new(row.into(), revision)
    }
}

impl From<Row> for Site {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            time_zone: row.time_zone,
            grid_limit_watts: row.grid_limit_watts,
            address: row.address,
            groups: row.groups,
            created_at: Some(timestamp(row.created_at)),
        }
    }
}
