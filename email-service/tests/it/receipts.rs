//! Receipts of charges, for whoever has a verified address.

use chrono::TimeDelta;
use service_kit::clock::{Clock, SystemClock};
use service_kit::event::{self, timestamp};
use voltgate_proto::email::v1::ResendMessageRequest;
use voltgate_proto::events::v1::{ChargingCost, ChargingCostLine, ChargingFinished, Place, PowerPoint};

use crate::rig::eventually;
use crate::services::{Services, as_bearer};

fn charge(account: Option<String>) -> ChargingFinished {
    let stopped = SystemClock.now();
    let started = stopped - TimeDelta::hours(1);
    ChargingFinished {
        transaction_id: 42,
        account_id: account,
        identity: "CP-1".to_owned(),
        connector_id: 1,
        place: Some(Place {
            site_name: "Harbour".to_owned(),
            time_zone: "Europe/Berlin".to_owned(),
            ..Place::default()
        }),
        started_at: Some(timestamp(started)),
        stopped_at: Some(timestamp(stopped)),
        energy_wh: Some("12345".to_owned()),
        cost: Some(ChargingCost {
            record_id: uuid::Uuid::now_v7().to_string(),
            record_number: 1,
            tariff_name: "Harbour 2026".to_owned(),
            currency: "EUR".to_owned(),
            total: "4.81".to_owned(),
            lines: vec![ChargingCostLine {
                part: "energy".to_owned(),
                quantity: Some("12.345".to_owned()),
                unit: Some("kWh".to_owned()),
                price: Some("0.39".to_owned()),
                amount: "4.81455".to_owned(),
                ..ChargingCostLine::default()
            }],
            remarks: vec!["duration_implausible".to_owned()],
        }),
        power: [(0, 0), (10, 11_000), (50, 7400), (60, 0)]
            .map(|(minute, watts)| PowerPoint {
                at: Some(timestamp(started + TimeDelta::minutes(minute))),
                watts,
            })
            .to_vec(),
        highest_watts: Some(11_040),
        ..ChargingFinished::default()
    }
}

impl Services {
    async fn finish(&self, charge: &ChargingFinished) {
        let event = event::new("charger-service", SystemClock.now(), charge);
        self.rig.write(&event).await;
    }

    async fn account(&self) -> String {
        sqlx::query_scalar("SELECT id::text FROM authentication.account WHERE username = 'mara'")
            .fetch_one(&self.rig.database)
            .await
            .unwrap()
    }

    async fn verify(&self) {
        sqlx::query(
            "UPDATE authentication.account SET email_verified_at = now(), language = 'de' WHERE username = 'mara'",
        )
        .execute(&self.rig.database)
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn whoever_charged_gets_a_receipt_with_its_lines_and_its_power_in_their_language() {
    let services = Services::start().await;
    services.verify().await;
    services.finish(&charge(Some(services.account().await))).await;
    services.rig.sent(3).await;
    let mails = services.rig.mails();
    let mail = mails.iter().find(|mail| mail.contains("Beleg")).unwrap();
    assert!(mail.contains("To: mara@example.org"), "{mail}");
    let unfolded = mail.replace("=\r\n", "").replace("=3D", "=");
    for part in [
        "Guten Tag mara",
        "Energie: 12,345 kWh zu 0,39 EUR/kWh: 4,81455 EUR",
        "Leistung bis zu 11,0 kW",
        "Summe: 4,81 EUR",
        "Die Ladestation hat mehr Zeit gemeldet, als sein kann; sie ist nicht in der Summe.",
        "<svg ",
        "Harbour 2026",
    ] {
        assert!(unfolded.contains(part), "{part} is not in {unfolded}");
    }
    services.rig.stop().await;
}

#[tokio::test]
async fn whoever_has_no_verified_address_and_nobody_get_none() {
    let services = Services::start().await;
    services.finish(&charge(Some(services.account().await))).await;
    services.finish(&charge(None)).await;
    services.finish(&charge(Some(uuid::Uuid::now_v7().to_string()))).await;
    eventually("both are known to be for nobody", || async {
        services.rig.messages("unaddressed").await == 2
    })
    .await;
    assert_eq!(services.rig.number("SELECT count(*) FROM email.message").await, 4);
    assert_eq!(services.rig.mails().len(), 2);
    services.rig.stop().await;
}

#[tokio::test]
async fn a_receipt_waits_while_nobody_says_for_whom_it_is() {
    use crate::rig::{Rig, local};

    let mut rig = Rig::new().await;
    let bus = local();
    rig.start_email(&bus).await;
    rig.start_relay(&bus);
    let event = event::new(
        "charger-service",
        SystemClock.now(),
        &charge(Some(uuid::Uuid::now_v7().to_string())),
    );
    rig.write(&event).await;
    rig.sign_up("jonas").await;
    eventually("it waits, and keeps nobody else waiting", || async {
        let waits = "SELECT count(*) FROM email.message WHERE status = 'queued' AND last_error LIKE 'auth-service does not say%'";
        rig.number(waits).await == 1 && rig.messages("sent").await == 1
    })
    .await;
    rig.stop().await;
}

#[tokio::test]
async fn a_receipt_that_is_sent_again_goes_to_where_its_owner_reads_mail_by_then() {
    let mut services = Services::start().await;
    services.finish(&charge(Some(services.account().await))).await;
    eventually("nobody is reached", || async {
        services.rig.messages("unaddressed").await == 1
    })
    .await;
    services.verify().await;
    sqlx::query("UPDATE authentication.account SET email = 'mara@new.example' WHERE username = 'mara'")
        .execute(&services.rig.database)
        .await
        .unwrap();
    let id: String = sqlx::query_scalar("SELECT id::text FROM email.message WHERE template = 'receipt'")
        .fetch_one(&services.rig.database)
        .await
        .unwrap();
    let resend = as_bearer(&services.admin, ResendMessageRequest { id });
    services.email.resend_message(resend).await.unwrap();
    eventually("they have it", || async {
        services
            .rig
            .mails()
            .iter()
            .any(|mail| mail.contains("To: mara@new.example") && mail.contains("Beleg"))
    })
    .await;
    services.rig.stop().await;
}
