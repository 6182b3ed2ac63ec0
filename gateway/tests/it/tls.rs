//! The port with TLS: which certificate a client gets, which it may show, and files that change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use testbed::certificates::{Authority, Issued, Subject};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};

use crate::peers::Seen;
use crate::station::UPGRADE;
use crate::system::{self, PATIENCE, System};

const HELLO: &str = "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// A gateway with TLS only, and the authorities behind it.
struct Secure {
    system: System,
    folder: tempfile::TempDir,
    authority: Authority,
    stations: Authority,
}

fn server() -> Subject {
    Subject::named("localhost").loopback()
}

impl Secure {
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With an ECDSA and an RSA certificate, and further settings.
    async fn start_with(further: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (authority, stations) = (Authority::new("servers"), Authority::new("stations"));
        let ecdsa = authority.issue(&server()).write(folder.path(), "ecdsa");
        let rsa = authority.issue_rsa(&server()).write(folder.path(), "rsa");
        let ca = stations.write(folder.path(), "stations");
        let pairs = [rsa, ecdsa].map(|paths| format!("{}:{}", paths.certificate.display(), paths.key.display()));
        let flags = [
            "--gateway-listen=off".to_owned(),
            "--gateway-tls-listen=127.0.0.1:0".to_owned(),
            format!("--gateway-tls-certificates={}", pairs.join(",")),
            format!("--gateway-tls-client-ca={}", ca.display()),
        ];
        let flags: Vec<_> = flags
            .iter()
            .map(String::as_str)
            .chain(further.iter().copied())
            .collect();
        let system = System::start_with(&flags).await;
        Self {
            system,
            folder,
            authority,
            stations,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn client(&self) -> Client {
        Client::trusting(&self.authority)
    }

    async fn connect(&self, client: &Client) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.system.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        timeout(
            PATIENCE,
            TlsConnector::from(client.configuration()).connect(name, stream),
        )
        .await
        .expect("the handshake to end")
    }

    /// The whole answer to a request, as text. With TLS 1.3 a client learns of a refused certificate only now.
    async fn ask(&self, client: &Client, request: &str) -> std::io::Result<String> {
        let mut stream = self.connect(client).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .expect("an end")?;
        Ok(String::from_utf8(answer).unwrap())
    }

    /// Opens a charge point's socket, and returns what the service was told of it.
    async fn open(&mut self, client: &Client, headers: &str) -> tonic::metadata::MetadataMap {
        let mut stream = self.connect(client).await.unwrap();
        let request = format!(
            "GET /ocpp/CP1 HTTP/1.1\r\nHost: localhost\r\n{UPGRADE}Sec-WebSocket-Protocol: ocpp1.6\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 101");
        loop {
            if let Seen::Open(_, metadata) = self.system.peers.next().await {
                return metadata;
            }
        }
    }

    /// Asks until the certificate that is shown is this one.
    async fn shows(&self, client: &Client, expected: &Issued) {
        for _ in 0..200 {
            let shown = self.connect(client).await.map(|stream| shown(&stream));
            if shown.is_ok_and(|shown| shown == expected.der()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the new certificate is not shown");
    }
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[derive(Clone)]
struct Client {
    roots: RootCertStore,
    versions: Vec<&'static SupportedProtocolVersion>,
    protocols: Vec<Vec<u8>>,
    own: Option<(String, String)>,
}

impl Client {
    fn trusting(authority: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap())
            .unwrap();
        Self {
            roots,
            versions: vec![&TLS13, &TLS12],
            protocols: vec![],
            own: None,
        }
    }

    fn version(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    fn offering(mut self, protocols: &[&str]) -> Self {
        self.protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    fn with(mut self, own: &Issued) -> Self {
        self.own = Some((own.pem(), own.key_pem()));
        self
    }

    fn configuration(&self) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(self.roots.clone());
        let mut configuration = match &self.own {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(chain.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        configuration.alpn_protocols.clone_from(&self.protocols);
        Arc::new(configuration)
    }
}

#[tokio::test]
async fn http_1_and_2_are_agreed_on_by_name_and_1_is_spoken_where_none_is_named() {
    let secure = Secure::start().await;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ] {
        let stream = secure.connect(&secure.client().offering(offered)).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
    }
    for version in [&TLS12, &TLS13] {
        let answer = secure.ask(&secure.client().version(version), HELLO).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
}

#[tokio::test]
async fn a_charge_point_is_reported_with_the_version_and_the_certificate_it_showed() {
    let mut secure = Secure::start().await;
    let certificate = secure.stations.issue(&Subject::named("CP1"));
    for (version, name) in [(&TLS12, "1.2"), (&TLS13, "1.3")] {
        let without = secure.client().version(version);
        let metadata = secure.open(&without, "").await;
        assert_eq!(metadata.get("voltgate-tls").unwrap(), name);
        assert!(metadata.get_bin("voltgate-certificate-bin").is_none());

        let metadata = secure.open(&without.with(&certificate), "").await;
        assert_eq!(metadata.get("voltgate-tls").unwrap(), name);
        let reported = metadata.get_bin("voltgate-certificate-bin").unwrap();
        assert_eq!(reported.to_bytes().unwrap(), certificate.der());
    }
}

#[tokio::test]
async fn what_a_client_says_of_its_own_certificate_does_not_pass() {
    let mut secure = Secure::start().await;
    let lies = "Voltgate-Tls: 9.9\r\nVoltgate-Certificate-Bin: AAAA\r\nVoltgate-Caller: auth-service\r\n";
    let metadata = secure.open(&secure.client(), lies).await;
    assert_eq!(metadata.get("voltgate-tls").unwrap(), "1.3");
    assert!(metadata.get_bin("voltgate-certificate-bin").is_none());
    assert_eq!(metadata.get("voltgate-caller").unwrap(), "gateway");
}

#[tokio::test]
async fn the_tls_of_a_proxy_is_not_that_of_the_client_behind_it() {
    let proxies = "--gateway-trusted-proxies=127.0.0.1";
    let terminators = "--gateway-tls-terminators=127.0.0.1";
    let (behind, in_tls) = ("X-Forwarded-For: 203.0.113.9\r\n", "X-Forwarded-Proto: https\r\n");
    let both = [behind, in_tls].concat();
    let at_odds = [behind, "Forwarded: for=198.51.100.7\r\n"].concat();
    for (flag, headers, expected) in [
        (proxies, "", Some("1.3")),
        (proxies, behind, None),
        (proxies, &both, None),
        // Whose address that is cannot be told, but it is not the proxy's.
        (proxies, &at_odds, None),
        (proxies, "X-Forwarded-For: unknown\r\n", None),
        (terminators, "", None),
        (terminators, behind, None),
        (terminators, &both, Some("proxy")),
    ] {
        let mut secure = Secure::start_with(&[flag]).await;
        let own = secure.stations.issue(&Subject::named("proxy"));
        let metadata = secure.open(&secure.client().with(&own), headers).await;
        let told = metadata.get("voltgate-tls").map(|value| value.to_str().unwrap());
        assert_eq!(told, expected, "{flag} {headers}");
        let certificate = metadata.get_bin("voltgate-certificate-bin").is_some();
        assert_eq!(certificate, expected == Some("1.3"), "{flag} {headers}");
    }
}

#[tokio::test]
async fn a_certificate_that_is_shown_must_be_good_and_none_is_good_enough() {
    let secure = Secure::start().await;
    let good = secure.stations.issue(&Subject::named("CP1"));
    let rsa = secure.stations.issue_rsa(&Subject::named("CP1"));
    let foreign = Authority::new("somebody").issue(&Subject::named("CP1"));
    let expired = secure.stations.issue(&Subject::named("CP1").expired());
    let self_signed = Issued::self_signed(&Subject::named("CP1"));
    for version in [&TLS12, &TLS13] {
        let client = secure.client().version(version);
        assert!(secure.ask(&client, HELLO).await.is_ok());
        assert!(secure.ask(&client.clone().with(&good), HELLO).await.is_ok());
        assert!(secure.ask(&client.clone().with(&rsa), HELLO).await.is_ok());
        for bad in [&foreign, &expired, &self_signed] {
            let refused = secure.ask(&client.clone().with(bad), HELLO).await;
            assert!(refused.is_err(), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn new_files_are_used_without_a_restart_and_broken_ones_are_not() {
    let secure = Secure::start().await;
    let client = secure.client();
    let new = secure.authority.issue(&server());
    new.write(secure.path(), "ecdsa");
    secure.shows(&client, &new).await;

    let path = secure.path().join("ecdsa.pem");
    std::fs::write(&path, "-----BEGIN CERTIFICATE-----\nbroken").unwrap();
    // Longer than it takes to notice.
    tokio::time::sleep(Duration::from_secs(7)).await;
    assert_eq!(shown(&secure.connect(&client).await.unwrap()), new.der());

    // The authorities of charge points change too.
    let newcomers = Authority::new("newcomers");
    let newcomer = client.clone().with(&newcomers.issue(&Subject::named("CP9")));
    assert!(secure.ask(&newcomer, HELLO).await.is_err());
    newcomers.write(secure.path(), "stations");
    let newest = secure.authority.issue(&server());
    newest.write(secure.path(), "ecdsa");
    secure.shows(&client, &newest).await;
    assert!(secure.ask(&newcomer, HELLO).await.is_ok());
}

#[tokio::test]
async fn what_is_no_tls_gets_no_answer_and_leaves_no_trace() {
    let secure = Secure::start().await;
    let mut plain = TcpStream::connect(secure.system.address).await.unwrap();
    plain.write_all(HELLO.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _reset_or_not = timeout(PATIENCE, plain.read_to_end(&mut answer)).await.expect("an end");
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    assert!(secure.ask(&secure.client(), HELLO).await.is_ok());
}

#[tokio::test]
async fn whoever_says_nothing_is_not_waited_for() {
    let secure = Secure::start().await;
    let mut silent = TcpStream::connect(secure.system.address).await.unwrap();
    let ended = timeout(PATIENCE * 2, silent.read(&mut [0; 1])).await;
    assert!(matches!(ended.expect("an end"), Ok(0) | Err(_)));
}

#[tokio::test]
async fn settings_that_do_not_go_together_are_named() {
    let nowhere = "127.0.0.1:1".parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let paths = Authority::new("x").issue(&server()).write(folder.path(), "x");
    let pair = format!(
        "--gateway-tls-certificates={}:{}",
        paths.certificate.display(),
        paths.key.display()
    );
    let tls = "--gateway-tls-listen=127.0.0.1:0";
    for (flags, beginning) in [
        (vec!["--gateway-listen=off"], "GATEWAY_LISTEN: "),
        (vec![tls], "GATEWAY_TLS_CERTIFICATES: is not set"),
        (vec![pair.as_str()], "GATEWAY_TLS_LISTEN: is off"),
        (vec!["--gateway-tls-client-ca=x"], "GATEWAY_TLS_CLIENT_CA: "),
        (
            vec![
                "--gateway-tls-client-ca=/none.pem",
                "--gateway-tls-terminators=127.0.0.1",
            ],
            "GATEWAY_TLS_CLIENT_CA: /none.pem: ",
        ),
        (
            vec![tls, "--gateway-tls-certificates=/none.pem:/none.key"],
            "GATEWAY_TLS_CERTIFICATES: /none.pem: ",
        ),
        (
            vec![tls, pair.as_str(), "--gateway-tls-client-ca=/none.pem"],
            "GATEWAY_TLS_CLIENT_CA: /none.pem: ",
        ),
    ] {
        let refused = system::build(nowhere, &flags).await.err().unwrap().to_string();
        assert!(refused.starts_with(beginning), "{refused}");
    }
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_for_a_place_whether_they_have_shaken_hands_or_not() {
    let secure = Secure::start_with(&["--gateway-max-connections=1"]).await;
    let client = secure.client();
    for shakes_hands in [true, false] {
        let first: Box<dyn Send> = if shakes_hands {
            Box::new(secure.connect(&client).await.unwrap())
        } else {
            Box::new(TcpStream::connect(secure.system.address).await.unwrap())
        };
        let mut waiting = std::pin::pin!(secure.ask(&client, HELLO));
        let too_early = timeout(Duration::from_millis(300), waiting.as_mut()).await;
        assert!(too_early.is_err(), "shakes hands: {shakes_hands}");
        drop(first);
        let answer = timeout(PATIENCE, waiting).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
