//! The four services as processes of their own, on one PostgreSQL with a role and a schema each, one RabbitMQ and one
//! mail server.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, ToSocketAddrs};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use testbed::{Broker, Database};
use tokio::sync::Mutex;

use crate::all_in_one::{ADMIN_PASSWORD, mails_in};
use crate::api::Api;
use crate::process::{Environment, Process, free_address};
use crate::python::Script;
use crate::wait::until;

const ROLES: &str = include_str!("../../deploy/postgres/roles.sql");
const ROLE_PASSWORD: &str = "for-this-run-only";

/// Roles belong to the whole server, so one test at a time prepares them.
static ROLES_LOCK: Mutex<()> = Mutex::const_new(());

/// Each service with the setting of its own port and, behind the gateway, its name in the protos.
pub const SERVICES: &[(&str, &str, &str)] = &[
    ("auth-service", "AUTH_LISTEN", "auth"),
    ("charger-service", "CHARGER_LISTEN", "ocpp"),
    ("email-service", "EMAIL_LISTEN", "email"),
    ("gateway", "GATEWAY_LISTEN", ""),
];

/// Processes, and what they stand on.
pub struct Processes {
    pub environments: BTreeMap<&'static str, Environment>,
    pub running: BTreeMap<&'static str, Process>,
    pub database: Database,
    pub broker: Broker,
    pub mail: MailServer,
    folder: TempDir,
}

/// A mail server that nobody here wrote.
pub struct MailServer {
    _script: Script,
    port: u16,
    folder: TempDir,
}

impl MailServer {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let mut script = Script::start("smtp_server.py", &[&folder.path().display().to_string()]);
        let port = script.next().await["port"]
            .as_u64()
            .and_then(|port| port.try_into().ok())
            .expect("it tells its port");
        Self {
            _script: script,
            port,
            folder,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Every mail that came in.
    pub fn mails(&self) -> Vec<String> {
        mails_in(self.folder.path())
    }
}

impl Processes {
    /// Everything that they stand on, and the settings they would be started with.
    pub async fn prepare() -> Self {
        Self::prepare_on(Database::create().await, Broker::create().await).await
    }

    /// The same on a database and a queue that may be a test's own.
    pub async fn prepare_on(database: Database, broker: Broker) -> Self {
        let mail = MailServer::start().await;
        let _one_at_a_time = ROLES_LOCK.lock().await;
        let mut connection = PgConnection::connect(database.url())
            .await
            .expect("PostgreSQL is there");
        sqlx::raw_sql(ROLES)
            .execute(&mut connection)
            .await
            .expect("the roles can be made");
        for role in ["voltgate_auth", "voltgate_charger", "voltgate_email"] {
            let statement = sqlx::AssertSqlSafe(format!("ALTER ROLE {role} LOGIN PASSWORD '{ROLE_PASSWORD}'"));
            sqlx::raw_sql(statement)
                .execute(&mut connection)
                .await
                .expect("the role can log in");
        }
        let mut processes = Self {
            environments: BTreeMap::new(),
            running: BTreeMap::new(),
            folder: tempfile::tempdir().expect("there is room for a folder"),
            database,
            broker,
            mail,
        };
        processes.environments = processes.settings();
        processes
    }

    fn settings(&self) -> BTreeMap<&'static str, Environment> {
        let listen: BTreeMap<_, _> = SERVICES
            .iter()
            .map(|&(service, ..)| (service, free_address()))
            .collect();
        let common = [
            ("SERVICE_SECRET", "one secret for the services of this test".to_owned()),
            ("AUTH_URL", format!("http://{}", listen["auth-service"])),
        ];
        let own = |service: &str| match service {
            "auth-service" => vec![
                ("AUTH_DATABASE_URL", self.url_as("voltgate_auth")),
                ("AUTH_SECRET", "seals the signing keys of this test".to_owned()),
                ("AMQP_URL", self.broker.url().to_owned()),
                ("ADMIN_PASSWORD", ADMIN_PASSWORD.to_owned()),
            ],
            "charger-service" => vec![
                ("CHARGER_DATABASE_URL", self.url_as("voltgate_charger")),
                ("CHARGER_SECRET", "hashes passwords in this test of ours".to_owned()),
                ("AMQP_URL", self.broker.url().to_owned()),
            ],
            "email-service" => vec![
                ("EMAIL_DATABASE_URL", self.url_as("voltgate_email")),
                (
                    "EMAIL_SECRET",
                    "seals what webhooks are signed with in this test".to_owned(),
                ),
                ("SMTP_URL", format!("smtp://127.0.0.1:{}", self.mail.port())),
                ("AMQP_URL", self.broker.url().to_owned()),
            ],
            "gateway" => vec![("GATEWAY_UPSTREAMS", upstreams(&listen))],
            _ => vec![],
        };
        let environment = |service: &'static str, setting: &'static str| {
            let ports = [(setting, listen[service].clone()), ("ADMIN_LISTEN", free_address())];
            let all = common.iter().cloned().chain(ports).chain(own(service));
            (service, all.map(|(name, value)| (name.to_owned(), value)).collect())
        };
        SERVICES
            .iter()
            .map(|&(service, setting, _)| environment(service, setting))
            .collect()
    }

