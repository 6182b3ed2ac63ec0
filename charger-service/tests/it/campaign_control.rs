//! What operators do with a campaign that runs, who may, and what is kept of that.

use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Request;
use voltgate_proto::ocpp::v1::charge_point_audit_service_client::ChargePointAuditServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::campaigns::{
    QUIET, cancel, clear_caches, client, create, is_in, obey, patient, pause, resume, states, stations, targets,
};
use crate::operator::Driver;
use crate::service::{Service, eventually, reason};
use crate::station::Station;

#[tokio::test]
async fn an_operator_halts_it_and_has_it_go_on() {
    let database = Database::create().await;
    let service = patient(&database).await;
    let mut all = stations(&service, &["CP1"]).await;
    let password = service.register("CP2").await;
    let id = create(&service, clear_caches(&["CP1", "CP2"])).await.unwrap().id;
    let (called, ..) = all[0].called().await;
    eventually("the second is queued", async || {
        states(&service, &id).await == ["CP1 1 sent", "CP2 1 queued"]
    })
    .await;
    let paused = pause(&service, &id, Some(" Wait for the weekend ")).await.unwrap();
    assert_eq!(
        (
            paused.state.as_str(),
            paused.pause_reason.as_deref(),
            paused.pause_note.as_deref()
        ),
        ("paused", Some("operator"), Some("Wait for the weekend"))
    );
    assert_eq!(states(&service, &id).await, ["CP1 1 sent", "CP2 1 waiting"]);
    // Again, and nothing changes.
    let again = pause(&service, &id, Some("Another reason")).await.unwrap();
    assert_eq!(again.pause_note, paused.pause_note);

    // What was sent takes its course.
    all[0].answer(&called, json!({"status": "Accepted"})).await;
    let mut second = Station::connect(&service, "CP2", &password).await;
    second.boot().await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(states(&service, &id).await, ["CP1 1 accepted", "CP2 1 waiting"]);
    resume(&service, &id).await.unwrap();
    resume(&service, &id).await.unwrap();
    obey(&mut second, "Accepted").await;
    eventually("it is completed", async || is_in(&service, &id, "completed").await).await;
}

#[tokio::test]
async fn one_that_is_canceled_sends_nothing_more() {
    let database = Database::create().await;
    let service = patient(&database).await;
    let mut all = stations(&service, &["CP1"]).await;
    let password = service.register("CP2").await;
    service.register("CP3").await;
    let request = CreateCampaignRequest {
        wave_size: Some(2),
        ..clear_caches(&["CP1", "CP2", "CP3"])
    };
    let id = create(&service, request).await.unwrap().id;
    let (called, ..) = all[0].called().await;
    eventually("the second is queued", async || {
        states(&service, &id).await == ["CP1 1 sent", "CP2 1 queued", "CP3 2 waiting"]
    })
    .await;
    let canceled = cancel(&service, &id).await.unwrap();
    assert_eq!(
        (canceled.state.as_str(), canceled.report.unwrap().skipped),
        ("canceled", 2)
    );
    assert!(canceled.finished_at.is_some());
    assert!(cancel(&service, &id).await.is_ok(), "it is canceled");
    assert_eq!(reason(&resume(&service, &id).await.unwrap_err()), Reason::CampaignOver);

    let mut second = Station::connect(&service, "CP2", &password).await;
    second.boot().await;
    all[0].answer(&called, json!({"status": "Accepted"})).await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(
        states(&service, &id).await,
        ["CP1 1 accepted", "CP2 1 skipped", "CP3 2 skipped"]
    );
    assert!(
        service
            .messages("CP2")
            .await
            .iter()
            .all(|message| message.origin == "station")
    );
}

