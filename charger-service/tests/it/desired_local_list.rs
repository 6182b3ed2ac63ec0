//! What operators want local lists to hold, and how it gets there.

use chrono::TimeDelta;
use serde_json::{Value, json};
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::transport::Channel;
use tonic::{Response, Status};
use tonic_types::StatusExt;
use voltgate_proto::ocpp::v1::local_list_service_client::LocalListServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::devices::{replace, replacing, retire};
use crate::imports::{File, id_tokens as import_id_tokens};
use crate::service::{Service, eventually, reason};
use crate::state::connected;
use crate::station::Station;

fn client(service: &Service) -> LocalListServiceClient<Channel> {
    LocalListServiceClient::new(service.channel.clone())
}

fn wish(id_tokens: &[&str]) -> DesireLocalListRequest {
    DesireLocalListRequest {
        identity: "CP1".to_owned(),
        id_tokens: id_tokens.iter().map(|token| (*token).to_owned()).collect(),
        ..Default::default()
    }
}

async fn desire(service: &Service, request: DesireLocalListRequest) -> Result<LocalList, Status> {
    let desired = client(service).desire_local_list(service.asks(request)).await;
    desired.map(Response::into_inner)
}

async fn synchronize(service: &Service) -> Result<LocalList, Status> {
    let request = SynchronizeLocalListRequest {
        identity: "CP1".to_owned(),
    };
    let list = client(service).synchronize_local_list(service.asks(request)).await;
    list.map(Response::into_inner)
}

async fn withdraw(service: &Service) {
    let request = WithdrawLocalListRequest {
        identity: "CP1".to_owned(),
    };
    client(service)
        .withdraw_local_list(service.asks(request))
        .await
        .unwrap();
}

async fn register(service: &Service, tokens: &[&str]) {
    for token in tokens {
        service.register_token(token).await;
    }
}

async fn change(service: &Service, id_token: &str, change: UpdateIdTokenRequest) {
    let request = UpdateIdTokenRequest {
        id_token: id_token.to_owned(),
        ..change
    };
    service
        .id_tokens()
        .update_id_token(service.asks(request))
        .await
        .unwrap();
}

async fn block(service: &Service, id_token: &str) {
    let blocked = UpdateIdTokenRequest {
        blocked: Some(true),
        ..Default::default()
    };
    change(service, id_token, blocked).await;
}

async fn delete(service: &Service, id_token: &str) {
    let request = DeleteIdTokenRequest {
        id_token: id_token.to_owned(),
    };
    service
        .id_tokens()
        .delete_id_token(service.asks(request))
        .await
        .unwrap();
}

/// The charge point reports how much it takes.
async fn takes(service: &Service, station: &mut Station, in_its_list: &str, at_once: &str) {
    let keys = json!({"configurationKey": [
        {"key": "LocalAuthListMaxLength", "readonly": true, "value": in_its_list},
        {"key": "SendLocalListMaxLength", "readonly": true, "value": at_once}]});
    service.exchange(station, "GetConfiguration", json!({}), keys).await;
}

/// The charge point is sent a list, or a change to one, and answers so. Returns kind, version and entries.
async fn sent(station: &mut Station, answer: &str) -> Value {
    let (id, action, payload) = station.called().await;
    assert_eq!(action, "SendLocalList");
    station.answer(&id, json!({ "status": answer })).await;
    let entries: Vec<_> = payload["localAuthorizationList"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| match entry.get("idTagInfo") {
            Some(info) => json!([entry["idTag"], info["status"]]),
            None => json!([entry["idTag"]]),
        })
        .collect();
    json!([payload["updateType"], payload["listVersion"], entries])
}

async fn state_is(service: &Service, state: &str) {
    eventually(&format!("the list is {state}"), async || {
        service.local_list().await.desired.unwrap().state == state
    })
    .await;
}

/// What the charge point has, and what it should have, of each tag.
fn entries(list: &LocalList) -> Vec<Value> {
    let entries = list.entries.iter().map(|entry| {
        let desired = entry.desired.as_ref().map(|desired| desired.status.as_str());
        json!([entry.id_tag, entry.status, desired, entry.drift])
    });
    entries.collect()
}

