//! Files over one-time URLs of our own (rule 14 of the OCPP decisions).

use std::time::Duration;

use charger_service::Settings;
use chrono::TimeDelta;
use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;
use voltgate_proto::ocpp::v1::file_service_client::FileServiceClient;
use voltgate_proto::ocpp::v1::job_service_client::JobServiceClient;
use voltgate_proto::ocpp::v1::transfer_service_client::TransferServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::files::{Downloaded, bodies, content, read};
use crate::service::{Service, eventually, reason, settings};
use crate::state::connected;
use crate::station::Station;

const BASE: &str = "https://charge.example.com/ocpp/transfers/";

/// What follows the base: the token, and the name of the file where there is one.
pub fn parts(url: &Value) -> (String, String) {
    let rest = url.as_str().unwrap().strip_prefix(BASE).unwrap();
    let (token, name) = rest.split_once('/').unwrap();
    assert_eq!(token.len(), 43);
    (token.to_owned(), name.to_owned())
}

fn leave(token: &str, name: &str, bytes: &[u8]) -> Vec<LeaveRequest> {
    let first = LeaveRequest {
        token: token.to_owned(),
        file_name: name.to_owned(),
        body: None,
    };
    let rest = bodies(bytes).into_iter().map(|body| LeaveRequest {
        body: Some(body),
        ..LeaveRequest::default()
    });
    std::iter::once(first).chain(rest).collect()
}

impl Service {
    fn jobs_client(&self) -> JobServiceClient<tonic::transport::Channel> {
        JobServiceClient::new(self.channel.clone())
    }

    fn transfers(&self) -> TransferServiceClient<tonic::transport::Channel> {
        TransferServiceClient::new(self.channel.clone())
    }

    /// As a charge point does it, without credentials.
    async fn leave(&self, token: &str, name: &str, bytes: &[u8]) -> Result<(), Status> {
        let request = Request::new(tokio_stream::iter(leave(token, name, bytes)));
        self.transfers().leave(request).await.map(|_| ())
    }

