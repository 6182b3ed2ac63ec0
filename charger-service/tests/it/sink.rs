//! Another system, as it is called over HTTP: it notes what it is sent, and answers what a test wants.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::service::eventually;

/// One call.
#[derive(Debug, Clone)]
pub struct Seen {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Seen {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }
}

struct Shared {
    seen: Mutex<Vec<Seen>>,
    answer: Mutex<(u16, String)>,
    /// Each answer takes one permit.
    released: Semaphore,
}

pub struct Sink {
    pub url: String,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

impl Sink {
    pub async fn start(answer: &str) -> Self {
        let sink = Self::start_held(answer).await;
        sink.release(1000);
        sink
    }

    /// It answers nothing until it is released.
    pub async fn start_held(answer: &str) -> Self {
        let shared = Arc::new(Shared {
            seen: Mutex::default(),
            answer: Mutex::new((200, answer.to_owned())),
            released: Semaphore::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let router = Router::new().fallback(called).with_state(Arc::clone(&shared));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, shared, serving }
    }

    pub fn release(&self, answers: usize) {
        self.shared.released.add_permits(answers);
    }

    pub fn answers(&self, status: u16, body: &str) {
        *self.shared.answer.lock().unwrap() = (status, body.to_owned());
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    pub async fn has_been_called(&self, times: usize) {
        eventually("it is called", async || self.seen().len() >= times).await;
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn called(
    State(shared): State<Arc<Shared>>,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: String,
) -> impl IntoResponse {
    shared.seen.lock().unwrap().push(Seen {
        path: uri.path().to_owned(),
        headers,
        body,
    });
    let released = tokio::time::timeout(Duration::from_secs(60), shared.released.acquire()).await;
    released.unwrap().unwrap().forget();
    let (status, body) = shared.answer.lock().unwrap().clone();
    let location = [("location", "http://127.0.0.1:1/elsewhere")];
    (StatusCode::from_u16(status).unwrap(), location, body)
}
