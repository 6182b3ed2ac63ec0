//! Charging profile templates: profiles that operators keep, to give them to many connectors, and what each charge
//! point has of them.
//!
//! A template is in words that hold for every version of OCPP; applied, it becomes the command that a version has for
//! it, and goes the way of every command. The id of its profile at a charge point follows from the template and the
//! connector, so that a newer version takes the place of the one before, and whatever happens to a profile is known to
//! have happened to the template there.

mod application;
mod apply;
mod create;
mod delete;
mod list;
pub mod place;
pub mod profile;
mod read;
mod replace;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use service_kit::event::timestamp;
use service_kit::reason;
use service_kit::version::{IfMatch, Versioned};
use sqlx::types::Json;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::charging_profile_template_service_server::ChargingProfileTemplateService;
use voltgate_proto::ocpp::v1::{
    ApplyChargingProfileTemplateRequest, ApplyChargingProfileTemplateResponse, ChargingProfileTemplate,
    CreateChargingProfileTemplateRequest, DeleteChargingProfileTemplateRequest, GetChargingProfileTemplateRequest,
    ListChargingProfileApplicationsRequest, ListChargingProfileApplicationsResponse,
    ListChargingProfileTemplatesRequest, ListChargingProfileTemplatesResponse, ReplaceChargingProfileTemplateRequest,
};

use self::apply::Application;
use self::profile::Profile;
use self::read::Content;
use crate::State;
use crate::audit::{Author, Entry};

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl ChargingProfileTemplateService for Grpc {
    async fn create_charging_profile_template(
        &self,
        request: Request<CreateChargingProfileTemplateRequest>,
    ) -> Result<Response<ChargingProfileTemplate>, Status> {
        let author = Author::of(&request);
        let content = Content::parse(request.into_inner().template).map_err(reason::invalid)?;
        let created = create::create(&self.0, &content, &author).await?;
        Ok(Versioned::from(created).into())
    }

    async fn list_charging_profile_templates(
        &self,
        request: Request<ListChargingProfileTemplatesRequest>,
    ) -> Result<Response<ListChargingProfileTemplatesResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let templates = list::list(&self.0.database, page).await?;
        Ok(Response::new(templates))
    }

    async fn get_charging_profile_template(
        &self,
        request: Request<GetChargingProfileTemplateRequest>,
    ) -> Result<Response<ChargingProfileTemplate>, Status> {
        let template = list::get(&self.0.database, &request.into_inner().id).await?;
        Ok(Versioned::from(template).into())
    }

    async fn replace_charging_profile_template(
        &self,
        request: Request<ReplaceChargingProfileTemplateRequest>,
    ) -> Result<Response<ChargingProfileTemplate>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let request = request.into_inner();
        let content = Content::parse(request.template).map_err(reason::invalid)?;
        let template = replace::replace(&self.0, &request.id, &content, &if_match, &author).await?;
        Ok(Versioned::from(template).into())
    }

    async fn delete_charging_profile_template(
        &self,
        request: Request<DeleteChargingProfileTemplateRequest>,
    ) -> Result<Response<()>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        delete::delete(&self.0, &request.into_inner().id, &if_match, &author).await?;
        Ok(Response::new(()))
    }

    async fn apply_charging_profile_template(
        &self,
        request: Request<ApplyChargingProfileTemplateRequest>,
    ) -> Result<Response<ApplyChargingProfileTemplateResponse>, Status> {
        let application = Application::of(request)?;
        let applied = apply::apply(&self.0, &application).await?;
        Ok(Response::new(applied))
    }

    async fn list_charging_profile_applications(
        &self,
        request: Request<ListChargingProfileApplicationsRequest>,
    ) -> Result<Response<ListChargingProfileApplicationsResponse>, Status> {
        let page = application::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let applications = application::list(&self.0.database, page).await?;
        Ok(Response::new(applications))
    }
}

/// A row of `ocpp.charging_profile_template`.
struct Row {
    id: Uuid,
    number: i32,
    name: String,
    version: i32,
    profile: Json<Profile>,
    created_at: DateTime<Utc>,
    revision: i64,
}

impl Row {
    /// What it is from then on, for the audit log.
    fn told<'a>(&self, entry: Entry<'a>) -> Entry<'a> {
        entry
            .with("template", Some(self.id.to_string()))
            .with("version", Some(self.version))
            .with("name", Some(self.name.as_str()))
    }
}

impl From<Row> for Versioned<ChargingProfileTemplate> {
    fn from(row: Row) -> Self {
        let revision = row.revision;
        Self::new(row.into(), revision)
    }
}

impl From<Row> for ChargingProfileTemplate {
    fn from(row: Row) -> Self {
        let profile = &row.profile.0;
        Self {
            id: row.id.to_string(),
            version: row.version,
            purpose: profile.purpose.as_str().to_owned(),
            stack_level: profile.stack_level,
            kind: profile.kind.as_str().to_owned(),
            recurrency_kind: profile.kind.recurrency().map(|kind| kind.as_str().to_owned()),
            valid_from: profile.valid_from.map(timestamp),
            valid_to: profile.valid_to.map(timestamp),
            schedule: Some(profile.into()),
            created_at: Some(timestamp(row.created_at)),
            name: row.name,
        }
    }
}
