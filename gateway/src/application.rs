//! The gateway as a whole: built from settings, then run until it is told to stop.

use std::convert::Infallible;
use std::sync::Arc;

use prost_reflect::DescriptorPool;
use service_kit::Shared;
use service_kit::start::StartError;
use tokio_util::sync::CancellationToken;

use crate::edge::Edge;
use crate::gateway::Gateway;
use crate::observe;
use crate::server::{self, Limits, Ports, PublicAddresses, PublicTls, StationAuthorities};
use crate::settings::Settings;

/// The gateway, its ports bound and not yet served.
pub struct Application {
    gateway: Gateway,
    ports: Ports,
    /// Whom charger-service vouches for, where charge points are let in by that.
    stations: Option<StationAuthorities>,
    tls: Option<PublicTls>,
    addresses: PublicAddresses,
    limits: Limits,
}

impl Application {
    /// Reads the protos, looks up where the services are, connects to Redis where one is set, then takes the ports. No service is asked
    /// for anything yet, and a Redis that is away holds nothing up for long.
    ///
    /// # Errors
    /// A setting or an annotation in the protos cannot be used, or a port is in use.
    pub async fn build(settings: Settings, shared: Shared) -> Result<Self, StartError> {
        Self::build_for(voltgate_proto::pool(), settings, shared).await
    }

    /// The same for other protos than Voltgate's own: the gateway knows no endpoint but by them.
    ///
    /// # Errors
    /// As above.
    pub async fn build_for(protos: &DescriptorPool, settings: Settings, shared: Shared) -> Result<Self, StartError> {
        let stations = StationAuthorities::default();
        let gateway = Gateway::new(protos, &settings, &shared, stations.clone())?;
        tokio::join!(gateway.upstreams.look_up(), gateway.limits.connect());
        let tls = settings.public_tls(stations.clone(), Arc::clone(&shared.clock))?;
        let shown_somewhere = tls.is_some() || gateway.terminators.is_some();
        let followed = shown_somewhere && settings.gateway_tls_station_authority;
        let ports = Ports::bind(settings.gateway_listen, settings.gateway_tls_listen, tls.clone()).await?;
        let addresses = ports
            .addresses()
            .map_err(|error| StartError::other("cannot read the address of a port", error))?;
        Ok(Self {
            gateway,
            stations: followed.then_some(stations),
            tls,
            ports,
            addresses,
            limits: Limits {
                max_connections: settings.gateway_max_connections,
                pause: settings.shutdown_pause(),
                drain: shared.drain,
            },
        })
    }

    pub fn addresses(&self) -> PublicAddresses {
        self.addresses
    }

    /// Serves until told to stop, then drains. Nothing can fail here: a connection that does is its own affair.
    ///
    /// # Errors
    /// None.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Infallible> {
        observe::announce(&self.gateway.upstreams);
        let edge = Arc::new(Edge::new(self.gateway.clone()));
        let (upstreams, access) = (self.gateway.upstreams.clone(), self.gateway.access.clone());
        let (gateway, tls) = (self.gateway.clone(), self.tls);
        let renew = || {
            if let Some(tls) = &tls {
                tls.renew();
            }
            if let Some(terminators) = &gateway.terminators {
                terminators.certificates().renew();
            }
        };
        let follow_stations = async {
            match &self.stations {
                Some(authorities) => authorities.follow(&gateway, renew).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = server::serve(self.ports, edge, self.gateway, self.limits, shutdown) => {}
            () = follow_stations => {}
            () = upstreams.maintain() => {}
            () = access.follow() => {}
            () = gateway.limits.follow() => {}
        }
        Ok(())
    }
}
