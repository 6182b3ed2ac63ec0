//! The services of `voltgate.email.v1`: convert, ask, answer. Who may call is decided before a call gets here.

mod audit;
mod dead_letter;
mod earlier_api;
mod message;
mod subscription;
mod suppression;
mod template;
mod webhook;

use std::sync::Arc;

use tonic::service::RoutesBuilder;
use voltgate_proto::email::v1::dead_letter_service_server::{self, DeadLetterServiceServer};
use voltgate_proto::email::v1::earlier_api_service_server::{self, EarlierApiServiceServer};
use voltgate_proto::email::v1::email_audit_service_server::{self, EmailAuditServiceServer};
use voltgate_proto::email::v1::email_service_server::{self, EmailServiceServer};
use voltgate_proto::email::v1::subscription_service_server::{self, SubscriptionServiceServer};
use voltgate_proto::email::v1::suppression_service_server::{self, SuppressionServiceServer};
use voltgate_proto::email::v1::template_service_server::{self, TemplateServiceServer};
use voltgate_proto::email::v1::webhook_service_server::{self, WebhookServiceServer};

use crate::State;

/// The gRPC services, by their full names.
pub(crate) const SERVICES: [&str; 8] = [
    dead_letter_service_server::SERVICE_NAME,
    earlier_api_service_server::SERVICE_NAME,
    email_audit_service_server::SERVICE_NAME,
    email_service_server::SERVICE_NAME,
    subscription_service_server::SERVICE_NAME,
    suppression_service_server::SERVICE_NAME,
    template_service_server::SERVICE_NAME,
    webhook_service_server::SERVICE_NAME,
];

pub(crate) fn routes(state: &Arc<State>) -> RoutesBuilder {
    let mut routes = RoutesBuilder::default();
    routes
        .add_service(DeadLetterServiceServer::new(dead_letter::Grpc(Arc::clone(state))))
        .add_service(EarlierApiServiceServer::new(earlier_api::Grpc(Arc::clone(state))))
        .add_service(EmailAuditServiceServer::new(audit::Grpc(Arc::clone(state))))
        .add_service(EmailServiceServer::new(message::Grpc(Arc::clone(state))))
        .add_service(SubscriptionServiceServer::new(subscription::Grpc(Arc::clone(state))))
        .add_service(SuppressionServiceServer::new(suppression::Grpc(Arc::clone(state))))
        .add_service(TemplateServiceServer::new(template::Grpc(Arc::clone(state))))
        .add_service(WebhookServiceServer::new(webhook::Grpc(Arc::clone(state))));
    routes
}
