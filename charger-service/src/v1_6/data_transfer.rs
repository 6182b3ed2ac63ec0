//! DataTransfer (4.4): what a vendor wanted to say that OCPP does not. No vendor is registered here, and the message log
//! keeps what was said.

use ocpp::v1_6::{DataTransfer, DataTransferResponse, DataTransferStatus};

use super::Failure;
use crate::session::answer::{Answer, Incoming};

pub(super) fn answer(call: &Incoming<'_>) -> Result<Answer, Failure> {
    DataTransfer::read(call.payload)?;
    Answer::result(&DataTransferResponse {
        status: DataTransferStatus::UnknownVendorId,
        data: None,
    })
}
