//! The access rule of each RPC, read from the descriptors: who may call it, and what an API key must be good for.

use std::collections::{BTreeSet, HashMap};

use prost::Message;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use voltgate_proto::api::v1::{Access, Endpoint, Role as ProtoRole};
use voltgate_proto::google::api::HttpRule;
use voltgate_proto::google::api::http_rule::Pattern;

use super::caller::{Caller, Role};
use super::scope::{Scope, Scopes, Verb};
use crate::reason::Reason;
use crate::start::StartError;

/// Who may call an RPC.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rule {
    pub who: Who,
    /// What an API key must be good for; none where no API key will do.
    pub scope: Option<Scope>,
    /// Operators may call it who are limited to groups of sites: it keeps them there.
    pub keeps_within: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Who {
    Public,
    Authenticated,
    AnyOf(Vec<Role>),
    Internal,
}

impl Rule {
    /// # Errors
    /// The caller is not among those whom the rule lets in.
    pub fn admit(&self, caller: &Caller) -> Result<(), tonic::Status> {
        self.who.admit(caller)?;
        if caller.limits().is_some() && !self.keeps_within {
            let message = "Operators who are limited to groups of sites may not do this";
            return Err(Reason::PermissionDenied.status(message));
        }
        match caller {
            Caller::Account {
                scopes: Some(scopes), ..
            } => self.admit_key(scopes),
            Caller::Account { scopes: None, .. } | Caller::Anonymous | Caller::Service { .. } => Ok(()),
        }
    }

    fn admit_key(&self, scopes: &Scopes) -> Result<(), tonic::Status> {
        match &self.scope {
            _ if self.who == Who::Public => Ok(()),
            Some(wanted) if scopes.allow(wanted) => Ok(()),
            Some(wanted) => {
                let message = format!("The API key does not have the scope {wanted}");
                Err(Reason::InsufficientScope.status(message))
            }
            None => Err(Reason::InsufficientScope.status("No API key may do this; log in")),
        }
    }
}

impl Who {
    fn admit(&self, caller: &Caller) -> Result<(), tonic::Status> {
        match (self, caller) {
            (Self::Public, _) | (Self::Internal, Caller::Service { .. }) => Ok(()),
            (Self::Authenticated | Self::AnyOf(_), Caller::Anonymous) => {
                Err(Reason::MissingCredentials.status("An access token is required"))
            }
            (Self::Authenticated, Caller::Account { .. }) => Ok(()),
            (Self::AnyOf(wanted), Caller::Account { roles, .. }) if roles.contains_any(wanted) => Ok(()),
            (Self::AnyOf(wanted), Caller::Account { .. }) => {
                let names: Vec<_> = wanted.iter().map(|role| role.as_str()).collect();
                let message = format!("One of these roles is required: {}", names.join(", "));
                Err(Reason::PermissionDenied.status(message))
            }
            (Self::Authenticated | Self::AnyOf(_), Caller::Service { .. }) => {
                Err(Reason::PermissionDenied.status("This call needs the access token of an account"))
            }
            (Self::Internal, Caller::Anonymous | Caller::Account { .. }) => {
                Err(Reason::PermissionDenied.status("This call is for Voltgate's own processes"))
            }
        }
    }
}

/// The rules of every RPC, by gRPC path (`/package.Service/Method`).
#[derive(Clone, Debug, Default)]
pub struct Rules(HashMap<String, Rule>);

impl Rules {
    /// Reads the rules of the services in package `voltgate`. What is not Voltgate's own (health, reflection) has no
    /// rule and is open to all.
    ///
    /// # Errors
    /// An RPC without a usable rule.
    pub fn from_descriptors(pool: &DescriptorPool) -> Result<Self, StartError> {
        let mut rules = HashMap::new();
        let own = pool
            .services()
            .filter(|service| service.package_name().starts_with("voltgate."));
        for method in own.flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let rule = rule(&method).ok_or_else(|| no_rule(&method))?;
            rules.insert(path, rule);
        }
        Ok(Self(rules))
    }

    pub fn get(&self, path: &str) -> Option<&Rule> {
        self.0.get(path)
    }

    /// Every scope that an API key can have a use for.
    pub fn scopes(&self) -> BTreeSet<Scope> {
        let callable = self.0.values().filter(|rule| rule.who != Who::Public);
        callable.filter_map(|rule| rule.scope.clone()).collect()
    }
}

