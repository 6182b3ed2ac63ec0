//! Frames on their way between station and service.

use std::time::Duration;

use tokio::time::timeout;
use yawc::frame::OpCode;
use yawc::{Frame, Options};

use crate::peers::Seen;
use crate::station::Station;
use crate::system::System;

#[tokio::test]
async fn text_goes_both_ways_in_order_and_unread() {
    let system = System::start().await;
    let mut station = Station::connect(&system, "/ocpp/CP-1").await;
    for number in 0..50 {
        station.say(&format!("not even JSON {number} ü")).await;
    }
    for number in 0..50 {
        assert_eq!(station.hear().await, format!("heard: not even JSON {number} ü"));
    }
}

/// Row "message size" of the OCPP decisions on framing.
#[tokio::test]
async fn a_message_of_a_mebibyte_passes() {
    let mut system = System::start().await;
    let mut station = Station::connect(&system, "/ocpp/CP-1").await;
    let large = "x".repeat(1024 * 1024);
    station.say(&large).await;
    let Seen::Open(..) = system.peers.next().await else {
        panic!("the stream was not opened")
    };
    let Seen::Frame(_, text) = system.peers.next().await else {
        panic!("the frame did not come")
    };
    assert_eq!(text.len(), large.len());
}

#[tokio::test]
async fn a_message_in_fragments_arrives_as_one() {
    let system = System::start().await;
    let mut station = Station::connect_with(
        &system,
        "/ocpp/CP-1",
        "Sec-WebSocket-Protocol: ocpp1.6\r\n",
        Options::default().with_max_fragment_size(3),
    )
    .await;
    station.say("in small pieces").await;
    assert_eq!(station.hear().await, "heard: in small pieces");
}

/// Row "compression" of the OCPP decisions on framing.
#[tokio::test]
async fn compression_is_agreed_on_without_keeping_a_dictionary() {
    let system = System::start().await;
    let headers =
        "Sec-WebSocket-Protocol: ocpp1.6\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
    let options = Options::default().with_low_latency_compression();
    let mut station = Station::connect_with(&system, "/ocpp/CP-1", headers, options).await;
    assert_eq!(
        station.answer.header("sec-websocket-extensions"),
        Some("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    );
    let text = "squeeze ".repeat(1000);
    for _ in 0..3 {
        station.say(&text).await;
        assert_eq!(station.hear().await, format!("heard: {text}"));
    }
}

#[tokio::test]
async fn a_ping_is_answered() {
    let system = System::start().await;
    let mut station = Station::connect(&system, "/ocpp/CP-1").await;
    station.send(Frame::ping("are you there")).await;
    let pong = station.next().await.unwrap();
    assert_eq!(
        (pong.opcode(), pong.payload().as_ref()),
        (OpCode::Pong, b"are you there".as_slice())
    );
}

#[tokio::test]
async fn a_slow_station_slows_the_service_down_and_loses_nothing() {
    let system = System::start().await;
    let mut station = Station::connect(&system, "/ocpp/CP-1").await;
    station.say("talk much").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    for number in 0..1000 {
        assert_eq!(station.hear().await, number.to_string());
    }
}

#[tokio::test]
async fn a_slow_service_slows_the_station_down() {
    let system = System::start().await;
    let mut station = Station::connect(&system, "/ocpp/CP-1").await;
    station.say("stop reading").await;
    let mut sent = 0;
    let frame = || Frame::text("x".repeat(512 * 1024));
    while timeout(Duration::from_millis(500), station.try_send(frame()))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 100, "the gateway takes everything, whatever the service does");
    }
}
