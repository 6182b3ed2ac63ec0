//! Why a charge costs what it costs: each frame that told of it, each decision, and each line of the cost, in the order in which they
//! came, in plain words. For whoever has to answer a driver who doubts the bill.
//!
//! Nothing is kept for it: the steps are told from what is there anyway, so they cannot say anything but what the bill was made of.

mod bill;
mod decisions;
mod facts;
mod frames;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use service_kit::database;
use service_kit::event::timestamp;
use service_kit::page::{self, PageSize};
use service_kit::reason::{self, FieldViolation, Reason};
use thiserror::Error;
use tonic::{Request, Response, Status};
use uuid::Uuid;
use voltgate_proto::ocpp::v1::explanation_service_server::ExplanationService;
use voltgate_proto::ocpp::v1::{ExplainTransactionRequest, ExplainedFrame, Explanation, ExplanationStep};

use self::facts::Facts;
use crate::State;

pub struct Grpc(pub Arc<State>);

#[tonic::async_trait]
impl ExplanationService for Grpc {
    async fn explain_transaction(
        &self,
        request: Request<ExplainTransactionRequest>,
    ) -> Result<Response<Explanation>, Status> {
        let page = Page::try_from(request.into_inner()).map_err(reason::invalid)?;
        let explanation = explain(&self.0, page).await?;
        Ok(Response::new(explanation))
    }
}

#[derive(Debug)]
struct Page {
    transaction_id: i32,
    size: PageSize,
    /// Time and id of the last frame seen.
    after: Option<(DateTime<Utc>, Uuid)>,
}

impl TryFrom<ExplainTransactionRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ExplainTransactionRequest) -> Result<Self, Self::Error> {
        let (size, after) = page::parse(request.page_size, &request.page_token)?;
        Ok(Self {
            transaction_id: request.transaction_id,
            size,
            after,
        })
    }
}

#[derive(Debug, Error)]
enum ExplainError {
    #[error("there is no such transaction")]
    NotFound,
    #[error("the transaction could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<ExplainError> for Status {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::NotFound => Reason::NotFound.status("There is no transaction of this id"),
            ExplainError::Database(error) => database::failed(&error),
        }
    }
}

/// One thing that happened.
#[derive(Debug)]
struct Step {
    at: DateTime<Utc>,
    text: String,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Frame(Box<ExplainedFrame>),
    Decision,
    /// How much, in which currency.
    Cost(String, String),
}

impl Step {
    fn decision(at: DateTime<Utc>, text: impl Into<String>) -> Self {
        Self {
            at,
            text: text.into(),
            kind: Kind::Decision,
        }
    }
}

impl From<Step> for ExplanationStep {
    fn from(step: Step) -> Self {
        let plain = Self {
            at: Some(timestamp(step.at)),
            text: step.text,
            ..Self::default()
        };
        match step.kind {
            Kind::Frame(frame) => Self {
                kind: "frame".to_owned(),
                frame: Some(*frame),
                ..plain
            },
            Kind::Decision => Self {
                kind: "decision".to_owned(),
                ..plain
            },
            Kind::Cost(amount, currency) => Self {
                kind: "cost".to_owned(),
                amount: Some(amount),
                currency: Some(currency),
                ..plain
            },
        }
    }
}

async fn explain(state: &State, page: Page) -> Result<Explanation, ExplainError> {
    let mut connection = database::begin(&state.database).await?;
    let facts = Facts::read(&mut connection, page.transaction_id)
        .await?
        .ok_or(ExplainError::NotFound)?;
    let now = state.clock.now();
    let frames = frames::read(&mut connection, &facts, page.size, page.after, now).await?;
    let mut decisions = decisions::read(&mut connection, &facts).await?;
    if page.after.is_none() && !frames.tell_the_start {
        decisions.push(decisions::forgotten(&facts));
    }
    // Each is told on the page whose frames it lies between.
    let since = page.after.map(|(at, _)| at);
    decisions
        .retain(|step| since.is_none_or(|since| step.at > since) && frames.until.is_none_or(|until| step.at <= until));
    let mut steps = frames.steps;
    steps.append(&mut decisions);
    // What was made of a frame follows it.
    steps.sort_by_key(|step| step.at);
    if frames.until.is_none() {
        steps.extend(bill::read(&mut connection, page.transaction_id, now).await?);
    }
    Ok(Explanation {
        steps: steps.into_iter().map(ExplanationStep::from).collect(),
        next_page_token: frames.next_page_token,
    })
}