fn rule(rpc: &MethodDescriptor) -> Option<Rule> {
    let endpoint: Endpoint = option(rpc, "voltgate.api.v1.endpoint")?;
    let who = who(&endpoint)?;
    let no_key = endpoint.session_only || who == Who::Internal;
    let scope = if no_key { None } else { Some(Scope::of(rpc)?) };
    // What is for drivers, too, keeps to what is their own.
    let keeps_within = endpoint.reach.is_some()
        || match &who {
            Who::AnyOf(roles) => roles.contains(&Role::Driver),
            Who::Public | Who::Authenticated | Who::Internal => true,
        };
    Some(Rule {
        who,
        scope,
        keeps_within,
    })
}

fn who(endpoint: &Endpoint) -> Option<Who> {
    match endpoint.access() {
        Access::Unspecified => None,
        Access::Public => Some(Who::Public),
        Access::Authenticated => Some(Who::Authenticated),
        Access::Internal => Some(Who::Internal),
        Access::Role => {
            let roles: Vec<_> = endpoint
                .roles()
                .filter_map(|role: ProtoRole| Role::from_proto(role))
                .collect();
            (!roles.is_empty()).then_some(Who::AnyOf(roles))
        }
    }
}

impl Scope {
    /// What an API key must be good for to call an RPC that is open to keys. What REST gets with `GET`, only reads; what
    /// has no way by REST may do anything.
    pub fn of(rpc: &MethodDescriptor) -> Option<Self> {
        let options = rpc.parent_service().options();
        let upstream = rpc.parent_pool().get_extension_by_name("voltgate.api.v1.upstream")?;
        let upstream = options.get_extension(&upstream);
        let rule: Option<HttpRule> = option(rpc, "google.api.http");
        let reads = rule.is_some_and(|rule| matches!(rule.pattern, Some(Pattern::Get(_))));
        Some(Self {
            upstream: upstream.as_str().filter(|name| !name.is_empty())?.into(),
            verb: if reads { Verb::Read } else { Verb::Write },
        })
    }
}

/// An option of an RPC; none where it does not have it.
fn option<M: Message + Default>(rpc: &MethodDescriptor, name: &str) -> Option<M> {
    let extension = rpc.parent_pool().get_extension_by_name(name)?;
    let options = rpc.options();
    options.has_extension(&extension).then_some(())?;
    let value = options.get_extension(&extension);
    M::decode(value.as_message()?.encode_to_vec().as_slice()).ok()
}

