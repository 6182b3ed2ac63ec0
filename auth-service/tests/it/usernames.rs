use std::sync::Arc;

use service_kit::reason::Reason;
use testbed::Database;
use voltgate_proto::auth::v1::SignUpRequest;

use crate::service::{PASSWORD, Service, ada};

fn named(username: &str) -> SignUpRequest {
    SignUpRequest {
        username: username.to_owned(),
        ..ada()
    }
}

async fn is_taken(service: &Service, username: &str) -> bool {
    match service.sign_up(named(username)).await {
        Ok(_) => false,
        Err(refusal) => {
            assert_eq!(Reason::of(&refusal), Reason::UsernameTaken, "{username}");
            true
        }
    }
}

#[tokio::test]
async fn a_name_that_looks_like_another_is_taken() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.sign_up(named("ada")).await.unwrap();
    service.sign_up(named("Ѕергей")).await.unwrap();
    for username in ["аdа", "АDА", "ａｄａ", "adа", "Sергей", "сергей"] {
        let expected = username != "сергей";
        assert_eq!(is_taken(&service, username).await, expected, "{username}");
    }
    service.stop().await;
}

#[tokio::test]
async fn names_in_plain_letters_are_not_refused_for_looking_alike() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for username in ["user1", "userl", "userI2", "modern", "modem"] {
        assert!(!is_taken(&service, username).await, "{username}");
    }
    assert!(is_taken(&service, "usеr1").await, "with a Cyrillic letter it is");
    service.stop().await;
}

#[tokio::test]
async fn a_name_is_shown_as_it_was_typed_and_found_however_it_is_typed() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let answer = service.sign_up(named("Zoe\u{308}ﬀ")).await.unwrap();
    assert_eq!(answer.username, "Zoe\u{308}ﬀ");
    for username in ["Zoe\u{308}ﬀ", "zoëff", "ZOËFF", "Ｚｏëff"] {
        let answer = service.log_in(username, PASSWORD).await.unwrap();
        assert_eq!(answer.username, "Zoe\u{308}ﬀ", "{username}");
        assert!(is_taken(&service, username).await, "{username}");
    }
    service.stop().await;
}

#[tokio::test]
async fn of_names_that_look_alike_signed_up_at_once_one_succeeds() {
    let database = Database::create().await;
    let service = Arc::new(Service::start(&database).await);
    let attempts: Vec<_> = ["scope", "ѕсоре", "scоpe", "sсope", "scopе", "ѕcope", "scорe", "ѕсopе"]
        .into_iter()
        .map(|username| {
            let service = service.clone();
            tokio::spawn(async move { !is_taken(&service, username).await })
        })
        .collect();
    let mut succeeded = 0;
    for attempt in attempts {
        succeeded += usize::from(attempt.await.unwrap());
    }
    assert_eq!(succeeded, 1);
    Arc::into_inner(service).unwrap().stop().await;
}

/// Rows as the version before wrote them: with a key that knew of case only.
#[tokio::test]
async fn accounts_from_before_are_as_safe_after_the_next_start() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    for username in ["grace", "mary", "Zoe"] {
        service.sign_up(named(username)).await.unwrap();
    }
    for change in [
        "UPDATE authentication.account SET skeletons = NULL",
        "UPDATE authentication.account SET username = 'ＭＡＲＹ', username_key = 'ｍａｒｙ' WHERE username = 'mary'",
    ] {
        sqlx::query(change).execute(&service.database).await.unwrap();
    }
    for number in 0..1200 {
        sqlx::query(
            "INSERT INTO authentication.account (id, username, username_key, password_hash, roles, created_at)
             VALUES (gen_random_uuid(), $1, $1, '', '{driver}', now())",
        )
        .bind(format!("somebody{number}"))
        .execute(&service.database)
        .await
        .unwrap();
    }
    service.stop().await;

    let service = Service::start(&database).await;
    let left = "SELECT count(*) FROM authentication.account WHERE skeletons IS NULL";
    assert_eq!(service.count(left).await, 0);
    for username in ["grасе", "mаry", "mary", "Zое", "sоmebоdy1100"] {
        assert!(is_taken(&service, username).await, "{username}");
    }
    assert_eq!(service.log_in("mary", PASSWORD).await.unwrap().username, "ＭＡＲＹ");
    service.stop().await;
}
