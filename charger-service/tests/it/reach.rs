//! Operators who are limited to groups of sites, and that they stay there.

use prost_reflect::{DynamicMessage, Kind, MethodDescriptor, Value};
use serde_json::json;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::client::Grpc;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use voltgate_proto::api::v1::{Endpoint, Role, object};
use voltgate_proto::ocpp::v1::site_service_client::SiteServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::operator::{Driver, limited_operator};
use crate::service::{Service, reason};
use crate::station::Station;
use crate::tariffs;

/// What there is at one site, by its kind, and what there is not.
struct Place {
    site: String,
    identity: String,
    transaction: i32,
    command: String,
    stray: String,
    charge_record: String,
}

impl Place {
    fn of_nobody() -> Self {
        let uuid = "01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e99".to_owned();
        Self {
            site: uuid.clone(),
            identity: "NOBODY".to_owned(),
            transaction: 4711,
            command: uuid.clone(),
            stray: uuid.clone(),
            charge_record: uuid,
        }
    }

    fn named(&self, kind: object::Kind) -> Value {
        match kind {
            object::Kind::Transaction => Value::I32(self.transaction),
            object::Kind::ChargePoint => Value::String(self.identity.clone()),
            object::Kind::Command => Value::String(self.command.clone()),
            object::Kind::Site => Value::String(self.site.clone()),
            object::Kind::Stray => Value::String(self.stray.clone()),
            object::Kind::ChargeRecord => Value::String(self.charge_record.clone()),
            object::Kind::Unspecified => panic!("nothing is of no kind"),
        }
    }
}

async fn furnished(service: &Service, identity: &str, group: &str) -> (Place, Station) {
    let site = CreateSiteRequest {
        name: group.to_owned(),
        groups: vec![group.to_owned()],
        ..Default::default()
    };
    let mut sites = SiteServiceClient::new(service.channel.clone());
    let site = sites.create_site(service.asks(site)).await.unwrap().into_inner().id;
    let password = service.register(identity).await;
    service.stands_at(identity, &site).await;
    let mut station = Station::connect(service, identity, &password).await;
    station.boot().await;
    let id = station.start("TAG", 0, "2026-03-01T12:00:00Z").await;
    for (transaction, wh) in [(id, 1000), (999_999, 2000)] {
        let stop = json!({"transactionId": transaction, "meterStop": wh, "timestamp": "2026-03-01T13:00:00Z"});
        station.call("StopTransaction", stop).await;
    }
    let command = service
        .command(identity, "ClearCache", json!({}), 0)
        .await
        .unwrap()
        .unwrap();
    let pick = async |sql: &'static str| -> String {
        let picked = sqlx::query_scalar(sql).bind(identity).fetch_one(&service.pool).await;
        picked.unwrap()
    };
    let place = Place {
        site,
        identity: identity.to_owned(),
        transaction: i32::try_from(id).unwrap(),
        command: command.id,
        stray: pick(
            "SELECT unmatched.id::text FROM ocpp.unmatched JOIN ocpp.charge_point ON charge_point.id = charge_point_id
             WHERE identity = $1",
        )
        .await,
        charge_record: pick("SELECT id::text FROM ocpp.charge_record WHERE identity = $1").await,
    };
    (place, station)
}

/// Every RPC of this service with its options.
fn rpcs() -> Vec<(MethodDescriptor, Endpoint)> {
    let pool = voltgate_proto::pool();
    let option = pool.get_extension_by_name("voltgate.api.v1.endpoint").unwrap();
    let own = pool
        .services()
        .filter(|service| service.package_name() == "voltgate.ocpp.v1");
    let rpcs = own.flat_map(|service| service.methods().collect::<Vec<_>>());
    rpcs.map(|rpc| {
        let endpoint = rpc.options().get_extension(&option).into_owned();
        let endpoint = endpoint.as_message().unwrap().transcode_to().unwrap();
        (rpc, endpoint)
    })
    .collect()
}

/// A request that is about what is at a place, and says nothing else.
fn about(rpc: &MethodDescriptor, endpoint: &Endpoint, place: &Place) -> DynamicMessage {
    let mut request = DynamicMessage::new(rpc.input());
    let objects = endpoint.reach.iter().flat_map(|reach| &reach.objects);
    for object in objects.filter(|object| !object.if_told) {
        let field = rpc.input().get_field_by_name(&object.field).unwrap();
        let value = place.named(object.kind());
        assert_eq!(matches!(value, Value::I32(_)), field.kind() == Kind::Int32);
        request.set_field(&field, value);
    }
    request
}

async fn ask(service: &Service, who: &Driver, rpc: &MethodDescriptor, message: DynamicMessage) -> Result<(), Status> {
    let request: Request<DynamicMessage> = who.asks(message);
    let path = format!("/{}/{}", rpc.parent_service().full_name(), rpc.name());
    let mut client = Grpc::new(service.channel.clone());
    client.ready().await.unwrap();
    let codec = ProstCodec::<DynamicMessage, ()>::default();
    if rpc.is_server_streaming() {
        client
            .server_streaming(request, path.parse().unwrap(), codec)
            .await
            .map(|_| ())
    } else {
        client.unary(request, path.parse().unwrap(), codec).await.map(|_| ())
    }
}

