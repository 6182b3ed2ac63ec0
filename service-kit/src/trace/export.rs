//! Where spans go: to a collector, by OTLP over gRPC. Off unless a setting says where that is.
//!
//! Spans wait in a queue of a bounded size and go out in batches, from a thread of their own. Where the collector is away or slow
//! the queue fills, and spans are dropped and counted; nobody who works for a request ever waits.

use std::str::FromStr;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use clap::Args;
use http::Uri;
use metrics::Counter;
use opentelemetry::KeyValue;
use opentelemetry_otlp::{SpanExporter as Otlp, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    self as sdk, BatchSpanProcessor, Sampler, SdkTracerProvider, SpanData, SpanExporter, SpanProcessor,
};
use tonic::metadata::{MetadataKey, MetadataMap, MetadataValue};
use tonic::transport::ClientTlsConfig;
use uuid::Uuid;

use super::tracer::Share;
use crate::start::StartError;

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";

/// For the last spans, when the process ends.
const FLUSH: Duration = Duration::from_secs(3);

/// Where traces go, and which. The names are OpenTelemetry's.
#[derive(Args, Clone)]
#[group(skip)]
pub struct TraceSettings {
    /// Where traces are sent by OTLP over gRPC, such as http://127.0.0.1:4317; nowhere where it is left out
    #[arg(long, env)]
    pub otel_exporter_otlp_endpoint: Option<String>,
    /// Headers that go along, such as x-api-key=value, separated by commas
    #[arg(long, env, hide_env_values = true)]
    pub otel_exporter_otlp_headers: Option<String>,
    /// The part of the traces that begin here which is recorded, from 0 to 1; those that a trusted proxy or another of Voltgate's processes began are recorded where it says so
    #[arg(long, env, default_value_t = Share::ALL)]
    pub otel_traces_sampler_arg: Share,
}

impl std::fmt::Debug for TraceSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TraceSettings")
            .field("endpoint", &self.otel_exporter_otlp_endpoint)
            .field("share", &self.otel_traces_sampler_arg)
            .finish_non_exhaustive()
    }
}

impl TraceSettings {
    fn endpoint(&self) -> Option<&str> {
        let endpoint = self.otel_exporter_otlp_endpoint.as_deref();
        endpoint.filter(|endpoint| !endpoint.is_empty())
    }
}

/// What the process exports by. Like where it logs to, there is one for all of it.
static EXPORT: OnceLock<Export> = OnceLock::new();

struct Export {
    endpoint: Uri,
    headers: MetadataMap,
    share: Share,
    instance: Uuid,
    providers: Mutex<Vec<(&'static str, SdkTracerProvider)>>,
}

/// Has tracers export what they record from now on, where the settings say where to. True where they do.
///
/// # Errors
/// A setting cannot be used as it stands.
pub fn start(settings: &TraceSettings) -> Result<bool, StartError> {
    let Some(endpoint) = settings.endpoint() else {
        return Ok(false);
    };
    let uri = Uri::from_str(endpoint).ok();
    let uri = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
    let export = Export {
        endpoint: uri.ok_or_else(|| StartError::setting(ENDPOINT, "is not a URL such as http://127.0.0.1:4317"))?,
        headers: headers(settings.otel_exporter_otlp_headers.as_deref().unwrap_or_default())?,
        share: settings.otel_traces_sampler_arg,
        instance: Uuid::now_v7(),
        providers: Mutex::default(),
    };
    // Tried once, so that what cannot work is told at the start, and not by every tracer.
    exporter(&export)?;
    Ok(EXPORT.set(export).is_ok())
}

fn headers(setting: &str) -> Result<MetadataMap, StartError> {
    // Its value is a secret, so it is not repeated.
    let problem = || StartError::setting(HEADERS, "is not a list such as name=value,name=value");
    let pairs = setting.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=').ok_or_else(problem)?;
            let name = MetadataKey::from_bytes(name.trim().to_ascii_lowercase().as_bytes()).map_err(|_| problem())?;
            let mut value = MetadataValue::try_from(value.trim()).map_err(|_| problem())?;
            value.set_sensitive(true);
            Ok((name, value))
        })
        .try_fold(MetadataMap::new(), |mut all, pair| {
            let (name, value) = pair?;
            all.insert(name, value);
            Ok(all)
        })
}

