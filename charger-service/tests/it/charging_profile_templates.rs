//! Charging profiles that operators keep, and what each charge point has of them.

use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_types::StatusExt;
use voltgate_proto::ocpp::v1::charge_point_audit_service_client::ChargePointAuditServiceClient;
use voltgate_proto::ocpp::v1::charging_profile_template_service_client::ChargingProfileTemplateServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::devices::retire;
use crate::service::{Service, eventually, reason};
use crate::state::connected;
use crate::station::Station;

fn client(service: &Service) -> ChargingProfileTemplateServiceClient<Channel> {
    ChargingProfileTemplateServiceClient::new(service.channel.clone())
}

fn content(name: &str, limit: f64) -> ChargingProfileTemplateContent {
    ChargingProfileTemplateContent {
        name: name.to_owned(),
        purpose: "TxDefaultProfile".to_owned(),
        stack_level: 1,
        kind: "Recurring".to_owned(),
        recurrency_kind: Some("Daily".to_owned()),
        schedule: Some(ChargingSchedule {
            unit: "A".to_owned(),
            starts_at: Some(prost_types::Timestamp::default()),
            duration_seconds: Some(86_400),
            periods: vec![ChargingSchedulePeriod {
                limit: Some(limit),
                ..Default::default()
            }],
            ..Default::default()
        }),
        ..Default::default()
    }
}

async fn create(
    service: &Service,
    template: ChargingProfileTemplateContent,
) -> Result<Response<ChargingProfileTemplate>, Status> {
    let request = CreateChargingProfileTemplateRequest {
        template: Some(template),
    };
    client(service)
        .create_charging_profile_template(service.asks(request))
        .await
}

async fn created(service: &Service, name: &str) -> String {
    create(service, content(name, 16.0)).await.unwrap().into_inner().id
}

async fn replace(
    service: &Service,
    id: &str,
    template: ChargingProfileTemplateContent,
) -> Result<ChargingProfileTemplate, Status> {
    let request = ReplaceChargingProfileTemplateRequest {
        id: id.to_owned(),
        template: Some(template),
    };
    let replaced = client(service)
        .replace_charging_profile_template(service.asks(request))
        .await;
    replaced.map(Response::into_inner)
}

fn application(id: &str, places: &[(&str, i32)]) -> ApplyChargingProfileTemplateRequest {
    let places = places.iter().map(|(identity, connector_id)| ChargingProfilePlace {
        identity: (*identity).to_owned(),
        connector_id: *connector_id,
    });
    ApplyChargingProfileTemplateRequest {
        id: id.to_owned(),
        places: places.collect(),
        expires_in_seconds: None,
    }
}

async fn send(
    service: &Service,
    request: Request<ApplyChargingProfileTemplateRequest>,
) -> Result<ApplyChargingProfileTemplateResponse, Status> {
    let applied = client(service).apply_charging_profile_template(request).await;
    applied.map(Response::into_inner)
}

async fn apply(service: &Service, id: &str, places: &[(&str, i32)]) -> ApplyChargingProfileTemplateResponse {
    send(service, service.asks(application(id, places))).await.unwrap()
}

async fn applications(service: &Service, id: &str, state: Option<&str>) -> Vec<ChargingProfileApplication> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListChargingProfileApplicationsRequest {
            id: id.to_owned(),
            state: state.map(str::to_owned),
            page_size: 2,
            page_token: token,
            ..Default::default()
        };
        let page = client(service)
            .list_charging_profile_applications(service.asks(request))
            .await
            .unwrap()
            .into_inner();
        all.extend(page.applications);
        token = page.next_page_token;
        if token.is_empty() {
            return all;
        }
    }
}

