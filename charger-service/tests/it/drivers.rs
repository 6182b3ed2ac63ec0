//! What drivers see and do, and that it is their own only.

use chrono::TimeDelta;
use serde_json::json;
use service_kit::bus::Outcome;
use service_kit::clock::{Clock, SystemClock};
use service_kit::event;
use service_kit::reason::Reason;
use testbed::Database;
use tokio::task::JoinHandle;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use voltgate_proto::events::v1::AccountDeleted;
use voltgate_proto::ocpp::v1::charge_point_audit_service_client::ChargePointAuditServiceClient;
use voltgate_proto::ocpp::v1::driver_service_client::DriverServiceClient;
use voltgate_proto::ocpp::v1::site_service_client::SiteServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::connectors::{coded, declare};
use crate::operator::{Driver, operator};
use crate::service::{Service, reason};
use crate::state::connected;
use crate::station::Station;
use crate::tariffs;

pub const CODE: &str = "DE*ABC*E12345*1";

/// By the charge point's clock, which goes right.
pub fn seconds_ago(seconds: i64) -> String {
    (SystemClock.now() - TimeDelta::seconds(seconds)).to_rfc3339()
}

pub fn client(service: &Service) -> DriverServiceClient<Channel> {
    DriverServiceClient::new(service.channel.clone())
}

/// A token that belongs to a driver.
pub fn token(value: &str, driver: &Driver) -> CreateIdTokenRequest {
    CreateIdTokenRequest {
        id_token: value.to_owned(),
        account_id: Some(driver.account.clone()),
        ..Default::default()
    }
}

/// `CP1` is connected, and its connector 1 is known by [`CODE`].
pub async fn coded_and_connected(database: &Database) -> (Service, Station) {
    let (service, station) = connected(database).await;
    declare(&service, 1, coded(CODE), None).await.unwrap();
    (service, station)
}

async fn give(service: &Service, value: &str, driver: &Driver) {
    let request = UpdateIdTokenRequest {
        id_token: value.to_owned(),
        account_id: Some(driver.account.clone()),
        ..Default::default()
    };
    service
        .id_tokens()
        .update_id_token(service.asks(request))
        .await
        .unwrap();
}

pub fn wish(code: &str, id_token: Option<&str>) -> StartMyChargeRequest {
    StartMyChargeRequest {
        connector_code: code.to_owned(),
        id_token: id_token.map(str::to_owned),
        wait_seconds: Some(0),
    }
}

pub async fn start(service: &Service, driver: &Driver, wish: StartMyChargeRequest) -> Result<ChargeCommand, Status> {
    let started = client(service).start_my_charge(driver.asks(wish)).await?;
    Ok(started.into_inner())
}

async fn transaction(service: &Service, driver: &Driver, id: i32) -> Result<MyTransaction, Status> {
    let request = driver.asks(GetMyTransactionRequest { id });
    Ok(client(service).get_my_transaction(request).await?.into_inner())
}

async fn page(service: &Service, driver: &Driver, request: ListMyTransactionsRequest) -> ListMyTransactionsResponse {
    let page = client(service).list_my_transactions(driver.asks(request)).await;
    page.unwrap().into_inner()
}

async fn transactions(service: &Service, driver: &Driver) -> Vec<i32> {
    let page = page(service, driver, ListMyTransactionsRequest::default()).await;
    page.transactions.iter().map(|one| one.id).collect()
}

async fn tokens(service: &Service, driver: &Driver) -> Vec<String> {
    let request = driver.asks(ListMyIdTokensRequest::default());
    let page = client(service).list_my_id_tokens(request).await.unwrap().into_inner();
    page.id_tokens.into_iter().map(|one| one.id_token).collect()
}

async fn cost(service: &Service, driver: &Driver, id: i32) -> Result<ChargeCost, Status> {
    let request = driver.asks(GetMyCostRequest { id });
    Ok(client(service).get_my_cost(request).await?.into_inner())
}

