//! Two gateways are restarted one after the other under load, and no request is lost.
//!
//! Their clients do what a load balancer does that follows readiness (Kubernetes, HAProxy): they ask each gateway every so often
//! whether it wants work, and keep connections to those that do. They repeat nothing: a request that fails has failed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use e2e::process::free_address;
use e2e::processes::Processes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, sleep, timeout};

/// Both gateways, and which of them want work.
struct Balancer {
    gateways: [SocketAddr; 2],
    ready: [AtomicBool; 2],
    /// How often each has begun not to. Connections from before are kept no longer.
    lost: [AtomicUsize; 2],
    /// Whose turn it is.
    turn: AtomicUsize,
    stop: AtomicBool,
}

/// How often readiness is asked for. The gateways serve on for longer than that after they were told to stop.
const LOOK: Duration = Duration::from_millis(200);
const PAUSE: &str = "2";

/// Between two requests of one client.
const PACE: Duration = Duration::from_millis(50);

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

impl Balancer {
    fn gateway(&self) -> Option<(SocketAddr, usize)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let ready = |place: &usize| self.ready[*place].load(Ordering::Acquire);
        let place = [turn % 2, (turn + 1) % 2].into_iter().find(ready)?;
        Some((self.gateways[place], self.lost[place].load(Ordering::Acquire)))
    }

    async fn follow_readiness(&self) {
        let mut looks = interval(LOOK);
        while !self.stop.load(Ordering::Acquire) {
            looks.tick().await;
            for (place, gateway) in self.gateways.iter().enumerate() {
                let asked = timeout(LOOK, Http1::connect_and_ask(*gateway, "/readyz", "")).await;
                let ready = matches!(asked, Ok(Ok(200)));
                if self.ready[place].swap(ready, Ordering::AcqRel) && !ready {
                    self.lost[place].fetch_add(1, Ordering::AcqRel);
                }
            }
        }
    }

    /// Asks until told to stop; returns how often it was answered with 200, or how the first other request went.
    async fn load<C: Client>(&self, bearer: &str) -> Result<usize, String> {
        let mut connections: HashMap<SocketAddr, (usize, C)> = HashMap::new();
        let mut answered = 0;
        let mut pace = interval(PACE);
        while !self.stop.load(Ordering::Acquire) {
            pace.tick().await;
            let (gateway, lost) = self.gateway().ok_or("no gateway wants work")?;
            let asked = async {
                let mut client = match connections.remove(&gateway) {
                    Some((before, client)) if before == lost => client,
                    Some(_) | None => C::connect(gateway).await?,
                };
                let status = client.ask("/auth/profile", bearer).await?;
                if !client.is_over() {
                    connections.insert(gateway, (lost, client));
                }
                Ok::<_, String>(status)
            };
            let status = timeout(PATIENCE, asked).await.map_err(|late| late.to_string())?;
            match status {
                Ok(200) => answered += 1,
                other => return Err(format!("after {answered} answers of {gateway}: {other:?}")),
            }
        }
        Ok(answered)
    }
}

/// A connection that is kept.
trait Client: Sized {
    async fn connect(gateway: SocketAddr) -> Result<Self, String>;
    /// The status of the answer.
    async fn ask(&mut self, path: &str, bearer: &str) -> Result<u16, String>;
    /// The other side has said that it takes no more requests.
    fn is_over(&self) -> bool;
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}

struct Http1 {
    stream: TcpStream,
    over: bool,
}

impl Http1 {
    async fn connect_and_ask(gateway: SocketAddr, path: &str, bearer: &str) -> Result<u16, String> {
        Self::connect(gateway).await?.ask(path, bearer).await
    }
}

impl Client for Http1 {
    async fn connect(gateway: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(gateway).await.map_err(told)?;
        Ok(Self { stream, over: false })
    }

