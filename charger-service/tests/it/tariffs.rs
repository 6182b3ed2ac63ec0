//! What charging costs: tariffs, the cost while a charge runs, and the record in the end.

use chrono::{DateTime, Utc};
use serde_json::json;
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use tonic::transport::Channel;
use tonic_types::StatusExt;
use voltgate_proto::ocpp::v1::charge_record_service_client::ChargeRecordServiceClient;
use voltgate_proto::ocpp::v1::site_service_client::SiteServiceClient;
use voltgate_proto::ocpp::v1::stray_service_client::StrayServiceClient;
use voltgate_proto::ocpp::v1::tariff_service_client::TariffServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason};
use crate::state::connected;
use crate::station::Station;

fn tariffs(service: &Service) -> TariffServiceClient<Channel> {
    TariffServiceClient::new(service.channel.clone())
}

fn records(service: &Service) -> ChargeRecordServiceClient<Channel> {
    ChargeRecordServiceClient::new(service.channel.clone())
}

pub fn energy(price: &str) -> TariffElement {
    TariffElement {
        energy_price: Some(price.to_owned()),
        ..Default::default()
    }
}

pub fn terms(elements: Vec<TariffElement>) -> TariffTerms {
    TariffTerms {
        currency: "EUR".to_owned(),
        elements,
        ..Default::default()
    }
}

pub fn named(name: &str, price: &str) -> CreateTariffRequest {
    CreateTariffRequest {
        name: name.to_owned(),
        terms: Some(terms(vec![energy(price)])),
        valid_from: Some(at("2026-01-01T00:00:00Z")),
        ..Default::default()
    }
}

fn at(text: &str) -> prost_types::Timestamp {
    timestamp(text.parse::<DateTime<Utc>>().unwrap())
}

pub async fn create(service: &Service, request: CreateTariffRequest) -> Result<Tariff, Status> {
    let created = tariffs(service).create_tariff(service.asks(request)).await;
    created.map(tonic::Response::into_inner)
}

async fn of_charge_point(service: &Service, identity: &str) -> Result<String, Status> {
    let request = GetTariffOfChargePointRequest {
        identity: identity.to_owned(),
    };
    let tariff = tariffs(service).get_tariff_of_charge_point(service.asks(request)).await;
    tariff.map(|tariff| tariff.into_inner().name)
}

async fn cost(service: &Service, transaction: i64) -> Result<ChargeCost, Status> {
    let request = GetCostRequest {
        transaction_id: i32::try_from(transaction).unwrap(),
    };
    let cost = records(service).get_cost(service.asks(request)).await;
    cost.map(tonic::Response::into_inner)
}

async fn all_records(service: &Service, transaction: i64) -> Vec<ChargeRecord> {
    let request = ListChargeRecordsRequest {
        transaction_id: Some(i32::try_from(transaction).unwrap()),
        ..Default::default()
    };
    let page = records(service).list_charge_records(service.asks(request)).await;
    page.unwrap().into_inner().charge_records
}

/// Each line in short.
fn lines(cost: &Cost) -> Vec<String> {
    let line = |line: &CostLine| match &line.quantity {
        Some(quantity) => format!("{} {quantity} = {}", line.part, line.amount),
        None => format!(
            "{} {} = {}",
            line.part,
            line.tax_name.as_deref().unwrap_or_default(),
            line.amount
        ),
    };
    cost.lines.iter().map(line).collect()
}

async fn stop(station: &mut Station, transaction: i64, wh: i64, at: &str) {
    let stop = json!({"transactionId": transaction, "meterStop": wh, "timestamp": at});
    assert_eq!(station.call("StopTransaction", stop).await, json!({}));
}

async fn status(station: &mut Station, status: &str, at: &str) {
    let notification = json!({"connectorId": 1, "status": status, "errorCode": "NoError", "timestamp": at});
    station.call("StatusNotification", notification).await;
}

