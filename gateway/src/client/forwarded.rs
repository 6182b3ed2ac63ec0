//! What proxies say of the way that a request has come: `X-Forwarded-For`, and `Forwarded` (RFC 7239).

use std::net::{IpAddr, Ipv6Addr};

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The entries of a header in its order, the nearest last; none in the place of one that is no address.
#[derive(Debug, Eq, PartialEq)]
pub struct Hops(Vec<Option<IpAddr>>);

impl Hops {
    pub fn nearest_first(self) -> impl Iterator<Item = Option<IpAddr>> {
        self.0.into_iter().rev()
    }
}

/// Nothing where there is no such header.
pub fn x_forwarded_for(headers: &HeaderMap) -> Option<Hops> {
    hops(headers, X_FORWARDED_FOR, |line| line.split(',').map(address).collect())
}

/// Nothing where there is no such header.
pub fn forwarded(headers: &HeaderMap) -> Option<Hops> {
    hops(headers, header::FORWARDED, |line| {
        split(line, ',').into_iter().map(node).collect()
    })
}

/// A header that comes in several lines means the same as one with commas between them.
fn hops(headers: &HeaderMap, name: HeaderName, read: impl Fn(&str) -> Vec<Option<IpAddr>>) -> Option<Hops> {
    headers.contains_key(&name).then(|| {
        let lines = headers.get_all(name).into_iter();
        // What is no text makes an entry that is no address, and leaves those beside it alone.
        let read = |line: &HeaderValue| read(&String::from_utf8_lossy(line.as_bytes()));
        Hops(lines.flat_map(read).collect())
    })
}

/// The address in the one `for` of an element such as `for="[2001:db8::1]:4711";proto=https`.
fn node(element: &str) -> Option<IpAddr> {
    let mut found = None;
    for pair in split(element, ';') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        if name.trim().eq_ignore_ascii_case("for") && found.replace(value.trim()).is_some() {
            return None;
        }
    }
    let value = found?;
    // No address needs an escaped character.
    let inside = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    address(inside.unwrap_or(value))
}

/// What stands between separators that are in no quoted string, in its order. Read from the right, where the proxies wrote:
/// a quotation mark that a stranger left open must not swallow what they added.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut end, mut quoted) = (text.len(), false);
    for (at, character) in text.char_indices().rev() {
        if character == '"' {
            quoted = !quoted;
        } else if character == separator && !quoted {
            parts.push(&text[at + character.len_utf8()..end]);
            end = at;
        }
    }
    parts.push(&text[..end]);
    parts.reverse();
    parts
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port_is_one = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        let address: Ipv6Addr = address.parse().ok().filter(|_| port_is_one)?;
        return Some(IpAddr::V6(address).to_canonical());
    }
    let without_port = match text.split_once(':') {
        Some((address, port)) if is_port(port) => address,
        Some(_) | None => text,
    };
    without_port.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// A number, or a name in its place (RFC 7239, section 6).
fn is_port(text: &str) -> bool {
    let is_name = text.starts_with('_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    is_name
        || text
            .parse::<u16>()
            .is_ok_and(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}
