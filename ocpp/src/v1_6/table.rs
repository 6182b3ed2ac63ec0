//! What the messages of this version may contain: 78 payloads, field by field.
//!
//! Written by `ocpp/tables/generate.py` from the published schemas; do not edit by hand.

#![cfg_attr(rustfmt, rustfmt_skip)]

use crate::validate::{Message, Message::*, Rule::*, Shape, optional, required};

pub(crate) fn shape(message: Message<'_>) -> Option<Shape> {
    Some(match message {
        Request("Authorize") => const { &[
            required("idTag", TextUpTo(20)),
        ] },
        Response("Authorize") => const { &[
            required("idTagInfo", Object(ID_TAG_INFO)),
        ] },
        Request("BootNotification") => const { &[
            required("chargePointVendor", TextUpTo(20)),
            required("chargePointModel", TextUpTo(20)),
            optional("chargePointSerialNumber", TextUpTo(25)),
            optional("chargeBoxSerialNumber", TextUpTo(25)),
            optional("firmwareVersion", TextUpTo(50)),
            optional("iccid", TextUpTo(20)),
            optional("imsi", TextUpTo(20)),
            optional("meterType", TextUpTo(25)),
            optional("meterSerialNumber", TextUpTo(25)),
        ] },
        Response("BootNotification") => const { &[
            required("status", OneOf(&["Accepted", "Pending", "Rejected"])),
            required("currentTime", DateTime),
            required("interval", Integer),
        ] },
        Request("CancelReservation") => const { &[
            required("reservationId", Integer),
        ] },
        Response("CancelReservation") => const { &[
            required("status", OneOf(&["Accepted", "Rejected"])),
        ] },
        Request("CertificateSigned") => const { &[
            required("certificateChain", TextUpTo(10000)),
        ] },
        Response("CertificateSigned") => const { &[
            required("status", OneOf(&["Accepted", "Rejected"])),
        ] },
        Request("ChangeAvailability") => const { &[
            required("connectorId", Integer),
            required("type", OneOf(&["Inoperative", "Operative"])),
        ] },
        Response("ChangeAvailability") => const { &[
            required("status", OneOf(&["Accepted", "Rejected", "Scheduled"])),
        ] },
        Request("ChangeConfiguration") => const { &[
            required("key", TextUpTo(50)),
            required("value", TextUpTo(500)),
        ] },
        Response("ChangeConfiguration") => const { &[
            required("status", OneOf(&["Accepted", "Rejected", "RebootRequired", "NotSupported"])),
        ] },
        Request("ClearCache") => &[],
        Response("ClearCache") => const { &[
            required("status", OneOf(&["Accepted", "Rejected"])),
        ] },
        Request("ClearChargingProfile") => const { &[
            optional("id", Integer),
            optional("connectorId", Integer),
            optional("chargingProfilePurpose", OneOf(&["ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"])),
            optional("stackLevel", Integer),
        ] },
        Response("ClearChargingProfile") => const { &[
            required("status", OneOf(&["Accepted", "Unknown"])),
        ] },
        Request("DataTransfer") => const { &[
            required("vendorId", TextUpTo(255)),
            optional("messageId", TextUpTo(50)),
            optional("data", Text),
        ] },
        Response("DataTransfer") => const { &[
            required("status", OneOf(&["Accepted", "Rejected", "UnknownMessageId", "UnknownVendorId"])),
            optional("data", Text),
        ] },
        Request("DeleteCertificate") => const { &[
            required("certificateHashData", Object(CERTIFICATE_HASH_DATA)),
        ] },
        Response("DeleteCertificate") => const { &[
            required("status", OneOf(&["Accepted", "Failed", "NotFound"])),
        ] },
        Request("DiagnosticsStatusNotification") => const { &[
            required("status", OneOf(&["Idle", "Uploaded", "UploadFailed", "Uploading"])),
        ] },
        Response("DiagnosticsStatusNotification") => &[],
        Request("ExtendedTriggerMessage") => const { &[
            required("requestedMessage", OneOf(EXTENDED_TRIGGER_MESSAGE_REQUESTED_MESSAGE)),
            optional("connectorId", Integer),
        ] },
        Response("ExtendedTriggerMessage") => const { &[
            required("status", OneOf(&["Accepted", "Rejected", "NotImplemented"])),
        ] },
        Request("FirmwareStatusNotification") => const { &[
            required("status", OneOf(FIRMWARE_STATUS_NOTIFICATION_STATUS)),
        ] },
        Response("FirmwareStatusNotification") => &[],
        Request("GetCompositeSchedule") => const { &[
            required("connectorId", Integer),
            required("duration", Integer),
            optional("chargingRateUnit", OneOf(&["A", "W"])),
        ] },
        Response("GetCompositeSchedule") => const { &[
            required("status", OneOf(&["Accepted", "Rejected"])),
            optional("connectorId", Integer),
            optional("scheduleStart", DateTime),
            optional("chargingSchedule", Object(CHARGING_SCHEDULE)),
        ] },
        Request("GetConfiguration") => const { &[
            optional("key", List(&TextUpTo(50))),
        ] },
        Response("GetConfiguration") => const { &[
            optional("configurationKey", List(&Object(CONFIGURATION_KEY))),
            optional("unknownKey", List(&TextUpTo(50))),
        ] },
        Request("GetDiagnostics") => const { &[
            required("location", Text),
            optional("retries", Integer),
            optional("retryInterval", Integer),
            optional("startTime", DateTime),
            optional("stopTime", DateTime),
        ] },
        Response("GetDiagnostics") => const { &[
            optional("fileName", TextUpTo(255)),
        ] },
        Request("GetInstalledCertificateIds") => const { &[
            required("certificateType", OneOf(&["CentralSystemRootCertificate", "ManufacturerRootCertificate"])),
        ] },
        Response("GetInstalledCertificateIds") => const { &[
            optional("certificateHashData", NonEmptyList(&Object(CERTIFICATE_HASH_DATA))),
            required("status", OneOf(&["Accepted", "NotFound"])),
        ] },
        Request("GetLocalListVersion") => &[],
        Response("GetLocalListVersion") => const { &[
            required("listVersion", Integer),
        ] },
        Request("GetLog") => const { &[
            required("log", Object(LOG)),
            required("logType", OneOf(&["DiagnosticsLog", "SecurityLog"])),
            required("requestId", Integer),
            optional("retries", Integer),
            optional("retryInterval", Integer),
        ] },
        Response("GetLog") => const { &[
            required("status", OneOf(&["Accepted", "Rejected", "AcceptedCanceled"])),
            optional("filename", TextUpTo(255)),
        ] },
        Request("Heartbeat") => &[],
        Response("Heartbeat") => const { &[
            required("currentTime", DateTime),
        ] },
        Request("InstallCertificate") => const { &[
            required("certificateType", OneOf(&["CentralSystemRootCertificate", "ManufacturerRootCertificate"])),
            required("certificate", TextUpTo(5500)),
        ] },
        Response("InstallCertificate") => const { &[
            required("status", OneOf(&["Accepted", "Failed", "Rejected"])),
        ] },
        Request("LogStatusNotification") => const { &[
            required("status", OneOf(LOG_STATUS_NOTIFICATION_STATUS)),
            optional("requestId", Integer),
        ] },
        Response("LogStatusNotification") => &[],
        Request("MeterValues") => const { &[
            required("connectorId", Integer),
            optional("transactionId", Integer),
            required("meterValue", NonEmptyList(&Object(METER_VALUE))),
        ] },
        Response("MeterValues") => &[],
        Request("RemoteStartTransaction") => const { &[
            optional("connectorId", Integer),
            required("idTag", TextUpTo(20)),
            optional("chargingProfile", Object(CHARGING_PROFILE)),
        ] },
        Response("RemoteStartTransaction") => const { &[
            required("status", OneOf(&["Accepted", "Rejected"])),
        ] },
        Request("RemoteStopTransaction") => const { &[
            required("transactionId", Integer),
        ] },
        Response("RemoteStopTransaction") => const { &[
            required("status", OneOf(&["Accepted", "Rejected"])),
        ] },
        Request("ReserveNow") => const { &[
            required("connectorId", Integer),
            required("expiryDate", DateTime),
            required("idTag", TextUpTo(20)),
            optional("parentIdTag", TextUpTo(20)),
            required("reservationId", Integer),
        ] },
        Response("ReserveNow") => const { &[
            required("status", OneOf(&["Accepted", "Faulted", "Occupied", "Rejected", "Unavailable"])),
        ] },
        Request("Reset") => const { &[
            required("type", OneOf(&["Hard", "Soft"])),
        ] },
        Response("Reset") => const { &[
            required("status", OneOf(&["Accepted", "Rejected"])),
        ] },
        Request("SecurityEventNotification") => const { &[
            required("type", TextUpTo(50)),
            required("timestamp", DateTime),
            optional("techInfo", TextUpTo(255)),
        ] },
        Response("SecurityEventNotification") => &[],
        Request("SendLocalList") => const { &[
            required("listVersion", Integer),
            optional("localAuthorizationList", List(&Object(LOCAL_AUTHORIZATION_LIST))),
            required("updateType", OneOf(&["Differential", "Full"])),
        ] },
        Response("SendLocalList") => const { &[
            required("status", OneOf(&["Accepted", "Failed", "NotSupported", "VersionMismatch"])),
        ] },
        Request("SetChargingProfile") => const { &[
            required("connectorId", Integer),
            required("csChargingProfiles", Object(CHARGING_PROFILE)),
        ] },
        Response("SetChargingProfile") => const { &[
            required("status", OneOf(&["Accepted", "Rejected", "NotSupported"])),
        ] },
        Request("SignCertificate") => const { &[
            required("csr", TextUpTo(5500)),
        ] },
        Response("SignCertificate") => const { &[
            required("status", OneOf(&["Accepted", "Rejected"])),
        ] },
        Request("SignedFirmwareStatusNotification") => const { &[
            required("status", OneOf(SIGNED_FIRMWARE_STATUS_NOTIFICATION_STATUS)),
            optional("requestId", Integer),
        ] },
        Response("SignedFirmwareStatusNotification") => &[],
        Request("SignedUpdateFirmware") => const { &[
            optional("retries", Integer),
            optional("retryInterval", Integer),
            required("requestId", Integer),
            required("firmware", Object(FIRMWARE)),
        ] },
        Response("SignedUpdateFirmware") => const { &[
            required("status", OneOf(SIGNED_UPDATE_FIRMWARE_STATUS)),
        ] },
        Request("StartTransaction") => const { &[
            required("connectorId", Integer),
            required("idTag", TextUpTo(20)),
            required("meterStart", Integer),
            optional("reservationId", Integer),
            required("timestamp", DateTime),
        ] },
        Response("StartTransaction") => const { &[
            required("idTagInfo", Object(ID_TAG_INFO)),
            required("transactionId", Integer),
        ] },
        Request("StatusNotification") => const { &[
            required("connectorId", Integer),
            required("errorCode", OneOf(STATUS_NOTIFICATION_ERROR_CODE)),
            optional("info", TextUpTo(50)),
            required("status", OneOf(STATUS_NOTIFICATION_STATUS)),
            optional("timestamp", DateTime),
            optional("vendorId", TextUpTo(255)),
            optional("vendorErrorCode", TextUpTo(50)),
        ] },
        Response("StatusNotification") => &[],
        Request("StopTransaction") => const { &[
            optional("idTag", TextUpTo(20)),
            required("meterStop", Integer),
            required("timestamp", DateTime),
            required("transactionId", Integer),
            optional("reason", OneOf(STOP_TRANSACTION_REASON)),
            optional("transactionData", List(&Object(METER_VALUE))),
        ] },
        Response("StopTransaction") => const { &[
            optional("idTagInfo", Object(ID_TAG_INFO)),
        ] },
        Request("TriggerMessage") => const { &[
            required("requestedMessage", OneOf(TRIGGER_MESSAGE_REQUESTED_MESSAGE)),
            optional("connectorId", Integer),
        ] },
        Response("TriggerMessage") => const { &[
            required("status", OneOf(&["Accepted", "Rejected", "NotImplemented"])),
        ] },
        Request("UnlockConnector") => const { &[
            required("connectorId", Integer),
        ] },
        Response("UnlockConnector") => const { &[
            required("status", OneOf(&["Unlocked", "UnlockFailed", "NotSupported"])),
        ] },
        Request("UpdateFirmware") => const { &[
            required("location", Text),
            optional("retries", Integer),
            required("retrieveDate", DateTime),
            optional("retryInterval", Integer),
        ] },
        Response("UpdateFirmware") => &[],
        _ => return None,
    })
}