#[tokio::test]
async fn a_list_is_brought_to_the_charge_point_when_it_is_asked_for() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    assert_eq!(reason(&synchronize(&service).await.unwrap_err()), Reason::NotFound);
    let expiry = timestamp("2031-12-31T23:59:59.987654Z".parse().unwrap());
    service
        .register_tokens([
            CreateIdTokenRequest {
                id_token: "A".to_owned(),
                group_id: Some("FLEET-7".to_owned()),
                expires_at: Some(expiry),
                ..Default::default()
            },
            CreateIdTokenRequest {
                id_token: "B".to_owned(),
                blocked: true,
                ..Default::default()
            },
        ])
        .await;
    let list = desire(&service, wish(&["b", "A"])).await.unwrap();
    assert_eq!(
        entries(&list),
        [
            json!(["A", null, "Accepted", true]),
            json!(["B", null, "Blocked", true])
        ]
    );
    let desired = list.desired.unwrap();
    assert_eq!(
        (desired.state.as_str(), desired.differences, desired.id_tokens),
        ("idle", 2, 2)
    );
    assert!(list.drift);

    synchronize(&service).await.unwrap();
    let (id, action, payload) = station.called().await;
    assert_eq!(
        (action.as_str(), payload),
        (
            "SendLocalList",
            json!({"listVersion": 1, "updateType": "Full", "localAuthorizationList": [
                {"idTag": "A", "idTagInfo": {"status": "Accepted", "parentIdTag": "FLEET-7", "expiryDate": "2031-12-31T23:59:59.987Z"}},
                {"idTag": "B", "idTagInfo": {"status": "Blocked"}}]})
        )
    );
    assert_eq!(service.local_list().await.desired.unwrap().command_id, Some(id.clone()));
    station.answer(&id, json!({"status": "Accepted"})).await;
    state_is(&service, "synchronized").await;
    let list = service.local_list().await;
    assert_eq!(
        entries(&list),
        [
            json!(["A", "Accepted", "Accepted", false]),
            json!(["B", "Blocked", "Blocked", false])
        ]
    );
    assert!(!list.drift && list.desired.unwrap().synchronized_at.is_some());
    // Nothing is left to send.
    synchronize(&service).await.unwrap();
    assert_eq!(service.local_list().await.desired.unwrap().state, "synchronized");
    let commands: i64 = sqlx::query_scalar("SELECT count(*) FROM ocpp.command")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert_eq!(commands, 1);
}

#[tokio::test]
async fn changes_follow_in_as_many_messages_as_the_charge_point_takes() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    takes(&service, &mut station, "10", "2").await;
    register(&service, &["A", "B", "C", "D", "E", "F"]).await;
    desire(&service, wish(&["A", "B", "C", "D", "E"])).await.unwrap();
    synchronize(&service).await.unwrap();
    let ok = |tag: &str| json!([tag, "Accepted"]);
    for expected in [
        json!(["Full", 1, [ok("A"), ok("B")]]),
        json!(["Differential", 2, [ok("C"), ok("D")]]),
        json!(["Differential", 3, [ok("E")]]),
    ] {
        assert_eq!(sent(&mut station, "Accepted").await, expected);
    }
    state_is(&service, "synchronized").await;

    // What has to go goes first, so that there is room.
    block(&service, "E").await;
    desire(&service, wish(&["E", "F", "C"])).await.unwrap();
    assert_eq!(service.local_list().await.desired.unwrap().differences, 5);
    synchronize(&service).await.unwrap();
    for expected in [
        json!(["Differential", 4, [["A"], ["B"]]]),
        json!(["Differential", 5, [["D"], ["E", "Blocked"]]]),
        json!(["Differential", 6, [ok("F")]]),
    ] {
        assert_eq!(sent(&mut station, "Accepted").await, expected);
    }
    state_is(&service, "synchronized").await;

    // Where the whole list takes fewer messages than the changes, it is sent as a whole.
    desire(&service, wish(&["A"])).await.unwrap();
    synchronize(&service).await.unwrap();
    assert_eq!(sent(&mut station, "Accepted").await, json!(["Full", 7, [ok("A")]]));
    state_is(&service, "synchronized").await;
    let list = service.local_list().await;
    assert_eq!(entries(&list), [json!(["A", "Accepted", "Accepted", false])]);
    assert!(!list.drift);
}

