//! The messages of OCPP 1.6's security extension, spoken by the PyPI package `ocpp` through the gateway's TLS, and what
//! operators see of them.

use e2e::all_in_one::{ADMIN_PASSWORD, Voltgate};
use e2e::api::Api;
use e2e::process::free_address;
use e2e::python::Script;
use e2e::wait::until;
use serde_json::{Value, json};
use testbed::certificates::{Authority, Subject};

const PASSWORD: &str = "a-password-for-CP1";

struct Lab {
    operator: Api,
    station: Script,
    address: String,
    ca: String,
    _voltgate: Voltgate,
    _folder: tempfile::TempDir,
}

/// A charge point with security profile 2. No authority of charge points is set: there is Voltgate's own.
async fn lab() -> Lab {
    let folder = tempfile::tempdir().unwrap();
    let servers = Authority::new("servers");
    let pair = servers
        .issue(&Subject::named("localhost").loopback())
        .write(folder.path(), "server");
    let address = free_address();
    let voltgate = Voltgate::start_with(&[
        ("ADMIN_PASSWORD", ADMIN_PASSWORD),
        ("GATEWAY_TLS_LISTEN", &address),
        (
            "GATEWAY_TLS_CERTIFICATES",
            &format!("{}:{}", pair.certificate.display(), pair.key.display()),
        ),
    ])
    .await;
    let operator = voltgate.admin().await;
    let body = json!({ "identity": "CP1", "securityProfile": 2, "password": PASSWORD });
    operator.post("/ocpp/charge-points", &body).await.expect(201);
    let ca = servers.write(folder.path(), "servers").display().to_string();
    let port = address.rsplit(':').next().unwrap();
    let url = format!("wss://localhost:{port}");
    let own = folder.path().display().to_string();
    let mut station = Script::start("secure_charge_point.py", &[&url, "CP1", PASSWORD, &ca, &own]);
    assert_eq!(station.next().await, json!({ "connected": true }));
    Lab {
        operator,
        station,
        address,
        ca,
        _voltgate: voltgate,
        _folder: folder,
    }
}

impl Lab {
    async fn command(&self, action: &str, payload: &Value) -> Value {
        let path = format!("/ocpp/charge-points/CP1/commands/{action}");
        let command = self.operator.post(&path, payload).await.expect(201);
        assert_eq!(command["status"], "accepted", "{command}");
        command
    }

    async fn certificates(&self) -> Value {
        let path = "/ocpp/charge-points/CP1/certificates";
        self.operator.get(path).await.expect(200)
    }

    async fn event_types(&self) -> Vec<String> {
        let events = self.operator.get("/ocpp/charge-points/CP1/security-events").await;
        let events = events.expect(200)["securityEvents"].as_array().unwrap().clone();
        let types = events.iter().map(|event| event["type"].as_str().unwrap().to_owned());
        types.collect()
    }
}

