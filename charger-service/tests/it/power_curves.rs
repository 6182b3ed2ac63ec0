//! The power over a charge, drawn.

use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use voltgate_proto::ocpp::v1::GetPowerCurveRequest;

use crate::service::{Service, reason};
use crate::state::connected;
use crate::station::Station;

async fn drawn(service: &Service, id: i64) -> Result<String, Status> {
    let request = GetPowerCurveRequest {
        id: i32::try_from(id).unwrap(),
    };
    let drawn = service
        .transactions()
        .get_power_curve(service.asks(request))
        .await?
        .into_inner();
    assert_eq!(drawn.content_type, "image/svg+xml");
    Ok(String::from_utf8(drawn.data.to_vec()).unwrap())
}

async fn tell(station: &mut Station, id: i64, time: &str, values: Value) {
    let values = json!({"connectorId": 1, "transactionId": id, "meterValue": [
        {"timestamp": format!("2026-03-01T{time}:00Z"), "sampledValue": values}]});
    station.call("MeterValues", values).await;
}

#[tokio::test]
async fn power_is_drawn_as_it_was_told_and_otherwise_as_the_register_tells_it() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    assert!(drawn(&service, id).await.unwrap().contains("has told no power"));
    tell(&mut station, id, "12:00", json!([{"value": "0"}])).await;
    tell(&mut station, id, "13:00", json!([{"value": "7.4", "unit": "kWh"}])).await;
    let derived = drawn(&service, id).await.unwrap();
    assert!(
        derived.contains("Power in kW, by the energy between two readings") && derived.contains(">12:30<"),
        "{derived}"
    );
    let phases = |kw: &str| {
        let phase =
            |phase: &str| json!({"value": kw, "unit": "kW", "measurand": "Power.Active.Import", "phase": phase});
        json!([phase("L1"), phase("L2"), phase("L3"), phase("L3-N")])
    };
    tell(&mut station, id, "12:00", phases("1")).await;
    tell(&mut station, id, "13:00", phases("3.6")).await;
    let told = drawn(&service, id).await.unwrap();
    // Of 15 kW at the most.
    assert!(
        told.contains("Power in kW<") && told.contains(">15<") && !told.contains(">20<"),
        "{told}"
    );
    assert_eq!(reason(&drawn(&service, 4711).await.unwrap_err()), Reason::NotFound);
}