/// Connector, version that was sent, what has become of the command, state, confirmed version and drift of each.
async fn shown(service: &Service, id: &str) -> Vec<Value> {
    let applications = applications(service, id, None).await;
    let shown = applications.into_iter().map(|one| {
        json!([
            one.connector_id,
            one.version,
            one.command_status,
            one.state,
            one.confirmed_version,
            one.drift
        ])
    });
    shown.collect()
}

/// The charge point is sent a profile, and answers so. Returns what it was sent.
async fn answers(station: &mut Station, status: &str) -> Value {
    let (id, action, payload) = station.called().await;
    assert_eq!(action, "SetChargingProfile");
    station.answer(&id, json!({ "status": status })).await;
    payload
}

async fn settled(service: &Service, id: &str) {
    eventually("no command is under way", async || {
        applications(service, id, Some("pending")).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_template_is_kept_read_replaced_and_deleted_by_version() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let told = create(&service, content("Nights", 8.1)).await.unwrap();
    let tag = told.metadata().get("etag").unwrap().clone();
    let template = told.into_inner();
    assert_eq!((template.version, template.name.as_str()), (1, "Nights"));
    assert_eq!(template.schedule, content("Nights", 8.1).schedule);
    let status = create(&service, content("NIGHTS", 1.0)).await.unwrap_err();
    assert_eq!(reason(&status), Reason::ChargingProfileTemplateExists);

    // Another name alone is no other version.
    let renamed = replace(&service, &template.id, content("Days", 8.1)).await.unwrap();
    assert_eq!((renamed.version, renamed.name.as_str()), (1, "Days"));
    let changed = replace(&service, &template.id, content("Days", 8.2)).await.unwrap();
    assert_eq!(changed.version, 2);
    let get = GetChargingProfileTemplateRequest {
        id: template.id.clone(),
    };
    let read = client(&service)
        .get_charging_profile_template(service.asks(get.clone()))
        .await
        .unwrap();
    assert_eq!(read.into_inner(), changed);

    let delete = DeleteChargingProfileTemplateRequest {
        id: template.id.clone(),
    };
    let mut stale = service.asks(delete.clone());
    stale.metadata_mut().insert("if-match", tag);
    let status = client(&service)
        .delete_charging_profile_template(stale)
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::PreconditionFailed);
    client(&service)
        .delete_charging_profile_template(service.asks(delete))
        .await
        .unwrap();
    let status = client(&service)
        .get_charging_profile_template(service.asks(get))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::NotFound);

    let listed = ChargePointAuditServiceClient::new(service.channel.clone())
        .list_audit_entries(service.asks(ListAuditEntriesRequest::default()))
        .await
        .unwrap()
        .into_inner();
    let actions: Vec<_> = listed.entries.iter().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        actions,
        [
            "charging-profile-template.deleted",
            "charging-profile-template.replaced",
            "charging-profile-template.replaced",
            "charging-profile-template.created"
        ]
    );
}

#[tokio::test]
async fn templates_are_listed_by_name_a_page_at_a_time() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for name in ["b", "A", "c"] {
        created(&service, name).await;
    }
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let request = ListChargingProfileTemplatesRequest {
            page_size: 2,
            page_token: token,
        };
        let page = client(&service)
            .list_charging_profile_templates(service.asks(request))
            .await
            .unwrap()
            .into_inner();
        names.extend(page.templates.into_iter().map(|template| template.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, ["A", "b", "c"]);
}

