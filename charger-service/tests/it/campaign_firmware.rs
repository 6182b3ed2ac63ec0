//! Campaigns of firmware: each charge point fetches it by a URL of its own, and may be waited for until it is installed.

use charger_service::Settings;
use chrono::TimeDelta;
use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tonic_types::StatusExt as _;
use voltgate_proto::ocpp::v1::create_campaign_request::What;
use voltgate_proto::ocpp::v1::*;

use crate::campaigns::{clear_caches, create, get, is_in, pause, resume, states, stations, targets};
use crate::service::{Service, eventually, reason, settings};
use crate::station::Station;
use crate::transfers::parts;

fn update(identities: &[&str], firmware: CampaignFirmware) -> CreateCampaignRequest {
    CreateCampaignRequest {
        name: "2.4.2".to_owned(),
        what: Some(What::UpdateFirmware(CampaignFirmware {
            firmware: "f.bin".to_owned(),
            ..firmware
        })),
        ..clear_caches(identities)
    }
}

/// Takes the update on; returns its payload.
async fn take_on(station: &mut Station) -> Value {
    let (id, action, payload) = station.called().await;
    assert_eq!(action, "UpdateFirmware");
    station.answer(&id, json!({})).await;
    payload
}

async fn tell(station: &mut Station, status: &str) {
    station
        .call("FirmwareStatusNotification", json!({"status": status}))
        .await;
}

#[tokio::test]
async fn each_charge_point_fetches_firmware_by_a_url_of_its_own() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.upload_firmware("f.bin", b"firmware").await.unwrap();
    let mut all = stations(&service, &["CP1", "CP2"]).await;
    service.register("CP3").await;
    let campaign = create(&service, update(&["CP1", "CP2", "CP3"], CampaignFirmware::default()));
    let id = campaign.await.unwrap().id;
    let mut tokens = Vec::new();
    for station in &mut all {
        let payload = take_on(station).await;
        let (token, name) = parts(&payload["location"]);
        assert_eq!(name, "f.bin");
        tokens.push(token);
    }
    assert_ne!(tokens[0], tokens[1]);
    for token in &tokens {
        assert_eq!(service.fetch(token, &[]).await.unwrap().bytes, b"firmware");
        assert!(!service.everything_kept().await.contains(token));
    }
    eventually("the others have it", async || {
        states(&service, &id).await == ["CP1 1 accepted", "CP2 1 accepted", "CP3 1 queued"]
    })
    .await;
    let job = service.jobs().await.remove(0);
    assert_eq!(job.command_id, targets(&service, &id).await[0].command_id);

    // Of a URL that was taken back nothing is left, either.
    assert_eq!(everything_of_urls(&service).await, 1);
    pause(&service, &id, None).await.unwrap();
    assert_eq!(everything_of_urls(&service).await, 0);
    let command: String = sqlx::query_scalar("SELECT payload::text FROM ocpp.command WHERE status = 'expired'")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert!(
        command.contains("https://charge.example.com/ocpp/transfers/***/f.bin"),
        "{command}"
    );
}

/// Tokens that stand somewhere in the clear.
async fn everything_of_urls(service: &Service) -> usize {
    let everything = service.everything_kept().await;
    let after = everything.split("/ocpp/transfers/").skip(1);
    after.filter(|rest| !rest.starts_with("***")).count()
}

