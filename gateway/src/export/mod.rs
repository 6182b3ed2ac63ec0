//! Lists as files: all of a list's rows as CSV or as lines of JSON, for clients that accept that.
//!
//! The service is asked for one page after the other, each when the client has taken the one before, so that there is never more
//! here than a page, however long the list is and however slowly it is read. Each page is a call of its own: it has its own time,
//! and whether the client may still ask is looked at again. A client that asks for a page gets that page.

mod csv;
mod pages;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::Version;
use http::header::{self, HeaderValue};
use prost_reflect::DynamicMessage;
use service_kit::reason::{Reason, internal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::Status;

use crate::gateway::Gateway;
use crate::json::{self, Mask, RawJsonFields, Unwritable};
use crate::media_type;
use crate::rest::{self, Asked};
use crate::routes::{Endpoint, Listing};
use crate::stream::line;
pub use csv::Columns;
pub use pages::ask;
use pages::{Page, Pages};

/// Lists that may be on their way out at once. Each may have a page of some megabytes here.
const MOST: usize = 64;

/// The lists that a gateway is giving out.
#[derive(Clone, Debug)]
pub struct Exports(Arc<Semaphore>);

impl Default for Exports {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(MOST)))
    }
}

impl Exports {
    fn enter(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(&self.0).try_acquire_owned();
        place.map_err(|_| Reason::Overloaded.retry_after(Duration::from_secs(5), "Too many lists are on their way out"))
    }
}

/// What a list looks like as a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// RFC 4180, with a header.
    Csv,
    /// A JSON document on each line.
    Lines,
}

/// Writes rows.
enum Writer {
    Csv(Columns),
    Lines(Option<Mask>),
}

impl Writer {
    /// What stands before the first row.
    fn head(&self) -> Vec<u8> {
        match self {
            Self::Csv(columns) => columns.header(),
            Self::Lines(_) => Vec::new(),
        }
    }

    fn row(&self, row: &DynamicMessage, raw_json: &RawJsonFields, out: &mut Vec<u8>) -> Result<(), Unwritable> {
        match self {
            Self::Csv(columns) => columns.row(row, raw_json, out)?,
            Self::Lines(mask) => {
                let json = json::write(row, mask.as_ref(), raw_json)?;
                out.extend_from_slice(&line(b"", &json, b"\n"));
            }
        }
        Ok(())
    }
}

/// Serves a list as a file.
///
/// # Errors
/// The status that the client gets to see as problem+json: whatever goes wrong before the first page is there.
pub async fn serve(
    gateway: &Gateway,
    endpoint: &Arc<Endpoint>,
    listing: &Listing,
    form: Form,
    asked: Asked,
) -> Result<Response, Status> {
    let place = gateway.exports.enter()?;
    let row = listing.row().ok_or_else(|| Status::internal("a row is no message"))?;
    let writer = match form {
        Form::Csv => Writer::Csv(Columns::of(&row, asked.mask.as_ref())),
        Form::Lines => Writer::Lines(asked.mask.clone()),
    };
    let mut out = writer.head();
    let version = asked.version;
    let mut pages = Pages::new(gateway, endpoint, listing, writer, asked, place);
    let Page { metadata, rows, more } = pages.next().await?;
    if more && version < Version::HTTP_11 {
        // The end of a body of unknown length is that of its connection there, and so is its breaking off.
        let whole = "By HTTP/1.0 a list that breaks off would look whole; ask for its pages, or by a newer version";
        return Err(Reason::NotAcceptable.status(whole));
    }
    out.extend_from_slice(&rows);
    let content_type = match form {
        Form::Csv => "text/csv; charset=utf-8; header=present",
        Form::Lines => media_type::LINES,
    };
    let body = if more {
        pages.into_body(out.into())
    } else {
        Body::from(out)
    };
    let mut response = rest::success(endpoint, &metadata, content_type, body)?;
    let headers = response.headers_mut();
    // It would be that of the first page.
    headers.remove(header::ETAG);
    if form == Form::Csv {
        let disposition = format!("attachment; filename=\"{}.csv\"", file_name(&endpoint.label));
        let disposition = HeaderValue::try_from(disposition).map_err(|error| internal(&error))?;
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// The last word of a path such as `/ocpp/transactions/{id}/meter-values`.
fn file_name(label: &str) -> String {
    let mut words = label.rsplit('/').filter(|part| !part.contains('{'));
    let last = words.next().unwrap_or_default();
    let fit = |character: &char| character.is_ascii_alphanumeric() || "-_.".contains(*character);
    let name: String = last.chars().filter(fit).collect();
    if name.is_empty() { "list".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_after_the_last_word_of_its_path() {
        for (label, name) in [
            ("/ocpp/transactions", "transactions"),
            ("/ocpp/transactions/{id}/meter-values", "meter-values"),
            ("/things/{id}", "things"),
            ("/{id}", "list"),
        ] {
            assert_eq!(file_name(label), name);
        }
    }
}
