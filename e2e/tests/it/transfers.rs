//! Files over one-time URLs of our own, fetched and left by a charge point that nobody here wrote.

use e2e::all_in_one::Voltgate;
use e2e::api::{Answer, Api};
use e2e::python::Script;
use e2e::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

const PASSWORD: &str = "a-password-for-CP1";
const MEBIBYTE: usize = 1024 * 1024;

struct Lab {
    operator: Api,
    station: Script,
    voltgate: Voltgate,
}

async fn lab() -> Lab {
    let voltgate = Voltgate::start().await;
    let operator = voltgate.admin().await;
    let body = json!({ "identity": "CP1", "password": PASSWORD });
    operator.post("/ocpp/charge-points", &body).await.expect(201);
    let url = format!("ws://{}", operator.gateway());
    let mut station = Script::start("transfers.py", &[&url, "CP1", PASSWORD]);
    assert_eq!(station.next().await, json!({ "connected": true }));
    Lab {
        operator,
        station,
        voltgate,
    }
}

async fn upload(operator: &Api, name: &str, content: String) -> Answer {
    let path = format!("/ocpp/files/firmware/{name}");
    let headers = [("content-type", "application/octet-stream")];
    operator.send(Method::PUT, &path, &headers, content).await
}

impl Lab {
    /// Asks for a transfer and returns what the charge point did, once the job is complete.
    async fn transfer(&mut self, verb: &str, body: &Value) -> (Value, Value) {
        let path = format!("/ocpp/charge-points/CP1/{verb}");
        let command = self.operator.post(&path, body).await.expect(201);
        assert_eq!(command["status"], "accepted", "{command}");
        let did = self.station.next().await;
        let location = did["location"].as_str().unwrap();
        let base = format!("http://{}/ocpp/transfers/", self.operator.gateway());
        let token = location.strip_prefix(&base).unwrap().split('/').next().unwrap();
        assert_eq!(token.len(), 43);
        let jobs = async || {
            let jobs = self.operator.get("/ocpp/charge-points/CP1/jobs").await.expect(200);
            jobs["jobs"][0].clone()
        };
        let job = until("the job is complete", async || {
            let job = jobs().await;
            (job["status"] == "completed").then_some(job)
        })
        .await;
        assert_eq!(job["commandId"], command["id"]);
        let messages = self.operator.get("/ocpp/charge-points/CP1/messages").await.text;
        for shown in [
            &command.to_string(),
            &job.to_string(),
            &messages,
            &self.voltgate.process.log(),
        ] {
            assert!(!shown.contains(token), "{shown}");
        }
        (did, job)
    }
}

/// Rule 14 of the OCPP decisions.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_charge_point_is_asked_for_is_here_once_and_can_be_downloaded() {
    let mut lab = lab().await;
    for (verb, body, kind, name) in [
        (
            "request-diagnostics",
            json!({ "retries": 1 }),
            "diagnostics",
            "diagnostics.txt",
        ),
        (
            "request-log",
            json!({ "logType": "SecurityLog" }),
            "log",
            "security.log",
        ),
    ] {
        let (did, job) = lab.transfer(verb, &body).await;
        assert_eq!(did["sent"], json!([200, 404]));
        let file = &job["file"];
        assert_eq!((&job["kind"], &job["fileName"]), (&json!(kind), &json!(name)));
        assert_eq!(
            (&file["name"], &file["size"], &file["sha256"]),
            (&json!(name), &did["size"], &did["sha256"])
        );
        let path = format!("/ocpp/files/{}", file["id"].as_str().unwrap());
        let download = lab.operator.get(&path).await;
        assert_eq!(
            download.header("content-disposition"),
            format!("attachment; filename=\"{name}\"")
        );
        assert_eq!(download.header("x-content-type-options"), "nosniff");
        assert!(download.text == "what a charge point has to tell\n".repeat(20_000));
        let stranger = lab.voltgate.api().get(&path).await;
        stranger.problem(401, "MISSING_CREDENTIALS");
    }
    lab.station.finish().await;
}

/// Rule 14 of the OCPP decisions.
#[tokio::test(flavor = "multi_thread")]
async fn firmware_is_fetched_once_from_where_the_charge_point_was_told() {
    let mut lab = lab().await;
    let content = "firmware ".repeat(200_000);
    let uploaded = upload(&lab.operator, "twin22-2.4.2.bin", content).await.expect(201);
    let plain = json!({ "firmware": "twin22-2.4.2.bin" });
    let signed = json!({
        "firmware": "twin22-2.4.2.bin",
        "signingCertificate": "a certificate",
        "signature": "c2lnbmF0dXJl",
    });
    for body in [plain, signed] {
        let (did, job) = lab.transfer("update-firmware", &body).await;
        assert_eq!(did["fetched"], json!([200, 200, 404]));
        assert_eq!(
            (&did["sha256"], &did["length"]),
            (&uploaded["sha256"], &json!("1800000"))
        );
        assert_eq!(did["disposition"], "attachment; filename=\"twin22-2.4.2.bin\"");
        assert_eq!(did["nosniff"], "nosniff");
        assert_eq!(
            (&job["kind"], &job["progress"]),
            (&json!("firmware"), &json!("Installed"))
        );
    }
    lab.station.finish().await;
}

/// The most memory that the process ever had, in bytes.
fn peak(voltgate: &Voltgate) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", voltgate.process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kilobytes * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_goes_through_in_pieces_and_one_that_is_too_large_not_at_all() {
    let voltgate = Voltgate::start().await;
    let operator = voltgate.admin().await;
    // What is needed for any file at all.
    let small = upload(&operator, "small.bin", "x".repeat(MEBIBYTE)).await.expect(201);
    let path = |file: &Value| format!("/ocpp/files/{}", file["id"].as_str().unwrap());
    operator.get(&path(&small)).await;
    let before = peak(&voltgate);
    let content = "0123456789abcdef".repeat(60 * MEBIBYTE / 16);
    let file = upload(&operator, "large.bin", content.clone()).await.expect(201);
    assert_eq!(file["size"], 60 * MEBIBYTE);
    let download = operator.get(&path(&file)).await;
    assert!(download.text == content);
    let range = [("range", "bytes=62914550-")];
    let part = operator.send(Method::GET, &path(&file), &range, String::new()).await;
    assert_eq!((part.status, part.text.as_str()), (206, "6789abcdef"));
    assert_eq!(part.header("content-range"), "bytes 62914550-62914559/62914560");
    let grown = peak(&voltgate).saturating_sub(before);
    eprintln!("60 MiB there and back took {} KiB of memory", grown / 1024);
    assert!(grown < content.len() / 2, "{grown} bytes");

    let too_large = upload(&operator, "too-large.bin", "x".repeat(65 * MEBIBYTE)).await;
    too_large.problem(413, "PAYLOAD_TOO_LARGE");
    let files = operator.get("/ocpp/files").await.expect(200);
    assert_eq!(files["files"].as_array().unwrap().len(), 2);
}