#[tokio::test]
async fn a_wave_is_over_when_its_charge_points_have_told_that_they_are_through() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.upload_firmware("f.bin", b"firmware").await.unwrap();
    let mut all = stations(&service, &["CP1", "CP2", "CP3", "CP4"]).await;
    let waited_for = CampaignFirmware {
        retries: Some(2),
        installation_seconds: Some(600),
        ..CampaignFirmware::default()
    };
    let request = CreateCampaignRequest {
        canary_size: 1,
        wave_size: Some(2),
        max_failures: Some(0),
        ..update(&["CP1", "CP2", "CP3", "CP4"], waited_for)
    };
    let id = create(&service, request).await.unwrap().id;
    take_on(&mut all[0]).await;
    // It was told to try again.
    for status in [
        "Downloading",
        "DownloadFailed",
        "Downloading",
        "Downloaded",
        "Installing",
    ] {
        tell(&mut all[0], status).await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    assert_eq!(
        states(&service, &id).await,
        ["CP1 1 installing", "CP2 2 waiting", "CP3 2 waiting", "CP4 3 waiting"]
    );
    tell(&mut all[0], "Installed").await;
    take_on(&mut all[1]).await;
    take_on(&mut all[2]).await;
    assert_eq!(states(&service, &id).await[0], "CP1 1 accepted");
    tell(&mut all[1], "InstallationFailed").await;
    eventually("it is paused", async || is_in(&service, &id, "paused").await).await;
    let told = targets(&service, &id).await.remove(1);
    assert_eq!(
        (told.state.as_str(), told.reason.as_deref(), told.progress.as_deref()),
        ("failed", Some("InstallationFailed"), Some("InstallationFailed"))
    );
    assert_eq!(get(&service, &id).await.pause_reason.as_deref(), Some("failures"));

    // The third tells nothing in time, also while it is paused.
    service.clock.advance(TimeDelta::minutes(11));
    eventually("its time is over", async || {
        states(&service, &id).await[2] == "CP3 2 timeout"
    })
    .await;
    resume(&service, &id).await.unwrap();
    take_on(&mut all[3]).await;
    tell(&mut all[3], "Installed").await;
    eventually("it is completed", async || is_in(&service, &id, "completed").await).await;
    let report = get(&service, &id).await.report.unwrap();
    assert_eq!((report.accepted, report.failed, report.timeout), (2, 1, 1));
    // What is told later stands beside it.
    tell(&mut all[2], "Installed").await;
    let late = targets(&service, &id).await.remove(2);
    assert_eq!(
        (late.state.as_str(), late.progress.as_deref()),
        ("timeout", Some("Installed"))
    );
}

#[tokio::test]
async fn firmware_that_is_deleted_halts_its_campaign() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let file = service.upload_firmware("f.bin", b"firmware").await.unwrap();
    let mut all = stations(&service, &["CP1", "CP2"]).await;
    let request = CreateCampaignRequest {
        wave_size: Some(1),
        ..update(&["CP1", "CP2"], CampaignFirmware::default())
    };
    let id = create(&service, request).await.unwrap().id;
    let (called, ..) = all[0].called().await;
    service.delete_file(&file.id).await.unwrap();
    all[0].answer(&called, json!({})).await;
    eventually("it is paused", async || is_in(&service, &id, "paused").await).await;
    let paused = get(&service, &id).await;
    assert_eq!(
        (paused.pause_reason.as_deref(), paused.wave),
        (Some("firmware_gone"), 2)
    );
    // Other firmware of the same name is none of its.
    service.upload_firmware("f.bin", b"other").await.unwrap();
    resume(&service, &id).await.unwrap();
    eventually("it is paused again", async || is_in(&service, &id, "paused").await).await;
    assert_eq!(states(&service, &id).await, ["CP1 1 accepted", "CP2 2 waiting"]);
}

#[tokio::test]
async fn everything_that_is_wrong_with_firmware_and_charge_points_is_told_at_once() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let wrong = CampaignFirmware {
        signature: Some("x".to_owned()),
        installation_seconds: Some(1),
        ..CampaignFirmware::default()
    };
    let fields = |status: &tonic::Status| {
        let details = status.get_details_bad_request().unwrap();
        let told = details.field_violations.into_iter();
        told.map(|one| one.field).collect::<Vec<_>>()
    };
    let refused = create(&service, update(&["CP1"], wrong)).await.unwrap_err();
    assert_eq!(
        fields(&refused),
        [
            "updateFirmware.signingCertificate",
            "updateFirmware.installationSeconds"
        ]
    );
    let refused = create(&service, update(&["CP1"], CampaignFirmware::default()))
        .await
        .unwrap_err();
    assert_eq!(
        fields(&refused),
        ["updateFirmware.firmware", "chargePoints.identities[0]"]
    );
    let nowhere = Settings {
        charger_public_url: None,
        ..settings()
    };
    let other = Service::start_with(&database, nowhere).await;
    let refused = create(&other, update(&["CP1"], CampaignFirmware::default()))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::NoPublicUrl);
}