#[tokio::test]
async fn after_a_change_that_is_refused_the_whole_list_follows_once() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    register(&service, &["A", "B", "C"]).await;
    desire(&service, wish(&["A"])).await.unwrap();
    synchronize(&service).await.unwrap();
    sent(&mut station, "Accepted").await;
    state_is(&service, "synchronized").await;
    for (refusal, token, version) in [("VersionMismatch", "B", 2), ("Failed", "C", 4)] {
        desire(&service, wish(&["A", token])).await.unwrap();
        synchronize(&service).await.unwrap();
        assert_eq!(sent(&mut station, refusal).await[0], "Differential");
        let whole = json!(["Full", version + 1, [["A", "Accepted"], [token, "Accepted"]]]);
        assert_eq!(sent(&mut station, "Accepted").await, whole);
        state_is(&service, "synchronized").await;
    }
    // Refused as a whole, too, it is given up.
    desire(&service, wish(&["B"])).await.unwrap();
    synchronize(&service).await.unwrap();
    assert_eq!(sent(&mut station, "Failed").await[0], "Differential");
    assert_eq!(sent(&mut station, "Failed").await[0], "Full");
    state_is(&service, "failed").await;
    let desired = service.local_list().await.desired.unwrap();
    assert_eq!((desired.problem.as_deref(), desired.command_id), (Some("Failed"), None));

    synchronize(&service).await.unwrap();
    assert_eq!(sent(&mut station, "NotSupported").await[0], "Full");
    state_is(&service, "notSupported").await;
}

#[tokio::test]
async fn a_list_that_somebody_else_changed_is_sent_as_a_whole_with_a_higher_version() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    register(&service, &["A"]).await;
    desire(&service, wish(&["A"])).await.unwrap();
    synchronize(&service).await.unwrap();
    sent(&mut station, "Accepted").await;
    state_is(&service, "synchronized").await;
    service
        .exchange(
            &mut station,
            "GetLocalListVersion",
            json!({}),
            json!({"listVersion": 41}),
        )
        .await;
    assert!(service.local_list().await.drift);
    synchronize(&service).await.unwrap();
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Full", 42, [["A", "Accepted"]]])
    );
    state_is(&service, "synchronized").await;
    assert!(!service.local_list().await.drift);
}

#[tokio::test]
async fn an_automatic_list_follows_its_tokens_by_itself() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    register(&service, &["A", "B", "C"]).await;
    let automatic = DesireLocalListRequest {
        automatic: true,
        ..wish(&["A", "B", "C"])
    };
    desire(&service, automatic).await.unwrap();
    let ok = |tag: &str| json!([tag, "Accepted"]);
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Full", 1, [ok("A"), ok("B"), ok("C")]])
    );
    state_is(&service, "synchronized").await;
    block(&service, "A").await;
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Differential", 2, [["A", "Blocked"]]])
    );
    // Nobody knows it any more.
    delete(&service, "B").await;
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Differential", 3, [["B", "Invalid"]]])
    );
    let expiring = UpdateIdTokenRequest {
        expires_at: Some(timestamp(chrono::Utc::now() + TimeDelta::minutes(10))),
        ..Default::default()
    };
    change(&service, "C", expiring).await;
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Differential", 4, [ok("C")]])
    );
    state_is(&service, "synchronized").await;
    service.clock.advance(TimeDelta::minutes(20));
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Differential", 5, [["C", "Expired"]]])
    );
    // What an operator sends by hand does not last.
    state_is(&service, "synchronized").await;
    let by_hand = json!({"listVersion": 6, "updateType": "Full"});
    service
        .exchange(&mut station, "SendLocalList", by_hand, json!({"status": "Accepted"}))
        .await;
    let all = json!([["A", "Blocked"], ["B", "Invalid"], ["C", "Expired"]]);
    assert_eq!(sent(&mut station, "Accepted").await, json!(["Differential", 7, all]));
    state_is(&service, "synchronized").await;
}