    async fn ask(&mut self, path: &str, bearer: &str) -> Result<u16, String> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {bearer}\r\n\r\n");
        self.stream.write_all(request.as_bytes()).await.map_err(told)?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.map_err(told)?);
        }
        let head = String::from_utf8(head).map_err(told)?.to_ascii_lowercase();
        let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name));
        let length = header("content-length: ").ok_or_else(|| format!("no length: {head}"))?;
        let mut body = vec![0; length.parse().map_err(told)?];
        self.stream.read_exact(&mut body).await.map_err(told)?;
        self.over = header("connection: ").is_some_and(|value| value.contains("close"));
        head.get(9..12).unwrap_or_default().parse().map_err(told)
    }

    fn is_over(&self) -> bool {
        self.over
    }
}

struct Http2 {
    requests: h2::client::SendRequest<Bytes>,
    /// Set when the connection ends.
    over: Arc<AtomicBool>,
}

impl Client for Http2 {
    async fn connect(gateway: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(gateway).await.map_err(told)?;
        let (requests, connection) = h2::client::handshake(stream).await.map_err(told)?;
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        tokio::spawn(async move {
            let _it_ends_as_it_may = connection.await;
            ended.store(true, Ordering::Release);
        });
        Ok(Self { requests, over })
    }

    async fn ask(&mut self, path: &str, bearer: &str) -> Result<u16, String> {
        let request = http::Request::get(format!("http://gateway{path}"))
            .header("authorization", format!("Bearer {bearer}"))
            .body(())
            .map_err(told)?;
        let mut requests = self.requests.clone().ready().await.map_err(told)?;
        let (answer, _) = requests.send_request(request, true).map_err(told)?;
        let answer = answer.await.map_err(told)?;
        let status = answer.status().as_u16();
        let mut body = answer.into_body();
        while let Some(data) = body.data().await {
            let data = data.map_err(told)?;
            body.flow_control().release_capacity(data.len()).map_err(told)?;
        }
        Ok(status)
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_of_the_gateways_under_load_loses_no_request() {
    let mut processes = Processes::prepare().await;
    processes.set("gateway", "GATEWAY_SHUTDOWN_PAUSE", PAUSE.to_owned());
    let mut other = processes.environments["gateway"].clone();
    other.insert("GATEWAY_LISTEN".to_owned(), free_address());
    other.insert("ADMIN_LISTEN".to_owned(), free_address());
    processes.environments.insert("gateway two", other);
    processes.start_all().await;
    let address = |name: &str| processes.environments[name]["GATEWAY_LISTEN"].parse().unwrap();
    let balancer = Arc::new(Balancer {
        gateways: [address("gateway"), address("gateway two")],
        ready: [AtomicBool::new(true), AtomicBool::new(true)],
        lost: [AtomicUsize::new(0), AtomicUsize::new(0)],
        turn: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    });
    let admin = processes.admin().await;
    let bearer = admin.token().to_owned();

    let following = Arc::clone(&balancer);
    let looks = tokio::spawn(async move { following.follow_readiness().await });
    let mut clients = Vec::new();
    for _ in 0..2 {
        let (one, two, bearer, same) = (
            Arc::clone(&balancer),
            Arc::clone(&balancer),
            bearer.clone(),
            bearer.clone(),
        );
        clients.push(tokio::spawn(async move { one.load::<Http1>(&bearer).await }));
        clients.push(tokio::spawn(async move { two.load::<Http2>(&same).await }));
    }
    let started = Instant::now();
    sleep(Duration::from_secs(2)).await;
    for gateway in ["gateway", "gateway two"] {
        processes.restart(gateway).await;
        // It takes part again.
        sleep(Duration::from_secs(2)).await;
    }
    balancer.stop.store(true, Ordering::Release);
    let mut answered = 0;
    for client in clients {
        answered += client.await.unwrap().expect("no request is lost");
    }
    looks.await.unwrap();
    assert!(answered > 200, "{answered} requests in {:?}", started.elapsed());
    assert!(balancer.lost.iter().all(|lost| lost.load(Ordering::Acquire) == 1));
    processes.stop().await;
}
