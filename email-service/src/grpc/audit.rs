//! `EmailAuditService`.

use std::sync::Arc;

use service_kit::{database, reason};
use tonic::{Request, Response, Status};
use voltgate_proto::email::v1::email_audit_service_server::EmailAuditService;
use voltgate_proto::email::v1::{ListAuditEntriesRequest, ListAuditEntriesResponse};

use crate::State;
use crate::audit::{self, Page};

pub(super) struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl EmailAuditService for Grpc {
    async fn list_audit_entries(
        &self,
        request: Request<ListAuditEntriesRequest>,
    ) -> Result<Response<ListAuditEntriesResponse>, Status> {
        let page = Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let entries = audit::list(&self.0.database, page).await;
        entries.map(Response::new).map_err(|error| database::failed(&error))
    }
}
