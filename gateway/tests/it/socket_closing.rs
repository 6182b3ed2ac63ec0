//! How sockets end, and what each side learns of it.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;
use yawc::Frame;
use yawc::close::CloseCode;
use yawc::frame::OpCode;

use crate::station::{Station, UPGRADE, knock};
use crate::system::System;

async fn connected() -> (System, Station) {
    let system = System::start().await;
    let mut station = Station::connect(&system, "/ocpp/CP-1").await;
    station.say("hello").await;
    assert_eq!(station.hear().await, "heard: hello");
    (system, station)
}

#[tokio::test]
async fn the_service_learns_with_which_code_the_station_closed() {
    let (mut system, mut station) = connected().await;
    station.send(Frame::close(CloseCode::Away, "powering off")).await;
    assert_eq!(system.peers.closed().await, (1001, "powering off".into()));
    // The close frame comes back (RFC 6455, section 5.5.1).
    assert_eq!(station.closed().await.0, 1001);
}

/// Seen in the wild.
#[tokio::test]
async fn a_close_without_a_code_is_1005() {
    let (mut system, mut station) = connected().await;
    station.send(Frame::from((OpCode::Close, ""))).await;
    assert_eq!(system.peers.closed().await, (1005, String::new()));
}

/// Seen in the wild.
#[tokio::test]
async fn a_connection_that_is_lost_is_1006() {
    let (mut system, station) = connected().await;
    station.vanish();
    assert_eq!(system.peers.closed().await, (1006, String::new()));
}

#[tokio::test]
async fn the_last_words_of_a_station_arrive_before_its_close() {
    let (mut system, mut station) = connected().await;
    station.say("stop transaction").await;
    station.vanish();
    loop {
        match system.peers.next().await {
            crate::peers::Seen::Frame(_, text) if text == "stop transaction" => break,
            crate::peers::Seen::Closed(_) => panic!("the close came first"),
            _ => {}
        }
    }
    assert_eq!(system.peers.closed().await.0, 1006);
}

/// Row "close codes" of the OCPP decisions on framing.
#[tokio::test]
async fn the_service_closes_with_a_code_of_its_own() {
    let (_system, mut station) = connected().await;
    station.say("close me").await;
    assert_eq!(station.closed().await, (1008, "Superseded".into()));
}

/// Rule 1 of the OCPP decisions: the stop of a charge on the old socket, as it dies, is true.
#[tokio::test]
async fn what_a_station_says_before_it_hears_that_it_was_superseded_reaches_the_service() {
    let (mut system, mut station) = connected().await;
    for words in ["close me and listen", "stop transaction", "and once more"] {
        station.say(words).await;
    }
    assert_eq!(station.closed().await.0, 1008);
    let mut heard = Vec::new();
    while heard.last().is_none_or(|text| text != "and once more") {
        heard.push(system.peers.frame().await.1);
    }
    assert_eq!(heard[1..], ["close me and listen", "stop transaction", "and once more"]);
    assert_eq!(system.peers.closed().await.0, 1008);
}

#[tokio::test]
async fn a_service_that_ends_or_fails_and_cannot_resume_is_1012() {
    for last in ["end", "fail"] {
        let system = System::start().await;
        let mut station = Station::connect(&system, "/ocpp/forgetful").await;
        station.say(last).await;
        assert_eq!(station.closed().await.0, 1012, "{last}");
    }
}

#[tokio::test]
async fn a_service_that_crashes_and_cannot_resume_is_1012() {
    let mut system = System::start().await;
    let mut station = Station::connect(&system, "/ocpp/forgetful").await;
    system.peers.crash();
    assert_eq!(station.closed().await.0, 1012);
}

/// Row "message size" of the OCPP decisions on framing.
#[tokio::test]
async fn a_message_that_is_too_large_is_1009() {
    for size in [1024 * 1024 + 1, 3 * 1024 * 1024] {
        let (mut system, mut station) = connected().await;
        station.try_send(Frame::text("x".repeat(size))).await.unwrap();
        assert_eq!(station.closed().await.0, 1009, "{size}");
        assert_eq!(system.peers.closed().await.0, 1009);
    }
}

/// Row "message size" of the OCPP decisions on framing.
#[tokio::test]
async fn a_message_that_is_too_large_in_fragments_is_1009() {
    let (mut system, mut station) = connected().await;
    let piece = "x".repeat(400 * 1024);
    station
        .try_send(Frame::text(piece.clone()).with_fin(false))
        .await
        .unwrap();
    station
        .try_send(Frame::continuation(piece.clone()).with_fin(false))
        .await
        .unwrap();
    station.try_send(Frame::continuation(piece)).await.unwrap();
    assert_eq!(station.closed().await.0, 1009);
    assert_eq!(system.peers.closed().await.0, 1009);
}

#[tokio::test]
async fn a_binary_frame_is_1003() {
    let (mut system, mut station) = connected().await;
    station.send(Frame::binary(vec![1, 2, 3])).await;
    assert_eq!(station.closed().await, (1003, "Only text frames are taken".into()));
    assert_eq!(system.peers.closed().await.0, 1003);
}

#[tokio::test]
async fn text_that_is_not_utf8_is_1007() {
    let (mut system, mut station) = connected().await;
    station.send(Frame::text(vec![0xff, 0xfe])).await;
    assert_eq!(station.closed().await.0, 1007);
    assert_eq!(system.peers.closed().await.0, 1007);
}

/// Row "close codes" of the OCPP decisions on framing.
#[tokio::test]
async fn a_frame_that_breaks_the_protocol_is_1002() {
    let mut system = System::start().await;
    let (answer, mut stream) = knock(
        &system,
        "/ocpp/CP-1",
        &format!("{UPGRADE}Sec-WebSocket-Protocol: ocpp1.6\r\n"),
    )
    .await;
    assert_eq!(answer.status, 101);
    // A station masks what it sends (RFC 6455, section 5.1); this text is not masked.
    stream.write_all(b"\x81\x02hi").await.unwrap();
    assert_eq!(system.peers.closed().await.0, 1002);
    let mut last = Vec::new();
    stream.read_to_end(&mut last).await.unwrap();
    assert_eq!((last[0], &last[2..4]), (0x88, &1002_u16.to_be_bytes()[..]));
}

/// Row "close codes" of the OCPP decisions on framing.
#[tokio::test]
async fn when_the_gateway_stops_sockets_close_with_1012() {
    let (mut system, mut station) = connected().await;
    let started = Instant::now();
    let (code, ()) = tokio::join!(async { station.closed().await.0 }, system.shut_down());
    assert_eq!(code, 1012);
    assert_eq!(system.peers.closed().await.0, 1012);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

/// Row "ping" of the OCPP decisions on framing.
#[tokio::test]
async fn a_station_that_answers_pings_stays_and_a_silent_one_is_closed() {
    let mut system = System::start_with(&["--gateway-ping-seconds=1"]).await;
    let mut awake = Station::connect(&system, "/ocpp/awake").await;
    let silent = Station::connect(&system, "/ocpp/silent").await;
    let listening = async {
        let started = Instant::now();
        let mut pings = 0;
        while started.elapsed() < Duration::from_secs(6) {
            pings += u32::from(awake.next().await.unwrap().opcode() == OpCode::Ping);
        }
        pings
    };
    let (pings, closed) = tokio::join!(listening, system.peers.closed());
    assert!(pings >= 4, "{pings}");
    assert_eq!(closed, (1006, "Silence".into()));
    awake.say("still here").await;
    assert_eq!(awake.hear().await, "heard: still here");
    drop(silent);
}
