//! A verdict on a token in the words of 1.6.

use ocpp::timestamp;
use ocpp::v1_6::{AuthorizationStatus as Wire, IdTagInfo};

use crate::authorization::{Authorization, AuthorizationStatus};

/// As long as an idTag, and thus a parentIdTag, may be in 1.6.
const MAX_ID_TAG: usize = 20;

/// A group with a longer name than 1.6 can carry is left out: half a name would be another group.
pub(super) fn id_tag_info(authorization: Authorization) -> IdTagInfo {
    IdTagInfo {
        expiry_date: authorization.expires_at.map(timestamp::to_milliseconds),
        parent_id_tag: authorization
            .group_id
            .filter(|group| group.chars().count() <= MAX_ID_TAG),
        status: match authorization.status {
            AuthorizationStatus::Accepted => Wire::Accepted,
            AuthorizationStatus::Blocked => Wire::Blocked,
            AuthorizationStatus::ConcurrentTx => Wire::ConcurrentTx,
            AuthorizationStatus::Expired => Wire::Expired,
            AuthorizationStatus::Invalid => Wire::Invalid,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_that_does_not_fit_into_1_6_is_left_out_and_not_cut() {
        let info = |group: &str| {
            id_tag_info(Authorization {
                status: AuthorizationStatus::Accepted,
                expires_at: None,
                group_id: Some(group.to_owned()),
            })
        };
        assert_eq!(info(&"g".repeat(20)).parent_id_tag, Some("g".repeat(20)));
        assert_eq!(info(&"g".repeat(21)).parent_id_tag, None);
    }
}
