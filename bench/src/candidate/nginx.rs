//! nginx as a proxy that looks at nothing: about the least that a process in between costs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process::Process;

/// # Errors
/// It does not start.
pub async fn start(program: &Path, at: SocketAddr, upstream: SocketAddr, folder: &Path) -> Result<Process> {
    let folder_name = folder.display();
    let configuration = format!(
        "daemon off;
master_process off;
worker_processes 1;
pid {folder_name}/nginx.pid;
error_log stderr;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {folder_name}/body;
    proxy_temp_path {folder_name}/proxy;
    fastcgi_temp_path {folder_name}/fastcgi;
    uwsgi_temp_path {folder_name}/uwsgi;
    scgi_temp_path {folder_name}/scgi;
    keepalive_requests 1000000000;
    upstream service {{
        server {upstream};
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {at};
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
        }}
    }}
}}
"
    );
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration)?;
    let mut command = Command::new(program);
    command
        .arg("-e")
        .arg("stderr")
        .arg("-p")
        .arg(folder)
        .arg("-c")
        .arg(&file);
    Process::start(command, "nginx", at, folder).await
}