#[tokio::test]
async fn a_list_that_is_not_automatic_shows_what_has_changed_and_waits() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    register(&service, &["A", "B"]).await;
    desire(&service, wish(&["A", "B"])).await.unwrap();
    synchronize(&service).await.unwrap();
    sent(&mut station, "Accepted").await;
    state_is(&service, "synchronized").await;
    block(&service, "A").await;
    delete(&service, "B").await;
    let list = service.local_list().await;
    assert_eq!(
        entries(&list),
        [
            json!(["A", "Accepted", "Blocked", true]),
            json!(["B", "Accepted", "Invalid", true])
        ]
    );
    assert!(list.drift);
    let desired = list.desired.unwrap();
    assert_eq!((desired.state.as_str(), desired.differences), ("synchronized", 2));
}

#[tokio::test]
async fn a_list_of_all_has_who_may_charge_there_and_nobody_else() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register("CP2").await;
    let at = |identity: &str, connector_id| IdTokenLocation {
        identity: identity.to_owned(),
        connector_id,
    };
    let token = |id_token: &str| CreateIdTokenRequest {
        id_token: id_token.to_owned(),
        ..Default::default()
    };
    service
        .register_tokens([
            token("anywhere"),
            CreateIdTokenRequest {
                allowed_locations: vec![at("CP1", Some(1))],
                ..token("here")
            },
            CreateIdTokenRequest {
                allowed_locations: vec![at("CP2", None)],
                ..token("elsewhere")
            },
            CreateIdTokenRequest {
                blocked: true,
                ..token("blocked")
            },
            token(&"x".repeat(21)),
        ])
        .await;
    let all = DesireLocalListRequest {
        all_tokens: true,
        automatic: true,
        ..wish(&[])
    };
    desire(&service, all).await.unwrap();
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Full", 1, [["anywhere", "Accepted"], ["here", "Accepted"]]])
    );
    state_is(&service, "synchronized").await;
    register(&service, &["new"]).await;
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Differential", 2, [["new", "Accepted"]]])
    );
    block(&service, "here").await;
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Differential", 3, [["here"]]])
    );
    state_is(&service, "synchronized").await;
    let file = File::lines(r#"{"idToken": "imported"}"#);
    import_id_tokens(&service, file).await.unwrap();
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Differential", 4, [["imported", "Accepted"]]])
    );
}

#[tokio::test]
async fn what_a_charge_point_has_no_room_for_is_not_sent() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    takes(&service, &mut station, "2", "2").await;
    register(&service, &["A", "B", "C"]).await;
    let status = desire(&service, wish(&["A", "X", "B", "C", "Y"])).await.unwrap_err();
    let fields: Vec<_> = status
        .get_details_bad_request()
        .unwrap()
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(fields, ["idTokens[1]", "idTokens[4]", "idTokens"]);
    let all = DesireLocalListRequest {
        all_tokens: true,
        ..wish(&[])
    };
    let status = desire(&service, all.clone()).await.unwrap_err();
    assert_eq!(
        status.message(),
        "allTokens are more than the 2 that the list has room for"
    );
    assert_eq!(service.local_list().await.desired, None);

    delete(&service, "C").await;
    desire(&service, all).await.unwrap();
    register(&service, &["D"]).await;
    synchronize(&service).await.unwrap();
    assert_eq!(service.local_list().await.desired.unwrap().state, "tooLong");
    delete(&service, "D").await;
    synchronize(&service).await.unwrap();
    sent(&mut station, "Accepted").await;
    state_is(&service, "synchronized").await;
}

#[tokio::test]
async fn a_command_that_waits_for_its_charge_point_is_never_old() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    register(&service, &["A", "B"]).await;
    desire(&service, wish(&["A", "B"])).await.unwrap();
    let begun = synchronize(&service).await.unwrap().desired.unwrap();
    assert_eq!(begun.state, "pending");
    // Asked again, the one that waits is enough.
    let again = synchronize(&service).await.unwrap().desired.unwrap();
    assert_eq!(again.command_id, begun.command_id);
    block(&service, "A").await;
    desire(&service, wish(&["A"])).await.unwrap();
    // Longer than any other command waits where nobody says how long.
    service.clock.advance(TimeDelta::hours(25));
    let mut station = Station::connect(&service, "CP1", &password).await;
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Full", 1, [["A", "Blocked"]]])
    );
    state_is(&service, "synchronized").await;
}

