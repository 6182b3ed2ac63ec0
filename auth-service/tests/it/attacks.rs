//! Tokens that nobody issued. Those that would need the private key are tried beside the code that holds it
//! (`src/access_token.rs`).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use service_kit::reason::Reason;
use testbed::Database;

use crate::service::{Service, ada};

fn encode(part: &Value) -> String {
    URL_SAFE_NO_PAD.encode(part.to_string())
}

fn decode(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn no_forged_token_opens_a_profile() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let genuine = service.sign_up(ada()).await.unwrap().access_token;
    let parts: Vec<&str> = genuine.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("{genuine}")
    };
    let (keys, _) = service.jwks().await;
    let public_key = URL_SAFE_NO_PAD.decode(keys["keys"][0]["x"].as_str().unwrap()).unwrap();
    let kid = keys["keys"][0]["kid"].as_str().unwrap();

    let none = |alg: &str| encode(&json!({"typ": "at+jwt", "alg": alg, "kid": kid}));
    let with_header = |name: &str, value: Value| {
        let mut changed = decode(header);
        changed[name] = value;
        encode(&changed)
    };
    let with_claim = |name: &str, value: Value| {
        let mut changed = decode(claims);
        changed[name] = value;
        encode(&changed)
    };
    let symmetric = |secret: &[u8]| {
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some("at+jwt".to_owned());
        header.kid = Some(kid.to_owned());
        jsonwebtoken::encode(&header, &decode(claims), &EncodingKey::from_secret(secret)).unwrap()
    };
    let own_key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});

    let forged = [
        ("alg none", format!("{}.{claims}.", none("none"))),
        (
            "alg none with the signature",
            format!("{}.{claims}.{signature}", none("none")),
        ),
        ("alg None", format!("{}.{claims}.", none("None"))),
        ("HS256 with the public key", symmetric(&public_key)),
        (
            "HS256 with the public key in base64url",
            symmetric(keys["keys"][0]["x"].as_str().unwrap().as_bytes()),
        ),
        ("HS256 with the key set", symmetric(keys.to_string().as_bytes())),
        (
            "another type",
            format!("{}.{claims}.{signature}", with_header("typ", json!("JWT"))),
        ),
        (
            "the type of a service token",
            format!("{}.{claims}.{signature}", with_header("typ", json!("service+jwt"))),
        ),
        (
            "no type",
            format!("{}.{claims}.{signature}", with_header("typ", Value::Null)),
        ),
        (
            "an unknown key id",
            format!("{}.{claims}.{signature}", with_header("kid", json!("unknown"))),
        ),
        (
            "a path as key id",
            format!("{}.{claims}.{signature}", with_header("kid", json!("../../dev/null"))),
        ),
        (
            "no key id",
            format!("{}.{claims}.{signature}", with_header("kid", Value::Null)),
        ),
        (
            "a key of its own",
            format!("{}.{claims}.{signature}", with_header("jwk", own_key)),
        ),
        (
            "a key URL of its own",
            format!(
                "{}.{claims}.{signature}",
                with_header("jku", json!("http://127.0.0.1:1/"))
            ),
        ),
        (
            "more roles",
            format!("{header}.{}.{signature}", with_claim("roles", json!(["admin"]))),
        ),
        (
            "another account",
            format!(
                "{header}.{}.{signature}",
                with_claim("sub", json!(uuid::Uuid::now_v7()))
            ),
        ),
        (
            "a later expiry",
            format!("{header}.{}.{signature}", with_claim("exp", json!(i64::MAX))),
        ),
        ("no signature", format!("{header}.{claims}.")),
        ("two parts", format!("{header}.{claims}")),
        (
            "another signature",
            format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([0; 64])),
        ),
        ("garbage", "garbage".to_owned()),
        ("dots", "..".to_owned()),
        ("nothing", String::new()),
        ("oversized", "a".repeat(5000)),
        (
            "an oversized claim",
            format!("{header}.{}.{signature}", with_claim("x", json!("a".repeat(5000)))),
        ),
    ];
    for (attack, token) in forged {
        let refusal = service
            .profile(&token)
            .await
            .err()
            .unwrap_or_else(|| panic!("{attack} got in"));
        assert_eq!(Reason::of(&refusal), Reason::InvalidToken, "{attack}");
        assert!(
            !refusal.message().contains(token.as_str()) || token.len() < 3,
            "{attack} is repeated to the caller"
        );
    }
    assert!(service.profile(&genuine).await.is_ok(), "the genuine one still does");
    service.stop().await;
}

#[tokio::test]
async fn another_scheme_than_bearer_is_refused() {
    let database = Database::create().await;
    let service = Service::start(&database).await;
    let genuine = service.sign_up(ada()).await.unwrap().access_token;
    for authorization in [
        "Basic YTpi".to_owned(),
        genuine.clone(),
        format!("Token {genuine}"),
        "Bearer".to_owned(),
    ] {
        let refusal = service.profile_with(&authorization).await.unwrap_err();
        assert_eq!(Reason::of(&refusal), Reason::InvalidToken);
    }
    assert!(
        service.profile_with(&format!("bearer {genuine}")).await.is_ok(),
        "the scheme has no case (RFC 9110)"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_token_of_another_installation_is_not_valid_here() {
    let (database, other_database) = (Database::create().await, Database::create().await);
    let (service, other) = tokio::join!(Service::start(&database), Service::start(&other_database));
    let foreign = other.sign_up(ada()).await.unwrap().access_token;
    service.sign_up(ada()).await.unwrap();
    let refusal = service.profile(&foreign).await.unwrap_err();
    assert_eq!(Reason::of(&refusal), Reason::InvalidToken);
    service.stop().await;
    other.stop().await;
}
