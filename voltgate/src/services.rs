//! The services, started in the order in which they need each other and stopped in the reverse order.

use std::error::Error;
use std::net::SocketAddr;

use anyhow::Context;
use auth_service::Administrator;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::announce::Announcement;
use crate::database::Database;
use crate::settings::Settings;

/// Every service, bound to its port and not yet served.
pub struct Services {
    gateway: gateway::Application,
    /// Which all the others ask for its keys.
    auth: auth_service::Application,
    others: Vec<Service>,
    announcement: Announcement,
}

/// A service behind the gateway.
struct Service {
    name: &'static str,
    /// What the protos call it.
    upstream: &'static str,
    address: SocketAddr,
    run: Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> + Send>,
}

impl Service {
    fn new<F, E>(
        name: &'static str,
        upstream: &'static str,
        address: SocketAddr,
        run: impl FnOnce(CancellationToken) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Error + Send + Sync + 'static,
    {
        let run = move |stop| async move { run(stop).await.with_context(|| format!("{name} failed")) }.boxed();
        Self {
            name,
            upstream,
            address,
            run: Box::new(run),
        }
    }
}

impl Services {
    /// # Errors
    /// A setting cannot be used as it stands, or a port is in use.
    pub async fn build(mut settings: Settings) -> anyhow::Result<Self> {
        settings.auth.generate_admin_password = true;
        let admin_username = settings.auth.admin_username.clone();

        let mut shared = settings.common.shared()?;
        let auth = auth_service::Application::build(settings.auth, shared.clone()).await?;
        let scheme = if shared.tls.is_some() { "https" } else { "http" };
        let url = |address: SocketAddr| format!("{scheme}://{address}");
        shared.access.auth_url = url(auth.local_addr());
        let mut others = Vec::new();

        let charger = charger_service::Application::build(settings.charger, shared.clone()).await?;
        let address = charger.local_addr();
        others.push(Service::new(charger_service::NAME, "ocpp", address, |stop| {
            charger.run(stop)
        }));

        let email = email_service::Application::build(settings.email, shared.clone()).await?;
        let address = email.local_addr();
        others.push(Service::new(email_service::NAME, "email", address, |stop| {
            email.run(stop)
        }));

        let upstreams = others.iter().map(|service| (service.upstream, service.address));
        let upstreams = upstreams.chain([("auth", auth.local_addr())]);
        let upstreams: Vec<_> = upstreams
            .map(|(name, address)| format!("{name}={}", url(address)))
            .collect();
        settings.gateway.gateway_upstreams = upstreams.join(",").parse()?;
        let gateway = gateway::Application::build(settings.gateway, shared).await?;

        let announced = others.iter().map(|service| (service.name, service.address));
        let announcement = Announcement {
            gateway: gateway.addresses(),
            services: std::iter::once((auth_service::NAME, auth.local_addr()))
                .chain(announced)
                .collect(),
            admin_username,
            // Last, so that nothing can fail between making the password and showing it.
            new_admin_password: match auth.first_administrator().await? {
                Administrator::CreatedWithPassword { password, .. } => Some(password),
                Administrator::AlreadyThere | Administrator::Created { .. } | Administrator::Missing => None,
            },
        };
        Ok(Self {
            gateway,
            auth,
            others,
            announcement,
        })
    }

    /// What to tell the person who started the process.
    pub fn announcement(&self, admin: SocketAddr) -> String {
        self.announcement.render(admin)
    }

    /// Runs until told to stop: the gateway drains first, while the services still answer, then they do.
    ///
    /// # Errors
    /// A service, or the database, ended before that.
    pub async fn run(self, shutdown: CancellationToken, database: &Database) -> anyhow::Result<()> {
        let stop_gateway = CancellationToken::new();
        let stop_services = CancellationToken::new();
        let Self {
            gateway, auth, others, ..
        } = self;
        let mut services: JoinSet<anyhow::Result<()>> = JoinSet::new();
        let stop = stop_services.clone();
        services.spawn(async move { auth.run(stop).await.context("auth-service failed") });
        for service in others {
            services.spawn((service.run)(stop_services.clone()));
        }
        let stop = stop_gateway.clone();
        let mut gateway = JoinSet::from_iter([async move { gateway.run(stop).await.context("gateway failed") }]);

        let mut result = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            () = database.ended() => Err(anyhow::anyhow!("PostgreSQL ended by itself; its log is in the data folder")),
            Some(ended) = services.join_next() => early(ended),
            Some(ended) = gateway.join_next() => early(ended),
        };
        stop_gateway.cancel();
        while let Some(ended) = gateway.join_next().await {
            result = result.and(ended?);
        }
        stop_services.cancel();
        while let Some(ended) = services.join_next().await {
            result = result.and(ended?);
        }
        result
    }
}

/// Nothing ends before it is told to.
fn early(ended: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Result<()> {
    ended??;
    anyhow::bail!("a service ended without being told to")
}
