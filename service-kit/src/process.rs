//! The frame round every service: settings that they all have, logs, the admin port, and an orderly end. It keeps the
//! `main` of each binary a short story.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use tokio_util::sync::CancellationToken;

use crate::admin::{Admin, Readiness};
use crate::bus::Bus;
use crate::clock::{SharedClock, SystemClock};
use crate::log::LastLines;
use crate::settings::{AccessSettings, BusSettings, DatabaseSettings, ProcessSettings, ServiceSettings};
use crate::shared::Shared;
use crate::start::StartError;
use crate::tls::TlsSettings;
use crate::{shutdown, telemetry, trace};

/// Settings that every binary has.
#[derive(Args, Clone)]
#[group(skip)]
pub struct CommonSettings {
    #[command(flatten)]
    pub process: ProcessSettings,
    #[command(flatten)]
    pub database: DatabaseSettings,
    #[command(flatten)]
    pub bus: BusSettings,
    #[command(flatten)]
    pub access: AccessSettings,
    #[command(flatten)]
    pub service: ServiceSettings,
    #[command(flatten)]
    pub tls: TlsSettings,
}

impl CommonSettings {
    /// What the services of this process share. To be called inside the runtime.
    ///
    /// # Errors
    /// A setting cannot be used as it stands.
    pub fn shared(&self) -> Result<Shared, StartError> {
        let clock: SharedClock = Arc::new(SystemClock);
        let tls = self.tls.load(Arc::clone(&clock))?;
        Ok(Shared {
            bus: Bus::from_setting(self.bus.amqp_url.as_deref().filter(|url| !url.is_empty()))?,
            database: self.database.clone(),
            service_secret: self.access.service_secret(tls.is_some())?,
            tls,
            clock,
            access: self.access.clone(),
            max_calls: self.service.service_max_calls as usize,
            drain: self.process.drain(),
        })
    }
}

/// A process that logs and can be watched, before its services run.
#[derive(Debug)]
pub struct Process {
    admin: Admin,
    readiness: Readiness,
    last_lines: LastLines,
}

impl Process {
    /// Starts logging and binds the admin port.
    ///
    /// # Errors
    /// A setting cannot be used as it stands.
    pub async fn start(settings: &ProcessSettings) -> Result<Self, StartError> {
        let (metrics, last_lines) = telemetry::init(settings)?;
        let readiness = Readiness::default();
        let admin = Admin::bind(settings, metrics, readiness.clone()).await?;
        Ok(Self {
            admin,
            readiness,
            last_lines,
        })
    }

    /// Where the admin port listens.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Runs `service` until SIGINT or SIGTERM, and then until it has drained. The admin port answers to the end.
    ///
    /// # Errors
    /// Whatever ended the service before it was told to stop, or the admin port broke.
    pub async fn run<F, E>(
        self,
        service: impl FnOnce(CancellationToken) -> F,
    ) -> Result<(), Box<dyn Error + Send + Sync>>
    where
        F: Future<Output = Result<(), E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let stop_service = CancellationToken::new();
        let stop_admin = CancellationToken::new();
        let admin = self.admin.run(stop_admin.clone());
        let (readiness, last_lines) = (self.readiness, self.last_lines);
        let service = async {
            readiness.set(true);
            let result = service(stop_service.clone()).await.map_err(Into::into);
            stop_admin.cancel();
            result
        };
        let told_to_stop = async {
            let signal = shutdown::signalled().await?;
            tracing::info!(signal, "Draining");
            readiness.set(false);
            stop_service.cancel();
            // A second signal means: now.
            let signal = shutdown::signalled().await?;
            Err(format!("{signal} came again before everything had drained").into())
        };
        let both = async {
            let (service, admin) = tokio::join!(service, admin);
            service.and(admin.map_err(Into::into))
        };
        let result = tokio::select! {
            result = both => result,
            result = told_to_stop => result,
        };
        // After a failure too: then they are wanted most.
        trace::flush().await;
        drop(last_lines);
        result
    }
}
