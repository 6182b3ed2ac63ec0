//! What lets charge points in where files are is nowhere once it was sent (rule 14 of the OCPP decisions).

use serde_json::{Value, json};
use testbed::Database;

use crate::state::connected;

const SECRET: &str = "do-not-keep-this";

/// What each message that says where a file is answers with.
fn messages() -> [(&'static str, Value, Value); 4] {
    let location = format!("ftp://station:{SECRET}@files.example.com/here");
    let firmware = json!({
        "location": location,
        "retrieveDateTime": "2026-03-01T12:00:00Z",
        "signingCertificate": "certificate",
        "signature": "signature",
    });
    let accepted = json!({"status": "Accepted"});
    let named = json!({"status": "Accepted", "filename": location});
    [
        (
            "UpdateFirmware",
            json!({"location": location, "retrieveDate": "2026-03-01T12:00:00Z"}),
            json!({}),
        ),
        (
            "GetDiagnostics",
            json!({"location": location}),
            json!({"fileName": location}),
        ),
        (
            "GetLog",
            json!({"log": {"remoteLocation": location}, "logType": "SecurityLog", "requestId": 1}),
            named,
        ),
        (
            "SignedUpdateFirmware",
            json!({"requestId": 2, "firmware": firmware}),
            accepted,
        ),
    ]
}

/// Rule 14.
#[tokio::test]
async fn what_lets_in_at_a_location_reaches_the_charge_point_and_stays_nowhere() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    for (action, payload, answer) in messages() {
        let command = service.exchange(&mut station, action, payload, answer).await;
        assert!(
            command.payload.contains("ftp://***@files.example.com/here"),
            "{command:?}"
        );
    }
    let jobs = service.jobs().await;
    assert_eq!(jobs.len(), 4);
    for job in jobs {
        assert_eq!(job.location.as_deref(), Some("ftp://***@files.example.com/here"));
        if job.kind != "firmware" {
            assert_eq!(job.file_name, job.location);
        }
    }
    let shown = service.messages("CP1").await;
    assert!(shown.iter().any(|message| message.request.contains("***@files")));
    let everything = service.everything_kept().await;
    assert!(everything.contains("***@files.example.com") && !everything.contains(SECRET));
}

/// Rule 14.
#[tokio::test]
async fn what_was_never_sent_and_what_is_repeated_in_an_error_stay_nowhere_either() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let token = format!("https://charge.example.com/ocpp/transfers/{SECRET}/");
    let sending = service.command("CP1", "GetDiagnostics", json!({"location": token}), 30);
    let (id, ..) = station.called().await;
    let error = json!([4, id, "GenericError", token, {"location": token}]);
    station.send(&error.to_string()).await;
    assert_eq!(sending.await.unwrap().unwrap().status, "error");
    for (action, payload, _) in messages() {
        let sending = service.command("CP1", action, payload, 30);
        let (id, ..) = station.called().await;
        let description = format!("ftp://station:{SECRET}@files.example.com/here is too long");
        let error = json!([4, id, "PropertyConstraintViolation", description, {"seen": SECRET}]);
        station.send(&error.to_string()).await;
        let command = sending.await.unwrap().unwrap();
        assert_eq!(command.error_code.as_deref(), Some("PropertyConstraintViolation"));
    }
    station.hang_up().await;
    let mut request = crate::service::Service::command_request("CP1", "GetDiagnostics", json!({"location": token}), 0);
    request.expires_in_seconds = Some(60);
    let queued = service.commands().send_command(service.asks(request)).await.unwrap();
    service.clock.advance(chrono::TimeDelta::seconds(61));
    crate::service::eventually("it expires", async || {
        service.get_command(&queued.get_ref().id).await.status == "expired"
    })
    .await;
    let everything = service.everything_kept().await;
    assert!(!everything.contains(SECRET));
}
