//! What the person who runs Voltgate sees when something is set wrong.

use e2e::process::{Environment, Process, free_address};
use e2e::processes::{Processes, SERVICES};

/// Starts a binary that must refuse, and returns what it says.
async fn refusal(binary: &str, environment: &Environment) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::spawn(binary, environment, folder.path());
    let status = process.ended().await;
    assert!(!status.success(), "{binary} started all the same:\n{}", process.log());
    process.log()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_an_error_that_names_the_setting() {
    let processes = Processes::prepare().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().map(|address| (taken, address.to_string())).unwrap();
    for (service, setting, _) in SERVICES {
        for setting in [setting, "ADMIN_LISTEN"] {
            let mut environment = processes.environments[service].clone();
            environment.insert(setting.to_owned(), taken.1.clone());
            let said = refusal(service, &environment).await;
            assert!(
                said.contains(&format!("{setting}: cannot listen on {}", taken.1)),
                "{service}: {said}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_cannot_be_used_is_named() {
    let processes = Processes::prepare().await;
    for (service, setting, value) in [
        ("auth-service", "AUTH_DATABASE_URL", ""),
        ("auth-service", "AUTH_DATABASE_URL", "nonsense"),
        ("auth-service", "AUTH_SECRET", "change-me-change-me-change-me-change-me"),
        ("auth-service", "AMQP_URL", "http://somewhere"),
        ("charger-service", "CHARGER_SECRET", "short"),
        ("email-service", "SMTP_URL", "http://somewhere"),
        ("email-service", "SERVICE_SECRET", ""),
        ("gateway", "GATEWAY_UPSTREAMS", "auth=nowhere"),
        ("gateway", "LOG_FILTER", "info,,=="),
    ] {
        let mut environment = processes.environments[service].clone();
        environment.insert(setting.to_owned(), value.to_owned());
        let said = refusal(service, &environment).await;
        let flag = format!("--{}", setting.to_lowercase().replace('_', "-"));
        assert!(
            said.contains(setting) || said.contains(&flag),
            "{service} {setting}={value}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_port_free_for_it_the_all_in_one_leaves_no_database_behind() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut environment: Environment = ["ADMIN_LISTEN", "AUTH_LISTEN", "CHARGER_LISTEN", "EMAIL_LISTEN"]
        .into_iter()
        .map(|setting| (setting.to_owned(), free_address()))
        .collect();
    environment.insert("GATEWAY_LISTEN".to_owned(), taken.local_addr().unwrap().to_string());
    environment.insert("DATA_DIR".to_owned(), folder.path().join("data").display().to_string());
    let said = refusal("voltgate", &environment).await;
    assert!(said.contains("GATEWAY_LISTEN: cannot listen on"), "{said}");
    assert!(
        !folder.path().join("data/postgres/cluster/postmaster.pid").exists(),
        "PostgreSQL still runs"
    );
}
