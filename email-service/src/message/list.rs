//! Messages, newest first, a page at a time.

use service_kit::database;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use uuid::Uuid;
use voltgate_proto::email::v1::{ListMessagesRequest, ListMessagesResponse};

use super::{Message, Status};

/// Which messages, and from where on.
#[derive(Debug)]
pub(crate) struct Filter {
    status: Option<Status>,
    recipient: Option<String>,
    template: Option<String>,
    size: PageSize,
    /// The last message of the page before.
    after: Option<Uuid>,
}

impl TryFrom<ListMessagesRequest> for Filter {
    type Error = Vec<FieldViolation>;

    /// Collects all that is wrong with the request before it refuses.
    fn try_from(request: ListMessagesRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let status = request.status.as_deref().map(Status::parse);
        if status == Some(None) {
            let names: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
            let problem = format!("must be one of {}", names.join(", "));
            violations.push(FieldViolation::new("status", problem));
        }
        let page = page::parse(request.page_size, &request.page_token).map_err(|problems| violations.extend(problems));
        for (field, text) in [("recipient", &request.recipient), ("template", &request.template)] {
            if text.as_ref().is_some_and(|text| text.contains('\0')) {
                violations.push(FieldViolation::new(field, "must not contain a null character"));
            }
        }
        match page {
            Ok((size, after)) if violations.is_empty() => Ok(Self {
                status: status.flatten(),
                recipient: request.recipient,
                template: request.template,
                size,
                after,
            }),
            _ => Err(violations),
        }
    }
}

pub(crate) async fn list(database: &PgPool, filter: &Filter) -> Result<ListMessagesResponse, sqlx::Error> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let mut messages = sqlx::query_as!(
        Message,
        r#"
        SELECT id, event_id, template, recipient, language, status, attempts, last_error, possibly_duplicate, created_at, sent_at,
            next_attempt_at, resend_of
        FROM email.message
        WHERE id < $1
            AND ($2::text IS NULL OR status = $2)
            AND ($3::text IS NULL OR lower(recipient) = lower($3))
            AND ($4::text IS NULL OR template = $4)
        ORDER BY id DESC
        LIMIT $5
        "#,
        filter.after.unwrap_or(Uuid::max()),
        filter.status.map(Status::as_str),
        filter.recipient,
        filter.template,
        filter.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = filter.size.cut(&mut messages, |last| last.id);
    Ok(ListMessagesResponse {
        messages: messages.into_iter().map(Into::into).collect(),
        next_page_token,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        let request = ListMessagesRequest {
            status: Some("lost".to_owned()),
            page_size: 1001,
            page_token: "???".to_owned(),
            recipient: Some("\0".to_owned()),
            template: Some("\0".to_owned()),
        };
        let violations = Filter::try_from(request).unwrap_err();
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["status", "pageSize", "pageToken", "recipient", "template"]);
    }

    #[test]
    fn nothing_is_required() {
        let filter = Filter::try_from(ListMessagesRequest::default()).unwrap();
        assert_eq!(filter.status, None);
        assert_eq!(filter.after, None);
    }
}