async fn power_curve(service: &Service, driver: &Driver, id: i32) -> Result<String, Status> {
    let request = driver.asks(GetMyPowerCurveRequest { id });
    let drawn = client(service).get_my_power_curve(request).await?.into_inner();
    assert_eq!(drawn.content_type, "image/svg+xml");
    Ok(String::from_utf8(drawn.data.to_vec()).unwrap())
}

async fn follow(service: &Service, driver: &Driver, id: i32) -> Result<Streaming<ChargeProgress>, Status> {
    let request = driver.asks(FollowMyTransactionRequest { id });
    Ok(client(service).follow_my_transaction(request).await?.into_inner())
}

pub async fn commands(service: &Service) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM ocpp.command")
        .fetch_one(&service.pool)
        .await
        .unwrap()
}

/// The names of all RPCs that REST has under `/ocpp/my/`.
fn routes_of_drivers() -> Vec<String> {
    let pool = voltgate_proto::pool();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let methods = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>());
    let is_mine = |rule: &str| rule.contains("\"/ocpp/my/");
    methods
        .filter(|method| is_mine(&format!("{:?}", method.options().get_extension(&http))))
        .map(|method| method.name().to_owned())
        .collect()
}

/// What is another one's is refused as what is not there.
fn assert_alike(of_another: &Status, of_nobody: &Status) {
    assert_eq!(reason(of_another), Reason::NotFound);
    assert_eq!(
        (of_another.code(), of_another.message(), of_another.details()),
        (of_nobody.code(), of_nobody.message(), of_nobody.details())
    );
}

#[tokio::test]
async fn each_route_of_a_driver_shows_and_does_nothing_of_another_ones() {
    const NOBODYS: i32 = 4711;
    let database = Database::create().await;
    let (service, mut station) = coded_and_connected(&database).await;
    tariffs::create(&service, tariffs::named("Harbour", "0.39"))
        .await
        .unwrap();
    let (ada, bob) = (Driver::sign_up().await, Driver::sign_up().await);
    // An operator who asks here is a driver like any other.
    let admin = Driver {
        account: String::new(),
        access_token: operator().access_token.clone(),
    };
    service.register_tokens([token("ADA", &ada), token("BOB", &bob)]).await;
    let bobs = i32::try_from(station.start("BOB", 0, &seconds_ago(60)).await).unwrap();
    let values = json!({"connectorId": 1, "transactionId": bobs, "meterValue": [
        {"timestamp": seconds_ago(50), "sampledValue": [{"value": "10"}]}]});
    station.call("MeterValues", values).await;

    let routes = routes_of_drivers();
    assert!(routes.len() >= 8, "{routes:?}");
    for driver in [&ada, &admin] {
        for route in &routes {
            match route.as_str() {
                "ListMyIdTokens" => assert!(!tokens(&service, driver).await.contains(&"BOB".to_owned())),
                "ListMyTransactions" => assert_eq!(transactions(&service, driver).await, [0; 0]),
                "GetMyTransaction" => {
                    let refused = async |id| transaction(&service, driver, id).await.unwrap_err();
                    assert_alike(&refused(bobs).await, &refused(NOBODYS).await);
                }
                "ListMyMeterValues" => {
                    let refused = async |id| {
                        let request = ListMyMeterValuesRequest {
                            id,
                            ..Default::default()
                        };
                        let asked = client(&service).list_my_meter_values(driver.asks(request)).await;
                        asked.unwrap_err()
                    };
                    assert_alike(&refused(bobs).await, &refused(NOBODYS).await);
                }
                "GetMyCost" => {
                    let refused = async |id| cost(&service, driver, id).await.unwrap_err();
                    assert_alike(&refused(bobs).await, &refused(NOBODYS).await);
                }
                "GetMyPowerCurve" => {
                    let refused = async |id| power_curve(&service, driver, id).await.unwrap_err();
                    assert_alike(&refused(bobs).await, &refused(NOBODYS).await);
                }
                "FollowMyTransaction" => {
                    let refused = async |id| follow(&service, driver, id).await.unwrap_err();
                    assert_alike(&refused(bobs).await, &refused(NOBODYS).await);
                }
                "StopMyTransaction" => {
                    let refused = async |id| {
                        let request = StopMyTransactionRequest {
                            id,
                            wait_seconds: Some(0),
                        };
                        let asked = client(&service).stop_my_transaction(driver.asks(request)).await;
                        asked.unwrap_err()
                    };
                    assert_alike(&refused(bobs).await, &refused(NOBODYS).await);
                }
                "StartMyCharge" => {
                    let refused = async |value| start(&service, driver, wish(CODE, Some(value))).await.unwrap_err();
                    assert_alike(&refused("BOB").await, &refused("NOBODY").await);
                }
                // Connectors are nobody's; who charges there is not told.
                "GetMyConnector" => {
                    let request = driver.asks(GetMyConnectorRequest { code: CODE.to_owned() });
                    let connector = client(&service).get_my_connector(request).await.unwrap().into_inner();
                    let told = format!("{connector:?}");
                    assert!(!told.contains("BOB") && !told.contains("CP1"), "{told}");
                }
                other => panic!("{other} is a route of drivers, and nothing here shows that it keeps to their own"),
            }
        }
    }
    assert_eq!(commands(&service).await, 0, "nobody is asked for what is refused");
    // And it is all there for Bob.
    assert_eq!(tokens(&service, &bob).await, ["BOB"]);
    assert_eq!(transactions(&service, &bob).await, [bobs]);
    assert_eq!(transaction(&service, &bob, bobs).await.unwrap().status, "active");
    assert_eq!(cost(&service, &bob, bobs).await.unwrap().state, "running");
    assert!(
        power_curve(&service, &bob, bobs)
            .await
            .unwrap()
            .contains("has told no power")
    );
    let request = ListMyMeterValuesRequest {
        id: bobs,
        ..Default::default()
    };
    let values = client(&service).list_my_meter_values(bob.asks(request)).await;
    assert_eq!(values.unwrap().into_inner().meter_values[0].value, "10");
}