    pub async fn fetch(&self, token: &str, metadata: &[(&'static str, &str)]) -> Result<Downloaded, Status> {
        let mut request = Request::new(FetchRequest {
            token: token.to_owned(),
            file_name: "whatever".to_owned(),
        });
        for (name, value) in metadata {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        read(self.transfers().fetch(request).await?).await
    }

    fn request_log(&self) -> JoinHandle<Result<Command, Status>> {
        let request = self.asks(RequestLogRequest {
            identity: "CP1".to_owned(),
            log_type: "SecurityLog".to_owned(),
            ..RequestLogRequest::default()
        });
        let mut client = self.jobs_client();
        tokio::spawn(async move { client.request_log(request).await.map(tonic::Response::into_inner) })
    }

    fn update_firmware(&self, request: UpdateFirmwareRequest) -> JoinHandle<Result<Command, Status>> {
        let request = self.asks(request);
        let mut client = self.jobs_client();
        tokio::spawn(async move { client.update_firmware(request).await.map(tonic::Response::into_inner) })
    }
}

/// A charge point that was asked for a log, and the token that it was given.
async fn asked_for_a_log(service: &Service, station: &mut Station) -> String {
    let asking = service.request_log();
    let (id, action, payload) = station.called().await;
    assert_eq!(
        (action.as_str(), &payload["logType"]),
        ("GetLog", &json!("SecurityLog"))
    );
    station
        .answer(&id, json!({"status": "Accepted", "filename": "security.log"}))
        .await;
    let command = asking.await.unwrap().unwrap();
    assert_eq!(command.status, "accepted");
    let (token, name) = parts(&payload["log"]["remoteLocation"]);
    assert!(
        name.is_empty() && !command.payload.contains(&token),
        "{}",
        command.payload
    );
    token
}

/// Rule 14.
#[tokio::test]
async fn a_log_that_was_asked_for_is_left_once_and_shown_with_its_job() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let token = asked_for_a_log(&service, &mut station).await;
    assert!(service.jobs().await[0].file.is_none());
    let bytes = content(700_000);
    service.leave(&token, "../security.log", &bytes).await.unwrap();
    let job = service.jobs().await.remove(0);
    let file = job.file.unwrap();
    assert_eq!((file.kind.as_str(), file.name.as_str()), ("log", "../security.log"));
    assert_eq!((file.size, file.identity.as_deref()), (700_000, Some("CP1")));
    assert_eq!(job.location.as_deref(), Some(&*format!("{BASE}***/")));
    let downloaded = service.download(&file.id, None).await.unwrap();
    assert!(downloaded.bytes == bytes);
    assert_eq!(
        downloaded.said("content-disposition"),
        Some(r#"attachment; filename="security.log""#)
    );
    let listed = ListFilesRequest {
        kind: Some("log".to_owned()),
        identity: Some("CP1".to_owned()),
        ..ListFilesRequest::default()
    };
    assert_eq!(service.list_files(listed).await.unwrap().files, [file]);

    let again = service.leave(&token, "security.log", b"other").await.unwrap_err();
    let unknown = service
        .leave("no-token-at-all", "security.log", b"other")
        .await
        .unwrap_err();
    for status in [&again, &unknown] {
        assert_eq!(reason(status), Reason::NotFound);
        assert_eq!(status.message(), unknown.message());
    }
    let fetched = service.fetch(&token, &[]).await.err().unwrap();
    assert_eq!(reason(&fetched), Reason::NotFound);
    assert!(!service.everything_kept().await.contains(&token));
}

/// Rule 14.
#[tokio::test]
async fn a_file_that_breaks_off_can_be_left_again_until_the_url_expires() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let token = asked_for_a_log(&service, &mut station).await;
    // The sender is gone, with all that it was in the middle of.
    let gone = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let half = tokio_stream::iter(leave(&token, "a.log", &content(600_000)));
    let (url, for_ever) = (service.url.clone(), tokio_stream::pending::<LeaveRequest>());
    gone.spawn(async move {
        let mut client = TransferServiceClient::connect(url).await.unwrap();
        client.leave(Request::new(half.chain(for_ever))).await
    });
    eventually("some of it is there", async || service.pieces().await == 2).await;
    gone.shutdown_background();
    eventually("nothing is left of it", async || service.pieces().await == 0).await;
    assert!(service.jobs().await[0].file.is_none());
    service.leave(&token, "a.log", &content(600_000)).await.unwrap();
    assert_eq!(service.jobs().await[0].file.as_ref().unwrap().size, 600_000);

    // The command may be sent for a day, and its URL is good for two from then on.
    let (token, late) = (
        asked_for_a_log(&service, &mut station).await,
        asked_for_a_log(&service, &mut station).await,
    );
    service.clock.advance(TimeDelta::hours(71));
    service.leave(&token, "b.log", b"just in time").await.unwrap();
    service.clock.advance(TimeDelta::hours(2));
    let status = service.leave(&late, "c.log", b"too late").await.unwrap_err();
    assert_eq!(reason(&status), Reason::NotFound);
}

/// Rule 14.
#[tokio::test]
async fn a_newer_attempt_takes_the_place_of_one_that_hangs() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let token = asked_for_a_log(&service, &mut station).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(10);
    let request = Request::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let mut client = service.transfers();
    let hanging = tokio::spawn(async move { client.leave(request).await });
    for message in leave(&token, "a.log", &content(300_000)) {
        sender.send(message).await.unwrap();
    }
    eventually("some of it is there", async || service.pieces().await == 1).await;
    service.leave(&token, "a.log", b"all of it").await.unwrap();
    // It goes although its sender says no more, and with it all that it takes up.
    let status = timeout(Duration::from_secs(30), hanging)
        .await
        .unwrap()
        .unwrap()
        .unwrap_err();
    assert_eq!(reason(&status), Reason::NotFound);
    drop(sender);
    assert_eq!(service.jobs().await[0].file.as_ref().unwrap().size, 9);
}

/// A replica has a hundred places for files.
#[tokio::test]
async fn one_url_takes_one_place_however_often_it_is_called() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    // More than is on its way to somebody who does not read.
    let bytes = content(8_000_000);
    let file = service.upload_firmware("fw.bin", &bytes).await.unwrap();
    let updating = service.update_firmware(UpdateFirmwareRequest {
        identity: "CP1".to_owned(),
        firmware: "fw.bin".to_owned(),
        wait_seconds: Some(0),
        ..UpdateFirmwareRequest::default()
    });
    let (_, _, payload) = station.called().await;
    updating.await.unwrap().unwrap();
    let (token, _) = parts(&payload["location"]);
    // Nobody reads these.
    let mut begun = Vec::new();
    for _ in 0..120 {
        let request = FetchRequest {
            token: token.clone(),
            file_name: String::new(),
        };
        begun.push(service.transfers().fetch(request).await.unwrap());
    }
    let elsewhere = tonic::transport::Endpoint::from_shared(service.url.clone()).unwrap();
    let elsewhere = elsewhere.connect().await.unwrap();
    let mut files = FileServiceClient::new(elsewhere);
    let request = service.asks(DownloadFileRequest { id: file.id });
    let downloaded = read(files.download_file(request).await.unwrap()).await.unwrap();
    assert!(downloaded.bytes == bytes);
    drop(begun);
    assert!(service.fetch(&token, &[]).await.unwrap().bytes == bytes);
}

