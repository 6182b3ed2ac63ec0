//! The one who calls, once it is known who that is.

use std::fmt;
use std::sync::Arc;

use uuid::Uuid;
use voltgate_proto::api::v1 as api;

use super::scope::Scopes;

/// What an account may do.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Role {
    /// Runs the installation.
    Admin,
    /// Runs charge points.
    Operator,
    /// Charges a vehicle.
    Driver,
}

impl Role {
    /// As it stands in tokens and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Driver => "driver",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [Self::Admin, Self::Operator, Self::Driver]
            .into_iter()
            .find(|role| role.as_str() == name)
    }

    pub(super) fn from_proto(role: api::Role) -> Option<Self> {
        match role {
            api::Role::Unspecified => None,
            api::Role::Admin => Some(Self::Admin),
            api::Role::Operator => Some(Self::Operator),
            api::Role::Driver => Some(Self::Driver),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The roles of an account.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Roles(Vec<Role>);

impl Roles {
    pub fn contains(&self, role: Role) -> bool {
        self.0.contains(&role)
    }

    pub fn contains_any(&self, roles: &[Role]) -> bool {
        roles.iter().any(|role| self.contains(*role))
    }

    pub fn iter(&self) -> impl Iterator<Item = Role> + '_ {
        self.0.iter().copied()
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<T: IntoIterator<Item = Role>>(roles: T) -> Self {
        Self(roles.into_iter().collect())
    }
}

/// Put into the extensions of every request by [`AccessLayer`](super::AccessLayer).
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Caller {
    /// Sent no credentials, and needed none.
    Anonymous,
    /// Holds a valid access token, or an API key.
    Account {
        id: Uuid,
        roles: Roles,
        /// `sid` of the token: the session, or the API key, that it comes from.
        session: Uuid,
        /// `jti` of the token.
        token_id: Uuid,
        /// What an API key may be used for; none for somebody who is logged in, and may do all that the roles allow.
        scopes: Option<Scopes>,
        /// Groups of sites to which an operator is limited; none for one who is not.
        site_groups: Option<Arc<[String]>>,
    },
    /// One of Voltgate's own processes.
    Service { name: String },
}

impl Caller {
    /// The groups of sites within which the caller has to stay. An administrator is never limited.
    pub fn limits(&self) -> Option<&Arc<[String]>> {
        match self {
            Self::Account { roles, site_groups, .. } if !roles.contains(Role::Admin) => site_groups.as_ref(),
            Self::Account { .. } | Self::Anonymous | Self::Service { .. } => None,
        }
    }

    /// The caller of a request that came through the layer; anonymous where it did not.
    pub fn of<T>(request: &tonic::Request<T>) -> Self {
        request.extensions().get().cloned().unwrap_or(Self::Anonymous)
    }
}
