//! A request's path, cut into decoded segments.

use percent_encoding::percent_decode_str;

/// Why a path cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MalformedPath {
    #[error("The path has a `%` that is not followed by two hexadecimal digits")]
    BadEscape,
    #[error("The path is not UTF-8 once it is decoded")]
    NotUtf8,
}

/// The segments of a path, decoded one by one, so that an encoded slash stays inside its segment.
pub fn segments(path: &str) -> Result<Vec<String>, MalformedPath> {
    path.strip_prefix('/').unwrap_or(path).split('/').map(decode).collect()
}

fn decode(segment: &str) -> Result<String, MalformedPath> {
    if !escapes_are_complete(segment) {
        return Err(MalformedPath::BadEscape);
    }
    percent_decode_str(segment)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| MalformedPath::NotUtf8)
}

/// The decoder leaves an incomplete escape as it stands; a path that has one was built wrongly.
fn escapes_are_complete(segment: &str) -> bool {
    segment.split('%').skip(1).all(|after| {
        let digits = after.as_bytes();
        digits.len() >= 2 && digits[..2].iter().all(u8::is_ascii_hexdigit)
    })
}