const ID_TAG_INFO: Shape = &[
    optional("expiryDate", DateTime),
    optional("parentIdTag", TextUpTo(20)),
    required("status", OneOf(&["Accepted", "Blocked", "Expired", "Invalid", "ConcurrentTx"])),
];

const CERTIFICATE_HASH_DATA: Shape = &[
    required("hashAlgorithm", OneOf(&["SHA256", "SHA384", "SHA512"])),
    required("issuerNameHash", TextUpTo(128)),
    required("issuerKeyHash", TextUpTo(128)),
    required("serialNumber", TextUpTo(40)),
];

const EXTENDED_TRIGGER_MESSAGE_REQUESTED_MESSAGE: &[&str] = &[
    "BootNotification", "LogStatusNotification", "FirmwareStatusNotification", "Heartbeat", "MeterValues",
    "SignChargePointCertificate", "StatusNotification",
];

const FIRMWARE_STATUS_NOTIFICATION_STATUS: &[&str] = &[
    "Downloaded", "DownloadFailed", "Downloading", "Idle", "InstallationFailed", "Installing", "Installed",
];

const CHARGING_SCHEDULE_PERIOD: Shape = &[
    required("startPeriod", Integer),
    required("limit", Tenths),
    optional("numberPhases", Integer),
];

const CHARGING_SCHEDULE: Shape = &[
    optional("duration", Integer),
    optional("startSchedule", DateTime),
    required("chargingRateUnit", OneOf(&["A", "W"])),
    required("chargingSchedulePeriod", NonEmptyList(&Object(CHARGING_SCHEDULE_PERIOD))),
    optional("minChargingRate", Tenths),
];

