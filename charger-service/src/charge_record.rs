//! Records of charges: what each was and what it cost, written once and never changed. And the cost of those that run, which is
//! the same computation up to now.

mod facts;
mod list;
mod settle;
mod told;

pub use self::settle::{Stop, settle};

use std::sync::Arc;

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::reason::{self, Reason};
use sqlx::PgConnection;
use sqlx::types::Json;
use thiserror::Error;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::charge_record_service_server::ChargeRecordService;
use voltgate_proto::ocpp::v1::{
    ChargeCost, ChargeRecord, GetChargeRecordRequest, GetCostRequest, ListChargeRecordsRequest,
    ListChargeRecordsResponse,
};

use self::facts::Facts;
use crate::State;
use crate::cost::Cost;
use crate::tariff::terms::Terms;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl ChargeRecordService for Grpc {
    async fn get_cost(&self, request: Request<GetCostRequest>) -> Result<Response<ChargeCost>, Status> {
        let cost = cost_of(&self.0, request.into_inner().transaction_id).await?;
        Ok(Response::new(cost))
    }

    async fn list_charge_records(
        &self,
        request: Request<ListChargeRecordsRequest>,
    ) -> Result<Response<ListChargeRecordsResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let records = list::list(&self.0.database, page).await?;
        Ok(Response::new(records))
    }

    async fn get_charge_record(
        &self,
        request: Request<GetChargeRecordRequest>,
    ) -> Result<Response<ChargeRecord>, Status> {
        let record = list::get(&self.0.database, &request.into_inner().id).await?;
        Ok(Response::new(record))
    }
}

#[derive(Debug, Error)]
pub enum CostError {
    #[error("there is no such transaction")]
    NoTransaction,
    #[error("no tariff held when it began")]
    Free,
    #[error("the cost could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<CostError> for Status {
    fn from(error: CostError) -> Self {
        match error {
            CostError::NoTransaction => Reason::NotFound.status("There is no transaction of this id"),
            CostError::Free => {
                Reason::NotFound.status("The charge costs nothing: it was refused, or no tariff held when it began")
            }
            CostError::Database(error) => database::failed(&error),
        }
    }
}

/// What a charge has cost by its latest record, or costs up to now.
pub struct Bill {
    /// None while it runs.
    pub record: Option<Record>,
    /// When it was reckoned.
    pub at: DateTime<Utc>,
    /// Up to when it is reckoned.
    pub until: DateTime<Utc>,
    pub terms: Terms,
    pub cost: Cost,
}

/// Which record.
pub struct Record {
    pub id: Uuid,
    pub number: i32,
}

/// None where no tariff held when it began, or it is none.
pub async fn bill(
    connection: &mut PgConnection,
    transaction_id: i32,
    now: DateTime<Utc>,
) -> Result<Option<Bill>, sqlx::Error> {
    if let Some(record) = list::latest(connection, transaction_id).await? {
        return Ok(Some(Bill {
            record: Some(Record {
                id: record.id,
                number: record.number,
            }),
            at: record.created_at,
            until: record.stopped_at,
            terms: record.terms.0,
            cost: record.cost.0,
        }));
    }
    let Some(facts) = Facts::read(connection, transaction_id).await? else {
        return Ok(None);
    };
    let cost = facts.cost(connection, now).await?;
    Ok(Some(Bill {
        record: None,
        at: now,
        until: now,
        terms: facts.terms,
        cost,
    }))
}

/// What a charge costs up to now, or has cost.
///
/// # Errors
/// There is no such transaction, or no tariff held for it.
pub async fn cost_of(state: &State, transaction_id: i32) -> Result<ChargeCost, CostError> {
    let mut connection = database::begin(&state.database).await?;
    let Some(bill) = bill(&mut connection, transaction_id, state.clock.now()).await? else {
        let exists = sqlx::query_scalar!("SELECT id FROM ocpp.transaction WHERE id = $1", transaction_id)
            .fetch_optional(&mut *connection)
            .await?;
        return Err(exists.map_or(CostError::NoTransaction, |_| CostError::Free));
    };
    let state = match bill.record {
        Some(_) => "final",
        None => "running",
    };
    Ok(ChargeCost {
        transaction_id,
        state: state.to_owned(),
        charge_record_id: bill.record.map(|record| record.id.to_string()),
        until: Some(timestamp(bill.until)),
        cost: Some(told::cost(&bill.terms, &bill.cost)),
    })
}

/// A row of `ocpp.charge_record`.
struct Row {
    id: Uuid,
    transaction_id: i32,
    number: i32,
    identity: String,
    connector_id: i32,
    started_at: DateTime<Utc>,
    stopped_at: DateTime<Utc>,
    energy_wh: Option<String>,
    time_zone: String,
    tariff_id: Uuid,
    tariff_version: i32,
    tariff_name: String,
    terms: Json<Terms>,
    cost: Json<Cost>,
    signed_values: Vec<String>,
    created_at: DateTime<Utc>,
}

impl From<Row> for ChargeRecord {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            transaction_id: row.transaction_id,
            number: row.number,
            identity: row.identity,
            connector_id: row.connector_id,
            started_at: Some(timestamp(row.started_at)),
            stopped_at: Some(timestamp(row.stopped_at)),
            energy_wh: row.energy_wh,
            time_zone: row.time_zone,
            tariff_id: row.tariff_id.to_string(),
            tariff_version: row.tariff_version,
            tariff_name: row.tariff_name,
            terms: Some((&row.terms.0).into()),
            cost: Some(told::cost(&row.terms, &row.cost)),
            signed_meter_values: row.signed_values,
            created_at: Some(timestamp(row.created_at)),
        }
    }
}