fn no_rule(method: &MethodDescriptor) -> StartError {
    StartError::other(
        "the protos are incomplete",
        format!(
            "{} has no usable access rule in voltgate.api.v1.endpoint, or its service no voltgate.api.v1.upstream",
            method.full_name()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn driver() -> Caller {
        Caller::Account {
            id: uuid::Uuid::nil(),
            roles: [Role::Driver].into_iter().collect(),
            session: uuid::Uuid::nil(),
            token_id: uuid::Uuid::nil(),
            scopes: None,
            site_groups: None,
        }
    }

    fn key(scopes: &str) -> Caller {
        Caller::Account {
            id: uuid::Uuid::nil(),
            roles: [Role::Driver].into_iter().collect(),
            session: uuid::Uuid::nil(),
            token_id: uuid::Uuid::nil(),
            scopes: Some(Scopes::parse(scopes)),
            site_groups: None,
        }
    }

    fn rule(who: Who) -> Rule {
        let scope = Scope::parse("ocpp:write");
        Rule {
            who,
            scope,
            keeps_within: true,
        }
    }

    #[test]
    fn every_rpc_has_a_rule() {
        let rules = Rules::from_descriptors(voltgate_proto::pool()).expect("the protos are complete");
        let rule = |path: &str| rules.get(path).expect("the RPC has a rule");
        assert_eq!(rule("/voltgate.auth.v1.AuthService/SignUp").who, Who::Public);
        let door = rule("/voltgate.ocpp.v1.SessionService/Open");
        assert_eq!((&door.who, &door.scope), (&Who::Internal, &None));
    }

    #[test]
    fn the_scope_of_an_rpc_follows_from_its_http_method() {
        let rules = Rules::from_descriptors(voltgate_proto::pool()).expect("the protos are complete");
        let scope = |path: &str| {
            let rule = rules.get(path).expect("the RPC has a rule");
            rule.scope.as_ref().map(ToString::to_string)
        };
        assert_eq!(
            scope("/voltgate.ocpp.v1.ChargePointService/ListChargePoints").as_deref(),
            Some("ocpp:read")
        );
        assert_eq!(
            scope("/voltgate.ocpp.v1.CommandService/SendCommand").as_deref(),
            Some("ocpp:write")
        );
        assert_eq!(scope("/voltgate.auth.v1.PasswordService/ChangePassword"), None);
        let scopes: Vec<_> = rules.scopes().iter().map(ToString::to_string).collect();
        assert!(scopes.contains(&"email:read".to_owned()), "{scopes:?}");
    }

    #[test]
    fn a_driver_does_not_run_charge_points() {
        let rule = rule(Who::AnyOf(vec![Role::Admin, Role::Operator]));
        let refused = rule.admit(&driver()).expect_err("a driver has neither role");
        assert_eq!(Reason::of(&refused), Reason::PermissionDenied);
    }

    #[test]
    fn an_api_key_needs_the_role_and_the_scope() {
        let driving = rule(Who::AnyOf(vec![Role::Driver]));
        assert!(driving.admit(&key("ocpp:write")).is_ok());
        for scopes in ["", "ocpp:read", "auth:write"] {
            let refused = driving.admit(&key(scopes)).expect_err("the scope is missing");
            assert_eq!(Reason::of(&refused), Reason::InsufficientScope);
        }
        let refused = rule(Who::AnyOf(vec![Role::Operator])).admit(&key("ocpp:write"));
        let refused = refused.expect_err("the role is missing");
        assert_eq!(Reason::of(&refused), Reason::PermissionDenied);
    }

    #[test]
    fn no_api_key_opens_what_wants_a_person() {
        let for_people = Rule {
            who: Who::Authenticated,
            scope: None,
            keeps_within: true,
        };
        assert!(for_people.admit(&driver()).is_ok());
        let refused = for_people.admit(&key("auth:write")).expect_err("a key is no person");
        assert_eq!(Reason::of(&refused), Reason::InsufficientScope);
    }

    #[test]
    fn an_internal_call_needs_more_than_an_account() {
        let internal = rule(Who::Internal);
        assert!(internal.admit(&driver()).is_err());
        assert!(internal.admit(&key("ocpp:write")).is_err());
        assert!(internal.admit(&Caller::Anonymous).is_err());
        assert!(internal.admit(&Caller::Service { name: "gateway".into() }).is_ok());
    }

    #[test]
    fn without_credentials_the_refusal_says_so() {
        let refused = rule(Who::Authenticated)
            .admit(&Caller::Anonymous)
            .expect_err("nobody is logged in");
        assert_eq!(Reason::of(&refused), Reason::MissingCredentials);
    }

    #[test]
    fn a_limited_operator_is_let_in_where_the_rpc_keeps_them_within_and_nowhere_else() {
        let limited = |role: Role| Caller::Account {
            id: uuid::Uuid::nil(),
            roles: [role].into_iter().collect(),
            session: uuid::Uuid::nil(),
            token_id: uuid::Uuid::nil(),
            scopes: None,
            site_groups: Some(["north".to_owned()].into()),
        };
        let rule = |keeps_within| Rule {
            who: Who::AnyOf(vec![Role::Admin, Role::Operator]),
            scope: None,
            keeps_within,
        };
        assert!(rule(true).admit(&limited(Role::Operator)).is_ok());
        let refused = rule(false)
            .admit(&limited(Role::Operator))
            .expect_err("it is the whole network's");
        assert_eq!(Reason::of(&refused), Reason::PermissionDenied);
        // No limit holds for who runs the installation.
        assert!(rule(false).admit(&limited(Role::Admin)).is_ok());
    }
}
