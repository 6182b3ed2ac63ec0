//! What an operator decides about stops and meter values that fitted no transaction.

use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use voltgate_proto::ocpp::v1::charge_point_audit_service_client::ChargePointAuditServiceClient;
use voltgate_proto::ocpp::v1::stray_service_client::StrayServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, eventually, reason};
use crate::state::connected;
use crate::station::Station;

impl Service {
    /// Newest first.
    pub async fn strays(&self, request: ListStraysRequest) -> Vec<Stray> {
        let mut client = StrayServiceClient::new(self.channel.clone());
        let listed = client.list_strays(self.asks(request)).await.unwrap();
        listed.into_inner().strays
    }

    pub async fn attach(&self, stray: &Stray, transaction_id: i64) -> Result<Stray, Status> {
        let request = AttachStrayRequest {
            id: stray.id.clone(),
            transaction_id: i32::try_from(transaction_id).unwrap(),
        };
        let mut client = StrayServiceClient::new(self.channel.clone());
        let answer = client.attach_stray(self.asks(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    pub async fn merge(&self, stray: &Stray, transaction_id: i64) -> Result<Stray, Status> {
        let request = MergeStrayRequest {
            id: stray.id.clone(),
            transaction_id: i32::try_from(transaction_id).unwrap(),
        };
        let mut client = StrayServiceClient::new(self.channel.clone());
        let answer = client.merge_stray(self.asks(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    async fn dismiss(&self, stray: &Stray, note: &str) -> Result<Stray, Status> {
        let request = DismissStrayRequest {
            id: stray.id.clone(),
            note: note.to_owned(),
        };
        let mut client = StrayServiceClient::new(self.channel.clone());
        let answer = client.dismiss_stray(self.asks(request)).await;
        answer.map(tonic::Response::into_inner)
    }

    /// What the audit log says was done, oldest first, and what else there is to say.
    pub async fn audited(&self, prefix: &str) -> Vec<(String, Value)> {
        let mut client = ChargePointAuditServiceClient::new(self.channel.clone());
        let request = self.asks(ListAuditEntriesRequest::default());
        let listed = client.list_audit_entries(request).await.unwrap().into_inner();
        let told = listed.entries.into_iter().rev();
        told.filter(|entry| entry.action.starts_with(prefix))
            .map(|entry| {
                assert!(entry.actor_id.is_some() && entry.address.is_some());
                (entry.action, serde_json::from_str(&entry.details).unwrap())
            })
            .collect()
    }
}

fn refused(answer: Result<Stray, Status>) -> (Reason, String) {
    let status = answer.unwrap_err();
    (reason(&status), status.message().to_owned())
}

/// A stop with a meter value in it.
fn stop(id: Value, meter_stop: i64) -> Value {
    json!({"transactionId": id, "meterStop": meter_stop, "timestamp": "2026-03-01T13:00:00Z", "reason": "EVDisconnected",
        "transactionData": [{"timestamp": "2026-03-01T12:59:00.123456789Z", "sampledValue": [{"value": meter_stop.to_string()}]}]})
}

pub async fn only_stray(service: &Service) -> Stray {
    let mut strays = service.strays(ListStraysRequest::default()).await;
    assert_eq!(strays.len(), 1);
    strays.remove(0)
}

/// Rule 4: an operator can attach what is left.
#[tokio::test]
async fn a_stop_that_is_attached_ends_its_transaction_as_if_the_charge_point_had_named_it() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 1000, "2026-03-01T12:00:00Z").await;
    let payload = stop(json!(4711), 9000);
    station.call("StopTransaction", payload.clone()).await;
    let stray = only_stray(&service).await;
    assert_eq!(
        (stray.identity.as_str(), stray.kind.as_str(), stray.state.as_str()),
        ("CP1", "stop", "open")
    );
    assert_eq!(
        (stray.reason.as_str(), stray.reported_transaction_id),
        ("unknown_transaction", Some(4711))
    );
    assert_eq!(serde_json::from_str::<Value>(&stray.payload).unwrap(), payload);

    let attached = service.attach(&stray, id).await.unwrap();
    assert_eq!(
        (attached.state.as_str(), attached.transaction_id.map(i64::from)),
        ("attached", Some(id))
    );
    assert!(attached.settled_by.is_some() && attached.settled_at.is_some());
    let transaction = service.transaction(id).await;
    assert_eq!(
        (transaction.status.as_str(), transaction.energy_wh),
        ("completed", Some(8000))
    );
    assert_eq!(transaction.stop_reason.as_deref(), Some("EVDisconnected"));
    assert_eq!(transaction.stop_received_at, stray.received_at);
    assert_eq!(service.meter_values(id).await.len(), 1);

    // Asked for again, it changes nothing, and neither does the charge point when it says it again.
    assert_eq!(service.attach(&stray, id).await.unwrap(), attached);
    station.call("StopTransaction", payload).await;
    assert_eq!(only_stray(&service).await, attached);
    assert_eq!(service.meter_values(id).await.len(), 1);
    let details = json!({"stray": stray.id, "kind": "stop", "transactionId": id});
    assert_eq!(
        service.audited("stray.").await,
        [("stray.attached".to_owned(), details)]
    );
}

/// Rule 4: however long an operator takes, and however long events are kept.
#[tokio::test]
async fn a_stop_that_has_waited_for_months_is_attached_and_is_an_event_of_now() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 1000, "2026-03-01T12:00:00Z").await;
    station.call("StopTransaction", stop(json!(4711), 9000)).await;
    sqlx::query("UPDATE ocpp.unmatched SET received_at = now() - interval '100 days'")
        .execute(&service.pool)
        .await
        .unwrap();
    let stray = only_stray(&service).await;
    service.attach(&stray, id).await.unwrap();
    assert_eq!(service.transaction(id).await.stop_received_at, stray.received_at);
    let told: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM ocpp.event WHERE type = 'transaction.stopped' AND at > now() - interval '1 minute'",
    )
    .fetch_one(&service.pool)
    .await
    .unwrap();
    assert_eq!(told, 1);
}

/// Rule 4. The transaction may be over by then.
#[tokio::test]
async fn meter_values_that_are_attached_become_those_of_the_transaction() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let values = json!({"connectorId": 1, "transactionId": 4711, "meterValue": [
        {"timestamp": "2026-03-01T12:05:00Z", "sampledValue": [{"value": "1.5", "unit": "kWh"}]}]});
    station.call("MeterValues", values).await;
    station.call("StopTransaction", stop(json!(id), 2000)).await;
    let stray = only_stray(&service).await;
    assert_eq!(stray.kind, "meter_values");
    service.attach(&stray, id).await.unwrap();
    let values = service.meter_values(id).await;
    assert_eq!(values.len(), 2);
    assert_eq!(values[0].normalized_value.as_deref(), Some("1500"));
    assert_eq!(
        refused(service.merge(&stray, id).await),
        (
            Reason::StraySettled,
            "The stray has been attached before, and otherwise".to_owned()
        )
    );
}

