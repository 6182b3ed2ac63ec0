//! The live feed: what is told of what happens, to whom, in which order, and what becomes of those who are slow or were away.

use std::time::Duration;

use charger_service::Settings;
use serde_json::json;
use service_kit::reason::Reason;
use sqlx::{Connection, PgConnection};
use testbed::Database;
use tokio::time::timeout;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Request, Status, Streaming};
use tonic_types::StatusExt;
use voltgate_proto::auth::v1::LogOutRequest;
use voltgate_proto::auth::v1::auth_service_client::AuthServiceClient;
use voltgate_proto::ocpp::v1::event::Data;
use voltgate_proto::ocpp::v1::event_service_client::EventServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::campaigns::{self, clear_caches};
use crate::operator::{log_in, operator};
use crate::service::{Service, reason, settings};
use crate::state::connected;
use crate::station::{Offer, Station};

/// Others use the same server, and what they have open holds events up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Long enough for several looks at the table.
const QUIET: Duration = Duration::from_millis(1500);

/// Somebody who listens.
struct Listener {
    stream: Streaming<Event>,
    /// The first message.
    opening: Event,
}

impl Listener {
    async fn of(service: &Service, request: StreamEventsRequest, after: Option<&str>) -> Result<Self, Status> {
        Self::asking(service, service.asks(request), after).await
    }

    async fn asking(
        service: &Service,
        mut request: Request<StreamEventsRequest>,
        after: Option<&str>,
    ) -> Result<Self, Status> {
        if let Some(after) = after {
            request.metadata_mut().insert("last-event-id", after.parse().unwrap());
        }
        let mut client = EventServiceClient::new(service.channel.clone());
        let mut stream = client.stream_events(request).await?.into_inner();
        let opening = timeout(PATIENCE, stream.message()).await.unwrap()?.unwrap();
        Ok(Self { stream, opening })
    }

    async fn all(service: &Service, after: Option<&str>) -> Self {
        Self::of(service, StreamEventsRequest::default(), after).await.unwrap()
    }

    async fn try_next(&mut self) -> Result<Option<Event>, Status> {
        timeout(PATIENCE, self.stream.message())
            .await
            .expect("an event comes in time")
    }

    async fn next(&mut self) -> Event {
        self.try_next().await.unwrap().expect("the stream goes on")
    }

    async fn take(&mut self, of: usize) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..of {
            events.push(self.next().await);
        }
        events
    }

    async fn hears_nothing(&mut self) {
        if let Ok(event) = timeout(QUIET, self.stream.message()).await {
            panic!("nothing was to come, not {event:?}");
        }
    }
}

fn types(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.r#type.as_str()).collect()
}

fn identities(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event.identity.as_deref().unwrap_or_default())
        .collect()
}

/// The id before the first event.
async fn beginning(service: &Service) -> String {
    let present = Listener::all(service, None).await.opening.id;
    let (server, _) = present.split_once('-').unwrap();
    format!("{server}-0-0")
}

/// Writes events with these identities, as a fact would.
async fn write(connection: &mut PgConnection, identities: &[&str]) {
    for identity in identities {
        sqlx::query(
            "INSERT INTO ocpp.event (at, type, identity, data) VALUES (now(), 'charge-point.offline', $1, '{}')",
        )
        .bind(identity)
        .execute(&mut *connection)
        .await
        .unwrap();
    }
}

async fn connection(database: &Database) -> PgConnection {
    PgConnection::connect(database.url()).await.unwrap()
}

fn meter_values(id: i64, wh: &str) -> serde_json::Value {
    json!({"connectorId": 1, "transactionId": id, "meterValue": [{"timestamp": "2026-03-01T12:30:00Z", "sampledValue": [
        {"value": wh},
        {"value": "11.04", "measurand": "Power.Active.Import", "unit": "kW"},
        {"value": "64", "measurand": "SoC", "unit": "Percent", "location": "EV"}]}]})
}

