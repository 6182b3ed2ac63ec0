//! `docker-compose.yml`, taken at its word: each service's command and environment, started as plain processes.

use std::collections::BTreeMap;

use e2e::process::{Environment, free_address};
use e2e::processes::{Processes, somebody, welcomed_once};
use e2e::python::Script;
use serde_json::Value;

/// What `.env` would hold.
const SECRETS: [&str; 10] = [
    "POSTGRES_PASSWORD",
    "AUTH_DB_PASSWORD",
    "CHARGER_DB_PASSWORD",
    "EMAIL_DB_PASSWORD",
    "RABBITMQ_PASSWORD",
    "REDIS_PASSWORD",
    "AUTH_SECRET",
    "CHARGER_SECRET",
    "SERVICE_SECRET",
    "ADMIN_PASSWORD",
];

async fn compose_file() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docker-compose.yml");
    let mut script = Script::start("compose.py", &[path]);
    let compose = script.next().await;
    script.finish().await;
    compose
}

/// `${NAME}`, `${NAME:-default}` and `${NAME:?message}`, as compose replaces them.
fn substitute(text: &str, variables: &BTreeMap<String, String>) -> String {
    let Some((before, rest)) = text.split_once("${") else {
        return text.to_owned();
    };
    let (expression, after) = rest.split_once('}').expect("a brace is closed");
    let (name, default) = expression.split_once(":-").unwrap_or((expression, ""));
    let name = name.split_once(":?").map_or(name, |(name, _)| name);
    let value = variables.get(name).cloned().unwrap_or_else(|| default.to_owned());
    format!("{before}{value}{}", substitute(after, variables))
}

/// The environment of one service, with the names of containers replaced by addresses of this machine.
fn environment(service: &Value, variables: &BTreeMap<String, String>, hosts: &[(&str, String)]) -> Environment {
    let entries = service["environment"]
        .as_object()
        .expect("the environment is a mapping");
    let value = |value: &Value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        hosts
            .iter()
            .fold(substitute(&text, variables), |text, (from, to)| text.replace(from, to))
    };
    entries.iter().map(|(name, text)| (name.clone(), value(text))).collect()
}

#[tokio::test]
async fn what_a_container_says_does_not_fill_the_disk() {
    let compose = compose_file().await;
    let services = compose["services"].as_object().expect("there are services");
    for (name, service) in services {
        let logging = &service["logging"];
        assert_eq!(logging["driver"], "local", "{name}");
        assert!(
            logging["options"]["max-size"].is_string() && logging["options"]["max-file"].is_string(),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_of_the_compose_file_start_by_its_commands_and_environment() {
    let compose = compose_file().await;
    let mut processes = Processes::prepare().await;
    let secret =
        |(index, name): (usize, &&str)| ((*name).to_owned(), format!("{index}{}", "0123456789abcdef".repeat(2)));
    let variables: BTreeMap<_, _> = SECRETS.iter().enumerate().map(secret).collect();
    let ports: BTreeMap<_, _> = ["50051", "50052", "50053", "8080"]
        .map(|port| (port, free_address()))
        .into();
    let credentials = |role: &str, variable: &str| {
        let from = format!("{role}:{}@postgres:5432/voltgate", variables[variable]);
        (
            from,
            processes.url_as(role).trim_start_matches("postgres://").to_owned(),
        )
    };
    let databases = [
        credentials("voltgate_auth", "AUTH_DB_PASSWORD"),
        credentials("voltgate_charger", "CHARGER_DB_PASSWORD"),
        credentials("voltgate_email", "EMAIL_DB_PASSWORD"),
    ];
    let amqp = format!("amqp://voltgate:{}@rabbitmq:5672/%2f", variables["RABBITMQ_PASSWORD"]);
    let redis = format!("redis://:{}@redis:6379/0", variables["REDIS_PASSWORD"]);
    let mut hosts: Vec<(&str, String)> = vec![
        (&redis, testbed::redis_url()),
        (&amqp, processes.broker.url().to_owned()),
        ("mail:1025", format!("127.0.0.1:{}", processes.mail.port())),
        ("auth-service:50051", ports["50051"].clone()),
        ("charger-service:50052", ports["50052"].clone()),
        ("email-service:50053", ports["50053"].clone()),
        ("0.0.0.0:50051", ports["50051"].clone()),
        ("0.0.0.0:50052", ports["50052"].clone()),
        ("0.0.0.0:50053", ports["50053"].clone()),
        ("0.0.0.0:8080", ports["8080"].clone()),
    ];
    hosts.extend(databases.iter().map(|(from, to)| (from.as_str(), to.clone())));

    for service in ["auth-service", "charger-service", "email-service", "gateway"] {
        let definition = &compose["services"][service];
        assert_eq!(
            definition["command"],
            serde_json::json!([service]),
            "the command is the binary"
        );
        let mut environment = environment(definition, &variables, &hosts);
        environment.insert("ADMIN_LISTEN".to_owned(), free_address());
        assert!(
            environment
                .values()
                .all(|value| !value.contains("${") && !value.contains("0.0.0.0")),
            "{service} has settings that this test does not understand"
        );
        processes.environments.insert(service, environment);
    }
    processes.start_all().await;
    processes.api().post("/auth/signup", &somebody()).await.expect(201);
    welcomed_once(&processes.settled_mails().await, "ada@example.com");
    processes.api().log_in("admin", &variables["ADMIN_PASSWORD"]).await;
    processes.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_in_the_compose_file_has_a_default() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docker-compose.yml")).unwrap();
    for name in SECRETS {
        assert!(text.contains(&format!("${{{name}:?")), "{name} is asked for");
        assert!(!text.contains(&format!("${{{name}:-")), "{name} has a default");
    }
}