/// Asks beside the test, which plays the charge point meanwhile.
fn asking<T: Send + 'static>(
    asked: impl Future<Output = Result<tonic::Response<T>, Status>> + Send + 'static,
) -> JoinHandle<T> {
    tokio::spawn(async move { asked.await.unwrap().into_inner() })
}

#[tokio::test]
async fn a_driver_starts_a_charge_by_the_code_follows_it_and_stops_it() {
    let database = Database::create().await;
    let (service, mut station) = coded_and_connected(&database).await;
    let site = CreateSiteRequest {
        name: "Harbour".to_owned(),
        address: Some("Quay 1".to_owned()),
        ..Default::default()
    };
    let mut sites = SiteServiceClient::new(service.channel.clone());
    let site = sites.create_site(service.asks(site)).await.unwrap().into_inner();
    let stands = UpdateChargePointRequest {
        identity: "CP1".to_owned(),
        site_id: Some(site.id),
        ..Default::default()
    };
    service
        .charge_points()
        .update_charge_point(service.asks(stands))
        .await
        .unwrap();
    let ada = Driver::sign_up().await;
    service.register_tokens([token("ADA", &ada)]).await;
    tariffs::create(&service, tariffs::named("Harbour", "0.39"))
        .await
        .unwrap();

    let free = async || {
        let request = ada.asks(GetMyConnectorRequest {
            code: CODE.to_lowercase(),
        });
        let connector = client(&service).get_my_connector(request).await.unwrap().into_inner();
        assert_eq!(
            (
                connector.code.as_str(),
                connector.site_name.as_deref(),
                connector.site_address.as_deref()
            ),
            (CODE, Some("Harbour"), Some("Quay 1"))
        );
        connector.free
    };
    assert!(!free().await, "nobody has told");
    for (status, is_free) in [("Available", true), ("Charging", false), ("Preparing", true)] {
        let payload = json!({"connectorId": 1, "status": status, "errorCode": "NoError"});
        station.call("StatusNotification", payload).await;
        assert_eq!(free().await, is_free, "{status}");
    }

    let (mut drivers, request) = (client(&service), ada.asks(wish(&CODE.to_lowercase(), None)));
    let mut request = request.map(|wish| StartMyChargeRequest {
        wait_seconds: Some(30),
        ..wish
    });
    request
        .metadata_mut()
        .insert("idempotency-key", "once".parse().unwrap());
    let started = asking(async move { drivers.start_my_charge(request).await });
    let (id, action, payload) = station.called().await;
    assert_eq!(
        (action.as_str(), payload),
        ("RemoteStartTransaction", json!({"connectorId": 1, "idTag": "ADA"}))
    );
    station.answer(&id, json!({"status": "Accepted"})).await;
    let started = started.await.unwrap();
    assert_eq!((started.state.as_str(), started.reason.as_deref()), ("accepted", None));

    let charge = i32::try_from(station.start("ADA", 1000, &seconds_ago(60)).await).unwrap();
    let shown = transaction(&service, &ada, charge).await.unwrap();
    assert_eq!(
        (shown.connector_code.as_deref(), shown.site_name.as_deref()),
        (Some(CODE), Some("Harbour"))
    );
    let mut progress = follow(&service, &ada, charge).await.unwrap();
    let first = progress.message().await.unwrap().unwrap();
    assert_eq!((first.status.as_str(), first.energy_wh), ("active", None));
    let values = json!({"connectorId": 1, "transactionId": charge, "meterValue": [
        {"timestamp": seconds_ago(50), "sampledValue": [
            {"value": "3500"}, {"value": "64", "measurand": "SoC", "unit": "Percent"},
            {"value": "11", "measurand": "Power.Active.Import", "unit": "kW"}]}]});
    station.call("MeterValues", values).await;
    let next = progress.message().await.unwrap().unwrap();
    assert_eq!(
        (next.energy_wh, next.power_watts, next.soc_percent),
        (Some(2500), Some(11_000), Some(64))
    );
    let so_far = cost(&service, &ada, charge).await.unwrap();
    assert_eq!(
        (so_far.state.as_str(), so_far.cost.unwrap().total.as_str()),
        ("running", "0.98")
    );

    let (mut drivers, stop) = (
        client(&service),
        StopMyTransactionRequest {
            id: charge,
            wait_seconds: None,
        },
    );
    let request = ada.asks(stop);
    let stopping = asking(async move { drivers.stop_my_transaction(request).await });
    let (id, action, payload) = station.called().await;
    assert_eq!(
        (action.as_str(), payload),
        ("RemoteStopTransaction", json!({"transactionId": charge}))
    );
    station.answer(&id, json!({"status": "Rejected"})).await;
    let stopped = stopping.await.unwrap();
    assert_eq!(
        (stopped.state.as_str(), stopped.reason.as_deref()),
        ("rejected", Some("The charge point refuses"))
    );
    let stop = json!({"transactionId": charge, "meterStop": 6000, "timestamp": seconds_ago(0), "reason": "Remote"});
    station.call("StopTransaction", stop).await;
    let last = progress.message().await.unwrap().unwrap();
    assert_eq!(
        (last.status.as_str(), last.energy_wh, last.power_watts),
        ("completed", Some(5000), None)
    );
    assert_eq!(progress.message().await.unwrap(), None);
    let done = transaction(&service, &ada, charge).await.unwrap();
    assert_eq!(
        (done.status.as_str(), done.stop_reason.as_deref()),
        ("completed", Some("Remote"))
    );
    assert_eq!(
        (done.total_cost.as_deref(), done.currency.as_deref()),
        (Some("1.95"), Some("EUR"))
    );
    let bill = cost(&service, &ada, charge).await.unwrap();
    assert_eq!(
        (bill.state.as_str(), bill.cost.unwrap().total.as_str()),
        ("final", "1.95")
    );
}

