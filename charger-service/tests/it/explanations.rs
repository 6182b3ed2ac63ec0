//! Why a charge costs what it costs.

use serde_json::json;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use voltgate_proto::ocpp::v1::explanation_service_client::ExplanationServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason};
use crate::state::connected;
use crate::strays::only_stray;
use crate::tariffs::{create, energy, named, terms};

async fn page(service: &Service, request: ExplainTransactionRequest) -> Result<Explanation, Status> {
    let mut client = ExplanationServiceClient::new(service.channel.clone());
    let explained = client.explain_transaction(service.asks(request)).await?;
    Ok(explained.into_inner())
}

/// All steps, read so many frames at a time.
async fn steps(service: &Service, id: i64, page_size: i32) -> Vec<ExplanationStep> {
    let mut steps = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ExplainTransactionRequest {
            transaction_id: i32::try_from(id).unwrap(),
            page_size,
            page_token,
        };
        let page = page(service, request).await.unwrap();
        steps.extend(page.steps);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return steps;
        }
    }
}

/// What each is, and how it begins.
fn told(steps: &[ExplanationStep]) -> Vec<(&str, &str)> {
    let end = |text: &str| text.find([':', ';', ',']).unwrap_or(text.len());
    steps
        .iter()
        .map(|step| (step.kind.as_str(), &step.text[..end(&step.text)]))
        .collect()
}

#[tokio::test]
async fn a_bill_is_explained_frame_by_frame_decision_by_decision_and_line_by_line() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("CARD1").await;
    let taxed = TariffTerms {
        taxes: vec![Tax {
            name: "VAT".to_owned(),
            percent: "19".to_owned(),
        }],
        ..terms(vec![energy("0.39")])
    };
    let tariff = CreateTariffRequest {
        terms: Some(taxed),
        ..named("Harbour", "0")
    };
    create(&service, tariff).await.unwrap();
    station.call("Authorize", json!({"idTag": "OTHER"})).await;
    station.call("Authorize", json!({"idTag": "card1"})).await;
    let id = station.start("CARD1", 1000, "2026-03-01T12:00:00Z").await;
    let values = json!({"connectorId": 1, "transactionId": id, "meterValue": [
        {"timestamp": "2026-03-01T12:30:00Z", "sampledValue": [{"value": "3500"}]}]});
    station.call("MeterValues", values.clone()).await;
    // Said again it makes no difference.
    station.call("MeterValues", values).await;
    let of_another = json!({"connectorId": 2, "status": "Available", "errorCode": "NoError"});
    station.call("StatusNotification", of_another).await;
    let idle =
        json!({"connectorId": 1, "status": "SuspendedEV", "errorCode": "NoError", "timestamp": "2026-03-01T12:40:00Z"});
    station.call("StatusNotification", idle).await;
    let running = steps(&service, id, 0).await;
    let last = running.last().unwrap();
    assert_eq!(
        (last.kind.as_str(), last.text.as_str()),
        ("cost", "Up to now: 1.16 EUR")
    );

    let payload = json!({"transactionId": id});
    service
        .exchange(
            &mut station,
            "RemoteStopTransaction",
            payload,
            json!({"status": "Accepted"}),
        )
        .await;
    let stop = json!({"transactionId": id, "meterStop": 6000, "timestamp": "2026-03-01T13:00:00Z", "reason": "Remote"});
    station.call("StopTransaction", stop).await;
    let whole = steps(&service, id, 0).await;
    assert_eq!(
        told(&whole),
        [
            ("frame", "The charge point asks whether card1 may charge"),
            (
                "frame",
                "The charge point tells that a charge has started at connector 1 with CARD1"
            ),
            ("decision", "CARD1 is Accepted"),
            ("decision", "The charge goes by the tariff “Harbour” in its version 1"),
            ("frame", "The charge point tells a value of the meter"),
            ("frame", "The connector is SuspendedEV"),
            ("frame", "The charge point is asked to stop the charge"),
            ("frame", "The charge point tells that the charge has stopped"),
            ("decision", "Energy"),
            ("cost", "Energy"),
            ("cost", "VAT"),
            ("cost", "Rounding"),
            ("cost", "In all"),
        ]
    );
    assert!(whole.is_sorted_by_key(|step| step.at.map(|at| (at.seconds, at.nanos))));
    let start = whole[1].frame.as_ref().unwrap();
    assert_eq!(
        (start.origin.as_str(), start.action.as_str()),
        ("station", "StartTransaction")
    );
    assert!(start.request.contains("\"meterStart\":1000") && start.response.is_some());
    assert_eq!(whole[6].frame.as_ref().unwrap().origin, "csms");
    assert_eq!(
        whole[8].text,
        "Energy: 5000 Wh, the register at the stop (6000 Wh) less the register at the start (1000 Wh)"
    );
    let lines: Vec<_> = whole[9..]
        .iter()
        .map(|step| (step.amount.as_deref(), step.currency.as_deref()))
        .collect();
    let euros = |amount| (Some(amount), Some("EUR"));
    assert_eq!(lines, [euros("1.95"), euros("0.3705"), euros("-0.0005"), euros("2.32")]);
    // In whatever pieces it is read, it is the same.
    for size in [1, 2, 3] {
        assert_eq!(steps(&service, id, size).await, whole, "{size}");
    }
}

#[tokio::test]
async fn what_an_operator_has_corrected_is_told_with_what_it_replaces() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("CARD1").await;
    let id = station.start("CARD1", 1000, "2026-03-01T12:00:00Z").await;
    for wh in [2000, 6000] {
        let stop = json!({"transactionId": id, "meterStop": wh, "timestamp": "2026-03-01T13:00:00Z"});
        station.call("StopTransaction", stop).await;
    }
    service.merge(&only_stray(&service).await, id).await.unwrap();
    let steps = steps(&service, id, 0).await;
    let merged = steps
        .iter()
        .find(|step| step.text.contains("merges a stop"))
        .expect("it is told");
    assert!(
        merged
            .text
            .ends_with("it takes the place of the stop with the register at 2000 Wh"),
        "{}",
        merged.text
    );
    assert_eq!(steps.iter().filter(|step| step.text.contains("has stopped")).count(), 2);
    assert!(
        steps.iter().any(|step| step.text.starts_with("No tariff holds")),
        "{steps:?}"
    );
    assert!(steps.iter().all(|step| step.kind != "cost"));
}

#[tokio::test]
async fn a_transaction_whose_frames_are_no_longer_kept_is_explained_without_them() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let id = station.start("NOBODY", 1000, "2026-03-01T12:00:00Z").await;
    sqlx::query("DELETE FROM ocpp.message")
        .execute(&service.pool)
        .await
        .unwrap();
    let steps = steps(&service, id, 0).await;
    let texts: Vec<_> = steps.iter().map(|step| step.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "NOBODY is Invalid: the charge is refused, and costs nothing",
            "The frame that told the start is not in the message log any more"
        ]
    );
    let unknown = ExplainTransactionRequest {
        transaction_id: 4711,
        ..Default::default()
    };
    assert_eq!(reason(&page(&service, unknown).await.unwrap_err()), Reason::NotFound);
}