#[tokio::test]
async fn a_template_that_is_applied_reaches_every_connector_under_an_id_of_its_own() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register("CP2").await;
    let id = created(&service, "Nights").await;
    let applied = apply(&service, &id, &[("CP1", 1), ("CP2", 0), ("CP1", 2)]).await;
    assert_eq!(applied.version, 1);
    for connector in [1, 2] {
        let sent = answers(&mut station, "Accepted").await;
        let profile = &sent["csChargingProfiles"];
        assert_eq!(sent["connectorId"], connector);
        assert_eq!(
            (&profile["chargingProfileKind"], &profile["recurrencyKind"]),
            (&json!("Recurring"), &json!("Daily"))
        );
        let of_place = applied
            .commands
            .iter()
            .find(|command| command.connector_id == connector);
        assert_eq!(profile["chargingProfileId"], of_place.unwrap().charging_profile_id);
    }
    eventually("both are confirmed", async || {
        applications(&service, &id, Some("current")).await.len() == 2
    })
    .await;
    assert_eq!(
        shown(&service, &id).await,
        [
            json!([1, 1, "accepted", "current", 1, false]),
            json!([2, 1, "accepted", "current", 1, false]),
            // It is away.
            json!([0, 1, "queued", "pending", null, true]),
        ]
    );
    let ids: std::collections::BTreeSet<_> = applied.commands.iter().map(|one| one.charging_profile_id).collect();
    assert!(
        ids.len() == 3 && ids.iter().all(|id| (1_800_000_000..1_900_000_000).contains(id)),
        "{ids:?}"
    );
    let kept: Vec<_> = service
        .charging_profiles()
        .await
        .iter()
        .map(|one| one.charging_profile_id)
        .collect();
    assert_eq!(
        kept,
        [
            applied.commands[0].charging_profile_id,
            applied.commands[2].charging_profile_id
        ]
    );
}

#[tokio::test]
async fn a_newer_version_leaves_connectors_outdated_until_it_is_applied_again() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let id = created(&service, "Nights").await;
    let first = apply(&service, &id, &[("CP1", 1)]).await;
    answers(&mut station, "Accepted").await;
    settled(&service, &id).await;
    replace(&service, &id, content("Nights", 10.0)).await.unwrap();
    assert_eq!(
        shown(&service, &id).await,
        [json!([1, 1, "accepted", "outdated", 1, true])]
    );
    assert_eq!(applications(&service, &id, Some("outdated")).await.len(), 1);
    assert_eq!(applications(&service, &id, Some("current")).await.len(), 0);

    // Refused, it has what it had.
    apply(&service, &id, &[("CP1", 1)]).await;
    assert_eq!(shown(&service, &id).await[0][3], "pending");
    answers(&mut station, "Rejected").await;
    settled(&service, &id).await;
    assert_eq!(
        shown(&service, &id).await,
        [json!([1, 2, "rejected", "outdated", 1, true])]
    );

    let second = apply(&service, &id, &[("CP1", 1)]).await;
    let sent = answers(&mut station, "Accepted").await;
    assert_eq!(
        sent["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"][0]["limit"],
        10
    );
    settled(&service, &id).await;
    assert_eq!(
        shown(&service, &id).await,
        [json!([1, 2, "accepted", "current", 2, false])]
    );
    assert_eq!(
        first.commands[0].charging_profile_id,
        second.commands[0].charging_profile_id
    );
    assert_eq!(service.charging_profiles().await.len(), 1);
}

#[tokio::test]
async fn a_profile_that_is_dropped_or_displaced_is_not_taken_for_the_template_any_more() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let id = created(&service, "Nights").await;
    let profile = apply(&service, &id, &[("CP1", 1)]).await.commands[0].charging_profile_id;
    answers(&mut station, "Accepted").await;
    settled(&service, &id).await;
    let accepted = json!({"status": "Accepted"});
    service
        .exchange(
            &mut station,
            "ClearChargingProfile",
            json!({"connectorId": 1}),
            accepted.clone(),
        )
        .await;
    assert_eq!(
        shown(&service, &id).await,
        [json!([1, 1, "accepted", "cleared", null, true])]
    );

    let foreign = |id: i32, level: i32| {
        json!({"connectorId": 1, "csChargingProfiles": {"chargingProfileId": id, "stackLevel": level,
            "chargingProfilePurpose": "TxDefaultProfile", "chargingProfileKind": "Relative",
            "chargingSchedule": {"chargingRateUnit": "A", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 6}]}}})
    };
    // Of its purpose and stack level, then with its very id.
    for (foreign_id, level) in [(7, 1), (profile, 3)] {
        apply(&service, &id, &[("CP1", 1)]).await;
        answers(&mut station, "Accepted").await;
        settled(&service, &id).await;
        assert_eq!(shown(&service, &id).await[0][3], "current");
        service
            .exchange(
                &mut station,
                "SetChargingProfile",
                foreign(foreign_id, level),
                accepted.clone(),
            )
            .await;
        assert_eq!(
            shown(&service, &id).await,
            [json!([1, 1, "accepted", "replaced", null, true])]
        );
    }
    assert_eq!(applications(&service, &id, Some("replaced")).await.len(), 1);
}

