//! The time that a caller gives ends the work in the database too. Its tables are locked here, so every statement would
//! wait until its own limit.

use std::pin::Pin;
use std::time::Duration;

use service_kit::reason::Reason;
use testbed::{Database, Lock};
use tokio::task::JoinSet;
use tonic::{Request, Status};
use voltgate_proto::ocpp::v1::message_service_client::MessageServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason};

const TIME: Duration = Duration::from_secs(2);

/// Everything that is asked below needs one of them, and the housekeeping of the service none.
const TABLES: &str = "ocpp.charge_point, ocpp.id_token, ocpp.transaction";

type Asked = Pin<Box<dyn Future<Output = Option<Status>> + Send>>;

fn in_time<T>(service: &Service, message: T) -> Request<T> {
    let mut request = service.asks(message);
    request.set_timeout(TIME);
    request
}

macro_rules! ask {
    ($service:expr, $client:expr, $method:ident, $request:expr) => {{
        let (request, mut client) = (in_time($service, $request), $client);
        Box::pin(async move { client.$method(request).await.err() }) as Asked
    }};
}

fn reads_and_writes(service: &Service) -> Vec<Asked> {
    let identity = || "CP1".to_owned();
    let (points, tokens) = (|| service.charge_points(), || service.id_tokens());
    let (transactions, commands) = (|| service.transactions(), || service.commands());
    let messages = MessageServiceClient::new(service.channel.clone());
    let new_point = CreateChargePointRequest {
        identity: "CP2".to_owned(),
        ..Default::default()
    };
    let new_token = CreateIdTokenRequest {
        id_token: "CARD".to_owned(),
        ..Default::default()
    };
    let id = uuid::Uuid::now_v7().to_string();
    let one = GetChargePointRequest { identity: identity() };
    let its_connectors = ListConnectorsRequest { identity: identity() };
    let token = GetIdTokenRequest {
        id_token: "CARD".to_owned(),
    };
    let its_commands = ListCommandsRequest {
        identity: identity(),
        ..Default::default()
    };
    let its_messages = ListMessagesRequest {
        identity: identity(),
        ..Default::default()
    };
    let values = ListMeterValuesRequest {
        id: 1,
        ..Default::default()
    };
    let command = Service::command_request("CP1", "ClearCache", serde_json::json!({}), 30);
    vec![
        ask!(service, points(), create_charge_point, new_point),
        ask!(
            service,
            points(),
            list_charge_points,
            ListChargePointsRequest::default()
        ),
        ask!(service, points(), get_charge_point, one),
        ask!(service, points(), list_connectors, its_connectors),
        ask!(service, tokens(), create_id_token, new_token),
        ask!(service, tokens(), list_id_tokens, ListIdTokensRequest::default()),
        ask!(service, tokens(), get_id_token, token),
        ask!(
            service,
            transactions(),
            list_transactions,
            ListTransactionsRequest::default()
        ),
        ask!(
            service,
            transactions(),
            get_transaction,
            GetTransactionRequest { id: 1 }
        ),
        ask!(service, transactions(), list_meter_values, values),
        ask!(service, commands(), send_command, command),
        ask!(service, commands(), list_commands, its_commands),
        ask!(service, commands(), get_command, GetCommandRequest { id }),
        ask!(service, messages, list_messages, its_messages),
    ]
}

#[tokio::test]
async fn every_read_and_write_ends_at_its_deadline_in_the_database_too() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let mut lock = Lock::of(&database, TABLES).await;
    let mut asked = reads_and_writes(&service);
    while !asked.is_empty() {
        // No more than there are connections, so that each of them gets to the database.
        let some: JoinSet<_> = asked.drain(..asked.len().min(7)).collect();
        let count = i64::try_from(some.len()).unwrap();
        let (answers, ()) = tokio::join!(some.join_all(), lock.waited_for_by(count, "ocpp."));
        for status in answers {
            assert_eq!(
                status.as_ref().map(reason),
                Some(Reason::DeadlineExceeded),
                "{status:?}"
            );
        }
        // They still want the tables, and would for a minute.
        lock.waited_for_by(0, "ocpp.").await;
    }
    lock.release().await;
    // The connections are none the worse for it.
    assert_eq!(service.charge_point("CP1").await.identity, "CP1");
}
