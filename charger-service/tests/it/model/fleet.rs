//! Two replicas, either of which may be killed at any moment and comes back.

use std::sync::atomic::{AtomicU64, Ordering};

use charger_service::{Asked, Settings};
use chrono::TimeDelta;
use rand::RngExt as _;
use rand::rngs::StdRng;
use sqlx::PgPool;
use testbed::Database;
use tokio::sync::RwLock;

use crate::service::{Service, settings};
use crate::sink::Sink;
use crate::station::{self, Offer, Station};

pub struct Fleet {
    replicas: [RwLock<Service>; 2],
    pub pool: PgPool,
    url: String,
    /// It says of every tag that it may charge.
    pub authority: Sink,
    /// How often one is killed, in ten thousand steps.
    kills: u64,
    registered: AtomicU64,
}

/// The authority is asked about every tag, so that its part is in every story.
fn asking(authority: &Sink) -> Settings {
    Settings {
        charger_authorization_url: Some(authority.url.clone()),
        charger_authorization_asked: Asked::Always,
        ..settings()
    }
}

impl Fleet {
    pub async fn start(database: &Database, kills: u64) -> Self {
        let authority = Sink::start(r#"{"status":"Accepted"}"#).await;
        // As many as will be asked for.
        authority.release(usize::try_from(u32::MAX).unwrap_or_default());
        let asks = || Service::start_with(database, asking(&authority));
        let replicas = [asks().await, asks().await];
        replicas[0].register_token("TAG").await;
        Self {
            pool: PgPool::connect(database.url()).await.unwrap(),
            replicas: replicas.map(RwLock::new),
            url: database.url().to_owned(),
            authority,
            kills,
            registered: AtomicU64::new(0),
        }
    }

    /// The identity of a charge point that is new. It is no operator who registers it: by clocks that jump, an access token
    /// may be from the future.
    pub async fn register(&self) -> String {
        let identity = format!("CP{}", self.registered.fetch_add(1, Ordering::Relaxed));
        let new = "INSERT INTO ocpp.charge_point (id, identity, display_name, security_profile, created_at)
                   VALUES ($1, $2, $2, 0, now())";
        let new = sqlx::query(new).bind(uuid::Uuid::now_v7()).bind(&identity);
        new.execute(&self.pool).await.unwrap();
        identity
    }

    pub async fn connect(&self, replica: usize, identity: &str) -> Option<Station> {
        let service = self.replicas[replica].read().await;
        let offer = Offer {
            authorization: None,
            ..Offer::of(identity, "")
        };
        Station::open(&service, offer).await.ok()
    }

    /// The same socket, on another stream.
    pub async fn resume(&self, replica: usize, station: &mut Station) -> bool {
        let service = self.replicas[replica].read().await;
        station.resume(&service).await.is_ok()
    }

    /// One frame without a socket. None where nothing comes back.
    pub async fn post(&self, replica: usize, identity: &str, frame: &str) -> Option<String> {
        let service = self.replicas[replica].read().await;
        station::post(&service, identity, None, frame).await.ok().flatten()
    }

    /// Queues a command, of which both replicas hear; its id. It is no operator who asks for it, as in `register`.
    pub async fn command(&self, identity: &str) -> String {
        let id = uuid::Uuid::now_v7();
        let queued = "WITH queued AS (
                INSERT INTO ocpp.command (id, charge_point_id, action, payload, requested_by, request_digest, created_at, expires_at)
                SELECT $1, id, 'ClearCache', '{}', 'model', '', now(), now() + interval '1 day'
                FROM ocpp.charge_point WHERE identity = $2
                RETURNING charge_point_id)
            SELECT pg_notify('ocpp', 'queued ' || charge_point_id) FROM queued";
        let queued = sqlx::query(queued).bind(id).bind(identity);
        queued.execute(&self.pool).await.unwrap();
        id.to_string()
    }

    pub async fn accepted_commands(&self) -> i64 {
        let accepted = "SELECT count(*) FROM ocpp.command WHERE status = 'accepted'";
        sqlx::query_scalar(accepted).fetch_one(&self.pool).await.unwrap()
    }

    /// What its next BootNotification is answered with.
    pub async fn will_answer(&self, identity: &str, registration_status: &str) {
        let change = "UPDATE ocpp.charge_point SET registration_status = $2 WHERE identity = $1";
        let change = sqlx::query(change).bind(identity).bind(registration_status);
        change.execute(&self.pool).await.unwrap();
    }

    /// Now and then something happens to a process or to its clock.
    pub async fn befall(&self, random: &mut StdRng) {
        let replica = random.random_range(0..2);
        if random.random_range(0..10_000) < self.kills {
            let mut service = self.replicas[replica].write().await;
            let reborn = Service::start_at_url(&self.url, asking(&self.authority)).await;
            std::mem::replace(&mut *service, reborn).kill();
        } else if random.random_range(0..50) == 0 {
            let seconds = random.random_range(-20..=20);
            self.replicas[replica]
                .read()
                .await
                .clock
                .advance(TimeDelta::seconds(seconds));
        }
    }
}
