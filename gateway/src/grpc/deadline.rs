//! How long a call may take: `grpc-timeout`, as the caller sets it and the gateway caps it.

use std::time::Duration;

use http::header::{HeaderMap, HeaderValue};
use service_kit::deadline;
use service_kit::reason::Reason;
use tonic::Status;

/// Settles the time that a call has, and says so to the service. A call of one message each way is bounded whatever its
/// caller says; a stream may go on for as long as its caller wants.
///
/// # Errors
/// The caller's timeout is none.
pub fn settle(headers: &mut HeaderMap, cap: Option<Duration>) -> Result<Option<Duration>, Status> {
    let asked = match headers.get(deadline::HEADER) {
        Some(value) => {
            Some(deadline::parse(value).ok_or_else(|| Reason::InvalidRequest.status("grpc-timeout cannot be read"))?)
        }
        None => None,
    };
    match (asked, cap) {
        (Some(asked), Some(cap)) if asked <= cap => Ok(Some(asked)),
        (_, Some(cap)) => {
            headers.insert(deadline::HEADER, write(cap));
            Ok(Some(cap))
        }
        (asked, None) => Ok(asked),
    }
}

/// In milliseconds, of which eight digits are more than a day.
fn write(timeout: Duration) -> HeaderValue {
    let milliseconds = timeout.as_millis().min(99_999_999);
    HeaderValue::from_str(&format!("{milliseconds}m")).unwrap_or_else(|_| HeaderValue::from_static("1S"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: Duration = Duration::from_secs(30);

    fn settled(asked: Option<&'static str>, cap: Option<Duration>) -> Option<(Option<Duration>, Option<String>)> {
        let mut headers = HeaderMap::new();
        headers.extend(asked.map(|asked| (deadline::HEADER, HeaderValue::from_static(asked))));
        let time = settle(&mut headers, cap).ok()?;
        let sent = headers
            .get(deadline::HEADER)
            .map(|value| value.to_str().expect("a text").to_owned());
        Some((time, sent))
    }

    #[test]
    fn a_shorter_time_is_kept_as_it_was_written() {
        let kept = Some((Some(Duration::from_micros(1500)), Some("1500u".to_owned())));
        assert_eq!(settled(Some("1500u"), Some(CAP)), kept);
    }

    #[test]
    fn a_longer_time_or_none_becomes_the_cap() {
        let capped = Some((Some(CAP), Some("30000m".to_owned())));
        assert_eq!(settled(Some("1H"), Some(CAP)), capped);
        assert_eq!(settled(None, Some(CAP)), capped);
    }

    #[test]
    fn a_stream_has_the_time_that_its_caller_wants() {
        assert_eq!(settled(None, None), Some((None, None)));
        let hour = Some((Some(Duration::from_secs(3600)), Some("1H".to_owned())));
        assert_eq!(settled(Some("1H"), None), hour);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for wrong in ["", "S", "1", "1x", "-1S", "+1S", "123456789S", "1.5S"] {
            assert_eq!(settled(Some(wrong), Some(CAP)), None, "{wrong}");
        }
    }
}
