//! Files of many new things at once: all of it is stored, or everything that is wrong with it is told.

use std::time::Duration;

use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::StatusExt as _;
use voltgate_proto::google::api::HttpBody;
use voltgate_proto::ocpp::v1::charge_point_audit_service_client::ChargePointAuditServiceClient;
use voltgate_proto::ocpp::v1::charge_point_service_client::ChargePointServiceClient;
use voltgate_proto::ocpp::v1::id_token_service_client::IdTokenServiceClient;
use voltgate_proto::ocpp::v1::site_service_client::SiteServiceClient;
use voltgate_proto::ocpp::v1::unknown_charge_point_service_client::UnknownChargePointServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::service::{Service, eventually, reason};
use crate::station::{Offer, Station};

const CSV: &str = "text/csv; charset=utf-8";
const LINES: &str = "application/x-ndjson";

/// A file, and how it is to be taken.
#[derive(Clone, Copy)]
pub struct File<'a> {
    media_type: &'a str,
    text: &'a str,
    dry_run: bool,
    key: Option<&'a str>,
}

impl<'a> File<'a> {
    fn csv(text: &'a str) -> Self {
        Self {
            media_type: CSV,
            text,
            dry_run: false,
            key: None,
        }
    }

    pub fn lines(text: &'a str) -> Self {
        Self {
            media_type: LINES,
            ..Self::csv(text)
        }
    }

    fn only_checked(self) -> Self {
        Self { dry_run: true, ..self }
    }

    fn under(self, key: &'a str) -> Self {
        Self { key: Some(key), ..self }
    }

    /// As the gateway sends it: in pieces, and nothing of it in the first message.
    fn messages(self) -> Vec<ImportRequest> {
        let first = ImportRequest {
            dry_run: self.dry_run,
            body: Some(HttpBody {
                content_type: self.media_type.to_owned(),
                ..Default::default()
            }),
        };
        let pieces = self.text.as_bytes().chunks(64 * 1024).map(|piece| ImportRequest {
            dry_run: false,
            body: Some(HttpBody {
                data: piece.to_vec().into(),
                ..Default::default()
            }),
        });
        [first].into_iter().chain(pieces).collect()
    }

    fn asked(self, service: &Service) -> Request<impl futures_util::Stream<Item = ImportRequest> + use<>> {
        let mut request = service.asks(futures_util::stream::iter(self.messages()));
        if let Some(key) = self.key {
            request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
        }
        request
    }
}

/// With room for the longest status that there is, as the gateway has it.
fn roomy(service: &Service) -> Channel {
    let endpoint = Channel::from_shared(service.url.clone()).unwrap();
    endpoint.http2_max_header_list_size(256 * 1024).connect_lazy()
}

async fn charge_points(service: &Service, file: File<'_>) -> Result<ImportChargePointsResponse, Status> {
    let mut client = ChargePointServiceClient::new(roomy(service));
    let imported = client.import_charge_points(file.asked(service)).await;
    imported.map(tonic::Response::into_inner)
}

pub async fn id_tokens(service: &Service, file: File<'_>) -> Result<ImportIdTokensResponse, Status> {
    let mut client = IdTokenServiceClient::new(roomy(service));
    client
        .import_id_tokens(file.asked(service))
        .await
        .map(tonic::Response::into_inner)
}

async fn sites(service: &Service, file: File<'_>) -> Result<ImportSitesResponse, Status> {
    let mut client = SiteServiceClient::new(roomy(service));
    client
        .import_sites(file.asked(service))
        .await
        .map(tonic::Response::into_inner)
}

/// Everything that is wrong, as the client is told.
fn faults(refused: &Status) -> Vec<(String, String)> {
    assert_eq!(reason(refused), Reason::InvalidRequest, "{refused:?}");
    let details = refused.get_details_bad_request().unwrap();
    let faults = details.field_violations.into_iter();
    faults.map(|fault| (fault.field, fault.description)).collect()
}

