//! What the protos say of their messages beyond types: comments, and the options of fields.

use prost_reflect::{
    DescriptorPool, EnumDescriptor, ExtensionDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor,
    ServiceDescriptor,
};
use voltgate_proto::api::v1 as api;

use super::comments::Comments;
use crate::json::RawJsonFields;

pub struct Facts {
    comments: Comments,
    raw_json: RawJsonFields,
    field_option: Option<ExtensionDescriptor>,
}

impl Facts {
    pub fn of(pool: &DescriptorPool) -> Self {
        Self {
            comments: Comments::of(pool),
            raw_json: RawJsonFields::from_descriptors(pool),
            field_option: pool.get_extension_by_name("voltgate.api.v1.field"),
        }
    }

    /// The option `voltgate.api.v1.field`; its defaults where a field does not have it.
    pub fn option(&self, field: &FieldDescriptor) -> api::Field {
        let options = field.options();
        self.field_option
            .as_ref()
            .filter(|option| options.has_extension(option))
            .and_then(|option| options.get_extension(option).as_message()?.transcode_to().ok())
            .unwrap_or_default()
    }

    /// Whether the field's string holds a JSON document.
    pub fn is_document(&self, field: &FieldDescriptor) -> bool {
        self.raw_json.contains(field)
    }

    pub fn on_service(&self, service: &ServiceDescriptor) -> Option<String> {
        self.comments.of_element(&service.parent_file(), service.path())
    }

    pub fn on_rpc(&self, rpc: &MethodDescriptor) -> Option<String> {
        self.comments
            .of_element(&rpc.parent_service().parent_file(), rpc.path())
    }

    pub fn on_message(&self, message: &MessageDescriptor) -> Option<String> {
        self.comments.of_element(&message.parent_file(), message.path())
    }

    pub fn on_field(&self, field: &FieldDescriptor) -> Option<String> {
        self.comments.of_element(&field.parent_file(), field.path())
    }

    pub fn on_enum(&self, descriptor: &EnumDescriptor) -> Option<String> {
        self.comments.of_element(&descriptor.parent_file(), descriptor.path())
    }
}
