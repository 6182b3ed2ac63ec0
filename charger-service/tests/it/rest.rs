//! What operators ask for: lists by the page, one by name, conflicts and what is not there.

use serde_json::json;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Request;
use tonic_types::StatusExt;
use voltgate_proto::ocpp::v1::message_service_client::MessageServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason};
use crate::station::Station;

#[tokio::test]
async fn charge_points_are_listed_by_identity_a_page_at_a_time() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for identity in ["b", "a", "C", "d", "Ä"] {
        service.register(identity).await;
    }
    let mut identities = Vec::new();
    let mut token = String::new();
    loop {
        let request = ListChargePointsRequest {
            page_size: 2,
            page_token: token,
            ..Default::default()
        };
        let page = service
            .charge_points()
            .list_charge_points(service.asks(request))
            .await
            .unwrap()
            .into_inner();
        assert!(page.charge_points.len() <= 2);
        identities.extend(page.charge_points.into_iter().map(|charge_point| charge_point.identity));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(identities, ["C", "a", "b", "d", "Ä"]);
}

#[tokio::test]
async fn what_exists_cannot_be_created_again_and_what_does_not_is_not_found() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let again = CreateChargePointRequest {
        identity: "CP1".to_owned(),
        ..Default::default()
    };
    let status = service
        .charge_points()
        .create_charge_point(service.asks(again))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::ChargePointExists);

    service.register_token("Tag").await;
    let again = CreateIdTokenRequest {
        id_token: "TAG".to_owned(),
        ..Default::default()
    };
    let status = service
        .id_tokens()
        .create_id_token(service.asks(again))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::IdTokenExists);
    let get = GetIdTokenRequest {
        id_token: "tag".to_owned(),
    };
    let found = service
        .id_tokens()
        .get_id_token(service.asks(get))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((found.id_token.as_str(), found.r#type.as_str()), ("Tag", "ISO14443"));

    let get = GetChargePointRequest {
        identity: "CP2".to_owned(),
    };
    let status = service
        .charge_points()
        .get_charge_point(service.asks(get))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::NotFound);
    let get = GetTransactionRequest { id: 1 };
    let status = service
        .transactions()
        .get_transaction(service.asks(get))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::NotFound);
    let list = ListMeterValuesRequest {
        id: 1,
        ..Default::default()
    };
    let status = service
        .transactions()
        .list_meter_values(service.asks(list))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::NotFound);
    let get = GetCommandRequest {
        id: "not-a-uuid".to_owned(),
    };
    let status = service.commands().get_command(service.asks(get)).await.unwrap_err();
    assert_eq!(reason(&status), Reason::NotFound);
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_request_is_named() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let request = CreateChargePointRequest {
        identity: "events".to_owned(),
        password: Some(String::new()),
        ..Default::default()
    };
    let status = service
        .charge_points()
        .create_charge_point(service.asks(request))
        .await
        .unwrap_err();
    let fields: Vec<_> = status
        .get_details_bad_request()
        .unwrap()
        .field_violations
        .into_iter()
        .map(|v| v.field)
        .collect();
    assert_eq!(fields, ["identity", "password"]);

    let request = ListTransactionsRequest {
        status: Some("running".to_owned()),
        page_size: 1001,
        page_token: "%".to_owned(),
        ..Default::default()
    };
    let status = service
        .transactions()
        .list_transactions(service.asks(request))
        .await
        .unwrap_err();
    let fields: Vec<_> = status
        .get_details_bad_request()
        .unwrap()
        .field_violations
        .into_iter()
        .map(|v| v.field)
        .collect();
    assert_eq!(fields, ["status", "pageSize", "pageToken"]);
}

#[tokio::test]
async fn transactions_are_filtered_and_listed_newest_first() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register_token("TAG").await;
    for identity in ["CP1", "CP2"] {
        let password = service.register(identity).await;
        let mut station = Station::connect(&service, identity, &password).await;
        for minute in 0..3 {
            let id = station
                .start("TAG", minute, &format!("2026-03-01T12:0{minute}:00Z"))
                .await;
            if minute > 0 {
                let stop = json!({"transactionId": id, "meterStop": 10, "timestamp": "2026-03-01T13:00:00Z"});
                station.call("StopTransaction", stop).await;
            }
        }
        station.start("STRANGER", 0, "2026-03-01T12:09:00Z").await;
    }
    let list = async |identity: Option<&str>, status: Option<&str>| {
        let mut ids = Vec::new();
        let mut token = String::new();
        loop {
            let request = ListTransactionsRequest {
                identity: identity.map(str::to_owned),
                status: status.map(str::to_owned),
                page_size: 2,
                page_token: token,
                ..Default::default()
            };
            let page = service
                .transactions()
                .list_transactions(service.asks(request))
                .await
                .unwrap()
                .into_inner();
            ids.extend(page.transactions.into_iter().map(|transaction| transaction.id));
            token = page.next_page_token;
            if token.is_empty() {
                break ids;
            }
        }
    };
    assert_eq!(list(None, None).await, [8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(list(Some("CP1"), None).await, [4, 3, 2, 1]);
    assert_eq!(list(None, Some("active")).await, [5, 1]);
    assert_eq!(list(Some("CP2"), Some("completed")).await, [7, 6]);
    assert_eq!(list(Some("CP1"), Some("refused")).await, [4]);
    assert!(list(Some("CP9"), None).await.is_empty());
}

#[tokio::test]
async fn meter_values_and_messages_come_by_the_page_and_by_what_they_are() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register_token("TAG").await;
    let password = service.register("CP1").await;
    let mut station = Station::connect(&service, "CP1", &password).await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    for minute in [3, 1, 2] {
        let values = json!({"connectorId": 1, "transactionId": id, "meterValue": [
            {"timestamp": format!("2026-03-01T12:0{minute}:00Z"), "sampledValue": [
                {"value": minute.to_string()}, {"value": "230", "measurand": "Voltage", "unit": "V"}]}]});
        station.call("MeterValues", values).await;
    }
    let id = i32::try_from(id).unwrap();
    let mut values = Vec::new();
    let mut token = String::new();
    loop {
        let measurand = Some("Energy.Active.Import.Register".to_owned());
        let request = ListMeterValuesRequest {
            id,
            measurand,
            page_size: 2,
            page_token: token,
        };
        let page = service
            .transactions()
            .list_meter_values(service.asks(request))
            .await
            .unwrap()
            .into_inner();
        values.extend(page.meter_values.into_iter().map(|value| value.value));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(values, ["1", "2", "3"]);

    let list = async |action: Option<&str>, page_token: String| {
        let request = ListMessagesRequest {
            identity: "CP1".to_owned(),
            action: action.map(str::to_owned),
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let mut client = MessageServiceClient::new(service.channel.clone());
        client.list_messages(service.asks(request)).await.unwrap().into_inner()
    };
    let first = list(None, String::new()).await;
    let second = list(None, first.next_page_token.clone()).await;
    assert_eq!(second.next_page_token, "");
    let actions: Vec<_> = first
        .messages
        .iter()
        .chain(&second.messages)
        .filter_map(|m| m.action.as_deref())
        .collect();
    assert_eq!(
        actions,
        ["MeterValues", "MeterValues", "MeterValues", "StartTransaction"]
    );
    assert_eq!(list(Some("StartTransaction"), String::new()).await.messages.len(), 1);
}

#[tokio::test]
async fn without_a_token_nothing_is_told() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let status = service
        .charge_points()
        .list_charge_points(Request::new(ListChargePointsRequest::default()))
        .await
        .unwrap_err();
    assert_eq!(reason(&status), Reason::MissingCredentials);
}
