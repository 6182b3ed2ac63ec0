//! Campaigns at several replicas and across crashes: each charge point is sent one command.

use std::time::Duration;

use testbed::Database;
use tokio::task::JoinSet;
use voltgate_proto::ocpp::v1::CreateCampaignRequest;
use voltgate_proto::ocpp::v1::create_campaign_request::Whom;
use voltgate_proto::ocpp::v1::*;

use crate::campaigns::{clear_caches, create, get, is_in, obey, pause, resume};
use crate::service::{Service, eventually, settings};
use crate::station::Station;

/// Registers this many charge points at once, which never connect.
async fn fleet(service: &Service, size: i32) {
    sqlx::query(
        "INSERT INTO ocpp.charge_point (id, identity, display_name, security_profile, created_at)
         SELECT gen_random_uuid(), 'F' || to_char(number, 'FM00000'), '', 1, now() FROM generate_series(1, $1) AS number",
    )
    .bind(size)
    .execute(&service.pool)
    .await
    .unwrap();
}

/// For all that there are, in one wave.
fn for_everybody() -> CreateCampaignRequest {
    CreateCampaignRequest {
        whom: Some(Whom::Selection(ChargePointSelection::default())),
        wave_size: Some(10_000),
        expires_in_seconds: Some(604_800),
        ..clear_caches(&[])
    }
}

async fn count(service: &Service, what: &'static str) -> i64 {
    sqlx::query_scalar(what).fetch_one(&service.pool).await.unwrap()
}

async fn commands(service: &Service) -> i64 {
    count(service, "SELECT count(*) FROM ocpp.command").await
}

/// Every charge point has one command, which is that of its target, and one entry in the audit log.
async fn each_has_one(service: &Service, size: i64) {
    for what in [
        "SELECT count(*) FROM ocpp.command",
        "SELECT count(DISTINCT charge_point_id) FROM ocpp.command",
        "SELECT count(*) FROM ocpp.campaign_target JOIN ocpp.command ON command.id = command_id
             AND command.charge_point_id = campaign_target.charge_point_id AND command.campaign_id IS NOT NULL",
        "SELECT count(DISTINCT charge_point) FROM ocpp.audit WHERE action = 'command.requested'",
        "SELECT count(*) FROM ocpp.audit WHERE action = 'command.requested'",
    ] {
        assert_eq!(count(service, what).await, size, "{what}");
    }
}

#[tokio::test]
async fn two_replicas_that_look_at_once_send_nothing_twice() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let other = Service::start(&database).await;
    fleet(&service, 1100).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&other, "CP1", &password).await;
    station.boot().await;
    let id = create(&service, for_everybody()).await.unwrap().id;
    obey(&mut station, "Accepted").await;
    eventually("all are queued", async || commands(&service).await == 1101).await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    each_has_one(&service, 1101).await;
    let report = get(&other, &id).await.report.unwrap();
    assert_eq!((report.queued, report.accepted), (1100, 1));
}

#[tokio::test]
async fn a_replica_that_is_killed_in_the_middle_sends_nothing_twice_and_leaves_nobody_out() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    fleet(&service, 1600).await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    create(&service, for_everybody()).await.unwrap();
    obey(&mut station, "Accepted").await;
    eventually("some are queued", async || commands(&service).await > 0).await;
    service.kill();
    // At any moment of its work.
    for milliseconds in [30, 90, 150] {
        let service = Service::start_at_url(database.url(), settings()).await;
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        assert!(commands(&service).await < 1601, "it was killed in the middle");
        service.kill();
    }
    let service = Service::start(&database).await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    eventually("all are queued", async || commands(&service).await == 1601).await;
    each_has_one(&service, 1601).await;
    let heard = service.messages("CP1").await;
    let told = heard
        .iter()
        .filter(|message| message.action.as_deref() == Some("ClearCache"));
    assert_eq!(told.count(), 1);
}

#[tokio::test]
async fn what_is_paused_and_resumed_again_and_again_is_sent_once() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let other = Service::start(&database).await;
    fleet(&service, 300).await;
    let id = create(&service, for_everybody()).await.unwrap().id;
    for _ in 0..5 {
        pause(&other, &id, None).await.unwrap();
        let waiting = get(&other, &id).await.report.unwrap().waiting;
        assert_eq!(waiting, 300, "nothing is left queued");
        resume(&service, &id).await.unwrap();
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    let queued = "SELECT count(*) FROM ocpp.command WHERE status = 'queued'";
    eventually("all are queued", async || count(&service, queued).await == 300).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let charge_points = "SELECT count(DISTINCT charge_point_id) FROM ocpp.command WHERE status = 'queued'";
    assert_eq!(
        (count(&service, queued).await, count(&service, charge_points).await),
        (300, 300)
    );
    assert!(is_in(&service, &id, "running").await);
}

/// Whether a command is taken back or leaves is decided once, however close both come.
#[tokio::test]
async fn who_is_sent_a_command_while_it_is_paused_is_not_sent_another() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let other = Service::start(&database).await;
    let mut stations = JoinSet::new();
    for number in 0..20 {
        let at = if number % 2 == 0 { &service } else { &other };
        let identity = format!("CP{number}");
        let password = at.register(&identity).await;
        let mut station = Station::connect(at, &identity, &password).await;
        station.boot().await;
        stations.spawn(async move {
            loop {
                obey(&mut station, "Accepted").await;
            }
        });
    }
    let id = create(&service, for_everybody()).await.unwrap().id;
    for _ in 0..50 {
        // It may be completed before.
        if pause(&other, &id, None).await.is_err() || resume(&service, &id).await.is_err() {
            break;
        }
    }
    eventually("it is completed", async || is_in(&service, &id, "completed").await).await;
    let most = "SELECT max(told) FROM (
        SELECT count(*) AS told FROM ocpp.message WHERE origin = 'csms' AND action = 'ClearCache' GROUP BY charge_point_id) AS each";
    let charge_points =
        "SELECT count(DISTINCT charge_point_id) FROM ocpp.message WHERE origin = 'csms' AND action = 'ClearCache'";
    assert_eq!(
        (count(&service, most).await, count(&service, charge_points).await),
        (1, 20)
    );
}

/// A table that has many targets of other campaigns is not read through for one.
#[tokio::test]
async fn looks_at_a_campaign_go_by_an_index() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    fleet(&service, 20_000).await;
    let resting = CreateCampaignRequest {
        start_paused: true,
        ..for_everybody()
    };
    for _ in 0..3 {
        create(&service, resting.clone()).await.unwrap();
    }
    sqlx::query("ANALYZE ocpp.campaign_target")
        .execute(&service.pool)
        .await
        .unwrap();
    let scans = async |kind: &str| {
        let sum = format!("SELECT {kind}::bigint FROM pg_stat_user_tables WHERE relname = 'campaign_target'");
        let scans: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(sum))
            .fetch_one(&service.pool)
            .await
            .unwrap();
        scans
    };
    // What goes before is told a moment later.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (sequential, by_index) = (scans("seq_scan").await, scans("idx_scan").await);
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;
    let id = create(&service, clear_caches(&["CP1"])).await.unwrap().id;
    obey(&mut station, "Accepted").await;
    eventually("it is completed", async || is_in(&service, &id, "completed").await).await;
    eventually("the looks are told", async || scans("idx_scan").await > by_index).await;
    assert_eq!(scans("seq_scan").await, sequential);
}