/// A charge point repeats what was not answered, so the same values may be coming in while an operator attaches them.
#[tokio::test]
async fn meter_values_are_attached_after_whoever_is_storing_values_of_the_charge_point_and_once() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let values = json!({"connectorId": 1, "transactionId": 4711, "meterValue": [
        {"timestamp": "2026-03-01T12:05:00Z", "sampledValue": [{"value": "1500"}]}]});
    station.call("MeterValues", values).await;
    let stray = only_stray(&service).await;

    let mut storing = service.pool.begin().await.unwrap();
    let charge_point: uuid::Uuid = sqlx::query_scalar("SELECT id FROM ocpp.charge_point")
        .fetch_one(&mut *storing)
        .await
        .unwrap();
    let (high, low) = charge_point.as_u64_pair();
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind((high ^ low).cast_signed())
        .execute(&mut *storing)
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO ocpp.meter_value (charge_point_id, connector_id, transaction_id, received_at, sampled_at, value,
             measurand, unit, context, format, location)
         VALUES ($1, 1, $2, now(), '2026-03-01T12:05:00Z', '1500', 'Energy.Active.Import.Register', 'Wh',
             'Sample.Periodic', 'Raw', 'Outlet')",
    )
    .bind(charge_point)
    .bind(i32::try_from(id).unwrap())
    .execute(&mut *storing)
    .await
    .unwrap();
    let commit = async {
        eventually("the attachment waits its turn", async || {
            let waiting: i64 = sqlx::query_scalar(
                "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
                 WHERE locktype = 'advisory' AND NOT granted AND datname = current_database()",
            )
            .fetch_one(&service.pool)
            .await
            .unwrap();
            waiting == 1
        })
        .await;
        storing.commit().await.unwrap();
    };
    let (attached, ()) = tokio::join!(service.attach(&stray, id), commit);
    assert_eq!(attached.unwrap().state, "attached");
    assert_eq!(service.meter_values(id).await.len(), 1);
}

