//! One JSON object a line: when, how grave, what, and the fields of the event and of the spans around it. Where the task works for
//! a request, the line says which, and in which trace.

use std::fmt::{self, Debug};

use chrono::{SecondsFormat, Utc};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::redact::{REDACTED, is_secret};
use crate::trace;

/// The format. Fields of spans must be kept as JSON, too.
#[derive(Debug)]
pub struct Json;

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let mut line = Line(String::with_capacity(512));
        line.0.push('{');
        line.text("timestamp", &now());
        line.text("level", metadata.level().as_str());
        event.record(&mut line);
        line.text("target", metadata.target());
        let mut told = Told::default();
        event.record(&mut told);
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            if let Some(fields) = extensions.get::<FormattedFields<N>>()
                && let Ok(fields) = serde_json::from_str::<Map<String, Value>>(fields)
            {
                for (name, value) in fields {
                    told.note(&name);
                    line.value(&name, &value);
                }
            }
        }
        trace::with_current(|place| {
            if !told.request
                && let Some(id) = place.request.as_ref().and_then(|id| id.to_str().ok())
            {
                line.text("request_id", id);
            }
            if !told.trace {
                line.text("trace_id", &place.context.trace_id.to_string());
            }
        });
        line.0.push('}');
        writeln!(writer, "{}", line.0)
    }
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Which of the names that every line of a request has are told already.
#[derive(Default)]
struct Told {
    request: bool,
    trace: bool,
}

impl Told {
    fn note(&mut self, name: &str) {
        self.request |= name == "request_id";
        self.trace |= name == "trace_id";
    }
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, _: &dyn Debug) {
        self.note(field.name());
    }
}

/// An object that is being written.
struct Line(String);

impl Line {
    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.string(name);
        self.0.push(':');
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        if is_secret(name) {
            self.string(REDACTED);
        } else {
            self.string(value);
        }
    }

    fn value(&mut self, name: &str, value: &Value) {
        match value {
            Value::String(text) => self.text(name, text),
            other => {
                self.name(name);
                if is_secret(name) {
                    self.string(REDACTED);
                } else {
                    self.0.push_str(&other.to_string());
                }
            }
        }
    }

    /// A number or a truth value tells no secret.
    fn plain(&mut self, name: &str, value: impl fmt::Display) {
        use fmt::Write as _;
        self.name(name);
        // A String takes whatever there is.
        let _written = write!(self.0, "{value}");
    }

    /// With everything escaped that would end it, or the line.
    fn string(&mut self, text: &str) {
        use fmt::Write as _;
        self.0.push('"');
        let mut plain = 0;
        for (at, byte) in text.bytes().enumerate() {
            if byte >= b' ' && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.0.push_str(&text[plain..at]);
            plain = at + 1;
            match byte {
                b'"' => self.0.push_str("\\\""),
                b'\\' => self.0.push_str("\\\\"),
                b'\n' => self.0.push_str("\\n"),
                b'\r' => self.0.push_str("\\r"),
                b'\t' => self.0.push_str("\\t"),
                control => {
                    let _written = write!(self.0, "\\u{control:04x}");
                }
            }
        }
        self.0.push_str(&text[plain..]);
        self.0.push('"');
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.plain(field.name(), value);
        } else {
            self.text(field.name(), &value.to_string());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.plain(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.plain(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.plain(field.name(), value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    /// With what caused it, which says more.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let causes = std::iter::successors(value.source(), |error| error.source());
        let text = causes.fold(value.to_string(), |text, cause| format!("{text}: {cause}"));
        self.text(field.name(), &text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.text(field.name(), &format!("{value:?}"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use http::HeaderValue;
    use tracing_subscriber::fmt::format::JsonFields;

    use super::*;
    use crate::log::Redacting;
    use crate::trace::{Parent, SpanKind, Tracer};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that are logged meanwhile.
    fn logged(work: impl FnOnce()) -> Vec<Value> {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .event_format(Json)
            .fmt_fields(JsonFields::new())
            .with_writer(Redacting(move || writer.clone()))
            .finish();
        tracing::subscriber::with_default(subscriber, work);
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).expect(line))
            .collect()
    }

    #[test]
    fn a_line_is_an_object_whatever_it_holds() {
        let hostile = "a\"b\\c\nd\u{0}\u{7f}\u{e4}\u{1f600}";
        let lines = logged(|| {
            tracing::warn!(hostile, number = -1, part = 0.5, not = f64::NAN, ok = true, debug = ?Some("x"), "{hostile}");
        });
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(line["message"], hostile);
        assert_eq!(line["hostile"], hostile);
        assert_eq!((&line["number"], &line["part"]), (&Value::from(-1), &Value::from(0.5)));
        assert_eq!((&line["not"], &line["ok"]), (&Value::from("NaN"), &Value::from(true)));
        assert_eq!(
            (&line["level"], &line["debug"]),
            (&Value::from("WARN"), &Value::from("Some(\"x\")"))
        );
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn what_stands_under_the_name_of_a_secret_is_not_written() {
        let lines = logged(|| {
            let span = tracing::info_span!("session", identity = "CP1", password = "hunter2");
            let _entered = span.enter();
            tracing::info!(access_token = "hunter2", url = "amqp://u:hunter2@host", "said");
        });
        assert_eq!(lines[0]["access_token"], "[redacted]");
        assert_eq!(lines[0]["password"], "[redacted]");
        assert_eq!(lines[0]["identity"], "CP1");
        assert!(!lines[0].to_string().contains("hunter2"), "{}", lines[0]);
    }

    #[test]
    fn a_line_says_for_which_request_and_trace_it_was_written() {
        let span = Tracer::default().begin(Parent::None, SpanKind::Server, || "".into());
        let span = span.of_request(Some(HeaderValue::from_static("request-1")));
        let trace = span.context().unwrap().trace_id.to_string();
        let lines = logged(|| {
            tracing::info!("outside");
            let work = async {
                tracing::info!("inside");
                tracing::info!(request_id = "another", "told");
            };
            futures_util::FutureExt::now_or_never(span.scope(work)).unwrap();
        });
        assert_eq!(lines[0].get("trace_id"), None);
        assert_eq!(
            (&lines[1]["request_id"], &lines[1]["trace_id"]),
            (&"request-1".into(), &trace.into())
        );
        assert_eq!(lines[2]["request_id"], "another");
    }
}
