//! For whom a certificate was issued here, or sent from here by hand.

use sqlx::PgPool;
use uuid::Uuid;
use x509_parser::pem::Pem;

use super::details::Details;

/// More certificates of one serial number there are not: those that are issued here have random ones.
const MOST: i64 = 100;

/// For whom a certificate was issued.
#[derive(Debug)]
pub struct Issued {
    pub charge_point: Uuid,
    /// That charge point has another device since.
    pub is_void: bool,
}

/// The charge points that have a certificate, given in DER. Empty for one that is not known here.
pub async fn issued_to(database: &PgPool, der: &[u8]) -> Result<Vec<Issued>, sqlx::Error> {
    let Some(details) = Details::of_der(der) else {
        return Ok(Vec::new());
    };
    let issued = sqlx::query!(
        r#"SELECT charge_point_id, chain AS "chain!", void_since IS NOT NULL AS "is_void!" FROM ocpp.issued_certificate
           WHERE serial_number = $1 AND chain IS NOT NULL ORDER BY id DESC LIMIT $2"#,
        details.serial_number,
        MOST,
    )
    .fetch_all(database)
    .await?;
    Ok(issued
        .into_iter()
        .filter(|row| is_first(&row.chain, der))
        .map(|row| Issued {
            charge_point: row.charge_point_id,
            is_void: row.is_void,
        })
        .collect())
}

/// Whether a chain in PEM begins with a certificate.
fn is_first(chain: &str, der: &[u8]) -> bool {
    let first = Pem::iter_from_buffer(chain.as_bytes()).next();
    first.and_then(Result::ok).is_some_and(|first| first.contents == der)
}
