//! permessage-deflate (RFC 7692): which offer of a client is taken.
//!
//! Neither side keeps its dictionary from one message to the next, so that an open socket costs no compression state: that
//! lives in a pool as large as the machine has use for.

use std::sync::LazyLock;

use http::header::{self, HeaderMap, HeaderValue};
use yawc::{DeflatePool, Options};

/// Shorter messages are sent as they are: deflate would not shrink them.
const SMALLEST_COMPRESSED: usize = 512;

/// Compressors and decompressors kept for all sockets together.
const POOL: usize = 32;

/// Turns compression on, for a client that offered it.
pub fn with_compression(options: Options) -> Options {
    static STATE: LazyLock<DeflatePool> = LazyLock::new(|| DeflatePool::new(POOL));
    options
        .with_low_latency_compression()
        .server_no_context_takeover()
        .client_no_context_takeover()
        .with_compression_threshold(SMALLEST_COMPRESSED)
        .with_deflate_pool(STATE.clone())
}

/// Leaves the first offer that can be honoured as the only one. An offer that limits our window is not taken, because
/// ours has one size; the next one, or none, is.
pub fn choose_offer(headers: &mut HeaderMap) {
    let values: Vec<_> = headers
        .get_all(header::SEC_WEBSOCKET_EXTENSIONS)
        .iter()
        .cloned()
        .collect();
    headers.remove(header::SEC_WEBSOCKET_EXTENSIONS);
    let offers = values
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    if let Some(offer) = offers.map(str::trim).find(|offer| can_be_honoured(offer)) {
        headers.extend(
            HeaderValue::from_str(offer)
                .ok()
                .map(|value| (header::SEC_WEBSOCKET_EXTENSIONS, value)),
        );
    }
}

fn can_be_honoured(offer: &str) -> bool {
    let mut parts = offer.split(';').map(str::trim);
    parts.next() == Some("permessage-deflate")
        && parts.all(|parameter| {
            let name = parameter.split('=').next().unwrap_or_default().trim();
            matches!(
                name,
                "client_no_context_takeover" | "server_no_context_takeover" | "client_max_window_bits"
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(offers: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(offer));
        }
        choose_offer(&mut headers);
        headers
            .get(header::SEC_WEBSOCKET_EXTENSIONS)
            .map(|value| value.to_str().expect("text").to_owned())
    }

    #[test]
    fn the_first_offer_that_can_be_honoured_is_taken() {
        assert_eq!(
            chosen(&["permessage-deflate; server_max_window_bits=10, permessage-deflate; client_max_window_bits"]),
            Some("permessage-deflate; client_max_window_bits".into())
        );
        assert_eq!(
            chosen(&["x-webkit-deflate-frame", "permessage-deflate"]),
            Some("permessage-deflate".into())
        );
    }

    #[test]
    fn without_one_there_is_no_compression() {
        assert_eq!(chosen(&[]), None);
        assert_eq!(chosen(&["permessage-deflate; server_max_window_bits=10"]), None);
        assert_eq!(chosen(&["permessage-deflate; unheard_of"]), None);
    }
}
