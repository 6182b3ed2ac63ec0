//! Sessions: how they go on, and how they end.

use std::collections::HashSet;
use std::sync::Arc;

use chrono::TimeDelta;
use futures_util::StreamExt as _;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::{Request, Status};
use voltgate_proto::auth::v1::{
    ListSessionsRequest, LogOutRequest, RefreshRequest, RevokeSessionRequest, RevokeSessionsRequest, Session,
    TokenResponse, WatchRevocationsRequest,
};

use crate::service::{PASSWORD, Service, Setup, ada, authorized, is_revoked_soon};

async fn refresh(service: &Service, token: &str) -> Result<TokenResponse, Status> {
    let request = RefreshRequest {
        refresh_token: token.to_owned(),
    };
    Ok(service.client.clone().refresh(request).await?.into_inner())
}

async fn log_out(service: &Service, token: &str, sessions: &str) -> Result<(), Status> {
    let request = LogOutRequest {
        sessions: sessions.to_owned(),
    };
    service.client.clone().log_out(authorized(request, token)).await?;
    Ok(())
}

async fn sessions(service: &Service, token: &str) -> Vec<Session> {
    let request = authorized(ListSessionsRequest {}, token);
    let answer = service.sessions.clone().list_sessions(request).await.unwrap();
    answer.into_inner().sessions
}

fn is_not_valid<T: std::fmt::Debug>(result: Result<T, Status>) -> bool {
    Reason::of(&result.unwrap_err()) == Reason::InvalidRefreshToken
}

#[tokio::test]
async fn a_refresh_token_gets_an_access_token_and_its_successor() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let mut answer = service.sign_up(ada()).await.unwrap();
    let mut seen = HashSet::new();
    for _ in 0..5 {
        assert!(seen.insert(answer.refresh_token.clone()));
        let next = refresh(&service, &answer.refresh_token).await.unwrap();
        assert_eq!((&next.id, &next.username), (&answer.id, &answer.username));
        assert!(service.profile(&next.access_token).await.is_ok());
        answer = next;
    }
    assert_eq!(sessions(&service, &answer.access_token).await.len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn a_refresh_token_shown_again_within_ten_seconds_gets_the_same_successor() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let first = service.sign_up(ada()).await.unwrap().refresh_token;
    let second = refresh(&service, &first).await.unwrap().refresh_token;
    service.clock.advance(TimeDelta::seconds(9));
    let again = refresh(&service, &first).await.unwrap();
    assert_eq!(again.refresh_token, second);
    assert!(service.profile(&again.access_token).await.is_ok());
    assert!(refresh(&service, &second).await.is_ok(), "the session goes on");
    service.stop().await;
}

#[tokio::test]
async fn a_refresh_token_shown_again_later_ends_the_session_and_its_access_tokens() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let first = service.sign_up(ada()).await.unwrap().refresh_token;
    let second = refresh(&service, &first).await.unwrap();
    service.clock.advance(TimeDelta::seconds(11));
    assert!(is_not_valid(refresh(&service, &first).await));
    assert!(is_not_valid(refresh(&service, &second.refresh_token).await));
    is_revoked_soon(&service, &second.access_token).await;
    let replays =
        "SELECT count(*) FROM authentication.audit WHERE action = 'session.replayed' AND account_id IS NOT NULL";
    assert_eq!(service.count(replays).await, 1);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_parallel_refreshes_with_one_token_at_two_replicas_get_one_successor() {
    let database = Database::create().await;
    let (one, two) = tokio::join!(Service::start(&database), Service::start(&database));
    let services = [Arc::new(one), Arc::new(two)];
    let token = services[0].sign_up(ada()).await.unwrap().refresh_token;
    let refreshes: Vec<_> = (0..50)
        .map(|number| {
            let (service, token) = (services[number % 2].clone(), token.clone());
            tokio::spawn(async move { refresh(&service, &token).await.unwrap() })
        })
        .collect();
    let (mut successors, mut access_tokens) = (HashSet::new(), HashSet::new());
    for answer in refreshes {
        let answer = answer.await.unwrap();
        successors.insert(answer.refresh_token);
        access_tokens.insert(answer.access_token);
    }
    assert_eq!((successors.len(), access_tokens.len()), (1, 50));
    let successor = successors.into_iter().next().unwrap();
    assert!(refresh(&services[1], &successor).await.is_ok());
    for service in services {
        Arc::into_inner(service).unwrap().stop().await;
    }
}

#[tokio::test]
async fn what_was_never_issued_is_refused_and_ends_nothing() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let genuine = service.sign_up(ada()).await.unwrap().refresh_token;
    let last = if genuine.ends_with('A') { "B" } else { "A" };
    let changed = format!("{}{last}", &genuine[..genuine.len() - 1]);
    let middle = format!(
        "{}{}{}",
        &genuine[..40],
        if &genuine[40..41] == "x" { "y" } else { "x" },
        &genuine[41..]
    );
    for token in ["x", "vgr_", "vgr_AAAA", &changed, &middle, &"a".repeat(5000)] {
        assert!(is_not_valid(refresh(&service, token).await), "{token}");
    }
    let missing = refresh(&service, "").await.unwrap_err();
    assert_eq!(Reason::of(&missing), Reason::InvalidRequest);
    assert!(refresh(&service, &genuine).await.is_ok());
    service.stop().await;
}

