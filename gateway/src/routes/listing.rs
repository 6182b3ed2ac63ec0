//! Lists, by their shape (AIP-158): an RPC that is asked for a page, and answers with rows and with what the next page is
//! asked for.

use http::Method;
use prost_reflect::{FieldDescriptor, Kind as FieldKind, MessageDescriptor, MethodDescriptor};

use super::binding::{AnswerBody, is_http_body};
use super::endpoint::Kind;

/// The fields that make an RPC a list.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The rows of a page.
    pub rows: FieldDescriptor,
    pub page_size: FieldDescriptor,
    pub page_token: FieldDescriptor,
    pub next_page_token: FieldDescriptor,
}

impl Listing {
    /// Nothing where the RPC has another shape.
    pub(super) fn of(method: &Method, kind: Kind, rpc: &MethodDescriptor, answer: &AnswerBody) -> Option<Self> {
        if *method != Method::GET || kind != Kind::Unary || !matches!(answer, AnswerBody::Whole) {
            return None;
        }
        let (input, output) = (rpc.input(), rpc.output());
        let mut lists = output
            .fields()
            .filter(|field| field.is_list() && field.kind().as_message().is_some_and(|row| !is_http_body(row)));
        let rows = lists.next()?;
        if lists.next().is_some() {
            return None;
        }
        Some(Self {
            rows,
            page_size: single(&input, "page_size", &FieldKind::Int32)?,
            page_token: single(&input, "page_token", &FieldKind::String)?,
            next_page_token: single(&output, "next_page_token", &FieldKind::String)?,
        })
    }

    /// The message of a row.
    pub fn row(&self) -> Option<MessageDescriptor> {
        self.rows.kind().as_message().cloned()
    }
}

fn single(message: &MessageDescriptor, name: &str, kind: &FieldKind) -> Option<FieldDescriptor> {
    let field = message.get_field_by_name(name)?;
    (!field.is_list() && !field.is_map() && field.kind() == *kind).then_some(field)
}