#[tokio::test]
async fn a_charge_costs_what_its_tariff_says_while_it_runs_and_in_the_end() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let everything = TariffElement {
        time_price: Some("1.20".to_owned()),
        idle_price: Some("6".to_owned()),
        session_price: Some("0.50".to_owned()),
        ..energy("0.39")
    };
    let taxed = TariffTerms {
        taxes: vec![Tax {
            name: "VAT".to_owned(),
            percent: "19".to_owned(),
        }],
        idle_free_minutes: 10,
        ..terms(vec![everything])
    };
    let tariff = CreateTariffRequest {
        terms: Some(taxed.clone()),
        ..named("Harbour", "0")
    };
    let tariff = create(&service, tariff).await.unwrap();
    let id = station.start("TAG", 1000, "2026-03-01T12:00:00Z").await;
    let values = json!({"connectorId": 1, "transactionId": id, "meterValue": [
        {"timestamp": "2026-03-01T12:30:00Z", "sampledValue": [{"value": "6000"}]}]});
    station.call("MeterValues", values).await;
    let running = cost(&service, id).await.unwrap();
    assert_eq!((running.state.as_str(), running.charge_record_id), ("running", None));
    let running = running.cost.unwrap();
    let shown = lines(&running);
    assert_eq!(
        (shown[0].as_str(), shown[2].as_str()),
        ("energy 5 = 1.95", "session 1 = 0.5")
    );
    // It goes on until now.
    assert!(shown[1].starts_with("time ") && running.currency == "EUR", "{shown:?}");

    status(&mut station, "SuspendedEV", "2026-03-01T13:00:00Z").await;
    let signed = json!({"transactionId": id, "meterStop": 13_345, "timestamp": "2026-03-01T13:30:00Z", "transactionData": [
        {"timestamp": "2026-03-01T13:30:00Z", "sampledValue": [{"value": "OCMF|{}|{}", "format": "SignedData"}]}]});
    station.call("StopTransaction", signed).await;
    let done = cost(&service, id).await.unwrap();
    assert_eq!(done.state, "final");
    let [record] = all_records(&service, id).await.try_into().unwrap();
    assert_eq!(done.charge_record_id.as_ref(), Some(&record.id));
    assert_eq!(done.cost, record.cost);
    let bill = record.cost.unwrap();
    assert_eq!(
        lines(&bill),
        [
            "energy 12.345 = 4.81455",
            "time 1 = 1.2",
            "idle 0.333333 = 2",
            "session 1 = 0.5",
            "tax VAT = 1.617765",
            "rounding  = -0.002315"
        ]
    );
    assert_eq!((bill.total.as_str(), bill.remarks.len()), ("10.13", 0));
    assert_eq!(
        (record.number, record.identity.as_str(), record.energy_wh.as_deref()),
        (1, "CP1", Some("12345"))
    );
    assert_eq!(
        (record.tariff_id, record.tariff_version, record.terms),
        (tariff.id, 1, Some(taxed))
    );
    assert_eq!(record.signed_meter_values, ["OCMF|{}|{}"]);
    let listed = service.transaction(id).await;
    assert_eq!(
        (listed.total_cost.as_deref(), listed.currency.as_deref()),
        (Some("10.13"), Some("EUR"))
    );
    let one = GetChargeRecordRequest { id: record.id };
    let one = records(&service).get_charge_record(service.asks(one)).await.unwrap();
    assert_eq!(one.into_inner().transaction_id, i32::try_from(id).unwrap());
}

