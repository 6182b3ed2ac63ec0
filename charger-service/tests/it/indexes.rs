//! No list reads a whole table, whatever it is filtered by: on generated data, every list that there is with every filter that it
//! has. `VOLTGATE_ROWS=1000000` makes it a million transactions and ten million meter values.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MethodDescriptor, Value};
use service_kit::event::timestamp;
use sqlx::{Connection, PgConnection};
use testbed::Database;
use tonic::client::Grpc;
use tonic::{Request, Status};
use tonic_prost::ProstCodec;

use crate::operator::{Driver, operator};
use crate::service::Service;

/// Enough for an index to be worth it.
const ROWS: i64 = 20_000;

/// A join may look at a row to see whether there is any.
const FEW: i64 = 10;

/// Tables that grow with what happens; partitions count for the table that they are of.
const GROWING: [&str; 17] = [
    "audit",
    "campaign_target",
    "charge_record",
    "charging_profile_template_place",
    "command",
    "configuration_key",
    "connector_status",
    "dead_letter",
    "event",
    "id_token",
    "job",
    "message",
    "meter_value",
    "reservation",
    "security_event",
    "transaction",
    "unmatched",
];

/// `$n` transactions with `$values` meter values each, and as many of everything else, of a thousand charge points, over a hundred days.
const GENERATE: &str = r#"
INSERT INTO ocpp.site (id, name, time_zone, groups, created_at)
SELECT md5('site' || n)::uuid, 'Site ' || n, 'Europe/Berlin', ARRAY['group-' || n % 5], now() FROM generate_series(1, 50) AS n;
INSERT INTO ocpp.charge_point (id, identity, display_name, registration_status, security_profile, vendor, model, created_at, site_id)
SELECT md5('station' || n)::uuid, 'CP-' || n, 'Bay ' || n, 'Accepted', 1, 'Vendor ' || n % 20, 'Model ' || n % 40, now(),
    md5('site' || 1 + n % 50)::uuid
FROM generate_series(1, 1000) AS n;
INSERT INTO ocpp.id_token (id, value, type, group_id, created_at, account_id)
SELECT md5('token' || n)::uuid, 'TAG' || n, 'ISO14443', 'G' || n % 100, now(), CASE WHEN n % 100 = 7 THEN $account END
FROM generate_series(1, $n) AS n;
INSERT INTO ocpp.transaction (charge_point_id, connector_id, id_token, status, authorization_status, meter_start_wh, meter_stop_wh,
    started_at, stopped_at, start_received_at, stop_received_at, account_id)
SELECT md5('station' || 1 + n % 1000)::uuid, 1 + n / 1000 % 2, 'TAG' || n, CASE WHEN n % 500 = 2 THEN 'refused' ELSE 'completed' END,
    'Accepted', n, n + 1000, at, at + interval '1 hour', at, at + interval '1 hour', CASE WHEN n % 100 = 7 THEN $account END
FROM (SELECT n, now() - interval '100 days' * ($n + 1 - n) / $n AS at FROM generate_series(1, $n) AS n) AS told;
INSERT INTO ocpp.meter_value (charge_point_id, connector_id, transaction_id, sampled_at, received_at, value, measurand, unit, context,
    format, location, normalized_value, normalized_unit)
SELECT charge_point_id, connector_id, id, started_at + n * interval '5 minutes', started_at + n * interval '5 minutes', n::text,
    'Energy.Active.Import.Register', 'Wh', 'Sample.Periodic', 'Raw', 'Outlet', n, 'Wh'
FROM ocpp.transaction, generate_series(1, $values) AS n;
SELECT ocpp.create_message_partitions(now() - interval '21 days', 4);
INSERT INTO ocpp.message (charge_point_id, requested_at, id, origin, message_id, action, request, response, error_code, violations,
    responded_at)
SELECT md5('station' || 1 + n % 1000)::uuid, now() - interval '20 days' * n / $n, md5('message' || n)::uuid,
    CASE WHEN n % 50 = 3 THEN 'csms' ELSE 'station' END, n::text, CASE WHEN n % 10 = 0 THEN 'StatusNotification' ELSE 'Heartbeat' END,
    '[2,"1","Heartbeat",{}]', '[3,"1",{}]', CASE WHEN n % 1000 = 5 THEN 'InternalError' END,
    CASE WHEN n % 500 = 5 THEN ARRAY['$'] ELSE '{}' END, now()
FROM generate_series(1, $n) AS n;
INSERT INTO ocpp.command (id, charge_point_id, action, payload, status, requested_by, request_digest, created_at, completed_at,
    expires_at)
