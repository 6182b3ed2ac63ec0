//! An operator states what the list of a charge point should hold.

use std::collections::{HashMap, HashSet};

use service_kit::database;
use service_kit::reason::{self, FieldViolation};
use service_kit::version::{self, IfMatch};
use sqlx::PgConnection;
use thiserror::Error;
use tonic::Status;
use uuid::Uuid;
use voltgate_proto::ocpp::v1::DesireLocalListRequest;

use super::synchronize;
use super::wanted::{self, Limits, MOST_ENTRIES};
use crate::State;
use crate::audit::{self, Action, Author, Entry};
use crate::charge_point::find::{InUseError, in_use};

/// As many characters as an idTag of OCPP 1.6 has room for.
const LONGEST: usize = 20;

/// A wish that breaks no rule by itself.
#[derive(Debug)]
pub struct Desire {
    pub identity: String,
    tokens: Tokens,
    automatic: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Tokens {
    /// Every one that may charge there.
    All,
    These(Vec<String>),
}

#[derive(Debug, Error)]
pub enum DesireError {
    #[error(transparent)]
    ChargePoint(#[from] InUseError),
    #[error("what the list should hold has been changed meanwhile")]
    Changed,
    #[error("the list cannot hold that")]
    Misfit(Vec<FieldViolation>),
    #[error("the wish could not be stored")]
    Database(#[from] sqlx::Error),
}

impl From<DesireError> for Status {
    fn from(error: DesireError) -> Self {
        match error {
            DesireError::ChargePoint(error) => error.into(),
            DesireError::Changed => version::changed(),
            DesireError::Misfit(violations) => reason::invalid(violations),
            DesireError::Database(error) => database::failed(&error),
        }
    }
}

impl TryFrom<DesireLocalListRequest> for Desire {
    type Error = Vec<FieldViolation>;

    /// Collects what is wrong with every token before it refuses.
    fn try_from(request: DesireLocalListRequest) -> Result<Self, Self::Error> {
        let tokens = if request.all_tokens {
            if !request.id_tokens.is_empty() {
                let problem = "must not be given together with allTokens";
                return Err(vec![FieldViolation::new("idTokens", problem)]);
            }
            Tokens::All
        } else {
            check(&request.id_tokens)?;
            Tokens::These(request.id_tokens)
        };
        Ok(Self {
            identity: request.identity,
            tokens,
            automatic: request.automatic,
        })
    }
}

fn check(tokens: &[String]) -> Result<(), Vec<FieldViolation>> {
    if i32::try_from(tokens.len()).is_ok_and(|count| count > MOST_ENTRIES) {
        let problem = format!("must not be more than {MOST_ENTRIES}");
        return Err(vec![FieldViolation::new("idTokens", problem)]);
    }
    let (mut violations, mut seen) = (Vec::new(), HashSet::new());
    for (index, token) in tokens.iter().enumerate() {
        let is_tag = (1..=LONGEST).contains(&token.chars().count())
            && !token.chars().any(char::is_control)
            && token.trim() == token;
        let problem = if !is_tag {
            "must have 1 to 20 printable characters, and no space at either end"
        } else if !seen.insert(token.to_ascii_lowercase()) {
            "is there twice"
        } else {
            continue;
        };
        violations.push(FieldViolation::new(format!("idTokens[{index}]"), problem));
    }
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// Takes the place of the wish in the version that the caller has seen; before there is one, the version is 0. An
/// automatic one is brought to the charge point from now on.
pub async fn state(state: &State, desire: &Desire, if_match: &IfMatch, author: &Author) -> Result<(), DesireError> {
    let now = state.clock.now();
    let mut transaction = database::begin(&state.database).await?;
    let charge_point = in_use(&mut transaction, &desire.identity).await?;
    let revision = sqlx::query_scalar!(
        "SELECT revision FROM ocpp.desired_local_list WHERE charge_point_id = $1 FOR UPDATE",
        charge_point,
    )
    .fetch_optional(&mut *transaction)
    .await?;
    let is_seen = |revisions: &[i64]| revisions.contains(&revision.unwrap_or_default());
    if !if_match.revisions().is_none_or(is_seen) {
        return Err(DesireError::Changed);
    }
    let is_all = desire.tokens == Tokens::All;
    // What is under way goes on, towards what is stated now.
    sqlx::query!(
        "INSERT INTO ocpp.desired_local_list AS stored (charge_point_id, all_tokens, automatic, set_at, due_at)
         VALUES ($1, $2, $3, $4, $4)
         ON CONFLICT (charge_point_id) DO UPDATE
         SET all_tokens = excluded.all_tokens, automatic = excluded.automatic, set_at = excluded.set_at,
             due_at = excluded.due_at, revision = nextval('ocpp.revision'), problem = NULL,
             state = CASE stored.state WHEN 'pending' THEN stored.state ELSE 'idle' END",
        charge_point,
        is_all,
        desire.automatic,
        now,
    )
    .execute(&mut *transaction)
    .await?;
    let limits = wanted::limits(&mut transaction, charge_point).await?;
    let named = match &desire.tokens {
        Tokens::All => name(&mut transaction, charge_point, &[], limits).await?,
        Tokens::These(tokens) => name(&mut transaction, charge_point, tokens, limits).await?,
    };
    if is_all && wanted::count(&mut transaction, charge_point, now, limits.entries + 1).await? > limits.entries {
        let problem = format!("are more than the {} that the list has room for", limits.entries);
        return Err(DesireError::Misfit(vec![FieldViolation::new("allTokens", problem)]));
    }
    // Which they are may be many, and codes among them.
    let entry = Entry::new(Action::LocalListDesired, now, author)
        .on_charge_point(&desire.identity)
        .with("allTokens", Some(is_all))
        .with("idTokens", Some(named).filter(|_| !is_all))
        .with("automatic", Some(desire.automatic));
    audit::record(&mut transaction, entry).await?;
    if desire.automatic {
        let began = synchronize::begin(&mut transaction, &[charge_point], &author.to_string(), now).await?;
        synchronize::told(&mut transaction, &began, &desire.identity, author, now).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Puts tokens in the place of those that were named before. Returns how many.
async fn name(
    connection: &mut PgConnection,
    charge_point: Uuid,
    tokens: &[String],
    limits: Limits,
) -> Result<usize, DesireError> {
    let values: Vec<String> = tokens.iter().map(|token| token.to_ascii_lowercase()).collect();
    // In collation "C" lower() changes ASCII letters only.
    let known = sqlx::query!(
        r#"SELECT lower(value) AS "value!", type = 'KeyCode' AS "is_code!" FROM ocpp.id_token WHERE lower(value) = ANY($1)"#,
        &values,
    )
    .fetch_all(&mut *connection)
    .await?;
    let known: HashMap<_, _> = known.into_iter().map(|token| (token.value, token.is_code)).collect();
    let mut misfits: Vec<_> = values
        .iter()
        .enumerate()
        .filter(|(_, value)| !known.contains_key(*value))
        .map(|(index, _)| FieldViolation::new(format!("idTokens[{index}]"), "is no registered id token"))
        .collect();
    if usize::try_from(limits.entries).is_ok_and(|most| tokens.len() > most) {
        let problem = format!(
            "must not be more than the {} that the list has room for",
            limits.entries
        );
        misfits.push(FieldViolation::new("idTokens", problem));
    }
    if !misfits.is_empty() {
        return Err(DesireError::Misfit(misfits));
    }
    let are_codes: Vec<bool> = values
        .iter()
        .map(|value| known.get(value).copied().unwrap_or_default())
        .collect();
    sqlx::query!(
        "DELETE FROM ocpp.desired_local_list_token WHERE charge_point_id = $1",
        charge_point
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO ocpp.desired_local_list_token (charge_point_id, id_token, is_code)
         SELECT $1, id_token, is_code FROM unnest($2::text[], $3::boolean[]) AS named (id_token, is_code)",
        charge_point,
        tokens,
        &are_codes,
    )
    .execute(connection)
    .await?;
    Ok(tokens.len())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn wrong(id_tokens: &[&str], all_tokens: bool) -> Vec<String> {
        let request = DesireLocalListRequest {
            identity: "CP1".to_owned(),
            id_tokens: id_tokens.iter().map(|token| (*token).to_owned()).collect(),
            all_tokens,
            automatic: false,
        };
        match Desire::try_from(request) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        }
    }

    #[test]
    fn every_token_that_is_wrong_is_named_at_once() {
        let long = "x".repeat(21);
        assert_eq!(
            wrong(&["A", "", "a", " b", &long, "B"], false),
            ["idTokens[1]", "idTokens[2]", "idTokens[3]", "idTokens[4]"]
        );
    }

    #[test]
    fn a_list_holds_some_tokens_or_none_or_all() {
        assert_eq!(wrong(&["A"], false), [""; 0]);
        assert_eq!(wrong(&[], false), [""; 0]);
        assert_eq!(wrong(&[], true), [""; 0]);
        assert_eq!(wrong(&["A"], true), ["idTokens"]);
        let many: Vec<String> = (0..=MOST_ENTRIES).map(|number| number.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(wrong(&many, false), ["idTokens"]);
        assert_eq!(wrong(&many[1..], false), [""; 0]);
    }
}
