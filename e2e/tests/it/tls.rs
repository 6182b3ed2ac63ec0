//! TLS from outside, with programs that nobody here wrote: OpenSSL by Python's `ssl` and on its own, websockets, curl and
//! grpcio.

use e2e::all_in_one::{ADMIN_PASSWORD, Voltgate};
use e2e::process::free_address;
use e2e::python::Script;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::certificates::{Authority, Issued, Paths, Subject};
use tokio::process::Command;

/// One answer to each probe of `tls.py`.
pub async fn probe(probes: &[Value]) -> Vec<Value> {
    let arguments: Vec<_> = probes.iter().map(Value::to_string).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let mut script = Script::start("tls.py", &arguments);
    let mut answers = Vec::new();
    for _ in probes {
        answers.push(script.next().await);
    }
    script.finish().await;
    answers
}

/// What a program prints, on either output, with nothing to read.
async fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .await
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

fn pair(paths: &Paths) -> String {
    format!("{}:{}", paths.certificate.display(), paths.key.display())
}

pub fn own(paths: &Paths) -> Value {
    json!([paths.certificate, paths.key])
}

pub fn merged(one: &Value, other: Value) -> Value {
    let mut merged = one.as_object().unwrap().clone();
    merged.extend(other.as_object().unwrap().clone());
    Value::Object(merged)
}

/// Everything in one process, with a port that has TLS beside the one without.
struct Secure {
    voltgate: Voltgate,
    address: String,
    ca: String,
    stations: Authority,
    folder: TempDir,
}

