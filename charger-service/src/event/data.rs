//! What events tell, as the table keeps it: JSON that the statements of the facts put together.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use service_kit::event::timestamp;
use voltgate_proto::ocpp::v1::event::Data;
use voltgate_proto::ocpp::v1::{
    CampaignStateEvent, ChargePointBootedEvent, ChargePointOfflineEvent, ChargePointOnlineEvent, CommandFinishedEvent,
    ConnectorStatusEvent, JobStatusEvent, SecurityEventEvent, StrayKeptEvent, TransactionMeterValuesEvent,
    TransactionStartedEvent, TransactionStoppedEvent, UnknownChargePointSeenEvent,
};

use super::Kind;

/// All that any event tells. Each kind has some of it.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Told {
    protocol: String,
    vendor: Option<String>,
    model: Option<String>,
    firmware_version: Option<String>,
    registration_status: String,
    connector_id: i32,
    status: String,
    error_code: String,
    status_at: Option<DateTime<Utc>>,
    transaction_id: i32,
    started_at: Option<DateTime<Utc>>,
    stopped_at: Option<DateTime<Utc>>,
    energy_wh: Option<i32>,
    power_watts: Option<i32>,
    state_of_charge_percent: Option<i32>,
    stop_reason: Option<String>,
    command_id: String,
    action: String,
    stray_id: String,
    kind: String,
    reason: String,
    peer: Option<String>,
    job_id: String,
    progress: Option<String>,
    r#type: String,
    critical: bool,
    origin: String,
    campaign_id: String,
    name: String,
    state: String,
    pause_reason: Option<String>,
    wave: i32,
    waves: i32,
}

/// None where the type is none of this release.
pub fn data(r#type: &str, json: &str) -> Result<Option<Data>, serde_json::Error> {
    let Some(kind) = Kind::parse(r#type) else {
        return Ok(None);
    };
    let told: Told = serde_json::from_str(json)?;
    Ok(Some(match kind {
        Kind::CampaignState => Data::CampaignState(CampaignStateEvent {
            campaign_id: told.campaign_id,
            name: told.name,
            state: told.state,
            pause_reason: told.pause_reason,
            wave: told.wave,
            waves: told.waves,
        }),
        Kind::ChargePointOnline => Data::ChargePointOnline(ChargePointOnlineEvent {
            protocol: told.protocol,
        }),
        Kind::ChargePointOffline => Data::ChargePointOffline(ChargePointOfflineEvent {}),
        Kind::ChargePointBooted => Data::ChargePointBooted(ChargePointBootedEvent {
            vendor: told.vendor,
            model: told.model,
            firmware_version: told.firmware_version,
            registration_status: told.registration_status,
        }),
        Kind::ConnectorStatus => Data::ConnectorStatus(ConnectorStatusEvent {
            connector_id: told.connector_id,
            status: told.status,
            error_code: told.error_code,
            status_at: told.status_at.map(timestamp),
        }),
        Kind::TransactionStarted => Data::TransactionStarted(TransactionStartedEvent {
            transaction_id: told.transaction_id,
            connector_id: told.connector_id,
            status: told.status,
            started_at: told.started_at.map(timestamp),
        }),
        Kind::TransactionMeterValues => Data::TransactionMeterValues(TransactionMeterValuesEvent {
            transaction_id: told.transaction_id,
            connector_id: told.connector_id,
            energy_wh: told.energy_wh,
            power_watts: told.power_watts,
            state_of_charge_percent: told.state_of_charge_percent,
        }),
        Kind::TransactionStopped | Kind::TransactionCorrected => Data::TransactionStopped(TransactionStoppedEvent {
            transaction_id: told.transaction_id,
            connector_id: told.connector_id,
            status: told.status,
            energy_wh: told.energy_wh,
            stopped_at: told.stopped_at.map(timestamp),
            stop_reason: told.stop_reason,
        }),
        Kind::CommandFinished => Data::CommandFinished(CommandFinishedEvent {
            command_id: told.command_id,
            action: told.action,
            status: told.status,
        }),
        Kind::StrayKept => Data::StrayKept(StrayKeptEvent {
            stray_id: told.stray_id,
            kind: told.kind,
            reason: told.reason,
        }),
        Kind::UnknownChargePointSeen => Data::UnknownChargePointSeen(UnknownChargePointSeenEvent { peer: told.peer }),
        Kind::JobStatus => Data::JobStatus(JobStatusEvent {
            job_id: told.job_id,
            kind: told.kind,
            status: told.status,
            progress: told.progress,
        }),
        Kind::SecurityEvent => Data::SecurityEvent(SecurityEventEvent {
            r#type: told.r#type,
            critical: told.critical,
            origin: told.origin,
        }),
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_event_can_be_read_and_what_a_newer_release_tells_is_left_out() {
        for kind in Kind::ALL {
            assert!(data(kind.as_str(), "{}").unwrap().is_some(), "{}", kind.as_str());
        }
        assert_eq!(data("tariff.changed", "{}").unwrap(), None);
        assert!(data("job.status", r#"{"jobId": 1}"#).is_err());
    }
}
