//! API keys: how they are made and revoked, what they open, and what they do not. How they end with time and with their account is
//! `api_key_life.rs`.

use std::time::Duration;

use chrono::TimeDelta;
use prost_types::Timestamp;
use service_kit::access::{ApiKey, Rules, Scope, Verb, Who};
use service_kit::event::timestamp;
use service_kit::reason::Reason;
use testbed::Database;
use tonic::Status;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic_prost::ProstCodec;
use voltgate_proto::auth::v1::{
    self as auth, CreateApiKeyRequest, CreateUserRequest, CreatedApiKey, ListApiKeysRequest, ListUserApiKeysRequest,
    ListUsersRequest, RevokeApiKeyRequest, RevokeUserApiKeyRequest,
};
use voltgate_proto::events::v1::{SecondFactorChange, SecondFactorChanged};

use crate::second_factor::told;
use crate::service::{PASSWORD, Service, Setup, ada, authorized, is_revoked_soon, violations};

/// What somebody asks for who wants to read only.
pub fn a_key() -> CreateApiKeyRequest {
    CreateApiKeyRequest {
        name: "Nightly report".to_owned(),
        scopes: vec!["auth:read".to_owned()],
        roles: Vec::new(),
        expires_at: None,
        password: PASSWORD.to_owned(),
        code: None,
    }
}

impl Service {
    pub async fn create_key(&self, token: &str, request: CreateApiKeyRequest) -> Result<CreatedApiKey, Status> {
        let request = authorized(request, token);
        Ok(self.api_keys.clone().create_api_key(request).await?.into_inner())
    }

    pub async fn keys(&self, token: &str) -> Result<Vec<auth::ApiKey>, Status> {
        let request = authorized(ListApiKeysRequest {}, token);
        Ok(self
            .api_keys
            .clone()
            .list_api_keys(request)
            .await?
            .into_inner()
            .api_keys)
    }

    /// The access token of the first administrator.
    pub async fn administrator_token(&self) -> String {
        self.log_in("admin", PASSWORD).await.unwrap().access_token
    }

    pub async fn list_users(&self, credential: &str) -> Result<(), Status> {
        let request = authorized(ListUsersRequest::default(), credential);
        self.users.clone().list_users(request).await.map(|_| ())
    }
}

/// Until the service says so, which it does as soon as its replica has heard of it.
pub async fn soon(expected: &str, is_so: impl AsyncFn() -> bool) {
    for _ in 0..200 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never came: {expected}");
}

pub async fn start(database: &Database) -> Service {
    let mut setup = Setup::on(database);
    setup.settings.admin_password = Some(PASSWORD.to_owned());
    setup.start().await
}

