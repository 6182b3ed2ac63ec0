//! Writes the log of many exchanges at once: CALLs of charge points with their answers, heard on their present connections, and
//! without a token in them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::record::Origin;
use crate::session::fence::Via;

/// An exchange, secrets redacted already.
#[derive(Debug)]
pub struct Message {
    pub via: Via,
    /// As in [`super::record::Exchange`].
    pub frame_number: Option<i64>,
    pub message_id: String,
    pub action: &'static str,
    pub request: String,
    pub response: String,
    /// What was wrong with it although it was accepted.
    pub flags: Vec<String>,
    pub requested_at: DateTime<Utc>,
    pub clock_offset: Option<f64>,
}

/// Notes, too, that the charge points have been heard of; no charge point is among them twice. False where one has another present
/// connection by now; what the transaction has done must be rolled back then.
pub async fn record(
    connection: &mut PgConnection,
    messages: &[Message],
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let rows = Columns::of(messages);
    let heard = sqlx::query_scalar!(
        r#"WITH told AS (
             SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[],
                 $8::text[], $9::text[], $10::timestamptz[], $11::float8[], $12::bigint[])
                 AS told (id, charge_point_id, epoch, stream, message_id, action, request, response, flags, requested_at,
                     clock_offset, frame_number)),
         heard AS (
             UPDATE ocpp.session AS known
             SET last_seen_at = told.requested_at,
                 clock_offset_seconds = coalesce(told.clock_offset, known.clock_offset_seconds)
             FROM told
             -- The list keeps PostgreSQL from reading the whole table where it believes it to be small.
             WHERE known.charge_point_id = ANY($2)
               AND (known.charge_point_id, known.epoch, known.stream) = (told.charge_point_id, told.epoch, told.stream)
             RETURNING 1),
         kept AS (
             INSERT INTO ocpp.message (id, charge_point_id, origin, message_id, action, request, response, violations,
                 requested_at, responded_at, frame_number, session_epoch)
             SELECT id, charge_point_id, $13, message_id, action, request, response,
                 CASE WHEN flags IS NULL THEN '{}' ELSE ARRAY(SELECT json_array_elements_text(flags::json)) END,
                 requested_at, $14, frame_number, CASE WHEN frame_number IS NOT NULL THEN epoch END
             FROM told)
         SELECT count(*) AS "heard!" FROM heard"#,
        &rows.id,
        &rows.charge_point,
        &rows.epoch,
        &rows.stream,
        &rows.message_id as &[&str],
        &rows.action as &[&str],
        &rows.request as &[&str],
        &rows.response as &[&str],
        &rows.flags as &[Option<String>],
        &rows.requested_at,
        &rows.clock_offset as &[Option<f64>],
        &rows.frame_number as &[Option<i64>],
        Origin::Station.as_str(),
        now,
    )
    .fetch_one(connection)
    .await?;
    Ok(usize::try_from(heard).is_ok_and(|heard| heard == messages.len()))
}

/// Messages by column, as one statement takes them.
#[derive(Default)]
struct Columns<'a> {
    id: Vec<Uuid>,
    charge_point: Vec<Uuid>,
    epoch: Vec<i64>,
    stream: Vec<i64>,
    message_id: Vec<&'a str>,
    action: Vec<&'a str>,
    request: Vec<&'a str>,
    response: Vec<&'a str>,
    /// JSON, since arrays of arrays have one length.
    flags: Vec<Option<String>>,
    requested_at: Vec<DateTime<Utc>>,
    clock_offset: Vec<Option<f64>>,
    frame_number: Vec<Option<i64>>,
}

impl<'a> Columns<'a> {
    fn of(messages: &'a [Message]) -> Self {
        let mut columns = Self::default();
        for message in messages {
            columns.id.push(Uuid::now_v7());
            columns.charge_point.push(message.via.charge_point);
            columns.epoch.push(message.via.epoch);
            columns.stream.push(message.via.stream);
            columns.message_id.push(&message.message_id);
            columns.action.push(message.action);
            columns.request.push(&message.request);
            columns.response.push(&message.response);
            let flags = (!message.flags.is_empty()).then(|| serde_json::Value::from(message.flags.clone()).to_string());
            columns.flags.push(flags);
            columns.requested_at.push(message.requested_at);
            columns.clock_offset.push(message.clock_offset);
            columns.frame_number.push(message.frame_number);
        }
        columns
    }
}
