//! Where files come from and go to. Such a URL may let whoever has it in: charge points use FTP too, where user and password
//! are part of it, and a URL of our own is good for one transfer by the token in it.

use serde_json::Value;

use super::STARS;

/// Below it stands the token of a URL of our own.
pub const TRANSFERS: &str = "/ocpp/transfers/";

/// Where a location stands in the payloads that have one.
const PLACES: [&str; 3] = ["/location", "/log/remoteLocation", "/firmware/location"];

/// Whether the payload of a CALL may have a location.
pub fn is_in(action: &str) -> bool {
    matches!(
        action,
        "GetDiagnostics" | "GetLog" | "SignedUpdateFirmware" | "UpdateFirmware"
    )
}

pub fn hide_all(payload: &mut Value) {
    for place in PLACES {
        if let Some(Value::String(url)) = payload.pointer_mut(place) {
            *url = without_credentials(url);
        }
    }
}

/// Whether the payload of a CALLRESULT may have the name of a file, for which some charge points take the whole URL.
pub fn names_file(action: &str) -> bool {
    matches!(action, "GetDiagnostics" | "GetLog")
}

pub fn hide_file_name(payload: &mut Value) {
    for place in ["/fileName", "/filename"] {
        if let Some(Value::String(name)) = payload.pointer_mut(place) {
            *name = without_credentials(name);
        }
    }
}

/// Whether a location in the payload has lost what lets in.
pub fn is_hidden_in(payload: &Value) -> bool {
    let locations = PLACES.iter().filter_map(|place| payload.pointer(place)?.as_str());
    let hidden = [format!("{STARS}@"), format!("{TRANSFERS}{STARS}")];
    locations
        .into_iter()
        .any(|url| hidden.iter().any(|hidden| url.contains(hidden)))
}

/// A URL without user, password and token, and otherwise as it is.
pub fn without_credentials(url: &str) -> String {
    let (scheme, rest) = match url.find("://") {
        Some(end) => url.split_at(end + "://".len()),
        None => ("", url),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let shown = match authority.rsplit_once('@') {
        Some((credentials, _)) => format!("{scheme}{STARS}{}", &rest[credentials.len()..]),
        None => url.to_owned(),
    };
    without_token(&shown)
}

fn without_token(url: &str) -> String {
    let Some((before, after)) = url.split_once(TRANSFERS) else {
        return url.to_owned();
    };
    let token = after.split(['/', '?', '#']).next().unwrap_or_default();
    if token.is_empty() {
        return url.to_owned();
    }
    format!("{before}{TRANSFERS}{STARS}{}", &after[token.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_in_a_location_are_hidden_and_nothing_else() {
        for (url, shown) in [
            ("ftp://user:pass@example.com/f.bin", "ftp://***@example.com/f.bin"),
            ("ftp://us@er:p@ss@example.com", "ftp://***@example.com"),
            ("user:pass@example.com/f.bin", "***@example.com/f.bin"),
            ("https://example.com/a@b?c=@", "https://example.com/a@b?c=@"),
            ("https://example.com?c=@", "https://example.com?c=@"),
            ("somewhere", "somewhere"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }

    #[test]
    fn the_token_of_a_url_of_our_own_is_hidden_and_the_name_of_the_file_is_not() {
        for (url, shown) in [
            (
                "https://example.com/ocpp/transfers/abc/f.bin",
                "https://example.com/ocpp/transfers/***/f.bin",
            ),
            (
                "https://example.com/x/ocpp/transfers/abc/",
                "https://example.com/x/ocpp/transfers/***/",
            ),
            (
                "https://example.com/ocpp/transfers/",
                "https://example.com/ocpp/transfers/",
            ),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }
}
