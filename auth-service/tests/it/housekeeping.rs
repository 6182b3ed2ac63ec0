//! What has expired goes, however much of it there is.

use std::time::Duration;

use testbed::Database;

use crate::service::{Service, ada};

/// Until a count is what it should be.
pub async fn until(service: &Service, count: &'static str, expected: i64) {
    for _ in 0..500 {
        if service.count(count).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(service.count(count).await, expected, "{count}");
}

/// More of each than one statement removes. A service looks at once when it starts, and the next time a minute later.
#[tokio::test]
async fn whatever_has_expired_is_removed_at_one_go() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.sign_up(ada()).await.unwrap();
    for insert in [
        "INSERT INTO authentication.passkey_challenge (token, state, expires_at)
         SELECT sha256(number::text::bytea), '{}', now() - interval '1 second' FROM generate_series(1, 2500) AS number",
        "INSERT INTO authentication.login_challenge (token, account_id, password_mark, expires_at)
         SELECT sha256(number::text::bytea), id, '', now() - interval '1 second'
         FROM authentication.account, generate_series(1, 2500) AS number",
        "INSERT INTO authentication.revocation (session_id, expires_at)
         SELECT gen_random_uuid(), now() - interval '1 second' FROM generate_series(1, 2500)",
        "INSERT INTO authentication.session (id, account_id, started_at, last_used_at, expires_at, ends_at, address,
                                             sealed_family_key, refresh_token)
         SELECT gen_random_uuid(), account_id, started_at, last_used_at, now() - interval '1 second', ends_at, address,
                sealed_family_key, refresh_token
         FROM authentication.session, generate_series(1, 2500)",
        "INSERT INTO authentication.account (id, username, username_key, password_hash, roles, created_at, skeletons)
         SELECT gen_random_uuid(), 'somebody' || number, 'somebody' || number, '', '{driver}', now(), '{}'
         FROM generate_series(1, 2500) AS number",
        // An account has one of each purpose.
        "INSERT INTO authentication.email_code (account_id, purpose, code, email, created_at, expires_at)
         SELECT id, 'reset-password', sha256(username::bytea), '', now(), now() - interval '1 second'
         FROM authentication.account WHERE username LIKE 'somebody%'",
        "INSERT INTO authentication.api_key (id, account_id, name, secret_hash, scopes, roles, created_at, expires_at)
         SELECT gen_random_uuid(), id, '', '', '{auth:read}', '{driver}', now(), now() - interval '31 days'
         FROM authentication.account WHERE username LIKE 'somebody%'",
        "INSERT INTO authentication.api_key (id, account_id, name, secret_hash, scopes, roles, created_at, expires_at)
         SELECT gen_random_uuid(), id, '', '', '{auth:read}', '{driver}', now(), now() - interval '29 days'
         FROM authentication.account WHERE username = 'Ada'",
        "INSERT INTO authentication.audit (id, at, action)
         SELECT gen_random_uuid(), now() - interval '731 days', 'x' FROM generate_series(1, 2500)",
        "INSERT INTO authentication.throttle (key, empty_at, blocked_until)
         SELECT sha256(number::text::bytea), now() - interval '1 second', now() - interval '1 second'
         FROM generate_series(1, 2500) AS number",
        "INSERT INTO authentication.familiar_address (account_id, network, last_used_at)
         SELECT id, 'network', now() - interval '91 days' FROM authentication.account WHERE username LIKE 'somebody%'",
        "INSERT INTO authentication.known_device
         SELECT account_id, 'device ' || number, network, first_used_at, now() - interval '401 days'
         FROM authentication.known_device, generate_series(1, 2500) AS number",
    ] {
        sqlx::query(insert).execute(&service.database).await.unwrap();
    }
    service.stop().await;
    let service = Service::start(&database).await;
    for (count, left) in [
        ("SELECT count(*) FROM authentication.passkey_challenge", 0),
        ("SELECT count(*) FROM authentication.login_challenge", 0),
        ("SELECT count(*) FROM authentication.revocation", 0),
        ("SELECT count(*) FROM authentication.session", 1),
        ("SELECT count(*) FROM authentication.known_device", 1),
        // That of her signup.
        ("SELECT count(*) FROM authentication.email_code", 1),
        ("SELECT count(*) FROM authentication.api_key", 1),
        ("SELECT count(*) FROM authentication.audit", 1),
        // Her address and her mailbox.
        ("SELECT count(*) FROM authentication.throttle", 2),
        ("SELECT count(*) FROM authentication.familiar_address", 1),
    ] {
        until(&service, count, left).await;
    }
    service.stop().await;
}
