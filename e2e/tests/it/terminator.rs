//! Charge points that know static RSA only, behind a real HAProxy with the configuration that `deploy/` has. It ends their
//! TLS, and hands over which certificates they showed. Clients are OpenSSL and websockets, by `tls.py`.

use std::path::Path;
use std::process::Stdio;

use e2e::all_in_one::{ADMIN_PASSWORD, Voltgate};
use e2e::process::free_address;
use e2e::wait::until;
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::certificates::{Authority, Issued, Subject};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::tls::{merged, own, probe};

/// What nothing but a terminator speaks here.
const STATIC_RSA: &str = "AES128-GCM-SHA256";

struct Terminated {
    voltgate: Voltgate,
    address: String,
    ca: String,
    stations: Authority,
    folder: TempDir,
    _haproxy: Child,
}

impl Terminated {
    /// Everything in one process, without TLS of its own, that believes a proxy at `terminator`.
    async fn start(terminator: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (servers, stations) = (Authority::new("servers"), Authority::new("stations"));
        let authority = stations.write(folder.path(), "stations");
        let key = folder.path().join("stations.key");
        std::fs::write(&key, stations.key_pem()).unwrap();
        let voltgate = Voltgate::start_with(&[
            ("ADMIN_PASSWORD", ADMIN_PASSWORD),
            ("GATEWAY_TLS_TERMINATORS", terminator),
            ("CHARGER_CERTIFICATE_AUTHORITY", &authority.display().to_string()),
            ("CHARGER_CERTIFICATE_AUTHORITY_KEY", &key.display().to_string()),
        ])
        .await;
        let server = servers.issue_rsa(&Subject::named("localhost").loopback());
        let certificate = folder.path().join("server.pem");
        std::fs::write(&certificate, [server.pem(), server.key_pem()].concat()).unwrap();
        let address = free_address();
        let haproxy = haproxy(&[
            ("TERMINATOR_LISTEN", &address),
            ("TERMINATOR_CERTIFICATES", &certificate.display().to_string()),
            ("TERMINATOR_AUTHORITIES", &authority.display().to_string()),
            ("GATEWAY", voltgate.address("GATEWAY_LISTEN")),
        ]);
        until("HAProxy listens", async || TcpStream::connect(&address).await.ok()).await;
        Self {
            voltgate,
            address,
            ca: servers.write(folder.path(), "servers").display().to_string(),
            stations,
            folder,
            _haproxy: haproxy,
        }
    }

    fn station(&self, name: &str, made: &Issued) -> Value {
        own(&made.write(self.folder.path(), name))
    }

    /// A charge point whose certificate is from an authority below the one that is trusted, and that shows both.
    fn station_with_chain(&self, name: &str, subject: &Subject) -> Value {
        let between = self.stations.subordinate("between");
        let made = between.issue(subject);
        let paths = made.write(self.folder.path(), name);
        std::fs::write(&paths.certificate, [made.pem(), between.pem()].concat()).unwrap();
        own(&paths)
    }

    /// By way of HAProxy, with a suite that the gateway itself does not speak.
    fn to(&self, more: Value) -> Value {
        let way = json!({ "to": self.address, "ca": self.ca, "version": "TLSv1_2", "ciphers": STATIC_RSA });
        merged(&way, more)
    }

    /// Registers `CP2` and `CP3` with the security profiles that they are called after, and returns the password of `CP2`.
    async fn register(&self) -> Value {
        let admin = self.voltgate.admin().await;
        let mut password = Value::Null;
        for (identity, profile) in [("CP3", 3), ("CP2", 2)] {
            let body = json!({ "identity": identity, "securityProfile": profile });
            password = admin.post("/ocpp/charge-points", &body).await.expect(201)["password"].clone();
        }
        password
    }
}

/// The program runs in the foreground and ends with the test.
fn haproxy(environment: &[(&str, &str)]) -> Child {
    let configuration = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/haproxy.cfg");
    Command::new("/usr/sbin/haproxy")
        .args(["-db", "-f"])
        .arg(configuration)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("HAProxy is installed: `scripts/setup test` does it")
}

