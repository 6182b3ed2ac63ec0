//! Authorize: may this id tag charge?

use serde_json::value::RawValue;

use crate::fields::{Fields, Unreadable};

pub use rust_ocpp::v1_6::messages::authorize::AuthorizeResponse;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorize {
    pub id_tag: String,
}

impl Authorize {
    pub fn read(payload: &RawValue) -> Result<Authorize, Unreadable> {
        Ok(Authorize {
            id_tag: Fields::of(payload).required_text("idTag")?,
        })
    }
}
