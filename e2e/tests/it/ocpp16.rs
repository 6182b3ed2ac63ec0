//! Every message and every command of OCPP 1.6 between Voltgate and a charge point that nobody here wrote, and what an
//! operator sees of it afterwards.

use std::collections::BTreeSet;

use e2e::all_in_one::Voltgate;
use e2e::api::Api;
use e2e::python::Script;
use serde_json::{Value, json};

const PASSWORD: &str = "a-password-for-CP1";
const CHARGE_POINT: &str = "/ocpp/charge-points/CP1";

/// The security extension, which has conversations of its own.
const SECURITY: [&str; 11] = [
    "CertificateSigned",
    "DeleteCertificate",
    "ExtendedTriggerMessage",
    "GetInstalledCertificateIds",
    "GetLog",
    "InstallCertificate",
    "LogStatusNotification",
    "SecurityEventNotification",
    "SignCertificate",
    "SignedFirmwareStatusNotification",
    "SignedUpdateFirmware",
];

/// A charge point and its operator, and what they have said to each other.
struct Conversation {
    operator: Api,
    station: Script,
    said: BTreeSet<String>,
}

impl Conversation {
    async fn begin(voltgate: &Voltgate) -> Self {
        let operator = voltgate.admin().await;
        let charge_point = json!({ "identity": "CP1", "password": PASSWORD });
        operator.post("/ocpp/charge-points", &charge_point).await.expect(201);
        for token in [
            json!({ "idToken": "CARD1", "groupId": "FLEET" }),
            json!({ "idToken": "STOLEN", "blocked": true }),
            json!({ "idToken": "OLD", "expiresAt": "2020-01-01T00:00:00Z" }),
        ] {
            operator.post("/ocpp/id-tokens", &token).await.expect(201);
        }
        let url = format!("ws://{}", operator.gateway());
        let mut station = Script::start("ocpp16.py", &[&url, "CP1", PASSWORD]);
        assert_eq!(station.next().await, json!({ "connected": true }));
        Self {
            operator,
            station,
            said: BTreeSet::new(),
        }
    }

    /// The charge point sends a CALL; what it is answered.
    async fn call(&mut self, action: &str, payload: Value) -> Value {
        self.said.insert(action.to_owned());
        let call = json!({ "call": action, "payload": payload });
        self.station.tell(&call.to_string()).await;
        let heard = self.station.next().await;
        assert!(heard["answer"].is_object(), "{action}: {heard}");
        heard["answer"].clone()
    }

    /// The operator sends a command, and the charge point answers it so. It arrives as it was sent, and ends with this status.
    async fn command(&mut self, action: &str, payload: Value, answer: Value, status: &str) {
        self.said.insert(action.to_owned());
        let answers = json!({ "answers": { action: answer } });
        self.station.tell(&answers.to_string()).await;
        assert_eq!(self.station.next().await, json!({ "ready": true }));
        let command = self
            .operator
            .post(&format!("{CHARGE_POINT}/commands/{action}"), &payload)
            .await;
        let command = command.expect(201);
        assert_eq!(
            self.station.next().await,
            json!({ "called": action, "payload": payload })
        );
        assert_eq!(
            (&command["status"], &command["response"]),
            (&json!(status), &answer),
            "{action}"
        );
        let id = command["id"].as_str().unwrap();
        assert_eq!(
            self.operator.get(&format!("/ocpp/commands/{id}")).await.expect(200),
            command
        );
    }

    /// A part of what the operator reads below the charge point.
    async fn read(&self, path: &str, pointer: &str) -> Value {
        let path = if path.starts_with("/ocpp") {
            path.to_owned()
        } else {
            format!("{CHARGE_POINT}{path}")
        };
        let read = self.operator.get(&path).await.expect(200);
        let part = read.pointer(pointer);
        part.cloned()
            .unwrap_or_else(|| panic!("nothing at {pointer} of {read}"))
    }