#[tokio::test]
async fn a_charge_point_that_did_not_answer_is_sent_the_whole_list_after_a_restart() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    register(&service, &["A", "B"]).await;
    let automatic = |tokens: &[&str]| DesireLocalListRequest {
        automatic: true,
        ..wish(tokens)
    };
    desire(&service, automatic(&["A"])).await.unwrap();
    sent(&mut station, "Accepted").await;
    state_is(&service, "synchronized").await;
    desire(&service, automatic(&["A", "B"])).await.unwrap();
    let (_, _, payload) = station.called().await;
    assert_eq!(payload["updateType"], "Differential");
    service.kill();

    let service = Service::start(&database).await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    state_is(&service, "failed").await;
    let desired = service.local_list().await.desired.unwrap();
    assert_eq!(desired.problem.as_deref(), Some("timeout"));
    service.clock.advance(TimeDelta::minutes(20));
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Full", 3, [["A", "Accepted"], ["B", "Accepted"]]])
    );
    state_is(&service, "synchronized").await;
}

#[tokio::test]
async fn a_device_that_takes_the_place_of_another_is_sent_the_whole_list_and_one_that_is_retired_none() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    register(&service, &["A"]).await;
    let automatic = DesireLocalListRequest {
        automatic: true,
        ..wish(&["A"])
    };
    desire(&service, automatic).await.unwrap();
    sent(&mut station, "Accepted").await;
    state_is(&service, "synchronized").await;
    let password = replace(&service, replacing("CP1")).await.unwrap().password.unwrap();
    let mut new = Station::connect(&service, "CP1", &password).await;
    new.boot().await;
    assert_eq!(
        sent(&mut new, "Accepted").await,
        json!(["Full", 2, [["A", "Accepted"]]])
    );
    state_is(&service, "synchronized").await;

    retire(&service, "CP1", false).await.unwrap();
    block(&service, "A").await;
    service.clock.advance(TimeDelta::hours(2));
    eventually("the change has been seen", async || {
        let left = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM ocpp.id_token_change");
        left.fetch_one(&service.pool).await.unwrap() == 0
    })
    .await;
    let queued = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM ocpp.command WHERE status = 'queued'");
    assert_eq!(queued.fetch_one(&service.pool).await.unwrap(), 0);
}

#[tokio::test]
async fn a_restart_between_two_messages_loses_none_and_repeats_none() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    takes(&service, &mut station, "10", "1").await;
    register(&service, &["A", "B"]).await;
    desire(&service, wish(&["A", "B"])).await.unwrap();
    synchronize(&service).await.unwrap();
    let (id, _, _) = station.called().await;
    // The answer and the next command are one transaction, and then the charge point is gone.
    station.answer(&id, json!({"status": "Accepted"})).await;
    let (_, _, next) = station.called().await;
    assert_eq!(next["localAuthorizationList"][0]["idTag"], "B");
    station.hang_up().await;
    state_is(&service, "failed").await;
    service.stop().await;
    let service = Service::start(&database).await;
    let list = service.local_list().await;
    assert_eq!(
        entries(&list),
        [
            json!(["A", "Accepted", "Accepted", false]),
            json!(["B", null, "Accepted", true])
        ]
    );
    let mut station = Station::connect(&service, "CP1", &password).await;
    synchronize(&service).await.unwrap();
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Full", 3, [["A", "Accepted"]]])
    );
    assert_eq!(
        sent(&mut station, "Accepted").await,
        json!(["Differential", 4, [["B", "Accepted"]]])
    );
    state_is(&service, "synchronized").await;
}

