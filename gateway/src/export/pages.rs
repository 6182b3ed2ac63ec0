//! The pages of a list, one after the other.

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::unfold;
use http::HeaderMap;
use prost_reflect::{DynamicMessage, Value};
use service_kit::reason::{Reason, internal};
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use super::Writer;
use crate::gateway::Gateway;
use crate::rest::Asked;
use crate::routes::{Endpoint, Listing};
use crate::upstream;

/// Rows that a service is asked for at a time.
const ROWS: i32 = 1000;

/// A list on its way out.
pub struct Pages {
    gateway: Gateway,
    endpoint: Arc<Endpoint>,
    listing: Listing,
    writer: Writer,
    /// What the next page is asked for with.
    asked: Asked,
    /// The client wants this page only.
    only_one: bool,
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
        let (size, token) = (&listing.page_size, &listing.page_token);
        let only_one = message.get_field(size).as_i32() != Some(0) || !text(message, token).is_empty();
        if !only_one {
            message.set_field(size, Value::I32(ROWS));
        }
        Self {
            gateway: gateway.clone(),
            endpoint: Arc::clone(endpoint),
            listing: listing.clone(),
            writer,
            asked,
            only_one,
            _place: place,
        }
    }

    /// Asks for the next page.
    pub async fn next(&mut self) -> Result<Page, Status> {
        let path = self.endpoint.grpc_path.as_str();
        // It may have been long since the page before.
        self.gateway.access.admit(path, &self.asked.headers).await?;
        let call = self.asked.call(&self.gateway, &self.endpoint)?;
        let answer = upstream::unary(&self.asked.upstream, call).await?;
        let (metadata, message, _) = answer.into_parts();
        let message = DynamicMessage::decode(self.endpoint.rpc.output(), message).map_err(|error| internal(&error))?;
        let mut out = Vec::new();
        let rows = message.get_field(&self.listing.rows);
        for row in rows.as_list().into_iter().flatten().filter_map(Value::as_message) {
            self.writer
                .row(row, &self.gateway.raw_json, &mut out)
                .map_err(|error| internal(&error))?;
        }
        let token = text(&message, &self.listing.next_page_token);
        let more = !self.only_one && !token.is_empty();
        if more {
            if token == text(&self.asked.message, &self.listing.page_token) {
                return Err(internal(&Circle));
            }
            self.asked
                .message
                .set_field(&self.listing.page_token, Value::String(token));
        }
        Ok(Page {
            metadata: metadata.into_headers(),
            rows: out.into(),
            more,
        })
    }

    /// The body: what is there already, then the other pages.
    pub fn into_body(self, first: Bytes, more: bool) -> Body {
        let rest = more.then_some(self);
        let chunks = unfold((Some(first), rest), |(first, pages)| async {
            match (first, pages) {
                (Some(first), pages) => Some((Ok(first), (None, pages))),
                (None, Some(pages)) => Some(pages.chunk().await).map(|(chunk, rest)| (chunk, (None, rest))),
                (None, None) => None,
            }
        });
        // Compression asks once more after the end.
        Body::from_stream(chunks.fuse())
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

fn text(message: &DynamicMessage, field: &prost_reflect::FieldDescriptor) -> String {
    message.get_field(field).as_str().unwrap_or_default().to_owned()
}
