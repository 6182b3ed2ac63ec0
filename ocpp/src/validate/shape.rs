//! The words in which the tables of messages are written.

/// The fields of an object, in the order of the schema.
pub(crate) type Shape = &'static [Field];

#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
    pub(crate) rule: Rule,
}

pub(crate) const fn required(name: &'static str, rule: Rule) -> Field {
    Field {
        name,
        required: true,
        rule,
    }
}

pub(crate) const fn optional(name: &'static str, rule: Rule) -> Field {
    Field {
        name,
        required: false,
        rule,
    }
}

/// What a value must be.
#[derive(Debug)]
pub(crate) enum Rule {
    Boolean,
    /// 32 bits, signed.
    Integer,
    /// A number with one decimal at most.
    Tenths,
    Text,
    /// Text of at most so many characters.
    TextUpTo(usize),
    DateTime,
    /// One of these words.
    OneOf(&'static [&'static str]),
    Object(Shape),
    List(&'static Rule),
    NonEmptyList(&'static Rule),
}
