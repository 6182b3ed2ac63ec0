//! A service with several replicas: who is called, what becomes of a replica that fails, and how much may be under way.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use crate::peers::Peers;
use crate::station::Station;
use crate::system::{PATIENCE, System, read, token};

/// A gateway in front of two replicas, and the second of them; the first is the system's own.
async fn two_replicas() -> (System, Peers) {
    let (first, second) = (Peers::start().await, Peers::start().await);
    let replicas = format!("http://{}|http://{}", first.address, second.address);
    let upstreams = ["auth", "ocpp", "email"]
        .map(|name| format!("{name}={replicas}"))
        .join(",");
    let system = System::in_front_of(first, &[&format!("--gateway-upstreams={upstreams}")]).await;
    (system, second)
}

async fn sign_up(system: &System) -> u16 {
    let request = system.post("/auth/signup").json(&json!({"username": "ada"}));
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn calls_go_to_all_replicas() {
    let (mut system, mut second) = two_replicas().await;
    for _ in 0..40 {
        assert_eq!(sign_up(&system).await, 201);
    }
    let (here, there) = (system.peers.calls(), second.calls());
    assert_eq!(here + there, 40);
    assert!(here > 0 && there > 0, "{here} and {there}");
}

#[tokio::test]
async fn what_was_never_sent_goes_to_the_replica_that_is_left() {
    let (system, mut second) = two_replicas().await;
    second.crash();
    let started = Instant::now();
    // A POST that is not idempotent, and sockets as well.
    for _ in 0..20 {
        assert_eq!(sign_up(&system).await, 201);
    }
    for number in 0..20 {
        Station::connect(&system, &format!("/ocpp/CP-{number}")).await;
    }
    assert!(started.elapsed() < PATIENCE, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_replica_that_comes_back_is_called_again() {
    let (system, mut second) = two_replicas().await;
    let address = second.address.to_string();
    second.crash();
    for _ in 0..10 {
        assert_eq!(sign_up(&system).await, 201);
    }
    let mut second = Peers::start_at(&address, None).await;
    let called = async {
        while second.calls() == 0 {
            assert_eq!(sign_up(&system).await, 201);
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, called).await.expect("the replica to be back");
}

#[tokio::test]
async fn an_idempotent_call_that_breaks_off_is_made_again_at_the_other_replica() {
    let (mut system, mut second) = two_replicas().await;
    let request = system
        .get("/ocpp/charge-points/hangs-once/commands")
        .header("x-request-id", "breaks off once")
        .bearer_auth(token(&["operator"]));
    let waiting = tokio::spawn(request.send());
    // The access layer of the services asks for keys first, which is a call as well.
    let crashed = async {
        loop {
            for peers in [&mut system.peers, &mut second] {
                if peers.calls() > 0 {
                    peers.crash();
                    return;
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, crashed).await.expect("a replica to be asked");
    assert_eq!(waiting.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_call_that_is_not_idempotent_is_not_made_twice() {
    let (mut system, mut second) = two_replicas().await;
    let waiting = tokio::spawn(system.post("/auth/signup").json(&json!({"username": "slow"})).send());
    let other = async {
        loop {
            if system.peers.calls() > 0 {
                system.peers.crash();
                return &mut second;
            }
            if second.calls() > 0 {
                second.crash();
                return &mut system.peers;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let other = timeout(PATIENCE, other).await.expect("a replica to be asked");
    assert_eq!(waiting.await.unwrap().unwrap().status(), 503);
    assert_eq!(other.calls(), 0);
}

#[tokio::test]
async fn a_hundred_sockets_open_at_once_where_a_connection_carries_ten() {
    let peers = Peers::start_at("127.0.0.1:0", Some(10)).await;
    let system = System::in_front_of(peers, &[]).await;
    let stations = (0..100).map(|number| {
        let system = &system;
        async move {
            let mut station = Station::connect(system, &format!("/ocpp/CP-{number}")).await;
            station.say("hello").await;
            assert_eq!(station.hear().await, "heard: hello");
            station
        }
    });
    // Each has to answer while all the others are there.
    let stations = timeout(PATIENCE, join_all(stations))
        .await
        .expect("none to wait for another");
    assert_eq!(stations.len(), 100);
    // Calls have connections of their own.
    assert_eq!(sign_up(&system).await, 201);
}

#[tokio::test]
async fn calls_beyond_the_bound_are_shed_at_once_but_health_and_sockets_are_not() {
    let mut system = System::start_with(&["--gateway-max-calls=1"]).await;
    let waiting = tokio::spawn(system.post("/auth/signup").json(&json!({"username": "slow"})).send());
    system.peers.metadata().await;
    let shed = read(
        system
            .post("/auth/signup")
            .json(&json!({"username": "ada"}))
            .send()
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(
        (&shed["status"], &shed["retry-after"]),
        (&json!(503), &json!("1")),
        "{shed}"
    );
    assert_eq!(shed["body"]["reason"], "OVERLOADED");
    let health = read(system.get("/health").send().await.unwrap()).await;
    assert_eq!(health["body"]["services"]["auth"], "SERVING");
    Station::connect(&system, "/ocpp/CP-1").await;
    assert!(!waiting.is_finished());
    waiting.abort();
    // The place is free as soon as its caller has gone.
    let free = async {
        while sign_up(&system).await != 201 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, free).await.expect("the place to be free again");
}

#[tokio::test]
async fn a_name_stands_for_its_addresses() {
    let peers = Peers::start().await;
    let port = peers.address.port();
    let upstreams = ["auth", "ocpp", "email"]
        .map(|name| format!("{name}=http://localhost:{port}"))
        .join(",");
    let system = System::in_front_of(peers, &[&format!("--gateway-upstreams={upstreams}")]).await;
    assert_eq!(sign_up(&system).await, 201);
}