fn status(status: &str, timestamp: &str) -> serde_json::Value {
    json!({"connectorId": 1, "errorCode": "NoError", "status": status, "timestamp": timestamp})
}

#[tokio::test]
async fn what_a_charge_point_does_is_told_once_however_often_it_says_so() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register_token("TAG").await;
    let mut listener = Listener::all(&service, None).await;
    assert_eq!(listener.opening.r#type, "events.mark");
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    station.call("Heartbeat", json!({})).await;
    for (is, at) in [
        ("Available", "2026-03-01T11:00:00Z"),
        ("Available", "2026-03-01T11:05:00Z"),
        ("Charging", "2026-03-01T12:00:00Z"),
        // Too late to count.
        ("Preparing", "2026-03-01T11:59:00Z"),
    ] {
        station.call("StatusNotification", status(is, at)).await;
    }
    let id = station.start("TAG", 1000, "2026-03-01T12:00:00Z").await;
    assert_eq!(station.start("TAG", 1000, "2026-03-01T12:00:00Z").await, id);
    for _ in 0..2 {
        station.call("MeterValues", meter_values(id, "5200")).await;
    }
    let stop = json!({"transactionId": id, "meterStop": 9000, "timestamp": "2026-03-01T13:00:00Z", "reason": "EVDisconnected",
        "transactionData": [{"timestamp": "2026-03-01T12:59:00Z", "sampledValue": [{"value": "8999"}]}]});
    for _ in 0..2 {
        station.call("StopTransaction", stop.clone()).await;
    }
    let stray = json!({"transactionId": 4711, "meterStop": 1, "timestamp": "2026-03-01T13:00:00Z"});
    for _ in 0..2 {
        station.call("StopTransaction", stray.clone()).await;
    }
    let security = json!({"type": "TamperDetectionActivated", "timestamp": "2026-03-01T13:00:00Z"});
    station.call("SecurityEventNotification", security).await;
    for _ in 0..2 {
        assert!(Station::open(&service, Offer::of("STRANGER", "x")).await.is_err());
    }
    station.hang_up().await;

    let events = listener.take(11).await;
    assert_eq!(
        types(&events),
        [
            "charge-point.online",
            "charge-point.booted",
            "connector.status",
            "connector.status",
            "transaction.started",
            "transaction.meter-values",
            "transaction.stopped",
            "stray.kept",
            "security-event",
            "unknown-charge-point.seen",
            "charge-point.offline",
        ]
    );
    listener.hears_nothing().await;
    assert_eq!(identities(&events)[..9], ["CP1"; 9]);
    assert_eq!(events[9].identity.as_deref(), Some("STRANGER"));
    assert!(
        events
            .iter()
            .all(|event| event.time.is_some() && event.site_id.is_none())
    );
    let transaction_id = i32::try_from(id).unwrap();
    let Some(Data::ChargePointBooted(booted)) = &events[1].data else {
        panic!("{:?}", events[1]);
    };
    assert_eq!(
        (
            booted.vendor.as_deref(),
            booted.firmware_version.as_deref(),
            booted.registration_status.as_str()
        ),
        (Some("Volt"), None, "Accepted")
    );
    let Some(Data::ConnectorStatus(charging)) = &events[3].data else {
        panic!("{:?}", events[3]);
    };
    assert_eq!((charging.connector_id, charging.status.as_str()), (1, "Charging"));
    assert_eq!(charging.status_at.unwrap().seconds, 1_772_366_400);
    let Some(Data::TransactionMeterValues(progress)) = &events[5].data else {
        panic!("{:?}", events[5]);
    };
    let expected = TransactionMeterValuesEvent {
        transaction_id,
        connector_id: 1,
        energy_wh: Some(4200),
        power_watts: Some(11_040),
        state_of_charge_percent: Some(64),
    };
    assert_eq!(progress, &expected);
    let Some(Data::TransactionStopped(stopped)) = &events[6].data else {
        panic!("{:?}", events[6]);
    };
    assert_eq!(
        (
            stopped.transaction_id,
            stopped.energy_wh,
            stopped.status.as_str(),
            stopped.stop_reason.as_deref()
        ),
        (transaction_id, Some(8000), "completed", Some("EVDisconnected"))
    );
    // Who charges stands with the transaction only.
    let told: Vec<String> = sqlx::query_scalar("SELECT event::text FROM ocpp.event")
        .fetch_all(&service.pool)
        .await
        .unwrap();
    assert!(told.len() >= 11 && !told.join("\n").contains("TAG"), "{told:?}");
}

