//! Whom a charge point lets charge without asking.

use serde_json::{Value, json};
use testbed::Database;
use voltgate_proto::ocpp::v1::LocalList;

use crate::state::connected;

/// Desired and reported version, that of the entries, whether they differ, and the entries.
fn shown(list: &LocalList) -> Value {
    let entries: Vec<_> = list
        .entries
        .iter()
        .map(|entry| json!([entry.id_tag, entry.status, entry.parent_id_tag]))
        .collect();
    json!([
        list.desired_version,
        list.reported_version,
        list.entries_version,
        list.drift,
        entries
    ])
}

#[tokio::test]
async fn a_list_is_what_the_charge_point_accepted() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    assert_eq!(shown(&service.local_list().await), json!([null, null, null, false, []]));
    let mut send = async |version: i32, kind: &str, entries: Value, answer: &str| {
        let mut list = json!({"listVersion": version, "updateType": kind});
        if entries != json!([]) {
            list["localAuthorizationList"] = entries;
        }
        service
            .exchange(&mut station, "SendLocalList", list, json!({"status": answer}))
            .await;
        service.local_list().await
    };
    let entry = |tag: &str, status: &str| json!({"idTag": tag, "idTagInfo": {"status": status}});
    let full = json!([entry("A", "Accepted"), entry("B", "Blocked"),
        {"idTag": "C", "idTagInfo": {"status": "Accepted", "parentIdTag": "P", "expiryDate": "2030-01-01T00:00:00Z"}}]);
    let list = send(1, "Full", full, "Accepted").await;
    assert_eq!(
        shown(&list),
        json!([
            1,
            1,
            1,
            false,
            [["A", "Accepted", null], ["B", "Blocked", null], ["C", "Accepted", "P"]]
        ])
    );
    assert!(list.entries[2].expires_at.is_some());

    // Adds one, changes one, takes one off.
    let changes = json!([entry("D", "Accepted"), entry("b", "Accepted"), {"idTag": "a"}]);
    let list = send(2, "Differential", changes, "Accepted").await;
    let after = json!([["b", "Accepted", null], ["C", "Accepted", "P"], ["D", "Accepted", null]]);
    assert_eq!(shown(&list), json!([2, 2, 2, false, after]));

    for refusal in ["VersionMismatch", "Failed", "NotSupported"] {
        let list = send(9, "Differential", json!([entry("E", "Accepted")]), refusal).await;
        assert_eq!(shown(&list), json!([9, 2, 2, true, after]));
        assert_eq!(list.desired_status.as_deref(), Some(refusal));
    }

    let list = send(10, "Full", json!([]), "Accepted").await;
    assert_eq!(shown(&list), json!([10, 10, 10, false, []]));
}

#[tokio::test]
async fn the_version_that_a_charge_point_tells_shows_whether_its_list_is_ours() {
    let database = Database::create().await;
    let (service, mut station) = connected(&database).await;
    let list = json!({"listVersion": 5, "updateType": "Full",
        "localAuthorizationList": [{"idTag": "A", "idTagInfo": {"status": "Accepted"}}]});
    service
        .exchange(&mut station, "SendLocalList", list, json!({"status": "Accepted"}))
        .await;
    for (version, expected) in [
        (5, json!([5, 5, 5, false, [["A", "Accepted", null]]])),
        (7, json!([5, 7, 5, true, [["A", "Accepted", null]]])),
        (0, json!([5, 0, 0, true, []])),
        (-1, json!([5, -1, -1, true, []])),
    ] {
        let answer = json!({"listVersion": version});
        service
            .exchange(&mut station, "GetLocalListVersion", json!({}), answer)
            .await;
        assert_eq!(shown(&service.local_list().await), expected);
    }
}