/// Rule 4: what cannot be applied is refused with its reason, and stays open.
#[tokio::test]
async fn a_stray_that_does_not_fit_is_refused_and_stays_open() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let stopped = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    station.call("StopTransaction", stop(json!(stopped), 100)).await;
    let open = station.start("TAG", 200, "2026-03-01T14:00:00Z").await;
    let password = service.register("CP2").await;
    let mut other = Station::connect(&service, "CP2", &password).await;
    let foreign = other.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    station.call("StopTransaction", stop(json!(4711), 999)).await;
    let stray = only_stray(&service).await;

    let told = refused(service.attach(&stray, foreign).await);
    assert_eq!(told.0, Reason::StrayMisfit);
    assert!(told.1.contains("another charge point"), "{}", told.1);
    let told = refused(service.attach(&stray, stopped).await);
    assert_eq!(told.0, Reason::StrayMisfit);
    assert!(told.1.contains("was stopped otherwise"), "{}", told.1);
    let told = refused(service.merge(&stray, open).await);
    assert_eq!(told.0, Reason::StrayMisfit);
    assert!(told.1.contains("the transaction is open"), "{}", told.1);
    assert_eq!(refused(service.merge(&stray, foreign).await).0, Reason::StrayMisfit);
    assert_eq!(refused(service.attach(&stray, 4711).await).0, Reason::NotFound);
    assert_eq!(refused(service.attach(&stray, 0).await).0, Reason::InvalidRequest);
    assert_eq!(refused(service.dismiss(&stray, " ").await).0, Reason::InvalidRequest);
    for id in ["not-a-uuid", "01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e04"] {
        let nobody = Stray {
            id: id.to_owned(),
            ..Stray::default()
        };
        assert_eq!(refused(service.attach(&nobody, open).await).0, Reason::NotFound);
        assert_eq!(refused(service.dismiss(&nobody, "x").await).0, Reason::NotFound);
    }

    assert_eq!(only_stray(&service).await, stray);
    assert_eq!(service.transaction(stopped).await.meter_stop_wh, Some(100));
    assert_eq!(service.transaction(open).await.status, "active");
    assert!(service.audited("stray.").await.is_empty());
}

/// Rule 4: an operator can merge what is left.
#[tokio::test]
async fn a_stop_that_is_merged_replaces_the_one_before_and_keeps_it() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let first = json!({"transactionId": id, "meterStop": 100, "timestamp": "2026-03-01T12:30:00Z", "reason": "PowerLoss",
        "transactionData": [{"timestamp": "2026-03-01T12:59:00.123456789Z", "sampledValue": [{"value": "9000"}]}]});
    station.call("StopTransaction", first).await;
    let before = service.transaction(id).await;
    station.call("StopTransaction", stop(json!(id), 9000)).await;
    let stray = only_stray(&service).await;
    assert_eq!(stray.reason, "already_stopped");

    let merged = service.merge(&stray, id).await.unwrap();
    assert_eq!(merged.state, "merged");
    let replaced = merged.replaced.clone().unwrap();
    assert_eq!(
        (replaced.meter_stop_wh, replaced.stop_reason.as_deref()),
        (Some(100), Some("PowerLoss"))
    );
    assert_eq!(
        (replaced.stopped_at, replaced.stop_received_at),
        (before.stopped_at, before.stop_received_at)
    );
    let transaction = service.transaction(id).await;
    assert_eq!(
        (transaction.energy_wh, transaction.stop_reason.as_deref()),
        (Some(9000), Some("EVDisconnected"))
    );
    // Both stops brought the same value.
    assert_eq!(service.meter_values(id).await.len(), 1);
    assert_eq!(service.merge(&stray, id).await.unwrap(), merged);
    let audited = service.audited("stray.").await;
    assert_eq!(audited.len(), 1);
    assert_eq!(audited[0].0, "stray.merged");
    // It is the transaction's own stop now.
    station.call("StopTransaction", stop(json!(id), 9000)).await;
    assert_eq!(service.strays(ListStraysRequest::default()).await.len(), 1);
}

/// Rule 8: a value is what all of it says.
#[tokio::test]
async fn a_merge_keeps_values_that_differ_in_unit_or_format_only() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let stop = |meter_stop: i64, values: Value| {
        json!({"transactionId": id, "meterStop": meter_stop, "timestamp": "2026-03-01T13:00:00Z",
            "transactionData": [{"timestamp": "2026-03-01T12:59:00Z", "sampledValue": values}]})
    };
    station
        .call("StopTransaction", stop(100, json!([{"value": "9", "unit": "Wh"}])))
        .await;
    let all =
        json!([{"value": "9", "unit": "Wh"}, {"value": "9", "unit": "kWh"}, {"value": "9", "format": "SignedData"}]);
    station.call("StopTransaction", stop(9000, all)).await;
    service.merge(&only_stray(&service).await, id).await.unwrap();
    assert_eq!(service.meter_values(id).await.len(), 3);
}

