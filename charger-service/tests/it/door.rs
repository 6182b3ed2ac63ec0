//! Strangers, guesses and floods at the door (rows "URL", "unknown identity", "subprotocol" and "limits" of the decisions on
//! framing).

use std::sync::Arc;
use std::time::{Duration, Instant};

use charger_service::Settings;
use serde_json::json;
use service_kit::reason::Reason;
use testbed::Database;
use tokio::task::JoinSet;
use tonic_types::StatusExt;
use voltgate_proto::ocpp::v1::unknown_charge_point_service_client::UnknownChargePointServiceClient;
use voltgate_proto::ocpp::v1::{
    CreateChargePointRequest, ListUnknownChargePointsRequest, UnknownChargePoint, UpdateChargePointRequest,
};

use crate::service::{Service, eventually, reason, settings};
use crate::station::{self, Offer, Station, basic};

async fn refusal(service: &Service, offer: Offer<'_>) -> Reason {
    match Station::open(service, offer).await {
        Ok(_) => panic!("it was let in"),
        Err(status) => reason(&status),
    }
}

/// Every page, newest first.
async fn unknown(service: &Service) -> Vec<UnknownChargePoint> {
    let mut client = UnknownChargePointServiceClient::new(service.channel.clone());
    let mut request = ListUnknownChargePointsRequest {
        page_size: 2,
        ..Default::default()
    };
    let mut found = Vec::new();
    loop {
        let page = client
            .list_unknown_charge_points(service.asks(request.clone()))
            .await
            .unwrap();
        let page = page.into_inner();
        found.extend(page.unknown_charge_points);
        if page.next_page_token.is_empty() {
            return found;
        }
        request.page_token = page.next_page_token;
    }
}

/// Row "unknown identity".
#[tokio::test]
async fn strangers_get_404_and_are_listed_newest_first_until_they_are_registered() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for identity in ["CP1", "CP2", "CP 3/ä", "CP1"] {
        assert_eq!(
            refusal(&service, Offer::of(identity, "a password of its own")).await,
            Reason::NotFound
        );
    }
    let listed = unknown(&service).await;
    let seen: Vec<_> = listed.iter().map(|one| (one.identity.as_str(), one.attempts)).collect();
    assert_eq!(seen, [("CP1", 2), ("CP 3/ä", 1), ("CP2", 1)]);
    assert_eq!(listed[0].peer.as_deref(), Some("192.0.2.7:4711"));
    assert_eq!(listed[0].subprotocols, ["ocpp1.6"]);
    let password = service.register("CP1").await;
    assert_eq!(unknown(&service).await.len(), 2);
    Station::connect(&service, "CP1", &password).await;
}

/// Row "unknown identity": bounded.
#[tokio::test]
async fn a_flood_of_strangers_is_listed_in_part() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let fill = "INSERT INTO ocpp.unknown_charge_point (identity, first_seen_at, last_seen_at, subprotocols)
        SELECT 'X' || n, now(), now() - n * interval '1 second', '' FROM generate_series(1, 1000) AS n";
    sqlx::raw_sql(fill).execute(&service.pool).await.unwrap();
    let service = Arc::new(service);
    let mut flood = JoinSet::new();
    for lane in 0..8 {
        let service = Arc::clone(&service);
        flood.spawn(async move {
            for number in 0..50 {
                let identity = format!("CP{lane}-{number}");
                let refused = refusal(&service, Offer::of(&identity, "")).await;
                assert_eq!(refused, Reason::NotFound);
            }
        });
    }
    flood.join_all().await;
    let listed = unknown(&service).await;
    assert_eq!(listed.len(), 1000);
    // How many of them depends on how long the flood took (`strangers_are_noted_at_a_bounded_pace`).
    let noted = listed.iter().filter(|one| one.identity.starts_with("CP")).count();
    assert!(noted >= 50, "{noted}");
}

/// Row "unknown identity": `registration: accept-unknown`.
#[tokio::test]
async fn strangers_are_registered_with_what_they_bring_where_the_installation_says_so() {
    let database = Database::create().await;
    let accepting = charger_service::Settings {
        charger_accept_unknown: true,
        ..settings()
    };
    let service = Service::start_with(&database, accepting).await;
    let mut station = Station::connect(&service, "NEW", "what it brings").await;
    station.boot().await;
    assert_eq!(service.charge_point("NEW").await.security_profile, 1);
    assert_eq!(
        refusal(&service, Offer::of("NEW", "another")).await,
        Reason::StationUnauthorized
    );
    let without = Offer {
        authorization: None,
        ..Offer::of("LAB", "")
    };
    Station::open(&service, without).await.unwrap();
    assert_eq!(service.charge_point("LAB").await.security_profile, 0);
    let somebody_else = Offer {
        authorization: Some(basic("NEW", b"what it brings")),
        ..Offer::of("OTHER", "")
    };
    assert_eq!(refusal(&service, somebody_else).await, Reason::NotFound);
    assert_eq!(unknown(&service).await[0].identity, "OTHER");
}