pub fn reason(refused: Result<impl Sized, Status>) -> Reason {
    Reason::of(&refused.err().expect("it is refused"))
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_and_roles_allow_and_nothing_else() {
    let database = Database::create().await;
    let service = start(&database).await;
    let admin = service.administrator_token().await;
    let reads = service.create_key(&admin, a_key()).await.unwrap();
    assert_eq!(service.profile(&reads.key).await.unwrap().username, "admin");
    service.list_users(&reads.key).await.unwrap();
    let new = || CreateUserRequest {
        username: "grace".to_owned(),
        email: Some("grace@example.com".to_owned()),
        ..CreateUserRequest::default()
    };
    let refused = service.users.clone().create_user(authorized(new(), &reads.key)).await;
    assert_eq!(reason(refused), Reason::InsufficientScope);

    let mut request = a_key();
    request.scopes = vec!["auth:write".to_owned()];
    let refused = service.create_key(&admin, request).await.unwrap_err();
    assert_eq!(violations(&refused)[0].0, "scopes[0]", "there is nothing to write to");

    let mut request = a_key();
    request.roles = vec!["operator".to_owned()];
    let refused = service.create_key(&admin, request).await;
    assert_eq!(
        violations(&refused.unwrap_err()),
        [(
            "roles".to_owned(),
            "must be roles of yours, and you are no `operator`".to_owned()
        )]
    );
    let mut request = a_key();
    request.scopes = vec!["ocpp:read".to_owned()];
    let elsewhere = service.create_key(&admin, request).await.unwrap();
    assert_eq!(reason(service.profile(&elsewhere.key).await), Reason::InsufficientScope);
    service.stop().await;
}

/// Every RPC of auth-service that somebody who is logged in may call and that does not only read, as the protos have them: a
/// new one is among them by itself.
#[tokio::test]
async fn no_key_changes_credentials_or_ends_sessions() {
    let database = Database::create().await;
    let service = start(&database).await;
    let admin = service.administrator_token().await;
    let key = service.create_key(&admin, a_key()).await.unwrap().key;
    // As keys from a time when there was such a scope may have it.
    sqlx::query("UPDATE authentication.api_key SET scopes = '{auth:read,auth:write}'")
        .execute(&service.database)
        .await
        .unwrap();
    let mut tried = Vec::new();
    for path in changes() {
        let mut client = Grpc::new(service.channel.clone());
        client.ready().await.unwrap();
        let path = PathAndQuery::from_maybe_shared(path).unwrap();
        let request = authorized((), &key);
        let refused = client
            .unary::<(), (), _>(request, path.clone(), ProstCodec::default())
            .await;
        assert_eq!(reason(refused), Reason::InsufficientScope, "{path}");
        tried.push(path.to_string());
    }
    for known in [
        "UserService/CreateUser",
        "UserService/UpdateUser",
        "UserService/EraseUser",
        "UserService/ForcePasswordReset",
        "UserService/RevokeUserSessions",
        "PasswordService/ChangePassword",
        "ApiKeyService/CreateApiKey",
        "SigningKeyService/RotateSigningKeys",
    ] {
        assert!(tried.iter().any(|path| path.ends_with(known)), "{known}: {tried:?}");
    }
    service.list_users(&key).await.unwrap();
    service.stop().await;
}

fn changes() -> Vec<String> {
    let pool = voltgate_proto::pool();
    let rules = Rules::from_descriptors(pool).unwrap();
    let own = pool
        .services()
        .filter(|service| service.package_name() == "voltgate.auth.v1");
    own.flat_map(|service| service.methods().collect::<Vec<_>>())
        .filter(|rpc| Scope::of(rpc).unwrap().verb == Verb::Write)
        .map(|rpc| format!("/{}/{}", rpc.parent_service().full_name(), rpc.name()))
        .filter(|path| !matches!(rules.get(path).unwrap().who, Who::Public | Who::Internal))
        .collect()
}

#[tokio::test]
async fn a_key_is_made_with_the_password_shown_once_and_kept_as_a_hash() {
    let database = Database::create().await;
    let service = start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let mut wrong = a_key();
    wrong.password = "not her password".to_owned();
    assert_eq!(reason(service.create_key(&token, wrong).await), Reason::WrongPassword);

    let created = service.create_key(&token, a_key()).await.unwrap();
    let shown = created.api_key.unwrap();
    assert_eq!(
        (shown.name.as_str(), shown.scopes.as_slice()),
        ("Nightly report", &["auth:read".to_owned()][..])
    );
    assert_eq!(shown.roles, ["driver"]);
    let listed = service.keys(&token).await.unwrap();
    assert_eq!(listed, [shown]);
    let parsed = ApiKey::parse(&created.key).unwrap();
    let hash: Vec<u8> = sqlx::query_scalar("SELECT secret_hash FROM authentication.api_key")
        .fetch_one(&service.database)
        .await
        .unwrap();
    assert_eq!(hash, parsed.secret_hash());
    let everywhere: String = sqlx::query_scalar(
        "SELECT concat((SELECT json_agg(a) FROM authentication.api_key a), (SELECT json_agg(b) FROM authentication.audit b),
                       (SELECT json_agg(c) FROM authentication.outbox c))",
    )
    .fetch_one(&service.database)
    .await
    .unwrap();
    assert!(everywhere.contains("api-key.created"));
    let mails: Vec<_> = told(&service).await.iter().map(SecondFactorChanged::change).collect();
    assert_eq!(mails, [SecondFactorChange::ApiKeyCreated]);
    assert!(!everywhere.contains(&created.key));
    service.stop().await;
}

#[tokio::test]
async fn all_that_is_wrong_with_a_wish_for_a_key_is_said_at_once() {
    let database = Database::create().await;
    let service = start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let request = CreateApiKeyRequest {
        name: String::new(),
        scopes: vec![
            "ocpp:read".to_owned(),
            "ocpp:everything".to_owned(),
            "nowhere:read".to_owned(),
        ],
        roles: vec!["king".to_owned(), "queen".to_owned()],
        expires_at: Some(timestamp(service.now() + TimeDelta::days(367))),
        password: String::new(),
        code: None,
    };
    let refused = service.create_key(&token, request).await.unwrap_err();
    let fields: Vec<_> = violations(&refused).into_iter().map(|(field, _)| field).collect();
    assert_eq!(
        fields,
        [
            "name",
            "scopes[1]",
            "scopes[2]",
            "roles[0]",
            "roles[1]",
            "expiresAt",
            "password"
        ]
    );
    for at in [
        timestamp(service.now() - TimeDelta::seconds(1)),
        Timestamp {
            seconds: i64::MAX,
            nanos: -1,
        },
    ] {
        let mut request = a_key();
        request.expires_at = Some(at);
        let refused = service.create_key(&token, request).await.unwrap_err();
        assert_eq!(violations(&refused)[0].0, "expiresAt");
    }
    let mut request = a_key();
    request.scopes.clear();
    let refused = service.create_key(&token, request).await.unwrap_err();
    assert_eq!(violations(&refused), [("scopes".to_owned(), "is required".to_owned())]);
    service.stop().await;
}

