//! A request's path, cut into segments.

use percent_encoding::percent_decode_str;

/// Why a path cannot be read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MalformedPath {
    #[error("The path has a `%` that is not followed by two hexadecimal digits")]
    BadEscape,
    #[error("The path is not UTF-8 once it is decoded")]
    NotUtf8,
}

/// A path whose segments can be decoded.
#[derive(Clone, Debug)]
pub struct Path<'p>(Vec<Segment<'p>>);

/// What stands between two slashes.
#[derive(Clone, Debug)]
pub struct Segment<'p> {
    encoded: &'p str,
    decoded: String,
}

impl<'p> Path<'p> {
    /// Decodes segment by segment, so that an encoded slash stays inside its segment.
    pub fn parse(path: &'p str) -> Result<Self, MalformedPath> {
        let segments = path.strip_prefix('/').unwrap_or(path).split('/');
        segments.map(Segment::parse).collect::<Result<_, _>>().map(Self)
    }

    /// The path without what follows the last colon of its last segment, and that. An encoded colon is none.
    pub fn split_verb(&self) -> Option<(Self, &'p str)> {
        let (last, before) = self.0.split_last()?;
        let (encoded, verb) = last.encoded.rsplit_once(':')?;
        let mut segments = before.to_vec();
        // A part of what was decoded before.
        segments.push(Segment::parse(encoded).ok()?);
        Some((Self(segments), verb))
    }

    pub fn segments(&self) -> &[Segment<'p>] {
        &self.0
    }
}

impl<'p> Segment<'p> {
    fn parse(encoded: &'p str) -> Result<Self, MalformedPath> {
        decode(encoded).map(|decoded| Self { encoded, decoded })
    }

    pub fn decoded(&self) -> &str {
        &self.decoded
    }

    /// Decoded, but for slashes: what a variable over several segments holds, where a slash has a meaning.
    pub fn decoded_but_slashes(&self) -> String {
        let kept = self.encoded.replace("%2F", "%252F").replace("%2f", "%252f");
        percent_decode_str(&kept).decode_utf8_lossy().into_owned()
    }
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
