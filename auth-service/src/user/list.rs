//! Accounts by username, a page at a time.

use service_kit::access::Role;
use service_kit::database;
use service_kit::page::{self, PageSize};
use service_kit::reason::FieldViolation;
use sqlx::PgPool;
use voltgate_proto::auth::v1::{ListUsersRequest, ListUsersResponse, User};

use super::{Row, UserError};
use crate::username::key_of;

/// No username and no address is longer, in characters.
const LONGEST: usize = 254;

pub struct Page {
    size: PageSize,
    /// The last key seen.
    after: Option<String>,
    /// How keys begin.
    search: String,
    email: Option<String>,
    role: Option<Role>,
    disabled: Option<bool>,
}

impl TryFrom<ListUsersRequest> for Page {
    type Error = Vec<FieldViolation>;

    fn try_from(request: ListUsersRequest) -> Result<Self, Self::Error> {
        let mut violations = Vec::new();
        let page = page::parse(request.page_size, &request.page_token).map_err(|problems| violations.extend(problems));
        let role = Role::parse(&request.role);
        if role.is_none() && !request.role.is_empty() {
            violations.push(FieldViolation::new("role", "must be `admin`, `operator` or `driver`"));
        }
        for (field, text) in [("search", &request.search), ("email", &request.email)] {
            if text.contains('\0') {
                violations.push(FieldViolation::new(field, "must not contain a null character"));
            }
            if text.chars().count() > LONGEST {
                violations.push(FieldViolation::new(
                    field,
                    format!("has more than {LONGEST} characters"),
                ));
            }
        }
        match page {
            Ok((size, after)) if violations.is_empty() => Ok(Self {
                size,
                after,
                search: key_of(&request.search),
                email: Some(request.email).filter(|email| !email.is_empty()),
                role,
                disabled: request.disabled,
            }),
            _ => Err(violations),
        }
    }
}

pub async fn list(database: &PgPool, page: Page) -> Result<ListUsersResponse, UserError> {
    let mut connection = database::begin(database).await?;
    database::plan_for_values(&mut connection).await?;
    let mut rows = sqlx::query_as!(
        Row,
        r#"SELECT id, username, username_key, email, email_verified_at, roles, site_groups, disabled_at, password_reset_required,
                  created_at, revision
           FROM authentication.account
           WHERE username_key COLLATE "C" > $1 AND username_key COLLATE "C" >= $2
             AND ($3::text IS NULL OR username_key COLLATE "C" < $3)
             AND ($4::text IS NULL OR lower(email) = lower($4))
             AND ($5::text IS NULL OR $5 = ANY (roles))
             AND ($6::boolean IS NULL OR (disabled_at IS NOT NULL) = $6)
           ORDER BY username_key COLLATE "C" LIMIT $7"#,
        page.after.unwrap_or_default(),
        page.search,
        after_all_that_begin_with(&page.search),
        page.email,
        page.role.map(Role::as_str),
        page.disabled,
        page.size.limit(),
    )
    .fetch_all(&mut *connection)
    .await?;
    let next_page_token = page.size.cut(&mut rows, |row| row.username_key.clone());
    Ok(ListUsersResponse {
        users: rows.into_iter().map(User::from).collect(),
        next_page_token,
    })
}

/// In byte order, the first text after all that begin with `prefix`, so that an index finds them as a range. None where
/// there is no such text.
fn after_all_that_begin_with(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_comes_after_everything() {
        assert_eq!(after_all_that_begin_with(""), None);
        assert_eq!(after_all_that_begin_with("\u{10FFFF}"), None);
        assert_eq!(after_all_that_begin_with("a\u{10FFFF}"), Some("b".to_owned()));
    }

    proptest! {
        #[test]
        fn a_range_holds_what_begins_with_the_prefix_and_nothing_else(prefix in "\\PC{1,5}", text in "\\PC{0,8}") {
            if let Some(end) = after_all_that_begin_with(&prefix) {
                let is_in_range = text >= prefix && text < end;
                prop_assert_eq!(is_in_range, text.starts_with(&prefix));
                let longer = format!("{prefix}{text}");
                prop_assert!(longer >= prefix && longer < end);
            }
        }
    }
}
