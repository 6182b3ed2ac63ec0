//! What takes a charge point longer than an answer: it is told to fetch firmware or to upload diagnostics, and says how it
//! gets on with that.
//!
//! A job is there from the moment at which its command leaves, since a charge point may begin before it answers. 1.6 does not
//! say which job a notification is about, so it is about the latest; its security extension does, by a number (rule 14 of the OCPP
//! decisions).

pub mod answer;
pub mod ask;
pub mod firmware_order;
mod list;
pub mod notification;
pub mod request;
mod request_diagnostics;
mod request_log;
pub mod update_firmware;

use std::sync::Arc;

use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::job_service_server::JobService;
use voltgate_proto::ocpp::v1::{
    Command, GetJobRequest, Job, ListJobsRequest, ListJobsResponse, RequestDiagnosticsRequest, RequestLogRequest,
    UpdateFirmwareRequest,
};

use self::request_diagnostics::request_diagnostics;
use self::request_log::request_log;
use self::update_firmware::update_firmware;
use crate::State;
use crate::command::asking::Asking;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl JobService for Grpc {
    async fn list_jobs(&self, request: Request<ListJobsRequest>) -> Result<Response<ListJobsResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let jobs = list::list(&self.0.database, page).await?;
        Ok(Response::new(jobs))
    }

    async fn get_job(&self, request: Request<GetJobRequest>) -> Result<Response<Job>, Status> {
        let job = list::get(&self.0.database, request.into_inner()).await?;
        Ok(Response::new(job))
    }

    async fn request_diagnostics(
        &self,
        request: Request<RequestDiagnosticsRequest>,
    ) -> Result<Response<Command>, Status> {
        let (asking, request) = Asking::of(request)?;
        let command = request_diagnostics(&self.0, request, asking).await?;
        Ok(Response::new(command))
    }

    async fn request_log(&self, request: Request<RequestLogRequest>) -> Result<Response<Command>, Status> {
        let (asking, request) = Asking::of(request)?;
        let command = request_log(&self.0, request, asking).await?;
        Ok(Response::new(command))
    }

    async fn update_firmware(&self, request: Request<UpdateFirmwareRequest>) -> Result<Response<Command>, Status> {
        let (asking, request) = Asking::of(request)?;
        let command = update_firmware(&self.0, request, asking).await?;
        Ok(Response::new(command))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Firmware,
    Diagnostics,
    Log,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Diagnostics => "diagnostics",
            Self::Log => "log",
        }
    }

    /// As the database keeps it.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Firmware, Self::Diagnostics, Self::Log]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}
