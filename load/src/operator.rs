//! What an operator asks for over REST.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::installation::ADMIN_PASSWORD;

/// How long an answer may take: an import has ten thousand rows.
const ANSWERS_WITHIN: Duration = Duration::from_secs(600);

/// Somebody who is logged in.
pub struct Operator {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Operator {
    /// # Errors
    /// The gateway does not let the administrator in.
    pub async fn log_in(gateway: &str) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(ANSWERS_WITHIN);
        let client = client.build()?;
        let base = format!("http://{gateway}");
        let credentials = json!({"username": "admin", "password": ADMIN_PASSWORD});
        let answer = client
            .post(format!("{base}/auth/login"))
            .json(&credentials)
            .send()
            .await?;
        let answer: Value = answer.error_for_status()?.json().await?;
        let token = answer["accessToken"]
            .as_str()
            .context("a login brings a token")?
            .to_owned();
        Ok(Self { client, base, token })
    }

    pub fn token(&self) -> &str {
        &self.token
    }

    /// Imports a file of CSV.
    ///
    /// # Errors
    /// It is not taken.
    pub async fn import(&self, noun: &str, csv: String) -> Result<()> {
        let request = self.client.post(format!("{}/ocpp/{noun}/import", self.base));
        let request = request.bearer_auth(&self.token).header("content-type", "text/csv");
        let answer = request.body(csv).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{noun} cannot be imported: {status} {text}");
        Ok(())
    }
}
