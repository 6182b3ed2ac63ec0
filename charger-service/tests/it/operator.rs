//! An operator's access token, from an auth-service that all tests of the run share.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use service_kit::Shared;
use service_kit::access::ServiceSecret;
use service_kit::bus::{Bus, LocalBus};
use service_kit::clock::SystemClock;
use service_kit::settings::{AccessSettings, DatabaseSettings};
use testbed::Database;
use tokio_util::sync::CancellationToken;
use tonic::Request;
use uuid::Uuid;
use voltgate_proto::auth::v1::auth_service_client::AuthServiceClient;
use voltgate_proto::auth::v1::user_service_client::UserServiceClient;
use voltgate_proto::auth::v1::{CreateUserRequest, LogInRequest, LogOutRequest, SignUpRequest};

pub const SERVICE_SECRET: &[u8] = b"shared by the processes of this test";
const PASSWORD: &str = "correct horse battery";

pub struct Operator {
    pub auth_url: String,
    pub access_token: String,
}

/// Starts auth-service on a thread of its own, since each test has a runtime that ends with it.
pub fn operator() -> &'static Operator {
    static OPERATOR: OnceLock<Operator> = OnceLock::new();
    OPERATOR.get_or_init(|| {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let database = Database::create().await;
                let application = auth(&database).await;
                let auth_url = format!("http://{}", application.local_addr());
                let running = tokio::spawn(application.run(CancellationToken::new()));
                send.send(Operator {
                    access_token: log_in(&auth_url).await,
                    auth_url,
                })
                .unwrap();
                running.await.unwrap().unwrap();
            });
        });
        receive.recv().unwrap()
    })
}

async fn auth(database: &Database) -> auth_service::Application {
    let settings = auth_service::Settings {
        auth_listen: "127.0.0.1:0".parse().unwrap(),
        auth_secret: Some("q3Jw0dV1oZb8yT6uK2nX9mC4eR7sA5hL".to_owned()),
        // Tests move their clocks on, by a day at most.
        auth_access_token_seconds: 2 * 86_400,
        admin_password: Some(PASSWORD.to_owned()),
        // All drivers of all tests come from one address.
        auth_free_signups_per_address: 1_000_000,
        ..auth_service::Settings::default()
    };
    let shared = Shared {
        clock: Arc::new(SystemClock),
        bus: Bus::Local(LocalBus::default()),
        database: DatabaseSettings {
            database_url: Some(database.url().to_owned()),
            database_max_connections: 5,
            database_statement_seconds: 60,
        },
        access: access("http://127.0.0.1:1"),
        service_secret: ServiceSecret::new(SERVICE_SECRET),
        tls: None,
        max_calls: 1000,
        drain: Duration::from_secs(1),
    };
    let application = auth_service::Application::build(settings, shared).await.unwrap();
    application.first_administrator().await.unwrap();
    application
}

pub async fn log_in(auth_url: &str) -> String {
    let mut client = AuthServiceClient::connect(auth_url.to_owned()).await.unwrap();
    let credentials = LogInRequest {
        username: "admin".to_owned(),
        password: PASSWORD.to_owned(),
    };
    let answer = client.log_in(credentials).await.unwrap().into_inner();
    answer.access_token.expect("a password is enough")
}

/// Somebody who operates what stands in these groups of sites, and nothing else.
pub async fn limited_operator(groups: &[&str]) -> Driver {
    let username = format!("operator-{}", Uuid::now_v7());
    let request = CreateUserRequest {
        username: username.clone(),
        password: Some(PASSWORD.to_owned()),
        roles: vec!["operator".to_owned()],
        site_groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        email: None,
    };
    let mut request = Request::new(request);
    let token = format!("Bearer {}", operator().access_token);
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    let mut users = UserServiceClient::connect(operator().auth_url.clone()).await.unwrap();
    let account = users.create_user(request).await.unwrap().into_inner().id;
    let mut client = AuthServiceClient::connect(operator().auth_url.clone()).await.unwrap();
    let credentials = LogInRequest {
        username,
        password: PASSWORD.to_owned(),
    };
    let answer = client.log_in(credentials).await.unwrap().into_inner();
    Driver {
        account,
        access_token: answer.access_token.unwrap(),
    }
}

/// Somebody who has signed up, and so is a driver.
pub struct Driver {
    pub account: String,
    pub access_token: String,
}

impl Driver {
    pub async fn sign_up() -> Self {
        let mut client = AuthServiceClient::connect(operator().auth_url.clone()).await.unwrap();
        let request = SignUpRequest {
            username: format!("driver-{}@example.com", Uuid::now_v7()),
            password: PASSWORD.to_owned(),
            email: None,
        };
        let answer = client.sign_up(request).await.unwrap().into_inner();
        Self {
            account: answer.id,
            access_token: answer.access_token,
        }
    }

    pub async fn log_out(&self) {
        let mut client = AuthServiceClient::connect(operator().auth_url.clone()).await.unwrap();
        client.log_out(self.asks(LogOutRequest::default())).await.unwrap();
    }

    /// A request as this driver sends it.
    pub fn asks<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = format!("Bearer {}", self.access_token);
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        request
    }
}

pub fn access(auth_url: &str) -> AccessSettings {
    AccessSettings {
        auth_url: auth_url.to_owned(),
        auth_issuer: "voltgate".to_owned(),
        auth_audience: "voltgate".to_owned(),
        service_secret: None,
    }
}