SELECT md5('command' || n)::uuid, md5('station' || 1 + n % 1000)::uuid, 'Reset', '{"type":"Soft"}', 'accepted', 'account 1', '', at, at, at
FROM (SELECT n, now() - interval '100 days' * n / $n AS at FROM generate_series(1, $n) AS n) AS asked;
INSERT INTO ocpp.campaign (id, name, action, payload, canary_size, pause_after_canary, wave_size, failures_of, expires_in_seconds, state,
    waves, targets, created_by, request_digest, created_at, changed_at, finished_at)
SELECT CASE n WHEN 1 THEN '01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e0b' ELSE md5('campaign' || n)::uuid END, 'Campaign ' || n, 'Reset', '{}', 0,
    false, 100, 'wave', 60, 'completed', 10, 1000, 'account 1', '', now(), now(), now()
FROM generate_series(1, $n / 1000) AS n;
INSERT INTO ocpp.campaign_target (campaign_id, position, charge_point_id, wave, state)
SELECT campaign.id, n, md5('station' || n)::uuid, 1 + (n - 1) / 100, 'skipped' FROM ocpp.campaign, generate_series(1, 1000) AS n;
INSERT INTO ocpp.charging_profile_template (id, number, name, version, profile, created_at)
SELECT CASE n WHEN 1 THEN '01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e0d' ELSE md5('template' || n)::uuid END, n, 'Template ' || n, 1,
    '{"purpose":"TxDefaultProfile","stackLevel":0,"kind":"Relative","unit":"A","periods":[{"startSeconds":0,"limit":"16"}]}', now()
FROM generate_series(1, 5) AS n;
INSERT INTO ocpp.charging_profile_template_place (template_id, charge_point_id, connector_id, charging_profile_id, version, command_id,
    applied_at, state, confirmed_version, confirmed_at)
SELECT template.id, md5('station' || 1 + n % 1000)::uuid, n / 1000, 1800000000 + number * 1000 + n / 1000, 1, md5('command' || n)::uuid,
    now(), CASE WHEN n % 100 = 7 THEN 'cleared' ELSE 'held' END, CASE WHEN n % 100 <> 7 THEN 1 END, now()
FROM ocpp.charging_profile_template AS template, generate_series(1, $n - 1) AS n;
INSERT INTO ocpp.configuration_key (charge_point_id, key, known, reported_value, reported_at, desired_value, desired_at)
SELECT md5('station' || 1 + n % 1000)::uuid, 'Key' || n / 1000, true, '1', now(), CASE WHEN n % 50 = 7 THEN '2' END,
    CASE WHEN n % 50 = 7 THEN now() END
FROM generate_series(1, $n / 10) AS n;
INSERT INTO ocpp.job (id, charge_point_id, kind, command_id, status, created_at, updated_at)
SELECT md5('job' || n)::uuid, md5('station' || 1 + n % 1000)::uuid, CASE n % 3 WHEN 0 THEN 'firmware' WHEN 1 THEN 'log' ELSE 'diagnostics' END,
    md5('command' || n)::uuid, 'completed', now(), now()
FROM generate_series(1, $n) AS n;
INSERT INTO ocpp.reservation (id, charge_point_id, reservation_id, connector_id, id_tag, expires_at, status, answer, answered_at)
SELECT md5('reservation' || n)::uuid, md5('station' || 1 + n % 1000)::uuid, n, 1, 'TAG' || n, now(), 'used', 'Accepted', now()
FROM generate_series(1, $n) AS n;
INSERT INTO ocpp.connector_status (charge_point_id, connector_id, status, error_code, status_at, received_at)
SELECT md5('station' || 1 + n % 1000)::uuid, 1 + n / 1000 % 2, 'Available', 'NoError', at, at
FROM (SELECT n, now() - interval '80 days' * n / $n AS at FROM generate_series(1, $n) AS n) AS told;
INSERT INTO ocpp.security_event (id, charge_point_id, origin, type, critical, occurred_at, received_at)
SELECT md5('event' || n)::uuid, md5('station' || 1 + n % 1000)::uuid, CASE WHEN n % 10 = 1 THEN 'csms' ELSE 'station' END,
    'Type ' || n % 20, n % 100 = 1, now(), now()
FROM generate_series(1, $n) AS n;
INSERT INTO ocpp.audit (id, at, actor_id, action, charge_point, id_token, address, device)
SELECT md5('audit' || n)::uuid, now() - interval '100 days' * n / $n, md5('account' || n % 50)::uuid, 'charge-point.updated',
    'CP-' || 1 + n % 1000, CASE WHEN n % 3 = 0 THEN 'TAG' || n END, '192.0.2.7', 'curl'