fn exporter(export: &Export) -> Result<Otlp, StartError> {
    let builder = Otlp::builder()
        .with_tonic()
        .with_endpoint(export.endpoint.to_string())
        .with_metadata(export.headers.clone());
    let builder = match export.endpoint.scheme_str() {
        Some("https") => builder.with_tls_config(ClientTlsConfig::new().with_native_roots()),
        _ => builder,
    };
    builder
        .build()
        .map_err(|error| StartError::other("cannot export traces", error))
}

/// By what spans of `service` are exported, and the part of traces that is; nothing where they are not.
pub(super) fn provider(service: &'static str) -> Option<(SdkTracerProvider, Share)> {
    let export = EXPORT.get()?;
    let mut providers = export.providers.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, provider)) = providers.iter().find(|(name, _)| *name == service) {
        return Some((provider.clone(), export.share));
    }
    let exporter = exporter(export)
        .inspect_err(|error| tracing::error!(%error, "Traces are not exported"))
        .ok()?;
    // OTEL_RESOURCE_ATTRIBUTES is read here, too.
    let resource = Resource::builder()
        .with_attributes([
            KeyValue::new("service.namespace", "voltgate"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", export.instance.to_string()),
        ])
        .with_service_name(service)
        .build();
    let provider = SdkTracerProvider::builder()
        // Which traces are recorded is decided where they begin.
        .with_sampler(Sampler::AlwaysOn)
        .with_resource(resource)
        .with_span_processor(Queued::new(exporter))
        .build();
    providers.push((service, provider.clone()));
    Some((provider, export.share))
}

/// Sends what is left. To be called last thing in a process.
pub async fn flush() {
    let Some(export) = EXPORT.get() else {
        return;
    };
    let providers = export.providers.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // They block, and the collector may be away.
    let ended = providers.into_iter().map(|(service, provider)| {
        tokio::task::spawn_blocking(move || {
            if let Err(error) = provider.shutdown_with_timeout(FLUSH) {
                tracing::warn!(service, %error, "The last traces did not go out");
            }
        })
    });
    for ended in ended.collect::<Vec<_>>() {
        if let Err(error) = ended.await {
            tracing::warn!(%error, "The last traces did not go out");
        }
    }
}

/// The queue, with what goes in counted: what does not come out again was dropped, and the queue tells nobody.
#[derive(Debug)]
struct Queued {
    queue: BatchSpanProcessor,
    ended: Counter,
}

impl Queued {
    fn new(exporter: Otlp) -> Self {
        let ended = metrics::counter!("voltgate_trace_spans_ended_total");
        ended.increment(0);
        for outcome in ["exported", "failed"] {
            count(outcome, 0);
        }
        Self {
            queue: BatchSpanProcessor::builder(Counted(exporter)).build(),
            ended,
        }
    }
}

impl SpanProcessor for Queued {
    fn on_start(&self, span: &mut sdk::Span, context: &opentelemetry::Context) {
        self.queue.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        self.ended.increment(1);
        self.queue.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

fn count(outcome: &'static str, spans: u64) {
    metrics::counter!("voltgate_trace_spans_total", "outcome" => outcome).increment(spans);
}

/// Counts what goes out.
#[derive(Debug)]
struct Counted(Otlp);

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len() as u64;
        let result = self.0.export(batch).await;
        count(if result.is_ok() { "exported" } else { "failed" }, spans);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.0.set_resource(resource);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn settings(endpoint: &str) -> TraceSettings {
        TraceSettings {
            otel_exporter_otlp_endpoint: Some(endpoint.to_owned()),
            otel_exporter_otlp_headers: None,
            otel_traces_sampler_arg: Share::ALL,
        }
    }

    #[test]
    fn nothing_is_exported_unless_it_is_said_where_to() {
        assert!(!start(&settings("")).unwrap());
        assert!(provider("service").is_none());
    }

    #[test]
    fn a_place_that_is_none_is_named() {
        for wrong in ["localhost", "127.0.0.1:4317", "ftp://collector", "http://"] {
            let error = start(&settings(wrong)).unwrap_err().to_string();
            assert!(error.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT: "), "{error}");
        }
    }

    #[test]
    fn headers_are_pairs_and_never_repeated() {
        let read = headers("X-Api-Key=a=b, y = z ,").unwrap();
        assert_eq!(read.get("x-api-key").unwrap(), "a=b");
        assert_eq!(read.get("y").unwrap(), "z");
        assert!(!format!("{read:?}").contains("a=b"));
        let error = headers("hunter2").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