#[tokio::test]
async fn a_charge_goes_by_the_version_of_the_tariff_that_held_when_it_began() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let tariff = create(&service, named("All", "1")).await.unwrap();
    let before = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let dearer = ReplaceTariffRequest {
        id: tariff.id.clone(),
        name: "All".to_owned(),
        terms: Some(terms(vec![energy("2")])),
        ..Default::default()
    };
    let dearer = tariffs(&service)
        .replace_tariff(service.asks(dearer))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((dearer.version, dearer.valid_from), (2, tariff.valid_from));
    let after = station.start("TAG", 0, "2026-03-01T12:10:00Z").await;
    let withdrawn = DeleteTariffRequest { id: tariff.id };
    tariffs(&service).delete_tariff(service.asks(withdrawn)).await.unwrap();
    let free = station.start("TAG", 0, "2026-03-01T12:20:00Z").await;
    for id in [before, after, free] {
        stop(&mut station, id, 10_000, "2026-03-01T13:00:00Z").await;
    }
    assert_eq!(cost(&service, before).await.unwrap().cost.unwrap().total, "10.00");
    assert_eq!(cost(&service, after).await.unwrap().cost.unwrap().total, "20.00");
    assert_eq!(reason(&cost(&service, free).await.unwrap_err()), Reason::NotFound);
    assert_eq!(service.transaction(free).await.total_cost, None);
}

#[tokio::test]
async fn the_tariff_of_the_narrowest_place_counts_and_there_the_one_that_holds_since_last() {
    let database = Database::create().await;
    let (service, _station) = connected(&database).await;
    assert_eq!(
        reason(&of_charge_point(&service, "CP1").await.unwrap_err()),
        Reason::NotFound
    );
    let site = CreateSiteRequest {
        name: "Harbour".to_owned(),
        groups: vec!["north".to_owned(), "owned".to_owned()],
        ..Default::default()
    };
    let mut sites = SiteServiceClient::new(service.channel.clone());
    let site = sites.create_site(service.asks(site)).await.unwrap().into_inner();
    let stands = UpdateChargePointRequest {
        identity: "CP1".to_owned(),
        site_id: Some(site.id.clone()),
        ..Default::default()
    };
    service
        .charge_points()
        .update_charge_point(service.asks(stands))
        .await
        .unwrap();
    let since = |tariff: CreateTariffRequest, from: &str, until: Option<&str>| CreateTariffRequest {
        valid_from: Some(at(from)),
        valid_until: until.map(at),
        ..tariff
    };
    let of_group = |name: &str| CreateTariffRequest {
        site_group: Some("north".to_owned()),
        ..named(name, "1")
    };
    let steps = [
        (named("everywhere", "1"), "everywhere"),
        (
            CreateTariffRequest {
                site_group: Some("south".to_owned()),
                ..named("elsewhere", "1")
            },
            "everywhere",
        ),
        (of_group("group"), "group"),
        (
            since(of_group("group, later"), "2026-02-01T00:00:00Z", None),
            "group, later",
        ),
        (
            since(
                of_group("group, over"),
                "2026-02-15T00:00:00Z",
                Some("2026-03-01T12:00:00Z"),
            ),
            "group, later",
        ),
        (
            since(of_group("group, to come"), "2126-03-01T12:00:00Z", None),
            "group, later",
        ),
        (
            CreateTariffRequest {
                site_id: Some(site.id.clone()),
                ..named("site", "1")
            },
            "site",
        ),
        (
            CreateTariffRequest {
                identity: Some("CP1".to_owned()),
                ..named("charge point", "1")
            },
            "charge point",
        ),
    ];
    for (tariff, expected) in steps {
        let name = tariff.name.clone();
        create(&service, tariff).await.unwrap();
        assert_eq!(of_charge_point(&service, "CP1").await.unwrap(), expected, "{name}");
    }
    let gone = DeleteSiteRequest { id: site.id };
    assert_eq!(
        reason(&sites.delete_site(service.asks(gone)).await.unwrap_err()),
        Reason::SiteInUse
    );
}

