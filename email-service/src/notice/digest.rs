//! Makes one mail of what has waited for long enough, for each subscription in a transaction of its own: what was noted goes, and the
//! message is there.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::Kind;
use crate::message::{self, Draft};
use crate::template::Template;

/// So many charge points a mail names; of the others it tells how many there are.
const MOST_NAMED: usize = 50;

/// What waits is taken so much at a time; more than that makes another mail.
const AT_ONCE: i64 = 10_000;

/// Sends what is due.
pub(crate) async fn send_due(database: &PgPool, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    while send_one(database, now).await? {}
    Ok(())
}

/// Whether there was one.
///
/// The lock on it is none on its key, for whoever notes something for the subscription has the key locked, and would have it passed over.
async fn send_one(database: &PgPool, now: DateTime<Utc>) -> Result<bool, sqlx::Error> {
    let mut transaction = database.begin().await?;
    let due = sqlx::query!(
        r#"SELECT id, account_id, name, token FROM email.notice_subscription
           WHERE EXISTS (
               SELECT FROM email.notice
               WHERE subscription_id = notice_subscription.id AND noted_at <= $1::timestamptz - make_interval(secs => digest_seconds))
           ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED"#,
        now,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(due) = due else { return Ok(false) };
    let notices = take(&mut transaction, due.id).await?;
    if notices.is_empty() {
        // Another replica took them after this one had begun to look, and before it had the row.
        return Ok(true);
    }
    let draft = Draft {
        template: Template::Notices,
        recipient: String::new(),
        language: None,
        variables: variables(&due.name, due.token, &notices),
        account_id: Some(due.account_id),
        expires_at: None,
    };
    message::queue(&mut transaction, None, &draft, now).await?;
    transaction.commit().await?;
    tracing::info!(
        subscription = due.name,
        notices = notices.len(),
        "A digest of notices is queued"
    );
    Ok(true)
}

struct Notice {
    kind: String,
    identity: String,
    site_name: String,
    connector_id: Option<i32>,
    details: Option<String>,
    at: DateTime<Utc>,
}

async fn take(connection: &mut PgConnection, subscription: Uuid) -> Result<Vec<Notice>, sqlx::Error> {
    let mut notices = sqlx::query_as!(
        Notice,
        "DELETE FROM email.notice WHERE id IN (
             SELECT id FROM email.notice WHERE subscription_id = $1 ORDER BY noted_at LIMIT $2)
         RETURNING kind, identity, site_name, connector_id, details, at",
        subscription,
        AT_ONCE,
    )
    .fetch_all(connection)
    .await?;
    notices.sort_by(|one, other| (one.at, &one.identity).cmp(&(other.at, &other.identity)));
    Ok(notices)
}

/// In parts by kind, each with its first ones by name.
fn variables(name: &str, token: Uuid, notices: &[Notice]) -> Value {
    let parts: Vec<_> = Kind::ALL
        .into_iter()
        .filter_map(|kind| {
            let of_kind: Vec<_> = notices.iter().filter(|notice| notice.kind == kind.as_str()).collect();
            let named = of_kind.iter().take(MOST_NAMED).map(|notice| {
                json!({
                    "identity": notice.identity,
                    "site": Some(&notice.site_name).filter(|name| !name.is_empty()),
                    "connector": notice.connector_id,
                    "details": notice.details,
                    "at": notice.at.to_rfc3339_opts(SecondsFormat::Secs, true),
                })
            });
            let named: Vec<_> = named.collect();
            (!of_kind.is_empty()).then(|| {
                json!({
                    "kind": kind.as_str(),
                    "count": of_kind.len(),
                    "more": of_kind.len() - named.len(),
                    "named": named,
                })
            })
        })
        .collect();
    json!({ "subscription": name, "unsubscribe": token, "count": notices.len(), "parts": parts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_are_counted_and_some_are_named() {
        let notices: Vec<_> = (0..500)
            .map(|number| Notice {
                kind: "offline".to_owned(),
                identity: format!("CP-{number:03}"),
                site_name: String::new(),
                connector_id: None,
                details: None,
                at: DateTime::UNIX_EPOCH,
            })
            .collect();
        let told = variables("all", Uuid::nil(), &notices);
        assert_eq!(
            (&told["count"], told["parts"].as_array().map(Vec::len)),
            (&json!(500), Some(1))
        );
        let part = &told["parts"][0];
        assert_eq!((&part["count"], &part["more"]), (&json!(500), &json!(450)));
        assert_eq!(part["named"][49]["identity"], "CP-049");
    }
}