#[tokio::test]
async fn what_operators_bring_about_is_told_too() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let mut listener = Listener::all(&service, None).await;
    let cleared = service
        .exchange(&mut station, "ClearCache", json!({}), json!({"status": "Accepted"}))
        .await;
    let update = json!({"location": "https://example.com/f.bin", "retrieveDate": "2026-03-01T12:00:00Z"});
    service
        .exchange(&mut station, "UpdateFirmware", update, json!({}))
        .await;
    for word in ["Downloading", "Downloading", "Installed"] {
        station
            .call("FirmwareStatusNotification", json!({"status": word}))
            .await;
    }
    // Its token is unknown, so the start is refused, and it charges anyway.
    let id = station.start("STRANGE", 1000, "2026-03-01T12:00:00Z").await;
    let close = CloseTransactionRequest {
        id: i32::try_from(id).unwrap(),
        meter_stop_wh: Some(3000),
        reason: "the charge point was taken away".to_owned(),
        ..Default::default()
    };
    service
        .transactions()
        .close_transaction(service.asks(close))
        .await
        .unwrap();
    let stop = json!({"transactionId": id, "meterStop": 4000, "timestamp": "2026-03-01T13:00:00Z"});
    station.call("StopTransaction", stop).await;
    let stray = service.strays(ListStraysRequest::default()).await.remove(0);
    service.merge(&stray, id).await.unwrap();

    let events = listener.take(10).await;
    let told: Vec<String> = events
        .iter()
        .map(|event| match event.data.as_ref().unwrap() {
            Data::CommandFinished(command) => format!("{} {}", command.action, command.status),
            Data::JobStatus(job) => format!("{} {} {}", job.kind, job.status, job.progress.as_deref().unwrap_or("-")),
            Data::TransactionStarted(start) => format!("started {}", start.status),
            Data::TransactionStopped(stop) => format!("{} {} {:?}", event.r#type, stop.status, stop.energy_wh),
            Data::StrayKept(stray) => format!("{} {}", stray.kind, stray.reason),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "ClearCache accepted",
            "firmware requested -",
            "UpdateFirmware accepted",
            "firmware accepted -",
            "firmware running Downloading",
            "firmware completed Installed",
            "started refused",
            "transaction.stopped refused Some(2000)",
            "stop already_stopped",
            "transaction.corrected refused Some(3000)",
        ]
    );
    listener.hears_nothing().await;
    let Some(Data::CommandFinished(command)) = &events[0].data else {
        panic!("{:?}", events[0]);
    };
    assert_eq!(command.command_id, cleared.id);
}

