//! Mutual TLS between processes: who gets a connection, and whom a connection proves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jsonwebtoken::DecodingKey;
use service_kit::access::{
    Access, AccessLayer, ApiKey, Authority as TokenAuthority, AuthorityUnavailable, CALLER, Revocations, Rules,
    ServiceSecret, ServiceTokens, Verifier,
};
use service_kit::clock::{SharedClock, SystemClock};
use service_kit::grpc::Server;
use service_kit::tls::{self, ServiceFiles, ServiceTls};
use tempfile::TempDir;
use testbed::certificates::{Authority, Issued, Subject};
use tokio::net::TcpListener;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use voltgate_proto::ocpp::v1::session_service_client::SessionServiceClient;
use voltgate_proto::ocpp::v1::session_service_server::{self, SessionService, SessionServiceServer};
use voltgate_proto::ocpp::v1::{ExchangeRequest, ExchangeResponse, FromStation, ToStation};

const SECRET: &[u8] = b"a secret that exists for these tests only";

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

/// A service whose calls are internal. Whoever gets as far as one hears `Aborted`.
struct Behind;

#[async_trait]
impl SessionService for Behind {
    type OpenStream = ReceiverStream<Result<ToStation, Status>>;

    async fn open(&self, _: Request<Streaming<FromStation>>) -> Result<Response<Self::OpenStream>, Status> {
        Err(Status::aborted("you are in"))
    }

    async fn exchange(&self, _: Request<ExchangeRequest>) -> Result<Response<ExchangeResponse>, Status> {
        Err(Status::aborted("you are in"))
    }
}

#[derive(Default)]
struct NoKeys(Revocations);

#[async_trait]
impl TokenAuthority for NoKeys {
    async fn verification_key(&self, _: &str) -> Result<Option<DecodingKey>, AuthorityUnavailable> {
        Ok(None)
    }

    fn has_key(&self, _: &str) -> bool {
        false
    }

    async fn exchange(&self, _: &ApiKey) -> Result<Option<String>, AuthorityUnavailable> {
        Ok(None)
    }

    fn revocations(&self) -> &Revocations {
        &self.0
    }

    async fn follow(&self) {
        std::future::pending().await
    }
}

/// Where one party's certificate, key and authorities lie.
fn files(folder: &Path, own: &Issued, authority: &Authority) -> ServiceFiles {
    let paths = own.write(folder, "own");
    ServiceFiles {
        certificate: paths.certificate,
        key: paths.key,
        ca: authority.write(folder, "ca"),
    }
}

fn service() -> Subject {
    Subject::named("charger-service").loopback()
}

/// A service behind mutual TLS.
struct System {
    url: String,
    authority: Authority,
    folder: TempDir,
    stop: CancellationToken,
}

