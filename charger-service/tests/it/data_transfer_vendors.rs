//! The register of vendors, as operators keep it.

use chrono::TimeDelta;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};
use tonic_types::StatusExt;
use voltgate_proto::ocpp::v1::data_transfer_vendor_service_client::DataTransferVendorServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, reason};

fn client(service: &Service) -> DataTransferVendorServiceClient<Channel> {
    DataTransferVendorServiceClient::new(service.channel.clone())
}

fn vendor(vendor_id: &str) -> ReplaceDataTransferVendorRequest {
    ReplaceDataTransferVendorRequest {
        vendor_id: vendor_id.to_owned(),
        url: "https://hooks.example.com/ocpp".to_owned(),
        ..Default::default()
    }
}

async fn put(
    service: &Service,
    request: ReplaceDataTransferVendorRequest,
) -> Result<Response<DataTransferVendor>, Status> {
    client(service)
        .replace_data_transfer_vendor(service.asks(request))
        .await
}

fn tag(response: &Response<DataTransferVendor>) -> String {
    response.metadata().get("etag").unwrap().to_str().unwrap().to_owned()
}

fn if_match<T>(mut request: Request<T>, tag: &str) -> Request<T> {
    request.metadata_mut().insert("if-match", tag.parse().unwrap());
    request
}

#[tokio::test]
async fn a_vendor_is_registered_replaced_listed_and_deleted_and_its_secret_shown_once() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let created = put(&service, vendor("com.Example")).await.unwrap().into_inner();
    let secret = created.signing_secret.clone().unwrap();
    assert!(secret.starts_with("whsec_"));
    assert_eq!((created.timeout_seconds, created.message_ids.len()), (10, 0));
    // The answer may have got lost on its way.
    let again = put(&service, vendor("com.example")).await.unwrap().into_inner();
    assert_eq!(again.signing_secret, created.signing_secret);
    service.clock.advance(TimeDelta::seconds(11));
    let sealed = "SELECT signing_secret FROM ocpp.data_transfer_vendor";
    let before: Vec<u8> = sqlx::query_scalar(sealed).fetch_one(&service.pool).await.unwrap();

    let replaced = ReplaceDataTransferVendorRequest {
        message_ids: vec!["TariffQuery".to_owned()],
        timeout_seconds: Some(3),
        ..vendor("COM.example")
    };
    let replaced = put(&service, replaced).await.unwrap();
    let get = GetDataTransferVendorRequest {
        vendor_id: "com.example".to_owned(),
    };
    let got = client(&service)
        .get_data_transfer_vendor(service.asks(get.clone()))
        .await
        .unwrap();
    assert_eq!(tag(&got), tag(&replaced));
    let (got, replaced) = (got.into_inner(), replaced.into_inner());
    assert_eq!(got, replaced);
    assert_eq!((got.vendor_id.as_str(), got.timeout_seconds), ("com.Example", 3));
    assert_eq!(
        (got.signing_secret.as_ref(), got.message_ids.as_slice()),
        (None, &["TariffQuery".to_owned()][..])
    );
    let after: Vec<u8> = sqlx::query_scalar(sealed).fetch_one(&service.pool).await.unwrap();
    assert_eq!(before, after);

    // A secret of one's own is known to whoever gives it.
    let own = ReplaceDataTransferVendorRequest {
        signing_secret: Some(secret),
        ..vendor("com.example")
    };
    assert_eq!(put(&service, own).await.unwrap().into_inner().signing_secret, None);
    let after: Vec<u8> = sqlx::query_scalar(sealed).fetch_one(&service.pool).await.unwrap();
    assert_ne!(before, after);

    for vendor_id in ["B", "a"] {
        put(&service, vendor(vendor_id)).await.unwrap();
    }
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = ListDataTransferVendorsRequest {
            page_size: 2,
            page_token,
        };
        let page = client(&service)
            .list_data_transfer_vendors(service.asks(request))
            .await
            .unwrap()
            .into_inner();
        assert!(page.vendors.iter().all(|vendor| vendor.signing_secret.is_none()));
        seen.extend(page.vendors.into_iter().map(|vendor| vendor.vendor_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["a", "B", "com.Example"]);

    let delete = DeleteDataTransferVendorRequest {
        vendor_id: "com.example".to_owned(),
    };
    client(&service)
        .delete_data_transfer_vendor(service.asks(delete.clone()))
        .await
        .unwrap();
    let gone = client(&service)
        .delete_data_transfer_vendor(service.asks(delete))
        .await
        .unwrap_err();
    assert_eq!(reason(&gone), Reason::NotFound);
    let gone = client(&service)
        .get_data_transfer_vendor(service.asks(get))
        .await
        .unwrap_err();
    assert_eq!(reason(&gone), Reason::NotFound);

    let actions: Vec<String> =
        sqlx::query_scalar("SELECT action FROM ocpp.audit WHERE details->>'vendorId' = 'com.Example' ORDER BY at, id")
            .fetch_all(&service.pool)
            .await
            .unwrap();
    let action = |done: &str| format!("data-transfer-vendor.{done}");
    assert_eq!(
        actions,
        ["created", "updated", "updated", "updated", "deleted"].map(action)
    );
}

#[tokio::test]
async fn a_vendor_is_changed_in_the_version_that_was_seen_only() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut client = client(&service);
    let unseen = if_match(service.asks(vendor("V")), "\"1\"");
    let refused = client.replace_data_transfer_vendor(unseen).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::PreconditionFailed);
    let first = tag(&put(&service, vendor("V")).await.unwrap());
    let second = if_match(service.asks(vendor("V")), &first);
    let second = tag(&client.replace_data_transfer_vendor(second).await.unwrap());
    let late = if_match(service.asks(vendor("V")), &first);
    let refused = client.replace_data_transfer_vendor(late).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::PreconditionFailed);
    let delete = DeleteDataTransferVendorRequest {
        vendor_id: "V".to_owned(),
    };
    let late = if_match(service.asks(delete.clone()), &first);
    let refused = client.delete_data_transfer_vendor(late).await.unwrap_err();
    assert_eq!(reason(&refused), Reason::PreconditionFailed);
    let delete = if_match(service.asks(delete), &second);
    client.delete_data_transfer_vendor(delete).await.unwrap();
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_vendor_is_named_and_nobody_without_a_role_registers_one() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let wrong = ReplaceDataTransferVendorRequest {
        vendor_id: "V".to_owned(),
        url: "https://10.0.0.1/hook".to_owned(),
        message_ids: vec![String::new()],
        timeout_seconds: Some(0),
        signing_secret: Some("whsec_".to_owned()),
    };
    let refused = put(&service, wrong).await.unwrap_err();
    let violations = refused.get_details_bad_request().unwrap().field_violations;
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["url", "messageIds[0]", "timeoutSeconds", "signingSecret"]);
    let anonymous = client(&service)
        .replace_data_transfer_vendor(vendor("V"))
        .await
        .unwrap_err();
    assert_eq!(reason(&anonymous), Reason::MissingCredentials);
}
