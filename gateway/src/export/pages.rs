//! The pages of a list, one after the other.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use http::HeaderMap;
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};
use service_kit::reason::{Reason, internal};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use super::Writer;
use crate::gateway::Gateway;
use crate::rest::Asked;
use crate::routes::{Endpoint, Listing};
use crate::upstream;
use crate::watchdog;

/// Rows that a service is asked for at a time, where they are not too large for that.
const ROWS: i32 = 1000;

/// Rows of a page whose size the client leaves out, as every service has it (`service_kit::page`).
const USUAL_ROWS: i32 = 100;

/// A page has this many bytes at most as the service sends it, unless a single row has more. As many lists as may be on their way
/// out have one each here, once more as it goes out.
const LARGEST_PAGE: usize = 4 * 1024 * 1024;

/// A list on its way out.
pub struct Pages {
    gateway: Gateway,
    endpoint: Arc<Endpoint>,
    listing: Listing,
    writer: Writer,
    /// What the next page is asked for with.
    asked: Asked,
    /// Rows of the one page that the client wants, which are yet to come; nothing where it wants them all.
    wanted: Option<i32>,
    /// A page was too large, and came in parts.
    in_parts: bool,
    _place: OwnedSemaphorePermit,
}

/// A page as it goes out.
pub struct Page {
    pub metadata: HeaderMap,
    pub rows: Bytes,
    /// There is another one.
    pub more: bool,
}

/// The service would be asked for the same for ever.
#[derive(Debug, thiserror::Error)]
#[error("a page of a list is followed by itself")]
struct Circle;

/// A later page could not be had. There is no way to say so but to break off.
#[derive(Debug, thiserror::Error)]
#[error("the list broke off: {0}")]
struct Broken(Status);

/// Asks for a page; for fewer and fewer rows where it has more than `largest` bytes. What `asked` asks for then says so, and the
/// page tells where the next one begins, as any does.
///
/// # Errors
/// The service refuses it or cannot be reached, or a single row is larger than any answer may be.
pub async fn ask(
    gateway: &Gateway,
    endpoint: &Endpoint,
    listing: &Listing,
    asked: &mut Asked,
    largest: usize,
) -> Result<tonic::Response<Bytes>, Status> {
    loop {
        let size = listing.paging.as_ref().map(|paging| &paging.page_size);
        let rows = size.map_or(1, |size| number(&asked.message, size));
        let mut call = asked.call(gateway, endpoint)?;
        if rows != 1 {
            call.largest = largest;
        }
        match (upstream::unary(&asked.upstream, call).await, size) {
            (Err(status), Some(size)) if rows != 1 && upstream::is_too_large(&status) => {
                let rows = if rows == 0 { USUAL_ROWS } else { rows };
                asked.message.set_field(size, Value::I32(rows / 2));
            }
            (answer, _) => return answer,
        }
    }
}

impl Pages {
    pub fn new(
        gateway: &Gateway,
        endpoint: &Arc<Endpoint>,
        listing: &Listing,
        writer: Writer,
        mut asked: Asked,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let message = &mut asked.message;
        let mut wanted = None;
        if let Some(paging) = &listing.paging {
            let size = number(message, &paging.page_size);
            if size == 0 && text(message, &paging.page_token).is_empty() {
                message.set_field(&paging.page_size, Value::I32(ROWS));
            } else {
                wanted = Some(if size == 0 { USUAL_ROWS } else { size });
            }
        }
        Self {
            gateway: gateway.clone(),
            endpoint: Arc::clone(endpoint),
            listing: listing.clone(),
            writer,
            asked,
            wanted,
            in_parts: false,
            _place: place,
        }
    }

    /// Asks for the next page.
    pub async fn next(&mut self) -> Result<Page, Status> {
        let path = self.endpoint.grpc_path.as_str();
        // It may have been long since the page before.
        self.gateway.access.admit(path, &self.asked.headers).await?;
        let before = self.size();
        let answer = ask(
            &self.gateway,
            &self.endpoint,
            &self.listing,
            &mut self.asked,
            LARGEST_PAGE,
        )
        .await?;
        let (metadata, message, _) = answer.into_parts();
        let weight = message.len();
        let message = DynamicMessage::decode(self.endpoint.rpc.output(), message).map_err(|error| internal(&error))?;
        let mut out = Vec::new();
        let rows = message.get_field(&self.listing.rows);
        let rows = rows.as_list().unwrap_or_default();
        for row in rows.iter().filter_map(Value::as_message) {
            self.writer
                .row(row, &self.gateway.raw_json, &mut out)
                .map_err(|error| internal(&error))?;
        }
        // The client's one page goes on only where it was too large to come at once.
        self.in_parts |= self.size() != before;
        let more = match &mut self.wanted {
            None => true,
            Some(wanted) => {
                *wanted = wanted.saturating_sub(i32::try_from(rows.len()).unwrap_or(i32::MAX));
                self.in_parts && *wanted > 0
            }
        };
        Ok(Page {
            more: self.go_on(&message, more, weight)?,
            metadata: metadata.into_headers(),
            rows: out.into(),
        })
    }

    /// Has the next page asked for, where there is one and it is wanted.
    fn go_on(&mut self, page: &DynamicMessage, wanted: bool, weight: usize) -> Result<bool, Status> {
        let Some(paging) = &self.listing.paging else {
            return Ok(false);
        };
        let token = text(page, &paging.next_page_token);
        if token.is_empty() || !wanted {
            return Ok(false);
        }
        let message = &mut self.asked.message;
        if token == text(message, &paging.page_token) {
            return Err(internal(&Circle));
        }
        message.set_field(&paging.page_token, Value::String(token));
        // Where the large rows lie behind us.
        let mut rows = number(message, &paging.page_size);
        if weight < LARGEST_PAGE / 4 {
            rows = rows.saturating_mul(2).min(ROWS);
        }
        let rows = self.wanted.map_or(rows, |wanted| rows.min(wanted));
        message.set_field(&paging.page_size, Value::I32(rows));
        Ok(true)
    }

    /// Rows that are asked for at a time.
    fn size(&self) -> i32 {
        let paging = self.listing.paging.as_ref();
        paging.map_or(0, |paging| number(&self.asked.message, &paging.page_size))
    }

    /// The body: what is there already, then the other pages.
    pub fn into_body(self, first: Bytes) -> Body {
        let gateway = self.gateway.clone();
        let chunks = unfold((Some(first), Some(self)), |(first, pages)| async {
            match (first, pages) {
                (Some(first), pages) => Some((Ok(first), (None, pages))),
                (None, Some(pages)) => Some(pages.chunk().await).map(|(chunk, rest)| (chunk, (None, rest))),
                (None, None) => None,
            }
        });
        // Compression asks once more after the end.
        watchdog::guard(Body::from_stream(chunks.fuse()), gateway.stall, &gateway.tasks)
    }

    async fn chunk(mut self) -> (Result<Bytes, Broken>, Option<Self>) {
        match self.next().await {
            Ok(page) => (Ok(page.rows), page.more.then_some(self)),
            Err(status) => {
                tracing::info!(
                    request_id = self.asked.id.as_str(),
                    route = self.endpoint.label,
                    reason = Reason::of(&status).as_str(),
                    "A list broke off"
                );
                (Err(Broken(status)), None)
            }
        }
    }
}

fn text(message: &DynamicMessage, field: &FieldDescriptor) -> String {
    message.get_field(field).as_str().unwrap_or_default().to_owned()
}

fn number(message: &DynamicMessage, field: &FieldDescriptor) -> i32 {
    message.get_field(field).as_i32().unwrap_or_default()
}
