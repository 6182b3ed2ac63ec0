//! A program that is told of events: it notes each call, and answers as the path says.
//!
//!     /500   fails
//!     /410   says that it is gone for good
//!     /slow  does not answer
//!     /late-410 says after two seconds that it is gone
//!     others take it

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::rig::eventually;

#[derive(Debug, Clone)]
pub struct Call {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

type Calls = Arc<Mutex<Vec<Call>>>;

pub struct Program {
    address: SocketAddr,
    calls: Calls,
    serving: JoinHandle<()>,
}

impl Program {
    pub async fn start() -> Self {
        let calls = Calls::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(called).with_state(Arc::clone(&calls));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            calls,
            serving,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Waits for as many calls, at whatever path.
    pub async fn calls(&self, count: usize) -> Vec<Call> {
        eventually("it is called", || async { self.calls.lock().unwrap().len() >= count }).await;
        self.calls.lock().unwrap().clone()
    }

    /// The calls of one path so far.
    pub fn of(&self, path: &str) -> Vec<Call> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.path == path).cloned().collect()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn called(State(calls): State<Calls>, uri: Uri, headers: HeaderMap, body: String) -> StatusCode {
    let path = uri.path().to_owned();
    let headers = headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    calls.lock().unwrap().push(Call {
        path: path.clone(),
        headers,
        body,
    });
    match path.as_str() {
        "/500" => StatusCode::INTERNAL_SERVER_ERROR,
        "/410" => StatusCode::GONE,
        "/slow" => std::future::pending().await,
        "/late-410" => {
            tokio::time::sleep(Duration::from_secs(2)).await;
            StatusCode::GONE
        }
        _ => StatusCode::NO_CONTENT,
    }
}
