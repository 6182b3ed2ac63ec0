//! What a campaign is about and whom it is for, as its creation settles it.

use serde_json::json;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::{Response, Status};
use tonic_types::StatusExt as _;
use voltgate_proto::ocpp::v1::create_campaign_request::{What, Whom};
use voltgate_proto::ocpp::v1::*;

use crate::campaigns::{clear_caches, client, create, get, is_in, states, stations, targets};
use crate::service::{Service, eventually, reason};
use crate::station::Station;

fn violations(status: &Status) -> Vec<(String, String)> {
    let details = status.get_details_bad_request().unwrap();
    let told = details.field_violations.into_iter();
    told.map(|one| (one.field, one.description)).collect()
}

fn selecting(selection: ChargePointSelection) -> CreateCampaignRequest {
    CreateCampaignRequest {
        whom: Some(Whom::Selection(selection)),
        start_paused: true,
        ..clear_caches(&[])
    }
}

async fn selected(service: &Service, selection: ChargePointSelection) -> Vec<String> {
    let id = create(service, selecting(selection)).await.unwrap().id;
    targets(service, &id)
        .await
        .into_iter()
        .map(|target| target.identity)
        .collect()
}

#[tokio::test]
async fn charge_points_that_are_not_there_are_refused_by_their_names_and_nothing_is_kept() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let refused = create(&service, clear_caches(&["CP1", "CP2", "cp1"]))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::InvalidRequest);
    let named = |place: usize, name: &str| {
        let field = format!("chargePoints.identities[{place}]");
        (field, format!("is of no charge point in use: {name}"))
    };
    assert_eq!(violations(&refused), [named(1, "CP2"), named(2, "cp1")]);

    let names: Vec<String> = (0..10_000).map(|number| format!("{number:048}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let refused = violations(&create(&service, clear_caches(&names)).await.unwrap_err());
    assert_eq!(refused.len(), 51);
    assert_eq!(refused[50].1, "has 9950 more that are wrong");

    let kept: i64 = sqlx::query_scalar("SELECT count(*) FROM ocpp.campaign")
        .fetch_one(&service.pool)
        .await
        .unwrap();
    assert_eq!(kept, 0);
}

#[tokio::test]
async fn what_breaks_the_specification_or_holds_a_secret_is_refused_with_all_that_is_wrong() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.register("CP1").await;
    let with = |action: &str, payload: serde_json::Value| CreateCampaignRequest {
        what: Some(What::Command(CampaignCommand {
            action: action.to_owned(),
            payload: payload.to_string(),
        })),
        canary_size: -1,
        ..clear_caches(&["CP1"])
    };
    let wrong = with("ChangeConfiguration", json!({"key": 1}));
    let refused = violations(&create(&service, wrong).await.unwrap_err());
    let fields: Vec<_> = refused.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(fields, ["canarySize", "command.payload.key", "command.payload.value"]);
    let secret = json!({"key": "AuthorizationKey", "value": "0123456789abcdef"});
    let refused = violations(&create(&service, with("ChangeConfiguration", secret)).await.unwrap_err());
    assert_eq!(
        refused[1],
        (
            "command.payload".to_owned(),
            "holds a secret, of which each charge point needs its own; send it to each by itself".to_owned()
        )
    );
    assert!(!service.everything_kept().await.contains("0123456789abcdef"));
}

#[tokio::test]
async fn whom_a_selection_fits_is_settled_when_it_is_made() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for identity in ["A1", "A2", "B1"] {
        service.register(identity).await;
    }
    service.register_as("B2", "Pending").await;
    let site = service.site("Harbour").await;
    service.stands_at("A2", &site).await;
    sqlx::query("UPDATE ocpp.site SET groups = '{north}'")
        .execute(&service.pool)
        .await
        .unwrap();
    let told =
        "UPDATE ocpp.charge_point SET vendor = 'Volt', model = 'One', firmware_version = '1.4' || right(identity, 1)";
    sqlx::query(told).execute(&service.pool).await.unwrap();
    let all = ChargePointSelection::default;
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(selected(&service, all()).await, ["A1", "A2", "B1", "B2"]);
    for (selection, expected) in [
        (
            ChargePointSelection {
                site_id: Some(site.clone()),
                ..all()
            },
            vec!["A2"],
        ),
        (
            ChargePointSelection {
                site_group: text("north"),
                ..all()
            },
            vec!["A2"],
        ),
        (
            ChargePointSelection {
                firmware_version: text("1.41"),
                ..all()
            },
            vec!["A1", "B1"],
        ),
        (
            ChargePointSelection {
                search: text("b"),
                ..all()
            },
            vec!["B1", "B2"],
        ),
        (
            ChargePointSelection {
                registration_status: text("Pending"),
                vendor: text("VOLT"),
                ..all()
            },
            vec!["B2"],
        ),
        (
            ChargePointSelection {
                online: Some(false),
                model: text("one"),
                search: text("A"),
                ..all()
            },
            vec!["A1", "A2"],
        ),
    ] {
        assert_eq!(selected(&service, selection).await, expected);
    }
    let nobody = selecting(ChargePointSelection {
        site_group: text("south"),
        ..all()
    });
    let refused = create(&service, nobody).await.unwrap_err();
    assert_eq!(
        violations(&refused),
        [("selection".to_owned(), "fits no charge point".to_owned())]
    );

    // It is shown as it was told, and who comes later changes nothing.
    let shown = selecting(ChargePointSelection {
        search: text("A"),
        ..all()
    });
    let created = create(&service, shown.clone()).await.unwrap();
    assert_eq!(
        (created.selection.map(Whom::Selection), created.targets),
        (shown.whom, 2)
    );
    service.register("A3").await;
    assert_eq!(states(&service, &created.id).await.len(), 2);
}

