//! Replicas that come and go, and statuses that say nothing against one.

#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body as HttpBody;
use axum::routing::post;
use bytes::Bytes;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, health_reporter};

use super::names::{Names, Resolver};
use super::replica::Replica;
use super::settings::Rules;
use super::{Call, LARGEST_ANSWER, Upstream, stream, unary};

const PATIENCE: Duration = Duration::from_secs(10);

fn upstream(address: &str, resolver: Option<Resolver>) -> Arc<Upstream> {
    let names = Names::new(vec![address.parse().unwrap()], None);
    let names = resolver.into_iter().fold(names, Names::with_resolver);
    Arc::new(Upstream::of("ocpp", names, 100, Rules::default()))
}

fn addresses(upstream: &Upstream) -> Vec<u16> {
    let replicas = upstream.replicas();
    replicas
        .iter()
        .map(|replica| replica.destination().address.port())
        .collect()
}

fn call(path: &'static str, message: Bytes) -> Call {
    Call {
        path: path.parse().unwrap(),
        message,
        metadata: MetadataMap::new(),
        budget: PATIENCE,
        idempotent: false,
        largest: LARGEST_ANSWER,
    }
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_comes_or_goes_is_noticed_without_a_restart() {
    static PORTS: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let upstream = upstream(
        "http://charger:50052",
        Some(|host, _| {
            Box::pin(async move {
                assert_eq!(host, "charger");
                Ok(PORTS.lock().unwrap().iter().copied().map(local).collect())
            })
        }),
    );
    upstream.look_up().await;
    assert_eq!(addresses(&upstream), [0; 0]);
    let kept_up = Arc::clone(&upstream);
    let maintained = tokio::spawn(async move { kept_up.maintain().await });

    // While there is none, it is looked for every second; then as often as the settings say.
    let mut first: Option<Arc<Replica>> = None;
    for (ports, wait) in [(vec![1], 1), (vec![1, 2], 5), (vec![2], 5), (vec![2, 3], 5)] {
        *PORTS.lock().unwrap() = ports.clone();
        sleep(Duration::from_secs(wait) + Duration::from_millis(50)).await;
        assert_eq!(addresses(&upstream), ports);
        let second = upstream
            .replicas()
            .iter()
            .find(|one| one.destination().address.port() == 2)
            .cloned();
        if let (Some(before), Some(now)) = (&first, &second) {
            assert!(Arc::ptr_eq(before, now), "what is known of it is kept");
        }
        first = second;
    }
    maintained.abort();
}

/// A server that says how it is, for as long as the task lives.
async fn healthy() -> (SocketAddr, HealthReporter, JoinHandle<()>) {
    let listener = TcpListener::bind(local(0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (reporter, service) = health_reporter();
    reporter.set_service_status("", ServingStatus::Serving).await;
    let server = tonic::transport::Server::builder().add_service(service);
    let serve = server.serve_with_incoming(TcpListenerStream::new(listener));
    (address, reporter, tokio::spawn(async move { serve.await.unwrap() }))
}

#[tokio::test]
async fn what_is_under_way_at_a_replica_that_is_gone_from_dns_goes_on() {
    static THERE: Mutex<Option<SocketAddr>> = Mutex::new(None);
    let (old, old_reporter, _old) = healthy().await;
    let (new, _new_reporter, _new) = healthy().await;
    *THERE.lock().unwrap() = Some(old);
    let upstream = upstream(
        "http://charger:50052",
        Some(|_, _| Box::pin(async { Ok(THERE.lock().unwrap().iter().copied().collect()) })),
    );
    upstream.look_up().await;
    let watch = || {
        call(
            "/grpc.health.v1.Health/Watch",
            HealthCheckRequest::default().encode_to_vec().into(),
        )
    };
    let (mut watched, _line) = {
        let (response, line) = stream(&upstream, watch()).await.unwrap();
        (response.into_inner(), line)
    };
    let status = |bytes: Bytes| HealthCheckResponse::decode(bytes).unwrap().status();
    assert_eq!(
        status(watched.message().await.unwrap().unwrap()).as_str_name(),
        "SERVING"
    );

    *THERE.lock().unwrap() = Some(new);
    upstream.look_up().await;
    assert_eq!(addresses(&upstream), [new.port()]);
    old_reporter.set_service_status("", ServingStatus::NotServing).await;
    let next = timeout(PATIENCE, watched.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(status(next).as_str_name(), "NOT_SERVING");
    // What comes after goes where the name leads now.
    let (mut next, _line) = {
        let (response, line) = stream(&upstream, watch()).await.unwrap();
        (response.into_inner(), line)
    };
    assert_eq!(status(next.message().await.unwrap().unwrap()).as_str_name(), "SERVING");
}

#[tokio::test]
async fn whatever_a_service_answers_speaks_for_its_replica() {
    let refuse =
        |code: Code| post(move || std::future::ready(Status::new(code, "the service says so").into_http::<HttpBody>()));
    let codes = [
        ("/s/Unavailable", Code::Unavailable),
        ("/s/Internal", Code::Internal),
        ("/s/Unknown", Code::Unknown),
        ("/s/DeadlineExceeded", Code::DeadlineExceeded),
        ("/s/ResourceExhausted", Code::ResourceExhausted),
        ("/s/DataLoss", Code::DataLoss),
    ];
    let router = codes
        .into_iter()
        .fold(Router::new(), |router, (path, code)| router.route(path, refuse(code)));
    // On a thread of its own, so that it can be ended with its connections.
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.spawn(TcpListener::bind(local(0))).await.unwrap().unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move { axum::serve(listener, router).await.unwrap() });
    let upstream = upstream(&format!("http://{address}"), None);
    let replica = Arc::clone(&upstream.replicas()[0]);
    for (path, code) in codes {
        // More than break off until a replica is left alone.
        for _ in 0..5 {
            let refused = unary(&upstream, call(path, Bytes::new())).await.unwrap_err();
            assert_eq!((refused.code(), refused.message()), (code, "the service says so"));
            let refused = stream(&upstream, call(path, Bytes::new())).await.unwrap_err();
            assert_eq!(refused.code(), code);
        }
        assert!(!replica.is_ejected() && !replica.others_first(), "{code:?}");
    }

    runtime.shutdown_background();
    let ejected = async {
        while !replica.is_ejected() {
            drop(unary(&upstream, call("/s/Internal", Bytes::new())).await);
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, ejected)
        .await
        .expect("one that cannot be reached is left alone");
}