#[tokio::test]
async fn a_charge_point_that_refuses_or_never_answers_has_not_confirmed_it() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register("CP2").await;
    let id = created(&service, "Nights").await;
    let request = ApplyChargingProfileTemplateRequest {
        expires_in_seconds: Some(1),
        ..application(&id, &[("CP1", 1), ("CP1", 2), ("CP1", 3), ("CP2", 1)])
    };
    send(&service, service.asks(request)).await.unwrap();
    answers(&mut station, "NotSupported").await;
    let (call, _, _) = station.called().await;
    station
        .send(&json!([4, call, "InternalError", "", {}]).to_string())
        .await;
    // The third it does not answer.
    station.called().await;
    settled(&service, &id).await;
    assert_eq!(
        shown(&service, &id).await,
        [
            json!([1, 1, "rejected", "unconfirmed", null, true]),
            json!([2, 1, "error", "unconfirmed", null, true]),
            json!([3, 1, "timeout", "unconfirmed", null, true]),
            json!([1, 1, "expired", "unconfirmed", null, true]),
        ]
    );
}

#[tokio::test]
async fn what_is_confirmed_after_a_newer_version_was_sent_is_the_older_one() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let id = created(&service, "Nights").await;
    apply(&service, &id, &[("CP1", 1)]).await;
    let (first, _, _) = station.called().await;
    replace(&service, &id, content("Nights", 10.0)).await.unwrap();
    apply(&service, &id, &[("CP1", 1)]).await;
    station.answer(&first, json!({"status": "Accepted"})).await;
    let (second, _, _) = station.called().await;
    assert_eq!(shown(&service, &id).await, [json!([1, 2, "sent", "pending", 1, true])]);
    station.answer(&second, json!({"status": "Rejected"})).await;
    settled(&service, &id).await;
    assert_eq!(
        shown(&service, &id).await,
        [json!([1, 2, "rejected", "outdated", 1, true])]
    );
}

#[tokio::test]
async fn everything_that_does_not_fit_is_named_and_nothing_is_sent() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let whole = ChargingProfileTemplateContent {
        purpose: "ChargePointMaxProfile".to_owned(),
        ..content("Whole", 32.0)
    };
    let id = create(&service, whole).await.unwrap().into_inner().id;
    let request = application(&id, &[("CP1", 0), ("CP9", 0), ("CP1", 1), ("CP8", 2)]);
    let status = send(&service, service.asks(request)).await.unwrap_err();
    let fields: Vec<_> = status
        .get_details_bad_request()
        .unwrap()
        .field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect();
    assert_eq!(
        fields,
        [
            "places[1].identity",
            "places[2].connectorId",
            "places[3].identity",
            "places[3].connectorId"
        ]
    );
    assert!(applications(&service, &id, None).await.is_empty());
    let commands: i64 = sqlx::query_scalar("SELECT count(*) FROM ocpp.command")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert_eq!(commands, 0);
    let unknown = application("no-uuid", &[("CP1", 0)]);
    assert_eq!(
        reason(&send(&service, service.asks(unknown)).await.unwrap_err()),
        Reason::NotFound
    );
}

