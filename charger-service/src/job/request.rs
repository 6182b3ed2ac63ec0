//! A command that begins a job leaves for its charge point.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Kind;

#[derive(Debug)]
pub struct Requested<'a> {
    pub charge_point: Uuid,
    pub command: Uuid,
    pub kind: Kind,
    /// By which notifications find it, where they say one.
    pub request_id: Option<i32>,
    /// A URL.
    pub location: &'a str,
    pub at: DateTime<Utc>,
}

pub async fn requested(connection: &mut PgConnection, requested: &Requested<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO ocpp.job (id, charge_point_id, kind, command_id, location, status, created_at, updated_at,
             request_id)
         VALUES ($1, $2, $3, $4, $5, 'requested', $6, $6, $7)",
        Uuid::now_v7(),
        requested.charge_point,
        requested.kind.as_str(),
        requested.command,
        without_credentials(requested.location),
        requested.at,
        requested.request_id,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stations fetch files by FTP too, where user and password are part of the URL.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((credentials, _)) => format!("{scheme}://***{}", &rest[credentials.len()..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_location_are_hidden_and_nothing_else() {
        for (url, shown) in [
            ("ftp://user:pass@example.com/f.bin", "ftp://***@example.com/f.bin"),
            ("ftp://us@er:p@ss@example.com", "ftp://***@example.com"),
            ("https://example.com/a@b?c=@", "https://example.com/a@b?c=@"),
            ("https://example.com?c=@", "https://example.com?c=@"),
            ("somewhere", "somewhere"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}