/// Rule 14.
#[tokio::test]
async fn diagnostics_are_asked_for_with_all_that_was_said() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let request = service.asks(RequestDiagnosticsRequest {
        identity: "CP1".to_owned(),
        since: Some(prost_types::Timestamp {
            seconds: 1_767_225_600,
            nanos: 0,
        }),
        until: None,
        retries: Some(3),
        retry_interval_seconds: Some(60),
        wait_seconds: Some(20),
        expires_in_seconds: None,
    });
    let mut client = service.jobs_client();
    let asking = tokio::spawn(async move { client.request_diagnostics(request).await });
    let (id, action, payload) = station.called().await;
    let (token, _) = parts(&payload["location"]);
    let mut rest = payload.clone();
    rest.as_object_mut().unwrap().remove("location");
    let said = json!({"retries": 3, "retryInterval": 60, "startTime": "2026-01-01T00:00:00.000Z"});
    assert_eq!((action.as_str(), rest), ("GetDiagnostics", said));
    station.answer(&id, json!({"fileName": "d.zip"})).await;
    assert_eq!(asking.await.unwrap().unwrap().into_inner().status, "accepted");
    service.leave(&token, "", b"diagnostics").await.unwrap();
    let job = service.jobs().await.remove(0);
    let file = job.file.unwrap();
    assert_eq!((job.kind.as_str(), file.kind.as_str()), ("diagnostics", "diagnostics"));
    assert_eq!(
        (job.file_name.as_deref(), file.name.as_str()),
        (Some("d.zip"), "unnamed")
    );
    let action: String = sqlx::query_scalar("SELECT details->>'action' FROM ocpp.audit ORDER BY id DESC LIMIT 1")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert_eq!(action, "GetDiagnostics");
}

/// Rule 14.
#[tokio::test]
async fn firmware_is_fetched_until_all_of_it_has_gone_over_once() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let bytes = content(900_000);
    service.upload_firmware("fw-1.bin", &bytes).await.unwrap();
    let updating = service.update_firmware(UpdateFirmwareRequest {
        identity: "CP1".to_owned(),
        firmware: "fw-1.bin".to_owned(),
        ..UpdateFirmwareRequest::default()
    });
    let (id, action, payload) = station.called().await;
    assert_eq!(action, "UpdateFirmware");
    assert!(payload["retrieveDate"].is_string());
    station.answer(&id, json!({})).await;
    assert_eq!(updating.await.unwrap().unwrap().status, "accepted");
    let (token, name) = parts(&payload["location"]);
    assert_eq!(name, "fw-1.bin");
    let job = service.jobs().await.remove(0);
    assert_eq!(job.location.as_deref(), Some(&*format!("{BASE}***/fw-1.bin")));

    let head = service.fetch(&token, &[("voltgate-method", "HEAD")]).await.unwrap();
    assert_eq!(
        (head.bytes.len(), head.said("voltgate-body-length")),
        (0, Some("900000"))
    );
    let begin = service.fetch(&token, &[("range", "bytes=0-499999")]).await.unwrap();
    assert!(begin.bytes == bytes[..500_000]);
    let end = service.fetch(&token, &[("range", "bytes=500000-")]).await.unwrap();
    assert!(end.bytes == bytes[500_000..]);
    let status = service.fetch(&token, &[]).await.err().unwrap();
    assert_eq!(reason(&status), Reason::NotFound);
    let status = service.leave(&token, "x", b"x").await.unwrap_err();
    assert_eq!(reason(&status), Reason::NotFound);
    assert!(!service.everything_kept().await.contains(&token));
}

