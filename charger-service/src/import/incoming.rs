//! A file that comes in: read whole, within bounds, and taken apart into rows.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use prost::bytes::Bytes;
use service_kit::reason::{self, Reason};
use thiserror::Error;
use tokio::time::timeout;
use tonic::{Request, Status, Streaming};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::ImportRequest;

use super::faults::Faults;
use super::row::Row;
use super::{Fields, Import, MOST_ROWS, lines, sheet};
use crate::State;
use crate::audit::Author;
use crate::command::send::idempotency_key;
use crate::file::incoming::{Broken, chunks, first};

/// A file may have this many bytes.
const LARGEST: usize = 8 * 1024 * 1024;

/// All of it must be here within this time.
const READING: Duration = Duration::from_secs(60);

/// When one that is sent away should try again.
const RETRY_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Lines,
}

#[derive(Debug, Error)]
pub enum ImportError {
    #[error("too many files are being imported")]
    Busy,
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("the file is neither CSV nor lines of JSON")]
    MediaType,
    #[error("the file has more than {LARGEST} bytes")]
    TooLarge,
    #[error("the file has more than {MOST_ROWS} rows")]
    TooLong,
    #[error("the rows could not be read")]
    Crashed(#[from] tokio::task::JoinError),
}

impl From<ImportError> for Status {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Busy => {
                Reason::Overloaded.retry_after(RETRY_AFTER, "Too many files are being imported just now")
            }
            ImportError::Broken(broken) => broken.into(),
            ImportError::MediaType => {
                Reason::UnsupportedMediaType.status("The body must be text/csv or application/x-ndjson")
            }
            ImportError::TooLarge => Reason::PayloadTooLarge.status(format!("A file may have {LARGEST} bytes")),
            ImportError::TooLong => Reason::PayloadTooLarge.status(format!("A file may have {MOST_ROWS} rows")),
            ImportError::Crashed(error) => reason::internal(&error),
        }
    }
}

/// Takes a file in, and reads its rows.
///
/// # Errors
/// There is no such file. What is wrong with its rows stands with it.
pub async fn take_in(
    state: &State,
    request: Request<Streaming<ImportRequest>>,
    fields: Fields,
) -> Result<Import, Status> {
    let author = Author::of(&request);
    let idempotency_key = idempotency_key(request.metadata()).map_err(reason::invalid)?;
    let place = state.imports.enter().ok_or(ImportError::Busy)?;
    let mut messages = request.into_inner();
    let ImportRequest { dry_run, body } = first(&mut messages).await?;
    let content_type = body.as_ref().map_or("", |body| body.content_type.as_str());
    let format = Format::of(content_type).ok_or(ImportError::MediaType)?;
    let bytes = collect(chunks(body, messages, |message| message.body)).await?;
    // Under a key, since there may be passwords in it.
    let digest = state.passwords.fingerprint(&[b"import", format.name(), &bytes]);
    // It takes longer than others that run here want to wait.
    let reading = tokio::task::spawn_blocking(move || read(&bytes, format, fields));
    let (rows, faults) = reading.await.map_err(ImportError::Crashed)??;
    Ok(Import {
        id: Uuid::now_v7(),
        author,
        idempotency_key,
        digest,
        dry_run,
        rows,
        faults,
        _place: place,
    })
}

async fn collect(mut chunks: impl Stream<Item = Result<Bytes, Broken>> + Unpin) -> Result<Vec<u8>, ImportError> {
    let all = async {
        let mut bytes = Vec::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            if bytes.len() + chunk.len() > LARGEST {
                return Err(ImportError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    };
    timeout(READING, all).await.unwrap_or(Err(Broken::Silent.into()))
}

impl Format {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Csv => b"csv",
            Self::Lines => b"lines",
        }
    }

    fn of(content_type: &str) -> Option<Self> {
        let essence = content_type.split(';').next()?.trim();
        match essence.to_ascii_lowercase().as_str() {
            "text/csv" => Some(Self::Csv),
            "application/x-ndjson" => Some(Self::Lines),
            _ => None,
        }
    }
}

fn read(bytes: &[u8], format: Format, fields: Fields) -> Result<(Vec<Row>, Faults), ImportError> {
    let mut faults = Faults::default();
    // Spreadsheets put a mark before it that says that it is UTF-8.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let line = bytes[..error.valid_up_to()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count()
                + 1;
            faults.note(line, "", "is not in UTF-8");
            return Ok((Vec::new(), faults));
        }
    };
    let rows = match format {
        Format::Csv => sheet::rows(text, fields, &mut faults),
        Format::Lines => lines::rows(text, fields, &mut faults),
    }?;
    if rows.is_empty() && faults.is_empty() {
        faults.note(1, "", "is all there is: there are no rows");
    }
    Ok((rows, faults))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::THINGS;
    use super::*;

    fn faults(bytes: &[u8], format: Format) -> Vec<String> {
        let (_, faults) = read(bytes, format, THINGS).unwrap();
        faults
            .told()
            .iter()
            .map(|fault| format!("{} {}", fault.field, fault.message))
            .collect()
    }

    #[test]
    fn a_file_is_known_by_its_media_type_whatever_its_parameters() {
        assert_eq!(Format::of("Text/CSV; charset=utf-8"), Some(Format::Csv));
        assert_eq!(Format::of("application/x-ndjson"), Some(Format::Lines));
        for other in ["", "application/json", "text/csvx"] {
            assert_eq!(Format::of(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_no_text_is_told_by_its_line_and_a_file_of_nothing_is_none() {
        assert_eq!(faults(b"name\na\n\xff\n", Format::Csv), ["lines[3] is not in UTF-8"]);
        for nothing in ["", "\u{feff}", "name\n", "name\n\n\n"] {
            assert_eq!(
                faults(nothing.as_bytes(), Format::Csv),
                ["lines[1] is all there is: there are no rows"],
                "{nothing:?}"
            );
        }
        assert_eq!(
            faults(b"\n\n", Format::Lines),
            ["lines[1] is all there is: there are no rows"]
        );
    }

    #[test]
    fn there_are_so_many_rows_and_no_more() {
        let file = |rows: usize| format!("name\n{}", "a\n".repeat(rows));
        assert_eq!(
            read(file(MOST_ROWS).as_bytes(), Format::Csv, THINGS).unwrap().0.len(),
            MOST_ROWS
        );
        assert!(matches!(
            read(file(MOST_ROWS + 1).as_bytes(), Format::Csv, THINGS),
            Err(ImportError::TooLong)
        ));
        let lines = "{\"name\":\"a\"}\n".repeat(MOST_ROWS + 1);
        assert!(matches!(
            read(lines.as_bytes(), Format::Lines, THINGS),
            Err(ImportError::TooLong)
        ));
    }
}
