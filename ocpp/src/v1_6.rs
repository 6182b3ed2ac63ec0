//! OCPP 1.6: its actions, and its payloads as far as our rules need them.
//!
//! Station requests have narrow types of our own, read with [`crate::Fields`]: `rust-ocpp` stops at the first
//! field that is not exactly right (a date-time without an offset, an unknown measurand), and what it stops at may be
//! somebody's bill. What we answer is ours to get right, so there its types are used, with one exception that is
//! said where it stands. Enumerations that stations send stay text: the validator has checked them, and the database
//! keeps them as they came.

mod action;
mod authorize;
mod boot_notification;
mod certificate;
mod change_availability;
mod charging_profile;
mod configuration;
mod data_transfer;
mod heartbeat;
mod local_list;
mod meter_values;
mod numbered_transfer;
pub mod request;
mod reservation;
mod security_event_notification;
mod sign_certificate;
mod start_transaction;
mod status_answer;
mod status_notification;
mod stop_transaction;
pub(crate) mod table;
mod transfer;

pub use action::{Action, Initiator};
pub use authorize::{Authorize, AuthorizeResponse};
pub use boot_notification::{BootNotification, BootNotificationResponse};
pub use certificate::{
    CertificateHash, CertificateSigned, DeleteCertificate, GetInstalledCertificateIds, InstallCertificate,
    InstalledCertificates,
};
pub use change_availability::ChangeAvailability;
pub use charging_profile::{
    ChargingProfile, ClearChargingProfile, CompositeSchedule, GetCompositeSchedule, RemoteStartTransaction,
    SetChargingProfile,
};
pub use configuration::{ChangeConfiguration, Configuration, GetConfiguration, KeyValue};
pub use data_transfer::{DataTransfer, DataTransferResponse};
pub use heartbeat::{HeartbeatResponse, heartbeat_response};
pub use local_list::{AuthorizationData, LocalListVersion, SendLocalList};
pub use meter_values::{MeterReading, MeterValues, Sample};
pub use numbered_transfer::{LogFile, NumberedTransfer, TransferStatus};
pub use reservation::{CancelReservation, ReserveNow};
pub use security_event_notification::SecurityEventNotification;
pub use sign_certificate::SignCertificate;
pub use start_transaction::{StartTransaction, StartTransactionResponse};
pub use status_answer::StatusOnly;
pub use status_notification::StatusNotification;
pub use stop_transaction::{StopTransaction, StopTransactionResponse};
pub use transfer::{FileName, Transfer};

pub use rust_ocpp::v1_6::types::{AuthorizationStatus, DataTransferStatus, IdTagInfo, RegistrationStatus};

#[cfg(test)]
mod tests;
