//! Versions of what people change, so that nobody overwrites what they have not seen. A resource's revision is its entity
//! tag; the gateway makes `ETag` of it, and hands `If-Match` on (RFC 9110, section 13.1.1).

use prost::Message;
use sha2::{Digest, Sha256};
use tonic::{Request, Response, Status};

use crate::entity_tag::{EntityTag, Tags};
use crate::reason::Reason;

/// Bytes of a digest that are enough to tell two reports apart.
const DIGEST: usize = 8;

/// A resource and the version that it is in.
#[derive(Debug)]
pub struct Versioned<T> {
    pub resource: T,
    tag: EntityTag,
}

impl<T: Message> Versioned<T> {
    /// A resource that changes by its revision only.
    pub fn new(resource: T, revision: i64) -> Self {
        Self {
            resource,
            tag: EntityTag::strong(revision.to_string()),
        }
    }

    /// A resource that also shows what a station reports. A reader wants to know of every report; a writer is concerned by
    /// what other writers did. So the tag has both, `"<revision>.<digest>"`, and [`IfMatch`] looks at the first alone.
    pub fn with_reports(resource: T, revision: i64) -> Self {
        let digest = Sha256::digest(resource.encode_to_vec());
        let digest: String = digest.iter().take(DIGEST).map(|byte| format!("{byte:02x}")).collect();
        Self {
            resource,
            tag: EntityTag::strong(format!("{revision}.{digest}")),
        }
    }
}

impl<T> From<Versioned<T>> for Response<T> {
    fn from(versioned: Versioned<T>) -> Self {
        let mut response = Response::new(versioned.resource);
        // A number and hexadecimal digits are always metadata.
        if let Ok(tag) = versioned.tag.to_string().parse() {
            response.metadata_mut().insert("etag", tag);
        }
        response
    }
}

/// The revisions that a change may be made to; any where the caller does not say.
#[derive(Debug, Eq, PartialEq)]
pub struct IfMatch(Option<Vec<i64>>);

impl IfMatch {
    /// # Errors
    /// The metadata `if-match` cannot be read.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let values: Vec<_> = request.metadata().get_all("if-match").iter().collect();
        if values.is_empty() {
            return Ok(Self(None));
        }
        let texts: Result<Vec<_>, _> = values.into_iter().map(|value| value.to_str()).collect();
        let texts = texts.unwrap_or_default().join(",");
        let tags: Tags = texts
            .parse()
            .map_err(|malformed| Reason::InvalidRequest.status(format!("If-Match {malformed}")))?;
        Ok(Self::from(tags))
    }

    /// For a query: null, or those of which the row's must be one.
    pub fn revisions(&self) -> Option<&[i64]> {
        self.0.as_deref()
    }
}

impl From<Tags> for IfMatch {
    fn from(tags: Tags) -> Self {
        match tags {
            Tags::Any => Self(None),
            Tags::OneOf(tags) => Self(Some(tags.iter().filter_map(revision).collect())),
        }
    }
}

/// A tag that is weak or none of ours matches nothing.
fn revision(tag: &EntityTag) -> Option<i64> {
    let strong = (!tag.weak).then_some(tag.opaque.as_str())?;
    strong.split('.').next()?.parse().ok()
}

/// How callers are told that a change would overwrite another.
pub fn changed() -> Status {
    Reason::PreconditionFailed.status("It is not in the version that If-Match names; read it again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revisions(header: &str) -> Option<Vec<i64>> {
        IfMatch::from(header.parse::<Tags>().expect("tags")).0
    }

    #[test]
    fn a_tag_stands_for_its_revision() {
        assert_eq!(revisions("\"7\", \"8.0123456789abcdef\""), Some(vec![7, 8]));
        assert_eq!(revisions("*"), None);
    }

    #[test]
    fn a_weak_or_foreign_tag_matches_nothing() {
        assert_eq!(revisions("W/\"7\", \"abc\", \"\""), Some(vec![]));
    }
}