#[tokio::test]
async fn a_session_ends_after_thirty_days_idle_and_after_ninety_days_in_all() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let idle = service.sign_up(ada()).await.unwrap().refresh_token;
    let mut used = service.log_in("Ada", PASSWORD).await.unwrap().refresh_token;
    for _ in 0..3 {
        service.clock.advance(TimeDelta::days(29));
        used = refresh(&service, &used).await.unwrap().refresh_token;
    }
    assert!(is_not_valid(refresh(&service, &idle).await));
    service.clock.advance(TimeDelta::days(4));
    assert!(is_not_valid(refresh(&service, &used).await), "ninety-one days");
    service.stop().await;
}

#[tokio::test]
async fn logging_out_ends_this_session_all_others_or_all() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.sign_up(ada()).await.unwrap();
    let mut logins = Vec::new();
    for _ in 0..4 {
        logins.push(service.log_in("Ada", PASSWORD).await.unwrap());
    }
    let token = |number: usize| logins[number].access_token.as_str();

    let refusal = log_out(&service, token(0), "some").await.unwrap_err();
    assert_eq!(Reason::of(&refusal), Reason::InvalidRequest);
    log_out(&service, token(0), "").await.unwrap();
    assert!(is_not_valid(refresh(&service, &logins[0].refresh_token).await));
    is_revoked_soon(&service, token(0)).await;
    assert_eq!(sessions(&service, token(1)).await.len(), 4, "with that of the signup");

    log_out(&service, token(1), "others").await.unwrap();
    is_revoked_soon(&service, token(2)).await;
    is_revoked_soon(&service, token(3)).await;
    assert_eq!(sessions(&service, token(1)).await.len(), 1);

    log_out(&service, token(1), "all").await.unwrap();
    is_revoked_soon(&service, token(1)).await;
    assert_eq!(service.count("SELECT count(*) FROM authentication.session").await, 0);
    service.stop().await;
}

#[tokio::test]
async fn sessions_are_listed_with_where_they_come_from_and_revoked_one_by_one() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.sign_up(ada()).await.unwrap();
    service.clock.advance(TimeDelta::seconds(1));
    let current = service.log_in("Ada", PASSWORD).await.unwrap();
    let listed = sessions(&service, &current.access_token).await;
    let [newest, oldest] = listed.as_slice() else {
        panic!("{listed:?}")
    };
    assert!(newest.current && !oldest.current);
    assert_eq!(newest.address, "127.0.0.1");
    assert!(newest.device.as_deref().unwrap().starts_with("tonic/"));

    let revoke = async |id: &str, token: &str| {
        let request = RevokeSessionRequest {
            session_id: id.to_owned(),
        };
        service
            .sessions
            .clone()
            .revoke_session(authorized(request, token))
            .await
    };
    let grace = service
        .sign_up(voltgate_proto::auth::v1::SignUpRequest {
            username: "grace@example.com".to_owned(),
            email: None,
            ..ada()
        })
        .await
        .unwrap();
    for (id, token) in [
        (newest.id.as_str(), grace.access_token.as_str()),
        ("01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e02", current.access_token.as_str()),
        ("this", current.access_token.as_str()),
    ] {
        let refusal = revoke(id, token).await.unwrap_err();
        assert_eq!(Reason::of(&refusal), Reason::NotFound, "{id}");
    }
    revoke(&oldest.id, &current.access_token).await.unwrap();
    assert_eq!(sessions(&service, &current.access_token).await.len(), 1);

    let request = authorized(RevokeSessionsRequest { except_this: true }, &current.access_token);
    service.sessions.clone().revoke_sessions(request).await.unwrap();
    assert_eq!(sessions(&service, &current.access_token).await.len(), 1);
    let request = authorized(RevokeSessionsRequest { except_this: false }, &current.access_token);
    service.sessions.clone().revoke_sessions(request).await.unwrap();
    is_revoked_soon(&service, &current.access_token).await;
    service.stop().await;
}

#[tokio::test]
async fn an_account_has_a_hundred_sessions_at_the_most() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let first = service.sign_up(ada()).await.unwrap();
    let insert = "INSERT INTO authentication.session
         SELECT gen_random_uuid(), account_id, started_at, last_used_at + make_interval(secs => number), expires_at, ends_at,
                device, address, sealed_family_key, refresh_token
         FROM authentication.session, generate_series(1, 99) AS number";
    sqlx::query(insert).execute(&service.database).await.unwrap();
    assert!(service.profile(&first.access_token).await.is_ok());
    service.log_in("Ada", PASSWORD).await.unwrap();
    assert_eq!(service.count("SELECT count(*) FROM authentication.session").await, 100);
    assert!(
        is_not_valid(refresh(&service, &first.refresh_token).await),
        "the one idle for longest went"
    );
    is_revoked_soon(&service, &first.access_token).await;
    service.stop().await;
}

