//! Which answers are compressed, for clients that say they can read that: gzip, Brotli or Zstandard.

use http::header::{self, HeaderMap};
use http::{Extensions, StatusCode, Version};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// Smaller bodies are not worth it: one packet they are anyway. In bytes.
const SMALLEST: u64 = 1024;

/// Compresses what gains from it and can be told whole. Event streams would wait for a block to fill.
pub fn layer() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().compress_when(
        SizeAbove::new(SMALLEST)
            .and(NotForContentType::IMAGES)
            .and(NotForContentType::SSE)
            .and(NotForContentType::const_new("application/json-seq"))
            .and(NotForContentType::const_new("application/x-ndjson"))
            .and(NotForContentType::const_new("application/zip"))
            .and(NotForContentType::const_new("font/"))
            .and(has_body)
            .and(holds_no_secret),
    )
}

fn has_body(status: StatusCode, _: Version, _: &HeaderMap, _: &Extensions) -> bool {
    !status.is_informational() && status != StatusCode::NO_CONTENT
}

/// The length of a compressed answer tells of what is in it, so those with tokens stay as they are.
fn holds_no_secret(_: StatusCode, _: Version, headers: &HeaderMap, _: &Extensions) -> bool {
    let directives = headers.get_all(header::CACHE_CONTROL).iter();
    !directives
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-store"))
}
