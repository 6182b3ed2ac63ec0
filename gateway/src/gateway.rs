//! What every request needs: the route table, the services, and who may call what.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost_reflect::DescriptorPool;
use service_kit::Shared;
use service_kit::access::{Access, ServiceTokens};
use service_kit::start::StartError;
use service_kit::trace::Tracer;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::client::{ForwardedHeader, Reporter, Terminators, TrustedProxies};
use crate::export::Exports;
use crate::grpc;
use crate::health::{LastWords, ReadyNeeds};
use crate::json::{Layouts, RawJsonFields};
use crate::observe::TraceParents;
use crate::openapi;
use crate::origins::Origins;
use crate::rate_limit::Limits;
use crate::routes::{Routes, Rpcs};
use crate::server::StationAuthorities;
use crate::settings::Settings;
use crate::stream::Streams;
use crate::upstream::Upstreams;
use crate::websocket::Sockets;

/// The gateway, ready to serve.
#[derive(Clone)]
pub struct Gateway(Arc<Parts>);

pub struct Parts {
    pub routes: Routes,
    pub rpcs: Rpcs,
    pub raw_json: RawJsonFields,
    /// How answers are written.
    pub layouts: Layouts,
    pub upstreams: Upstreams,
    pub access: Access,
    pub limits: Limits,
    pub service_tokens: ServiceTokens,
    /// Tells services for whom they are called.
    pub reporter: Reporter,
    pub trusted_proxies: TrustedProxies,
    /// Where these say whom they speak for.
    pub forwarded_header: ForwardedHeader,
    /// Proxies that end TLS before us, where there are any.
    pub terminators: Option<Terminators>,
    pub request_timeout: Duration,
    pub origins: Origins,
    /// Charge points may post frames to the door.
    pub http_binding: bool,
    /// Messages of charge points may be this large, in bytes.
    pub largest_message: usize,
    pub sockets: Sockets,
    pub streams: Streams,
    pub exports: Exports,
    /// How long a client may leave a list or a file unread.
    pub stall: Duration,
    /// What goes on beside requests, or after them. The server waits for it at its end.
    pub tasks: TaskTracker,
    /// How the services behind are.
    pub last_words: LastWords,
    /// The services without which it wants no work.
    pub ready_needs: ReadyNeeds,
    pub tracer: Tracer,
    pub trace_parents: TraceParents,
    pub openapi: Bytes,
    /// What reflection tells, where it is on: the descriptors of everything that is not internal.
    pub reflection: Option<Bytes>,
    /// Cancelled when the process wants no new work.
    pub draining: CancellationToken,
}

impl std::ops::Deref for Gateway {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Gateway {
    /// # Errors
    /// A setting or an annotation in the protos cannot be used.
    pub fn new(
        protos: &DescriptorPool,
        settings: &Settings,
        shared: &Shared,
        stations: StationAuthorities,
    ) -> Result<Self, StartError> {
        let unusable = |broken| StartError::other("the protos have an annotation that cannot be used", broken);
        let routes = Routes::from_descriptors(protos).map_err(unusable)?;
        let rpcs = Rpcs::from_descriptors(protos).map_err(unusable)?;
        let upstreams = Upstreams::new(
            settings.gateway_upstreams.clone(),
            &routes,
            settings.max_calls(),
            settings.replicas.rules()?,
            shared.tls.as_ref(),
        )?;
        let raw_json = RawJsonFields::from_descriptors(protos);
        let http_binding = settings.gateway_http_binding.unwrap_or(false);
        Ok(Self(Arc::new(Parts {
            openapi: openapi::document(protos, &routes, http_binding).into(),
            layouts: Layouts::of(routes.endpoints().map(|endpoint| endpoint.rpc.output()), &raw_json),
            raw_json,
            reflection: settings.gateway_reflection.then(|| grpc::descriptors(protos, &rpcs)),
            limits: Limits::new(&settings.rate_limit)?,
            access: shared.access_to(protos, shared.authority(crate::NAME)?)?,
            reporter: Reporter::new(shared.service_tokens(crate::NAME), Arc::clone(&shared.clock)),
            service_tokens: shared.service_tokens(crate::NAME),
            trusted_proxies: settings.trusted_proxies(),
            forwarded_header: settings.gateway_forwarded_header,
            terminators: settings.terminators(stations, Arc::clone(&shared.clock))?,
            request_timeout: settings.request_timeout(),
            sockets: Sockets::new(settings.ping(), settings.resume()),
            streams: Streams::new(settings.heartbeat()),
            exports: Exports::default(),
            stall: settings.stall(),
            tasks: TaskTracker::new(),
            draining: CancellationToken::new(),
            last_words: LastWords::new(&upstreams, &routes, &rpcs),
            ready_needs: settings.ready_needs(&upstreams)?,
            tracer: Tracer::of(crate::NAME),
            trace_parents: settings.gateway_trace_parents,
            routes,
            rpcs,
            upstreams,
            http_binding,
            largest_message: settings.largest_message(),
            origins: settings.gateway_allowed_origins.clone(),
        })))
    }
}