#[tokio::test]
async fn a_logout_at_one_replica_counts_at_the_other() {
    let database = Database::create().await;
    let (one, two) = tokio::join!(Service::start(&database), Service::start(&database));
    let token = one.sign_up(ada()).await.unwrap().access_token;
    assert!(two.profile(&token).await.is_ok());
    log_out(&one, &token, "this").await.unwrap();
    is_revoked_soon(&two, &token).await;
    let three = Setup::on(&database).start().await;
    let refusal = three.profile(&token).await.unwrap_err();
    assert_eq!(
        Reason::of(&refusal),
        Reason::InvalidToken,
        "a replica that starts later knows it from the start"
    );
    for service in [one, two, three] {
        service.stop().await;
    }
}

#[tokio::test]
async fn processes_alone_may_follow_the_revocations_and_hear_of_old_ones_and_new_ones() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let old = service.sign_up(ada()).await.unwrap().access_token;
    let new = service.log_in("Ada", PASSWORD).await.unwrap().access_token;
    log_out(&service, &old, "this").await.unwrap();
    is_revoked_soon(&service, &old).await;

    let watch = async |request| service.verification.clone().watch_revocations(request).await;
    let refusal = watch(authorized(WatchRevocationsRequest {}, &new)).await.unwrap_err();
    assert_eq!(Reason::of(&refusal), Reason::PermissionDenied);
    let mut request = Request::new(WatchRevocationsRequest {});
    let token = service.service_tokens().bearer().unwrap().parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    let told = watch(request).await.unwrap().into_inner();
    // Signing keys go the same way.
    let mut told = told.filter(|told| std::future::ready(told.as_ref().is_ok_and(|told| told.key_ids.is_empty())));
    let before = told.next().await.unwrap().unwrap();
    assert_eq!((before.revocations.len(), before.complete), (1, true));
    log_out(&service, &new, "this").await.unwrap();
    let after = told.next().await.unwrap().unwrap();
    assert_ne!(after.revocations[0].session_id, before.revocations[0].session_id);
    service.stop().await;
    assert!(told.next().await.is_none(), "a service that stops ends the stream");
}

#[tokio::test]
async fn no_refresh_token_and_no_key_of_one_lies_open_in_the_database() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let first = service.sign_up(ada()).await.unwrap().refresh_token;
    let second = refresh(&service, &first).await.unwrap().refresh_token;
    let dump = "SELECT string_agg(row_to_json(session)::text, '') || (SELECT string_agg(row_to_json(used_refresh_token)::text, '')
                FROM authentication.used_refresh_token) FROM authentication.session";
    let dump: String = sqlx::query_scalar(dump).fetch_one(&service.database).await.unwrap();
    let hex = |token: &str| {
        use base64::Engine as _;
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(token.strip_prefix("vgr_").unwrap())
            .unwrap();
        bytes[16..48]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    for token in [&first, &second] {
        assert!(!dump.contains(&hex(token)) && !dump.contains(token.as_str()));
    }
    service.stop().await;
}

#[tokio::test]
async fn nobody_ends_a_session_of_somebody_else_by_its_id() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let grace = voltgate_proto::auth::v1::SignUpRequest {
        username: "grace".to_owned(),
        ..ada()
    };
    let (hers, other) = (
        service.sign_up(ada()).await.unwrap(),
        service.sign_up(grace).await.unwrap(),
    );
    let [session] = sessions(&service, &hers.access_token).await.try_into().unwrap();
    let end = async |token: &str| {
        let request = RevokeSessionRequest {
            session_id: session.id.clone(),
        };
        service
            .sessions
            .clone()
            .revoke_session(authorized(request, token))
            .await
    };
    let refused = end(&other.access_token).await.unwrap_err();
    assert_eq!(Reason::of(&refused), Reason::NotFound);
    assert!(refresh(&service, &hers.refresh_token).await.is_ok());
    assert!(end(&hers.access_token).await.is_ok());
    service.stop().await;
}

/// What voids the access tokens of a session goes by when the last one was issued.
#[tokio::test]
async fn a_refresh_whose_answer_was_lost_counts_as_a_use_of_the_session() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.clock.stop();
    let first = service.sign_up(ada()).await.unwrap().refresh_token;
    refresh(&service, &first).await.unwrap();
    service.clock.advance(TimeDelta::seconds(9));
    let again = refresh(&service, &first).await.unwrap();
    let [session] = sessions(&service, &again.access_token).await.try_into().unwrap();
    assert_eq!(session.last_used_at.unwrap().seconds, service.now().timestamp());
    service.stop().await;
}
