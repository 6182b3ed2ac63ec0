//! Local lists in the words of OCPP 1.6.

use ocpp::timestamp::to_milliseconds;
use ocpp::v1_6::request::{AuthorizationData, SendLocalListRequest, UpdateType};
use ocpp::v1_6::{AuthorizationStatus, IdTagInfo};
use serde_json::to_string;

use crate::local_list::wanted::Wanted;

/// As long as an idTag may be.
pub const LONGEST_ID_TAG: i32 = 20;

/// What changes a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// The entries take the place of all that were there.
    Full,
    /// The entries are added, changed, or taken off where they have no status.
    Differential,
}

/// The payload of a SendLocalList. `version`: of the list that it leads to, which is never 0 or less (6.41 as its
/// errata have it).
///
/// # Errors
/// It cannot be written as JSON.
pub fn worded(update: Update, version: i32, entries: &[Wanted]) -> Result<String, serde_json::Error> {
    let entries: Vec<_> = entries.iter().map(entry).collect();
    to_string(&SendLocalListRequest {
        list_version: version,
        local_authorization_list: Some(entries).filter(|entries| !entries.is_empty()),
        update_type: match update {
            Update::Full => UpdateType::Full,
            Update::Differential => UpdateType::Differential,
        },
    })
}

fn entry(wanted: &Wanted) -> AuthorizationData {
    let status = wanted.status.as_deref().map(status);
    AuthorizationData {
        id_tag: wanted.id_tag.clone(),
        id_tag_info: status.map(|status| IdTagInfo {
            expiry_date: wanted.expires_at.map(to_milliseconds),
            parent_id_tag: wanted.parent_id_tag.clone(),
            status,
        }),
    }
}

fn status(word: &str) -> AuthorizationStatus {
    match word {
        "Accepted" => AuthorizationStatus::Accepted,
        "Blocked" => AuthorizationStatus::Blocked,
        "Expired" => AuthorizationStatus::Expired,
        _ => AuthorizationStatus::Invalid,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use ocpp::{Message, Version, validate};

    use super::*;

    fn said(update: Update, entries: &[Wanted]) -> String {
        let payload = worded(update, 7, entries).unwrap();
        let raw = serde_json::from_str(&payload).unwrap();
        let violations = validate(Version::V1_6, Message::Request("SendLocalList"), raw);
        assert!(violations.is_empty(), "{payload}: {violations:?}");
        payload
    }

    fn wanted(id_tag: &str, status: Option<&str>) -> Wanted {
        Wanted {
            id_tag: id_tag.to_owned(),
            status: status.map(str::to_owned),
            ..Wanted::default()
        }
    }

    #[test]
    fn an_entry_says_what_a_token_may_and_one_that_goes_says_nothing() {
        let all = Wanted {
            expires_at: Some("2031-12-31T23:59:59.987654Z".parse().unwrap()),
            parent_id_tag: Some("FLEET-7".to_owned()),
            ..wanted("A", Some("Accepted"))
        };
        assert_eq!(
            said(
                Update::Differential,
                &[wanted("B", None), all, wanted("C", Some("Blocked"))]
            ),
            concat!(
                r#"{"listVersion":7,"localAuthorizationList":[{"idTag":"B"},"#,
                r#"{"idTag":"A","idTagInfo":{"expiryDate":"2031-12-31T23:59:59.987Z","parentIdTag":"FLEET-7","status":"Accepted"}},"#,
                r#"{"idTag":"C","idTagInfo":{"status":"Blocked"}}],"updateType":"Differential"}"#
            )
        );
    }

    #[test]
    fn an_empty_list_is_left_out() {
        assert_eq!(said(Update::Full, &[]), r#"{"listVersion":7,"updateType":"Full"}"#);
    }
}
