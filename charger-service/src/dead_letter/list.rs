//! Dead letters as the API shows them, one or a page of them.

use service_kit::dead_letter::{self, DeadLetterError, Page};
use service_kit::event::timestamp;
use sqlx::PgPool;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::{DeadLetter, ListDeadLettersResponse};

fn told(letter: dead_letter::DeadLetter) -> DeadLetter {
    DeadLetter {
        id: letter.id.to_string(),
        event_id: letter.event_id.map(|id| id.to_string()),
        r#type: letter.kind,
        source: letter.source,
        reason: letter.reason,
        redrives: letter.redrives,
        died_at: Some(timestamp(letter.died_at)),
        body: letter.body.into(),
    }
}

pub(super) async fn list(database: &PgPool, page: Page) -> Result<ListDeadLettersResponse, DeadLetterError> {
    let (letters, next_page_token) = dead_letter::list(database, page).await?;
    Ok(ListDeadLettersResponse {
        dead_letters: letters.into_iter().map(told).collect(),
        next_page_token,
    })
}

pub(super) async fn get(database: &PgPool, id: Uuid) -> Result<DeadLetter, DeadLetterError> {
    Ok(told(dead_letter::get(database, id).await?))
}
