//! REST reads, as fast as they are answered.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Request, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::installation::{Installation, Used};
use crate::operator::Operator;
use crate::registration::PREFIX;
use crate::settings::Settings;

/// The longest time that is told apart, in microseconds, and to how many digits.
const LONGEST: u64 = 60_000_000;
const DIGITS: u8 = 3;

/// How long an answer may take.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// A token lives for minutes only, and each read has one.
const MOST_SECONDS: u64 = 240;

/// Requests of one kind.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Read {
    pub name: String,
    pub requests: u64,
    pub per_second: f64,
    /// In milliseconds.
    pub p50: f64,
    pub p99: f64,
    pub used: Used,
}

/// A charge point, and lists of transactions among many.
pub async fn measure(installation: &Installation, settings: &Settings) -> Result<Vec<Read>> {
    fill(installation, settings.rows).await?;
    let one = format!("/ocpp/charge-points/{}", simulator::registration::name(PREFIX, 0));
    let rows = settings.rows;
    let paths = [
        ("one charge point".to_owned(), one),
        (
            format!("100 of {rows} transactions"),
            "/ocpp/transactions?pageSize=100".to_owned(),
        ),
    ];
    let mut read = Vec::new();
    for (name, path) in paths {
        let operator = Operator::log_in(&installation.gateway).await?;
        let before = installation.usage().await?;
        let began = Instant::now();
        let latencies = ask(&installation.gateway, &path, operator.token(), settings).await?;
        let elapsed = began.elapsed();
        let used = installation.used_since(&before).await?;
        let at = |quantile| latencies.value_at_quantile(quantile) as f64 / 1000.0;
        read.push(Read {
            name,
            requests: latencies.len(),
            per_second: latencies.len() as f64 / elapsed.as_secs_f64(),
            p50: at(0.5),
            p99: at(0.99),
            used,
        });
    }
    Ok(read)
}

/// Transactions of the registered charge points over the last hundred days.
async fn fill(installation: &Installation, rows: u32) -> Result<()> {
    let pool = installation.database.pool();
    sqlx::query(
        "INSERT INTO ocpp.transaction (charge_point_id, connector_id, id_token, status, authorization_status, meter_start_wh,
             meter_stop_wh, started_at, stopped_at, start_received_at, stop_received_at)
         SELECT stations.ids[1 + n % array_length(stations.ids, 1)], 1, 'TAG' || n % 100000, 'completed', 'Accepted', n, n + 1000,
             at, at + interval '1 hour', at, at + interval '1 hour'
         FROM (SELECT n, now() - interval '100 days' * ($1 + 1 - n) / $1 AS at FROM generate_series(1, $1) AS n) AS told,
             (SELECT array_agg(id) AS ids FROM (SELECT id FROM ocpp.charge_point LIMIT 1000) AS thousand) AS stations",
    )
    .bind(i32::try_from(rows)?)
    .execute(pool)
    .await?;
    sqlx::raw_sql("VACUUM (ANALYZE) ocpp.transaction").execute(pool).await?;
    sqlx::raw_sql("CHECKPOINT").execute(pool).await?;
    Ok(())
}

async fn ask(gateway: &str, path: &str, token: &str, settings: &Settings) -> Result<Histogram<u64>> {
    let address: SocketAddr = gateway.parse()?;
    let until = Instant::now() + Duration::from_secs(settings.seconds.min(MOST_SECONDS));
    let mut asking = JoinSet::new();
    for _ in 0..settings.connections {
        let request = Request::get(path)
            .header(header::HOST, gateway)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .body(Empty::<Bytes>::new())?;
        asking.spawn(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (mut requests, connection) = handshake(TokioIo::new(stream)).await?;
            // What ends a connection early shows in the next answer.
            let connection = tokio::spawn(connection);
            let mut latencies = Histogram::<u64>::new_with_bounds(1, LONGEST, DIGITS)?;
            while Instant::now() < until {
                let asked = Instant::now();
                let answered = timeout(ANSWERS_WITHIN, answer(&mut requests, request.clone())).await;
                answered.context("a read is not answered")??;
                latencies.saturating_record(u64::try_from(asked.elapsed().as_micros())?);
            }
            connection.abort();
            anyhow::Ok(latencies)
        });
    }
    let mut all = Histogram::new_with_bounds(1, LONGEST, DIGITS)?;
    while let Some(latencies) = asking.join_next().await {
        all.add(latencies??)?;
    }
    Ok(all)
}

async fn answer(requests: &mut SendRequest<Empty<Bytes>>, request: Request<Empty<Bytes>>) -> Result<()> {
    requests.ready().await?;
    let response = requests.send_request(request).await?;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .context("an answer has an end")?
        .to_bytes();
    ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}
