//! DataTransfer (4.4): what a vendor wanted to say that OCPP does not. A registered vendor has been asked by now; of any other
//! the message log keeps what was said.

use ocpp::v1_6::{DataTransfer, DataTransferResponse, DataTransferStatus};

use super::Failure;
use crate::data_transfer_vendor::forward::{Forwarded, TransferStatus};
use crate::session::answer::{Answer, Incoming};

pub(super) fn answer(call: &Incoming<'_>) -> Result<Answer, Failure> {
    DataTransfer::read(call.payload)?;
    let (status, data, flag) = match call.advice.of_vendor() {
        None => (DataTransferStatus::UnknownVendorId, None, None),
        Some(Forwarded::UnknownMessage) => (DataTransferStatus::UnknownMessageId, None, None),
        Some(Forwarded::Answered { status, data }) => (wire(*status), data.clone(), None),
        Some(Forwarded::Failed(why)) => (DataTransferStatus::Rejected, None, Some(why.clone())),
    };
    Ok(Answer::result(&DataTransferResponse { status, data })?.flagged(flag))
}

fn wire(status: TransferStatus) -> DataTransferStatus {
    match status {
        TransferStatus::Accepted => DataTransferStatus::Accepted,
        TransferStatus::Rejected => DataTransferStatus::Rejected,
        TransferStatus::UnknownMessageId => DataTransferStatus::UnknownMessageId,
        TransferStatus::UnknownVendorId => DataTransferStatus::UnknownVendorId,
    }
}
