//! Charge points that knocked and are not registered. An operator sees them, newest first, and accepts one by registering
//! it, or takes it off the list. What strangers can make us store is bounded, and so is how often.

mod accept;
mod dismiss;
mod list;

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use service_kit::reason;
use sqlx::{PgConnection, PgPool};
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::unknown_charge_point_service_server::UnknownChargePointService;
use voltgate_proto::ocpp::v1::{
    AcceptUnknownChargePointRequest, ChargePoint, DismissUnknownChargePointRequest, ListUnknownChargePointsRequest,
    ListUnknownChargePointsResponse,
};

use crate::State;
use crate::audit::Author;
use crate::event::Kind;
use crate::session::pace::Pace;

/// The newest are kept.
const MOST: i64 = 1000;

/// How often a replica notes one, for ever and at once.
const PER_SECOND: u32 = 5;
const BURST: u32 = 50;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl UnknownChargePointService for Grpc {
    async fn list_unknown_charge_points(
        &self,
        request: Request<ListUnknownChargePointsRequest>,
    ) -> Result<Response<ListUnknownChargePointsResponse>, Status> {
        let page = list::Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let unknown = list::list(&self.0.database, page).await?;
        Ok(Response::new(unknown))
    }

    async fn accept_unknown_charge_point(
        &self,
        request: Request<AcceptUnknownChargePointRequest>,
    ) -> Result<Response<ChargePoint>, Status> {
        let author = Author::of(&request);
        let new = accept::parse(request.into_inner(), self.0.allow_unsecured).map_err(reason::invalid)?;
        let accepted = accept::accept(&self.0, new, &author).await?;
        Ok(accepted.into())
    }

    async fn dismiss_unknown_charge_point(
        &self,
        request: Request<DismissUnknownChargePointRequest>,
    ) -> Result<Response<()>, Status> {
        let author = Author::of(&request);
        dismiss::dismiss(&self.0, &request.into_inner().identity, &author).await?;
        Ok(Response::new(()))
    }
}

/// Notes who knocks.
#[derive(Debug)]
pub struct Knocks(Mutex<Pace>);

/// Somebody at the door.
#[derive(Debug)]
pub struct Knock<'a> {
    pub identity: &'a str,
    pub peer: Option<&'a str>,
    /// As it offered them.
    pub subprotocols: &'a str,
    pub at: DateTime<Utc>,
}

impl Default for Knocks {
    fn default() -> Self {
        Self(Mutex::new(Pace::new(PER_SECOND, BURST)))
    }
}

impl Knocks {
    /// Notes one, unless there are too many of late.
    pub async fn note(&self, database: &PgPool, knock: &Knock<'_>) -> Result<(), sqlx::Error> {
        if !self.has_room() {
            return Ok(());
        }
        let mut transaction = database.begin().await?;
        let is_new = upsert(&mut transaction, knock).await?;
        if is_new {
            forget_oldest(&mut transaction).await?;
        }
        transaction.commit().await
    }

    fn has_room(&self) -> bool {
        let mut pace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = pace.next().is_none();
        if has_room {
            pace.count();
        }
        has_room
    }
}

async fn upsert(connection: &mut PgConnection, knock: &Knock<'_>) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"WITH noted AS (
             INSERT INTO ocpp.unknown_charge_point AS known (identity, first_seen_at, last_seen_at, peer, subprotocols)
             VALUES ($1, $2, $2, $3, left($4, 200))
             ON CONFLICT (identity) DO UPDATE
             SET last_seen_at = greatest(known.last_seen_at, excluded.last_seen_at), attempts = known.attempts + 1,
                 peer = excluded.peer, subprotocols = excluded.subprotocols
             RETURNING identity, peer, attempts = 1 AS is_new),
           told AS (
             INSERT INTO ocpp.event (at, type, identity, data)
             SELECT $2, $5, identity, json_build_object('peer', peer) FROM noted WHERE is_new)
           SELECT is_new AS "new!" FROM noted"#,
        knock.identity,
        knock.at,
        knock.peer,
        knock.subprotocols,
        Kind::UnknownChargePointSeen.as_str(),
    )
    .fetch_one(connection)
    .await
}

/// One at a time: of two that see the same oldest one go, neither would see what the other has added.
async fn forget_oldest(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock(hashtext('ocpp.unknown_charge_point'))")
        .execute(&mut *connection)
        .await?;
    sqlx::query!(
        "DELETE FROM ocpp.unknown_charge_point WHERE identity IN (
             SELECT identity FROM ocpp.unknown_charge_point ORDER BY last_seen_at DESC, identity DESC OFFSET $1)",
        MOST,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes it off the list. Whether it was there.
pub async fn forget(connection: &mut PgConnection, identity: &str) -> Result<bool, sqlx::Error> {
    let forgotten = sqlx::query!("DELETE FROM ocpp.unknown_charge_point WHERE identity = $1", identity)
        .execute(connection)
        .await?;
    Ok(forgotten.rows_affected() > 0)
}

/// Takes several off the list.
pub async fn forget_all(connection: &mut PgConnection, identities: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "DELETE FROM ocpp.unknown_charge_point WHERE identity = ANY($1)",
        identities
    )
    .execute(connection)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn strangers_are_noted_at_a_bounded_pace() {
        let knocks = Knocks::default();
        let noted = |of: usize| (0..of).filter(|_| knocks.has_room()).count();
        // The burst, and the first at the steady pace.
        assert_eq!(noted(1000), 51);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(noted(1000), 5);
    }
}
