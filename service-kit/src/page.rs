//! Cursor pages: how many rows, and after which one. And what filters of lists have in common.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use prost_types::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::event::instant;
use crate::reason::FieldViolation;

const DEFAULT_SIZE: i32 = 100;
const LARGEST_SIZE: i32 = 1000;

/// How many rows a page holds: 1 to 1000.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PageSize(i32);

impl Default for PageSize {
    /// As where a request leaves it out.
    fn default() -> Self {
        Self(DEFAULT_SIZE)
    }
}

impl PageSize {
    /// Reads `page_size` of a request; 0 stands for "left out", which is 100.
    ///
    /// # Errors
    /// Below 0 or above 1000.
    pub fn parse(requested: i32) -> Result<Self, FieldViolation> {
        match requested {
            0 => Ok(Self::default()),
            1..=LARGEST_SIZE => Ok(Self(requested)),
            _ => Err(FieldViolation::new("pageSize", "must be between 1 and 1000")),
        }
    }

    /// One row more than the page holds: its presence says that another page follows.
    pub fn limit(self) -> i64 {
        i64::from(self.0) + 1
    }

    /// Cuts the extra row off, and returns the token of the next page where there is one.
    pub fn cut<Row, Key: Serialize>(self, rows: &mut Vec<Row>, key: impl FnOnce(&Row) -> Key) -> String {
        let size = usize::try_from(self.0).unwrap_or(usize::MAX);
        if rows.len() <= size {
            return String::new();
        }
        rows.truncate(size);
        rows.last().map_or_else(String::new, |last| encode(&key(last)))
    }
}

/// Reads both fields of a request for a page, and says all that is wrong with them.
///
/// # Errors
/// As [`PageSize::parse`] and [`parse_token`].
pub fn parse<Key: DeserializeOwned>(
    page_size: i32,
    page_token: &str,
) -> Result<(PageSize, Option<Key>), Vec<FieldViolation>> {
    match (PageSize::parse(page_size), parse_token(page_token)) {
        (Ok(size), Ok(key)) => Ok((size, key)),
        (size, key) => Err([size.err(), key.err()].into_iter().flatten().collect()),
    }
}

/// Reads `page_token` of a request: the key of the last row seen, or nothing for the first page.
///
/// # Errors
/// The token is not one that this listing gave out.
pub fn parse_token<Key: DeserializeOwned>(token: &str) -> Result<Option<Key>, FieldViolation> {
    if token.is_empty() {
        return Ok(None);
    }
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|json| serde_json::from_slice(&json).ok())
        .map(Some)
        .ok_or_else(|| FieldViolation::new("pageToken", "is not a token that this listing gave out"))
}

/// A time in a request, such as one to filter by. Notes what is none.
pub fn time(field: &str, told: Option<Timestamp>, violations: &mut Vec<FieldViolation>) -> Option<DateTime<Utc>> {
    let parsed = told.and_then(instant);
    if told.is_some() && parsed.is_none() {
        violations.push(FieldViolation::new(field, "is not a time"));
    }
    parsed
}

fn encode(key: &impl Serialize) -> String {
    // Keys are strings, numbers and tuples of them, which always serialise.
    serde_json::to_vec(key).map_or_else(|_| String::new(), |json| URL_SAFE_NO_PAD.encode(json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_page_names_its_last_row() {
        let size = PageSize::parse(2).expect("2 is a size");
        let mut rows = vec!["a", "b", "c"];
        let token = size.cut(&mut rows, |row| (*row).to_owned());
        assert_eq!(rows, ["a", "b"]);
        assert_eq!(parse_token::<String>(&token), Ok(Some("b".to_owned())));
    }

    #[test]
    fn the_last_page_has_no_token() {
        let size = PageSize::parse(2).expect("2 is a size");
        assert_eq!(size.cut(&mut vec![1, 2], |row| *row), "");
    }

    #[test]
    fn a_made_up_token_is_refused() {
        assert!(parse_token::<String>("%%%").is_err());
        assert!(parse_token::<(i32, String)>("MQ").is_err());
    }

    #[test]
    fn sizes_out_of_range_are_refused() {
        assert!(PageSize::parse(-1).is_err());
        assert!(PageSize::parse(1001).is_err());
    }
}