fn fault(field: &str, problem: &str) -> (String, String) {
    (field.to_owned(), problem.to_owned())
}

async fn count(service: &Service, table: &str) -> i64 {
    let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM ocpp.{table}"));
    sqlx::query_scalar(count).fetch_one(&service.pool).await.unwrap()
}

/// Entries of the audit log: what it was done to, and what else there is to say.
async fn audited(service: &Service, action: &str) -> Vec<(Option<String>, Value)> {
    let request = ListAuditEntriesRequest {
        action: action.to_owned(),
        ..Default::default()
    };
    let mut client = ChargePointAuditServiceClient::new(service.channel.clone());
    let listed = client
        .list_audit_entries(service.asks(request))
        .await
        .unwrap()
        .into_inner();
    let told = listed.entries.into_iter().rev();
    told.map(|entry| {
        assert!(entry.actor_id.is_some());
        let subject = entry.charge_point.or(entry.id_token);
        (subject, serde_json::from_str(&entry.details).unwrap())
    })
    .collect()
}

#[tokio::test]
async fn charge_points_are_registered_from_a_spreadsheet_and_come_in_with_the_passwords_that_are_shown_once() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let site = service.site("Harbour").await;
    // One of them has been at the door.
    assert!(Station::open(&service, Offer::of("CP1", "x")).await.is_err());
    let text = format!(
        "identity;displayName;registrationStatus;securityProfile;password;siteId;tags;vendor\r\n\
         CP1;\"Car park; bay 1\";Pending;;;{site};\"fast, indoor\";Voltaic\r\n\
         CP2;'=1+1;;2;a password of its own;;;\r\n\
         CP3;;;3;;;;\r\n"
    );
    let imported = charge_points(&service, File::csv(&text)).await.unwrap();
    assert_eq!((imported.rows, imported.created), (3, 3));
    // The others have one of their own, or need none.
    let made: Vec<_> = imported
        .passwords
        .iter()
        .map(|made| (made.line, made.identity.as_str()))
        .collect();
    assert_eq!(made, [(2, "CP1")]);
    let first = service.charge_point("CP1").await;
    assert_eq!(
        (
            first.display_name.as_str(),
            first.registration_status.as_str(),
            first.site_id.as_deref()
        ),
        ("Car park; bay 1", "Pending", Some(site.as_str()))
    );
    assert_eq!(
        (first.tags, first.vendor),
        (vec!["fast".to_owned(), "indoor".to_owned()], None)
    );
    let second = service.charge_point("CP2").await;
    assert_eq!((second.display_name.as_str(), second.security_profile), ("=1+1", 2));
    assert_eq!(service.charge_point("CP3").await.display_name, "CP3");
    let mut station = Station::connect(&service, "CP1", &imported.passwords[0].password).await;
    assert_eq!(station.boot().await["status"], "Pending");
    let mut unknown = UnknownChargePointServiceClient::new(service.channel.clone());
    let request = service.asks(ListUnknownChargePointsRequest::default());
    let unknown = unknown.list_unknown_charge_points(request).await.unwrap().into_inner();
    assert!(unknown.unknown_charge_points.is_empty());

    let entries = audited(&service, "charge-point.created").await;
    let import = entries[0].1["import"].clone();
    assert!(import.is_string());
    assert_eq!(
        entries,
        [
            (
                Some("CP1".to_owned()),
                json!({"registrationStatus": "Pending", "securityProfile": 1, "siteId": site,
                    "tags": ["fast", "indoor"], "import": import})
            ),
            (
                Some("CP2".to_owned()),
                json!({"registrationStatus": "Accepted", "securityProfile": 2, "import": import})
            ),
            (
                Some("CP3".to_owned()),
                json!({"registrationStatus": "Accepted", "securityProfile": 3, "import": import})
            ),
        ]
    );
    let kept = service.everything_kept().await;
    assert!(!kept.contains("a password of its own") && !kept.contains(&imported.passwords[0].password));
}

