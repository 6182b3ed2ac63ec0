//! Files: firmware that operators upload for charge points, and the diagnostics and logs that charge points send.
//!
//! They are rows, a piece each, so that every replica can serve them and no more than a piece is ever in memory (ADR 10). A file
//! that is not complete is nobody's to see.

pub mod content;
mod delete;
mod firmware;
mod housekeeping;
pub mod incoming;
pub mod list;
pub mod name;
mod place;

pub use self::firmware::named as firmware_named;
pub use self::housekeeping::keep;
pub use self::place::{Busy, Place};

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use service_kit::reason::{self, Reason};
use tonic::{Request, Response, Status, Streaming};
use voltgate_proto::ocpp::v1::file_service_server::FileService;
use voltgate_proto::ocpp::v1::{
    DeleteFileRequest, DownloadFileRequest, File, ListFilesRequest, ListFilesResponse, UploadFirmwareRequest,
};

use self::content::{Bodies, Content};
use self::incoming::{chunks, first};
use self::place::Places;
use crate::State;
use crate::audit::Author;

/// When one that is sent away should try again.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// What files may take.
#[derive(Debug)]
pub struct Store {
    /// A file, in bytes.
    pub largest: i32,
    /// All files together, in bytes.
    pub total: i64,
    /// How long what charge points sent is kept.
    pub retention: TimeDelta,
    pub places: Places,
}

impl From<Busy> for Status {
    fn from(Busy: Busy) -> Self {
        Reason::Overloaded.retry_after(RETRY_AFTER, "Too many files are on their way just now")
    }
}

impl Store {
    pub fn new(largest_mib: u16, total_mib: u32, retention: TimeDelta) -> Self {
        const MIB: i32 = 1024 * 1024;
        Self {
            largest: i32::from(largest_mib).saturating_mul(MIB),
            total: i64::from(total_mib) * i64::from(MIB),
            retention,
            places: Places::new(),
        }
    }
}

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl FileService for Grpc {
    async fn upload_firmware(
        &self,
        request: Request<Streaming<UploadFirmwareRequest>>,
    ) -> Result<Response<File>, Status> {
        let author = Author::of(&request);
        let mut messages = request.into_inner();
        let first = first(&mut messages).await?;
        let name = firmware::Name::parse(&first.name).map_err(reason::invalid)?;
        let bytes = chunks(first.body, messages, |message| message.body);
        let file = firmware::upload(&self.0, name, bytes, &author).await?;
        Ok(Response::new(file))
    }

    async fn list_files(&self, request: Request<ListFilesRequest>) -> Result<Response<ListFilesResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let files = list::list(&self.0.database, page).await?;
        Ok(Response::new(files))
    }

    type DownloadFileStream = Bodies;

    async fn download_file(&self, request: Request<DownloadFileRequest>) -> Result<Response<Bodies>, Status> {
        let content = Content::of_file(&self.0, &request.get_ref().id).await?;
        Ok(content.answer(&self.0, request.metadata())?)
    }

    async fn delete_file(&self, request: Request<DeleteFileRequest>) -> Result<Response<()>, Status> {
        let author = Author::of(&request);
        delete::delete(&self.0, &request.into_inner().id, &author).await?;
        Ok(Response::new(()))
    }
}
