//! A running charger-service for one test, and what an operator asks of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use charger_service::{Application, Asked, Fallback, Settings};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use service_kit::Shared;
use service_kit::access::{ServiceSecret, ServiceTokens};
use service_kit::bus::{Bus, LocalBus};
use service_kit::clock::Clock;
use service_kit::reason::Reason;
use service_kit::settings::DatabaseSettings;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use testbed::{Database, Proxy};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Request, Status};
use voltgate_proto::google::api::HttpBody;
use voltgate_proto::ocpp::v1::charge_point_service_client::ChargePointServiceClient;
use voltgate_proto::ocpp::v1::command_service_client::CommandServiceClient;
use voltgate_proto::ocpp::v1::id_token_service_client::IdTokenServiceClient;
use voltgate_proto::ocpp::v1::message_service_client::MessageServiceClient;
use voltgate_proto::ocpp::v1::transaction_service_client::TransactionServiceClient;
use voltgate_proto::ocpp::v1::*;

use crate::operator::{SERVICE_SECRET, access, operator};

/// A clock that a test sets forward.
#[derive(Default)]
pub struct TestClock(Mutex<TimeDelta>);

impl TestClock {
    pub fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }
}

impl Clock for TestClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + *self.0.lock().unwrap()
    }
}

/// One replica, on threads of its own, so that it can be killed.
pub struct Service {
    pub clock: Arc<TestClock>,
    pub pool: PgPool,
    pub channel: Channel,
    pub bus: Bus,
    pub url: String,
    runtime: Option<Runtime>,
    running: Option<JoinHandle<()>>,
    shutdown: CancellationToken,
}

pub fn settings() -> Settings {
    Settings {
        charger_listen: "127.0.0.1:0".parse().unwrap(),
        charger_database_url: None,
        charger_secret: Some("x8Fq2LmZ0vKc7RtB4nWs9YpD3hJg6aEu".to_owned()),
        charger_allow_unsecured: Some(true),
        charger_certificate_organization: None,
        charger_accept_unknown: false,
        charger_messages_per_second: 100,
        charger_certificate_authority: None,
        charger_certificate_authority_key: None,
        charger_certificate_days: 397,
        charger_sign_certificates: true,
        charger_call_timeout_seconds: 2,
        charger_heartbeat_seconds: 300,
        charger_boot_retry_seconds: 60,
        charger_authorization_url: None,
        charger_authorization_token: None,
        charger_authorization_timeout_seconds: 1,
        charger_authorization_asked: Asked::Unknown,
        charger_authorization_fallback: Fallback::Local,
        charger_webhook_allow_internal: false,
        charger_public_url: Some("https://charge.example.com".to_owned()),
        charger_file_url_hours: 48,
        charger_file_largest_mib: 64,
        charger_file_total_mib: 10_240,
        charger_file_retention_days: 90,
        charger_message_retention_days: 90,
        charger_event_retention_days: 7,
        charger_security_event_retention_days: 365,
        charger_audit_retention_days: 730,
        charger_status_retention_days: 90,
    }
}

fn local() -> Bus {
    Bus::Local(LocalBus::default())
}

impl Service {
    pub async fn start(database: &Database) -> Self {
        Self::start_with(database, settings()).await
    }

    pub async fn start_with(database: &Database, settings: Settings) -> Self {
        Self::start_at(database.url(), database.url().to_owned(), settings, local()).await
    }

    /// With events that come by this bus.
    pub async fn start_on(database: &Database, bus: Bus) -> Self {
        Self::start_at(database.url(), database.url().to_owned(), settings(), bus).await
    }

    /// With a way to the database that can be cut. What the test itself looks at there, it looks at directly.
    pub async fn start_behind_proxy(database: &Database) -> (Self, Proxy) {
        let options: PgConnectOptions = database.url().parse().unwrap();
        let direct = format!("{}:{}", options.get_host(), options.get_port());
        let proxy = Proxy::start(direct.parse().unwrap()).await;
        let url = database.url().replacen(&direct, &proxy.address().to_string(), 1);
        assert_ne!(url, database.url());
        (Self::start_at(database.url(), url, settings(), local()).await, proxy)
    }