#[tokio::test]
async fn prices_follow_the_clock_of_the_site_and_the_readings_of_the_meter() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    let site = CreateSiteRequest {
        name: "Harbour".to_owned(),
        time_zone: Some("Europe/Berlin".to_owned()),
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
    let night = TariffElement {
        window: Some(TariffWindow {
            from: "22:00".to_owned(),
            until: "06:00".to_owned(),
            days: Vec::new(),
        }),
        ..energy("0.20")
    };
    let tariff = CreateTariffRequest {
        terms: Some(terms(vec![night, energy("0.40")])),
        ..named("Day and night", "0")
    };
    create(&service, tariff).await.unwrap();
    let id = station.start("TAG", 500, "2026-01-15T20:00:00Z").await;
    let values = json!({"connectorId": 1, "transactionId": id, "meterValue": [
        {"timestamp": "2026-01-15T21:00:00Z", "sampledValue": [{"value": "9500"}]}]});
    station.call("MeterValues", values).await;
    stop(&mut station, id, 10_500, "2026-01-15T22:00:00Z").await;
    let [record] = all_records(&service, id).await.try_into().unwrap();
    assert_eq!(record.time_zone, "Europe/Berlin");
    assert_eq!(lines(&record.cost.unwrap()), ["energy 1 = 0.2", "energy 9 = 3.6"]);
}

/// Rule 4: an operator's correction is another record, and the first stays what it was.
#[tokio::test]
async fn a_stop_that_is_corrected_has_a_record_more_and_a_repeated_one_has_not() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    create(&service, named("All", "1")).await.unwrap();
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    let closing = CloseTransactionRequest {
        id: i32::try_from(id).unwrap(),
        meter_stop_wh: Some(5000),
        reason: "it is gone".to_owned(),
        ..Default::default()
    };
    service
        .transactions()
        .close_transaction(service.asks(closing.clone()))
        .await
        .unwrap();
    service
        .transactions()
        .close_transaction(service.asks(closing))
        .await
        .unwrap();
    assert_eq!(all_records(&service, id).await.len(), 1);
    stop(&mut station, id, 8000, "2026-03-01T13:00:00Z").await;
    let mut strays = StrayServiceClient::new(service.channel.clone());
    let listed = strays
        .list_strays(service.asks(ListStraysRequest::default()))
        .await
        .unwrap();
    let merge = MergeStrayRequest {
        id: listed.into_inner().strays.remove(0).id,
        transaction_id: i32::try_from(id).unwrap(),
    };
    strays.merge_stray(service.asks(merge.clone())).await.unwrap();
    strays.merge_stray(service.asks(merge)).await.unwrap();
    let totals: Vec<_> = all_records(&service, id)
        .await
        .into_iter()
        .map(|record| (record.number, record.cost.unwrap().total))
        .collect();
    assert_eq!(totals, [(2, "8.00".to_owned()), (1, "5.00".to_owned())]);
    assert_eq!(cost(&service, id).await.unwrap().cost.unwrap().total, "8.00");
    assert_eq!(service.transaction(id).await.total_cost.as_deref(), Some("8.00"));
    for never in [
        "UPDATE ocpp.charge_record SET number = 3",
        "UPDATE ocpp.tariff_version SET name = ''",
    ] {
        assert!(sqlx::query(never).execute(&service.pool).await.is_err(), "{never}");
    }
}

#[tokio::test]
async fn a_refused_charge_costs_nothing_and_one_whose_energy_nobody_knows_says_so() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    service.register_token("TAG").await;
    create(&service, named("All", "1")).await.unwrap();
    let refused = station.start("NOBODY", 0, "2026-03-01T12:00:00Z").await;
    stop(&mut station, refused, 5000, "2026-03-01T13:00:00Z").await;
    assert_eq!(reason(&cost(&service, refused).await.unwrap_err()), Reason::NotFound);
    let unknown = station.start("TAG", 5000, "2026-03-01T12:00:00Z").await;
    // The register stands lower than at the start.
    stop(&mut station, unknown, 100, "2026-03-01T13:00:00Z").await;
    let bill = cost(&service, unknown).await.unwrap().cost.unwrap();
    assert_eq!(
        (bill.total.as_str(), bill.lines.len(), bill.remarks.len()),
        ("0.00", 0, 1)
    );
    assert!(bill.remarks[0].contains("do not tell the energy"));
    let none = cost(&service, 2_000_000_000).await.unwrap_err();
    assert_eq!(none.message(), "There is no transaction of this id");
}

