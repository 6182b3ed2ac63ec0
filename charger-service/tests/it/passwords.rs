//! Charge points get other passwords, and our copy follows (rule 11 of the OCPP decisions).

use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tokio::task::JoinHandle;
use voltgate_proto::ocpp::v1::{Command, CreateChargePointRequest, RotatePasswordRequest};

use crate::service::{Service, eventually, reason};
use crate::station::{Offer, Station, basic};

const NEW: &str = "00112233445566778899aabbccddeeff00112233";

struct Lab {
    service: Service,
    station: Station,
    old: String,
}

async fn lab(database: &Database) -> Lab {
    let service = Service::start(database).await;
    let old = service.register("CP1").await;
    let station = Station::connect(&service, "CP1", &old).await;
    Lab { service, station, old }
}

impl Lab {
    fn change(&self, password: &str) -> JoinHandle<Result<Command, tonic::Status>> {
        let payload = json!({"key": "AuthorizationKey", "value": password});
        self.service.command("CP1", "ChangeConfiguration", payload, 30)
    }

    /// The charge point is asked for a change, and answers it.
    async fn change_answered(&mut self, password: &str, answer: Value) -> Command {
        let changing = self.change(password);
        let (id, _, payload) = self.station.called().await;
        assert_eq!(payload["value"], password);
        self.station.answer(&id, answer).await;
        changing.await.unwrap().unwrap()
    }

    async fn lets_in(&self, password: &[u8]) -> bool {
        let offer = Offer {
            authorization: Some(basic("CP1", password)),
            ..Offer::of("CP1", "")
        };
        match Station::open(&self.service, offer).await {
            Ok(_) => true,
            Err(status) => {
                assert_eq!(reason(&status), Reason::StationUnauthorized);
                false
            }
        }
    }

    /// Everything that the database holds, as text.
    async fn database(&self) -> String {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT row_to_json(command)::text FROM ocpp.command UNION ALL SELECT row_to_json(message)::text FROM ocpp.message
             UNION ALL SELECT row_to_json(security_event)::text FROM ocpp.security_event
             UNION ALL SELECT row_to_json(offered_password)::text FROM ocpp.offered_password",
        )
        .fetch_all(&self.service.pool)
        .await
        .unwrap();
        rows.join("\n")
    }
}

/// Rule 11.
#[tokio::test]
async fn a_password_that_the_charge_point_accepts_is_its_only_one_when_rest_answers() {
    let database = Database::create().await;
    let mut lab = lab(&database).await;
    let command = lab.change_answered(NEW, json!({"status": "Accepted"})).await;
    assert_eq!(command.status, "accepted");
    assert!(!lab.lets_in(lab.old.clone().as_bytes()).await);
    assert!(lab.lets_in(NEW.as_bytes()).await);
    let bytes: Vec<u8> = (0..20).map(|index| (index % 16) * 0x11).collect();
    assert!(lab.lets_in(&bytes).await, "as the bytes that its digits mean");
    let found = lab.database().await;
    assert!(found.contains("AuthorizationKey") && !found.contains(NEW), "{found}");
}

/// Rule 11, and A01.FR.04.
#[tokio::test]
async fn a_password_that_the_charge_point_refuses_is_none() {
    let database = Database::create().await;
    let mut lab = lab(&database).await;
    for answer in ["Rejected", "NotSupported", "a CALLERROR"] {
        match answer {
            "a CALLERROR" => {
                let changing = lab.change(NEW);
                let (id, ..) = lab.station.called().await;
                let error = json!([4, id, "InternalError", "", {}]);
                lab.station.send(&error.to_string()).await;
                assert_eq!(changing.await.unwrap().unwrap().status, "error");
            }
            status => {
                lab.change_answered(NEW, json!({"status": status})).await;
            }
        }
        assert!(!lab.lets_in(NEW.as_bytes()).await, "{answer}");
        lab.station = Station::connect(&lab.service, "CP1", &lab.old).await;
    }
}

/// Rule 11: nobody knows what the charge point did.
#[tokio::test]
async fn after_an_answer_that_cannot_be_read_both_passwords_are_good() {
    for spoilt in ["[3,ID]", "[3,ID,{}]", r#"[3,ID,{"status":"nonsense"}]"#] {
        let database = Database::create().await;
        let mut lab = lab(&database).await;
        let changing = lab.change(NEW);
        let (id, ..) = lab.station.called().await;
        let answer = spoilt.replace("ID", &json!(id).to_string());
        lab.station.send(&answer).await;
        changing.await.unwrap().unwrap();
        assert!(lab.lets_in(NEW.as_bytes()).await, "{spoilt}");
        assert!(!lab.lets_in(lab.old.clone().as_bytes()).await, "{spoilt}");
    }
}

/// Rule 11.
#[tokio::test]
async fn a_password_that_the_charge_point_repeats_in_its_refusal_is_kept_nowhere() {
    let database = Database::create().await;
    let mut lab = lab(&database).await;
    let changing = lab.change(NEW);
    let (id, ..) = lab.station.called().await;
    let error = json!([4, id, "PropertyConstraintViolation", format!("{NEW} is too short"), {"value": NEW}]);
    lab.station.send(&error.to_string()).await;
    let command = changing.await.unwrap().unwrap();
    assert_eq!(command.error_code.as_deref(), Some("PropertyConstraintViolation"));
    let kept = lab.database().await;
    assert!(
        kept.contains("PropertyConstraintViolation") && !kept.contains(NEW),
        "{kept}"
    );
}