impl Secure {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (servers, stations) = (Authority::new("servers"), Authority::new("stations"));
        let subject = Subject::named("localhost").loopback();
        let ecdsa = servers.issue(&subject).write(folder.path(), "ecdsa");
        let rsa = servers.issue_rsa(&subject).write(folder.path(), "rsa");
        let address = free_address();
        let voltgate = Voltgate::start_with(&[
            ("ADMIN_PASSWORD", ADMIN_PASSWORD),
            ("GATEWAY_TLS_LISTEN", &address),
            ("GATEWAY_TLS_CERTIFICATES", &[pair(&rsa), pair(&ecdsa)].join(",")),
            (
                "GATEWAY_TLS_CLIENT_CA",
                &stations.write(folder.path(), "stations").display().to_string(),
            ),
            ("CHARGER_CERTIFICATE_ORGANIZATION", "Volt AG"),
        ])
        .await;
        Self {
            voltgate,
            address,
            ca: servers.write(folder.path(), "servers").display().to_string(),
            stations,
            folder,
        }
    }

    fn to(&self, more: Value) -> Value {
        merged(&json!({ "to": self.address, "ca": self.ca }), more)
    }

    fn station(&self, name: &str, made: &Issued) -> Value {
        own(&made.write(self.folder.path(), name))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_client_gets_what_it_can_do_and_old_versions_get_nothing() {
    let secure = Secure::start().await;
    let found = probe(&[
        secure.to(json!({ "protocols": ["h2", "http/1.1"] })),
        secure.to(json!({ "version": "TLSv1_3" })),
        secure.to(json!({ "version": "TLSv1_2", "ciphers": "ECDHE-ECDSA-AES128-GCM-SHA256" })),
        secure.to(json!({ "version": "TLSv1_2", "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384" })),
        secure.to(json!({ "version": "TLSv1_2", "ciphers": "ECDHE-RSA-AES128-GCM-SHA256" })),
        secure.to(json!({ "version": "TLSv1_1" })),
        secure.to(json!({ "version": "TLSv1_2", "ciphers": "AES128-GCM-SHA256" })),
    ])
    .await;
    assert_eq!(found[0]["protocol"], "h2");
    assert_eq!(found[1]["version"], "TLSv1.3");
    assert_eq!(found[1]["protocol"], Value::Null);
    let ecdsa = &found[1]["certificate"];
    for answered in &found[1..5] {
        assert_eq!(answered["answer"], "HTTP/1.1 200 OK", "{answered}");
    }
    assert_eq!((&found[2]["certificate"], &found[3]["certificate"]), (ecdsa, ecdsa));
    assert_eq!(found[4]["cipher"], "ECDHE-RSA-AES128-GCM-SHA256");
    assert_ne!(&found[4]["certificate"], ecdsa, "the RSA certificate");
    for refused in &found[5..] {
        assert!(refused["error"].is_string(), "{refused}");
    }

    for (algorithm, kind) in [("RSA-PSS+SHA256", "RSA-PSS"), ("ECDSA+SHA256", "ECDSA")] {
        let arguments = ["s_client", "-connect", &secure.address, "-servername", "localhost"];
        let more = ["-CAfile", &secure.ca, "-verify_return_error", "-sigalgs", algorithm];
        let told = run("openssl", &[&arguments[..], &more[..]].concat()).await;
        assert!(told.contains(&format!("Peer signature type: {kind}")), "{told}");
        assert!(told.contains("Verify return code: 0 (ok)"), "{told}");
    }
    let url = format!("https://{}/livez", secure.address);
    let write = [
        "-sS",
        "--noproxy",
        "*",
        "-o",
        "/dev/null",
        "-w",
        "%{http_version} %{http_code}",
    ];
    let told = run("curl", &[&write[..], &["--cacert", &secure.ca, &url]].concat()).await;
    assert_eq!(told, "2 200");
    let told = run(
        "curl",
        &[&write[..], &["--http1.1", "--cacert", &secure.ca, &url]].concat(),
    )
    .await;
    assert_eq!(told, "1.1 200");
    let plain = format!("http://{}/livez", secure.address);
    let told = run("curl", &["-sS", "--noproxy", "*", &plain]).await;
    assert!(told.starts_with("curl: "), "plain HTTP gets no answer: {told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_point_comes_in_by_its_security_profile_and_not_with_less() {
    let secure = Secure::start().await;
    let admin = secure.voltgate.admin().await;
    let mut passwords = Vec::new();
    for profile in 1..=3 {
        let body = json!({ "identity": format!("CP{profile}"), "securityProfile": profile });
        let created = admin.post("/ocpp/charge-points", &body).await.expect(201);
        passwords.push(created["password"].clone());
    }
    let good = Subject::named("CP3").organization("Volt AG");
    let certificate = secure.station("CP3", &secure.stations.issue(&good));
    let rsa = secure.station("CP3-rsa", &secure.stations.issue_rsa(&good));
    let other = Subject::named("CP4").organization("Volt AG");
    let other = secure.station("CP4", &secure.stations.issue(&other));
    let somebody = Subject::named("CP3").organization("Somebody Ltd");
    let somebody = secure.station("somebody", &secure.stations.issue(&somebody));
    let expired = secure.station("expired", &secure.stations.issue(&good.clone().expired()));
    let self_signed = secure.station("self-signed", &Issued::self_signed(&good));
    let plain = json!({ "to": secure.voltgate.address("GATEWAY_LISTEN"), "scheme": "ws" });
    let password = |profile: usize| json!({ "station": format!("CP{profile}"), "password": passwords[profile - 1] });
    let with = |certificate: &Value| secure.to(json!({ "station": "CP3", "own": certificate }));

    let accepted = [
        merged(&plain, password(1)),
        secure.to(password(1)),
        secure.to(password(2)),
        merged(&secure.to(password(2)), json!({ "version": "TLSv1_2" })),
        with(&certificate),
        with(&rsa),
        merged(&with(&certificate), json!({ "version": "TLSv1_2" })),
    ];
    for answer in probe(&accepted).await {
        assert_eq!(answer["boot"], "Accepted", "{answer}");
    }
    let refused = [
        merged(&plain, password(2)),
        secure.to(json!({ "station": "CP2", "own": certificate })),
        merged(&plain, json!({ "station": "CP3" })),
        secure.to(json!({ "station": "CP3" })),
        secure.to(json!({ "station": "CP3", "password": "any password at all" })),
        with(&other),
        with(&somebody),
    ];
    for answer in probe(&refused).await {
        assert_eq!(answer["status"], 401, "{answer}");
    }
    for answer in probe(&[with(&expired), with(&self_signed)]).await {
        assert!(answer["error"].is_string(), "there is no connection: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_talk_by_mutual_tls_and_to_nobody_without_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("services");
    let issue = |name: &str, subject: Subject| authority.issue(&subject).write(folder.path(), name);
    let process = issue("voltgate", Subject::named("voltgate").loopback());
    let person = own(&issue("ada", Subject::named("ada")));
    let gateway = own(&issue("gateway", Subject::named("gateway")));
    let expired = own(&issue("expired", Subject::named("gateway").expired()));
    let outsider = Authority::new("somebody").issue(&Subject::named("gateway"));
    let outsider = own(&outsider.write(folder.path(), "outsider"));
    let ca = authority.write(folder.path(), "ca").display().to_string();
    let voltgate = Voltgate::start_with(&[
        ("ADMIN_PASSWORD", ADMIN_PASSWORD),
        ("SERVICE_TLS_CERTIFICATE", &process.certificate.display().to_string()),
        ("SERVICE_TLS_KEY", &process.key.display().to_string()),
        ("SERVICE_TLS_CA", &ca),
    ])
    .await;
    // The gateway reaches every service, and each reaches auth-service for its keys.
    let admin = voltgate.admin().await;
    let health = admin.get("/health").await.expect(200);
    assert_eq!(health["status"], "SERVING", "{health}");
    admin
        .post("/ocpp/charge-points", &json!({ "identity": "CP1" }))
        .await
        .expect(201);

    let to = json!({ "to": voltgate.address("CHARGER_LISTEN"), "ca": ca });
    let health = merged(&to, json!({ "call": "grpc.health.v1.Health/Check" }));
    // A station that nobody has registered: whoever may ask is told so.
    let open = json!({ "call": "voltgate.ocpp.v1.SessionService/Open", "message": "0a080a066e6f626f6479" });
    let open = merged(&to, open);
    let claim = json!({ "metadata": { "voltgate-caller": "gateway" } });
    let found = probe(&[
        merged(&health, json!({ "own": person })),
        merged(&merged(&open, json!({ "own": gateway })), claim.clone()),
        merged(&open, json!({ "own": gateway })),
        merged(&merged(&open, json!({ "own": person })), claim.clone()),
        merged(&merged(&open, json!({ "own": expired })), claim.clone()),
        merged(&merged(&open, json!({ "own": outsider })), claim.clone()),
        merged(&open, claim),
        health,
    ])
    .await;
    let codes: Vec<_> = found.iter().map(|answer| answer["code"].as_str().unwrap()).collect();
    let expected = [
        "OK",
        "NOT_FOUND",
        "PERMISSION_DENIED",
        "PERMISSION_DENIED",
        "UNAVAILABLE",
        "UNAVAILABLE",
        "UNAVAILABLE",
        "UNAVAILABLE",
    ];
    assert_eq!(codes, expected);
}