    /// One more replica at a database.
    pub async fn start_at_url(url: &str, settings: Settings) -> Self {
        Self::start_at(url, url.to_owned(), settings, local()).await
    }

    /// `direct`: where the test itself looks.
    async fn start_at(direct: &str, url: String, settings: Settings, bus: Bus) -> Self {
        let clock = Arc::new(TestClock::default());
        let shared = Shared {
            clock: clock.clone(),
            bus: bus.clone(),
            database: DatabaseSettings {
                database_url: Some(url),
                database_max_connections: 8,
                database_statement_seconds: 60,
            },
            access: access(&operator().auth_url),
            service_secret: ServiceSecret::new(SERVICE_SECRET),
            tls: None,
            max_calls: 1000,
            drain: Duration::from_secs(5),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let (send, receive) = tokio::sync::oneshot::channel();
        let running = runtime.spawn(async move {
            let application = Application::build(settings, shared).await.unwrap();
            send.send(application.local_addr()).unwrap();
            application.run(stop).await.unwrap();
        });
        let address = receive.await.unwrap();
        Self {
            clock,
            pool: PgPool::connect(direct).await.unwrap(),
            channel: Channel::from_shared(format!("http://{address}"))
                .unwrap()
                .connect_lazy(),
            bus,
            url: format!("http://{address}"),
            runtime: Some(runtime),
            running: Some(running),
            shutdown,
        }
    }

    /// As an orderly restart does it.
    pub async fn stop(mut self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(20), self.running.take().unwrap())
            .await
            .unwrap()
            .unwrap();
    }

    /// As `kill -9` does it: nothing is said to anybody.
    pub fn kill(mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// A request as an operator sends it.
    pub fn asks<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let token = format!("Bearer {}", operator().access_token);
        request.metadata_mut().insert("authorization", token.parse().unwrap());
        request
    }

    /// A value for `authorization` as the gateway sends it.
    pub fn gateway_token(&self) -> String {
        let secret = ServiceSecret::new(SERVICE_SECRET);
        ServiceTokens::new("gateway", secret, self.clock.clone())
            .bearer()
            .unwrap()
    }

    pub fn charge_points(&self) -> ChargePointServiceClient<Channel> {
        ChargePointServiceClient::new(self.channel.clone())
    }

    pub fn id_tokens(&self) -> IdTokenServiceClient<Channel> {
        IdTokenServiceClient::new(self.channel.clone())
    }

    pub fn transactions(&self) -> TransactionServiceClient<Channel> {
        TransactionServiceClient::new(self.channel.clone())
    }

    pub fn commands(&self) -> CommandServiceClient<Channel> {
        CommandServiceClient::new(self.channel.clone())
    }

    /// Registers a charge point; returns its password.
    pub async fn register(&self, identity: &str) -> String {
        let request = CreateChargePointRequest {
            identity: identity.to_owned(),
            ..Default::default()
        };
        let created = self
            .charge_points()
            .create_charge_point(self.asks(request))
            .await
            .unwrap()
            .into_inner();
        created.password.unwrap()
    }

    pub async fn register_as(&self, identity: &str, registration_status: &str) -> String {
        let request = CreateChargePointRequest {
            identity: identity.to_owned(),
            registration_status: Some(registration_status.to_owned()),
            ..Default::default()
        };
        let created = self
            .charge_points()
            .create_charge_point(self.asks(request))
            .await
            .unwrap()
            .into_inner();
        created.password.unwrap()
    }

    pub async fn register_token(&self, id_token: &str) {
        self.register_tokens([CreateIdTokenRequest {
            id_token: id_token.to_owned(),
            ..Default::default()
        }])
        .await;
    }

    pub async fn register_tokens(&self, tokens: impl IntoIterator<Item = CreateIdTokenRequest>) {
        for token in tokens {
            self.id_tokens().create_id_token(self.asks(token)).await.unwrap();
        }
    }