const CONFIGURATION_KEY: Shape = &[
    required("key", TextUpTo(50)),
    required("readonly", Boolean),
    optional("value", TextUpTo(500)),
];

const LOG: Shape = &[
    required("remoteLocation", TextUpTo(512)),
    optional("oldestTimestamp", DateTime),
    optional("latestTimestamp", DateTime),
];

const LOG_STATUS_NOTIFICATION_STATUS: &[&str] = &[
    "BadMessage", "Idle", "NotSupportedOperation", "PermissionDenied", "Uploaded", "UploadFailure", "Uploading",
];

const SAMPLED_VALUE: Shape = &[
    required("value", Text),
    optional("context", Text),
    optional("format", Text),
    optional("measurand", Text),
    optional("phase", Text),
    optional("location", Text),
    optional("unit", Text),
];

const METER_VALUE: Shape = &[
    required("timestamp", DateTime),
    required("sampledValue", NonEmptyList(&Object(SAMPLED_VALUE))),
];

const CHARGING_PROFILE: Shape = &[
    required("chargingProfileId", Integer),
    optional("transactionId", Integer),
    required("stackLevel", Integer),
    required("chargingProfilePurpose", OneOf(&["ChargePointMaxProfile", "TxDefaultProfile", "TxProfile"])),
    required("chargingProfileKind", OneOf(&["Absolute", "Recurring", "Relative"])),
    optional("recurrencyKind", OneOf(&["Daily", "Weekly"])),
    optional("validFrom", DateTime),
    optional("validTo", DateTime),
    required("chargingSchedule", Object(CHARGING_SCHEDULE)),
];