    /// The test's database, logged in as a role.
    pub fn url_as(&self, role: &str) -> String {
        let (_, place) = self.database.url().rsplit_once('@').expect("the URL names a user");
        format!("postgres://{role}:{ROLE_PASSWORD}@{place}")
    }

    /// Where the test's database is.
    pub fn database_address(&self) -> SocketAddr {
        let (_, place) = self.database.url().rsplit_once('@').expect("the URL names a user");
        let (address, _) = place.split_once('/').expect("the URL names a database");
        let mut addresses = address.to_socket_addrs().expect("the database has an address");
        addresses.next().expect("a name stands for an address")
    }

    /// The test's database, logged in as a role, by way of another address.
    pub fn url_as_at(&self, role: &str, address: SocketAddr) -> String {
        let url = self.url_as(role);
        let (before, place) = url.rsplit_once('@').expect("the URL names a user");
        let (_, database) = place.split_once('/').expect("the URL names a database");
        format!("{before}@{address}/{database}")
    }

    /// Ids of the messages of which a second copy may have gone out.
    pub async fn possible_duplicates(&self) -> BTreeSet<String> {
        let mut connection = PgConnection::connect(self.database.url())
            .await
            .expect("PostgreSQL is there");
        let ids: Vec<String> = sqlx::query_scalar("SELECT id::text FROM email.message WHERE possibly_duplicate")
            .fetch_all(&mut connection)
            .await
            .expect("the query is right");
        ids.into_iter().collect()
    }

    /// Prepares and starts all four.
    pub async fn start() -> Self {
        let mut processes = Self::prepare().await;
        processes.start_all().await;
        processes
    }

    /// Prepares another process of a service, and tells the gateway. Its name is the service's with a word behind it.
    pub fn add_replica(&mut self, service: &'static str, replica: &'static str) {
        let (_, listen, _) = *SERVICES
            .iter()
            .find(|(name, ..)| *name == service)
            .expect("the service is one of those listed");
        let mut environment = self.environments[service].clone();
        let first = environment.insert(listen.to_owned(), free_address());
        let first = first.expect("the service has an address");
        environment.insert("ADMIN_LISTEN".to_owned(), free_address());
        let both = format!("http://{first}|http://{}", environment[listen]);
        let gateway = self.environments.entry("gateway").or_default();
        let upstreams = gateway["GATEWAY_UPSTREAMS"].replace(&format!("http://{first}"), &both);
        gateway.insert("GATEWAY_UPSTREAMS".to_owned(), upstreams);
        self.environments.insert(replica, environment);
    }

