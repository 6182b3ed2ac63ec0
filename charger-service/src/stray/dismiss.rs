//! Leaves a stray at that, with a word why.

use service_kit::database;
use service_kit::reason::FieldViolation;
use voltgate_proto::ocpp::v1::{DismissStrayRequest, Stray};

use super::settle::{self, SettleError, Settlement};
use super::{Fate, list};
use crate::State;
use crate::audit::Author;
use crate::remark;

#[derive(Debug)]
pub(super) struct Dismissal {
    id: String,
    note: String,
}

impl TryFrom<DismissStrayRequest> for Dismissal {
    type Error = Vec<FieldViolation>;

    fn try_from(request: DismissStrayRequest) -> Result<Self, Self::Error> {
        let note = remark::parse(&request.note).map_err(|problem| vec![FieldViolation::new("note", problem)])?;
        Ok(Self { id: request.id, note })
    }
}

pub(super) async fn dismiss(state: &State, dismissal: Dismissal, author: &Author) -> Result<Stray, SettleError> {
    let mut transaction = database::begin(&state.database).await?;
    let stray = settle::lock(&mut transaction, &dismissal.id).await?;
    let is_repeated = stray.fate == Fate::Dismissed && stray.note.as_deref() == Some(&dismissal.note);
    if !is_repeated {
        if stray.fate != Fate::Open {
            return Err(SettleError::Settled(stray.fate));
        }
        let settlement = Settlement {
            fate: Fate::Dismissed,
            transaction_id: None,
            note: Some(&dismissal.note),
            replaced: None,
        };
        settle::settle(&mut transaction, &stray, settlement, state.clock.now(), author).await?;
    }
    let stray = list::read(&mut transaction, stray.id).await?;
    transaction.commit().await?;
    Ok(stray)
}