/// Rule 14.
#[tokio::test]
async fn signed_firmware_may_wait_for_months_and_is_gone_when_it_is_deleted() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let file = service.upload_firmware("fw-2.bin", b"firmware").await.unwrap();
    let in_days = |days: i64| {
        let at = chrono::Utc::now() + TimeDelta::days(days);
        Some(prost_types::Timestamp {
            seconds: at.timestamp(),
            nanos: 0,
        })
    };
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let updating = service.update_firmware(UpdateFirmwareRequest {
            identity: "CP1".to_owned(),
            firmware: "fw-2.bin".to_owned(),
            retrieve_at: in_days(100),
            install_at: in_days(101),
            signing_certificate: Some("certificate".to_owned()),
            signature: Some("c2ln".to_owned()),
            ..UpdateFirmwareRequest::default()
        });
        let (id, action, payload) = station.called().await;
        let firmware = &payload["firmware"];
        assert_eq!(action, "SignedUpdateFirmware");
        assert_eq!(
            (&firmware["signingCertificate"], &firmware["signature"]),
            (&json!("certificate"), &json!("c2ln"))
        );
        assert!(firmware["installDateTime"].is_string() && payload["requestId"].is_i64());
        station.answer(&id, json!({"status": "Accepted"})).await;
        updating.await.unwrap().unwrap();
        tokens.push(parts(&firmware["location"]).0);
    }
    service.clock.advance(TimeDelta::days(101));
    assert_eq!(service.fetch(&tokens[0], &[]).await.unwrap().bytes, b"firmware");
    service.clock.advance(TimeDelta::days(-101));
    service.delete_file(&file.id).await.unwrap();
    let status = service.fetch(&tokens[1], &[]).await.err().unwrap();
    assert_eq!(reason(&status), Reason::NotFound);
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_request_is_told_at_once() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let wrong = UpdateFirmwareRequest {
        identity: "CP1".to_owned(),
        firmware: "unknown.bin".to_owned(),
        install_at: Some(prost_types::Timestamp::default()),
        signature: Some(String::new()),
        retries: Some(-1),
        wait_seconds: Some(121),
        ..UpdateFirmwareRequest::default()
    };
    let status = service.update_firmware(wrong).await.unwrap().unwrap_err();
    let details = status.get_details_bad_request().unwrap();
    let fields: Vec<_> = details.field_violations.iter().map(|one| one.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "signature",
            "signingCertificate",
            "installAt",
            "retries",
            "firmware",
            "waitSeconds"
        ]
    );
}

#[tokio::test]
async fn where_charge_points_cannot_be_told_an_address_the_answer_says_what_is_missing() {
    let database = Database::create().await;
    let nowhere = Settings {
        charger_public_url: None,
        ..settings()
    };
    let service = Service::start_with(&database, nowhere).await;
    service.register("CP1").await;
    let status = service.request_log().await.unwrap().unwrap_err();
    assert_eq!(reason(&status), Reason::NoPublicUrl);
    assert!(status.message().contains("CHARGER_PUBLIC_URL"));
}

/// Every replica, and one that was started after all was done, has the files.
#[tokio::test]
async fn a_url_is_good_at_every_replica() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let token = asked_for_a_log(&service, &mut station).await;
    let other = Service::start(&database).await;
    other.leave(&token, "a.log", b"a log").await.unwrap();
    let file = service.jobs().await.remove(0).file.unwrap();
    assert_eq!(service.download(&file.id, None).await.unwrap().bytes, b"a log");
}