FROM generate_series(1, $n) AS n;
INSERT INTO ocpp.unmatched (id, charge_point_id, kind, reported_transaction_id, reason, payload, received_at, state, settled_at)
SELECT md5('stray' || n)::uuid, md5('station' || 1 + n % 1000)::uuid, CASE WHEN n % 20 = 1 THEN 'stop' ELSE 'meter_values' END, n,
    'unknown_transaction', '{"n":' || n || '}', now(), CASE WHEN n % 100 = 1 THEN 'open' ELSE 'dismissed' END,
    CASE WHEN n % 100 <> 1 THEN now() END
FROM generate_series(1, $n) AS n;
INSERT INTO ocpp.dead_letter (id, event_id, type, source, body, reason, died_at)
SELECT md5('letter' || n)::uuid, md5('told' || n)::uuid,
    CASE WHEN n % 1000 = 1 THEN 'voltgate.events.v1.AccountDeleted' ELSE 'voltgate.events.v1.Other' END, 'auth-service',
    convert_to('letter ' || n, 'UTF8'), 'its id is not a UUID', now()
FROM generate_series(1, $n) AS n;
INSERT INTO ocpp.tariff_version (tariff_id, version, name, terms, created_at)
SELECT md5('tariff' || n)::uuid, 1, 'Tariff ' || n, '{"currency":"EUR","taxes":[],"idleFreeMinutes":0,"elements":[]}', now()
FROM generate_series(1, 1000) AS n;
INSERT INTO ocpp.tariff (id, name, charge_point_id, valid_from, version, created_at)
SELECT md5('tariff' || n)::uuid, 'Tariff ' || n, md5('station' || n)::uuid, now() - interval '1 year', 1, now()
FROM generate_series(1, 1000) AS n;
INSERT INTO ocpp.charge_record (id, transaction_id, number, charge_point_id, identity, connector_id, started_at, stopped_at, time_zone,
    tariff_version_id, tariff_id, tariff_version, tariff_name, terms, cost, signed_values, created_at)
SELECT md5('record' || id)::uuid, id, 1, charge_point_id, 'CP-1', connector_id, started_at, stopped_at, 'UTC', 1, md5('tariff1')::uuid, 1,
    'Tariff 1', '{"currency":"EUR","taxes":[],"idleFreeMinutes":0,"elements":[]}', '{"lines":[],"total":"1.00","remarks":[]}', '{}',
    stop_received_at
FROM ocpp.transaction;
"#;

/// What a field of a request is filtered by: which of the values there are, where nothing else is said.
fn values(field: &FieldDescriptor) -> Vec<Value> {
    let request = field.parent_message();
    let text = |text: &str| vec![Value::String(text.to_owned())];
    match (request.name(), field.json_name()) {
        ("ListAuditEntriesRequest", "action") => text("charge-point.updated"),
        ("ListSecurityEventsRequest", "type") => text("Type 7"),
        ("ListChargingProfileApplicationsRequest", "id") => text("01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e0d"),
        ("ListCampaignTargetsRequest", "id") => text("01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e0b"),
        (_, "identity" | "chargePoint") => text("CP-77"),
        (_, "idToken") => text("TAG77"),
        (_, "groupId") => text("G7"),
        (_, "actorId" | "siteId" | "accountId") => text("c51ce410-c124-3a10-e0db-5e4b97fc2af3"),
        (_, "messageId") => text("77"),
        (_, "vendor") => text("Vendor 7"),
        (_, "model") => text("Model 7"),
        (_, "search") => text("CP-7"),
        (_, name) => match field.kind() {
            Kind::Bool => vec![Value::Bool(true)],
            Kind::Int32 if name == "connectorId" => vec![Value::I32(1)],
            // A transaction of the driver who asks.
            Kind::Int32 => vec![Value::I32(107)],
            Kind::Message(time) => {
                let is_end = name.ends_with("Before") || name == "until";
                let at = Utc::now() - TimeDelta::days(if is_end { 10 } else { 12 });
                let mut message = DynamicMessage::new(time);
                message.transcode_from(&timestamp(at)).unwrap();
                vec![Value::Message(message)]
            }
            _ => choices(field),
        },
    }
}

/// As the API documents them.
fn choices(field: &FieldDescriptor) -> Vec<Value> {
    let pool = field.parent_message().parent_pool().clone();
    let option = pool.get_extension_by_name("voltgate.api.v1.field").unwrap();
    let told = field.options().get_extension(&option).into_owned();
    let listed = |name: &str| {
        told.as_message()
            .unwrap()
            .get_field_by_name(name)
            .unwrap()
            .as_list()
            .unwrap()
            .to_vec()
    };
    let choices = [listed("one_of"), listed("example")]
        .into_iter()
        .find(|choices| !choices.is_empty());
    choices.unwrap_or_else(|| panic!("{} has no example to filter by", field.full_name()))
}

