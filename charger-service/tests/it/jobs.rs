//! What takes a charge point longer than an answer. Rule 14 of the OCPP decisions.

use serde_json::{Value, json};
use testbed::Database;
use voltgate_proto::ocpp::v1::Job;

use crate::state::connected;
use crate::station::Station;

fn update() -> Value {
    json!({"location": "ftp://user:secret@example.com/f.bin", "retrieveDate": "2026-03-01T12:00:00Z"})
}

async fn notify(station: &mut Station, statuses: &[&str]) {
    for status in statuses {
        let answer = station
            .call("FirmwareStatusNotification", json!({"status": status}))
            .await;
        assert_eq!(answer, json!({}));
    }
}

fn said(job: &Job) -> Vec<&str> {
    job.notifications.iter().map(|one| one.status.as_str()).collect()
}

/// Rule 14.
#[tokio::test]
async fn a_firmware_update_is_followed_from_the_command_to_its_end() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let command = service
        .exchange(&mut station, "UpdateFirmware", update(), json!({}))
        .await;
    let accepted = service.jobs().await.remove(0);
    assert_eq!(
        (accepted.status.as_str(), accepted.kind.as_str()),
        ("accepted", "firmware")
    );
    assert_eq!(accepted.command_id.as_deref(), Some(command.id.as_str()));
    assert_eq!(accepted.location.as_deref(), Some("ftp://***@example.com/f.bin"));
    notify(
        &mut station,
        &[
            "Downloading",
            "DownloadFailed",
            "Downloading",
            "Downloaded",
            "Installing",
        ],
    )
    .await;
    let running = service.jobs().await.remove(0);
    assert_eq!(
        (running.status.as_str(), running.progress.as_deref()),
        ("running", Some("Installing"))
    );
    notify(&mut station, &["Installed", "Installed", "Idle"]).await;
    let jobs = service.jobs().await;
    assert_eq!((jobs.len(), jobs[0].status.as_str()), (1, "completed"));
    assert_eq!(
        said(&jobs[0]),
        [
            "Downloading",
            "DownloadFailed",
            "Downloading",
            "Downloaded",
            "Installing",
            "Installed",
            "Installed",
            "Idle"
        ]
    );
}

/// Rule 14.
#[tokio::test]
async fn diagnostics_have_the_name_that_the_charge_point_gives_them() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let request = json!({"location": "https://example.com/upload", "retries": 2});
    service
        .exchange(
            &mut station,
            "GetDiagnostics",
            request.clone(),
            json!({"fileName": "diag.zip"}),
        )
        .await;
    for status in ["Uploading", "UploadFailed"] {
        station
            .call("DiagnosticsStatusNotification", json!({"status": status}))
            .await;
    }
    // Of another kind, and thus of another job.
    notify(&mut station, &["Downloading"]).await;
    let jobs = service.jobs().await;
    assert_eq!(
        (jobs[1].kind.as_str(), jobs[1].file_name.as_deref()),
        ("diagnostics", Some("diag.zip"))
    );
    assert_eq!(
        (jobs[1].status.as_str(), said(&jobs[1])),
        ("failed", vec!["Uploading", "UploadFailed"])
    );
    // Nothing to upload.
    service
        .exchange(&mut station, "GetDiagnostics", request, json!({}))
        .await;
    let job = service.jobs().await.remove(0);
    assert_eq!((job.status.as_str(), job.file_name), ("accepted", None));
}

/// Rule 14.
#[tokio::test]
async fn a_notification_without_a_job_is_of_one_that_began_at_the_charge_point() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    notify(&mut station, &["Idle"]).await;
    assert!(service.jobs().await.is_empty());
    notify(&mut station, &["Downloading", "Downloaded", "Installed"]).await;
    notify(&mut station, &["Downloading"]).await;
    let jobs = service.jobs().await;
    assert_eq!(
        jobs.iter().map(|job| job.status.as_str()).collect::<Vec<_>>(),
        ["running", "completed"]
    );
    assert!(
        jobs.iter()
            .all(|job| job.command_id.is_none() && job.location.is_none())
    );
}

/// Rule 14.
#[tokio::test]
async fn a_charge_point_that_begins_before_it_answers_is_followed_as_well() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let sending = service.command("CP1", "UpdateFirmware", update(), 30);
    let (id, ..) = station.called().await;
    assert_eq!(service.jobs().await[0].status, "requested");
    notify(&mut station, &["Downloading"]).await;
    station.answer(&id, json!({})).await;
    sending.await.unwrap().unwrap();
    let jobs = service.jobs().await;
    assert_eq!(
        (jobs.len(), jobs[0].status.as_str(), said(&jobs[0])),
        (1, "running", vec!["Downloading"])
    );
}

/// Rule 14.
#[tokio::test]
async fn a_job_that_was_refused_is_none_that_a_notification_is_about() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let sending = service.command("CP1", "UpdateFirmware", update(), 30);
    let (id, ..) = station.called().await;
    station.send(&json!([4, id, "NotSupported", "", {}]).to_string()).await;
    assert_eq!(sending.await.unwrap().unwrap().status, "error");
    assert_eq!(service.jobs().await[0].status, "rejected");
    notify(&mut station, &["Installed"]).await;
    let jobs = service.jobs().await;
    assert_eq!(
        jobs.iter().map(|job| job.status.as_str()).collect::<Vec<_>>(),
        ["completed", "rejected"]
    );
}

/// Rule 14.
#[tokio::test]
async fn so_many_jobs_that_a_charge_point_begins_itself_and_so_many_notifications_of_one_are_kept() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service
        .exchange(&mut station, "UpdateFirmware", update(), json!({}))
        .await;
    notify(&mut station, &["Downloading"]).await;
    let many = "
        INSERT INTO ocpp.job_notification (job_id, status, received_at)
        SELECT id, 'Downloading', now() FROM ocpp.job, generate_series(1, 1200);
        INSERT INTO ocpp.job (id, charge_point_id, kind, status, created_at, updated_at)
        SELECT ('00000000-0000-7000-8000-' || lpad(number::text, 12, '0'))::uuid, id, 'diagnostics', 'completed', now(), now()
        FROM ocpp.charge_point, generate_series(1, 1200) AS number;
        INSERT INTO ocpp.job_notification (job_id, status, received_at)
        SELECT id, 'Uploaded', now() FROM ocpp.job WHERE kind = 'diagnostics'";
    sqlx::raw_sql(many).execute(&service.pool).await.unwrap();
    notify(&mut station, &["Downloaded"]).await;
    station
        .call("DiagnosticsStatusNotification", json!({"status": "Uploading"}))
        .await;
    let count = async |query: &'static str| {
        sqlx::query_scalar::<_, i64>(query)
            .fetch_one(&service.pool)
            .await
            .unwrap()
    };
    let of_firmware =
        "SELECT count(*) FROM ocpp.job_notification JOIN ocpp.job ON job.id = job_id WHERE kind = 'firmware'";
    assert_eq!(count(of_firmware).await, 1000);
    assert_eq!(
        count("SELECT count(*) FROM ocpp.job WHERE command_id IS NULL").await,
        1000
    );
    assert_eq!(
        count("SELECT count(*) FROM ocpp.job WHERE command_id IS NOT NULL").await,
        1
    );
}