#[tokio::test]
async fn everything_that_is_wrong_with_any_row_is_told_at_once_and_nothing_is_stored() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let nowhere = uuid::Uuid::now_v7();
    let text = format!(
        "identity,displayName,securityProfile,siteId,tags\n\
         CP2,\"a\nb\",x,,a b\n\
         CP1,,,{nowhere},\n\
         CP2,,5,here,\n\
         ,,,,ok\n\
         CP3,fine,,,\n\
         CP4\n"
    );
    let refused = charge_points(&service, File::csv(&text)).await.unwrap_err();
    assert_eq!(
        faults(&refused),
        [
            fault("lines[2].securityProfile", "must be a whole number"),
            fault(
                "lines[2].tags[0]",
                "must have 1 to 50 letters, digits and signs ._:/-, a letter or digit at either end"
            ),
            fault("lines[2].displayName", "must have at most 100 printable characters"),
            fault("lines[4].identity", "is registered already"),
            fault("lines[4].siteId", "is no site's"),
            fault("lines[5].securityProfile", "must be 0, 1, 2 or 3"),
            fault("lines[5].siteId", "is no site's"),
            fault("lines[5].identity", "is that of line 2, too"),
            fault("lines[6].identity", "must have 1 to 48 characters"),
            fault("lines[8]", "has 1 cells, and the header has 5"),
        ]
    );
    assert_eq!(refused.message(), "10 things are wrong with the file");
    assert_eq!(
        (count(&service, "charge_point").await, count(&service, "import").await),
        (1, 0)
    );
    assert_eq!(audited(&service, "charge-point.created").await.len(), 1);
    let unknown = charge_points(&service, File::csv("identity,colour\nCP2,red\n"))
        .await
        .unwrap_err();
    assert_eq!(
        faults(&unknown),
        [fault("lines[1].colour", "is no field of a charge point")]
    );
}

#[tokio::test]
async fn id_tokens_are_registered_from_lines_of_json_with_the_places_where_they_may_charge() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let account = uuid::Uuid::now_v7();
    let text = format!(
        "{{\"idToken\":\"Tag1\",\"groupId\":\"FLEET\",\"expiresAt\":\"2031-12-31T23:59:59Z\",\"blocked\":true}}\n\
         \n\
         {{\"idToken\":\"1234\",\"type\":\"KeyCode\",\"maxConcurrentTransactions\":2,\"accountId\":\"{account}\",\
           \"allowedLocations\":[{{\"identity\":\"CP1\",\"connectorId\":2}},{{\"identity\":\"CP1\"}}]}}\n"
    );
    let imported = id_tokens(&service, File::lines(&text)).await.unwrap();
    assert_eq!((imported.rows, imported.created), (2, 2));
    let get = async |id_token: &str| {
        let request = GetIdTokenRequest {
            id_token: id_token.to_owned(),
        };
        let token = service.id_tokens().get_id_token(service.asks(request)).await.unwrap();
        token.into_inner()
    };
    let card = get("tag1").await;
    assert_eq!(
        (
            card.id_token.as_str(),
            card.r#type.as_str(),
            card.group_id.as_deref(),
            card.blocked
        ),
        ("Tag1", "ISO14443", Some("FLEET"), true)
    );
    assert_eq!(card.expires_at.unwrap().seconds, 1_956_527_999);
    let code = get("1234").await;
    let places: Vec<_> = code
        .allowed_locations
        .iter()
        .map(|place| (place.identity.as_str(), place.connector_id))
        .collect();
    assert_eq!(places, [("CP1", None), ("CP1", Some(2))]);
    assert_eq!(
        (code.max_concurrent_transactions, code.account_id),
        (Some(2), Some(account.to_string()))
    );
    let entries = audited(&service, "id-token.created").await;
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].1["import"], entries[1].1["import"]);
    let shown = entries[1].0.as_deref().unwrap();
    assert!(
        shown.starts_with("KeyCode ") && !shown.contains("1234"),
        "a code is in no log"
    );

    let wrong = "{\"idToken\":\"TAG1\"}\n\
         {\"idToken\":\"new\",\"allowedLocations\":[{\"identity\":\"CP1\"},{\"identity\":\"CP2\"}]}\n\
         {\"idToken\":\"NEW\",\"expiresAt\":\"tomorrow\",\"allowedLocations\":{\"identity\":\"CP1\"}}\n\
         {\"idToken\":7,\"blocked\":\"yes\"}\n";
    let refused = id_tokens(&service, File::lines(wrong)).await.unwrap_err();
    assert_eq!(
        faults(&refused),
        [
            fault(
                "lines[1].idToken",
                "is registered already, perhaps in other letter case"
            ),
            fault(
                "lines[2].allowedLocations[1].identity",
                "is of no registered charge point"
            ),
            fault(
                "lines[3].allowedLocations",
                "must be a list such as [{\"identity\": \"CP-1\", \"connectorId\": 1}]"
            ),
            fault("lines[3].expiresAt", "is no time, such as 2031-12-31T23:59:59Z"),
            fault("lines[3].idToken", "is that of line 2, too"),
            fault("lines[4].idToken", "must be a text"),
            fault("lines[4].blocked", "must be true or false"),
        ]
    );
    assert_eq!(count(&service, "id_token").await, 2);
}