/// Rules 11, 12 and 15 of the OCPP decisions; A01 to A05, M03 to M05.
#[tokio::test(flavor = "multi_thread")]
async fn a_charge_point_moves_up_to_a_certificate_of_ours_and_comes_in_with_it() {
    let mut lab = lab().await;
    assert_eq!(lab.event_types().await, ["TamperDetectionActivated"]);

    let rotated = lab
        .operator
        .post("/ocpp/charge-points/CP1/rotate-password", &json!({}))
        .await
        .expect(201);
    assert_eq!(rotated["status"], "accepted");
    let told = lab.station.next().await;
    assert_eq!(told["key"], "AuthorizationKey");
    let password = told["value"].as_str().unwrap().to_owned();
    assert!(!rotated.to_string().contains(&password));

    let renewing = lab
        .operator
        .post("/ocpp/charge-points/CP1/renew-certificate", &json!({}))
        .await
        .expect(201);
    assert_eq!(renewing["action"], "ExtendedTriggerMessage");
    assert_eq!(lab.station.next().await, json!({ "sign_certificate": "Accepted" }));
    assert_eq!(lab.station.next().await, json!({ "certificates": 1 }));
    until("the certificate is taken", async || {
        (lab.certificates().await["issued"][0]["status"] == "accepted").then_some(())
    })
    .await;
    assert_eq!(lab.certificates().await["issued"][0]["commonName"], "CP1");

    let authority = lab.operator.get("/ocpp/certificate-authority").await.text;
    let root = "CentralSystemRootCertificate";
    let install = json!({ "certificateType": root, "certificate": authority });
    lab.command("InstallCertificate", &install).await;
    let installed = lab.certificates().await["installed"][0].clone();
    assert_eq!(installed["commonName"], "Charge points");
    let known = json!({
        "hashAlgorithm": installed["hashAlgorithm"],
        "issuerNameHash": installed["issuerNameHash"],
        "issuerKeyHash": installed["issuerKeyHash"],
        "serialNumber": installed["serialNumber"],
    });
    lab.station
        .tell(
            &json!([{
                "hash_algorithm": "SHA256",
                "issuer_name_hash": "aa",
                "issuer_key_hash": "bb",
                "serial_number": "CC",
            }])
            .to_string(),
        )
        .await;
    assert_eq!(lab.station.next().await, json!({ "roots": 1 }));
    let list = json!({ "certificateType": root });
    lab.command("GetInstalledCertificateIds", &list).await;
    assert_eq!(lab.certificates().await["installed"][0]["serialNumber"], "CC");
    lab.command("InstallCertificate", &install).await;
    lab.command("DeleteCertificate", &json!({ "certificateHashData": known }))
        .await;
    assert_eq!(lab.certificates().await["installed"].as_array().unwrap().len(), 1);

    lab.command(
        "ChangeConfiguration",
        &json!({ "key": "SecurityProfile", "value": "3" }),
    )
    .await;
    lab.station.next().await;
    let charge_point = lab.operator.get("/ocpp/charge-points/CP1").await.expect(200);
    assert_eq!(
        (&charge_point["securityProfile"], &charge_point["nextSecurityProfile"]),
        (&json!(2), &json!(3))
    );
    lab.station.go_on().await;
    assert_eq!(lab.station.next().await, json!({ "boot": "Accepted" }));
    let charge_point = lab.operator.get("/ocpp/charge-points/CP1").await.expect(200);
    assert_eq!(charge_point["securityProfile"], 3);

    // Less is not enough any more, with the right password neither.
    let probe = json!({ "to": lab.address, "ca": lab.ca, "station": "CP1", "password": password });
    let mut lower = Script::start("tls.py", &[&probe.to_string()]);
    assert_eq!(lower.next().await["status"], 401);
    lower.finish().await;
    assert_eq!(lab.event_types().await[0], "SecurityProfileDowngradeAttempt");
    lab.station.finish().await;
}

/// Rule 14 of the OCPP decisions; L01 and N01.
#[tokio::test(flavor = "multi_thread")]
async fn logs_and_signed_firmware_are_followed_by_their_numbers() {
    let mut lab = lab().await;
    let log = json!({ "remoteLocation": "https://files.example.com/logs" });
    let get_log = json!({ "log": log, "logType": "SecurityLog", "requestId": 17 });
    lab.command("GetLog", &get_log).await;
    assert_eq!(lab.station.next().await, json!({ "log": "SecurityLog" }));
    let firmware = json!({
        "location": "https://files.example.com/firmware.bin",
        "retrieveDateTime": "2026-01-31T08:15:00Z",
        "signingCertificate": "a certificate",
        "signature": "c2lnbmF0dXJl",
    });
    let update = json!({ "requestId": 18, "firmware": firmware });
    lab.command("SignedUpdateFirmware", &update).await;
    assert_eq!(lab.station.next().await, json!({ "firmware": "c2lnbmF0dXJl" }));

    let jobs = lab.operator.get("/ocpp/charge-points/CP1/jobs").await.expect(200);
    let said = |job: &Value| json!([job["kind"], job["requestId"], job["status"], job["progress"]]);
    assert_eq!(
        said(&jobs["jobs"][0]),
        json!(["firmware", 18, "failed", "InvalidSignature"])
    );
    assert_eq!(said(&jobs["jobs"][1]), json!(["log", 17, "completed", "Uploaded"]));
    assert_eq!(jobs["jobs"][1]["fileName"], "security.log");
    assert_eq!(lab.event_types().await[0], "InvalidFirmwareSignature");
}