#[tokio::test]
async fn a_charge_point_that_changes_sockets_and_replicas_is_online_all_the_time() {
    let database = Database::create().await;
    let (first, second) = (Service::start(&database).await, Service::start(&database).await);
    let password = first.register("CP1").await;
    let mut listener = Listener::all(&second, None).await;
    let mut old = Station::connect(&first, "CP1", &password).await;
    old.boot().await;
    let mut new = Station::connect(&first, "CP1", &password).await;
    new.call("Heartbeat", json!({})).await;
    old.closed().await;
    new.resume(&second).await.unwrap();
    new.call("Heartbeat", json!({})).await;
    assert_eq!(
        types(&listener.take(2).await),
        ["charge-point.online", "charge-point.booted"]
    );
    listener.hears_nothing().await;
    new.hang_up().await;
    assert_eq!(listener.next().await.r#type, "charge-point.offline");
    let mut again = Station::connect(&second, "CP1", &password).await;
    again.call("Heartbeat", json!({})).await;
    assert_eq!(listener.next().await.r#type, "charge-point.online");
}

#[tokio::test]
async fn when_a_replica_is_taken_for_dead_its_charge_points_are_offline() {
    let database = Database::create().await;
    let (first, second) = (Service::start(&database).await, Service::start(&database).await);
    let password = first.register("CP1").await;
    let mut listener = Listener::all(&second, None).await;
    let mut station = Station::connect(&first, "CP1", &password).await;
    station.boot().await;
    first.kill();
    let events = listener.take(3).await;
    assert_eq!(
        types(&events),
        ["charge-point.online", "charge-point.booted", "charge-point.offline"]
    );
}

#[tokio::test]
async fn filters_go_together_and_of_several_types_any_will_do() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let site = service.site("Harbour").await;
    let passwords = [service.register("CP1").await, service.register("CP2").await];
    service.stands_at("CP1", &site).await;
    let asked = |site_id: Option<&str>, identity: Option<&str>, r#type: &[&str]| StreamEventsRequest {
        site_id: site_id.map(str::to_owned),
        identity: identity.map(str::to_owned),
        r#type: r#type.iter().map(|one| (*one).to_owned()).collect(),
    };
    let starts = ["charge-point.online", "charge-point.booted"];
    let cases = [
        (asked(None, Some("CP2"), &[]), vec!["CP2", "CP2", "CP2"]),
        (asked(Some(&site), None, &[]), vec!["CP1", "CP1", "CP1"]),
        (asked(None, None, &starts), vec!["CP1", "CP1", "CP2", "CP2"]),
        (asked(Some(&site), Some("CP1"), &starts[..1]), vec!["CP1"]),
        (asked(Some(&site), Some("CP2"), &starts), vec![]),
        (asked(Some("01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e07"), None, &[]), vec![]),
    ];
    let mut listeners = Vec::new();
    for (request, expected) in cases {
        let listener = Listener::of(&service, request, None).await.unwrap();
        listeners.push((listener, expected));
    }
    let mut stations = Vec::new();
    for (identity, password) in ["CP1", "CP2"].into_iter().zip(&passwords) {
        let mut station = Station::connect(&service, identity, password).await;
        station.boot().await;
        station
            .call("StatusNotification", status("Available", "2026-03-01T11:00:00Z"))
            .await;
        stations.push(station);
    }
    for (mut listener, expected) in listeners {
        let events = listener.take(expected.len()).await;
        assert_eq!(identities(&events), expected);
        let at_the_site =
            |event: &Event| (event.site_id.as_ref() == Some(&site)) == (event.identity.as_deref() == Some("CP1"));
        assert!(events.iter().all(at_the_site), "{events:?}");
        listener.hears_nothing().await;
    }
}