const LOCAL_AUTHORIZATION_LIST: Shape = &[
    required("idTag", TextUpTo(20)),
    optional("idTagInfo", Object(ID_TAG_INFO)),
];

const SIGNED_FIRMWARE_STATUS_NOTIFICATION_STATUS: &[&str] = &[
    "Downloaded", "DownloadFailed", "Downloading", "DownloadScheduled", "DownloadPaused", "Idle",
    "InstallationFailed", "Installing", "Installed", "InstallRebooting", "InstallScheduled",
    "InstallVerificationFailed", "InvalidSignature", "SignatureVerified",
];

const FIRMWARE: Shape = &[
    required("location", TextUpTo(512)),
    required("retrieveDateTime", DateTime),
    optional("installDateTime", DateTime),
    required("signingCertificate", TextUpTo(5500)),
    required("signature", TextUpTo(800)),
];

const SIGNED_UPDATE_FIRMWARE_STATUS: &[&str] = &[
    "Accepted", "Rejected", "AcceptedCanceled", "InvalidCertificate", "RevokedCertificate",
];

const STATUS_NOTIFICATION_ERROR_CODE: &[&str] = &[
    "ConnectorLockFailure", "EVCommunicationError", "GroundFailure", "HighTemperature", "InternalError",
    "LocalListConflict", "NoError", "OtherError", "OverCurrentFailure", "PowerMeterFailure", "PowerSwitchFailure",
    "ReaderFailure", "ResetFailure", "UnderVoltage", "OverVoltage", "WeakSignal",
];

const STATUS_NOTIFICATION_STATUS: &[&str] = &[
    "Available", "Preparing", "Charging", "SuspendedEVSE", "SuspendedEV", "Finishing", "Reserved", "Unavailable",
    "Faulted",
];

const STOP_TRANSACTION_REASON: &[&str] = &[
    "EmergencyStop", "EVDisconnected", "HardReset", "Local", "Other", "PowerLoss", "Reboot", "Remote",
    "SoftReset", "UnlockCommand", "DeAuthorized",
];

const TRIGGER_MESSAGE_REQUESTED_MESSAGE: &[&str] = &[
    "BootNotification", "DiagnosticsStatusNotification", "FirmwareStatusNotification", "Heartbeat", "MeterValues",
    "StatusNotification",
];
