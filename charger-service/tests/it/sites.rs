//! Sites, and the charge points that stand there.

use service_kit::reason::Reason;
use testbed::Database;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use voltgate_proto::ocpp::v1::site_service_client::SiteServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason};

fn client(service: &Service) -> SiteServiceClient<Channel> {
    SiteServiceClient::new(service.channel.clone())
}

async fn create(service: &Service, name: &str, groups: &[&str]) -> Result<Response<Site>, Status> {
    let request = CreateSiteRequest {
        name: name.to_owned(),
        time_zone: Some("Europe/Berlin".to_owned()),
        grid_limit_watts: Some(250_000),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        ..Default::default()
    };
    client(service).create_site(service.asks(request)).await
}

impl Service {
    /// A new site; returns its id.
    pub async fn site(&self, name: &str) -> String {
        create(self, name, &[]).await.unwrap().into_inner().id
    }

    pub async fn stands_at(&self, identity: &str, site: &str) {
        stands_at(self, identity, site).await.unwrap();
    }
}

async fn names(service: &Service, group: Option<&str>, page_size: i32, page_token: &str) -> (Vec<String>, String) {
    let request = ListSitesRequest {
        group: group.map(str::to_owned),
        page_size,
        page_token: page_token.to_owned(),
    };
    let page = client(service)
        .list_sites(service.asks(request))
        .await
        .unwrap()
        .into_inner();
    let names = page.sites.into_iter().map(|site| site.name).collect();
    (names, page.next_page_token)
}

async fn stands_at(service: &Service, identity: &str, site: &str) -> Result<ChargePoint, Status> {
    let request = UpdateChargePointRequest {
        identity: identity.to_owned(),
        site_id: Some(site.to_owned()),
        ..Default::default()
    };
    let changed = service
        .charge_points()
        .update_charge_point(service.asks(request))
        .await?;
    Ok(changed.into_inner())
}

async fn identities_at(service: &Service, site: &str) -> Result<Vec<String>, Status> {
    let request = ListChargePointsRequest {
        site_id: Some(site.to_owned()),
        ..Default::default()
    };
    let page = service
        .charge_points()
        .list_charge_points(service.asks(request))
        .await?;
    Ok(page
        .into_inner()
        .charge_points
        .into_iter()
        .map(|one| one.identity)
        .collect())
}

async fn delete(service: &Service, id: &str) -> Result<(), Status> {
    let request = DeleteSiteRequest { id: id.to_owned() };
    client(service).delete_site(service.asks(request)).await?;
    Ok(())
}

#[tokio::test]
async fn sites_are_listed_by_name_and_by_group_and_no_name_is_there_twice() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for (name, groups) in [
        ("harbour", &["north"][..]),
        ("Airport", &["south", "north"]),
        ("Mall", &[]),
    ] {
        create(&service, name, groups).await.unwrap();
    }
    let refused = create(&service, "HARBOUR", &[]).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::SiteExists);
    let (first, token) = names(&service, None, 2, "").await;
    let (last, end) = names(&service, None, 2, &token).await;
    assert_eq!(
        (first, last),
        (
            vec!["Airport".to_owned(), "harbour".to_owned()],
            vec!["Mall".to_owned()]
        )
    );
    assert_eq!(end, "");
    assert_eq!(names(&service, Some("north"), 0, "").await.0, ["Airport", "harbour"]);
    assert_eq!(names(&service, Some("west"), 0, "").await.0, [""; 0]);
}

#[tokio::test]
async fn a_site_is_changed_in_the_version_that_was_seen_and_what_is_masked_and_left_out_is_cleared() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let created = create(&service, "Harbour", &["north"]).await.unwrap();
    let seen = created.metadata().get("etag").unwrap().clone();
    let id = created.into_inner().id;
    let change = |paths: &[&str]| {
        let update_mask = prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        };
        let request = UpdateSiteRequest {
            id: id.clone(),
            address: Some("Quay 1".to_owned()),
            update_mask: Some(update_mask),
            ..Default::default()
        };
        let mut request: Request<UpdateSiteRequest> = service.asks(request);
        request.metadata_mut().insert("if-match", seen.clone());
        let mut client = client(&service);
        async move { client.update_site(request).await }
    };
    let changed = change(&["address", "grid_limit_watts"]).await.unwrap().into_inner();
    assert_eq!(
        (changed.address.as_deref(), changed.grid_limit_watts),
        (Some("Quay 1"), None)
    );
    assert_eq!(
        (changed.name.as_str(), changed.groups),
        ("Harbour", vec!["north".to_owned()])
    );
    assert_eq!(reason(&change(&[]).await.unwrap_err()), Reason::PreconditionFailed);
}

#[tokio::test]
async fn a_site_stays_as_long_as_charge_points_stand_there() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for identity in ["CP1", "CP2", "CP3"] {
        service.register(identity).await;
    }
    let site = create(&service, "Harbour", &[]).await.unwrap().into_inner().id;
    for identity in ["CP2", "CP1"] {
        assert_eq!(
            stands_at(&service, identity, &site).await.unwrap().site_id.as_ref(),
            Some(&site)
        );
    }
    assert_eq!(identities_at(&service, &site).await.unwrap(), ["CP1", "CP2"]);
    assert_eq!(reason(&delete(&service, &site).await.unwrap_err()), Reason::SiteInUse);
    for identity in ["CP1", "CP2"] {
        assert_eq!(stands_at(&service, identity, "").await.unwrap().site_id, None);
    }
    delete(&service, &site).await.unwrap();
    assert_eq!(reason(&delete(&service, &site).await.unwrap_err()), Reason::NotFound);
    assert_eq!(identities_at(&service, &site).await.unwrap(), [""; 0]);
    assert_eq!(
        reason(&identities_at(&service, "no id").await.unwrap_err()),
        Reason::InvalidRequest
    );
    let refused = stands_at(&service, "CP1", &site).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::InvalidRequest);
    assert!(refused.message().contains("siteId"), "{refused:?}");
}

#[tokio::test]
async fn a_charge_point_is_registered_where_it_stands() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let site = create(&service, "Harbour", &[]).await.unwrap().into_inner().id;
    let register = |identity: &str, site: &str| {
        let request = CreateChargePointRequest {
            identity: identity.to_owned(),
            site_id: Some(site.to_owned()),
            ..Default::default()
        };
        let request = service.asks(request);
        let mut client = service.charge_points();
        async move { client.create_charge_point(request).await }
    };
    assert_eq!(
        register("CP1", &site).await.unwrap().into_inner().site_id,
        Some(site.clone())
    );
    let nowhere = uuid::Uuid::now_v7().to_string();
    assert_eq!(
        reason(&register("CP2", &nowhere).await.unwrap_err()),
        Reason::InvalidRequest
    );
    assert_eq!(identities_at(&service, &site).await.unwrap(), ["CP1"]);
}
