//! A socket outlives the service behind it.

use std::time::Duration;

use tokio::time::timeout;
use yawc::Frame;

use crate::conversation::TOKEN;
use crate::station::Station;
use crate::system::System;

async fn connected(flags: &[&str]) -> (System, Station) {
    let mut system = System::start_with(flags).await;
    let mut station = Station::connect(&system, "/ocpp/CP-1").await;
    station.say("hello").await;
    assert_eq!(station.hear().await, "heard: hello");
    assert_eq!(system.peers.opened().await.resumption, None);
    (system, station)
}

#[tokio::test]
async fn a_socket_outlives_a_service_that_crashes() {
    let (mut system, mut station) = connected(&[]).await;
    system.peers.crash();
    station.say("is anybody there?").await;
    system.peers.come_back().await;
    assert_eq!(station.hear().await, "heard: is anybody there?");

    let opened = system.peers.opened().await;
    assert_eq!(opened.identity, "CP-1");
    let resumption = opened.resumption.unwrap();
    assert_eq!((resumption.token.as_str(), resumption.received), (TOKEN, 1));
    station.say("good").await;
    assert_eq!(station.hear().await, "heard: good");
}

#[tokio::test]
async fn what_was_not_acknowledged_is_sent_again_and_nothing_else() {
    let (mut system, mut station) = connected(&[]).await;
    assert_eq!(system.peers.frame().await, (1, "hello".into()));
    station.say("keep quiet").await;
    assert_eq!(system.peers.frame().await, (2, "keep quiet".into()));
    system.peers.crash();
    system.peers.come_back().await;
    assert_eq!(system.peers.opened().await.resumption.unwrap().sent, 2);
    assert_eq!(system.peers.frame().await, (2, "keep quiet".into()));
    station.say("now speak").await;
    assert_eq!(system.peers.frame().await, (3, "now speak".into()));
    assert_eq!(station.hear().await, "heard: now speak");
}

#[tokio::test]
async fn a_stream_that_ends_or_fails_is_taken_up_again() {
    for last in ["end", "fail"] {
        let (_system, mut station) = connected(&[]).await;
        station.say(last).await;
        station.say("and then").await;
        assert_eq!(station.hear().await, "heard: and then", "{last}");
    }
}

#[tokio::test]
async fn a_replica_that_leaves_is_given_nothing_more() {
    let (mut system, mut station) = connected(&[]).await;
    station.say("leave").await;
    // The peer ends its stream when the gateway has ended its side of it.
    let resumption = system.peers.opened().await.resumption.unwrap();
    assert_eq!((resumption.received, resumption.sent), (1, 2));
    station.say("hello again").await;
    assert_eq!(system.peers.frame().await, (3, "hello again".into()));
    assert_eq!(station.hear().await, "heard: hello again");
}

#[tokio::test]
async fn a_session_that_is_over_closes_its_socket() {
    let mut system = System::start().await;
    let mut station = Station::connect(&system, "/ocpp/replaced").await;
    station.say("hello").await;
    assert_eq!(station.hear().await, "heard: hello");
    system.peers.crash();
    system.peers.come_back().await;
    assert_eq!(
        station.closed().await,
        (1008, "A newer connection has taken over".into())
    );
}

#[tokio::test]
async fn a_socket_that_no_replica_takes_over_in_time_is_closed_with_1012() {
    let (mut system, mut station) = connected(&["--gateway-resume-seconds=1"]).await;
    system.peers.crash();
    assert_eq!(station.closed().await.0, 1012);
}

#[tokio::test]
async fn what_a_station_said_before_it_left_is_told_when_the_service_is_back() {
    let (mut system, mut station) = connected(&[]).await;
    system.peers.crash();
    station.say("stop transaction").await;
    station.vanish();
    tokio::time::sleep(Duration::from_millis(300)).await;
    system.peers.come_back().await;
    assert_eq!(system.peers.opened().await.resumption.unwrap().token, TOKEN);
    assert_eq!(system.peers.frame().await, (2, "stop transaction".into()));
    assert_eq!(system.peers.closed().await.0, 1006);
}

#[tokio::test]
async fn a_station_that_says_much_while_no_service_is_there_is_held_back() {
    let (mut system, mut station) = connected(&[]).await;
    system.peers.crash();
    let long = "x".repeat(512 * 1024);
    let mut said = 0;
    while timeout(Duration::from_secs(2), station.try_send(Frame::text(long.clone())))
        .await
        .is_ok()
    {
        said += 1;
        assert!(said < 100, "it is never held back");
    }
}
