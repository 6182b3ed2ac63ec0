//! Strays: stops and meter values that fitted no transaction, or told one otherwise than before (`unmatched.rs` keeps them).
//! An operator attaches them to the transaction that they are of, merges them into it, or dismisses them (rule 4 of the OCPP
//! decisions). What is applied goes by the rules that hold for what a charge point says.

mod attach;
mod dismiss;
mod list;
mod merge;
mod settle;

use std::sync::Arc;

use service_kit::{database, reason};
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::stray_service_server::StrayService;
use voltgate_proto::ocpp::v1::{
    AttachStrayRequest, DismissStrayRequest, GetStrayRequest, ListStraysRequest, ListStraysResponse, MergeStrayRequest,
    Stray,
};

use crate::State;
use crate::audit::Author;

pub struct Grpc(pub Arc<State>);

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Attached,
    Merged,
    Dismissed,
}

impl Fate {
    const ALL: [Self; 4] = [Self::Open, Self::Attached, Self::Merged, Self::Dismissed];

    fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Attached => "attached",
            Self::Merged => "merged",
            Self::Dismissed => "dismissed",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fate| fate.as_str() == text)
    }
}

#[tonic::async_trait]
impl StrayService for Grpc {
    async fn list_strays(&self, request: Request<ListStraysRequest>) -> Result<Response<ListStraysResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let strays = list::list(&self.0.database, page).await?;
        Ok(Response::new(strays))
    }

    async fn get_stray(&self, request: Request<GetStrayRequest>) -> Result<Response<Stray>, Status> {
        let mut connection = database::begin(&self.0.database)
            .await
            .map_err(|error| database::failed(&error))?;
        let stray = list::get(&mut connection, &request.into_inner().id).await?;
        Ok(Response::new(stray))
    }

    async fn attach_stray(&self, request: Request<AttachStrayRequest>) -> Result<Response<Stray>, Status> {
        let author = Author::of(&request);
        let attachment = attach::Attachment::try_from(request.into_inner()).map_err(reason::invalid)?;
        let stray = attach::attach(&self.0, attachment, &author).await?;
        Ok(Response::new(stray))
    }

    async fn merge_stray(&self, request: Request<MergeStrayRequest>) -> Result<Response<Stray>, Status> {
        let author = Author::of(&request);
        let merger = merge::Merger::try_from(request.into_inner()).map_err(reason::invalid)?;
        let stray = merge::merge(&self.0, merger, &author).await?;
        Ok(Response::new(stray))
    }

    async fn dismiss_stray(&self, request: Request<DismissStrayRequest>) -> Result<Response<Stray>, Status> {
        let author = Author::of(&request);
        let dismissal = dismiss::Dismissal::try_from(request.into_inner()).map_err(reason::invalid)?;
        let stray = dismiss::dismiss(&self.0, dismissal, &author).await?;
        Ok(Response::new(stray))
    }
}
