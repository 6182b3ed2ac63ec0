//! Media types: of a request's body, and those that a client takes as an answer.

use http::HeaderMap;
use http::header;

pub const JSON: &str = "application/json";
pub const EVENTS: &str = "text/event-stream";
pub const LINES: &str = "application/x-ndjson";
pub const CSV: &str = "text/csv";

/// Type and subtype of a `Content-Type`, without its parameters. Nothing where it is not of that form.
pub fn essence(content_type: &str) -> Option<&str> {
    let essence = content_type.split(';').next()?.trim();
    let (kind, subtype) = essence.split_once('/')?;
    (is_token(kind) && is_token(subtype)).then_some(essence)
}

/// Whether a `Content-Type` is the media type `wanted`. JSON is only taken in UTF-8, the one encoding that it has (RFC 8259,
/// section 8.1).
pub fn is(content_type: &str, wanted: &str) -> bool {
    let same = essence(content_type).is_some_and(|essence| essence.eq_ignore_ascii_case(wanted));
    same && (!wanted.eq_ignore_ascii_case(JSON) || is_utf8(content_type))
}

fn is_utf8(content_type: &str) -> bool {
    let mut parameters = content_type.split(';').skip(1).filter_map(|part| part.split_once('='));
    parameters.all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    })
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let in_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(in_token)
}

/// What a client takes (RFC 9110, section 12.5.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Accept {
    ranges: Vec<Range>,
    /// There was no header, or an empty one.
    anything: bool,
}

/// `text/*;q=0.5`
#[derive(Clone, Debug, Eq, PartialEq)]
struct Range {
    kind: String,
    subtype: String,
    /// In thousandths.
    quality: u16,
}

impl Accept {
    /// Reads every `Accept` header. A range that cannot be read is as good as none.
    pub fn of(headers: &HeaderMap) -> Self {
        let values: Vec<_> = headers.get_all(header::ACCEPT).iter().collect();
        let texts = values.iter().filter_map(|value| value.to_str().ok());
        let ranges = texts
            .flat_map(|text| text.split(','))
            .filter_map(Range::parse)
            .collect();
        Self {
            ranges,
            anything: values.iter().all(|value| value.as_bytes().trim_ascii().is_empty()),
        }
    }

    /// The one of `offered` that the client likes best, the first of equals. Nothing where it takes none.
    pub fn choose<'o>(&self, offered: &[&'o str]) -> Option<&'o str> {
        let mut best: Option<(&'o str, u16)> = None;
        for &offer in offered {
            let quality = self.quality(offer);
            if quality > best.map_or(0, |(_, quality)| quality) {
                best = Some((offer, quality));
            }
        }
        best.map(|(offer, _)| offer)
    }

    /// The most specific range decides.
    fn quality(&self, offer: &str) -> u16 {
        if self.anything {
            return 1000;
        }
        let (kind, subtype) = offer.split_once('/').unwrap_or((offer, ""));
        let matching = self.ranges.iter().filter(|range| range.covers(kind, subtype));
        matching
            .max_by_key(|range| range.precision())
            .map_or(0, |range| range.quality)
    }
}

impl Range {
    fn parse(text: &str) -> Option<Self> {
        let (kind, subtype) = essence(text)?.split_once('/')?;
        if kind == "*" && subtype != "*" {
            return None;
        }
        let mut parameters = text.split(';').skip(1).filter_map(|part| part.split_once('='));
        let weight = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
        Some(Self {
            kind: kind.to_ascii_lowercase(),
            subtype: subtype.to_ascii_lowercase(),
            quality: weight.map_or(Some(1000), |(_, weight)| thousandths(weight.trim()))?,
        })
    }

    fn covers(&self, kind: &str, subtype: &str) -> bool {
        (self.kind == "*" || self.kind == kind) && (self.subtype == "*" || self.subtype == subtype)
    }

    fn precision(&self) -> usize {
        usize::from(self.kind != "*") + usize::from(self.subtype != "*")
    }
}

/// `0`, `1` or a fraction with up to three digits (RFC 9110, section 12.4.2).
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn json_may_name_its_charset_if_it_is_utf8() {
        for yes in [
            "application/json",
            "Application/JSON; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
        ] {
            assert!(is(yes, JSON), "{yes}");
        }
        for no in [
            "",
            "text/json",
            "application/json; charset=latin1",
            "application/x-www-form-urlencoded",
        ] {
            assert!(!is(no, JSON), "{no}");
        }
        assert!(is("text/csv; charset=latin1", "text/csv"));
    }

    fn chosen(accept: Option<&'static str>) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        if let Some(accept) = accept {
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        }
        Accept::of(&headers).choose(&[LINES, EVENTS])
    }

    #[test]
    fn the_client_chooses_and_the_first_of_equals_wins() {
        for accept in [
            None,
            Some(""),
            Some("*/*"),
            Some("application/*"),
            Some("text/event-stream, application/x-ndjson"),
        ] {
            assert_eq!(chosen(accept), Some(LINES), "{accept:?}");
        }
        for accept in [
            "text/event-stream",
            "Text/*",
            "application/x-ndjson;q=0.5, text/event-stream;q=0.501",
            "*/*, application/x-ndjson;q=0",
        ] {
            assert_eq!(chosen(Some(accept)), Some(EVENTS), "{accept:?}");
        }
    }

    #[test]
    fn what_no_range_covers_cannot_be_met() {
        for accept in [
            "application/json",
            "*/*;q=0",
            "nonsense",
            "*/json",
            "text/event-stream;q=2",
            "text/event-stream;q=x",
        ] {
            assert_eq!(chosen(Some(accept)), None, "{accept}");
        }
    }

    #[test]
    fn several_headers_are_one_list() {
        let mut headers = HeaderMap::new();
        headers.append(header::ACCEPT, HeaderValue::from_static("image/png"));
        headers.append(header::ACCEPT, HeaderValue::from_static("application/json"));
        assert_eq!(Accept::of(&headers).choose(&[JSON]), Some(JSON));
    }
}