    pub async fn charge_point(&self, identity: &str) -> ChargePoint {
        let request = GetChargePointRequest {
            identity: identity.to_owned(),
        };
        self.charge_points()
            .get_charge_point(self.asks(request))
            .await
            .unwrap()
            .into_inner()
    }

    pub async fn transaction(&self, id: i64) -> Transaction {
        let request = GetTransactionRequest {
            id: i32::try_from(id).unwrap(),
        };
        self.transactions()
            .get_transaction(self.asks(request))
            .await
            .unwrap()
            .into_inner()
    }

    pub async fn transactions_of(&self, identity: &str) -> Vec<Transaction> {
        let request = ListTransactionsRequest {
            identity: Some(identity.to_owned()),
            ..Default::default()
        };
        self.transactions()
            .list_transactions(self.asks(request))
            .await
            .unwrap()
            .into_inner()
            .transactions
    }

    pub async fn meter_values(&self, id: i64) -> Vec<MeterValue> {
        let request = ListMeterValuesRequest {
            id: i32::try_from(id).unwrap(),
            ..Default::default()
        };
        self.transactions()
            .list_meter_values(self.asks(request))
            .await
            .unwrap()
            .into_inner()
            .meter_values
    }

    /// Newest first.
    pub async fn messages(&self, identity: &str) -> Vec<Message> {
        let request = ListMessagesRequest {
            identity: identity.to_owned(),
            ..Default::default()
        };
        let mut client = MessageServiceClient::new(self.channel.clone());
        client
            .list_messages(self.asks(request))
            .await
            .unwrap()
            .into_inner()
            .messages
    }

    pub fn command_request(identity: &str, action: &str, payload: Value, wait_seconds: i32) -> SendCommandRequest {
        SendCommandRequest {
            identity: identity.to_owned(),
            action: action.to_owned(),
            payload: Some(HttpBody {
                data: payload.to_string().into(),
                ..Default::default()
            }),
            wait_seconds: Some(wait_seconds),
            expires_in_seconds: None,
        }
    }

    /// Sends a command beside the test, which plays the station meanwhile.
    pub fn command(
        &self,
        identity: &str,
        action: &str,
        payload: Value,
        wait_seconds: i32,
    ) -> JoinHandle<Result<Command, Status>> {
        let request = self.asks(Self::command_request(identity, action, payload, wait_seconds));
        let mut client = self.commands();
        tokio::spawn(async move { client.send_command(request).await.map(tonic::Response::into_inner) })
    }

    pub async fn get_command(&self, id: &str) -> Command {
        let request = GetCommandRequest { id: id.to_owned() };
        self.commands()
            .get_command(self.asks(request))
            .await
            .unwrap()
            .into_inner()
    }

    /// Every row of every table, as text.
    pub async fn everything_kept(&self) -> String {
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT quote_ident(relname) FROM pg_class
             WHERE relnamespace = 'ocpp'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition",
        )
        .fetch_all(&self.pool)
        .await
        .unwrap();
        let mut kept = String::new();
        for table in tables {
            let all = sqlx::AssertSqlSafe(format!("SELECT row_to_json(kept)::text FROM ocpp.{table} AS kept"));
            let rows: Vec<String> = sqlx::query_scalar(all).fetch_all(&self.pool).await.unwrap();
            kept.push_str(&rows.join("\n"));
        }
        kept
    }

    pub async fn unmatched(&self) -> Vec<Value> {
        let rows: Vec<(String, Option<i32>, String)> =
            sqlx::query_as("SELECT kind, reported_transaction_id, reason FROM ocpp.unmatched ORDER BY id")
                .fetch_all(&self.pool)
                .await
                .unwrap();
        rows.into_iter()
            .map(|(kind, id, reason)| json!([kind, id, reason]))
            .collect()
    }
}

impl Drop for Service {
    /// A test that ends, or fails, does not wait for its service.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub fn reason(status: &Status) -> Reason {
    Reason::of(status)
}

/// Asks again until it is so, for what another task brings about. Events wait for every transaction of the server, and so for the
/// longest statement of the tests beside this one.
pub async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..800 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it never came to be that {what}");
}