#[tokio::test]
async fn an_application_that_is_repeated_under_its_key_is_made_once() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let id = created(&service, "Nights").await;
    let keyed = |request: ApplyChargingProfileTemplateRequest| {
        let mut request = service.asks(request);
        request.metadata_mut().insert("idempotency-key", "k".parse().unwrap());
        request
    };
    let places = [("CP1", 2), ("CP1", 1)];
    // At the same moment, too.
    let (first, second) = tokio::join!(
        send(&service, keyed(application(&id, &places))),
        send(&service, keyed(application(&id, &places)))
    );
    let first = first.unwrap();
    assert_eq!(first, second.unwrap());
    replace(&service, &id, content("Nights", 10.0)).await.unwrap();
    let later = ApplyChargingProfileTemplateRequest {
        expires_in_seconds: Some(60),
        ..application(&id, &places)
    };
    assert_eq!(send(&service, keyed(later)).await.unwrap(), first);
    let other = send(&service, keyed(application(&id, &places[..1]))).await.unwrap_err();
    assert_eq!(reason(&other), Reason::IdempotencyKeyReused);
    let commands: i64 = sqlx::query_scalar("SELECT count(*) FROM ocpp.command")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert_eq!(commands, 2);
}

#[tokio::test]
async fn a_thousand_places_are_sent_to_at_once() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let id = created(&service, "Nights").await;
    let places: Vec<_> = (0..1000).map(|connector| ("CP1", connector)).collect();
    let applied = apply(&service, &id, &places).await;
    let connectors: Vec<_> = applied.commands.iter().map(|command| command.connector_id).collect();
    assert_eq!(connectors, (0..1000).collect::<Vec<_>>());
    assert_eq!(applications(&service, &id, Some("pending")).await.len(), 1000);
}

#[tokio::test]
async fn what_waits_for_a_charge_point_that_is_away_goes_with_its_template() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    let id = created(&service, "d").await;
    let applied = apply(&service, &id, &[("CP1", 1)]).await;
    let delete = DeleteChargingProfileTemplateRequest { id };
    client(&service)
        .delete_charging_profile_template(service.asks(delete))
        .await
        .unwrap();
    assert_eq!(
        service.get_command(&applied.commands[0].command_id).await.status,
        "expired"
    );
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    // Its answer is the next frame that the charge point gets.
    station.call("Heartbeat", json!({})).await;
}

#[tokio::test]
async fn a_charge_point_that_is_retired_is_no_place_for_a_template() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let id = created(&service, "d").await;
    retire(&service, "CP1", false).await.unwrap();
    let status = send(&service, service.asks(application(&id, &[("CP1", 1)])))
        .await
        .unwrap_err();
    let details = status.get_error_details();
    let violations = details.bad_request().unwrap();
    assert_eq!(violations.field_violations[0].field, "places[0].identity");
}

#[tokio::test]
async fn a_number_is_used_again_only_when_its_template_is_gone() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    sqlx::query("SELECT setval('ocpp.charging_profile_template_number', 99998)")
        .execute(&service.pool)
        .await
        .unwrap();
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(created(&service, name).await);
    }
    let delete = DeleteChargingProfileTemplateRequest { id: ids[1].clone() };
    client(&service)
        .delete_charging_profile_template(service.asks(delete))
        .await
        .unwrap();
    sqlx::query("SELECT setval('ocpp.charging_profile_template_number', 99998)")
        .execute(&service.pool)
        .await
        .unwrap();
    created(&service, "d").await;
    let numbers: Vec<(String, i32)> =
        sqlx::query_as("SELECT name, number FROM ocpp.charging_profile_template ORDER BY name")
            .fetch_all(&service.pool)
            .await
            .unwrap();
    let numbers: Vec<_> = numbers.iter().map(|(name, number)| (name.as_str(), *number)).collect();
    assert_eq!(numbers, [("a", 99_999), ("c", 1), ("d", 0)]);
}
