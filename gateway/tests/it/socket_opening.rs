//! The station's door: who gets in, and what the others read.

use insta::assert_snapshot;
use yawc::Options;

use crate::peers::Seen;
use crate::station::{Answer, Station, UPGRADE, knock};
use crate::system::System;

const OCPP16: &str = "Sec-WebSocket-Protocol: ocpp1.6\r\n";

/// An answer without what changes from run to run.
fn shown(answer: &Answer) -> String {
    let head: Vec<_> = answer
        .head
        .lines()
        .filter(|line| !line.to_ascii_lowercase().starts_with("date:"))
        .collect();
    format!("{}{}", head.join("\n"), answer.body)
}

async fn refusal(path: &str, headers: &str) -> String {
    let system = System::start().await;
    let (answer, _) = knock(&system, path, headers).await;
    shown(&answer)
}

/// Row "unknown identity" of the OCPP decisions on framing.
#[tokio::test]
async fn an_unknown_charge_point_is_refused_before_there_is_a_socket() {
    assert_snapshot!(refusal("/ocpp/unknown", &format!("{UPGRADE}{OCPP16}")).await);
}

#[tokio::test]
async fn a_charge_point_without_its_password_is_asked_for_it() {
    assert_snapshot!(refusal("/ocpp/locked", &format!("{UPGRADE}{OCPP16}")).await);
}

/// Row "subprotocol" of the OCPP decisions on framing.
#[tokio::test]
async fn without_a_common_subprotocol_there_is_no_socket() {
    assert_snapshot!(refusal("/ocpp/CP-1", &format!("{UPGRADE}Sec-WebSocket-Protocol: ocpp9.9\r\n")).await);
}

#[tokio::test]
async fn without_an_upgrade_the_answer_is_426() {
    assert_snapshot!(refusal("/ocpp/CP-1", "").await);
}

#[tokio::test]
async fn another_version_of_the_protocol_is_told_ours() {
    let system = System::start().await;
    let old = UPGRADE.replace("Version: 13", "Version: 8");
    let (answer, _) = knock(&system, "/ocpp/CP-1", &format!("{old}{OCPP16}")).await;
    assert_eq!(
        (answer.status, answer.header("sec-websocket-version")),
        (426, Some("13"))
    );
}

#[tokio::test]
async fn a_handshake_without_a_key_is_refused() {
    let system = System::start().await;
    let keyless = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    assert_eq!(
        knock(&system, "/ocpp/CP-1", &format!("{keyless}{OCPP16}"))
            .await
            .0
            .status,
        400
    );
}

#[tokio::test]
async fn a_foreign_web_page_cannot_connect() {
    let system = System::start_with(&["--gateway-allowed-origins=https://console.example"]).await;
    let connect = async |origin: &str| {
        knock(&system, "/ocpp/CP-1", &format!("{UPGRADE}{OCPP16}Origin: {origin}\r\n"))
            .await
            .0
            .status
    };
    assert_eq!(connect("https://evil.example").await, 403);
    assert_eq!(connect("https://console.example").await, 101);
    assert_eq!(connect(&format!("http://{}", system.address)).await, 101);
}

/// Row "subprotocol" of the OCPP decisions on framing.
#[tokio::test]
async fn the_chosen_subprotocol_is_echoed_and_the_service_knows_who_knocks() {
    let mut system = System::start().await;
    let headers = "Sec-WebSocket-Protocol: ocpp2.0.1\r\nSec-WebSocket-Protocol: ocpp1.6\r\n\
         Authorization: Basic bG9ja2VkOnB3\r\nVoltgate-Peer: 1.2.3.4\r\n";
    let station = Station::connect_with(&system, "/ocpp/D%C3%A9p%C3%B4t%2F1", headers, Options::default()).await;
    assert_eq!(station.answer.header("sec-websocket-protocol"), Some("ocpp1.6"));
    assert_eq!(
        station.answer.header("sec-websocket-accept"),
        Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
    );
    let Seen::Open(open, metadata) = system.peers.next().await else {
        panic!("the stream was not opened")
    };
    assert_eq!(open.identity, "Dépôt/1");
    let metadata = metadata.into_headers();
    assert_eq!(metadata["voltgate-subprotocols"], "ocpp2.0.1, ocpp1.6");
    assert_eq!(metadata["voltgate-authorization"], "Basic bG9ja2VkOnB3");
    assert_eq!(metadata["voltgate-peer"], "127.0.0.1");
    assert_eq!(metadata["x-request-id"], "the-test");
    assert!(metadata["authorization"].to_str().unwrap().starts_with("Bearer "));
}

#[tokio::test]
async fn without_the_service_there_is_no_socket() {
    let mut system = System::start().await;
    system.peers.crash();
    let (answer, _) = knock(&system, "/ocpp/CP-1", &format!("{UPGRADE}{OCPP16}")).await;
    assert_eq!(answer.status, 503);
}