#[tokio::test]
async fn a_token_that_is_handed_on_shows_nobody_what_the_other_charged() {
    let database = Database::create().await;
    let (service, mut station) = coded_and_connected(&database).await;
    let (ada, bob) = (Driver::sign_up().await, Driver::sign_up().await);
    service.register_tokens([token("CARD", &ada)]).await;
    let before = i32::try_from(station.start("CARD", 0, &seconds_ago(0)).await).unwrap();
    let offline = seconds_ago(0);
    give(&service, "CARD", &bob).await;
    let after = i32::try_from(station.start("card", 0, &seconds_ago(0)).await).unwrap();
    // It began when the token was Ada's still, and is told of only now. What began long before that was nobody's.
    let late = i32::try_from(station.start("CARD", 7, &offline).await).unwrap();
    station.start("CARD", 0, "2026-03-01T12:00:00Z").await;
    assert_eq!(transactions(&service, &ada).await, [late, before]);
    assert_eq!(transactions(&service, &bob).await, [after]);
    assert_eq!(tokens(&service, &ada).await, [""; 0]);
    assert_eq!(tokens(&service, &bob).await, ["CARD"]);
    let hidden = transaction(&service, &bob, before).await.unwrap_err();
    assert_eq!(reason(&hidden), Reason::NotFound);

    let listed = async |driver: &Driver| {
        let request = ListIdTokensRequest {
            account_id: Some(driver.account.clone()),
            ..Default::default()
        };
        let page = service.id_tokens().list_id_tokens(service.asks(request)).await;
        page.unwrap().into_inner().id_tokens.len()
    };
    assert_eq!((listed(&ada).await, listed(&bob).await), (0, 1));
    let nobody = ListIdTokensRequest {
        account_id: Some("bob".to_owned()),
        ..Default::default()
    };
    let refused = service.id_tokens().list_id_tokens(service.asks(nobody)).await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::InvalidRequest);
}