#[tokio::test]
async fn what_a_tariff_cannot_be_is_refused_by_name() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    create(&service, named("All", "1")).await.unwrap();
    for (same, wrong) in [("name", named("ALL", "2")), ("beginning", named("Other", "2"))] {
        assert_eq!(
            reason(&create(&service, wrong).await.unwrap_err()),
            Reason::TariffExists,
            "{same}"
        );
    }
    let otherwise = CreateTariffRequest {
        valid_from: Some(at("2026-02-01T00:00:00Z")),
        ..named("Other", "1")
    };
    for (field, wrong) in [
        (
            "identity",
            CreateTariffRequest {
                identity: Some("NOBODY".to_owned()),
                ..otherwise.clone()
            },
        ),
        (
            "siteId",
            CreateTariffRequest {
                site_id: Some("nowhere".to_owned()),
                ..otherwise.clone()
            },
        ),
        (
            "siteGroup",
            CreateTariffRequest {
                identity: Some("CP1".to_owned()),
                site_group: Some("north".to_owned()),
                ..otherwise.clone()
            },
        ),
        (
            "terms",
            CreateTariffRequest {
                terms: None,
                ..otherwise.clone()
            },
        ),
        (
            "validUntil",
            CreateTariffRequest {
                valid_until: otherwise.valid_from,
                ..otherwise.clone()
            },
        ),
    ] {
        let refused = create(&service, wrong).await.unwrap_err();
        let violations = refused.get_details_bad_request().unwrap().field_violations;
        assert_eq!(violations[0].field, field);
    }
    let unknown = GetTariffRequest {
        id: "nothing".to_owned(),
    };
    let unknown = tariffs(&service).get_tariff(service.asks(unknown)).await.unwrap_err();
    assert_eq!(reason(&unknown), Reason::NotFound);
    assert!(
        tariffs(&service).create_tariff(named("Other", "1")).await.is_err(),
        "nobody may without a token"
    );
}

#[tokio::test]
async fn tariffs_are_listed_by_name_and_changed_in_the_version_that_was_seen() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for (month, name) in ["c", "A", "b"].into_iter().enumerate() {
        let tariff = CreateTariffRequest {
            valid_from: Some(at(&format!("2026-0{}-01T00:00:00Z", month + 1))),
            ..named(name, "1")
        };
        create(&service, tariff).await.unwrap();
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListTariffsRequest {
            page_size: 2,
            page_token,
        };
        let page = tariffs(&service)
            .list_tariffs(service.asks(request))
            .await
            .unwrap()
            .into_inner();
        seen.extend(page.tariffs);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(
        seen.iter().map(|tariff| tariff.name.as_str()).collect::<Vec<_>>(),
        ["A", "b", "c"]
    );
    let id = seen[0].id.clone();
    let get = GetTariffRequest { id: id.clone() };
    let tag = tariffs(&service).get_tariff(service.asks(get)).await.unwrap();
    let tag = tag.metadata().get("etag").unwrap().clone();
    let replace = |name: &str| {
        let mut request = service.asks(ReplaceTariffRequest {
            id: id.clone(),
            name: name.to_owned(),
            terms: Some(terms(vec![energy("2")])),
            ..Default::default()
        });
        request.metadata_mut().insert("if-match", tag.clone());
        request
    };
    tariffs(&service).replace_tariff(replace("first")).await.unwrap();
    let second = tariffs(&service).replace_tariff(replace("second")).await.unwrap_err();
    assert_eq!(reason(&second), Reason::PreconditionFailed);
    let log: Vec<String> =
        sqlx::query_scalar("SELECT action FROM ocpp.audit WHERE action LIKE 'tariff.%' ORDER BY at, id")
            .fetch_all(&service.pool)
            .await
            .unwrap();
    assert_eq!(
        log,
        ["tariff.created", "tariff.created", "tariff.created", "tariff.replaced"]
    );
}
