//! Charge points get other identities. What they did stays their own.

use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use testbed::certificates::{Authority, Subject};
use tonic::{Response, Status};
use voltgate_proto::ocpp::v1::unknown_charge_point_service_client::UnknownChargePointServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, eventually, reason};
use crate::state::connected;
use crate::station::{Offer, Station};

pub fn tag<T>(response: &Response<T>) -> String {
    response.metadata().get("etag").unwrap().to_str().unwrap().to_owned()
}

async fn rename(
    service: &Service,
    identity: &str,
    new_identity: &str,
    if_match: Option<&str>,
) -> Result<Response<ChargePoint>, Status> {
    let mut request = service.asks(RenameChargePointRequest {
        identity: identity.to_owned(),
        new_identity: new_identity.to_owned(),
    });
    if let Some(tag) = if_match {
        request.metadata_mut().insert("if-match", tag.parse().unwrap());
    }
    service.charge_points().rename_charge_point(request).await
}

pub async fn get(service: &Service, identity: &str) -> Result<Response<ChargePoint>, Status> {
    let identity = identity.to_owned();
    let request = service.asks(GetChargePointRequest { identity });
    service.charge_points().get_charge_point(request).await
}

async fn unknown(service: &Service) -> Vec<String> {
    let mut client = UnknownChargePointServiceClient::new(service.channel.clone());
    let request = service.asks(ListUnknownChargePointsRequest::default());
    let listed = client.list_unknown_charge_points(request).await.unwrap().into_inner();
    let listed = listed.unknown_charge_points.into_iter();
    listed.map(|unknown| unknown.identity).collect()
}

/// The events of these types, in their order: type, identity.
pub async fn events(service: &Service, beginning: &str) -> Vec<(String, String)> {
    sqlx::query_as("SELECT type, identity FROM ocpp.event WHERE starts_with(type, $1) ORDER BY xid, id")
        .bind(beginning)
        .fetch_all(&service.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_charge_point_that_is_renamed_keeps_what_it_did_and_its_password_and_comes_in_by_its_new_identity() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    service.register_token("TAG").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    // Somebody has typed in the new one already.
    let early = Station::open(&service, Offer::of("CP2", &password)).await;
    assert_eq!(reason(&early.err().unwrap()), Reason::NotFound);
    assert_eq!(unknown(&service).await, ["CP2"]);
    let waiting = service
        .command("CP1", "ClearCache", json!({}), 0)
        .await
        .unwrap()
        .unwrap();
    station.called().await;
    let queued = service
        .command("CP1", "Reset", json!({"type": "Soft"}), 0)
        .await
        .unwrap()
        .unwrap();

    let seen = tag(&get(&service, "CP1").await.unwrap());
    let renamed = rename(&service, "CP1", "CP2", Some(&seen)).await.unwrap();
    assert_ne!(tag(&renamed), seen);
    let renamed = renamed.into_inner();
    assert_eq!(
        (renamed.identity.as_str(), renamed.display_name.as_str()),
        ("CP2", "CP2")
    );
    assert!(!renamed.online);
    let closed = station.closed().await.unwrap();
    assert_eq!(
        (closed.code, closed.reason.as_str()),
        (1008, "an operator has ended the connection")
    );
    assert_eq!(reason(&get(&service, "CP1").await.unwrap_err()), Reason::NotFound);
    assert_eq!(unknown(&service).await, [""; 0]);
    assert_eq!(service.get_command(&waiting.id).await.status, "timeout");

    // As whoever has not heard of it comes.
    let old = Station::open(&service, Offer::of("CP1", &password)).await;
    assert_eq!(reason(&old.err().unwrap()), Reason::NotFound);
    assert_eq!(unknown(&service).await, ["CP1"]);
    let resumed = station.resume(&service).await;
    assert_eq!(reason(&resumed.err().unwrap()), Reason::SessionOver);

    let mut station = Station::connect(&service, "CP2", &password).await;
    // What waited for it goes to it.
    assert_eq!(station.called().await.0, queued.id);
    let stop = json!({"transactionId": id, "meterStop": 500, "timestamp": "2026-03-01T13:00:00Z"});
    station.call("StopTransaction", stop).await;
    let transaction = service.transaction(id).await;
    assert_eq!(
        (transaction.identity.as_str(), transaction.energy_wh),
        ("CP2", Some(500))
    );
    assert_eq!(service.transactions_of("CP2").await.len(), 1);
    assert!(service.messages("CP2").await.len() >= 4);
    // Whatever was written by name has the name of then.
    assert_eq!(
        events(&service, "charge-point.o").await,
        [
            ("charge-point.online", "CP1"),
            ("charge-point.offline", "CP1"),
            ("charge-point.online", "CP2")
        ]
        .map(|(kind, identity)| (kind.to_owned(), identity.to_owned()))
    );
    let renamed = service.audited("charge-point.renamed").await;
    let details: Vec<&Value> = renamed.iter().map(|(_, details)| details).collect();
    assert_eq!(
        details,
        [&json!({"newIdentity": "CP2"}), &json!({"formerIdentity": "CP1"})]
    );
    let under: Vec<Option<String>> = sqlx::query_scalar(
        "SELECT charge_point FROM ocpp.audit WHERE action IN ('charge-point.created', 'charge-point.renamed') ORDER BY id",
    )
    .fetch_all(&service.pool)
    .await
    .unwrap();
    assert_eq!(under, ["CP1", "CP1", "CP2"].map(|identity| Some(identity.to_owned())));
    // The old one is free.
    service.register("CP1").await;
}

#[tokio::test]
async fn a_charge_point_is_not_renamed_to_what_is_taken_reserved_or_no_name_nor_in_a_version_that_was_not_seen() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for identity in ["CP1", "CP2"] {
        service.register(identity).await;
    }
    let refused = async |identity: &str, new: &str, if_match: Option<&str>| {
        reason(&rename(&service, identity, new, if_match).await.unwrap_err())
    };
    assert_eq!(refused("CP1", "CP2", None).await, Reason::ChargePointExists);
    for new in ["transactions", "import", "", "CP1", " CP3", "CP:3"] {
        assert_eq!(refused("CP1", new, None).await, Reason::InvalidRequest, "{new}");
    }
    assert_eq!(refused("CP3", "CP4", None).await, Reason::NotFound);
    let seen = tag(&get(&service, "CP1").await.unwrap());
    rename(&service, "CP1", "CP3", Some(&seen)).await.unwrap();
    assert_eq!(refused("CP3", "CP4", Some(&seen)).await, Reason::PreconditionFailed);
    // A name for people that somebody has chosen stays.
    let named = UpdateChargePointRequest {
        identity: "CP3".to_owned(),
        display_name: Some("Car park".to_owned()),
        ..Default::default()
    };
    service
        .charge_points()
        .update_charge_point(service.asks(named))
        .await
        .unwrap();
    let renamed = rename(&service, "CP3", "CP1", None).await.unwrap().into_inner();
    assert_eq!(renamed.display_name, "Car park");
}

