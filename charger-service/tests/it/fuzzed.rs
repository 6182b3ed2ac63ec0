//! Frames that are almost right: each CALL among them is answered once, with the code that its first fault deserves, and no
//! other charge point notices.

use std::path::Path;
use std::time::Duration;

use ocpp::frame::Frame;
use ocpp::v1_6::Action;
use ocpp::{ErrorCode, Message, Version, validate};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use service_kit::clock::Clock as _;
use testbed::Database;
use tokio_util::sync::CancellationToken;

use crate::service::{Service, settings};
use crate::station::Station;

const FRAMES: usize = 1500;

/// What is put in the place of some bytes.
const PIECES: [&str; 12] = [
    "", "\"", "null", "{}", "[]", "-1", "1e999", "\\u0000", "\\ud800", "\u{85}é", ",2", "\"x\":7,",
];

fn files(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/corpus")
        .join(target);
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// Frames as charge points send them, without their ids.
fn seeds() -> Vec<(String, String)> {
    let payloads = files("messages").into_iter().map(|file| {
        let action = Action::ALL[usize::from(file[0]) % Action::ALL.len()];
        let payload = String::from_utf8(file[1..].to_vec()).unwrap();
        ("[2,\"".to_owned(), format!("\",\"{}\",{payload}]", action.as_str()))
    });
    payloads
        .chain([("[2,\"".to_owned(), "\",\"Heartbeat\",{}]".to_owned())])
        .collect()
}

/// Each has an id of its own, unless that is what is changed.
fn almost_right(random: &mut StdRng, seeds: &[(String, String)], number: usize) -> String {
    let (before, after) = &seeds[random.random_range(0..seeds.len())];
    let mut frame = format!("{before}f{number}{after}").into_bytes();
    for _ in 0..random.random_range(0..4) {
        let at = random.random_range(0..frame.len());
        let end = (at + random.random_range(0..4)).min(frame.len());
        let piece = PIECES[random.random_range(0..PIECES.len())];
        frame.splice(at..end, piece.bytes());
    }
    String::from_utf8_lossy(&frame).into_owned()
}

/// The id that an answer is due to, and what the answer is where that is plain: a result, or an error with this code.
fn due(frame: &str) -> Option<(String, Option<Result<(), ErrorCode>>)> {
    match Frame::parse(frame) {
        Ok(Frame::Call(call)) => {
            let plain = match Action::parse(&call.action) {
                None => Some(Err(ErrorCode::NotImplemented)),
                Some(action) if !action.is_for_csms() => Some(Err(ErrorCode::NotSupported)),
                Some(action) if action.tolerates_violations() => None,
                Some(action) => {
                    let violations = validate(Version::V1_6, Message::Request(action.as_str()), call.payload);
                    Some(violations.first().map_or(Ok(()), |first| Err(first.error_code())))
                }
            };
            Some((call.id.into_owned(), plain))
        }
        Ok(Frame::CallResult(_) | Frame::CallError(_)) => None,
        Err(malformed) => {
            let (id, code) = malformed.call_to_refuse()?;
            Some((id.to_owned(), Some(Err(code))))
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_charge_point_sends_each_of_its_calls_is_answered_once_and_others_are_served_meanwhile() {
    let database = Database::create().await;
    let mut settings = settings();
    settings.charger_messages_per_second = 10_000;
    let service = Service::start_with(&database, settings).await;
    service.register_token("TAG").await;
    let mut stations = Vec::new();
    for identity in ["A", "B"] {
        let password = service.register(identity).await;
        let mut station = Station::connect(&service, identity, &password).await;
        station.boot().await;
        stations.push(station);
    }
    let (mut other, mut astray) = (stations.pop().unwrap(), stations.pop().unwrap());
    let done = CancellationToken::new();
    let end = done.clone();
    let heartbeats = tokio::spawn(async move {
        let mut answered = 0;
        while !end.is_cancelled() {
            // Fails where another answer comes, or none in time.
            other.call("Heartbeat", json!({})).await;
            answered += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        answered
    });

    let seed = service.clock.now().timestamp_micros().unsigned_abs();
    let mut random = StdRng::seed_from_u64(seed);
    let seeds = seeds();
    for number in 0..FRAMES {
        let frame = almost_right(&mut random, &seeds, number);
        astray.send(&frame).await;
        let Some((id, plain)) = due(&frame) else { continue };
        // The next thing that comes: nothing has been answered that should not be.
        let answer = astray.frame().await;
        assert_eq!(answer[1], json!(id), "seed {seed}: {answer} to {frame}");
        match plain {
            None => assert_ne!(answer[2], "InternalError", "seed {seed}: {frame}"),
            Some(Ok(())) => assert_eq!(answer[0], 3, "seed {seed}: {answer} to {frame}"),
            Some(Err(code)) => {
                assert_eq!(answer[0], 4, "seed {seed}: {answer} to {frame}");
                assert_eq!(answer[2], code.as_str(Version::V1_6), "seed {seed}: {frame}");
            }
        }
    }
    astray.call("Heartbeat", json!({})).await;
    assert_eq!(
        astray.acknowledged,
        astray.sent(),
        "seed {seed}: every frame is acknowledged"
    );
    done.cancel();
    assert!(heartbeats.await.unwrap() > 10);
}
