//! Puts a stop that told a transaction's end otherwise in place of the one that was there before.

use service_kit::database;
use service_kit::reason::FieldViolation;
use voltgate_proto::ocpp::v1::{MergeStrayRequest, Stray};

use super::settle::{self, SettleError, Settlement};
use super::{Fate, list};
use crate::State;
use crate::audit::Author;
use crate::charge_record;
use crate::transaction::correct::{Misfit, correct};
use crate::unmatched::Kind;
use crate::v1_6;

#[derive(Debug)]
pub(super) struct Merger {
    id: String,
    transaction_id: i32,
}

impl TryFrom<MergeStrayRequest> for Merger {
    type Error = Vec<FieldViolation>;

    fn try_from(request: MergeStrayRequest) -> Result<Self, Self::Error> {
        Ok(Self {
            transaction_id: settle::transaction_id(request.transaction_id)?,
            id: request.id,
        })
    }
}

impl From<Misfit> for SettleError {
    fn from(misfit: Misfit) -> Self {
        match misfit {
            Misfit::Mismatch(mismatch) => mismatch.into(),
            Misfit::NotStopped => Self::Misfit("has no stop to replace, as the transaction is open; attach it"),
        }
    }
}

pub(super) async fn merge(state: &State, merger: Merger, author: &Author) -> Result<Stray, SettleError> {
    let mut transaction = database::begin(&state.database).await?;
    let stray = settle::lock(&mut transaction, &merger.id).await?;
    let transaction_id = merger.transaction_id;
    if !stray.is_already(Fate::Merged, transaction_id) {
        stray.check_not_applied()?;
        if stray.kind != Kind::Stop {
            return Err(SettleError::Misfit("is no stop; attach it"));
        }
        let (stop, samples) = v1_6::stray::stop(&stray.payload, stray.charge_point, transaction_id, stray.received_at);
        let replaced = correct(&mut transaction, transaction_id, &stop, samples).await??;
        charge_record::settle(
            &mut transaction,
            transaction_id,
            charge_record::Stop::Corrected,
            state.clock.now(),
        )
        .await?;
        let settlement = Settlement {
            fate: Fate::Merged,
            transaction_id: Some(transaction_id),
            note: None,
            replaced: Some(&replaced),
        };
        settle::settle(&mut transaction, &stray, settlement, state.clock.now(), author).await?;
    }
    let stray = list::read(&mut transaction, stray.id).await?;
    transaction.commit().await?;
    Ok(stray)
}