#[tokio::test]
async fn a_request_that_is_repeated_under_its_key_makes_one_campaign() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut station = stations(&service, &["CP1"]).await.remove(0);
    let ask = async |key: &'static str, name: &str| {
        let mut request = service.asks(CreateCampaignRequest {
            name: name.to_owned(),
            ..clear_caches(&["CP1"])
        });
        request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
        client(&service)
            .create_campaign(request)
            .await
            .map(Response::into_inner)
    };
    let (first, same) = tokio::join!(ask("k1", "Caches"), ask("k1", "Caches"));
    let first = first.unwrap();
    assert_eq!(same.unwrap().id, first.id);
    crate::campaigns::obey(&mut station, "Accepted").await;
    eventually("it is completed", async || {
        is_in(&service, &first.id, "completed").await
    })
    .await;
    let later = ask("k1", "Caches").await.unwrap();
    assert_eq!((later.id, later.state.as_str()), (first.id.clone(), "completed"));
    let other = ask("k1", "Other caches").await.unwrap_err();
    assert_eq!(reason(&other), Reason::IdempotencyKeyReused);
    assert_ne!(ask("k2", "Caches").await.unwrap().id, first.id);
}

#[tokio::test]
async fn campaigns_and_their_targets_are_listed_a_page_at_a_time_and_by_state() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let names = ["CP1", "CP2", "CP3"];
    let mut online: Station = stations(&service, &names[..1]).await.remove(0);
    for name in &names[1..] {
        service.register(name).await;
    }
    let mut ids = Vec::new();
    for start_paused in [false, true, true] {
        let request = CreateCampaignRequest {
            start_paused,
            ..clear_caches(&names)
        };
        ids.push(create(&service, request).await.unwrap().id);
    }
    crate::campaigns::obey(&mut online, "Rejected").await;
    eventually("the others are queued", async || {
        states(&service, &ids[0]).await == ["CP1 1 rejected", "CP2 1 queued", "CP3 1 queued"]
    })
    .await;

    let list = async |state: Option<&str>, page_token: String| {
        let request = ListCampaignsRequest {
            page_size: 1,
            page_token,
            state: state.map(str::to_owned),
        };
        client(&service)
            .list_campaigns(service.asks(request))
            .await
            .unwrap()
            .into_inner()
    };
    for (state, expected) in [
        (None, vec![2, 1, 0]),
        (Some("paused"), vec![2, 1]),
        (Some("canceled"), vec![]),
    ] {
        let (mut seen, mut token) = (Vec::new(), String::new());
        loop {
            let page = list(state, token).await;
            assert!(page.campaigns.iter().all(|campaign| campaign.report.is_none()));
            seen.extend(page.campaigns.into_iter().map(|campaign| campaign.id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let expected: Vec<_> = expected.into_iter().map(|place: usize| ids[place].clone()).collect();
        assert_eq!(seen, expected, "{state:?}");
    }

    let of = async |state: Option<&str>, page_token: String| {
        let request = ListCampaignTargetsRequest {
            id: ids[0].clone(),
            page_size: 1,
            page_token,
            state: state.map(str::to_owned),
        };
        let page = client(&service).list_campaign_targets(service.asks(request)).await;
        page.unwrap().into_inner()
    };
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let page = of(Some("queued"), token).await;
        seen.extend(page.targets.into_iter().map(|target| target.identity));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["CP2", "CP3"]);
    assert_eq!(
        of(None, String::new()).await.targets[0].reason.as_deref(),
        Some("Rejected")
    );
    let wrong = ListCampaignTargetsRequest {
        id: ids[0].clone(),
        state: Some("Queued".to_owned()),
        ..Default::default()
    };
    let refused = client(&service)
        .list_campaign_targets(service.asks(wrong))
        .await
        .unwrap_err();
    assert_eq!(violations(&refused)[0].0, "state");
    let nowhere = ListCampaignTargetsRequest::default();
    let refused = client(&service)
        .list_campaign_targets(service.asks(nowhere))
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::NotFound);
    assert_eq!(get(&service, &ids[0]).await.targets, 3);
}
