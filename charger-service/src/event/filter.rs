//! Which events a listener wants.

use std::collections::HashSet;

use service_kit::reason::FieldViolation;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::StreamEventsRequest;

use super::Kind;
use super::page::Happened;

/// All of what is said has to be so. Of the kinds any will do, and all where none is named.
#[derive(Debug)]
pub struct Filter {
    site: Option<Uuid>,
    identity: Option<String>,
    kinds: Vec<Kind>,
    /// The only sites that the listener may hear of; none for one who may hear of all.
    within: Option<HashSet<Uuid>>,
}

impl Filter {
    /// Only what happens at these sites.
    pub fn within(self, sites: Option<HashSet<Uuid>>) -> Self {
        Self { within: sites, ..self }
    }

    pub fn is_limited(&self) -> bool {
        self.within.is_some()
    }

    pub fn wants(&self, happened: &Happened) -> bool {
        let event = &happened.event;
        let is_within = match (&self.within, happened.site) {
            (None, _) => true,
            (Some(sites), Some(site)) => sites.contains(&site),
            (Some(_), None) => false,
        };
        is_within
            && self.site.is_none_or(|site| happened.site == Some(site))
            && self
                .identity
                .as_ref()
                .is_none_or(|identity| event.identity.as_ref() == Some(identity))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind.as_str() == event.r#type))
    }
}

impl TryFrom<StreamEventsRequest> for Filter {
    type Error = Vec<FieldViolation>;

    fn try_from(request: StreamEventsRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let site = request.site_id.as_deref().map(Uuid::try_parse);
        if matches!(site, Some(Err(_))) {
            violations.push(FieldViolation::new("siteId", "is not a UUID"));
        }
        let mut kinds = Vec::new();
        for (index, told) in request.r#type.iter().enumerate() {
            match Kind::parse(told) {
                // Each once, however often it is named.
                Some(kind) if !kinds.contains(&kind) => kinds.push(kind),
                Some(_) => {}
                None => violations.push(FieldViolation::new(format!("type[{index}]"), "is not a type of event")),
            }
        }
        if !violations.is_empty() {
            return Err(violations);
        }
        Ok(Self {
            site: site.and_then(Result::ok),
            identity: request.identity,
            kinds,
            within: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_filter_that_is_wrong_is_named_at_once() {
        let wrong = StreamEventsRequest {
            site_id: Some("harbour".to_owned()),
            identity: None,
            r#type: vec!["job.status".to_owned(), "job.*".to_owned(), "events.mark".to_owned()],
        };
        let violations = Filter::try_from(wrong).expect_err("all are wrong");
        let fields: Vec<_> = violations.into_iter().map(|violation| violation.field).collect();
        assert_eq!(fields, ["siteId", "type[1]", "type[2]"]);
    }
}
