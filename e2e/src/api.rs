//! The REST API, as any HTTP client sees it.

use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};

/// A client of one gateway, with or without an access token.
#[derive(Clone)]
pub struct Api {
    client: Client,
    gateway: String,
    token: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// The body of a success.
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }

    /// The body of a failure, which is always a problem.
    pub fn problem(self, status: u16, reason: &str) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["reason"], reason, "{problem}");
        assert_eq!(problem["status"], status);
        problem
    }
}

impl Api {
    pub fn at(gateway: &str) -> Self {
        Self {
            client: Client::builder().no_proxy().build().expect("a client can be made"),
            gateway: gateway.to_owned(),
            token: None,
        }
    }

    /// Host and port of the gateway.
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    pub fn token(&self) -> &str {
        self.token.as_deref().expect("somebody is logged in")
    }

    /// The same API with this access token.
    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    /// The same API with the access token of an account.
    pub async fn log_in(&self, username: &str, password: &str) -> Self {
        let answer = self
            .post("/auth/login", &json!({ "username": username, "password": password }))
            .await
            .expect(201);
        Self {
            token: answer["accessToken"].as_str().map(str::to_owned),
            ..self.clone()
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], String::new()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.say(Method::POST, path, body).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.say(Method::PATCH, path, body).await
    }

    async fn say(&self, method: Method, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send(method, path, &headers, body.to_string()).await
    }

    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let mut request = self
            .client
            .request(method, format!("http://{}{path}", self.gateway))
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.expect("the gateway answers");
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            text: response.text().await.expect("the body is text"),
        }
    }
}