/// Row "limits".
#[tokio::test]
async fn wrong_passwords_make_their_own_answers_slow_and_keep_nobody_out() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let (guessed, other) = (service.register("CP1").await, service.register("CP2").await);
    let began = Instant::now();
    for _ in 0..5 {
        assert_eq!(
            refusal(&service, Offer::of("CP1", "wrong")).await,
            Reason::StationUnauthorized
        );
    }
    // 100, 200, 400, 800 and 1600 milliseconds.
    assert!(began.elapsed() >= Duration::from_millis(3100), "{:?}", began.elapsed());
    let began = Instant::now();
    Station::connect(&service, "CP2", &other).await;
    Station::connect(&service, "CP1", &guessed).await;
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

/// Row "limits".
#[tokio::test]
async fn whoever_hangs_up_before_the_answer_is_counted_all_the_same() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    for _ in 0..10 {
        let attempt = refusal(&service, Offer::of("CP1", "wrong"));
        // Where there is an answer within the time, it is a refusal.
        let _ = tokio::time::timeout(Duration::from_millis(50), attempt).await;
    }
    eventually("nearly all are counted", async || {
        let attempts: Option<i32> = sqlx::query_scalar("SELECT max(attempts) FROM ocpp.refused_attempt")
            .fetch_one(&service.pool)
            .await
            .unwrap();
        // One or the other may have hung up before it was looked at.
        attempts >= Some(8)
    })
    .await;
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM ocpp.security_event")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert_eq!(events, 1);
}

/// Row "limits".
#[tokio::test]
async fn many_wrong_passwords_at_once_take_as_long_as_one_after_the_other_and_the_right_one_is_let_in() {
    let database = Database::create().await;
    let service = Arc::new(Service::start(&database).await);
    let password = service.register("CP1").await;
    let began = Instant::now();
    let mut guesses = JoinSet::new();
    for _ in 0..12 {
        let service = Arc::clone(&service);
        guesses.spawn(async move { refusal(&service, Offer::of("CP1", "wrong")).await });
    }
    while let Some(reason) = guesses.join_next().await {
        assert_eq!(reason.unwrap(), Reason::StationUnauthorized);
        if guesses.len() == 11 {
            let (asked, password) = (Instant::now(), password.as_str());
            Station::connect(&service, "CP1", password).await;
            assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        }
    }
    // The wait doubles up to five seconds, however many there are at once.
    assert!(began.elapsed() >= Duration::from_millis(4900), "{:?}", began.elapsed());
    // No more are kept than a few, so that they do not fill the database.
    let kept: Option<i32> = sqlx::query_scalar("SELECT max(attempts) FROM ocpp.refused_attempt")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert!(kept < Some(12), "{kept:?}");
}

/// Row "limits", and "limits per station" of the security page.
#[tokio::test]
async fn a_charge_point_that_floods_slows_itself_down_and_nobody_else() {
    let database = Database::create().await;
    let slow = charger_service::Settings {
        charger_messages_per_second: 5,
        ..settings()
    };
    let service = Service::start_with(&database, slow).await;
    let (first, second) = (service.register("CP1").await, service.register("CP2").await);
    let mut flooding = Station::connect(&service, "CP1", &first).await;
    let mut other = Station::connect(&service, "CP2", &second).await;
    let began = Instant::now();
    let flood = async {
        for _ in 0..65 {
            flooding.call("Heartbeat", json!({})).await;
        }
        began.elapsed()
    };
    let calm = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let began = Instant::now();
        other.call("Heartbeat", json!({})).await;
        began.elapsed()
    };
    let (flooded, calm) = tokio::join!(flood, calm);
    // Fifty at once, and then five in a second.
    assert!(flooded >= Duration::from_millis(2500), "{flooded:?}");
    assert!(calm < Duration::from_millis(1000), "{calm:?}");
}

/// Row "subprotocol".
#[tokio::test]
async fn a_pinned_subprotocol_is_the_only_one_that_is_taken() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let request = CreateChargePointRequest {
        identity: "CP1".to_owned(),
        subprotocol: Some("ocpp1.6".to_owned()),
        ..Default::default()
    };
    let created = service
        .charge_points()
        .create_charge_point(service.asks(request))
        .await
        .unwrap();
    let password = created.into_inner().password.unwrap();
    assert_eq!(
        service.charge_point("CP1").await.subprotocol.as_deref(),
        Some("ocpp1.6")
    );
    let offer = |subprotocols| Offer {
        subprotocols,
        ..Offer::of("CP1", &password)
    };
    let station = Station::open(&service, offer("ocpp2.0.1, ocpp1.6")).await.unwrap();
    assert_eq!(station.subprotocol, "ocpp1.6");
    assert_eq!(refusal(&service, offer("ocpp2.0.1")).await, Reason::NoCommonSubprotocol);
    let request = UpdateChargePointRequest {
        identity: "CP1".to_owned(),
        subprotocol: Some(String::new()),
        ..Default::default()
    };
    service
        .charge_points()
        .update_charge_point(service.asks(request))
        .await
        .unwrap();
    assert_eq!(service.charge_point("CP1").await.subprotocol, None);
}

