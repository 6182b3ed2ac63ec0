//! The id tags in a frame of OCPP 1.6. Whether one is a secret, only the database knows, since a frame does not tell that it is
//! a code which somebody has typed in; so a frame is offered to the log both ways.

/// Names of fields whose texts are tokens.
const NAMES: [&str; 2] = ["idTag", "parentIdTag"];

/// What a frame has of them.
#[derive(Debug, PartialEq, Eq)]
pub struct IdTags {
    /// In lower case, as far as ASCII goes.
    pub values: Vec<String>,
    /// The frame with each masked, and otherwise to the letter.
    pub masked: String,
}

/// None where there are none. A frame that is no JSON is read as far as its texts can be told apart.
pub fn id_tags(frame: &str, mask: impl Fn(&str) -> String) -> Option<IdTags> {
    if !may_name_one(frame) {
        return None;
    }
    let (mut values, mut masked) = (Vec::new(), String::new());
    let (mut copied, mut position) = (0, 0);
    let mut name_before = None;
    while let Some(text) = next_text(frame, position) {
        position = text.end;
        if frame[text.end..].trim_start().starts_with(':') {
            name_before = Some(text.content);
            continue;
        }
        let is_tag = name_before
            .take()
            .is_some_and(|name| NAMES.iter().any(|known| known.eq_ignore_ascii_case(&name)));
        if is_tag {
            masked.push_str(&frame[copied..text.start]);
            // A string always serialises.
            masked.push_str(&serde_json::Value::from(mask(&text.content)).to_string());
            copied = text.end;
            values.push(storable(&text.content.to_ascii_lowercase()));
        }
    }
    masked.push_str(&frame[copied..]);
    (!values.is_empty()).then_some(IdTags { values, masked })
}

/// As every text that charge points send: PostgreSQL keeps none with a null character.
fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Names may be written with JSON escapes.
fn may_name_one(frame: &str) -> bool {
    frame.to_ascii_lowercase().contains("idtag") || frame.contains("\\u00")
}

/// A text in quotation marks, and where it stands with them.
struct Text {
    content: String,
    start: usize,
    end: usize,
}

fn next_text(frame: &str, from: usize) -> Option<Text> {
    let start = from + frame[from..].find('"')?;
    let mut is_escaped = false;
    for (offset, byte) in frame.bytes().enumerate().skip(start + 1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => {
                let end = offset + 1;
                let literal = &frame[start..end];
                // Where it is no text of JSON, it is taken as it stands.
                let content = serde_json::from_str(literal).unwrap_or_else(|_| literal.trim_matches('"').to_owned());
                return Some(Text { content, start, end });
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(frame: &str) -> Option<(Vec<String>, String)> {
        id_tags(frame, |_| "*".to_owned()).map(|tags| (tags.values, tags.masked))
    }

    #[test]
    fn each_tag_is_found_and_masked_and_everything_else_stays_as_it_came() {
        let frame = r#"[2, "1234","StartTransaction",{"idTag" : "1234","meterStart":1234,"note":"1234"}]"#;
        let expected = r#"[2, "1234","StartTransaction",{"idTag" : "*","meterStart":1234,"note":"1234"}]"#;
        assert_eq!(masked(frame), Some((vec!["1234".to_owned()], expected.to_owned())));
        let list =
            r#"{"localAuthorizationList":[{"idTag":"A","idTagInfo":{"parentIdTag":"b\"c","status":"Accepted"}}]}"#;
        let expected =
            r#"{"localAuthorizationList":[{"idTag":"*","idTagInfo":{"parentIdTag":"*","status":"Accepted"}}]}"#;
        let values = vec!["a".to_owned(), "b\"c".to_owned()];
        assert_eq!(masked(list), Some((values, expected.to_owned())));
    }

    #[test]
    fn a_tag_is_found_behind_escapes_and_in_what_is_no_json() {
        let tag = Some(vec!["1234".to_owned()]);
        for frame in [
            r#"{"idT\u0061g":"12\u00334"}"#,
            r#"[2,"x",{"idTag":"1234"#,
            r#"{"idTag":"1234",,"#,
        ] {
            let found = masked(frame).map(|(values, _)| values);
            // What has no end is no text.
            let expected = if frame.ends_with("1234") { None } else { tag.clone() };
            assert_eq!(found, expected, "{frame}");
        }
    }

    #[test]
    fn a_tag_with_a_null_character_can_be_asked_for() {
        let found = masked(r#"{"idTag":"A\u0000"}"#).map(|(values, _)| values);
        assert_eq!(found, Some(vec!["a\u{fffd}".to_owned()]));
    }

    #[test]
    fn a_frame_without_tags_has_none() {
        for frame in [
            "",
            r#"[2,"1","Heartbeat",{}]"#,
            r#"{"idTag":5}"#,
            r#"["idTag","1234"]"#,
            "\"\\u00",
        ] {
            assert_eq!(masked(frame), None, "{frame}");
        }
    }
}