/// As auth-service tells of it.
async fn delete(service: &Service, driver: &Driver) {
    let deleted = AccountDeleted {
        account_id: driver.account.clone(),
        username: "ada".to_owned(),
        email: None,
        email_is_shared: false,
    };
    let event = event::new("auth-service", SystemClock.now(), &deleted);
    let published = service.bus.publisher().publish(std::slice::from_ref(&event)).await;
    assert_eq!(published.unwrap(), [Outcome::Published]);
}

#[tokio::test]
async fn the_tokens_of_a_deleted_account_charge_no_more_and_are_nobodys() {
    let database = Database::create().await;
    let (service, mut station) = coded_and_connected(&database).await;
    let (ada, bob) = (Driver::sign_up().await, Driver::sign_up().await);
    let code = CreateIdTokenRequest {
        r#type: Some("KeyCode".to_owned()),
        ..token("98417350264", &ada)
    };
    service
        .register_tokens([token("ADA", &ada), code, token("BOB", &bob)])
        .await;
    // The same event may come twice.
    for _ in 0..2 {
        delete(&service, &ada).await;
    }
    let state = async |value: &str| {
        let request = GetIdTokenRequest {
            id_token: value.to_owned(),
        };
        let found = service.id_tokens().get_id_token(service.asks(request)).await;
        let found = found.unwrap().into_inner();
        (found.blocked, found.account_id)
    };
    assert_eq!(state("ADA").await, (true, None));
    assert_eq!(state("98417350264").await, (true, None));
    assert_eq!(state("BOB").await, (false, Some(bob.account.clone())));
    assert_eq!(tokens(&service, &ada).await, [""; 0]);
    let authorized = station.call("Authorize", json!({"idTag": "ADA"})).await;
    assert_eq!(authorized["idTagInfo"]["status"], "Blocked");

    let request = service.asks(ListAuditEntriesRequest::default());
    let mut client = ChargePointAuditServiceClient::new(service.channel.clone());
    let entries = client.list_audit_entries(request).await.unwrap().into_inner().entries;
    let blocked: Vec<_> = entries
        .iter()
        .filter(|entry| entry.details.contains("accountDeleted"))
        .collect();
    assert_eq!(blocked.len(), 2);
    assert!(blocked.iter().all(|entry| entry.actor_id.is_none()), "{blocked:?}");
    assert!(
        !format!("{entries:?}").contains("98417350264"),
        "a code stands in no log"
    );
}