#[tokio::test]
async fn whoever_was_away_goes_on_at_another_replica_without_a_gap_and_hears_nothing_twice() {
    let database = Database::create().await;
    let (first, second) = (Service::start(&database).await, Service::start(&database).await);
    let mut writer = connection(&database).await;
    let mut listener = Listener::all(&first, None).await;
    write(&mut writer, &["A", "B", "C"]).await;
    let heard = listener.take(2).await;
    assert_eq!(identities(&heard), ["A", "B"]);
    drop(listener);
    write(&mut writer, &["D"]).await;
    first.kill();
    let mut listener = Listener::all(&second, Some(&heard[1].id)).await;
    assert_eq!(
        (listener.opening.r#type.as_str(), &listener.opening.id),
        ("events.mark", &heard[1].id)
    );
    write(&mut writer, &["E"]).await;
    let heard = listener.take(3).await;
    assert_eq!(identities(&heard), ["C", "D", "E"]);
    // From a mark as well, though nothing had been heard before it.
    let mark = Listener::all(&second, None).await.opening.id;
    write(&mut writer, &["F"]).await;
    assert_eq!(
        Listener::all(&second, Some(&mark))
            .await
            .next()
            .await
            .identity
            .as_deref(),
        Some("F")
    );
    drop(listener);
    second.stop().await;
    let third = Service::start(&database).await;
    assert_eq!(
        Listener::all(&third, Some(&heard[2].id))
            .await
            .next()
            .await
            .identity
            .as_deref(),
        Some("F")
    );
}

/// A number that was given first may become visible last.
#[tokio::test]
async fn what_is_committed_late_comes_in_its_order_and_is_missed_by_nobody() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut listener = Listener::all(&service, None).await;
    let (mut slow, mut fast) = (connection(&database).await, connection(&database).await);
    let mut late = slow.begin().await.unwrap();
    write(&mut late, &["LATE 1"]).await;
    write(&mut fast, &["EARLY"]).await;
    // Begins while one transaction is open and another is over.
    let mut newcomer = Listener::all(&service, None).await;
    listener.hears_nothing().await;
    write(&mut late, &["LATE 2"]).await;
    late.commit().await.unwrap();
    let heard = listener.take(3).await;
    assert_eq!(identities(&heard), ["LATE 1", "LATE 2", "EARLY"]);
    for (after, expected) in [(0, vec!["LATE 2", "EARLY"]), (1, vec!["EARLY"])] {
        let mut again = Listener::all(&service, Some(&heard[after].id)).await;
        assert_eq!(identities(&again.take(expected.len()).await), expected);
    }
    // What was over when it began is not for it, and what was not is.
    assert_eq!(identities(&newcomer.take(2).await), ["LATE 1", "LATE 2"]);
    newcomer.hears_nothing().await;
}

#[tokio::test]
async fn what_is_rolled_back_is_never_told_and_holds_nobody_up() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut listener = Listener::all(&service, None).await;
    let (mut one, mut other) = (connection(&database).await, connection(&database).await);
    let mut never = one.begin().await.unwrap();
    write(&mut never, &["NEVER"]).await;
    write(&mut other, &["A"]).await;
    never.rollback().await.unwrap();
    assert_eq!(listener.next().await.identity.as_deref(), Some("A"));
    listener.hears_nothing().await;
}

