//! Jobs of the security extension, which have numbers (rule 14 of the OCPP decisions; L01, N01).

use serde_json::{Value, json};
use testbed::Database;

use crate::service::eventually;
use crate::state::connected;

fn get_log(request_id: i32) -> Value {
    let log = json!({"remoteLocation": "https://example.com/logs"});
    json!({"log": log, "logType": "DiagnosticsLog", "requestId": request_id})
}

fn update(request_id: i32) -> Value {
    let firmware = json!({
        "location": "https://example.com/f.bin",
        "retrieveDateTime": "2026-03-01T12:00:00Z",
        "signingCertificate": "certificate",
        "signature": "signature",
    });
    json!({"requestId": request_id, "firmware": firmware})
}

/// Rule 14.
#[tokio::test]
async fn a_notification_joins_the_job_of_its_number_and_one_without_the_latest() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let accepted = json!({"status": "Accepted", "filename": "a.log"});
    for number in [1, 2] {
        service
            .exchange(&mut station, "GetLog", get_log(number), accepted.clone())
            .await;
    }
    for (status, number) in [
        ("Uploading", Some(1)),
        ("Uploading", None),
        ("Uploaded", Some(1)),
        ("UploadFailure", Some(2)),
    ] {
        let mut payload = json!({ "status": status });
        if let Some(number) = number {
            payload["requestId"] = json!(number);
        }
        assert_eq!(station.call("LogStatusNotification", payload).await, json!({}));
    }
    let jobs = service.jobs().await;
    let said: Vec<_> = jobs
        .iter()
        .map(|job| (job.request_id, job.status.as_str(), job.progress.as_deref()))
        .collect();
    assert_eq!(
        said,
        [
            (Some(2), "failed", Some("UploadFailure")),
            (Some(1), "completed", Some("Uploaded")),
        ]
    );
    assert_eq!(jobs[0].notifications.len(), 2);
    assert_eq!(
        (jobs[0].kind.as_str(), jobs[0].file_name.as_deref()),
        ("log", Some("a.log"))
    );
}

/// Rule 14.
#[tokio::test]
async fn a_newer_job_may_cancel_the_one_before_and_a_bad_certificate_ends_its_own() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let answer = |status: &str| json!({ "status": status });
    for (number, status) in [
        (1, "Accepted"),
        (2, "AcceptedCanceled"),
        (3, "InvalidCertificate"),
        (4, "RevokedCertificate"),
    ] {
        service
            .exchange(&mut station, "SignedUpdateFirmware", update(number), answer(status))
            .await;
    }
    let statuses: Vec<_> = service
        .jobs()
        .await
        .into_iter()
        .map(|job| (job.status, job.progress))
        .collect();
    let told = |status: &str, progress: Option<&str>| (status.to_owned(), progress.map(str::to_owned));
    assert_eq!(
        statuses,
        [
            told("rejected", Some("RevokedCertificate")),
            told("rejected", Some("InvalidCertificate")),
            told("accepted", None),
            told("canceled", None),
        ]
    );
    for status in ["Downloading", "SignatureVerified", "InvalidSignature"] {
        let payload = json!({"status": status, "requestId": 2});
        assert_eq!(
            station.call("SignedFirmwareStatusNotification", payload).await,
            json!({})
        );
    }
    let job = service.jobs().await.remove(2);
    assert_eq!((job.status.as_str(), job.notifications.len()), ("failed", 3));
}

/// Rule 14: the earlier one was never heard of since it was asked for.
#[tokio::test]
async fn a_job_that_waits_for_an_answer_is_cancelled_too_and_a_late_word_does_not_bring_it_back() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let unanswered = service.command("CP1", "GetLog", get_log(1), 0).await.unwrap().unwrap();
    station.called().await;
    eventually("the command times out", async || {
        service.get_command(&unanswered.id).await.status == "timeout"
    })
    .await;
    assert_eq!(service.jobs().await[0].status, "requested");
    service
        .exchange(
            &mut station,
            "GetLog",
            get_log(2),
            json!({"status": "AcceptedCanceled", "filename": "b.log"}),
        )
        .await;
    for (status, number) in [
        ("Uploading", Some(1)),
        ("UploadFailure", Some(1)),
        // Of the one that goes on, since nobody says which.
        ("Uploading", None),
    ] {
        let mut payload = json!({ "status": status });
        if let Some(number) = number {
            payload["requestId"] = json!(number);
        }
        station.call("LogStatusNotification", payload).await;
    }
    let jobs = service.jobs().await;
    let said: Vec<_> = jobs
        .iter()
        .map(|job| (job.request_id, job.status.as_str(), job.notifications.len()))
        .collect();
    assert_eq!(said, [(Some(2), "running", 1), (Some(1), "canceled", 2)]);
}

/// Rule 14.
#[tokio::test]
async fn a_word_that_names_no_job_is_not_about_one_that_was_cancelled() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service
        .exchange(&mut station, "GetLog", get_log(1), json!({"status": "Accepted"}))
        .await;
    sqlx::raw_sql("UPDATE ocpp.job SET status = 'canceled'")
        .execute(&service.pool)
        .await
        .unwrap();
    station
        .call("LogStatusNotification", json!({"status": "Uploading"}))
        .await;
    let jobs = service.jobs().await;
    let statuses: Vec<_> = jobs.iter().map(|job| job.status.as_str()).collect();
    assert_eq!(statuses, ["running", "canceled"]);
}

/// Rule 14.
#[tokio::test]
async fn a_job_ends_with_its_command_where_the_answer_cannot_be_read() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    for (action, payload) in [("GetLog", get_log(1)), ("SignedUpdateFirmware", update(2))] {
        let command = service
            .exchange(&mut station, action, payload, json!({"filename": "a.log"}))
            .await;
        assert_eq!(command.status, "error");
        assert_eq!(service.jobs().await[0].status, "rejected", "{action}");
    }
}
