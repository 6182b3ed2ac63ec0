//! A running auth-service for one test.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth_service::{Administrator, Application, Settings};
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use service_kit::Shared;
use service_kit::access::{ServiceSecret, ServiceTokens};
use service_kit::bus::{Bus, LocalBus};
use service_kit::clock::Clock;
use service_kit::reason::Reason;
use service_kit::settings::{AccessSettings, DatabaseSettings};
use service_kit::start::StartError;
use sqlx::PgPool;
use testbed::Database;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};
use tonic_types::StatusExt;
use voltgate_proto::auth::v1::api_key_service_client::ApiKeyServiceClient;
use voltgate_proto::auth::v1::audit_service_client::AuditServiceClient;
use voltgate_proto::auth::v1::auth_service_client::AuthServiceClient;
use voltgate_proto::auth::v1::email_address_service_client::EmailAddressServiceClient;
use voltgate_proto::auth::v1::login_session_service_client::LoginSessionServiceClient;
use voltgate_proto::auth::v1::passkey_service_client::PasskeyServiceClient;
use voltgate_proto::auth::v1::password_service_client::PasswordServiceClient;
use voltgate_proto::auth::v1::profile_service_client::ProfileServiceClient;
use voltgate_proto::auth::v1::second_factor_service_client::SecondFactorServiceClient;
use voltgate_proto::auth::v1::signing_key_service_client::SigningKeyServiceClient;
use voltgate_proto::auth::v1::user_service_client::UserServiceClient;
use voltgate_proto::auth::v1::verification_service_client::VerificationServiceClient;
use voltgate_proto::auth::v1::{
    GetJwksRequest, GetProfileRequest, LogInRequest, LogInResponse, Profile, SignUpRequest, TokenResponse,
};

pub const PASSWORD: &str = "correct horse battery";
pub const SECRET: &str = "q3Jw0dV1oZb8yT6uK2nX9mC4eR7sA5hL";
const SERVICE_SECRET: &[u8] = b"shared by the processes of this test";

/// A clock that a test sets forward, and may stop.
#[derive(Default)]
pub struct TestClock {
    ahead: Mutex<TimeDelta>,
    stopped: Mutex<Option<DateTime<Utc>>>,
}

impl TestClock {
    pub fn advance(&self, by: TimeDelta) {
        *self.ahead.lock().unwrap() += by;
    }

    /// From now on time passes by [`advance`](Self::advance) only.
    pub fn stop(&self) {
        // PostgreSQL keeps microseconds.
        *self.stopped.lock().unwrap() = Some(Utc::now().trunc_subsecs(6));
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        self.stopped.lock().unwrap().unwrap_or_else(Utc::now) + *self.ahead.lock().unwrap()
    }
}

/// What a service is started with.
#[derive(Clone)]
pub struct Setup {
    pub settings: Settings,
    pub issuer: String,
    pub audience: String,
    pub clock: Arc<TestClock>,
    pub bus: Bus,
    pub database_url: String,
}

impl Setup {
    pub fn on(database: &Database) -> Self {
        let settings = Settings {
            auth_listen: "127.0.0.1:0".parse().unwrap(),
            auth_secret: Some(SECRET.to_owned()),
            ..Settings::default()
        };
        Self {
            settings,
            issuer: "voltgate".to_owned(),
            audience: "voltgate".to_owned(),
            clock: Arc::default(),
            bus: Bus::Local(LocalBus::default()),
            database_url: database.url().to_owned(),
        }
    }

    pub async fn build(self) -> Result<Application, StartError> {
        let shared = Shared {
            clock: self.clock,
            bus: self.bus,
            database: DatabaseSettings {
                database_url: Some(self.database_url),
                database_max_connections: 10,
                database_statement_seconds: 60,
            },
            access: AccessSettings {
                auth_url: "http://127.0.0.1:1".to_owned(),
                auth_issuer: self.issuer,
                auth_audience: self.audience,
                service_secret: None,
            },
            service_secret: ServiceSecret::new(SERVICE_SECRET),
            tls: None,
            max_calls: 1000,
            drain: Duration::from_secs(5),
        };
        Application::build(self.settings, shared).await
    }

    pub async fn start(self) -> Service {
        let (clock, database) = (self.clock.clone(), PgPool::connect(&self.database_url).await.unwrap());
        let application = self.build().await.unwrap();
        let administrator = application.first_administrator().await.unwrap();
        let channel = Channel::from_shared(format!("http://{}", application.local_addr()))
            .unwrap()
            .connect_lazy();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(application.run(shutdown.clone()));
        Service {
            administrator,
            clock,
            database,
            channel: channel.clone(),
            client: AuthServiceClient::new(channel.clone()),
            addresses: EmailAddressServiceClient::new(channel.clone()),
            api_keys: ApiKeyServiceClient::new(channel.clone()),
            audit: AuditServiceClient::new(channel.clone()),
            passwords: PasswordServiceClient::new(channel.clone()),
            profiles: ProfileServiceClient::new(channel.clone()),
            users: UserServiceClient::new(channel.clone()),
            sessions: LoginSessionServiceClient::new(channel.clone()),
            second_factors: SecondFactorServiceClient::new(channel.clone()),
            passkeys: PasskeyServiceClient::new(channel.clone()),
            signing_keys: SigningKeyServiceClient::new(channel.clone()),
            verification: VerificationServiceClient::new(channel),
            shutdown,
            running,
        }
    }
}

