//! The form in which requests, and what became of them, stand in text files.
//!
//! A request is one line: method, target and, if there is one, the body. The media type is JSON where there is a body;
//! another one follows the method after a semicolon, as in `POST;text/csv`. Lines with `#` are for people.

use std::fmt;

use serde_json::Value;

use super::both::{Ask, Outcome};

/// The requests in a file, in their order.
pub fn asks(file: &str) -> impl Iterator<Item = Ask> {
    without_reasons(file).filter(|line| !line.starts_with(' ')).map(read)
}

/// The lines of a file that are for the test.
pub fn without_reasons(file: &str) -> impl Iterator<Item = &str> {
    file.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn read(line: &str) -> Ask {
    let mut parts = line.splitn(3, ' ');
    let (method, target) = (parts.next().unwrap(), parts.next().unwrap());
    let body = parts.next().unwrap_or_default().to_owned();
    match method.split_once(';') {
        None => Ask::new(method, target, body),
        Some((method, content_type)) => Ask::new(method, target, body).of_type(content_type),
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.method)?;
        let usual = (!self.body.is_empty()).then_some("application/json");
        if self.content_type.as_deref() != usual {
            write!(formatter, ";{}", self.content_type.as_deref().unwrap_or_default())?;
        }
        write!(formatter, " {}", self.target)?;
        if !self.body.is_empty() {
            write!(formatter, " {}", String::from_utf8_lossy(&self.body))?;
        }
        Ok(())
    }
}

/// A request, and what became of it here and there.
pub fn show(ask: &Ask, envoy: &Outcome, ours: &Outcome) -> String {
    let mut text = format!("{ask}\n  envoy {}\n  ours  {}", fate(envoy), fate(ours));
    if let (Some(envoy), Some(ours)) = (&envoy.answer, &ours.answer) {
        for (member, envoy, ours) in apart(envoy, ours) {
            text.push_str(&format!("\n  the answer's {member}: {envoy} there, {ours} here"));
        }
    }
    text
}

fn fate(outcome: &Outcome) -> String {
    match &outcome.reached {
        Some(message) => format!("{} {message}", outcome.status),
        None => outcome.status.to_string(),
    }
}

/// The members that two answers do not share, with their values.
fn apart(envoy: &Value, ours: &Value) -> Vec<(String, String, String)> {
    let members = [envoy, ours]
        .into_iter()
        .filter_map(Value::as_object)
        .flat_map(|object| object.keys());
    let mut members: Vec<_> = members.collect();
    members.sort();
    members.dedup();
    let show = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), Value::to_string);
    members
        .into_iter()
        .filter(|member| envoy.get(member) != ours.get(member))
        .map(|member| (member.clone(), show(envoy.get(member)), show(ours.get(member))))
        .collect()
}
