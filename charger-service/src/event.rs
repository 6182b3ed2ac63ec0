//! The live feed: what happens, for whoever watches.
//!
//! An event is a row that is written in the transaction of its fact, by the statement of that fact where there are many of
//! them, so neither is ever there without the other. Each replica reads the table as it grows, while somebody listens
//! (`feed.rs`), and a listener that cannot keep up reads it alone (`listener.rs`). Ids of tokens are in no event: who charges
//! stands with the transaction.

mod data;
pub mod feed;
mod filter;
mod listener;
mod page;
pub mod partitions;
mod position;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use serde_json::Value;
use service_kit::access::Admission;
use service_kit::database;
use service_kit::reason;
use sqlx::PgConnection;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::event_service_server::EventService;
use voltgate_proto::ocpp::v1::{Event, StreamEventsRequest};

use self::filter::Filter;
use self::position::EventId;
use crate::State;
use crate::audit::Author;
use crate::reach;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl EventService for Grpc {
    type StreamEventsStream = BoxStream<'static, Result<Event, Status>>;

    async fn stream_events(
        &self,
        request: Request<StreamEventsRequest>,
    ) -> Result<Response<Self::StreamEventsStream>, Status> {
        let (admission, account) = (Admission::of(&request), Author::of(&request).account());
        let groups = reach::groups_of(&request);
        let after = EventId::told(request.metadata()).map_err(reason::invalid)?;
        let filter = Filter::try_from(request.into_inner()).map_err(reason::invalid)?;
        let sites = reach::sites_of(&self.0.database, groups)
            .await
            .map_err(|error| database::failed(&error))?;
        let filter = filter.within(sites);
        let place = self.0.events.join(account.unwrap_or_default())?;
        let events = listener::listen(&self.0, place, filter, after, admission).await?;
        Ok(Response::new(events))
    }
}

/// What an event tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    CampaignState,
    ChargePointBooted,
    ChargePointOffline,
    ChargePointOnline,
    CommandFinished,
    ConnectorStatus,
    JobStatus,
    SecurityEvent,
    StrayKept,
    TransactionCorrected,
    TransactionMeterValues,
    TransactionStarted,
    TransactionStopped,
    UnknownChargePointSeen,
}

impl Kind {
    pub const ALL: [Self; 14] = [
        Self::CampaignState,
        Self::ChargePointBooted,
        Self::ChargePointOffline,
        Self::ChargePointOnline,
        Self::CommandFinished,
        Self::ConnectorStatus,
        Self::JobStatus,
        Self::SecurityEvent,
        Self::StrayKept,
        Self::TransactionCorrected,
        Self::TransactionMeterValues,
        Self::TransactionStarted,
        Self::TransactionStopped,
        Self::UnknownChargePointSeen,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::CampaignState => "campaign.state",
            Self::ChargePointBooted => "charge-point.booted",
            Self::ChargePointOffline => "charge-point.offline",
            Self::ChargePointOnline => "charge-point.online",
            Self::CommandFinished => "command.finished",
            Self::ConnectorStatus => "connector.status",
            Self::JobStatus => "job.status",
            Self::SecurityEvent => "security-event",
            Self::StrayKept => "stray.kept",
            Self::TransactionCorrected => "transaction.corrected",
            Self::TransactionMeterValues => "transaction.meter-values",
            Self::TransactionStarted => "transaction.started",
            Self::TransactionStopped => "transaction.stopped",
            Self::UnknownChargePointSeen => "unknown-charge-point.seen",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Writes the event of a fact that is no everyday one. The others' are written by the statements of their facts.
pub async fn note(
    connection: &mut PgConnection,
    kind: Kind,
    charge_point: Uuid,
    at: DateTime<Utc>,
    data: Value,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO ocpp.event (at, type, identity, site_id, data)
         SELECT $1, $2, identity, site_id, $4::jsonb::json FROM ocpp.charge_point WHERE id = $3",
        at,
        kind.as_str(),
        charge_point,
        data,
    )
    .execute(connection)
    .await?;
    Ok(())
}
