//! Proxies that end TLS before the gateway: what they are believed, and that nobody else is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use testbed::certificates::{Authority, Issued, Subject};
use tonic::metadata::MetadataMap;
use yawc::Options;

use crate::peers::Seen;
use crate::station::{Station, UPGRADE, knock};
use crate::system::System;

const LISTED: &str = "--gateway-tls-terminators=127.0.0.1";
const HTTP_BINDING: &str = "--gateway-http-binding=true";

struct Behind {
    system: System,
    stations: Authority,
    folder: tempfile::TempDir,
}

impl Behind {
    /// A gateway without TLS, to which this test is a proxy.
    async fn start(flag: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stations = Authority::new("stations");
        let ca = stations.write(folder.path(), "stations");
        let ca = format!("--gateway-tls-client-ca={}", ca.display());
        let mut flags = vec![flag, HTTP_BINDING];
        if flag == LISTED {
            flags.push(&ca);
        }
        let system = System::start_with(&flags).await;
        Self {
            system,
            stations,
            folder,
        }
    }

    /// Opens a charge point's socket, and returns what the service was told of it.
    async fn open(&mut self, headers: &[(&str, String)]) -> MetadataMap {
        let protocol = "Sec-WebSocket-Protocol: ocpp1.6\r\n";
        let lines = [protocol, &lines(headers)].concat();
        let _station = Station::connect_with(&self.system, "/ocpp/CP1", &lines, Options::default()).await;
        loop {
            if let Seen::Open(_, metadata) = self.system.peers.next().await {
                return metadata;
            }
        }
    }