#[tokio::test]
async fn a_wish_is_changed_by_version_and_withdrawn_with_what_waits() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    register(&service, &["A"]).await;
    let get = GetLocalListRequest {
        identity: "CP1".to_owned(),
        ..Default::default()
    };
    let nothing = client(&service).get_local_list(service.asks(get)).await.unwrap();
    let tag = nothing.metadata().get("etag").unwrap().clone();
    let with_tag = |request: DesireLocalListRequest| {
        let mut request = service.asks(request);
        request.metadata_mut().insert("if-match", tag.clone());
        request
    };
    client(&service)
        .desire_local_list(with_tag(wish(&["A"])))
        .await
        .unwrap();
    let status = client(&service)
        .desire_local_list(with_tag(wish(&[])))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::PreconditionFailed);

    // One command is out, so that the other waits.
    let pending = service.command("CP1", "ClearCache", json!({}), 30);
    let (call, _, _) = station.called().await;
    let begun = synchronize(&service).await.unwrap().desired.unwrap();
    withdraw(&service).await;
    assert_eq!(service.local_list().await.desired, None);
    let command = service.get_command(&begun.command_id.unwrap()).await;
    assert_eq!(command.status, "expired");
    // Again, there is nothing to withdraw.
    withdraw(&service).await;
    station.answer(&call, json!({"status": "Accepted"})).await;
    pending.await.unwrap().unwrap();
    let sent: i64 =
        sqlx::query_scalar("SELECT count(*) FROM ocpp.command WHERE action = 'SendLocalList' AND sent_at IS NOT NULL")
            .fetch_one(&service.pool)
            .await
            .unwrap();
    assert_eq!(sent, 0);
}

#[tokio::test]
async fn entries_come_a_page_at_a_time_with_what_is_there_and_what_should_be() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    register(&service, &["B", "d", "E"]).await;
    let by_hand = json!({"listVersion": 1, "updateType": "Full", "localAuthorizationList": [
        {"idTag": "a", "idTagInfo": {"status": "Accepted"}}, {"idTag": "C", "idTagInfo": {"status": "Accepted"}},
        {"idTag": "D", "idTagInfo": {"status": "Accepted"}}]});
    service
        .exchange(&mut station, "SendLocalList", by_hand, json!({"status": "Accepted"}))
        .await;
    desire(&service, wish(&["B", "d", "E"])).await.unwrap();
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let request = GetLocalListRequest {
            identity: "CP1".to_owned(),
            page_size: 2,
            page_token: token,
        };
        let page = client(&service)
            .get_local_list(service.asks(request))
            .await
            .unwrap()
            .into_inner();
        all.extend(entries(&page));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(
        all,
        [
            json!(["a", "Accepted", null, true]),
            json!(["B", null, "Accepted", true]),
            json!(["C", "Accepted", null, true]),
            json!(["D", "Accepted", "Accepted", false]),
            json!(["E", null, "Accepted", true]),
        ]
    );
}

/// Of letters too, since numbers stand everywhere in a log.
const CODE: &str = "Zq73519#";

#[tokio::test]
async fn a_code_on_a_list_stands_in_no_log_even_when_it_is_deleted() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service
        .register_tokens([CreateIdTokenRequest {
            id_token: CODE.to_owned(),
            r#type: Some("KeyCode".to_owned()),
            ..Default::default()
        }])
        .await;
    let automatic = DesireLocalListRequest {
        automatic: true,
        all_tokens: true,
        ..wish(&[])
    };
    desire(&service, automatic.clone()).await.unwrap();
    assert_eq!(sent(&mut station, "Accepted").await[2], json!([[CODE, "Accepted"]]));
    state_is(&service, "synchronized").await;
    delete(&service, CODE).await;
    // It is out of the register, and yet its name is in the message that takes it off.
    assert_eq!(sent(&mut station, "Accepted").await[2], json!([[CODE]]));
    state_is(&service, "synchronized").await;
    let kept: String = sqlx::query_scalar(
        "SELECT (SELECT string_agg(row_to_json(audit)::text, '') FROM ocpp.audit)
             || (SELECT string_agg(row_to_json(message)::text, '') FROM ocpp.message)
             || (SELECT string_agg(row_to_json(command)::text, '') FROM ocpp.command)
             || (SELECT coalesce(string_agg(row_to_json(masked_payload)::text, ''), '') FROM ocpp.masked_payload)",
    )
    .fetch_one(&service.pool)
    .await
    .unwrap();
    assert!(!kept.contains(CODE) && kept.contains("KeyCode "), "{kept}");
}