    async fn shows(&self, path: &str, expected: &[(&str, Value)]) {
        for (pointer, value) in expected {
            assert_eq!(&self.read(path, pointer).await, value, "{path} {pointer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_and_command_of_1_6_does_what_the_specification_asks() {
    let mut voltgate = Voltgate::start().await;
    let mut conversation = Conversation::begin(&voltgate).await;
    boots_and_tells_of_itself(&mut conversation).await;
    authorizes(&mut conversation).await;
    configuration(&mut conversation).await;
    local_list(&mut conversation).await;
    reservations_and_a_charge(&mut conversation).await;
    charging_profiles(&mut conversation).await;
    jobs(&mut conversation).await;
    what_only_the_command_keeps(&mut conversation).await;
    operators_only(&voltgate, &conversation.operator).await;

    conversation.station.tell(&json!({ "actions": true }).to_string()).await;
    let known = conversation.station.next().await["actions"].clone();
    let known: BTreeSet<String> = serde_json::from_value(known).unwrap();
    let security = SECURITY.map(str::to_owned).into();
    let left: BTreeSet<_> = &(&known - &conversation.said) - &security;
    assert_eq!((known.len(), left), (39, BTreeSet::new()), "actions that nobody said");

    let log = conversation
        .operator
        .get(&format!("{CHARGE_POINT}/messages?pageSize=1000"))
        .await
        .expect(200);
    for message in log["messages"].as_array().unwrap() {
        assert_eq!(message["violations"], json!([]), "{message}");
    }
    conversation.station.finish().await;
    voltgate.process.stop().await;
}

async fn boots_and_tells_of_itself(conversation: &mut Conversation) {
    let boot = json!({ "chargePointVendor": "Volt", "chargePointModel": "One", "chargePointSerialNumber": "4711",
        "firmwareVersion": "1.2.3" });
    let answer = conversation.call("BootNotification", boot).await;
    assert_eq!(
        (&answer["status"], &answer["interval"]),
        (&json!("Accepted"), &json!(300))
    );
    let heartbeat = conversation.call("Heartbeat", json!({})).await;
    assert!(heartbeat["currentTime"].as_str() >= answer["currentTime"].as_str());
    for connector in 0..=2 {
        let status = json!({ "connectorId": connector, "errorCode": "NoError", "status": "Available" });
        assert_eq!(conversation.call("StatusNotification", status).await, json!({}));
    }
    let transfer = json!({ "vendorId": "com.example", "messageId": "hello", "data": "world" });
    let answer = conversation.call("DataTransfer", transfer).await;
    assert_eq!(answer, json!({ "status": "UnknownVendorId" }));
    conversation
        .shows(
            "",
            &[
                ("/online", json!(true)),
                ("/serialNumber", json!("4711")),
                ("/connectors/0/connectorId", json!(0)),
                ("/connectors/2/status", json!("Available")),
            ],
        )
        .await;
}

async fn authorizes(conversation: &mut Conversation) {
    for (tag, info) in [
        ("card1", json!({ "parentIdTag": "FLEET", "status": "Accepted" })),
        ("STOLEN", json!({ "status": "Blocked" })),
        (
            "OLD",
            json!({ "expiryDate": "2020-01-01T00:00:00Z", "status": "Expired" }),
        ),
        ("STRANGER", json!({ "status": "Invalid" })),
    ] {
        let answer = conversation.call("Authorize", json!({ "idTag": tag })).await;
        assert_eq!(answer, json!({ "idTagInfo": info }));
    }
}

async fn configuration(conversation: &mut Conversation) {
    let told = json!({ "configurationKey": [
        { "key": "HeartbeatInterval", "readonly": false, "value": "300" },
        { "key": "NumberOfConnectors", "readonly": true, "value": "2" }], "unknownKey": ["Fancy"] });
    let asked = json!({ "key": ["HeartbeatInterval", "NumberOfConnectors", "Fancy"] });
    conversation.command("GetConfiguration", asked, told, "accepted").await;
    let change = json!({ "key": "HeartbeatInterval", "value": "600" });
    conversation
        .command(
            "ChangeConfiguration",
            change,
            json!({ "status": "RebootRequired" }),
            "accepted",
        )
        .await;
    conversation
        .shows(
            "/configuration",
            &[
                ("/keys/0/known", json!(false)),
                ("/keys/1/reportedValue", json!("300")),
                ("/keys/1/desiredValue", json!("600")),
                ("/keys/1/drift", json!(true)),
                ("/keys/2/readonly", json!(true)),
            ],
        )
        .await;
    conversation.shows("", &[("/numberOfConnectors", json!(2))]).await;
}

async fn local_list(conversation: &mut Conversation) {
    let accepted = json!({ "status": "Accepted" });
    let full = json!({ "listVersion": 1, "updateType": "Full", "localAuthorizationList": [
        { "idTag": "CARD1", "idTagInfo": { "status": "Accepted" } },
        { "idTag": "STOLEN", "idTagInfo": { "status": "Blocked" } }] });
    conversation
        .command("SendLocalList", full, accepted.clone(), "accepted")
        .await;
    let change =
        json!({ "listVersion": 2, "updateType": "Differential", "localAuthorizationList": [{ "idTag": "STOLEN" }] });
    conversation
        .command("SendLocalList", change.clone(), accepted, "accepted")
        .await;
    conversation
        .command(
            "SendLocalList",
            change,
            json!({ "status": "VersionMismatch" }),
            "rejected",
        )
        .await;
    conversation
        .command(
            "GetLocalListVersion",
            json!({}),
            json!({ "listVersion": 2 }),
            "accepted",
        )
        .await;
    conversation
        .shows(
            "/local-list",
            &[
                ("/reportedVersion", json!(2)),
                ("/desiredStatus", json!("VersionMismatch")),
                ("/entries/0/idTag", json!("CARD1")),
            ],
        )
        .await;
    assert_eq!(
        conversation
            .read("/local-list", "/entries")
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

async fn reservations_and_a_charge(conversation: &mut Conversation) {
    let accepted = json!({ "status": "Accepted" });
    let reserve = |number: i32| json!({ "connectorId": 1, "expiryDate": "2099-01-01T00:00:00Z", "idTag": "CARD1", "reservationId": number });
    conversation
        .command("ReserveNow", reserve(1), accepted.clone(), "accepted")
        .await;
    conversation
        .command(
            "CancelReservation",
            json!({ "reservationId": 1 }),
            accepted.clone(),
            "accepted",
        )
        .await;
    conversation
        .command("ReserveNow", reserve(2), json!({ "status": "Occupied" }), "rejected")
        .await;
    conversation
        .command("ReserveNow", reserve(3), accepted.clone(), "accepted")
        .await;
    let profile = charging_profile(9, "TxProfile");
    let start = json!({ "connectorId": 1, "idTag": "CARD1", "chargingProfile": profile });
    conversation
        .command("RemoteStartTransaction", start, accepted.clone(), "accepted")
        .await;

    let start = json!({ "connectorId": 1, "idTag": "CARD1", "meterStart": 1000, "reservationId": 3,
        "timestamp": "2026-03-01T12:00:00Z" });
    let started = conversation.call("StartTransaction", start.clone()).await;
    let id = started["transactionId"].as_i64().unwrap();
    assert!(id > 0);
    assert_eq!(
        started["idTagInfo"],
        json!({ "parentIdTag": "FLEET", "status": "Accepted" })
    );
    assert_eq!(conversation.call("StartTransaction", start).await, started);
    let values = json!({ "connectorId": 1, "transactionId": id, "meterValue": [{ "timestamp": "2026-03-01T12:30:00Z",
        "sampledValue": [{ "value": "3.5", "unit": "kWh" }, { "value": "16", "measurand": "Current.Import", "unit": "A", "phase": "L1" }] }] });
    assert_eq!(conversation.call("MeterValues", values).await, json!({}));
    conversation
        .shows(
            "/charging-profiles",
            &[("/chargingProfiles/0/transactionId", json!(id))],
        )
        .await;
    conversation
        .command(
            "RemoteStopTransaction",
            json!({ "transactionId": id }),
            accepted,
            "accepted",
        )
        .await;
    let stop = json!({ "transactionId": id, "idTag": "CARD1", "meterStop": 6000, "reason": "Remote",
        "timestamp": "2026-03-01T13:00:00Z", "transactionData": [{ "timestamp": "2026-03-01T13:00:00Z",
            "sampledValue": [{ "value": "6000", "context": "Transaction.End" }] }] });
    for _ in 0..2 {
        let stopped = conversation.call("StopTransaction", stop.clone()).await;
        assert_eq!(stopped["idTagInfo"]["status"], "Accepted");
    }
    conversation
        .shows(
            &format!("/ocpp/transactions/{id}"),
            &[
                ("/status", json!("completed")),
                ("/energyWh", json!(5000)),
                ("/stopReason", json!("Remote")),
            ],
        )
        .await;
    let values = conversation
        .read(&format!("/ocpp/transactions/{id}/meter-values"), "/meterValues")
        .await;
    assert_eq!(values.as_array().unwrap().len(), 3);
    conversation
        .shows(
            "/ocpp/reservations",
            &[
                ("/reservations/0/status", json!("used")),
                ("/reservations/0/transactionId", json!(id)),
                ("/reservations/1/answer", json!("Occupied")),
                ("/reservations/2/status", json!("cancelled")),
            ],
        )
        .await;
    assert_eq!(
        conversation.read("/charging-profiles", "/chargingProfiles").await,
        json!([])
    );
}

fn charging_profile(id: i32, purpose: &str) -> Value {
    json!({ "chargingProfileId": id, "stackLevel": 0, "chargingProfilePurpose": purpose, "chargingProfileKind": "Relative",
        "chargingSchedule": { "chargingRateUnit": "A", "chargingSchedulePeriod": [{ "startPeriod": 0, "limit": 10.5 }] } })
}

async fn charging_profiles(conversation: &mut Conversation) {
    let accepted = json!({ "status": "Accepted" });
    for (connector, id, purpose) in [(0, 1, "ChargePointMaxProfile"), (1, 2, "TxDefaultProfile")] {
        let set = json!({ "connectorId": connector, "csChargingProfiles": charging_profile(id, purpose) });
        conversation
            .command("SetChargingProfile", set, accepted.clone(), "accepted")
            .await;
    }
    conversation
        .command("ClearChargingProfile", json!({ "id": 1 }), accepted, "accepted")
        .await;
    conversation
        .shows(
            "/charging-profiles",
            &[
                ("/chargingProfiles/0/purpose", json!("TxDefaultProfile")),
                ("/chargingProfiles/0/profile", charging_profile(2, "TxDefaultProfile")),
            ],
        )
        .await;
    let schedule = charging_profile(2, "TxDefaultProfile")["chargingSchedule"].clone();
    let answer = json!({ "status": "Accepted", "connectorId": 1, "scheduleStart": "2026-03-01T12:00:00Z",
        "chargingSchedule": schedule });
    conversation
        .command(
            "GetCompositeSchedule",
            json!({ "connectorId": 1, "duration": 3600 }),
            answer,
            "accepted",
        )
        .await;
    conversation
        .shows(
            "/composite-schedules",
            &[
                ("/compositeSchedules/0/durationSeconds", json!(3600)),
                ("/compositeSchedules/0/schedule", schedule),
            ],
        )
        .await;
}

async fn jobs(conversation: &mut Conversation) {
    let update = json!({ "location": "https://example.com/f.bin", "retrieveDate": "2026-03-01T12:00:00Z" });
    conversation
        .command("UpdateFirmware", update, json!({}), "accepted")
        .await;
    for status in ["Downloading", "Downloaded", "Installing", "Installed"] {
        let answer = conversation
            .call("FirmwareStatusNotification", json!({ "status": status }))
            .await;
        assert_eq!(answer, json!({}));
    }
    let diagnostics = json!({ "location": "https://example.com/upload" });
    conversation
        .command(
            "GetDiagnostics",
            diagnostics,
            json!({ "fileName": "diag.zip" }),
            "accepted",
        )
        .await;
    for status in ["Uploading", "UploadFailed"] {
        let answer = conversation
            .call("DiagnosticsStatusNotification", json!({ "status": status }))
            .await;
        assert_eq!(answer, json!({}));
    }
    conversation
        .shows(
            "/jobs",
            &[
                ("/jobs/0/status", json!("failed")),
                ("/jobs/0/fileName", json!("diag.zip")),
                ("/jobs/1/status", json!("completed")),
                ("/jobs/1/location", json!("https://example.com/f.bin")),
            ],
        )
        .await;
    let id = conversation.read("/jobs", "/jobs/1/id").await;
    conversation
        .shows(
            &format!("/jobs/{}", id.as_str().unwrap()),
            &[
                ("/notifications/0/status", json!("Downloading")),
                ("/notifications/3/status", json!("Installed")),
            ],
        )
        .await;
}

async fn what_only_the_command_keeps(conversation: &mut Conversation) {
    for (action, payload, answer, status) in [
        ("ClearCache", json!({}), json!({ "status": "Accepted" }), "accepted"),
        (
            "DataTransfer",
            json!({ "vendorId": "V" }),
            json!({ "status": "UnknownVendorId" }),
            "rejected",
        ),
        (
            "Reset",
            json!({ "type": "Soft" }),
            json!({ "status": "Rejected" }),
            "rejected",
        ),
        (
            "TriggerMessage",
            json!({ "requestedMessage": "MeterValues", "connectorId": 1 }),
            json!({ "status": "NotImplemented" }),
            "rejected",
        ),
        (
            "UnlockConnector",
            json!({ "connectorId": 99 }),
            json!({ "status": "UnlockFailed" }),
            "rejected",
        ),
        (
            "ChangeAvailability",
            json!({ "connectorId": 1, "type": "Inoperative" }),
            json!({ "status": "Scheduled" }),
            "accepted",
        ),
    ] {
        conversation.command(action, payload, answer, status).await;
    }
    conversation
        .shows(
            "/connectors",
            &[
                ("/connectors/1/availability", json!("Inoperative")),
                ("/connectors/1/availabilityAnswer", json!("Scheduled")),
            ],
        )
        .await;
}

async fn operators_only(voltgate: &Voltgate, operator: &Api) {
    let driver = json!({ "username": "driver@example.com", "password": "a sound of distant thunder" });
    let driver = voltgate.api().post("/auth/signup", &driver).await.expect(201);
    let driver = voltgate.api().with_token(driver["accessToken"].as_str().unwrap());
    for path in [
        "configuration",
        "local-list",
        "reservations",
        "charging-profiles",
        "composite-schedules",
        "jobs",
        "jobs/x",
    ] {
        let of = |identity: &str| format!("/ocpp/charge-points/{identity}/{path}");
        driver.get(&of("CP1")).await.problem(403, "PERMISSION_DENIED");
        voltgate.api().get(&of("CP1")).await.problem(401, "MISSING_CREDENTIALS");
        operator.get(&of("nobody")).await.problem(404, "NOT_FOUND");
    }
    driver.get("/ocpp/reservations").await.problem(403, "PERMISSION_DENIED");
    operator
        .get(&format!("{CHARGE_POINT}/jobs/x"))
        .await
        .problem(404, "NOT_FOUND");
}
