//! Applies a stray to the transaction that it is of, as if the charge point had named it.

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::reason::FieldViolation;
use sqlx::PgConnection;
use voltgate_proto::ocpp::v1::{AttachStrayRequest, Stray};

use super::settle::{self, Locked, SettleError, Settlement};
use super::{Fate, list};
use crate::State;
use crate::audit::Author;
use crate::charge_record;
use crate::meter_values::{self, Samples};
use crate::transaction::owned::owned;
use crate::transaction::stop::{Stopped, stop};
use crate::unmatched::Kind;
use crate::v1_6;

#[derive(Debug)]
pub(super) struct Attachment {
    id: String,
    transaction_id: i32,
}

impl TryFrom<AttachStrayRequest> for Attachment {
    type Error = Vec<FieldViolation>;

    fn try_from(request: AttachStrayRequest) -> Result<Self, Self::Error> {
        Ok(Self {
            transaction_id: settle::transaction_id(request.transaction_id)?,
            id: request.id,
        })
    }
}

pub(super) async fn attach(state: &State, attachment: Attachment, author: &Author) -> Result<Stray, SettleError> {
    let mut transaction = database::begin(&state.database).await?;
    let stray = settle::lock(&mut transaction, &attachment.id).await?;
    let transaction_id = attachment.transaction_id;
    if !stray.is_already(Fate::Attached, transaction_id) {
        stray.check_not_applied()?;
        match stray.kind {
            Kind::Stop => apply_stop(&mut transaction, &stray, transaction_id, state.clock.now()).await?,
            Kind::MeterValues => apply_meter_values(&mut transaction, &stray, transaction_id).await?,
        }
        let settlement = Settlement {
            fate: Fate::Attached,
            transaction_id: Some(transaction_id),
            note: None,
            replaced: None,
        };
        settle::settle(&mut transaction, &stray, settlement, state.clock.now(), author).await?;
    }
    let stray = list::read(&mut transaction, stray.id).await?;
    transaction.commit().await?;
    Ok(stray)
}

async fn apply_stop(
    connection: &mut PgConnection,
    stray: &Locked,
    transaction_id: i32,
    now: DateTime<Utc>,
) -> Result<(), SettleError> {
    let (told, samples) = v1_6::stray::stop(&stray.payload, stray.charge_point, transaction_id, stray.received_at);
    match stop(&mut *connection, &told).await? {
        Stopped::Applied { connector_id, .. } => {
            let data = Samples {
                charge_point: stray.charge_point,
                connector_id: Some(connector_id),
                transaction_id: Some(transaction_id),
                samples,
                received_at: stray.received_at,
            };
            meter_values::store(&mut *connection, &[data]).await?;
            charge_record::settle(connection, transaction_id, charge_record::Stop::Told, now).await?;
            Ok(())
        }
        // The charge point has said the same of this transaction since.
        Stopped::Repeated => Ok(()),
        Stopped::Unmatched(mismatch) => Err(mismatch.into()),
    }
}

/// The transaction may be over: meter values come late, too.
async fn apply_meter_values(
    connection: &mut PgConnection,
    stray: &Locked,
    transaction_id: i32,
) -> Result<(), SettleError> {
    // The charge point may be saying the same again just now. Nobody who has the turn waits for a stray's row lock.
    meter_values::take_turns(connection, &[stray.charge_point]).await?;
    let transaction = owned(&mut *connection, stray.charge_point, transaction_id).await??;
    let (connector_id, samples) = v1_6::stray::meter_values(&stray.payload, stray.received_at);
    let data = Samples {
        charge_point: stray.charge_point,
        connector_id: connector_id.or(Some(transaction.connector_id)),
        transaction_id: Some(transaction_id),
        samples,
        received_at: stray.received_at,
    };
    meter_values::store(connection, &[data]).await?;
    Ok(())
}