    /// Posts a frame, and returns the status and the reason of a refusal.
    async fn post(&self, headers: &[(&str, String)]) -> (StatusCode, String) {
        let mut request = self.system.post("/ocpp/CP1");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = request.body(r#"[2,"1","Heartbeat",{}]"#).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }
}

fn lines(headers: &[(&str, String)]) -> String {
    headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

fn https() -> (&'static str, String) {
    ("X-Forwarded-Proto", "https".to_owned())
}

fn showing(certificate: &Issued) -> (&'static str, String) {
    ("Client-Cert", sequence(&certificate.der()))
}

fn sequence(der: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(der))
}

fn told(metadata: &MetadataMap) -> (Option<&str>, Option<Vec<u8>>) {
    let certificate = metadata.get_bin("voltgate-certificate-bin");
    let certificate = certificate.map(|value| value.to_bytes().unwrap().to_vec());
    let tls = metadata.get("voltgate-tls").map(|value| value.to_str().unwrap());
    (tls, certificate)
}

#[tokio::test]
async fn a_proxy_that_is_listed_hands_over_that_there_was_tls_and_which_certificate_was_shown() {
    let mut behind = Behind::start(LISTED).await;
    let certificate = behind.stations.issue(&Subject::named("CP1"));
    let forwarded = ("X-Forwarded-For", "203.0.113.9".to_owned());
    let headers = [https(), showing(&certificate), forwarded];
    let metadata = behind.open(&headers).await;
    assert_eq!(told(&metadata), (Some("proxy"), Some(certificate.der())));
    assert_eq!(metadata.get("voltgate-peer").unwrap(), "203.0.113.9");
    let metadata = behind.open(&[https()]).await;
    assert_eq!(told(&metadata), (Some("proxy"), None));
    let metadata = behind.open(&[showing(&certificate)]).await;
    assert_eq!(told(&metadata), (None, None), "a client that spoke no TLS");

    assert_eq!(behind.post(&headers).await.0, StatusCode::OK);
    let metadata = behind.system.peers.metadata().await;
    assert_eq!(told(&metadata), (Some("proxy"), Some(certificate.der())));
}

#[tokio::test]
async fn nobody_else_is_believed_about_tls_nor_is_a_proxy_that_is_believed_about_addresses() {
    for flag in [
        "--gateway-tls-terminators=192.0.2.7",
        "--gateway-trusted-proxies=127.0.0.1",
    ] {
        let mut behind = Behind::start(flag).await;
        let certificate = behind.stations.issue(&Subject::named("CP1"));
        let metadata = behind.open(&[https(), showing(&certificate)]).await;
        assert_eq!(told(&metadata), (None, None), "{flag}");
        for name in ["client-cert", "x-forwarded-proto"] {
            assert!(metadata.get(name).is_none(), "{name}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_was_shown_to_a_proxy_must_be_good_too() {
    let behind = Behind::start(LISTED).await;
    let subject = Subject::named("CP1");
    for bad in [
        showing(&Authority::new("somebody").issue(&subject)),
        showing(&behind.stations.issue(&subject.clone().expired())),
        showing(&Issued::self_signed(&subject)),
        ("Client-Cert", "garbled".to_owned()),
        ("Client-Cert", sequence(&[0x30, 0x01, 0x00])),
    ] {
        let headers = [https(), bad];
        let (status, text) = behind.post(&headers).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");
        assert!(text.contains("STATION_UNAUTHORIZED"), "{text}");
        let (answer, _) = knock(&behind.system, "/ocpp/CP1", &[UPGRADE, &lines(&headers)].concat()).await;
        assert_eq!(answer.status, 401);
        assert!(answer.header("www-authenticate").unwrap().starts_with("Basic"));
    }
    let twice = behind.stations.issue(&subject);
    let (status, _) = behind.post(&[https(), showing(&twice), showing(&twice)]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // What is no charge point's business is not asked for certificates.
    let request = behind.system.get("/livez").header("x-forwarded-proto", "https");
    let answer = request.header("client-cert", "garbled").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_certificate_leads_to_its_authority_by_those_that_were_shown_with_it() {
    let mut behind = Behind::start(LISTED).await;
    let between = behind.stations.subordinate("between");
    let below = between.subordinate("below");
    let certificate = below.issue(&Subject::named("CP1"));
    let chain = |parts: &[Vec<u8>]| {
        let parts: Vec<_> = parts.iter().map(|der| sequence(der)).collect();
        ("Client-Cert-Chain", parts.join(", "))
    };
    let apart = chain(&[below.der(), between.der()]);
    let together = chain(&[[below.der(), between.der()].concat()]);
    for chain in [apart, together] {
        let metadata = behind.open(&[https(), showing(&certificate), chain]).await;
        assert_eq!(told(&metadata), (Some("proxy"), Some(certificate.der())));
    }
    for chain in [chain(&[]), chain(&[below.der()])] {
        let (status, text) = behind.post(&[https(), showing(&certificate), chain]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{text}");
    }
}

#[tokio::test]
async fn another_authority_counts_without_a_restart() {
    let behind = Behind::start(LISTED).await;
    let newcomers = Authority::new("newcomers");
    let headers = [https(), showing(&newcomers.issue(&Subject::named("CP1")))];
    assert_eq!(behind.post(&headers).await.0, StatusCode::UNAUTHORIZED);
    newcomers.write(behind.folder.path(), "stations");
    for _ in 0..200 {
        if behind.post(&headers).await.0 == StatusCode::OK {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the new authority is not trusted");
}

#[tokio::test]
async fn where_no_authority_is_known_no_certificate_is_good() {
    let system = System::start_with(&[LISTED, HTTP_BINDING, "--gateway-tls-station-authority=false"]).await;
    let certificate = Authority::new("somebody").issue(&Subject::named("CP1"));
    let post = |(name, value): (&str, String)| {
        let request = system.post("/ocpp/CP1").header("x-forwarded-proto", "https");
        request.header(name, value).body(r#"[2,"1","Heartbeat",{}]"#).send()
    };
    assert_eq!(post(showing(&certificate)).await.unwrap().status(), 401);
    assert_eq!(post(("Client-Cert", String::new())).await.unwrap().status(), 200);
}