impl System {
    async fn start() -> Self {
        let authority = Authority::new("processes");
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path(), &authority.issue(&service()), &authority);
        let tls = ServiceTls::load(files, None, clock()).unwrap();
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), "TEST_LISTEN", Some(tls), 1000);
        let server = server.await.unwrap();
        let url = format!("https://{}", server.local_addr());
        let mut routes = RoutesBuilder::default();
        routes.add_service(SessionServiceServer::new(Behind));
        let secret = ServiceSecret::new(SECRET);
        let verifier = Verifier::new("voltgate", "voltgate", Arc::new(NoKeys::default()), secret, clock());
        let rules = Rules::from_descriptors(voltgate_proto::pool()).unwrap();
        let access = AccessLayer::new(Access::new(rules, verifier));
        let stop = CancellationToken::new();
        let shutdown = stop.clone();
        tokio::spawn(async move {
            let services = [session_service_server::SERVICE_NAME];
            let drain = Duration::from_secs(1);
            server.serve(routes, &services, access, drain, shutdown).await.unwrap();
        });
        Self {
            url,
            authority,
            folder,
            stop,
        }
    }

    /// A channel with this certificate, which trusts `authority`.
    fn channel(&self, own: &Issued, authority: &Authority, name: Option<&str>) -> Channel {
        let folder = tempfile::tempdir().unwrap();
        let tls = ServiceTls::load(files(folder.path(), own, authority), name, clock()).unwrap();
        tls::channel(Some(&tls), self.url.parse().unwrap(), |endpoint| endpoint)
    }

    fn as_process(&self, own: &Issued) -> Channel {
        self.channel(own, &self.authority, None)
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What comes of an internal call with this metadata.
async fn call(channel: Channel, metadata: &[(&'static str, String)]) -> Code {
    let mut request = Request::new(tokio_stream::empty());
    for (name, value) in metadata {
        request.metadata_mut().insert(*name, value.parse().unwrap());
    }
    let refused = SessionServiceClient::new(channel).open(request).await.unwrap_err();
    refused.code()
}

fn claim(process: &str) -> [(&'static str, String); 1] {
    [(CALLER, process.to_owned())]
}

async fn is_healthy(channel: Channel) -> bool {
    let request = HealthCheckRequest::default();
    HealthClient::new(channel).check(request).await.is_ok()
}

#[tokio::test]
async fn a_process_with_its_certificate_makes_internal_calls_without_a_token() {
    let system = System::start().await;
    let gateway = system.as_process(&system.authority.issue(&Subject::named("gateway")));
    assert_eq!(call(gateway.clone(), &claim("gateway")).await, Code::Aborted);
    assert_eq!(
        call(gateway.clone(), &[]).await,
        Code::PermissionDenied,
        "a call that it only passes on"
    );
    assert_eq!(call(gateway, &claim("auth-service")).await, Code::PermissionDenied);
}

#[tokio::test]
async fn a_person_with_a_certificate_sees_health_and_is_no_process() {
    let system = System::start().await;
    let ada = system.as_process(&system.authority.issue(&Subject::named("ada")));
    assert!(is_healthy(ada.clone()).await);
    assert_eq!(call(ada.clone(), &claim("gateway")).await, Code::PermissionDenied);
    assert_eq!(call(ada.clone(), &claim("ada")).await, Code::PermissionDenied);
    // A service token counts over any connection.
    let tokens = ServiceTokens::new("gateway", ServiceSecret::new(SECRET), clock());
    let token = [("authorization", tokens.bearer().unwrap())];
    assert_eq!(call(ada, &token).await, Code::Aborted);
}

#[tokio::test]
async fn nobody_else_gets_a_connection() {
    let system = System::start().await;
    let expired = system.authority.issue(&Subject::named("gateway").expired());
    let outsider = Authority::new("somebody").issue(&Subject::named("gateway"));
    let self_signed = Issued::self_signed(&Subject::named("gateway"));
    for certificate in [&expired, &outsider, &self_signed] {
        let channel = system.as_process(certificate);
        assert!(!is_healthy(channel.clone()).await);
        assert_ne!(call(channel, &claim("gateway")).await, Code::Aborted);
    }
    let plain = Endpoint::from_shared(system.url.replace("https", "http")).unwrap();
    assert!(!is_healthy(plain.connect_lazy()).await);
    let good = system.as_process(&system.authority.issue(&Subject::named("gateway")));
    assert!(is_healthy(good).await, "the others did no harm");
}

#[tokio::test]
async fn a_service_proves_itself_too() {
    let system = System::start().await;
    let own = system.authority.issue(&Subject::named("gateway"));
    assert!(!is_healthy(system.channel(&own, &Authority::new("other"), None)).await);
    assert!(!is_healthy(system.channel(&own, &system.authority, Some("auth-service"))).await);
    assert!(is_healthy(system.channel(&own, &system.authority, Some("localhost"))).await);
}

#[tokio::test]
async fn new_files_are_used_for_new_connections() {
    let system = System::start().await;
    let renewed = Authority::new("renewed");
    let own = renewed.issue(&Subject::named("gateway"));
    assert!(!is_healthy(system.channel(&own, &renewed, None)).await);
    files(system.folder.path(), &renewed.issue(&service()), &renewed);
    for _ in 0..200 {
        if is_healthy(system.channel(&own, &renewed, None)).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the new files are not in use");
}

#[tokio::test]
async fn a_client_without_a_certificate_is_told_that_it_needs_one() {
    use tokio::io::AsyncReadExt as _;
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject as _;
    use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    let system = System::start().await;
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(system.authority.pem().as_bytes());
    roots.add(authority.unwrap()).unwrap();
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = tokio::net::TcpStream::connect(system.url.trim_start_matches("https://")).await;
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(client))
        .connect(name, stream.unwrap())
        .await
        .unwrap();
    let told = stream.read_u8().await.unwrap_err().to_string();
    assert!(told.contains("CertificateRequired"), "{told}");
}

#[tokio::test]
async fn settings_are_all_or_none_and_addresses_go_with_them() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("processes");
    let files = files(folder.path(), &authority.issue(&service()), &authority);
    let mut settings = tls::TlsSettings::default();
    assert!(settings.load(clock()).unwrap().is_none());
    settings.service_tls_certificate = Some(files.certificate);
    let refused = settings.load(clock()).err().unwrap().to_string();
    assert!(refused.starts_with("SERVICE_TLS_KEY: is not set"), "{refused}");
    settings.service_tls_key = Some(files.key.clone());
    let refused = settings.load(clock()).err().unwrap().to_string();
    assert!(refused.starts_with("SERVICE_TLS_CA: is not set"), "{refused}");
    settings.service_tls_ca = Some(files.key);
    let refused = settings.load(clock()).err().unwrap().to_string();
    assert!(refused.contains("holds no certificate"), "{refused}");
    settings.service_tls_ca = Some(files.ca);
    let tls = settings.load(clock()).unwrap();

    let check = |tls, address: &str| tls::check_scheme(tls, &address.parse().unwrap(), "AUTH_URL");
    assert!(check(tls.as_ref(), "https://auth:1").is_ok() && check(None, "http://auth:1").is_ok());
    assert!(check(tls.as_ref(), "http://auth:1").is_err() && check(None, "https://auth:1").is_err());
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refused = Server::bind(taken.local_addr().unwrap(), "TEST_LISTEN", tls, 1000).await;
    assert!(refused.err().unwrap().to_string().starts_with("TEST_LISTEN: "));
}
