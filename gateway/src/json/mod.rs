//! JSON to protobuf and back, led by the descriptors (proto3 JSON).
//!
//! The reader tells everything that is wrong with a document at once, each with its JSON path. It goes through
//! serde_json's raw values only: numbers stay the text they were, so neither 64-bit integers nor the features that
//! another crate switches on in serde_json make a difference. The writer writes what a client can rely on: scalars
//! without presence always, absent messages and `optional` fields never.
//!
//! Most answers are written straight from their encoding (`straight`), by what was looked up in the descriptors at the start
//! (`layout`). The text is the same.
//!
//! Where the specification leaves a choice, the reader takes the stricter one: no field twice, no unknown enum number, no
//! integer written with leading zeros, no `null` in a list.

mod any;
mod layout;
mod mask;
mod members;
mod number;
mod path;
mod raw;
mod read;
#[cfg(any(test, feature = "fuzzing"))]
mod rich;
mod scalar;
mod straight;
mod structured;
mod time;
mod well_known;
mod wire;
mod write;

pub use layout::Layouts;
pub use mask::{Mask, Wanted, members};
pub use path::lower_camel;
pub use raw::RawJsonFields;
pub use read::{Context, MOST_VIOLATIONS, Malformed, Unreadable, read, read_field};
#[cfg(any(test, feature = "fuzzing"))]
pub use rich::rich_pool;
pub use scalar::parse as parse_text;
pub use straight::write_encoded;
pub use well_known::{WellKnown, parse as parse_well_known};
pub use write::{Unwritable, write, write_field};

#[cfg(test)]
mod round_trip;
