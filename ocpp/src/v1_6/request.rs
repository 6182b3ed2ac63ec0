//! What we ask a charge point in words of our own, where nobody has written the payload. Each is checked against the table
//! before it leaves, like any other.

pub use rust_ocpp::v1_6::messages::change_availability::ChangeAvailabilityRequest;
pub use rust_ocpp::v1_6::messages::clear_charging_profile::ClearChargingProfileRequest;
pub use rust_ocpp::v1_6::messages::remote_start_transaction::RemoteStartTransactionRequest;
pub use rust_ocpp::v1_6::messages::remote_stop_transaction::RemoteStopTransactionRequest;
pub use rust_ocpp::v1_6::messages::reset::ResetRequest;
pub use rust_ocpp::v1_6::messages::send_local_list::SendLocalListRequest;
pub use rust_ocpp::v1_6::messages::set_charging_profile::SetChargingProfileRequest;
pub use rust_ocpp::v1_6::messages::unlock_connector::UnlockConnectorRequest;
pub use rust_ocpp::v1_6::types::{
    AuthorizationData, AvailabilityType, ChargingProfile, ChargingProfileKindType, ChargingProfilePurposeType,
    ChargingRateUnitType, ChargingSchedule, ChargingSchedulePeriod, RecurrencyKindType, ResetRequestStatus, UpdateType,
};