/// What charge points sent is dropped after its time; firmware stays until somebody deletes it.
#[tokio::test]
async fn old_logs_unfinished_uploads_and_expired_urls_go_and_firmware_stays() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.upload_firmware("fw.bin", b"firmware").await.unwrap();
    for age in ["91 days", "89 days"] {
        let token = asked_for_a_log(&service, &mut station).await;
        service.leave(&token, age, b"a log").await.unwrap();
    }
    asked_for_a_log(&service, &mut station).await;
    for change in [
        "UPDATE ocpp.file SET completed_at = now() - name::interval WHERE kind = 'log'",
        "UPDATE ocpp.file SET completed_at = now() - interval '10 years' WHERE kind = 'firmware'",
        "INSERT INTO ocpp.file (id, kind, name, touched_at)
         VALUES (gen_random_uuid(), 'firmware', 'half', now() - interval '121 minutes'),
                (gen_random_uuid(), 'firmware', 'slow', now() - interval '119 minutes'),
                (gen_random_uuid(), 'firmware', 'coming', now())",
        "UPDATE ocpp.transfer SET expires_at = now() - interval '121 minutes' WHERE used_at IS NULL",
    ] {
        sqlx::query(change).execute(&service.pool).await.unwrap();
    }
    // It looks at once when it starts, and every hour then.
    let _other = Service::start(&database).await;
    let names = async || -> Vec<String> {
        let names = sqlx::query_scalar("SELECT name FROM ocpp.file ORDER BY name");
        names.fetch_all(&service.pool).await.unwrap()
    };
    eventually("the old ones are gone", async || {
        names().await == ["89 days", "coming", "fw.bin", "slow"]
    })
    .await;
    eventually("the transfer is gone", async || {
        let left = sqlx::query_scalar("SELECT count(*) FROM ocpp.transfer");
        let left: i64 = left.fetch_one(&service.pool).await.unwrap();
        left == 2
    })
    .await;
    assert_eq!(service.pieces().await, 2);
}

#[tokio::test]
async fn a_backlog_of_old_files_goes_at_one_turn_and_a_file_that_still_comes_in_when_its_url_expires_is_kept() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let token = asked_for_a_log(&service, &mut station).await;
    let (sender, receiver) = tokio::sync::mpsc::channel(10);
    let request = Request::new(tokio_stream::wrappers::ReceiverStream::new(receiver));
    let mut client = service.transfers();
    let leaving = tokio::spawn(async move { client.leave(request).await });
    let mut parts = leave(&token, "late.log", &content(400_000)).into_iter();
    let last = parts.next_back().unwrap();
    for part in parts {
        sender.send(part).await.unwrap();
    }
    eventually("some of it is there", async || service.pieces().await == 1).await;
    for change in [
        "UPDATE ocpp.transfer SET expires_at = now() - interval '1 second'",
        "INSERT INTO ocpp.file (id, kind, name, charge_point_id, touched_at, completed_at, sha256)
         SELECT gen_random_uuid(), 'log', 'old', charge_point.id, now(), now() - interval '1 year', ''
         FROM ocpp.charge_point, generate_series(1, 1200)",
        "INSERT INTO ocpp.transfer (id, token_hash, kind, charge_point_id, command_id, expires_at)
         SELECT gen_random_uuid(), 'old', 'log', id, gen_random_uuid(), now() - interval '3 hours' FROM ocpp.charge_point",
    ] {
        sqlx::query(change).execute(&service.pool).await.unwrap();
    }
    let _other = Service::start(&database).await;
    let counted =
        async |what: &'static str| -> i64 { sqlx::query_scalar(what).fetch_one(&service.pool).await.unwrap() };
    eventually("all is gone that is over", async || {
        let files = counted("SELECT count(*) FROM ocpp.file WHERE name = 'old'").await;
        (files, counted("SELECT count(*) FROM ocpp.transfer").await) == (0, 1)
    })
    .await;
    sender.send(last).await.unwrap();
    drop(sender);
    leaving.await.unwrap().unwrap();
    assert_eq!(service.jobs().await[0].file.as_ref().unwrap().size, 400_000);
}
