//! The access rule of each RPC, read from the descriptors.

use std::collections::HashMap;

use prost::Message;
use prost_reflect::DescriptorPool;
use voltgate_proto::api::v1::{Access, Endpoint, Role as ProtoRole};

use super::caller::{Caller, Role};
use crate::reason::Reason;
use crate::start::StartError;

/// Who may call an RPC.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Rule {
    Public,
    Authenticated,
    AnyOf(Vec<Role>),
    Internal,
}

impl Rule {
    /// # Errors
    /// The caller is not among those whom the rule lets in.
    pub fn admit(&self, caller: &Caller) -> Result<(), tonic::Status> {
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
            let endpoint = endpoint(pool, &method)?;
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            let rule = rule(&endpoint).ok_or_else(|| no_rule(&method))?;
            rules.insert(path, rule);
        }
        Ok(Self(rules))
    }

    pub fn get(&self, path: &str) -> Option<&Rule> {
        self.0.get(path)
    }
}

fn rule(endpoint: &Endpoint) -> Option<Rule> {
    match endpoint.access() {
        Access::Unspecified => None,
        Access::Public => Some(Rule::Public),
        Access::Authenticated => Some(Rule::Authenticated),
        Access::Internal => Some(Rule::Internal),
        Access::Role => {
            let roles: Vec<_> = endpoint
                .roles()
                .filter_map(|role: ProtoRole| Role::from_proto(role))
                .collect();
            (!roles.is_empty()).then_some(Rule::AnyOf(roles))
        }
    }
}

/// The option `voltgate.api.v1.endpoint` of an RPC.
///
/// # Errors
/// The RPC has none.
fn endpoint(pool: &DescriptorPool, method: &prost_reflect::MethodDescriptor) -> Result<Endpoint, StartError> {
    let extension = pool
        .get_extension_by_name("voltgate.api.v1.endpoint")
        .ok_or_else(|| no_rule(method))?;
    let options = method.options();
    options
        .has_extension(&extension)
        .then(|| {
            options
                .get_extension(&extension)
                .as_message()
                .map(prost_reflect::DynamicMessage::encode_to_vec)
        })
        .flatten()
        .and_then(|encoded| Endpoint::decode(encoded.as_slice()).ok())
        .ok_or_else(|| no_rule(method))
}

fn no_rule(method: &prost_reflect::MethodDescriptor) -> StartError {
    StartError::other(
        "the protos are incomplete",
        format!(
            "{} has no usable access rule in voltgate.api.v1.endpoint",
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
        }
    }

    #[test]
    fn every_rpc_has_a_rule() {
        let rules = Rules::from_descriptors(voltgate_proto::pool()).expect("the protos are complete");
        assert_eq!(rules.get("/voltgate.auth.v1.AuthService/SignUp"), Some(&Rule::Public));
        assert_eq!(
            rules.get("/voltgate.ocpp.v1.SessionService/Open"),
            Some(&Rule::Internal)
        );
    }

    #[test]
    fn a_driver_does_not_run_charge_points() {
        let rule = Rule::AnyOf(vec![Role::Admin, Role::Operator]);
        let refused = rule.admit(&driver()).expect_err("a driver has neither role");
        assert_eq!(Reason::of(&refused), Reason::PermissionDenied);
    }

    #[test]
    fn an_internal_call_needs_more_than_an_account() {
        assert!(Rule::Internal.admit(&driver()).is_err());
        assert!(Rule::Internal.admit(&Caller::Anonymous).is_err());
        assert!(
            Rule::Internal
                .admit(&Caller::Service { name: "gateway".into() })
                .is_ok()
        );
    }

    #[test]
    fn without_credentials_the_refusal_says_so() {
        let refused = Rule::Authenticated
            .admit(&Caller::Anonymous)
            .expect_err("nobody is logged in");
        assert_eq!(Reason::of(&refused), Reason::MissingCredentials);
    }
}
