//! Lists, by their shape: an RPC that answers with rows, all at once or a page at a time (AIP-158).

use http::Method;
use prost_reflect::{FieldDescriptor, Kind as FieldKind, MessageDescriptor, MethodDescriptor};

use super::binding::{AnswerBody, is_http_body};
use super::endpoint::Kind;

/// The fields that make an RPC a list.
#[derive(Clone, Debug)]
pub struct Listing {
    pub rows: FieldDescriptor,
    /// Nothing where all rows come at once.
    pub paging: Option<Paging>,
}

/// What a page is asked for with, and what the next one is.
#[derive(Clone, Debug)]
pub struct Paging {
    pub page_size: FieldDescriptor,
    pub page_token: FieldDescriptor,
    pub next_page_token: FieldDescriptor,
}

impl Listing {
    /// Nothing where the RPC has another shape. What has rows and more besides is a list only where it comes in pages: a charge
    /// point is none, though it has connectors.
    pub(super) fn of(method: &Method, kind: Kind, rpc: &MethodDescriptor, answer: &AnswerBody) -> Option<Self> {
        if *method != Method::GET || kind != Kind::Unary || !matches!(answer, AnswerBody::Whole) {
            return None;
        }
        let output = rpc.output();
        let mut lists = output
            .fields()
            .filter(|field| field.is_list() && field.kind().as_message().is_some_and(|row| !is_http_body(row)));
        let rows = lists.next()?;
        if lists.next().is_some() {
            return None;
        }
        let paging = Paging::of(&rpc.input(), &output);
        (paging.is_some() || output.fields().len() == 1).then_some(Self { rows, paging })
    }

    /// The message of a row.
    pub fn row(&self) -> Option<MessageDescriptor> {
        self.rows.kind().as_message().cloned()
    }
}

impl Paging {
    fn of(input: &MessageDescriptor, output: &MessageDescriptor) -> Option<Self> {
        Some(Self {
            page_size: single(input, "page_size", &FieldKind::Int32)?,
            page_token: single(input, "page_token", &FieldKind::String)?,
            next_page_token: single(output, "next_page_token", &FieldKind::String)?,
        })
    }
}

fn single(message: &MessageDescriptor, name: &str, kind: &FieldKind) -> Option<FieldDescriptor> {
    let field = message.get_field_by_name(name)?;
    (!field.is_list() && !field.is_map() && field.kind() == *kind).then_some(field)
}