#[tokio::test]
async fn sites_are_registered_from_a_file_which_tells_their_ids() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.site("Airport").await;
    let text = "name,timeZone,gridLimitWatts,address,groups\n\
         Harbour,europe/berlin,250000,\"Am Hafen 1, Hamburg\",\"[\"\"north\"\",\"\"a, b\"\"]\"\n\
         Mall,,,,south\n";
    let imported = sites(&service, File::csv(text)).await.unwrap();
    assert_eq!((imported.rows, imported.created), (2, 2));
    let told: Vec<_> = imported
        .sites
        .iter()
        .map(|site| (site.line, site.name.as_str()))
        .collect();
    assert_eq!(told, [(2, "Harbour"), (3, "Mall")]);
    let request = GetSiteRequest {
        id: imported.sites[0].id.clone(),
    };
    let mut client = SiteServiceClient::new(service.channel.clone());
    let harbour = client.get_site(service.asks(request)).await.unwrap().into_inner();
    assert_eq!(
        (
            harbour.name.as_str(),
            harbour.time_zone.as_str(),
            harbour.grid_limit_watts
        ),
        ("Harbour", "Europe/Berlin", Some(250_000))
    );
    assert_eq!(harbour.address.as_deref(), Some("Am Hafen 1, Hamburg"));
    assert_eq!(harbour.groups, ["a, b", "north"]);
    assert_eq!(audited(&service, "site.created").await.len(), 3);
    let refused = sites(&service, File::csv("name,timeZone\nAIRPORT,Mars\n"))
        .await
        .unwrap_err();
    assert_eq!(
        faults(&refused),
        [
            fault("lines[2].timeZone", "is no name of a time zone, such as Europe/Berlin"),
            fault(
                "lines[2].name",
                "is that of a site that is there, perhaps in other letter case"
            ),
        ]
    );
}

