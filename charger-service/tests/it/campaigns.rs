//! Campaigns: waves, the canary, failures, and what an operator does meanwhile.

use std::time::Duration;

use charger_service::Settings;
use chrono::TimeDelta;
use serde_json::json;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::transport::Channel;
use tonic::{Response, Status};
use voltgate_proto::ocpp::v1::campaign_service_client::CampaignServiceClient;
use voltgate_proto::ocpp::v1::create_campaign_request::{What, Whom};
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, eventually, reason, settings};
use crate::station::Station;

/// One that gives charge points more time to answer than a test takes to look around.
pub async fn patient(database: &Database) -> Service {
    let patient = Settings {
        charger_call_timeout_seconds: 60,
        ..settings()
    };
    Service::start_with(database, patient).await
}

/// Long enough for more than one look at the campaigns.
pub const QUIET: Duration = Duration::from_millis(2500);

pub fn client(service: &Service) -> CampaignServiceClient<Channel> {
    CampaignServiceClient::new(service.channel.clone())
}

/// Has these charge points clear their caches, all in one wave.
pub fn clear_caches(identities: &[&str]) -> CreateCampaignRequest {
    CreateCampaignRequest {
        name: "Caches".to_owned(),
        what: Some(What::Command(CampaignCommand {
            action: "ClearCache".to_owned(),
            payload: String::new(),
        })),
        whom: Some(Whom::ChargePoints(CampaignChargePoints {
            identities: identities.iter().map(|identity| (*identity).to_owned()).collect(),
        })),
        ..Default::default()
    }
}

pub async fn create(service: &Service, request: CreateCampaignRequest) -> Result<Campaign, Status> {
    let created = client(service).create_campaign(service.asks(request)).await;
    created.map(Response::into_inner)
}

pub async fn get(service: &Service, id: &str) -> Campaign {
    let request = GetCampaignRequest { id: id.to_owned() };
    let found = client(service).get_campaign(service.asks(request)).await;
    found.unwrap().into_inner()
}

pub async fn pause(service: &Service, id: &str, note: Option<&str>) -> Result<Campaign, Status> {
    let request = PauseCampaignRequest {
        id: id.to_owned(),
        note: note.map(str::to_owned),
    };
    let paused = client(service).pause_campaign(service.asks(request)).await;
    paused.map(Response::into_inner)
}

pub async fn resume(service: &Service, id: &str) -> Result<Campaign, Status> {
    let request = ResumeCampaignRequest { id: id.to_owned() };
    let resumed = client(service).resume_campaign(service.asks(request)).await;
    resumed.map(Response::into_inner)
}

pub async fn cancel(service: &Service, id: &str) -> Result<Campaign, Status> {
    let request = CancelCampaignRequest { id: id.to_owned() };
    let canceled = client(service).cancel_campaign(service.asks(request)).await;
    canceled.map(Response::into_inner)
}

pub async fn targets(service: &Service, id: &str) -> Vec<CampaignTarget> {
    let request = ListCampaignTargetsRequest {
        id: id.to_owned(),
        page_size: 1000,
        ..Default::default()
    };
    let page = client(service).list_campaign_targets(service.asks(request)).await;
    page.unwrap().into_inner().targets
}

/// Each target in short.
pub async fn states(service: &Service, id: &str) -> Vec<String> {
    let targets = targets(service, id).await;
    let short = |target: &CampaignTarget| format!("{} {} {}", target.identity, target.wave, target.state);
    targets.iter().map(short).collect()
}

pub async fn is_in(service: &Service, id: &str, state: &str) -> bool {
    get(service, id).await.state == state
}

/// Registers charge points and connects them.
pub async fn stations(service: &Service, identities: &[&str]) -> Vec<Station> {
    let mut stations = Vec::new();
    for identity in identities {
        let password = service.register(identity).await;
        let mut station = Station::connect(service, identity, &password).await;
        station.boot().await;
        stations.push(station);
    }
    stations
}

/// The next command, which is answered so.
pub async fn obey(station: &mut Station, answer: &str) {
    let (id, action, payload) = station.called().await;
    assert_eq!((action.as_str(), payload), ("ClearCache", json!({})));
    station.answer(&id, json!({"status": answer})).await;
}