#[tokio::test]
async fn nobody_gives_a_token_to_an_account_that_was_deleted() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = Driver::sign_up().await;
    service.register_token("CARD").await;
    delete(&service, &ada).await;
    let request = CreateIdTokenRequest {
        account_id: Some(ada.account.clone()),
        ..token("NEW", &ada)
    };
    let refused = service
        .id_tokens()
        .create_id_token(service.asks(request))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::InvalidRequest);
    let request = UpdateIdTokenRequest {
        id_token: "CARD".to_owned(),
        account_id: Some(ada.account.clone()),
        ..Default::default()
    };
    let refused = service
        .id_tokens()
        .update_id_token(service.asks(request))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::InvalidRequest);
}

#[tokio::test]
async fn charges_are_listed_newest_first_a_page_at_a_time_and_by_each_filter() {
    let database = Database::create().await;
    let (service, mut station) = coded_and_connected(&database).await;
    let (ada, bob) = (Driver::sign_up().await, Driver::sign_up().await);
    service
        .register_tokens([token("ADA-1", &ada), token("ADA-2", &ada), token("BOB", &bob)])
        .await;
    let mut ids = Vec::new();
    for (second, tag) in (0..).zip(["ADA-1", "BOB", "ada-2", "ADA-1"]) {
        let id = station.start(tag, 0, &seconds_ago(60 - second)).await;
        if tag != "BOB" {
            ids.insert(0, i32::try_from(id).unwrap());
        }
    }
    let stop = json!({"transactionId": ids[1], "meterStop": 10, "timestamp": seconds_ago(0)});
    station.call("StopTransaction", stop).await;
    let mut listed = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListMyTransactionsRequest {
            page_size: 2,
            page_token,
            ..Default::default()
        };
        let page = page(&service, &ada, request).await;
        listed.extend(page.transactions.into_iter().map(|one| one.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(listed, ids);
    let filtered = async |request| {
        let page = page(&service, &ada, request).await;
        page.transactions.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    let completed = ListMyTransactionsRequest {
        status: Some("completed".to_owned()),
        ..Default::default()
    };
    assert_eq!(filtered(completed).await, [ids[1]]);
    let middle = transaction(&service, &ada, ids[1]).await.unwrap().start_received_at;
    let since = ListMyTransactionsRequest {
        started_after: middle,
        ..Default::default()
    };
    assert_eq!(filtered(since).await, ids[..2]);
    let until = ListMyTransactionsRequest {
        started_before: middle,
        ..Default::default()
    };
    assert_eq!(filtered(until).await, ids[2..]);
}

#[tokio::test]
async fn whoever_follows_a_charge_is_cut_off_when_they_log_out_and_follows_few_at_once() {
    let database = Database::create().await;
    let (service, mut station) = coded_and_connected(&database).await;
    let ada = Driver::sign_up().await;
    service.register_tokens([token("ADA", &ada)]).await;
    let charge = i32::try_from(station.start("ADA", 0, &seconds_ago(60)).await).unwrap();
    let mut watches = Vec::new();
    for _ in 0..8 {
        let mut watch = follow(&service, &ada, charge).await.unwrap();
        assert_eq!(watch.message().await.unwrap().unwrap().status, "active");
        watches.push(watch);
    }
    let refused = follow(&service, &ada, charge).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::TooManyRequests);
    ada.log_out().await;
    for mut watch in watches {
        let cut_off = watch.message().await.unwrap_err();
        assert_eq!(reason(&cut_off), Reason::InvalidToken);
    }
}