#[tokio::test]
async fn a_key_that_is_revoked_is_refused_and_others_go_on() {
    let database = Database::create().await;
    let service = start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let (one, other) = (
        service.create_key(&token, a_key()).await.unwrap(),
        service.create_key(&token, a_key()).await.unwrap(),
    );
    for key in [&one.key, &other.key] {
        service.profile(key).await.unwrap();
    }
    let id = one.api_key.unwrap().id;
    let request = RevokeApiKeyRequest { api_key_id: id.clone() };
    service
        .api_keys
        .clone()
        .revoke_api_key(authorized(request.clone(), &token))
        .await
        .unwrap();
    is_revoked_soon(&service, &one.key).await;
    service.profile(&other.key).await.unwrap();
    let again = service
        .api_keys
        .clone()
        .revoke_api_key(authorized(request, &token))
        .await;
    assert_eq!(reason(again), Reason::NotFound);
    assert_eq!(service.keys(&token).await.unwrap().len(), 1);
    service.stop().await;
}

#[tokio::test]
async fn nobody_reaches_the_keys_of_others_but_an_administrator() {
    let database = Database::create().await;
    let service = start(&database).await;
    let (hers, admin) = (
        service.sign_up(ada()).await.unwrap(),
        service.administrator_token().await,
    );
    let key = service.create_key(&hers.access_token, a_key()).await.unwrap();
    let id = key.api_key.unwrap().id;
    let request = RevokeApiKeyRequest { api_key_id: id.clone() };
    let refused = service
        .api_keys
        .clone()
        .revoke_api_key(authorized(request, &admin))
        .await;
    assert_eq!(reason(refused), Reason::NotFound);
    let list = |user: &str| ListUserApiKeysRequest {
        user_id: user.to_owned(),
    };
    let refused = service
        .api_keys
        .clone()
        .list_user_api_keys(authorized(list(&hers.id), &hers.access_token))
        .await;
    assert_eq!(reason(refused), Reason::PermissionDenied);
    let listed = service
        .api_keys
        .clone()
        .list_user_api_keys(authorized(list(&hers.id), &admin))
        .await
        .unwrap();
    assert_eq!(listed.into_inner().api_keys[0].id, id);
    for nobody in ["x", "01994e3a-5f1c-7c3e-9d52-0a4b6c8d9e02"] {
        let refused = service
            .api_keys
            .clone()
            .list_user_api_keys(authorized(list(nobody), &admin))
            .await;
        assert_eq!(reason(refused), Reason::NotFound);
    }
    let request = RevokeUserApiKeyRequest {
        user_id: hers.id,
        api_key_id: id,
    };
    service
        .api_keys
        .clone()
        .revoke_user_api_key(authorized(request, &admin))
        .await
        .unwrap();
    is_revoked_soon(&service, &key.key).await;
    service.stop().await;
}

#[tokio::test]
async fn an_account_has_fifty_keys_at_the_most() {
    let database = Database::create().await;
    let service = start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    service.create_key(&token, a_key()).await.unwrap();
    sqlx::query(
        "INSERT INTO authentication.api_key (id, account_id, name, secret_hash, scopes, roles, created_at, expires_at)
         SELECT gen_random_uuid(), account_id, name, secret_hash, scopes, roles, created_at, expires_at
         FROM authentication.api_key, generate_series(2, 50)",
    )
    .execute(&service.database)
    .await
    .unwrap();
    assert_eq!(
        reason(service.create_key(&token, a_key()).await),
        Reason::TooManyApiKeys
    );
    service.stop().await;
}

#[tokio::test]
async fn what_only_looks_like_a_key_opens_nothing() {
    let database = Database::create().await;
    let service = start(&database).await;
    let token = service.sign_up(ada()).await.unwrap().access_token;
    let key = service.create_key(&token, a_key()).await.unwrap().key;
    let genuine = ApiKey::parse(&key).unwrap();
    let mut same_id = ApiKey::generate();
    same_id.id = genuine.id;
    for made_up in [
        "vgk_".to_owned(),
        "vgk_x".to_owned(),
        format!("{key}A"),
        key.replace("vgk_", "vgr_"),
        ApiKey::generate().write(),
        same_id.write(),
    ] {
        assert_eq!(
            reason(service.profile(&made_up).await),
            Reason::InvalidToken,
            "{made_up}"
        );
    }
    service.profile(&key).await.unwrap();
    service.stop().await;
}