#[tokio::test]
async fn a_rename_ends_the_session_at_another_replica_and_the_connection_that_was_about_to_take_over() {
    let database = Database::create().await;
    let (first, second) = (Service::start(&database).await, Service::start(&database).await);
    let password = first.register("CP1").await;
    let mut old = Station::connect(&second, "CP1", &password).await;
    old.boot().await;
    let mut candidate = Station::connect(&second, "CP1", &password).await;
    rename(&first, "CP1", "CP2", None).await.unwrap();
    assert_eq!(old.closed().await.unwrap().code, 1008);
    candidate.send(r#"[2,"1","Heartbeat",{}]"#).await;
    assert_eq!(candidate.closed().await.unwrap().code, 1008);
    assert!(!first.charge_point("CP2").await.online);
    let mut station = Station::connect(&second, "CP2", &password).await;
    station.boot().await;
    assert!(first.charge_point("CP2").await.online);
}

/// What a dying connection says of transactions is true, whoever has ended it.
#[tokio::test]
async fn a_stop_that_is_on_its_way_while_its_charge_point_is_renamed_counts() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    rename(&service, "CP1", "CP2", None).await.unwrap();
    station.closed().await.unwrap();
    let stop = json!({"transactionId": id, "meterStop": 700, "timestamp": "2026-03-01T13:00:00Z"});
    station.call("StopTransaction", stop).await;
    assert_eq!(service.transaction(id).await.energy_wh, Some(700));
    assert!(!service.charge_point("CP2").await.online);
}

/// Of two, one is let in under the name that counts in the end.
#[tokio::test]
async fn a_connection_that_was_let_in_while_its_charge_point_was_renamed_gets_no_session() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    // A rename that has not come to its end holds the charge point, and a connection waits for it.
    let mut renaming = service.pool.begin().await.unwrap();
    let hold = "SELECT id FROM ocpp.charge_point WHERE identity = 'CP1' FOR UPDATE";
    sqlx::query(hold).execute(&mut *renaming).await.unwrap();
    let (channel, offer_password) = (service.channel.clone(), password.clone());
    let token = service.gateway_token();
    let connecting = tokio::spawn(async move {
        Station::open_at(channel, &token, Offer::of("CP1", &offer_password))
            .await
            .map(drop)
    });
    eventually("the connection waits", async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&service.pool)
        .await
        .unwrap();
        waiting > 0
    })
    .await;
    let change = "UPDATE ocpp.charge_point SET identity = 'CP2', installation = installation + 1";
    sqlx::query(change).execute(&mut *renaming).await.unwrap();
    renaming.commit().await.unwrap();
    assert_eq!(reason(&connecting.await.unwrap().unwrap_err()), Reason::NotFound);
    assert!(!service.charge_point("CP2").await.online);
    Station::connect(&service, "CP2", &password).await.boot().await;
}

/// Rule 15.
#[tokio::test]
async fn a_certificate_that_says_the_former_identity_is_good_as_long_as_nobody_else_has_that() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let request = CreateChargePointRequest {
        identity: "CP1".to_owned(),
        security_profile: Some(3),
        ..Default::default()
    };
    service
        .charge_points()
        .create_charge_point(service.asks(request))
        .await
        .unwrap();
    let certificate = Authority::new("factory").issue(&Subject::named("CP1")).der();
    let open = async |identity: &str| {
        let offer = Offer {
            authorization: None,
            tls: true,
            certificate: Some(certificate.clone()),
            ..Offer::of(identity, "")
        };
        Station::open(&service, offer)
            .await
            .map(drop)
            .map_err(|status| reason(&status))
    };
    assert_eq!(open("CP1").await, Ok(()));
    rename(&service, "CP1", "CP2", None).await.unwrap();
    assert_eq!(open("CP2").await, Ok(()));
    service.register("CP1").await;
    assert_eq!(open("CP2").await, Err(Reason::StationUnauthorized));
    // Whose it is now, nobody can tell.
    rename(&service, "CP1", "CP3", None).await.unwrap();
    assert_eq!(open("CP2").await, Err(Reason::StationUnauthorized));
}