/// More than the ring holds, so that it is overtaken.
#[tokio::test]
async fn a_listener_that_is_slow_misses_nothing_and_keeps_nobody_waiting() {
    const EVENTS: usize = 40_000;
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut slow = Listener::all(&service, None).await;
    let mut quick = Listener::all(&service, None).await;
    let write_all = async {
        for chunk in 0..40 {
            sqlx::query(
                "INSERT INTO ocpp.event (at, type, identity, data)
                 SELECT now(), 'charge-point.offline', n::text, '{}' FROM generate_series($1::integer, $1 + 999) AS n",
            )
            .bind(chunk * 1000)
            .execute(&service.pool)
            .await
            .unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let numbers = |events: Vec<Event>| {
        events
            .into_iter()
            .map(|event| event.identity.unwrap())
            .collect::<Vec<_>>()
    };
    let (quickly, ()) = tokio::join!(quick.take(EVENTS), write_all);
    let expected: Vec<String> = (0..EVENTS).map(|n| n.to_string()).collect();
    assert!(numbers(quickly) == expected);
    assert!(numbers(slow.take(EVENTS).await) == expected);
    slow.hears_nothing().await;
}

#[tokio::test]
async fn old_events_are_dropped_by_the_day_and_whoever_missed_them_is_told() {
    let database = Database::create().await;
    // Nothing is old to this one.
    let patient = Settings {
        charger_event_retention_days: 31,
        ..settings()
    };
    let service = Service::start_with(&database, patient).await;
    let mut writer = connection(&database).await;
    sqlx::raw_sql(
        "SELECT ocpp.create_event_partitions(now() - interval '9 days', 3);
         INSERT INTO ocpp.event (at, type, identity, data)
         SELECT now() - n * interval '1 day', 'charge-point.offline', 'OLD ' || n, '{}' FROM unnest('{9,8,7}'::int[]) AS n",
    )
    .execute(&mut writer)
    .await
    .unwrap();
    write(&mut writer, &["NEW 1", "NEW 2"]).await;
    let heard = Listener::all(&service, Some(&beginning(&service).await))
        .await
        .take(5)
        .await;
    assert_eq!(identities(&heard), ["OLD 9", "OLD 8", "OLD 7", "NEW 1", "NEW 2"]);
    service.stop().await;
    let service = Service::start(&database).await;
    crate::service::eventually("what is old is gone", async || {
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM ocpp.event")
            .fetch_one(&service.pool)
            .await
            .unwrap();
        assert!(left >= 3, "what is not old is kept");
        left == 3
    })
    .await;
    // Nothing is missing after the last that was dropped.
    let mut listener = Listener::all(&service, Some(&heard[1].id)).await;
    assert_eq!(identities(&listener.take(3).await), ["OLD 7", "NEW 1", "NEW 2"]);
    let mut listener = Listener::all(&service, Some(&heard[0].id)).await;
    let heard = listener.take(4).await;
    assert_eq!(types(&heard[..1]), ["events.lost"]);
    assert_eq!(identities(&heard[1..]), ["OLD 7", "NEW 1", "NEW 2"]);
    write(&mut writer, &["NEW 3"]).await;
    assert_eq!(listener.next().await.identity.as_deref(), Some("NEW 3"));
}

/// `pg_restore` brings the rows, and not the counter of transactions.
#[tokio::test]
async fn after_a_dump_was_restored_events_go_on_and_older_ids_are_told_to_be_lost() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut writer = connection(&database).await;
    let own = Listener::all(&service, None).await.opening.id;
    service.stop().await;
    sqlx::raw_sql(
        "INSERT INTO ocpp.event (xid, at, type, identity, data)
         VALUES ('900000000000', now(), 'charge-point.offline', 'RESTORED', '{}'),
             ('3', now(), 'charge-point.offline', 'RESTORED', '{}');
         UPDATE ocpp.event_horizon SET xid = '800000000000', id = 7, system = system + 1",
    )
    .execute(&mut writer)
    .await
    .unwrap();
    let service = Service::start(&database).await;
    let (server, _) = own.split_once('-').unwrap();
    let of_another = format!("{:x}-3-0", u32::from_str_radix(server, 16).unwrap() ^ 1);
    // Its own id is from before what was forgotten.
    let mut listener = Listener::all(&service, Some(&own)).await;
    assert_eq!(listener.next().await.r#type, "events.lost");
    for id in [of_another, format!("{server}-d18c2e2800-1")] {
        let mut listener = Listener::all(&service, Some(&id)).await;
        assert_eq!(listener.opening.r#type, "events.lost", "{id}");
        write(&mut writer, &[&id]).await;
        assert_eq!(listener.next().await.identity.as_deref(), Some(id.as_str()));
    }
    assert_eq!(identities(&listener.take(2).await).len(), 2);
}

/// Where nothing at all has happened since.
#[tokio::test]
async fn whoever_goes_on_from_a_mark_in_a_quiet_night_has_lost_nothing() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut writer = connection(&database).await;
    for identity in ["A", "B"] {
        let mark = Listener::all(&service, None).await.opening;
        let mut listener = Listener::all(&service, Some(&mark.id)).await;
        assert_eq!(
            (listener.opening.r#type.as_str(), &listener.opening.id),
            ("events.mark", &mark.id)
        );
        write(&mut writer, &[identity]).await;
        assert_eq!(listener.next().await.identity.as_deref(), Some(identity));
    }
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_refused_by_name() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let refused = async |request: StreamEventsRequest, after: Option<&str>| {
        let Err(status) = Listener::of(&service, request, after).await else {
            panic!("it is refused");
        };
        assert_eq!(reason(&status), Reason::InvalidRequest);
        let details = status.get_details_bad_request().unwrap();
        details
            .field_violations
            .into_iter()
            .map(|one| one.field)
            .collect::<Vec<_>>()
    };
    for id in ["", "42", "0-0", "0-0-0-0", "0-0-g", "-1-1", "0-00-1"] {
        assert_eq!(
            refused(StreamEventsRequest::default(), Some(id)).await,
            ["Last-Event-ID"],
            "{id}"
        );
    }
    let wrong = StreamEventsRequest {
        site_id: Some("harbour".to_owned()),
        r#type: vec!["job.status".to_owned(), "jobs".to_owned()],
        ..Default::default()
    };
    assert_eq!(refused(wrong, None).await, ["siteId", "type[1]"]);
    let anonymous = Request::new(StreamEventsRequest::default());
    let Err(status) = Listener::asking(&service, anonymous, None).await else {
        panic!("it is refused");
    };
    assert_eq!(reason(&status), Reason::MissingCredentials);
}

#[tokio::test]
async fn a_stream_ends_with_the_login_that_it_was_asked_for_with_and_with_its_replica() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let token = log_in(&operator().auth_url).await;
    let bearer = |token: &str| format!("Bearer {token}").parse::<AsciiMetadataValue>().unwrap();
    let mut request = Request::new(StreamEventsRequest::default());
    request.metadata_mut().insert("authorization", bearer(&token));
    let mut listener = Listener::asking(&service, request, None).await.unwrap();
    let mut other = Listener::all(&service, None).await;
    listener.hears_nothing().await;
    let mut log_out = Request::new(LogOutRequest::default());
    log_out.metadata_mut().insert("authorization", bearer(&token));
    let mut auth = AuthServiceClient::connect(operator().auth_url.clone()).await.unwrap();
    auth.log_out(log_out).await.unwrap();
    let over = timeout(Duration::from_secs(3), listener.try_next())
        .await
        .expect("it ends soon");
    assert_eq!(reason(&over.unwrap_err()), Reason::InvalidToken);

    other.hears_nothing().await;
    let stopping = tokio::spawn(service.stop());
    assert_eq!(reason(&other.try_next().await.unwrap_err()), Reason::Unavailable);
    stopping.await.unwrap();
}

#[tokio::test]
async fn a_campaign_tells_where_it_stands_and_is_no_charge_points() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let password = service.register("CP2").await;
    let mut second = Station::connect(&service, "CP2", &password).await;
    second.boot().await;
    let of_campaigns = StreamEventsRequest {
        r#type: vec!["campaign.state".to_owned()],
        ..Default::default()
    };
    let mut all = Listener::of(&service, of_campaigns.clone(), None).await.unwrap();
    let of_one = StreamEventsRequest {
        identity: Some("CP1".to_owned()),
        ..of_campaigns
    };
    let mut of_one = Listener::of(&service, of_one, None).await.unwrap();
    let request = CreateCampaignRequest {
        canary_size: 1,
        pause_after_canary: true,
        ..clear_caches(&["CP1", "CP2"])
    };
    let id = campaigns::create(&service, request).await.unwrap().id;
    campaigns::obey(&mut station, "Accepted").await;
    let mut told = all.take(2).await;
    campaigns::resume(&service, &id).await.unwrap();
    campaigns::obey(&mut second, "Accepted").await;
    told.extend(all.take(3).await);
    let told: Vec<_> = told
        .into_iter()
        .map(|event| match event.data {
            Some(Data::CampaignState(told)) => {
                assert_eq!((event.identity, &told.campaign_id, told.waves), (None, &id, 2));
                (told.state, told.pause_reason, told.wave)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let state = |state: &str, reason: Option<&str>, wave| (state.to_owned(), reason.map(str::to_owned), wave);
    assert_eq!(
        told,
        [
            state("running", None, 1),
            state("paused", Some("canary"), 1),
            state("running", None, 1),
            state("running", None, 2),
            state("completed", None, 2),
        ]
    );
    of_one.hears_nothing().await;
}