#[tokio::test]
async fn a_file_that_is_only_checked_changes_nothing() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let good = File::csv("identity\nCP1\nCP2\n").only_checked();
    let checked = charge_points(&service, good).await.unwrap();
    assert_eq!((checked.rows, checked.created, checked.passwords.len()), (2, 0, 0));
    let bad = File::csv("identity\nCP1\nCP1\n").only_checked();
    let refused = charge_points(&service, bad).await.unwrap_err();
    assert_eq!(faults(&refused), [fault("lines[3].identity", "is that of line 2, too")]);
    for table in ["charge_point", "import", "audit"] {
        assert_eq!(count(&service, table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_file_that_comes_again_under_its_key_is_answered_alike_and_another_one_is_refused() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let file = File::csv("identity\nCP1\n").under("first");
    let imported = charge_points(&service, file).await.unwrap();
    assert_eq!(imported.passwords.len(), 1);
    let again = charge_points(&service, file).await.unwrap();
    assert_eq!(
        again,
        ImportChargePointsResponse {
            passwords: Vec::new(),
            ..imported
        }
    );
    let other = charge_points(&service, File::csv("identity\nCP2\n").under("first")).await;
    assert_eq!(reason(&other.unwrap_err()), Reason::IdempotencyKeyReused);
    let other_kind = sites(&service, File::csv("name\nHarbour\n").under("first")).await;
    assert_eq!(reason(&other_kind.unwrap_err()), Reason::IdempotencyKeyReused);
    // What was refused is no import, and its key is free.
    let refused = charge_points(&service, File::csv("identity\nCP1\n").under("second")).await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::InvalidRequest);
    let mended = charge_points(&service, File::csv("identity\nCP2\n").under("second"))
        .await
        .unwrap();
    assert_eq!(mended.created, 1);
    // Two at once make it once.
    let twice = File::csv("identity\nCP3\n").under("third");
    let (one, other) = tokio::join!(charge_points(&service, twice), charge_points(&service, twice));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!((one.created, other.created), (1, 1));
    assert_eq!(one.passwords.len() + other.passwords.len(), 1);
    assert_eq!(count(&service, "charge_point").await, 3);
}

#[tokio::test]
async fn ten_thousand_rows_are_stored_whole_and_more_rows_bytes_or_other_media_are_refused() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let rows = |rows: usize| -> String {
        let rows = (0..rows).map(|row| format!("TAG-{row},GROUP-{}\n", row % 7));
        ["idToken,groupId\n".to_owned()].into_iter().chain(rows).collect()
    };
    let begun = std::time::Instant::now();
    let imported = id_tokens(&service, File::csv(&rows(10_000))).await.unwrap();
    assert_eq!((imported.created, count(&service, "id_token").await), (10_000, 10_000));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(count(&service, "audit").await, 10_000);
    // All of them are there now: more is wrong than can be told.
    let refused = id_tokens(&service, File::csv(&rows(10_000))).await.unwrap_err();
    assert_eq!(faults(&refused).len(), 1000);
    assert_eq!(
        refused.message(),
        "10000 things are wrong with the file; the first 1000 are told, and there are 9000 more"
    );
    let long = id_tokens(&service, File::csv(&rows(10_001))).await.unwrap_err();
    assert_eq!(reason(&long), Reason::PayloadTooLarge);
    let wide = format!("idToken\n{}\n", "x".repeat(8 * 1024 * 1024));
    assert_eq!(
        reason(&id_tokens(&service, File::csv(&wide)).await.unwrap_err()),
        Reason::PayloadTooLarge
    );
    let json = File {
        media_type: "application/json",
        ..File::csv("[]")
    };
    assert_eq!(
        reason(&id_tokens(&service, json).await.unwrap_err()),
        Reason::UnsupportedMediaType
    );
}

#[tokio::test]
async fn a_replica_takes_in_a_few_files_at_a_time() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let hold = async || {
        let (sender, messages) = tokio::sync::mpsc::channel(1);
        sender.send(File::csv("").messages().remove(0)).await.unwrap();
        let request = service.asks(tokio_stream::wrappers::ReceiverStream::new(messages));
        let mut client = SiteServiceClient::new(service.channel.clone());
        (sender, tokio::spawn(async move { client.import_sites(request).await }))
    };
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(hold().await);
    }
    eventually("there is no room", async || {
        // The one below may have taken its place.
        for place in held.iter_mut().filter(|(_, asked)| asked.is_finished()) {
            *place = hold().await;
        }
        let refused = sites(&service, File::csv("name\nHarbour\n").only_checked()).await;
        refused.is_err_and(|status| reason(&status) == Reason::Overloaded)
    })
    .await;
    // One that breaks off makes room.
    let (_, broken) = held.pop().unwrap();
    broken.abort();
    eventually("there is room", async || {
        sites(&service, File::csv("name\nHarbour\n").only_checked())
            .await
            .is_ok()
    })
    .await;
}