#[tokio::test]
async fn the_canary_comes_first_and_each_wave_waits_for_the_one_before() {
    let database = Database::create().await;
    let service = patient(&database).await;
    let mut all = stations(&service, &["CP1", "CP2", "CP3", "CP4", "CP5"]).await;
    let request = CreateCampaignRequest {
        canary_size: 1,
        wave_size: Some(2),
        // Not by their names.
        ..clear_caches(&["CP5", "CP4", "CP3", "CP2", "CP1"])
    };
    let campaign = create(&service, request).await.unwrap();
    assert_eq!(
        (campaign.state.as_str(), campaign.wave, campaign.waves),
        ("running", 1, 3)
    );
    assert_eq!(campaign.report.unwrap().waiting, 5);
    let id = campaign.id;
    let (called, ..) = all[4].called().await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(
        states(&service, &id).await,
        [
            "CP5 1 sent",
            "CP4 2 waiting",
            "CP3 2 waiting",
            "CP2 3 waiting",
            "CP1 3 waiting"
        ]
    );
    all[4].answer(&called, json!({"status": "Accepted"})).await;

    obey(&mut all[3], "Rejected").await;
    let (called, ..) = all[2].called().await;
    tokio::time::sleep(QUIET).await;
    let report = get(&service, &id).await;
    assert_eq!((report.wave, report.waves), (2, 3));
    let (overall, of_wave) = (report.report.unwrap(), report.wave_report.unwrap());
    assert_eq!(
        (overall.waiting, overall.sent, overall.accepted, overall.rejected),
        (2, 1, 1, 1)
    );
    assert_eq!((of_wave.waiting, of_wave.sent, of_wave.rejected), (0, 1, 1));
    let error = json!([4, called, "InternalError", "no memory", {}]).to_string();
    all[2].send(&error).await;

    obey(&mut all[0], "Accepted").await;
    obey(&mut all[1], "Accepted").await;
    eventually("it is completed", async || is_in(&service, &id, "completed").await).await;
    let campaign = get(&service, &id).await;
    assert!(campaign.finished_at.is_some());
    let report = campaign.report.unwrap();
    assert_eq!((report.accepted, report.rejected, report.error), (3, 1, 1));
    let reasons: Vec<_> = targets(&service, &id)
        .await
        .into_iter()
        .map(|target| target.reason)
        .collect();
    assert_eq!(
        reasons,
        [
            None,
            Some("Rejected".to_owned()),
            Some("InternalError: no memory".to_owned()),
            None,
            None
        ]
    );
}

#[tokio::test]
async fn after_the_canary_it_waits_for_somebody_who_looks() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut all = stations(&service, &["CP1", "CP2"]).await;
    let request = CreateCampaignRequest {
        canary_size: 1,
        pause_after_canary: true,
        ..clear_caches(&["CP1", "CP2"])
    };
    let id = create(&service, request).await.unwrap().id;
    obey(&mut all[0], "Accepted").await;
    eventually("it is paused", async || is_in(&service, &id, "paused").await).await;
    let paused = get(&service, &id).await;
    assert_eq!((paused.pause_reason.as_deref(), paused.wave), (Some("canary"), 1));
    tokio::time::sleep(QUIET).await;
    assert_eq!(states(&service, &id).await, ["CP1 1 accepted", "CP2 2 waiting"]);

    let resumed = resume(&service, &id).await.unwrap();
    assert_eq!((resumed.state.as_str(), resumed.pause_reason), ("running", None));
    obey(&mut all[1], "Accepted").await;
    eventually("it is completed", async || is_in(&service, &id, "completed").await).await;
    let over = [
        pause(&service, &id, None).await,
        resume(&service, &id).await,
        cancel(&service, &id).await,
    ];
    for refused in over {
        assert_eq!(reason(&refused.unwrap_err()), Reason::CampaignOver);
    }
}

