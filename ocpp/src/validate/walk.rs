//! The walk through a payload. It descends as deep as the table does, and no deeper.

use super::{Field, MAX_VIOLATIONS, Rule, Shape, Violation, ViolationKind, path::Path};
use crate::{
    json::{Cursor, Kind, Text, integral, is_multiple_of_a_tenth, to_integer},
    timestamp,
};

/// Words of an enumeration are quoted back up to this length.
const MAX_QUOTED: usize = 40;

pub(super) fn walk(json: &str, shape: Shape) -> Vec<Violation> {
    let mut walk = Walk {
        cursor: Cursor::new(json),
        violations: Vec::new(),
    };
    walk.value(&Rule::Object(shape), &Path::Root);
    walk.violations
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    violations: Vec<Violation>,
}

impl Walk<'_> {
    fn value(&mut self, rule: &Rule, path: &Path<'_>) {
        let kind = self.cursor.kind();
        match (rule, kind) {
            (Rule::Object(shape), Kind::Object) => self.object(shape, path),
            (Rule::List(item), Kind::List) => {
                self.list(item, path);
            }
            (Rule::NonEmptyList(item), Kind::List) => {
                if self.list(item, path) == 0 {
                    self.report(path, ViolationKind::TooFewItems, || {
                        "needs at least one entry".to_owned()
                    });
                }
            }
            (Rule::Text, Kind::Text) | (Rule::Boolean, Kind::Boolean) => {
                self.cursor.skip();
            }
            (Rule::TextUpTo(maximum), Kind::Text) => self.text_up_to(*maximum, path),
            (Rule::OneOf(words), Kind::Text) => self.one_of(words, path),
            (Rule::DateTime, Kind::Text) => self.date_time(path),
            (Rule::Integer, Kind::Number) => self.integer(path),
            (Rule::Tenths, Kind::Number) => self.tenths(path),
            (
                Rule::Object(_)
                | Rule::List(_)
                | Rule::NonEmptyList(_)
                | Rule::Boolean
                | Rule::Integer
                | Rule::Tenths
                | Rule::Text
                | Rule::TextUpTo(_)
                | Rule::DateTime
                | Rule::OneOf(_),
                _,
            ) => {
                self.cursor.skip();
                self.report(path, ViolationKind::WrongType, || {
                    format!("is {}, but must be {}", found(kind), expected(rule))
                });
            }
        }
    }

    fn object(&mut self, shape: Shape, path: &Path<'_>) {
        let mut seen = 0_u64;
        self.cursor.enter();
        while let Some(key) = self.cursor.member() {
            match shape.iter().position(|field| key.is(field.name)) {
                Some(index) => {
                    seen |= 1 << index;
                    let field = &shape[index];
                    self.value(&field.rule, &Path::Field(path, field.name));
                }
                None => {
                    self.cursor.skip();
                }
            }
        }
        for (index, field) in shape.iter().enumerate() {
            if field.required && seen & (1 << index) == 0 {
                self.missing(field, path);
            }
        }
    }

    fn list(&mut self, item: &Rule, path: &Path<'_>) -> usize {
        let mut index = 0;
        self.cursor.enter();
        while self.cursor.element() {
            self.value(item, &Path::Item(path, index));
            index += 1;
        }
        index
    }

    fn missing(&mut self, field: &Field, path: &Path<'_>) {
        self.report(&Path::Field(path, field.name), ViolationKind::MissingField, || {
            "is required".to_owned()
        });
    }

    fn text_up_to(&mut self, maximum: usize, path: &Path<'_>) {
        let length = self.cursor.text().characters();
        if length > maximum {
            self.report(path, ViolationKind::TooLong, || {
                format!("has {length} characters, but at most {maximum} are allowed")
            });
        }
    }

    fn one_of(&mut self, words: &[&str], path: &Path<'_>) {
        let text = self.cursor.text();
        if !words.iter().any(|word| text.is(word)) {
            self.report(path, ViolationKind::NotInEnum, || {
                format!("is {:?}, but must be one of {}", shortened(text), words.join(", "))
            });
        }
    }

    fn date_time(&mut self, path: &Path<'_>) {
        if timestamp::parse(&self.cursor.text().decode()).is_none() {
            self.report(path, ViolationKind::BadDateTime, || {
                "is not a date and time such as 2026-01-31T09:30:00Z".to_owned()
            });
        }
    }

    fn integer(&mut self, path: &Path<'_>) {
        let number = self.cursor.skip();
        if !integral(number) {
            self.report(path, ViolationKind::WrongType, || {
                "has a fraction, but must be an integer".to_owned()
            });
        } else if to_integer(number).is_none_or(|integer| i32::try_from(integer).is_err()) {
            self.report(path, ViolationKind::OutOfRange, || {
                "does not fit an integer of 32 bits".to_owned()
            });
        }
    }

    fn tenths(&mut self, path: &Path<'_>) {
        if !is_multiple_of_a_tenth(self.cursor.skip()) {
            self.report(path, ViolationKind::TooPrecise, || {
                "may have one decimal at most".to_owned()
            });
        }
    }

    fn report(&mut self, path: &Path<'_>, kind: ViolationKind, detail: impl FnOnce() -> String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(Violation::new(path, kind, detail()));
        }
    }
}

fn shortened(text: Text<'_>) -> String {
    text.decode().chars().take(MAX_QUOTED).collect()
}

fn found(kind: Kind) -> &'static str {
    match kind {
        Kind::Object => "an object",
        Kind::List => "a list",
        Kind::Text => "text",
        Kind::Number => "a number",
        Kind::Boolean => "true or false",
        Kind::Null => "null",
    }
}

fn expected(rule: &Rule) -> &'static str {
    match rule {
        Rule::Object(_) => "an object",
        Rule::List(_) | Rule::NonEmptyList(_) => "a list",
        Rule::Text | Rule::TextUpTo(_) | Rule::OneOf(_) => "text",
        Rule::DateTime => "a date and time in text",
        Rule::Integer => "an integer",
        Rule::Tenths => "a number",
        Rule::Boolean => "true or false",
    }
}
