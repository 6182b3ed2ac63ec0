//! Entity tags (RFC 9110, sections 8.8.3 and 13.1), in one place for all endpoints: a service says which version of a
//! resource it answers with, as `etag` in the metadata, and nothing more.
//!
//! A compressed body is another representation, so it has another tag: `"7"` becomes `"7-gzip"`. Whichever of them a client
//! holds is good for `If-Match`, which the service gets to see with the tag it gave. `If-None-Match` is answered here, with
//! 304 where the client has what it would get.

use axum::extract::Request;
use axum::response::Response;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use service_kit::entity_tag::{EntityTag, Tags};

use crate::edge::no_body;

/// What our compression is called, in `Content-Encoding` and at the end of a tag.
const ENCODINGS: [&str; 3] = ["br", "gzip", "zstd"];

/// Headers that describe a body, which a 304 has not (RFC 9110, section 15.4.5).
const OF_BODY: [HeaderName; 3] = [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING];

/// What a client holds already.
pub struct Held {
    reads: bool,
    tags: Option<Tags>,
}

impl Held {
    /// As its request says. What it says to the service of tags is from now on said with the service's own.
    pub fn read(request: &mut Request) -> Self {
        if let Some(tags) = tags(request.headers(), &header::IF_MATCH)
            && let Ok(value) = HeaderValue::from_str(&as_given(tags).to_string())
        {
            request.headers_mut().insert(header::IF_MATCH, value);
        }
        Self {
            reads: matches!(*request.method(), Method::GET | Method::HEAD),
            tags: tags(request.headers(), &header::IF_NONE_MATCH),
        }
    }

    /// The answer, once it is compressed: with the tag of what goes out, or without what need not be sent.
    pub fn answer(self, response: Response) -> Response {
        if !self.reads || response.status() != StatusCode::OK {
            return response;
        }
        let Some(given) = given(response.headers()) else {
            return response;
        };
        let current = with_encoding(&given, response.headers());
        match self.tags.and_then(|held| still_good(held, &given, &current)) {
            Some(held) => not_modified(response, &held),
            None => tagged(response, &current),
        }
    }
}

/// The tags that a header lists. One that cannot be read is left to the service, or says nothing.
fn tags(headers: &HeaderMap, name: &HeaderName) -> Option<Tags> {
    let values: Result<Vec<_>, _> = headers.get_all(name).iter().map(HeaderValue::to_str).collect();
    values.ok()?.join(",").parse().ok()
}

/// The tag that the service gave.
fn given(headers: &HeaderMap) -> Option<EntityTag> {
    headers.get(header::ETAG)?.to_str().ok()?.parse().ok()
}

/// The tag of the representation that goes out.
fn with_encoding(given: &EntityTag, headers: &HeaderMap) -> EntityTag {
    let encoding = headers.get(header::CONTENT_ENCODING);
    let ours = encoding.and_then(|encoding| ENCODINGS.into_iter().find(|ours| encoding == ours));
    match ours {
        Some(encoding) if !given.weak => EntityTag::strong(format!("{}-{encoding}", given.opaque)),
        _ => given.clone(),
    }
}

/// The tags as the service gave them.
fn as_given(tags: Tags) -> Tags {
    match tags {
        Tags::Any => Tags::Any,
        Tags::OneOf(tags) => Tags::OneOf(tags.into_iter().map(without_encoding).collect()),
    }
}

fn without_encoding(tag: EntityTag) -> EntityTag {
    let plain = ENCODINGS
        .into_iter()
        .find_map(|encoding| tag.opaque.strip_suffix(encoding)?.strip_suffix('-'));
    match plain {
        Some(plain) => EntityTag {
            weak: tag.weak,
            opaque: plain.to_owned(),
        },
        None => tag,
    }
}

/// The tag of what the client holds, where that is what there is now.
fn still_good(held: Tags, given: &EntityTag, current: &EntityTag) -> Option<EntityTag> {
    match held {
        Tags::Any => Some(current.clone()),
        Tags::OneOf(tags) => {
            let good = tags
                .into_iter()
                .find(|tag| without_encoding(tag.clone()).weakly_equals(given))?;
            Some(EntityTag {
                weak: given.weak,
                ..good
            })
        }
    }
}

fn tagged(mut response: Response, tag: &EntityTag) -> Response {
    if let Ok(value) = HeaderValue::from_str(&tag.to_string()) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

fn not_modified(response: Response, held: &EntityTag) -> Response {
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    for name in OF_BODY {
        parts.headers.remove(name);
    }
    tagged(Response::from_parts(parts, no_body()), held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(held: &str, given: &str, encoding: Option<&'static str>) -> Option<String> {
        let given: EntityTag = given.parse().expect("a tag");
        let mut headers = HeaderMap::new();
        headers.extend(encoding.map(|name| (header::CONTENT_ENCODING, HeaderValue::from_static(name))));
        let current = with_encoding(&given, &headers);
        still_good(held.parse().expect("tags"), &given, &current).map(|tag| tag.to_string())
    }

    #[test]
    fn whichever_encoding_a_client_holds_its_tag_is_good_until_the_version_changes() {
        let good_as = |tag: &str| Some(tag.to_owned());
        assert_eq!(good("\"6\", \"7\"", "\"7\"", Some("gzip")), good_as("\"7\""));
        assert_eq!(good("\"7-br\"", "\"7\"", None), good_as("\"7-br\""));
        assert_eq!(good("W/\"7\"", "\"7\"", None), good_as("\"7\""));
        assert_eq!(good("*", "\"7\"", Some("zstd")), good_as("\"7-zstd\""));
        assert_eq!(good("\"6-gzip\"", "\"7\"", Some("gzip")), None);
    }

    #[test]
    fn the_service_sees_the_tags_that_it_gave() {
        let tags = "\"7-gzip\", W/\"8-br\", \"9\", \"10-deflate\"".parse().expect("tags");
        assert_eq!(as_given(tags).to_string(), "\"7\", W/\"8\", \"9\", \"10-deflate\"");
    }
}
