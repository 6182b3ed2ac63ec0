//! How a charge point is received when it boots: the answer, its interval, and what is asked of one that is kept waiting.

mod get;
pub mod pending;
mod replace;

use std::sync::Arc;

use service_kit::reason;
use service_kit::version::IfMatch;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::registration_service_server::RegistrationService;
use voltgate_proto::ocpp::v1::{GetRegistrationRequest, Registration, ReplaceRegistrationRequest};

use self::replace::Replacement;
use crate::State;
use crate::audit::Author;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl RegistrationService for Grpc {
    async fn get_registration(
        &self,
        request: Request<GetRegistrationRequest>,
    ) -> Result<Response<Registration>, Status> {
        let registration = get::get(&self.0.database, &request.into_inner().identity).await?;
        Ok(registration.into())
    }

    async fn replace_registration(
        &self,
        request: Request<ReplaceRegistrationRequest>,
    ) -> Result<Response<Registration>, Status> {
        let (author, if_match) = (Author::of(&request), IfMatch::of(&request)?);
        let replacement = Replacement::try_from(request.into_inner()).map_err(reason::invalid)?;
        let registration = replace::replace(&self.0, replacement, &if_match, &author).await?;
        Ok(registration.into())
    }
}