/// What has to be told with each filter: what is in the path, and whose connector it is.
fn bare(method: &MethodDescriptor) -> DynamicMessage {
    let input = method.input();
    let http = voltgate_proto::pool().get_extension_by_name("google.api.http").unwrap();
    let rule = format!("{:?}", method.options().get_extension(&http));
    let mut request = DynamicMessage::new(input.clone());
    for field in input.fields() {
        let is_in_path = rule.contains(&format!("{{{}}}", field.name()));
        let belongs = field.json_name() == "identity" && input.get_field_by_json_name("connectorId").is_some();
        if is_in_path || belongs {
            request.set_field(&field, values(&field).remove(0));
        }
    }
    request
}

/// Each filter by itself, and none.
fn requests(method: &MethodDescriptor) -> Vec<DynamicMessage> {
    let bare = bare(method);
    let mut requests = vec![bare.clone()];
    for field in method.input().fields() {
        if ["pageSize", "pageToken"].contains(&field.json_name()) || bare.has_field(&field) {
            continue;
        }
        for value in values(&field) {
            let mut request = bare.clone();
            request.set_field(
                &field,
                if field.is_list() {
                    Value::List(vec![value])
                } else {
                    value
                },
            );
            requests.push(request);
        }
    }
    requests
}

fn lists() -> Vec<MethodDescriptor> {
    let services = voltgate_proto::pool().services();
    services
        .filter(|service| service.package_name() == "voltgate.ocpp.v1")
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(|method| method.name().starts_with("List"))
        .collect()
}

async fn ask(
    service: &Service,
    method: &MethodDescriptor,
    message: DynamicMessage,
    bearer: &str,
) -> Result<(), Status> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", format!("Bearer {bearer}").parse().unwrap());
    let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
    let mut client = Grpc::new(service.channel.clone());
    client.ready().await.unwrap();
    client
        .unary(
            request,
            path.parse().unwrap(),
            ProstCodec::<DynamicMessage, ()>::default(),
        )
        .await?;
    Ok(())
}

/// How many rows of each growing table have been read in its own order, by no index. (That of an empty partition has none.)
async fn read_by_no_index(connection: &mut PgConnection) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> = sqlx::query_as(
        "SELECT coalesce(parent.relname, pg_stat_user_tables.relname)::text, sum(seq_tup_read)::bigint
         FROM pg_stat_user_tables LEFT JOIN pg_inherits ON inhrelid = relid LEFT JOIN pg_class AS parent ON parent.oid = inhparent
         WHERE schemaname = 'ocpp' GROUP BY 1",
    )
    .fetch_all(connection)
    .await
    .unwrap();
    rows.into_iter()
        .filter(|(table, _)| GROWING.contains(&table.as_str()))
        .collect()
}

#[tokio::test]
async fn every_list_goes_by_an_index_whatever_it_is_filtered_by() {
    let rows = std::env::var("VOLTGATE_ROWS").map_or(ROWS, |rows| rows.parse().expect("a number of rows"));
    let database = Database::create().await;
    Service::start(&database).await.stop().await;
    let ada = Driver::sign_up().await;
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let generate = GENERATE
        .replace("$values", if rows > ROWS { "10" } else { "2" })
        .replace("$account", &format!("'{}'::uuid", ada.account))
        .replace("$n", &rows.to_string());
    // Each by itself: while a transaction is open, nobody hears of events, the tests beside this one included.
    for statement in generate.split(";\n") {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut connection)
            .await
            .unwrap();
    }
    sqlx::raw_sql("VACUUM ANALYZE").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let before = read_by_no_index(&mut connection).await;
    assert_eq!(before.len(), GROWING.len(), "{before:?}");
    let service = Service::start(&database).await;
    let mut asked = 0;
    for method in lists() {
        let is_drivers = method.parent_service().name() == "DriverService";
        let bearer = if is_drivers {
            &ada.access_token
        } else {
            &operator().access_token
        };
        for request in requests(&method) {
            asked += 1;
            let told = format!("{request}");
            if let Err(status) = ask(&service, &method, request, bearer).await {
                panic!("{} {told}: {status:?}", method.full_name());
            }
        }
    }
    assert!(asked > 75, "{asked}");
    // Its connections tell what they have read when they end.
    service.stop().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    connection.close().await.unwrap();
    let mut connection = PgConnection::connect(database.url()).await.unwrap();
    let after = read_by_no_index(&mut connection).await;
    let read: Vec<_> = after
        .iter()
        .filter(|(table, reads)| **reads - before[*table] > FEW)
        .collect();
    assert!(
        read.is_empty(),
        "tables that were read by no index, and how many rows: {read:?}"
    );
}