/// Row "TLS" of the OCPP decisions on framing; A00.FR.318.
#[tokio::test(flavor = "multi_thread")]
async fn charge_points_with_static_rsa_come_in_through_a_terminator_by_their_security_profiles() {
    let terminated = Terminated::start("127.0.0.1").await;
    let password = terminated.register().await;
    let found = &probe(&[terminated.to(json!({}))]).await[0];
    assert_eq!(
        (&found["cipher"], &found["answer"]),
        (&json!(STATIC_RSA), &json!("HTTP/1.1 200 OK"))
    );

    let good = Subject::named("CP3");
    let certificate = terminated.station("CP3", &terminated.stations.issue(&good));
    let with = |certificate: &Value| terminated.to(json!({ "station": "CP3", "own": certificate }));
    let with_password = |probe: Value| merged(&probe, json!({ "station": "CP2", "password": password }));
    // The gateway has to hear of the authority of charger-service first.
    until("the certificate is accepted", async || {
        let answer = probe(&[with(&certificate)]).await.remove(0);
        (answer["boot"] == "Accepted").then_some(())
    })
    .await;
    let modern = json!({ "to": terminated.address, "ca": terminated.ca, "version": "TLSv1_3" });
    let chain = terminated.station_with_chain("chain", &good);
    let accepted = [
        with(&chain),
        with_password(terminated.to(json!({}))),
        with_password(modern.clone()),
        merged(&modern, json!({ "station": "CP3", "own": certificate })),
    ];
    for answer in probe(&accepted).await {
        assert_eq!(answer["boot"], "Accepted", "{answer}");
    }

    let other = terminated.station("other", &terminated.stations.issue(&Subject::named("CP4")));
    let foreign = terminated.station("foreign", &Authority::new("somebody").issue(&good));
    let expired = terminated.station("expired", &terminated.stations.issue(&good.clone().expired()));
    let self_signed = terminated.station("self-signed", &Issued::self_signed(&good));
    let mine = terminated.stations.issue(&good);
    let claimed = json!({ "Client-Cert": header(&mine) });
    let refused = [
        with(&other),
        with(&foreign),
        with(&expired),
        with(&self_signed),
        terminated.to(json!({ "station": "CP3" })),
        // A certificate without its key, said by a client that showed none, and by one that showed another.
        terminated.to(json!({ "station": "CP3", "headers": claimed })),
        merged(&with(&other), json!({ "headers": claimed })),
        // Past the terminator there is no TLS.
        with_password(json!({ "to": terminated.voltgate.address("GATEWAY_LISTEN"), "scheme": "ws" })),
    ];
    for answer in probe(&refused).await {
        assert_eq!(answer["status"], 401, "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_says_who_is_no_terminator_lets_no_charge_point_in() {
    let terminated = Terminated::start("192.0.2.7").await;
    let password = terminated.register().await;
    let mine = terminated.stations.issue(&Subject::named("CP3"));
    let forged = json!({ "X-Forwarded-Proto": "https", "Client-Cert": header(&mine) });
    let straight = json!({ "to": terminated.voltgate.address("GATEWAY_LISTEN"), "scheme": "ws", "headers": forged });
    let certificate = terminated.station("CP3", &mine);
    let refused = [
        merged(&straight, json!({ "station": "CP3" })),
        merged(&straight, json!({ "station": "CP2", "password": password })),
        // HAProxy is not listed either.
        terminated.to(json!({ "station": "CP3", "own": certificate })),
        terminated.to(json!({ "station": "CP2", "password": password })),
    ];
    for answer in probe(&refused).await {
        assert_eq!(answer["status"], 401, "{answer}");
    }
}

/// A certificate as RFC 9440 has it in a header.
fn header(certificate: &Issued) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate.der());
    format!(":{text}:")
}