#[tokio::test]
async fn commands_tell_their_campaign_and_everything_is_in_the_audit_log() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut station = stations(&service, &["CP1"]).await.remove(0);
    let request = CreateCampaignRequest {
        start_paused: true,
        ..clear_caches(&["CP1"])
    };
    let created = create(&service, request).await.unwrap();
    assert_eq!(
        (created.state.as_str(), created.pause_reason.as_deref()),
        ("paused", Some("created"))
    );
    let id = created.id;
    tokio::time::sleep(QUIET).await;
    assert_eq!(states(&service, &id).await, ["CP1 1 waiting"]);
    resume(&service, &id).await.unwrap();
    obey(&mut station, "Accepted").await;
    eventually("it is completed", async || is_in(&service, &id, "completed").await).await;
    let command = targets(&service, &id).await[0].command_id.clone().unwrap();
    assert_eq!(
        service.get_command(&command).await.campaign_id.as_deref(),
        Some(id.as_str())
    );
    let own = service
        .command("CP1", "ClearCache", json!({}), 0)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(own.campaign_id, None);

    let entries = ChargePointAuditServiceClient::new(service.channel.clone())
        .list_audit_entries(service.asks(ListAuditEntriesRequest::default()))
        .await
        .unwrap()
        .into_inner()
        .entries;
    let of_campaign = entries.iter().filter(|entry| entry.details.contains(&id));
    let told: Vec<_> = of_campaign
        .map(|entry| {
            assert!(entry.actor_id.is_some(), "somebody has asked for it");
            let details: Value = serde_json::from_str(&entry.details).unwrap();
            (entry.action.as_str(), entry.charge_point.as_deref(), details)
        })
        .collect();
    assert_eq!(
        told,
        [
            (
                "command.requested",
                Some("CP1"),
                json!({"action": "ClearCache", "command": command, "campaign": id})
            ),
            (
                "campaign.resumed",
                None,
                json!({"campaign": id, "name": "Caches", "pausedBecauseOf": "created"})
            ),
            (
                "campaign.created",
                None,
                json!({"campaign": id, "name": "Caches", "action": "ClearCache", "targets": 1, "waves": 1})
            ),
        ]
    );
}

#[tokio::test]
async fn a_state_changes_only_in_the_version_that_was_seen() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let id = create(&service, clear_caches(&["CP1"])).await.unwrap().id;
    let seen = client(&service)
        .get_campaign(service.asks(GetCampaignRequest { id: id.clone() }))
        .await
        .unwrap();
    let tag = seen.metadata().get("etag").unwrap().clone();
    eventually("it is queued", async || states(&service, &id).await == ["CP1 1 queued"]).await;
    // What becomes of its targets does not count.
    let with = |tag: &tonic::metadata::AsciiMetadataValue| {
        let mut request = service.asks(PauseCampaignRequest {
            id: id.clone(),
            note: None,
        });
        request.metadata_mut().insert("if-match", tag.clone());
        request
    };
    let paused = client(&service).pause_campaign(with(&tag)).await.unwrap();
    assert_ne!(paused.metadata().get("etag"), Some(&tag));
    let changed = client(&service).pause_campaign(with(&tag)).await.unwrap_err();
    assert_eq!(reason(&changed), Reason::PreconditionFailed);
    let nobody = pause(&service, "no id", None).await.unwrap_err();
    assert_eq!(reason(&nobody), Reason::NotFound);
}

#[tokio::test]
async fn drivers_run_no_campaigns() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let driver = Driver::sign_up().await;
    let id = create(&service, clear_caches(&["CP1"])).await.unwrap().id;
    let refused = [
        client(&service)
            .create_campaign(driver.asks(clear_caches(&["CP1"])))
            .await
            .err(),
        client(&service)
            .get_campaign(driver.asks(GetCampaignRequest { id: id.clone() }))
            .await
            .err(),
        client(&service)
            .cancel_campaign(driver.asks(CancelCampaignRequest { id }))
            .await
            .err(),
    ];
    for status in refused {
        assert_eq!(reason(&status.unwrap()), Reason::PermissionDenied);
    }
    let nobody = client(&service)
        .create_campaign(Request::new(clear_caches(&["CP1"])))
        .await;
    assert_eq!(reason(&nobody.unwrap_err()), Reason::MissingCredentials);
}
