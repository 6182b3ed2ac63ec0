//! The answers of the security whitepaper that tell of certificates.

use ocpp::v1_6::StatusOnly;
use serde_json::value::RawValue;
use sqlx::PgConnection;

use super::{Asked, NoEffect, accepted};
use crate::certificate::{installed as roots, sent};

pub(super) async fn signed(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    if accepted(response)? {
        sent::taken(connection, call.charge_point, call.command, call.payload, call.at).await?;
    }
    Ok(())
}

pub(super) async fn installed(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    if accepted(response)? {
        roots::installed(connection, call.charge_point, call.payload, call.at).await?;
    }
    Ok(())
}

/// `NotFound` says that there was none, so that none is left either.
pub(super) async fn deleted(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    if matches!(&*StatusOnly::read(response)?.status, "Accepted" | "NotFound") {
        roots::deleted(connection, call.charge_point, call.payload).await?;
    }
    Ok(())
}

/// `NotFound` is the list of a charge point that has none.
pub(super) async fn listed(
    connection: &mut PgConnection,
    call: &Asked<'_>,
    response: &RawValue,
) -> Result<(), NoEffect> {
    if matches!(&*StatusOnly::read(response)?.status, "Accepted" | "NotFound") {
        roots::listed(connection, call.charge_point, call.payload, response, call.at).await?;
    }
    Ok(())
}
