//! What services there are, for clients that know none (`grpc.reflection`, v1 and v1alpha): those of every service behind
//! the gateway, as one. What is internal is left out, of the list and of the descriptors.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};
use tonic::service::Routes;

use super::health;
use crate::routes::Rpcs;

pub const SERVICES: [&str; 2] = [
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// The descriptors of everything that is not internal, with every option, as an encoded FileDescriptorSet.
pub fn descriptors(protos: &DescriptorPool, rpcs: &Rpcs) -> Bytes {
    let complete = protos.encode_to_vec();
    // As a dynamic message it keeps options that Rust's types do not know, such as google.api.http.
    let set = protos
        .get_message_by_name("google.protobuf.FileDescriptorSet")
        .and_then(|descriptor| DynamicMessage::decode(descriptor, complete.as_slice()).ok());
    let Some(mut set) = set else {
        return Bytes::new();
    };
    if let Some(files) = field(&mut set, "file").and_then(Value::as_list_mut) {
        for file in files.iter_mut().filter_map(Value::as_message_mut) {
            leave_out_internal(file, rpcs);
        }
    }
    set.encode_to_vec().into()
}

fn leave_out_internal(file: &mut DynamicMessage, rpcs: &Rpcs) {
    let package = text(file, "package");
    let Some(services) = field(file, "service").and_then(Value::as_list_mut) else {
        return;
    };
    let mut left_out = false;
    services.retain_mut(|service| {
        let Some(service) = service.as_message_mut() else {
            return false;
        };
        let name = format!("{package}.{}", text(service, "name"));
        let Some(methods) = field(service, "method").and_then(Value::as_list_mut) else {
            return true;
        };
        let before = methods.len();
        methods.retain(|method| {
            let method = method
                .as_message()
                .map(|method| text(method, "name"))
                .unwrap_or_default();
            !rpcs.get(&format!("/{name}/{method}")).is_some_and(|rpc| rpc.internal)
        });
        left_out |= methods.len() < before;
        !methods.is_empty() || before == 0
    });
    if left_out {
        // Comments are told apart by position, and positions have changed.
        file.clear_field_by_name("source_code_info");
    }
}

fn field<'m>(message: &'m mut DynamicMessage, name: &str) -> Option<&'m mut Value> {
    message
        .has_field_by_name(name)
        .then(|| message.get_field_by_name_mut(name))
        .flatten()
}

fn text(message: &DynamicMessage, name: &str) -> String {
    message
        .get_field_by_name(name)
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Adds both versions: grpcurl asks for v1, older clients for v1alpha.
pub fn add_to(routes: Routes, descriptors: &[u8], rpcs: &Rpcs) -> Routes {
    let builder = || {
        rpcs.public_services().into_iter().fold(
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(descriptors)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name(health::SERVICE),
            |builder, service| builder.with_service_name(service),
        )
    };
    match (builder().build_v1(), builder().build_v1alpha()) {
        (Ok(v1), Ok(v1alpha)) => routes.add_service(v1).add_service(v1alpha),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "Reflection is off, because the descriptors cannot be read");
            routes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_internal_is_left_out_and_options_stay() {
        let protos = voltgate_proto::pool();
        let rpcs = Rpcs::from_descriptors(protos).expect("the protos are complete");
        let told = DescriptorPool::decode(descriptors(protos, &rpcs)).expect("descriptors");
        assert!(told.get_service_by_name("voltgate.ocpp.v1.SessionService").is_none());
        let service = told
            .get_service_by_name("voltgate.auth.v1.AuthService")
            .expect("a public service");
        let http = told
            .get_extension_by_name("google.api.http")
            .expect("the option is declared");
        let method = service.methods().next().expect("it has RPCs");
        assert!(method.options().has_extension(&http));
    }
}
