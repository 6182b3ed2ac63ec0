//! Says ahead that a certificate runs out: as a metric, and in the log.

use std::path::{Path, PathBuf};

use chrono::{DateTime, TimeDelta, Utc};

use super::certificate::Certificate;
use super::files::Files;

/// From then on the log says so, once a day.
const AHEAD: TimeDelta = TimeDelta::days(30);
const EVERY: TimeDelta = TimeDelta::days(1);

/// When the certificates in some files end.
#[derive(Debug)]
pub struct Expiry {
    /// The earliest end in each file.
    ends: Vec<(PathBuf, DateTime<Utc>)>,
    said: Option<DateTime<Utc>>,
}

/// How much longer a certificate is good.
#[derive(Debug, Eq, PartialEq)]
enum Left {
    Enough,
    Days(i64),
    Nothing,
}

impl Expiry {
    /// Sets the metric `voltgate_tls_certificate_expiry_timestamp_seconds` of each file.
    pub fn of(files: &Files) -> Self {
        let ends = files
            .paths()
            .filter_map(|path| Some((path.to_owned(), end(files, path)?)));
        let ends: Vec<_> = ends.collect();
        for (path, end) in &ends {
            let file = path.display().to_string();
            #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^52")]
            metrics::gauge!("voltgate_tls_certificate_expiry_timestamp_seconds", "file" => file)
                .set(end.timestamp() as f64);
        }
        Self { ends, said: None }
    }

    /// To be called often; says something at most once a day.
    pub fn tell(&mut self, now: DateTime<Utc>) {
        if self.said.is_some_and(|said| now < said + EVERY) {
            return;
        }
        self.said = Some(now);
        for (path, end) in &self.ends {
            let file = path.display();
            match left(*end, now) {
                Left::Enough => {}
                Left::Days(days) => tracing::warn!(%file, %end, days, "A certificate expires soon"),
                Left::Nothing => tracing::error!(%file, %end, "A certificate has expired"),
            }
        }
    }
}

fn end(files: &Files, path: &Path) -> Option<DateTime<Utc>> {
    let certificates = files.certificates(path).ok()?;
    let ends = certificates.iter().filter_map(|der| Certificate::parse(der).ok());
    ends.map(|certificate| certificate.not_after).min()
}

fn left(end: DateTime<Utc>, now: DateTime<Utc>) -> Left {
    match end - now {
        left if left <= TimeDelta::zero() => Left::Nothing,
        left if left <= AHEAD => Left::Days(left.num_days()),
        _ => Left::Enough,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_near_a_month_ahead() {
        let now = Utc::now();
        assert_eq!(left(now + TimeDelta::days(31), now), Left::Enough);
        assert_eq!(left(now + TimeDelta::days(29), now), Left::Days(29));
        assert_eq!(left(now + TimeDelta::hours(1), now), Left::Days(0));
        assert_eq!(left(now, now), Left::Nothing);
    }
}