/// A service that runs, and a client of it.
pub struct Service {
    pub administrator: Administrator,
    pub clock: Arc<TestClock>,
    /// For a look behind the scenes.
    pub database: PgPool,
    pub channel: Channel,
    pub client: AuthServiceClient<Channel>,
    pub addresses: EmailAddressServiceClient<Channel>,
    pub api_keys: ApiKeyServiceClient<Channel>,
    pub audit: AuditServiceClient<Channel>,
    pub passwords: PasswordServiceClient<Channel>,
    pub profiles: ProfileServiceClient<Channel>,
    pub sessions: LoginSessionServiceClient<Channel>,
    pub second_factors: SecondFactorServiceClient<Channel>,
    pub passkeys: PasskeyServiceClient<Channel>,
    pub signing_keys: SigningKeyServiceClient<Channel>,
    pub users: UserServiceClient<Channel>,
    pub verification: VerificationServiceClient<Channel>,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), service_kit::grpc::ServeError>>,
}

impl Service {
    pub async fn start(database: &Database) -> Self {
        Setup::on(database).start().await
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        self.database.close().await;
    }

    pub async fn sign_up(&self, request: SignUpRequest) -> Result<TokenResponse, Status> {
        Ok(self.client.clone().sign_up(request).await?.into_inner())
    }

    pub async fn log_in(&self, username: &str, password: &str) -> Result<TokenResponse, Status> {
        let request = LogInRequest {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        Ok(logged_in(self.client.clone().log_in(request).await?.into_inner()))
    }

    /// As the gateway would pass on a login of somebody at this address.
    pub async fn log_in_from(
        &self,
        address: impl Into<IpAddr>,
        username: &str,
        password: &str,
    ) -> Result<TokenResponse, Status> {
        let request = LogInRequest {
            username: username.to_owned(),
            password: password.to_owned(),
        };
        let request = passed_on(&self.service_tokens(), address.into(), request);
        Ok(logged_in(self.client.clone().log_in(request).await?.into_inner()))
    }

    pub async fn sign_up_from(
        &self,
        address: impl Into<IpAddr>,
        request: SignUpRequest,
    ) -> Result<TokenResponse, Status> {
        let request = passed_on(&self.service_tokens(), address.into(), request);
        Ok(self.client.clone().sign_up(request).await?.into_inner())
    }

    pub async fn profile(&self, token: &str) -> Result<Profile, Status> {
        self.profile_with(&format!("Bearer {token}")).await
    }

    pub async fn profile_with(&self, authorization: &str) -> Result<Profile, Status> {
        let mut request = Request::new(GetProfileRequest {});
        request
            .metadata_mut()
            .insert("authorization", MetadataValue::try_from(authorization).unwrap());
        Ok(self.profiles.clone().get_profile(request).await?.into_inner())
    }

    /// The key set, and the media type it is sent as.
    pub async fn jwks(&self) -> (serde_json::Value, String) {
        let body = self
            .client
            .clone()
            .get_jwks(GetJwksRequest {})
            .await
            .unwrap()
            .into_inner();
        (serde_json::from_slice(&body.data).unwrap(), body.content_type)
    }

    pub fn service_tokens(&self) -> ServiceTokens {
        ServiceTokens::new("gateway", ServiceSecret::new(SERVICE_SECRET), self.clock.clone())
    }

    /// What the service takes for the time.
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.database).await.unwrap()
    }
}

/// A request as the gateway passes it on for a client at this address.
pub fn passed_on<T>(tokens: &ServiceTokens, address: IpAddr, message: T) -> Request<T> {
    let mut request = Request::new(message);
    for (name, value) in [
        ("voltgate-client-address", address.to_string()),
        ("voltgate-reporter", tokens.bearer().unwrap()),
    ] {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    request
}

/// The answer to a login of an account without a second factor.
pub fn logged_in(answer: LogInResponse) -> TokenResponse {
    let enough = "a password is enough";
    TokenResponse {
        id: answer.id.expect(enough),
        username: answer.username.expect(enough),
        access_token: answer.access_token.expect(enough),
        token_type: answer.token_type.expect(enough),
        expires_in: answer.expires_in.expect(enough),
        refresh_token: answer.refresh_token.expect(enough),
    }
}

/// A request of somebody who is logged in.
pub fn authorized<T>(message: T, access_token: &str) -> Request<T> {
    let mut request = Request::new(message);
    let authorization = MetadataValue::try_from(format!("Bearer {access_token}")).unwrap();
    request.metadata_mut().insert("authorization", authorization);
    request
}

/// A signup that nothing is wrong with.
pub fn ada() -> SignUpRequest {
    SignUpRequest {
        username: "Ada".to_owned(),
        password: PASSWORD.to_owned(),
        email: Some("ada@example.com".to_owned()),
    }
}

/// The fields that a refusal names, with what is wrong with each.
pub fn violations(status: &Status) -> Vec<(String, String)> {
    assert_eq!(Reason::of(status), Reason::InvalidRequest);
    let details = status.get_details_bad_request().unwrap();
    details
        .field_violations
        .into_iter()
        .map(|violation| (violation.field, violation.description))
        .collect()
}

/// Why a request was refused.
pub fn reason<T>(result: Result<T, Status>) -> Reason {
    match result {
        Ok(_) => panic!("nothing was refused"),
        Err(status) => Reason::of(&status),
    }
}

/// What voids a token reaches whoever verifies tokens through the database, its own replica included, within a moment.
pub async fn is_revoked_soon(service: &Service, token: &str) {
    for _ in 0..200 {
        match service.profile(token).await {
            Err(refusal) => {
                assert_eq!(Reason::of(&refusal), Reason::InvalidToken);
                return;
            }
            Ok(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("the access token is still valid");
}
