//! Fields whose string holds a JSON document (`voltgate.api.v1.raw_json`).

use std::collections::HashSet;

use prost_reflect::{DescriptorPool, FieldDescriptor, MessageDescriptor};

/// The fields that carry the option. Looked up once, because options are decoded anew each time they are asked for.
#[derive(Clone, Debug, Default)]
pub struct RawJsonFields(HashSet<String>);

impl RawJsonFields {
    pub fn from_descriptors(pool: &DescriptorPool) -> Self {
        let Some(option) = pool.get_extension_by_name("voltgate.api.v1.raw_json") else {
            return Self::default();
        };
        let fields = pool
            .all_messages()
            .flat_map(|message: MessageDescriptor| message.fields().collect::<Vec<_>>());
        let marked = fields.filter(|field| field.options().get_extension(&option).as_bool() == Some(true));
        Self(marked.map(|field| field.full_name().to_owned()).collect())
    }

    pub fn contains(&self, field: &FieldDescriptor) -> bool {
        !self.0.is_empty() && self.0.contains(field.full_name())
    }
}
