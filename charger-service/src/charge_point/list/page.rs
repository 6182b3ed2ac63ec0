//! Which charge points are asked for, in which order, and from where on.

use serde::{Deserialize, Serialize};
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use voltgate_proto::ocpp::v1::ListChargePointsRequest;

use crate::charge_point::filter::{Asked, Filter};
use crate::charge_point::tags;

/// Which charge points, and how many.
#[derive(Debug)]
pub struct Page {
    pub(super) filter: Filter,
    pub(super) retired: bool,
    /// Groups of sites that the caller may see; None for all.
    pub(super) within: Option<Vec<String>>,
    /// All of these; None for any.
    pub(super) tags: Option<Vec<String>>,
    pub(super) order: Order,
    pub(super) desc: bool,
    pub(super) size: PageSize,
    /// The last one seen; of the same order.
    pub(super) seen: Option<Seen>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Identity,
    DisplayName,
    LastSeenAt,
    CreatedAt,
}

/// By what a charge point stands where it stands in the list, and its identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Seen {
    #[serde(rename = "i")]
    Identity(String),
    /// In lower case.
    #[serde(rename = "n")]
    DisplayName(String, String),
    /// In microseconds since 1970; None where it was never seen.
    #[serde(rename = "s")]
    LastSeenAt(Option<i64>, String),
    #[serde(rename = "c")]
    CreatedAt(i64, String),
}

impl Order {
    const ALL: [Self; 4] = [Self::Identity, Self::DisplayName, Self::LastSeenAt, Self::CreatedAt];

    fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::DisplayName => "displayName",
            Self::LastSeenAt => "lastSeenAt",
            Self::CreatedAt => "createdAt",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|order| order.as_str() == text)
    }
}

impl Seen {
    fn order(&self) -> Order {
        match self {
            Self::Identity(..) => Order::Identity,
            Self::DisplayName(..) => Order::DisplayName,
            Self::LastSeenAt(..) => Order::LastSeenAt,
            Self::CreatedAt(..) => Order::CreatedAt,
        }
    }
}

impl Page {
    /// Only of those that stand at sites in these groups, where there are any.
    pub fn within(self, groups: Option<Vec<String>>) -> Self {
        Self { within: groups, ..self }
    }
}

impl TryFrom<ListChargePointsRequest> for Page {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every field before it refuses.
    fn try_from(request: ListChargePointsRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let page = page::parse(request.page_size, &request.page_token).map_err(|problems| violations.extend(problems));
        let asked = Asked {
            online: request.online,
            registration_status: request.registration_status.as_deref(),
            vendor: request.vendor.as_deref(),
            model: request.model.as_deref(),
            firmware_version: request.firmware_version.as_deref(),
            site_id: request.site_id.as_deref(),
            site_group: request.site_group.as_deref(),
            search: request.search.as_deref(),
        };
        let filter = Filter::parse(&asked, &mut violations);
        let tags = tags::parse_filter(request.tag).map_err(|wrong| violations.extend(wrong));
        let order = request.order_by.as_deref().map_or(Some(Order::Identity), Order::parse);
        if order.is_none() {
            let problem = "must be identity, displayName, lastSeenAt or createdAt";
            violations.push(FieldViolation::new("orderBy", problem));
        }
        match (page, tags, order) {
            (Ok((size, seen)), Ok(tags), Some(order)) if violations.is_empty() => Ok(Self {
                filter,
                retired: request.retired,
                within: None,
                tags: Some(tags).filter(|tags| !tags.is_empty()),
                order,
                desc: request.desc,
                size,
                seen: of_order(seen, order)?,
            }),
            _ => Err(violations),
        }
    }
}

/// Where a page of another order ended, no page of this one begins.
fn of_order(seen: Option<Seen>, order: Order) -> Result<Option<Seen>, Vec<FieldViolation>> {
    match seen {
        Some(seen) if seen.order() != order => {
            let problem = "is not a token that this listing gave out";
            Err(vec![FieldViolation::new("pageToken", problem)])
        }
        seen => Ok(seen),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refused(request: ListChargePointsRequest) -> Vec<String> {
        let violations = Page::try_from(request).unwrap_err();
        violations.into_iter().map(|violation| violation.field).collect()
    }

    #[test]
    fn every_filter_that_is_wrong_is_named_at_once() {
        let wrong = ListChargePointsRequest {
            page_size: 1001,
            registration_status: Some("accepted".to_owned()),
            vendor: Some("\0".to_owned()),
            model: Some("x".repeat(101)),
            firmware_version: Some("\0".to_owned()),
            site_group: Some("x".repeat(101)),
            search: Some("\0".to_owned()),
            tag: vec!["fast".to_owned(), "a b".to_owned()],
            order_by: Some("vendor".to_owned()),
            ..ListChargePointsRequest::default()
        };
        assert_eq!(
            refused(wrong),
            [
                "pageSize",
                "registrationStatus",
                "vendor",
                "model",
                "firmwareVersion",
                "siteGroup",
                "search",
                "tag[1]",
                "orderBy"
            ]
        );
    }

    #[test]
    fn a_page_goes_on_in_the_order_that_the_one_before_had() {
        let size = PageSize::parse(1).unwrap();
        for seen in [
            Seen::Identity("CP1".to_owned()),
            Seen::DisplayName("car park".to_owned(), "CP1".to_owned()),
            Seen::LastSeenAt(None, "CP1".to_owned()),
            Seen::LastSeenAt(Some(1_769_847_300_000_000), "CP1".to_owned()),
            Seen::CreatedAt(-5, "CP1".to_owned()),
        ] {
            let request = |order: Order| ListChargePointsRequest {
                page_token: size.cut(&mut vec![(), ()], |()| seen.clone()),
                order_by: Some(order.as_str().to_owned()),
                ..Default::default()
            };
            assert_eq!(
                Page::try_from(request(seen.order())).unwrap().seen.as_ref(),
                Some(&seen)
            );
            for order in Order::ALL.into_iter().filter(|order| *order != seen.order()) {
                assert_eq!(refused(request(order)), ["pageToken"]);
            }
        }
    }
}
