//! The frames that told of a transaction, out of the message log.

use chrono::{DateTime, TimeDelta, Utc};
use service_kit::page::PageSize;
use sqlx::PgConnection;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::ExplainedFrame;

use super::facts::Facts;
use super::{Kind, Step};
use crate::v1_6::narration::{self, Exchange, Subject};

/// How long before the start something may have led to it, such as a card that was shown.
const LED_UP: TimeDelta = TimeDelta::minutes(10);

/// Some frames of a transaction.
pub(super) struct Frames {
    pub steps: Vec<Step>,
    /// The frame that told the start is among them.
    pub tell_the_start: bool,
    /// When the last of them came in, where more follow.
    pub until: Option<DateTime<Utc>>,
    pub next_page_token: String,
}

struct Row {
    id: Uuid,
    origin: String,
    action: String,
    request: String,
    response: Option<String>,
    violations: Vec<String>,
    requested_at: DateTime<Utc>,
}

/// Oldest first. Meter values are those of which something was kept for the transaction: what only repeated them made no
/// difference.
pub(super) async fn read(
    connection: &mut PgConnection,
    facts: &Facts,
    size: PageSize,
    after: Option<(DateTime<Utc>, Uuid)>,
    now: DateTime<Utc>,
) -> Result<Frames, sqlx::Error> {
    let (after, after_id) = after.map_or((None, Uuid::nil()), |(at, id)| (Some(at), id));
    let mut rows = sqlx::query_as!(
        Row,
        r#"WITH kept AS (
             SELECT received_at FROM ocpp.meter_value WHERE transaction_id = $1
             UNION SELECT received_at FROM ocpp.unmatched WHERE transaction_id = $1)
           SELECT id, origin, action AS "action!", request, response, violations, requested_at
           FROM ocpp.message
           WHERE charge_point_id = $2 AND (requested_at, id) > (coalesce($3, '-infinity'::timestamptz), $4)
             AND requested_at >= $5
             AND requested_at <= greatest($6, (SELECT max(received_at) FROM kept))
             AND action IS NOT NULL
             AND (action = ANY($7) OR requested_at IN (SELECT received_at FROM kept))
           ORDER BY requested_at, id LIMIT $8"#,
        facts.id,
        facts.charge_point,
        after,
        after_id,
        facts.start_received_at - LED_UP,
        facts.stop_received_at.unwrap_or(now),
        &narration::ACTIONS.map(str::to_owned) as &[String],
        size.limit(),
    )
    .fetch_all(connection)
    .await?;
    let next_page_token = size.cut(&mut rows, |row| (row.requested_at, row.id));
    let until = rows
        .last()
        .map(|row| row.requested_at)
        .filter(|_| !next_page_token.is_empty());
    let mut tell_the_start = false;
    let mut steps = Vec::new();
    for row in rows {
        tell_the_start |= row.action == narration::START && row.requested_at == facts.start_received_at;
        if let Some(text) = narrate(facts, &row) {
            steps.push(Step {
                at: row.requested_at,
                text,
                kind: Kind::Frame(Box::new(row.into())),
            });
        }
    }
    Ok(Frames {
        steps,
        tell_the_start,
        until,
        next_page_token,
    })
}

fn narrate(facts: &Facts, row: &Row) -> Option<String> {
    let is_over = facts.stop_received_at.is_some_and(|stopped| stopped < row.requested_at);
    let subject = Subject {
        transaction_id: facts.id,
        connector_id: facts.connector_id,
        id_token: &facts.id_token,
        stop_id_token: facts.stop_id_token.as_deref(),
        has_begun: facts.start_received_at <= row.requested_at,
        is_over,
    };
    let exchange = Exchange {
        action: &row.action,
        request: &row.request,
        response: row.response.as_deref(),
        is_what_was_applied: [Some(facts.start_received_at), facts.stop_received_at].contains(&Some(row.requested_at)),
    };
    narration::narrate(&exchange, &subject)
}

impl From<Row> for ExplainedFrame {
    fn from(row: Row) -> Self {
        Self {
            id: row.id.to_string(),
            origin: row.origin,
            action: row.action,
            request: row.request,
            response: row.response,
            violations: row.violations,
        }
    }
}