/// Rule 11.
#[tokio::test]
async fn a_password_whose_answer_is_due_outlives_a_login_with_another_that_was_undecided() {
    let database = Database::create().await;
    let mut lab = lab(&database).await;
    let changing = lab.change("first");
    lab.station.called().await;
    assert_eq!(changing.await.unwrap().unwrap().status, "timeout");
    let changing = lab.change(NEW);
    let (id, ..) = lab.station.called().await;
    assert!(lab.lets_in(b"first").await);
    lab.station.answer(&id, json!({"status": "Accepted"})).await;
    assert_eq!(changing.await.unwrap().unwrap().status, "accepted");
    assert!(lab.lets_in(NEW.as_bytes()).await);
    assert!(!lab.lets_in(b"first").await);
}

/// Rule 11: short ones set by an operator are accepted.
#[tokio::test]
async fn a_charge_point_with_a_short_password_that_an_operator_has_set_comes_in() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let request = CreateChargePointRequest {
        identity: "CP1".to_owned(),
        password: Some("1234".to_owned()),
        ..Default::default()
    };
    let mut charge_points = service.charge_points();
    charge_points.create_charge_point(service.asks(request)).await.unwrap();
    Station::connect(&service, "CP1", "1234").await;
}

/// Rule 11.
#[tokio::test]
async fn while_nobody_knows_both_passwords_are_good_until_the_charge_point_uses_one() {
    for uses_the_new_one in [true, false] {
        let database = Database::create().await;
        let mut lab = lab(&database).await;
        let changing = lab.change("x");
        lab.station.called().await;
        assert_eq!(changing.await.unwrap().unwrap().status, "timeout");
        let old = lab.old.clone();
        let (used, other) = if uses_the_new_one { ("x", &*old) } else { (&*old, "x") };
        assert!(lab.lets_in(used.as_bytes()).await);
        assert!(!lab.lets_in(other.as_bytes()).await, "{uses_the_new_one}");
        assert!(lab.lets_in(used.as_bytes()).await);
    }
}

#[tokio::test]
async fn a_password_that_waits_for_a_reboot_is_good_beside_the_old_one_until_it_is_used() {
    let database = Database::create().await;
    let mut lab = lab(&database).await;
    lab.change_answered(NEW, json!({"status": "RebootRequired"})).await;
    let old = lab.old.clone();
    assert!(lab.lets_in(old.as_bytes()).await);
    assert!(lab.lets_in(NEW.as_bytes()).await);
    assert!(!lab.lets_in(old.as_bytes()).await);
}

/// Rule 11.
#[tokio::test]
async fn the_verb_makes_a_password_that_only_the_charge_point_learns() {
    let database = Database::create().await;
    let mut lab = lab(&database).await;
    let request = lab.service.asks(RotatePasswordRequest {
        identity: "CP1".to_owned(),
        ..Default::default()
    });
    let mut client = lab.service.charge_points();
    let rotating = tokio::spawn(async move { client.rotate_password(request).await });
    let (id, action, payload) = lab.station.called().await;
    assert_eq!(
        (action.as_str(), &payload["key"]),
        ("ChangeConfiguration", &json!("AuthorizationKey"))
    );
    let made = payload["value"].as_str().unwrap().to_owned();
    assert_eq!(made.len(), 40);
    lab.station.answer(&id, json!({"status": "Accepted"})).await;
    let command = rotating.await.unwrap().unwrap().into_inner();
    assert_eq!(command.status, "accepted");
    assert!(!command.payload.contains(&made));
    assert!(lab.lets_in(made.as_bytes()).await);
    assert!(!lab.lets_in(lab.old.clone().as_bytes()).await);
    assert!(!lab.database().await.contains(&made));
}

#[tokio::test]
async fn a_password_that_was_never_sent_is_forgotten_when_its_command_expires() {
    let database = Database::create().await;
    let lab = lab(&database).await;
    let Lab { service, station, old } = lab;
    station.hang_up().await;
    eventually("it is offline", async || !service.charge_point("CP1").await.online).await;
    let request = RotatePasswordRequest {
        identity: "CP1".to_owned(),
        password: Some("never-to-be-sent".to_owned()),
        wait_seconds: Some(0),
        expires_in_seconds: Some(60),
    };
    let queued = service
        .charge_points()
        .rotate_password(service.asks(request))
        .await
        .unwrap()
        .into_inner();
    assert!(!queued.payload.contains("never-to-be-sent"));
    service.clock.advance(chrono::TimeDelta::seconds(61));
    eventually("it expires", async || {
        service.get_command(&queued.id).await.status == "expired"
    })
    .await;
    let payload: String = sqlx::query_scalar("SELECT payload::text FROM ocpp.command")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert!(!payload.contains("never-to-be-sent"), "{payload}");
    Station::connect(&service, "CP1", &old).await;
}
