//! Changes by operators, and versions by which none overwrites another unseen.

use service_kit::reason::Reason;
use testbed::Database;
use tonic::{Request, Response};
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason};
use crate::station::Station;

fn etag<T>(response: &Response<T>) -> String {
    response.metadata().get("etag").unwrap().to_str().unwrap().to_owned()
}

fn matching<T>(mut request: Request<T>, tags: &str) -> Request<T> {
    request.metadata_mut().insert("if-match", tags.parse().unwrap());
    request
}

fn block(blocked: bool) -> UpdateIdTokenRequest {
    UpdateIdTokenRequest {
        id_token: "tag".to_owned(),
        blocked: Some(blocked),
        ..Default::default()
    }
}

fn rename(name: &str) -> UpdateChargePointRequest {
    UpdateChargePointRequest {
        identity: "CP1".to_owned(),
        display_name: Some(name.to_owned()),
        ..Default::default()
    }
}

fn get_charge_point() -> GetChargePointRequest {
    GetChargePointRequest {
        identity: "CP1".to_owned(),
    }
}

#[tokio::test]
async fn an_id_token_is_changed_in_the_version_that_was_seen_and_in_no_other() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut client = service.id_tokens();
    let create = CreateIdTokenRequest {
        id_token: "Tag".to_owned(),
        group_id: Some("Family".to_owned()),
        ..Default::default()
    };
    let first = etag(&client.create_id_token(service.asks(create)).await.unwrap());
    let get = GetIdTokenRequest {
        id_token: "TAG".to_owned(),
    };
    assert_eq!(etag(&client.get_id_token(service.asks(get)).await.unwrap()), first);

    let change = matching(service.asks(block(true)), &first);
    let changed = client.update_id_token(change).await.unwrap();
    let second = etag(&changed);
    assert_ne!(second, first);
    let changed = changed.into_inner();
    assert!(changed.blocked);
    assert_eq!(
        (changed.id_token.as_str(), changed.group_id.as_deref()),
        ("Tag", Some("Family"))
    );

    for tags in [first.as_str(), "\"nonsense\"", &format!("W/{second}")] {
        let refused = client.update_id_token(matching(service.asks(block(false)), tags)).await;
        assert_eq!(reason(&refused.unwrap_err()), Reason::PreconditionFailed, "{tags}");
    }
    let refused = client.update_id_token(matching(service.asks(block(false)), "7")).await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::InvalidRequest);
    for tags in [format!("\"1000000\", {}", etag_of(&service).await), "*".to_owned()] {
        client
            .update_id_token(matching(service.asks(block(false)), &tags))
            .await
            .unwrap();
    }
    client.update_id_token(service.asks(block(false))).await.unwrap();
}

async fn etag_of(service: &Service) -> String {
    let get = GetIdTokenRequest {
        id_token: "tag".to_owned(),
    };
    let mut client = service.id_tokens();
    etag(&client.get_id_token(service.asks(get)).await.unwrap())
}

#[tokio::test]
async fn a_mask_clears_what_it_names_and_the_request_leaves_out() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let create = CreateIdTokenRequest {
        id_token: "Tag".to_owned(),
        r#type: Some("eMAID".to_owned()),
        group_id: Some("Family".to_owned()),
        blocked: true,
        ..Default::default()
    };
    service.register_tokens([create]).await;
    let request = UpdateIdTokenRequest {
        id_token: "Tag".to_owned(),
        update_mask: Some(prost_types::FieldMask {
            paths: vec!["type".to_owned(), "group_id".to_owned()],
        }),
        ..Default::default()
    };
    let changed = service
        .id_tokens()
        .update_id_token(service.asks(request))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (changed.r#type.as_str(), changed.group_id, changed.blocked),
        ("ISO14443", None, true)
    );
}

#[tokio::test]
async fn an_id_token_is_deleted_in_the_version_that_was_seen_and_a_new_one_has_another() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut client = service.id_tokens();
    let delete = || {
        service.asks(DeleteIdTokenRequest {
            id_token: "tag".to_owned(),
        })
    };
    service.register_token("Tag").await;
    let seen = etag_of(&service).await;
    client.update_id_token(service.asks(block(true))).await.unwrap();
    let refused = client.delete_id_token(matching(delete(), &seen)).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::PreconditionFailed);
    let seen = etag_of(&service).await;
    client.delete_id_token(matching(delete(), &seen)).await.unwrap();
    let gone = client.delete_id_token(matching(delete(), &seen)).await.unwrap_err();
    assert_eq!(reason(&gone), Reason::NotFound);
    let gone = client.update_id_token(service.asks(block(true))).await.unwrap_err();
    assert_eq!(reason(&gone), Reason::NotFound);

    service.register_token("Tag").await;
    let refused = client.delete_id_token(matching(delete(), &seen)).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::PreconditionFailed);
    client.delete_id_token(delete()).await.unwrap();
}

#[tokio::test]
async fn what_a_charge_point_reports_changes_its_tag_and_refuses_no_change() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut client = service.charge_points();
    let create = CreateChargePointRequest {
        identity: "CP1".to_owned(),
        ..Default::default()
    };
    let created = client.create_charge_point(service.asks(create)).await.unwrap();
    let first = etag(&created);
    let read = client.get_charge_point(service.asks(get_charge_point())).await.unwrap();
    assert_eq!(etag(&read), first);

    let password = created.into_inner().password.unwrap();
    let _station = Station::connect(&service, "CP1", &password).await;
    let read = client.get_charge_point(service.asks(get_charge_point())).await.unwrap();
    assert!(read.get_ref().online);
    assert_ne!(etag(&read), first);

    let renamed = client
        .update_charge_point(matching(service.asks(rename("Depot")), &first))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (renamed.display_name.as_str(), renamed.registration_status.as_str()),
        ("Depot", "Accepted")
    );
    let refused = client
        .update_charge_point(matching(service.asks(rename("Yard")), &first))
        .await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::PreconditionFailed);
    let unknown = UpdateChargePointRequest {
        identity: "CP2".to_owned(),
        ..Default::default()
    };
    let unknown = client
        .update_charge_point(matching(service.asks(unknown), &first))
        .await;
    assert_eq!(reason(&unknown.unwrap_err()), Reason::NotFound);
}