#[tokio::test]
async fn one_failure_too_many_halts_it_and_takes_back_what_was_not_sent() {
    let database = Database::create().await;
    let service = patient(&database).await;
    let mut all = stations(&service, &["CP1", "CP2"]).await;
    let password = service.register("CP3").await;
    let request = CreateCampaignRequest {
        max_failures: Some(1),
        ..clear_caches(&["CP1", "CP2", "CP3"])
    };
    let id = create(&service, request).await.unwrap().id;
    obey(&mut all[0], "Rejected").await;
    eventually("the third is queued", async || {
        states(&service, &id).await == ["CP1 1 rejected", "CP2 1 sent", "CP3 1 queued"]
    })
    .await;
    let queued = targets(&service, &id).await[2].command_id.clone().unwrap();
    assert!(is_in(&service, &id, "running").await, "one may fail");
    obey(&mut all[1], "Rejected").await;
    eventually("it is paused", async || is_in(&service, &id, "paused").await).await;
    let paused = get(&service, &id).await;
    assert_eq!(paused.pause_reason.as_deref(), Some("failures"));
    assert_eq!(paused.pause_note.as_deref(), Some("2 of 3 in wave 1 failed; 1 may"));
    assert_eq!(
        states(&service, &id).await,
        ["CP1 1 rejected", "CP2 1 rejected", "CP3 1 waiting"]
    );
    let taken_back = service.get_command(&queued).await;
    assert_eq!((taken_back.status.as_str(), taken_back.sent_at), ("expired", None));
    assert!(taken_back.error_description.unwrap().contains("paused"));

    // Who comes now hears nothing.
    let mut third = Station::connect(&service, "CP3", &password).await;
    third.boot().await;
    tokio::time::sleep(QUIET).await;
    assert!(
        service
            .messages("CP3")
            .await
            .iter()
            .all(|message| message.origin == "station")
    );

    resume(&service, &id).await.unwrap();
    obey(&mut third, "Rejected").await;
    eventually("it is completed", async || is_in(&service, &id, "completed").await).await;
    let sent = targets(&service, &id).await[2].command_id.clone().unwrap();
    assert_ne!(sent, queued);
}

#[tokio::test]
async fn failures_of_the_whole_campaign_count_in_percent_and_those_before_a_resume_are_forgiven() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut all = stations(&service, &["CP1", "CP2", "CP3", "CP4"]).await;
    let request = CreateCampaignRequest {
        wave_size: Some(1),
        max_failure_percent: Some(25),
        failures_of: Some("campaign".to_owned()),
        ..clear_caches(&["CP1", "CP2", "CP3", "CP4"])
    };
    let id = create(&service, request).await.unwrap().id;
    obey(&mut all[0], "Rejected").await;
    obey(&mut all[1], "Rejected").await;
    eventually("it is paused", async || is_in(&service, &id, "paused").await).await;
    assert_eq!(
        get(&service, &id).await.pause_note.as_deref(),
        Some("2 of 4 failed; 25 % may")
    );
    resume(&service, &id).await.unwrap();
    obey(&mut all[2], "Rejected").await;
    obey(&mut all[3], "Rejected").await;
    eventually("it is completed", async || is_in(&service, &id, "completed").await).await;
}

#[tokio::test]
async fn who_does_not_connect_in_time_is_left_out_and_is_no_failure() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let mut second = stations(&service, &["CP2"]).await.remove(0);
    let request = CreateCampaignRequest {
        wave_size: Some(1),
        max_failures: Some(0),
        expires_in_seconds: Some(600),
        ..clear_caches(&["CP1", "CP2"])
    };
    let id = create(&service, request).await.unwrap().id;
    eventually("the first is queued", async || {
        states(&service, &id).await == ["CP1 1 queued", "CP2 2 waiting"]
    })
    .await;
    service.clock.advance(TimeDelta::minutes(11));
    obey(&mut second, "Accepted").await;
    eventually("it is completed", async || is_in(&service, &id, "completed").await).await;
    let targets = targets(&service, &id).await;
    assert_eq!(
        (targets[0].state.as_str(), targets[0].reason.as_deref()),
        ("expired", Some("the charge point was not connected in time"))
    );
}
