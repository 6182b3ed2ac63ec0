//! Envoy, once as a proxy of HTTP and once with the filter that transcodes. With nothing else in its way, neither logs nor access rules.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use serde_json::{Value, json};

use crate::process::Process;
use crate::route::SERVICES;

/// # Errors
/// It does not start.
pub async fn plain(program: &Path, at: SocketAddr, upstream: SocketAddr, folder: &Path) -> Result<Process> {
    let over_http1 = json!({"http_protocol_options": {}});
    start(program, "envoy", at, upstream, folder, vec![], over_http1).await
}

/// # Errors
/// It does not start.
pub async fn transcoder(program: &Path, at: SocketAddr, upstream: SocketAddr, folder: &Path) -> Result<Process> {
    let descriptors = folder.join("descriptors.bin");
    fs::write(&descriptors, voltgate_proto::DESCRIPTOR_SET)?;
    let filter = json!({
        "name": "envoy.filters.http.grpc_json_transcoder",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
            "proto_descriptor": descriptors,
            "services": SERVICES,
            "print_options": {"always_print_primitive_fields": true},
            "convert_grpc_status": true,
        },
    });
    let over_http2 = json!({"http2_protocol_options": {}});
    start(
        program,
        "envoy-transcoder",
        at,
        upstream,
        folder,
        vec![filter],
        over_http2,
    )
    .await
}

async fn start(
    program: &Path,
    name: &str,
    at: SocketAddr,
    upstream: SocketAddr,
    folder: &Path,
    mut filters: Vec<Value>,
    protocol: Value,
) -> Result<Process> {
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    }));
    let address =
        |address: SocketAddr| json!({"socket_address": {"address": address.ip(), "port_value": address.port()}});
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "service"}});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "http_filters": filters,
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    });
    let listener = json!({
        "name": "bench",
        "address": address(at),
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    });
    // As many as may come: the default of 1024 requests under way is no part of what is measured.
    let cluster = json!({
        "name": "service",
        "type": "STATIC",
        "circuit_breakers": {"thresholds": [{"max_connections": 10_000, "max_pending_requests": 10_000, "max_requests": 10_000}]},
        "load_assignment": {
            "cluster_name": "service",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol,
            },
        },
    });
    let bootstrap = json!({"static_resources": {"listeners": [listener], "clusters": [cluster]}});
    let file = folder.join(format!("{name}.json"));
    fs::write(&file, bootstrap.to_string())?;
    let mut command = Command::new(program);
    command.arg("--config-path").arg(&file).args([
        "--concurrency",
        "1",
        "--log-level",
        "warn",
        "--disable-hot-restart",
    ]);
    Process::start(command, name, at, folder).await
}
