//! Campaigns: one command over many charge points, wave after wave.
//!
//! Whom a campaign is for is settled when it is created; from then on it is rows. Whichever replica looks at it next moves it on
//! (`advance`), with the campaign's row locked: the commands of a wave go into the ledger in the transaction that says which targets
//! they are for, so that none is sent twice and none is lost, wherever a process dies. What becomes of them the ledger tells, by a
//! trigger of the database.

mod addressed;
pub mod advance;
mod cancel;
mod change;
mod create;
mod decision;
pub mod installation;
mod list;
mod list_targets;
mod pace;
mod pause;
mod queue;
mod resume;
mod stage;
mod store;
mod what;

use std::sync::Arc;

use service_kit::reason::{self, FieldViolation};
use service_kit::version::IfMatch;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::campaign_service_server::CampaignService;
use voltgate_proto::ocpp::v1::{
    Campaign, CancelCampaignRequest, CreateCampaignRequest, GetCampaignRequest, ListCampaignTargetsRequest,
    ListCampaignTargetsResponse, ListCampaignsRequest, ListCampaignsResponse, PauseCampaignRequest,
    ResumeCampaignRequest,
};

use self::create::NewCampaign;
use self::pause::Pause;
use crate::State;
use crate::audit::Author;
use crate::command::send::idempotency_key;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl CampaignService for Grpc {
    async fn create_campaign(&self, request: Request<CreateCampaignRequest>) -> Result<Response<Campaign>, Status> {
        let author = Author::of(&request);
        let key = idempotency_key(request.metadata()).map_err(reason::invalid)?;
        let new = NewCampaign::parse(request.into_inner(), key, self.0.clock.now()).map_err(reason::invalid)?;
        let campaign = create::create(&self.0, new, &author).await?;
        Ok(campaign.into())
    }

    async fn list_campaigns(
        &self,
        request: Request<ListCampaignsRequest>,
    ) -> Result<Response<ListCampaignsResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let campaigns = list::list(&self.0.database, page).await?;
        Ok(Response::new(campaigns))
    }

    async fn get_campaign(&self, request: Request<GetCampaignRequest>) -> Result<Response<Campaign>, Status> {
        let campaign = list::get(&self.0.database, &request.into_inner().id).await?;
        Ok(campaign.into())
    }

    async fn list_campaign_targets(
        &self,
        request: Request<ListCampaignTargetsRequest>,
    ) -> Result<Response<ListCampaignTargetsResponse>, Status> {
        let page = list_targets::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let targets = list_targets::list(&self.0.database, page).await?;
        Ok(Response::new(targets))
    }

    async fn pause_campaign(&self, request: Request<PauseCampaignRequest>) -> Result<Response<Campaign>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let pause = Pause::try_from(request.into_inner()).map_err(reason::invalid)?;
        let campaign = pause::pause(&self.0, pause, &if_match, &author).await?;
        Ok(campaign.into())
    }

    async fn resume_campaign(&self, request: Request<ResumeCampaignRequest>) -> Result<Response<Campaign>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let campaign = resume::resume(&self.0, &request.into_inner().id, &if_match, &author).await?;
        Ok(campaign.into())
    }

    async fn cancel_campaign(&self, request: Request<CancelCampaignRequest>) -> Result<Response<Campaign>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let campaign = cancel::cancel(&self.0, &request.into_inner().id, &if_match, &author).await?;
        Ok(campaign.into())
    }
}

/// Problems with a part of a request, by where it stands in it.
fn under(place: &'static str, problems: Vec<FieldViolation>) -> impl Iterator<Item = FieldViolation> {
    let of = move |problem: FieldViolation| {
        let field = match problem.field.as_str() {
            field if field == place || field.starts_with(&format!("{place}.")) => problem.field,
            field => format!("{place}.{field}"),
        };
        FieldViolation::new(field, problem.message)
    };
    problems.into_iter().map(of)
}
