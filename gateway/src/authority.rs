//! For which host a request is. HTTP/1.1 says it once (RFC 9112, section 3.2), and where it is said twice, in the target and in `Host`,
//! both say the same. Whoever stands before the gateway may have gone by the other one.

use axum::extract::Request;
use axum::response::Response;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::Authority;
use http::{Method, Uri, Version};
use service_kit::reason::Reason;

use crate::admission;
use crate::edge::no_body;
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::request_id::RequestId;

/// What in a request leaves it open.
pub fn objection(request: &Request) -> Option<&'static str> {
    problem(request.version(), request.uri(), request.headers())
}

/// Refuses such a request, and counts it. Its connection ends: who knows what comes next over it.
pub async fn refuse(gateway: &Gateway, request: Request, objection: &'static str) -> Response {
    let id = request.extensions().get::<RequestId>().cloned().unwrap_or_default();
    let status = match admission::nothing_here(gateway, &request).await {
        Ok(standing) => standing.with(Reason::InvalidRequest.status(objection)),
        Err(status) => status,
    };
    let mut response = Problem::from(status).render(&id);
    if request.method() == Method::HEAD {
        *response.body_mut() = no_body();
    }
    if request.version() < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    response
}

fn problem(version: Version, target: &Uri, headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (_, Some(_)) => return Some("There is more than one Host header"),
        (None, None) if version == Version::HTTP_11 => return Some("There is no Host header"),
        (None, None) => return None,
        (Some(host), None) => host,
    };
    // One that is empty is allowed where there is no name.
    if host.is_empty() && target.authority().is_none() {
        return None;
    }
    let Some(host) = read(host) else {
        return Some("The Host header names no host");
    };
    match target.authority() {
        Some(named) if !is_same(named, &host, target.scheme_str()) => {
            Some("The target and the Host header name two hosts")
        }
        Some(_) | None => None,
    }
}

fn read(host: &HeaderValue) -> Option<Authority> {
    let host: Authority = host.to_str().ok()?.parse().ok()?;
    (!host.as_str().contains('@')).then_some(host)
}

fn is_same(named: &Authority, host: &Authority, scheme: Option<&str>) -> bool {
    let usual = if scheme == Some("https") { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    named.host().eq_ignore_ascii_case(host.host()) && port(named) == port(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: Version, target: &'static str, hosts: &[&'static str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_static(host));
        }
        problem(version, &Uri::from_static(target), &headers)
    }

    #[test]
    fn a_host_is_named_once() {
        for (version, target, hosts) in [
            (Version::HTTP_11, "/", &["x"][..]),
            (Version::HTTP_11, "/", &["x:8080"]),
            (Version::HTTP_11, "/", &["[::1]:8080"]),
            (Version::HTTP_11, "/", &[""]),
            (Version::HTTP_11, "http://X/", &["x:80"]),
            (Version::HTTP_11, "*", &["x"]),
            (Version::HTTP_10, "/", &[]),
            (Version::HTTP_2, "https://x/", &[]),
            (Version::HTTP_2, "https://x/", &["x:443"]),
        ] {
            assert_eq!(told(version, target, hosts), None, "{version:?} {target} {hosts:?}");
        }
        for (version, target, hosts) in [
            (Version::HTTP_11, "/", &[][..]),
            (Version::HTTP_11, "/", &["x", "x"]),
            (Version::HTTP_10, "/", &["x", "y"]),
            (Version::HTTP_11, "/", &["x, y"]),
            (Version::HTTP_11, "/", &["x y"]),
            (Version::HTTP_11, "/", &["x/y"]),
            (Version::HTTP_11, "/", &["a@x"]),
            (Version::HTTP_11, "http://x/", &["y"]),
            (Version::HTTP_11, "http://x/", &["x:8080"]),
            (Version::HTTP_11, "http://x/", &[""]),
            (Version::HTTP_2, "https://x/", &["y"]),
        ] {
            assert!(told(version, target, hosts).is_some(), "{version:?} {target} {hosts:?}");
        }
    }
}