    /// Starts everything that is prepared, the gateway last.
    pub async fn start_all(&mut self) {
        let names: Vec<_> = self.environments.keys().copied().collect();
        let (gateway, services): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| *name == "gateway");
        for name in services.into_iter().chain(gateway) {
            self.start_one(name).await;
        }
        let api = self.api();
        until("the gateway reaches every service", async || {
            (api.get("/health").await.status == 200).then_some(())
        })
        .await;
    }

    pub async fn start_one(&mut self, service: &'static str) {
        let environment = &self.environments[service];
        let mut process = Process::spawn(service, environment, self.folder.path());
        process.ready(&environment["ADMIN_LISTEN"]).await;
        self.running.insert(service, process);
    }

    /// Stops a service in good order, and starts it again.
    pub async fn restart(&mut self, service: &'static str) {
        self.running.get_mut(service).expect("the service runs").stop().await;
        self.start_one(service).await;
    }

    /// Kills a service with -9.
    pub async fn kill(&mut self, service: &str) {
        self.running.remove(service).expect("the service runs").kill().await;
    }

    /// Stops all in good order, the gateway first.
    pub async fn stop(mut self) {
        if let Some(mut gateway) = self.running.remove("gateway") {
            gateway.stop().await;
        }
        while let Some((_, mut service)) = self.running.pop_last() {
            service.stop().await;
        }
    }

    pub fn set(&mut self, service: &'static str, setting: &str, value: String) {
        self.environments
            .entry(service)
            .or_default()
            .insert(setting.to_owned(), value);
    }

    pub fn api(&self) -> Api {
        Api::at(&self.environments["gateway"]["GATEWAY_LISTEN"])
    }

    pub async fn admin(&self) -> Api {
        self.api().log_in("admin", ADMIN_PASSWORD).await
    }

    /// Runs a query that answers with one number.
    pub async fn count(&self, query: &'static str) -> i64 {
        let mut connection = PgConnection::connect(self.database.url())
            .await
            .expect("PostgreSQL is there");
        sqlx::query_scalar(query)
            .fetch_one(&mut connection)
            .await
            .expect("the query is right")
    }

    /// Every table of every service with a row that has `text` anywhere in it, be it text, JSON or bytes.
    pub async fn tables_with(&self, text: &str) -> Vec<String> {
        let mut connection = PgConnection::connect(self.database.url())
            .await
            .expect("PostgreSQL is there");
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
             WHERE schemaname IN ('authentication', 'ocpp', 'email') ORDER BY 1",
        )
        .fetch_all(&mut connection)
        .await
        .expect("the tables can be listed");
        let mut found = Vec::new();
        for table in tables {
            let query = sqlx::AssertSqlSafe(format!(
                "SELECT EXISTS (
                     SELECT FROM {table} AS one
                     WHERE one::text LIKE '%' || $1 || '%'
                         OR one::text LIKE '%' || encode(convert_to($1, 'UTF8'), 'hex') || '%')"
            ));
            let there: bool = sqlx::query_scalar(query)
                .bind(text)
                .fetch_one(&mut connection)
                .await
                .expect("the table can be read");
            if there {
                found.push(table);
            }
        }
        found
    }

    /// Every queue with a message that has `text` in it. The messages stay where they are.
    pub async fn queues_with(&self, text: &str) -> Vec<String> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .build()
            .expect("a client can be made");
        let base = format!("{}/api/queues/{}", self.broker.api_url(), self.broker.virtual_host());
        let guest = |request: reqwest::RequestBuilder| request.basic_auth("guest", Some("guest"));
        let queues: Vec<Value> = json_of(guest(client.get(&base))).await;
        assert!(!queues.is_empty(), "the services declare their queues");
        let mut found = Vec::new();
        for queue in queues {
            let name = queue["name"].as_str().expect("a queue has a name");
            let all = json!({ "count": 10_000, "ackmode": "ack_requeue_true", "encoding": "base64" });
            let messages: Vec<Value> = json_of(guest(client.post(format!("{base}/{name}/get"))).json(&all)).await;
            let has_it = |message: &Value| {
                let payload = STANDARD.decode(message["payload"].as_str().unwrap_or_default());
                let payload = payload.expect("a payload comes as it was asked for");
                payload.windows(text.len()).any(|part| part == text.as_bytes())
            };
            if messages.iter().any(has_it) {
                found.push(name.to_owned());
            }
        }
        found
    }

    /// Every file of what the processes have printed and logged that has `text` in it.
    pub fn logs_with(&self, text: &str) -> Vec<String> {
        let files = std::fs::read_dir(self.folder.path()).expect("the folder is there");
        let mut found = Vec::new();
        for path in files.flatten().map(|file| file.path()).filter(|path| path.is_file()) {
            let content = std::fs::read(&path).expect("a log can be read");
            if String::from_utf8_lossy(&content).contains(text) {
                found.push(path.display().to_string());
            }
        }
        found
    }

    /// Waits until every event is published and every mail is sent, and returns the mails.
    pub async fn settled_mails(&self) -> Vec<String> {
        until("every event is published and every mail is sent", async || {
            let open = self
                .count("SELECT count(*) FROM authentication.outbox WHERE sent_at IS NULL")
                .await;
            let not_taken_in = self
                .count("SELECT count(*) FROM authentication.outbox WHERE id NOT IN (SELECT event_id FROM email.inbox)")
                .await;
            let unsent = self
                .count("SELECT count(*) FROM email.message WHERE status <> 'sent'")
                .await;
            (open == 0 && not_taken_in == 0 && unsent == 0).then_some(())
        })
        .await;
        self.mail.mails()
    }
}

/// A signup sends a welcome and a code, to one address. Both are there, and neither of them twice.
///
/// # Panics
/// It is otherwise.
pub fn welcomed_once(mails: &[String], address: &str) {
    let to = format!("To: {address}");
    let mails: Vec<_> = mails.iter().filter(|mail| mail.contains(&to)).collect();
    let subject = |mail: &&String| {
        mail.lines()
            .find(|line| line.starts_with("Subject: "))
            .map(str::to_owned)
    };
    let subjects: BTreeSet<_> = mails.iter().filter_map(subject).collect();
    assert_eq!((mails.len(), subjects.len()), (2, 2), "{mails:?}");
}

async fn json_of(request: reqwest::RequestBuilder) -> Vec<Value> {
    let answer = request.send().await.expect("RabbitMQ answers");
    let answer = answer.error_for_status().expect("it takes the request");
    answer.json().await.expect("it answers with a list")
}

/// `GATEWAY_UPSTREAMS` for services at these addresses.
fn upstreams(listen: &BTreeMap<&str, String>) -> String {
    let behind = SERVICES.iter().filter(|(.., upstream)| !upstream.is_empty());
    let addresses: Vec<_> = behind
        .map(|(service, _, upstream)| format!("{upstream}=http://{}", listen[service]))
        .collect();
    addresses.join(",")
}

/// The body of a signup.
pub fn somebody() -> Value {
    serde_json::json!({ "username": "ada@example.com", "password": "correct horse battery" })
}
