//! Charge points on their way into the register, one or many.

use chrono::{DateTime, Utc};
use ocpp::Version;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::identity::Identity;
use crate::audit::{Action, Author, Entry};
use crate::boot::Registration;

/// One that has its id and its credentials, as it is stored.
pub(super) struct Registered {
    pub id: Uuid,
    pub identity: Identity,
    /// The password that was made, to be shown this once.
    pub made: Option<String>,
    pub display_name: String,
    pub registration: Registration,
    pub security_profile: i16,
    pub hash: Option<[u8; 32]>,
    pub has_short_password: bool,
    pub certificate_name: Option<String>,
    pub subprotocol: Option<Version>,
    pub site: Option<Uuid>,
    pub tags: Vec<String>,
}

/// Stores them by one statement.
pub(super) async fn store(
    connection: &mut PgConnection,
    new: &[Registered],
    now: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = new.iter().map(|new| new.id).collect();
    let identities: Vec<_> = new.iter().map(|new| new.identity.as_str()).collect();
    let display_names: Vec<_> = new.iter().map(|new| new.display_name.as_str()).collect();
    let registrations: Vec<_> = new.iter().map(|new| new.registration.as_str()).collect();
    let profiles: Vec<_> = new.iter().map(|new| new.security_profile).collect();
    let hashes: Vec<_> = new
        .iter()
        .map(|new| new.hash.as_ref().map(<[u8; 32]>::as_slice))
        .collect();
    let certificate_names: Vec<_> = new.iter().map(|new| new.certificate_name.as_deref()).collect();
    let subprotocols: Vec<_> = new
        .iter()
        .map(|new| new.subprotocol.map(Version::subprotocol))
        .collect();
    let sites: Vec<_> = new.iter().map(|new| new.site).collect();
    // Lists of several lengths go into no array of arrays.
    let tags: Vec<_> = new.iter().map(|new| json!(new.tags)).collect();
    sqlx::query!(
        "INSERT INTO ocpp.charge_point (id, identity, display_name, registration_status, security_profile,
             password_hash, certificate_name, created_at, subprotocol, site_id, tags)
         SELECT id, identity, display_name, registration_status, security_profile, password_hash, certificate_name, $11,
             subprotocol, site_id, ARRAY(SELECT jsonb_array_elements_text(tags))
         FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::smallint[], $6::bytea[], $7::text[], $8::text[],
             $9::uuid[], $10::jsonb[]) AS new (id, identity, display_name, registration_status, security_profile,
             password_hash, certificate_name, subprotocol, site_id, tags)",
        &ids,
        &identities as &[&str],
        &display_names as &[&str],
        &registrations as &[&str],
        &profiles,
        &hashes as &[Option<&[u8]>],
        &certificate_names as &[Option<&str>],
        &subprotocols as &[Option<&str>],
        &sites as &[Option<Uuid>],
        &tags as &[serde_json::Value],
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What the audit log tells of it.
pub(super) fn entry<'a>(new: &'a Registered, now: DateTime<Utc>, author: &'a Author) -> Entry<'a> {
    Entry::new(Action::ChargePointCreated, now, author)
        .on_charge_point(new.identity.as_str())
        .with("registrationStatus", Some(new.registration.as_str()))
        .with("securityProfile", Some(new.security_profile))
        .with("siteId", new.site.map(|site| site.to_string()))
        .with("certificateName", new.certificate_name.as_deref())
        .with("subprotocol", new.subprotocol.map(Version::subprotocol))
        .with("tags", Some(new.tags.clone()).filter(|tags| !tags.is_empty()))
}
