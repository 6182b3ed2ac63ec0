//! Tariffs: what charging costs, where and from when on.
//!
//! Each change of the terms is a new version. A charge goes by the version that held when it began (`ocpp.tariff_version_of` finds
//! it with the start itself), so nobody pays what they were not told.

mod create;
mod delete;
mod list;
mod read;
mod replace;
pub mod terms;
pub mod window;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use service_kit::event::timestamp;
use service_kit::reason;
use service_kit::version::{IfMatch, Versioned};
use sqlx::types::Json;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::tariff_service_server::TariffService;
use voltgate_proto::ocpp::v1::{
    CreateTariffRequest, DeleteTariffRequest, GetTariffOfChargePointRequest, GetTariffRequest, ListTariffsRequest,
    ListTariffsResponse, ReplaceTariffRequest, Tariff,
};

use self::create::NewTariff;
use self::replace::Replacement;
use self::terms::Terms;
use crate::State;
use crate::audit::{Author, Entry};

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl TariffService for Grpc {
    async fn create_tariff(&self, request: Request<CreateTariffRequest>) -> Result<Response<Tariff>, Status> {
        let author = Author::of(&request);
        let new = NewTariff::try_from(request.into_inner()).map_err(reason::invalid)?;
        let created = create::create(&self.0, new, &author).await?;
        Ok(Versioned::from(created).into())
    }

    async fn list_tariffs(
        &self,
        request: Request<ListTariffsRequest>,
    ) -> Result<Response<ListTariffsResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let tariffs = list::list(&self.0.database, page).await?;
        Ok(Response::new(tariffs))
    }

    async fn get_tariff(&self, request: Request<GetTariffRequest>) -> Result<Response<Tariff>, Status> {
        let tariff = list::get(&self.0.database, &request.into_inner().id).await?;
        Ok(Versioned::from(tariff).into())
    }

    async fn get_tariff_of_charge_point(
        &self,
        request: Request<GetTariffOfChargePointRequest>,
    ) -> Result<Response<Tariff>, Status> {
        let now = self.0.clock.now();
        let tariff = list::get_of_charge_point(&self.0.database, &request.into_inner().identity, now).await?;
        Ok(Versioned::from(tariff).into())
    }

    async fn replace_tariff(&self, request: Request<ReplaceTariffRequest>) -> Result<Response<Tariff>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let replacement = Replacement::try_from(request.into_inner()).map_err(reason::invalid)?;
        let tariff = replace::replace(&self.0, replacement, &if_match, &author).await?;
        Ok(Versioned::from(tariff).into())
    }

    async fn delete_tariff(&self, request: Request<DeleteTariffRequest>) -> Result<Response<()>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        delete::delete(&self.0, &request.into_inner().id, &if_match, &author).await?;
        Ok(Response::new(()))
    }
}

/// A row of `ocpp.tariff` with its present version.
struct Row {
    id: Uuid,
    name: String,
    identity: Option<String>,
    site_id: Option<Uuid>,
    site_group: Option<String>,
    valid_from: DateTime<Utc>,
    valid_until: Option<DateTime<Utc>>,
    version: i32,
    terms: Json<Terms>,
    created_at: DateTime<Utc>,
    revision: i64,
}

impl Row {
    /// What it is from then on, for the audit log.
    fn told<'a>(&self, entry: Entry<'a>) -> Entry<'a> {
        entry
            .with("tariff", Some(self.id.to_string()))
            .with("version", Some(self.version))
            .with("name", Some(self.name.as_str()))
            .with("validFrom", Some(self.valid_from.to_rfc3339()))
            .with("validUntil", self.valid_until.map(|until| until.to_rfc3339()))
            .with("identity", self.identity.as_deref())
            .with("site", self.site_id.map(|id| id.to_string()))
            .with("siteGroup", self.site_group.as_deref())
    }
}

impl From<Row> for Versioned<Tariff> {
    fn from(row: Row) -> Self {
        let revision = row.revision;
        Self::new(row.into(), revision)
    }
}

impl From<Row> for Tariff {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            version: row.version,
            name: row.name,
            terms: Some((&row.terms.0).into()),
            valid_from: Some(timestamp(row.valid_from)),
            valid_until: row.valid_until.map(timestamp),
            identity: row.identity,
            site_id: row.site_id.map(|id| id.to_string()),
            site_group: row.site_group,
            created_at: Some(timestamp(row.created_at)),
        }
    }
}
