//! What a file is called. A name is data: it is shown, and is never a path.

/// In bytes, as long as file systems take.
const LONGEST: usize = 255;

/// Where a charge point gives none.
const UNNAMED: &str = "unnamed";

/// A charge point's own name for what it sends. It is not refused for it, so what cannot be shown is left out.
pub fn from_station(text: &str) -> String {
    let mut name: String = text.chars().filter(|character| !character.is_control()).collect();
    name.truncate(name.floor_char_boundary(LONGEST));
    if name.trim().is_empty() {
        UNNAMED.to_owned()
    } else {
        name
    }
}

/// `Content-Disposition` (RFC 6266): to be kept under its name, and never shown as a page. Of a name that looks like a path
/// only the end is left.
pub fn disposition(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let last = if last.trim_matches('.').is_empty() {
        UNNAMED
    } else {
        last
    };
    let plain: String = last
        .chars()
        .map(|letter| if is_plain(letter) { letter } else { '_' })
        .collect();
    if plain == last {
        return format!("attachment; filename=\"{plain}\"");
    }
    format!(
        "attachment; filename=\"{plain}\"; filename*=UTF-8''{}",
        percent_encoded(last)
    )
}

fn is_plain(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "._- ".contains(letter)
}

/// As it stands in a URL or a header parameter (RFC 3986, section 2.3; RFC 8187).
pub fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_a_path_or_a_header_stays_a_name() {
        for (name, shown) in [
            ("d.zip", r#"attachment; filename="d.zip""#),
            ("../../etc/passwd", r#"attachment; filename="passwd""#),
            ("..\\..\\boot.ini", r#"attachment; filename="boot.ini""#),
            ("a/..", r#"attachment; filename="unnamed""#),
            (
                "a\"; x=\"b",
                r#"attachment; filename="a__ x__b"; filename*=UTF-8''a%22%3B%20x%3D%22b"#,
            ),
            ("é.log", r#"attachment; filename="_.log"; filename*=UTF-8''%C3%A9.log"#),
        ] {
            assert_eq!(disposition(name), shown, "{name}");
        }
    }

    #[test]
    fn a_charge_point_may_call_its_file_anything() {
        assert_eq!(from_station("a\r\nb\0.log"), "ab.log");
        assert_eq!(from_station(" "), UNNAMED);
        assert_eq!(from_station(&"x".repeat(300)).len(), LONGEST);
        assert_eq!(from_station(&"é".repeat(300)).len(), LONGEST - 1);
        assert_eq!(from_station(&"🔌".repeat(300)).len(), 252);
    }
}
