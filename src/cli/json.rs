//! Events as JSON lines, in the proto3 JSON form with proto field names.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};

use super::command::Error;
use crate::pb;

/// Writes `pulse.v1.WorkflowEvent` messages as JSON.
pub(super) struct EventPrinter {
    descriptor: MessageDescriptor,
}

impl EventPrinter {
    /// Reads the descriptors that are built into the program.
    pub(super) fn new() -> Result<Self, Error> {
        let broken = |problem: String| Error::Call(format!("the built-in descriptors cannot be read: {problem}"));
        let pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).map_err(|error| broken(error.to_string()))?;
        let name = "pulse.v1.WorkflowEvent";
        let descriptor = pool.get_message_by_name(name).ok_or_else(|| broken(format!("no message {name}")))?;
        Ok(Self { descriptor })
    }

    /// One event as one line without its line end.
    pub(super) fn line(&self, event: &pb::v1::WorkflowEvent) -> Result<String, Error> {
        let broken = |problem: String| Error::Call(format!("an event cannot be written as JSON: {problem}"));
        let message = DynamicMessage::decode(self.descriptor.clone(), event.encode_to_vec().as_slice())
            .map_err(|error| broken(error.to_string()))?;
        let mut line = Vec::new();
        let mut serializer = serde_json::Serializer::new(&mut line);
        message
            .serialize_with_options(&mut serializer, &SerializeOptions::new().use_proto_field_name(true))
            .map_err(|error| broken(error.to_string()))?;
        String::from_utf8(line).map_err(|error| broken(error.to_string()))
    }
}
