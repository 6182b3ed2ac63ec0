//! The protos as Rust: messages, clients and servers, and the descriptors that say how they are reached over HTTP
//! and by whom.
//!
//! The `.proto` files beside this crate are the contract. Nothing here is written by hand but the two ways to read
//! their descriptors.

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

#[allow(clippy::all, clippy::unwrap_used, clippy::doc_markdown)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/protos.rs"));
}

pub use generated::google;
pub use generated::voltgate::*;

/// Every file with its imports, comments and options, as an encoded `google.protobuf.FileDescriptorSet`.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// [`DESCRIPTOR_SET`], decoded once.
pub fn pool() -> &'static DescriptorPool {
    static POOL: LazyLock<DescriptorPool> =
        LazyLock::new(|| DescriptorPool::decode(DESCRIPTOR_SET).expect("the build wrote a valid descriptor set"));
    &POOL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_keeps_its_endpoint_option() {
        let endpoint = pool()
            .get_extension_by_name("voltgate.api.v1.endpoint")
            .expect("the option is declared");
        let without: Vec<_> = pool()
            .services()
            .filter(|service| service.package_name().starts_with("voltgate."))
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .filter(|method| !method.options().has_extension(&endpoint))
            .map(|method| method.full_name().to_owned())
            .collect();
        assert_eq!(without, Vec::<String>::new());
    }
}