/// Row "URL", and seen in the wild.
#[tokio::test]
async fn identities_may_have_spaces_slashes_and_accents_and_passwords_colons() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for identity in ["Säule 7/B", "a b c", "Ladepunkt é"] {
        let password = "pass:word:with:colons";
        let request = CreateChargePointRequest {
            identity: identity.to_owned(),
            password: Some(password.to_owned()),
            ..Default::default()
        };
        service
            .charge_points()
            .create_charge_point(service.asks(request))
            .await
            .unwrap();
        let mut station = Station::connect(&service, identity, password).await;
        station.boot().await;
        assert!(service.charge_point(identity).await.online);
    }
}

/// Seen in the wild: the same serial number on all stations of a lab.
#[tokio::test]
async fn charge_points_with_one_serial_number_are_told_apart_by_their_identities() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut stations = Vec::new();
    for identity in ["CP1", "CP2", "CP3"] {
        let password = service.register(identity).await;
        let mut station = Station::connect(&service, identity, &password).await;
        let boot = json!({"chargePointVendor": "Volt", "chargePointModel": "One", "chargePointSerialNumber": "0"});
        station.call("BootNotification", boot).await;
        stations.push(station);
    }
    for identity in ["CP1", "CP2", "CP3"] {
        let charge_point = service.charge_point(identity).await;
        assert!(charge_point.online);
        assert_eq!(charge_point.serial_number.as_deref(), Some("0"));
    }
    stations.pop().unwrap().hang_up().await;
    eventually("the third is gone", async || !service.charge_point("CP3").await.online).await;
    assert!(service.charge_point("CP1").await.online);
}

/// Row "HTTP binding".
#[tokio::test]
async fn a_frame_without_a_socket_follows_the_same_rules_and_leaves_the_socket_alone() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let password = service.register("CP1").await;
    service.register_token("TAG").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    station.boot().await;

    let exchange = async |password: &str, frame: String| station::exchange(&service, "CP1", password, &frame).await;
    let answer = exchange(&password, json!([2, "p1", "Heartbeat", {}]).to_string())
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with(r#"[3,"p1",{"currentTime":"#), "{answer}");
    let start = json!({"connectorId": 1, "idTag": "TAG", "meterStart": 100, "timestamp": "2026-03-01T12:00:00Z"});
    let frame = json!([2, "p2", "StartTransaction", start]).to_string();
    let answer = exchange(&password, frame.clone()).await.unwrap();
    assert_eq!(exchange(&password, frame).await.unwrap(), answer);
    assert_eq!(service.transactions_of("CP1").await.len(), 1);
    let refused = exchange(&password, json!([2, "p3", "Reset", {}]).to_string())
        .await
        .unwrap()
        .unwrap();
    assert!(refused.starts_with(r#"[4,"p3","NotSupported""#), "{refused}");
    for silent in [r#"[3,"p4",{}]"#, "no frame at all"] {
        assert_eq!(exchange(&password, silent.to_owned()).await.unwrap(), None);
    }
    let stranger = exchange("wrong", "[]".to_owned()).await.unwrap_err();
    assert_eq!(reason(&stranger), Reason::StationUnauthorized);

    station.call("Heartbeat", json!({})).await;
    assert!(service.charge_point("CP1").await.online);
    assert_eq!(service.messages("CP1").await.len(), 8);
    // Nobody is there who only posts.
    let password = service.register("CP2").await;
    station::exchange(&service, "CP2", &password, r#"[2,"1","Heartbeat",{}]"#)
        .await
        .unwrap();
    assert!(!service.charge_point("CP2").await.online);
}

/// Row "HTTP binding", and rate limits per station.
#[tokio::test]
async fn who_posts_too_fast_is_told_how_long_to_wait_whatever_others_do() {
    let database = Database::create().await;
    let slow = Settings {
        charger_messages_per_second: 1,
        ..settings()
    };
    let service = Service::start_with(&database, slow).await;
    let mut passwords = Vec::new();
    for identity in ["CP1", "CP2"] {
        passwords.push(service.register(identity).await);
    }
    let heartbeat = r#"[2,"1","Heartbeat",{}]"#;
    let mut answered = 0;
    let refused = loop {
        match station::exchange(&service, "CP1", &passwords[0], heartbeat).await {
            Ok(_) => answered += 1,
            Err(refused) => break refused,
        }
    };
    assert!((10..30).contains(&answered), "{answered}");
    assert_eq!(reason(&refused), Reason::TooManyRequests);
    let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait <= Duration::from_secs(1), "{wait:?}");
    station::exchange(&service, "CP2", &passwords[1], heartbeat)
        .await
        .unwrap();
}
