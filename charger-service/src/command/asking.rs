//! What the requests for verbs have in common, whatever it is that they ask for: who asks, under which key, and how long it has time.

use prost::Message;
use service_kit::reason;
use tonic::{Request, Status};
use voltgate_proto::ocpp::v1::{
    ClearChargingLimitRequest, RenewCertificateRequest, RequestDiagnosticsRequest, RequestLogRequest,
    ResetChargePointRequest, RotatePasswordRequest, SetAvailabilityRequest, SetChargingLimitRequest,
    StartChargingRequest, StopChargingRequest, UnlockConnectorRequest, UpdateFirmwareRequest,
};

use super::ledger::Room;
use super::send::{Patience, idempotency_key};
use crate::audit::Author;

/// A request for a verb, without what it asks for.
pub struct Asking {
    pub author: Author,
    pub idempotency_key: Option<String>,
    pub patience: Patience,
    /// Tells a repetition from another request under the same key: all that the client has said, but for how long it has time.
    /// The payload would not do, as times, numbers and tokens that are made here are others each time.
    pub said: Vec<u8>,
    pub room: Option<Room>,
}

impl Asking {
    /// # Errors
    /// The Idempotency-Key is none.
    pub fn of<T: Timed>(request: Request<T>) -> Result<(Self, T), Status> {
        let author = Author::of(&request);
        let idempotency_key = idempotency_key(request.metadata()).map_err(reason::invalid)?;
        let mut request = request.into_inner();
        let asking = Self {
            author,
            idempotency_key,
            patience: request.take_patience(),
            said: request.encode_to_vec(),
            room: None,
        };
        Ok((asking, request))
    }
}

/// A request that can say how long it has time.
pub trait Timed: Message {
    fn take_patience(&mut self) -> Patience;
}

macro_rules! timed {
    ($($request:ty),+ $(,)?) => {$(
        impl Timed for $request {
            fn take_patience(&mut self) -> Patience {
                Patience {
                    wait_seconds: self.wait_seconds.take(),
                    expires_in_seconds: self.expires_in_seconds.take(),
                }
            }
        }
    )+};
}

timed!(
    ClearChargingLimitRequest,
    RenewCertificateRequest,
    RequestDiagnosticsRequest,
    RequestLogRequest,
    ResetChargePointRequest,
    RotatePasswordRequest,
    SetAvailabilityRequest,
    SetChargingLimitRequest,
    StartChargingRequest,
    StopChargingRequest,
    UnlockConnectorRequest,
    UpdateFirmwareRequest,
);