#[tokio::test]
async fn a_stray_that_was_dismissed_has_a_note_and_can_be_thought_better_of() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    station.call("StopTransaction", stop(json!(4711), 100)).await;
    let stray = only_stray(&service).await;
    let dismissed = service.dismiss(&stray, " a test ").await.unwrap();
    assert_eq!(
        (dismissed.state.as_str(), dismissed.note.as_deref()),
        ("dismissed", Some("a test"))
    );
    assert_eq!(service.dismiss(&stray, "a test").await.unwrap(), dismissed);
    assert_eq!(
        refused(service.dismiss(&stray, "no test").await).0,
        Reason::StraySettled
    );
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let attached = service.attach(&stray, id).await.unwrap();
    assert_eq!((attached.state.as_str(), attached.note), ("attached", None));
    assert_eq!(refused(service.dismiss(&stray, "a test").await).0, Reason::StraySettled);
    let audited = service.audited("stray.").await;
    assert_eq!(audited[0].1["note"], "a test");
    assert_eq!(audited.len(), 2);
}

#[tokio::test]
async fn of_two_operators_one_decides() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let first = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let second = station.start("TAG", 0, "2026-03-01T12:30:00Z").await;
    station.call("StopTransaction", stop(json!(4711), 100)).await;
    let stray = only_stray(&service).await;
    let (one, other) = tokio::join!(service.attach(&stray, first), service.attach(&stray, second));
    let (decided, refusal) = match (one, other) {
        (Ok(stray), Err(refusal)) | (Err(refusal), Ok(stray)) => (stray, refusal),
        both => panic!("one of them decides, not {both:?}"),
    };
    assert_eq!(reason(&refusal), Reason::StraySettled);
    let active: Vec<_> = service
        .transactions_of("CP1")
        .await
        .into_iter()
        .filter(|transaction| transaction.status == "active")
        .collect();
    assert_eq!(active.len(), 1);
    assert_ne!(Some(active[0].id), decided.transaction_id);
}

#[tokio::test]
async fn strays_are_listed_newest_first_by_charge_point_kind_and_state() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let password = service.register("CP2").await;
    let mut other = Station::connect(&service, "CP2", &password).await;
    let values = json!({"connectorId": 1, "transactionId": 4711, "meterValue": [
        {"timestamp": "2026-03-01T12:05:00Z", "sampledValue": [{"value": "1"}]}]});
    station.call("StopTransaction", stop(json!(1), 1)).await;
    station.call("MeterValues", values.clone()).await;
    other.call("MeterValues", values).await;
    other.call("StopTransaction", stop(json!(1), 1)).await;
    let all = service.strays(ListStraysRequest::default()).await;
    service.dismiss(&all[3], "a test").await.unwrap();

    let found = async |identity: Option<&str>, kind: Option<&str>, state: Option<&str>| {
        let request = ListStraysRequest {
            identity: identity.map(str::to_owned),
            kind: kind.map(str::to_owned),
            state: state.map(str::to_owned),
            ..Default::default()
        };
        let found = service.strays(request).await;
        let place = |stray: Stray| all.iter().position(|one| one.id == stray.id).unwrap();
        found.into_iter().map(place).collect::<Vec<_>>()
    };
    assert_eq!(found(None, None, None).await, [0, 1, 2, 3]);
    assert_eq!(found(Some("CP1"), None, None).await, [2, 3]);
    assert_eq!(found(Some("nobody"), None, None).await, [0_usize; 0]);
    assert_eq!(found(None, Some("stop"), None).await, [0, 3]);
    assert_eq!(found(None, None, Some("dismissed")).await, [3]);
    assert_eq!(found(None, Some("stop"), Some("open")).await, [0]);
    assert_eq!(found(Some("CP1"), None, Some("open")).await, [2]);
    assert_eq!(found(Some("CP1"), Some("stop"), Some("open")).await, [0_usize; 0]);

    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListStraysRequest {
            page_size: 3,
            page_token,
            ..Default::default()
        };
        let mut client = StrayServiceClient::new(service.channel.clone());
        let page = client.list_strays(service.asks(request)).await.unwrap().into_inner();
        seen.extend(page.strays.into_iter().map(|stray| stray.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, all.iter().map(|stray| stray.id.clone()).collect::<Vec<_>>());
    let request = GetStrayRequest { id: all[0].id.clone() };
    let mut client = StrayServiceClient::new(service.channel.clone());
    let got = client.get_stray(service.asks(request)).await.unwrap().into_inner();
    assert_eq!(got, all[0]);
}
