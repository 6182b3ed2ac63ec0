//! What a charge point's answer to a CALL of the security whitepaper brings about. It commits together with the command's
//! outcome, so whoever asked by REST finds it done.

use chrono::{DateTime, Utc};
use ocpp::v1_6::StatusOnly;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use crate::certificate::{installed, sent};
use crate::charge_point::{rotation, security_profile};
use crate::configuration_change::ConfigurationChange;

/// A CALL of ours that was answered.
#[derive(Debug)]
pub struct Answered<'a> {
    pub charge_point: Uuid,
    pub command: Uuid,
    pub action: &'a str,
    /// The CALLRESULT's payload; None where it was an error or cannot be read.
    pub response: Option<&'a RawValue>,
    pub at: DateTime<Utc>,
}

pub async fn answered(connection: &mut PgConnection, answered: &Answered<'_>) -> Result<(), sqlx::Error> {
    match answered.action {
        "ChangeConfiguration" => configuration_changed(connection, answered).await,
        "CertificateSigned" | "DeleteCertificate" | "GetInstalledCertificateIds" | "InstallCertificate" => {
            certificates_changed(connection, answered).await
        }
        _ => Ok(()),
    }
}

async fn configuration_changed(connection: &mut PgConnection, answered: &Answered<'_>) -> Result<(), sqlx::Error> {
    let request = request(connection, answered.command).await?;
    match ConfigurationChange::read(answered.action, &request) {
        // Its value is gone from the ledger; what it was is kept as a hash.
        Some(ConfigurationChange::Password(_)) => {
            rotation::answered(connection, answered.charge_point, answered.command, answered.response).await
        }
        Some(ConfigurationChange::SecurityProfile(profile)) if agrees(answered.response) => {
            security_profile::agreed(connection, answered.charge_point, profile).await
        }
        Some(ConfigurationChange::SecurityProfile(_)) | None => Ok(()),
    }
}

async fn certificates_changed(connection: &mut PgConnection, answered: &Answered<'_>) -> Result<(), sqlx::Error> {
    let Some(response) = answered.response else {
        return Ok(());
    };
    let status = StatusOnly::read(response).map(|answer| answer.status);
    let (charge_point, at) = (answered.charge_point, answered.at);
    let request = request(connection, answered.command).await?;
    match (answered.action, status.as_deref()) {
        ("CertificateSigned", Ok("Accepted")) => {
            sent::taken(connection, charge_point, answered.command, &request, at).await
        }
        ("InstallCertificate", Ok("Accepted")) => installed::installed(connection, charge_point, &request, at).await,
        ("DeleteCertificate", Ok("Accepted" | "NotFound")) => {
            installed::deleted(connection, charge_point, &request).await
        }
        ("GetInstalledCertificateIds", Ok("Accepted" | "NotFound")) => {
            installed::listed(connection, charge_point, &request, response, at).await
        }
        _ => Ok(()),
    }
}

/// What was asked, secrets redacted.
async fn request(connection: &mut PgConnection, command: Uuid) -> Result<Box<RawValue>, sqlx::Error> {
    let payload = sqlx::query_scalar!(
        r#"SELECT payload AS "payload: Json<Box<RawValue>>" FROM ocpp.command WHERE id = $1"#,
        command
    )
    .fetch_one(connection)
    .await?;
    Ok(payload.0)
}

fn agrees(response: Option<&RawValue>) -> bool {
    let status = response.and_then(|response| StatusOnly::read(response).ok());
    status.is_some_and(|answer| matches!(answer.status.as_str(), "Accepted" | "RebootRequired"))
}
