//! What the database knows of authenticator apps and recovery codes opens nothing by itself.

use service_kit::reason::Reason;
use testbed::Database;
use totp_rs::Secret;

use crate::second_factor::{App, protect, protected_ada};
use crate::service::{PASSWORD, Service, ada, reason};

/// Everything that the database, the events and the audit log know, as text.
#[tokio::test]
async fn no_secret_is_stored_or_told_as_it_is() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    service.clock.stop();
    let signed_up = service.sign_up(ada()).await.unwrap();
    let set_up = service.begin_totp(&signed_up.access_token, PASSWORD).await.unwrap();
    let app = App::new(&set_up.secret);
    let codes = service
        .confirm_totp(&signed_up.access_token, &app.code(&service, 0))
        .await
        .unwrap();
    let challenge = service.challenge("Ada").await;
    let bytes = Secret::try_from_base32(&set_up.secret).unwrap();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut secrets = vec![
        set_up.secret.clone(),
        hex(bytes.as_bytes()),
        hex(set_up.secret.as_bytes()),
    ];
    secrets.extend([challenge.token.clone(), hex(challenge.token.as_bytes())]);
    for code in codes {
        let bare = code.replace('-', "");
        secrets.extend([hex(code.as_bytes()), hex(bare.as_bytes()), code, bare]);
    }
    for table in ["totp", "recovery_code", "login_challenge", "outbox", "audit"] {
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
            "SELECT t::text FROM authentication.{table} t"
        )))
        .fetch_all(&service.database)
        .await
        .unwrap();
        assert!(!rows.is_empty(), "{table}");
        for row in rows {
            for secret in &secrets {
                assert!(!row.contains(secret.as_str()), "{table}: {row}");
            }
        }
    }
    service.stop().await;
}

/// The secret of one account, put into the row of another, is nobody's.
#[tokio::test]
async fn a_sealed_secret_opens_for_its_own_account_only() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let ada = protected_ada(&service).await;
    let grace = voltgate_proto::auth::v1::SignUpRequest {
        username: "grace".to_owned(),
        ..crate::service::ada()
    };
    let grace = service.sign_up(grace).await.unwrap();
    protect(&service, &grace.access_token, &grace.id).await;
    sqlx::query(
        "UPDATE authentication.totp SET sealed_secret =
             (SELECT sealed_secret FROM authentication.totp WHERE account_id = $1::uuid)",
    )
    .bind(&ada.account)
    .execute(&service.database)
    .await
    .unwrap();
    let challenge = service.challenge("grace").await;
    let code = ada.app.code(&service, 0);
    assert_eq!(reason(service.finish(&challenge.token, &code).await), Reason::Internal);
    service.stop().await;
}
