//! Certificates of charge points: who issues them, which were issued, and which roots charge points trust.

pub mod authority;
mod details;
pub mod installed;
pub mod issue;
pub mod issued;
mod list;
mod renew;
mod request;
pub mod sent;
pub mod voided;

use std::sync::Arc;

use service_kit::reason;
use tonic::{Request, Response, Status};
use voltgate_proto::google::api::HttpBody;
use voltgate_proto::ocpp::v1::certificate_service_server::CertificateService;
use voltgate_proto::ocpp::v1::{
    ClientAuthorities, Command, GetCertificateAuthorityRequest, GetClientAuthoritiesRequest, ListCertificatesRequest,
    ListCertificatesResponse, RenewCertificateRequest,
};

use crate::State;
use crate::command::asking::Asking;
use crate::command::send::send;

const PEM: &str = "application/pem-certificate-chain";

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl CertificateService for Grpc {
    async fn list_certificates(
        &self,
        request: Request<ListCertificatesRequest>,
    ) -> Result<Response<ListCertificatesResponse>, Status> {
        let certificates = list::list(&self.0.database, &request.into_inner().identity).await?;
        Ok(Response::new(certificates))
    }

    async fn renew_certificate(&self, request: Request<RenewCertificateRequest>) -> Result<Response<Command>, Status> {
        let (asking, request) = Asking::of(request)?;
        let command = renew::parse(request, asking).map_err(reason::invalid)?;
        Ok(Response::new(send(&self.0, command).await?))
    }

    async fn get_certificate_authority(
        &self,
        _: Request<GetCertificateAuthorityRequest>,
    ) -> Result<Response<HttpBody>, Status> {
        Ok(Response::new(HttpBody {
            content_type: PEM.to_owned(),
            data: self.0.issuance.authority.chain().to_owned().into(),
            extensions: Vec::new(),
        }))
    }

    async fn get_client_authorities(
        &self,
        _: Request<GetClientAuthoritiesRequest>,
    ) -> Result<Response<ClientAuthorities>, Status> {
        Ok(Response::new(ClientAuthorities {
            certificates: self.0.issuance.authority.chain().to_owned(),
        }))
    }
}