#[tokio::test]
async fn an_operator_of_the_north_finds_nothing_of_the_south_by_any_call() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register_token("TAG").await;
    tariffs::create(&service, tariffs::named("All", "0.39")).await.unwrap();
    let (north, _north_station) = furnished(&service, "NORTH", "north").await;
    let (south, _south_station) = furnished(&service, "SOUTH", "south").await;
    let operator = limited_operator(&["north", "far north"]).await;
    let (mut kept, mut closed) = (0, 0);
    for (rpc, endpoint) in rpcs() {
        let roles: Vec<_> = endpoint.roles().collect();
        if !roles.contains(&Role::Operator) || roles.contains(&Role::Driver) || rpc.is_client_streaming() {
            continue;
        }
        let name = rpc.full_name().to_owned();
        let Some(reach) = &endpoint.reach else {
            let refused = ask(&service, &operator, &rpc, about(&rpc, &endpoint, &north)).await;
            assert_eq!(reason(&refused.expect_err(&name)), Reason::PermissionDenied, "{name}");
            closed += 1;
            continue;
        };
        if reach.objects.is_empty() {
            continue;
        }
        let refused = async |place: &Place| {
            let asked = ask(&service, &operator, &rpc, about(&rpc, &endpoint, place)).await;
            asked.expect_err(&name)
        };
        let (of_another, of_nobody) = (refused(&south).await, refused(&Place::of_nobody()).await);
        assert_eq!(reason(&of_another), Reason::NotFound, "{name}");
        assert_eq!(
            (of_another.code(), of_another.message(), of_another.details()),
            (of_nobody.code(), of_nobody.message(), of_nobody.details()),
            "{name}"
        );
        // Nothing is named: it is asked for, not answered for all.
        let bare = ask(&service, &operator, &rpc, DynamicMessage::new(rpc.input())).await;
        assert_eq!(bare.expect_err(&name).code(), Code::InvalidArgument, "{name}");
        if name.contains(".Get") || name.contains(".List") || name.contains("Explain") {
            let shown = ask(&service, &operator, &rpc, about(&rpc, &endpoint, &north)).await;
            // There may be none of what more it asks for.
            let is_let_in = shown
                .as_ref()
                .map_or_else(|status| status.message() != of_nobody.message(), |()| true);
            assert!(is_let_in, "{name}: {shown:?}");
        }
        kept += 1;
    }
    assert!(kept > 40 && closed > 20, "{kept} {closed}");
}

#[tokio::test]
async fn lists_and_events_leave_out_what_is_elsewhere_and_nobody_moves_a_charge_point_out_of_reach() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register_token("TAG").await;
    tariffs::create(&service, tariffs::named("All", "0.39")).await.unwrap();
    let (north, _north_station) = furnished(&service, "NORTH", "north").await;
    let (south, _south_station) = furnished(&service, "SOUTH", "south").await;
    service.register("NOWHERE").await;
    let operator = limited_operator(&["north"]).await;
    let mut points = service.charge_points();
    let charge_points = points.list_charge_points(operator.asks(ListChargePointsRequest::default()));
    let charge_points = charge_points.await.unwrap().into_inner().charge_points;
    assert_eq!(
        charge_points
            .iter()
            .map(|one| one.identity.as_str())
            .collect::<Vec<_>>(),
        ["NORTH"]
    );
    let mut sites = SiteServiceClient::new(service.channel.clone());
    let listed = sites
        .list_sites(operator.asks(ListSitesRequest::default()))
        .await
        .unwrap()
        .into_inner()
        .sites;
    assert_eq!(
        listed.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(),
        [north.site.as_str()]
    );
    let mut client = service.transactions();
    let transactions = client.list_transactions(operator.asks(ListTransactionsRequest::default()));
    let transactions = transactions.await.unwrap().into_inner().transactions;
    assert_eq!(
        transactions.iter().map(|one| one.id).collect::<Vec<_>>(),
        [north.transaction]
    );

    let moved = async |identity: &str, site: &str| {
        let request = UpdateChargePointRequest {
            identity: identity.to_owned(),
            site_id: Some(site.to_owned()),
            ..Default::default()
        };
        service
            .charge_points()
            .update_charge_point(operator.asks(request))
            .await
            .map(|_| ())
    };
    moved("NORTH", &north.site).await.unwrap();
    for (identity, site) in [
        ("NORTH", south.site.as_str()),
        ("NORTH", ""),
        ("SOUTH", north.site.as_str()),
        ("NOWHERE", &north.site),
    ] {
        assert_eq!(
            reason(&moved(identity, site).await.unwrap_err()),
            Reason::NotFound,
            "{identity} {site}"
        );
    }
    let masked = UpdateChargePointRequest {
        identity: "NORTH".to_owned(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["site_id".to_owned()],
        }),
        ..Default::default()
    };
    let refused = service.charge_points().update_charge_point(operator.asks(masked)).await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::NotFound);
    // Whose site joins another group comes within reach at once.
    let request = UpdateSiteRequest {
        id: south.site.clone(),
        groups: vec!["south".to_owned(), "north".to_owned()],
        ..Default::default()
    };
    sites.update_site(service.asks(request)).await.unwrap();
    moved("SOUTH", &north.site).await.unwrap();
}
