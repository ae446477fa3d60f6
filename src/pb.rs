//! The wire contract: Rust generated from `proto/pulse/v1`, and its descriptors.
//!
//! Only the edges speak it (`api`, `cli`); inside, `domain` types take over.

use prost::DecodeError;
use prost::bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType, message, skip_field};

/// Messages, clients and servers of package `pulse.v1`.
#[allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    rustdoc::all,
    reason = "generated; the comments in proto/ are written for every language"
)]
pub mod v1 {
    tonic::include_proto!("pulse.v1");
}

/// The encoded `FileDescriptorSet` of the contract with everything it imports and all comments, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("pulse.v1");

/// A message with one repeated field, which a server may have in its encoded form already.
macro_rules! encodable {
    ($(#[$meta:meta])* $name:ident, $field:ident: $item:ty) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name {
            /// The items of a message that was decoded, or made of them.
            pub $field: Vec<$item>,
            encoded: Bytes,
        }

        impl $name {
            /// A message whose items are encoded: the bytes of its fields.
            #[must_use]
            pub fn from_encoded(fields: Bytes) -> Self {
                Self { $field: Vec::new(), encoded: fields }
            }
        }

        impl From<Vec<$item>> for $name {
            fn from($field: Vec<$item>) -> Self {
                Self { $field, encoded: Bytes::new() }
            }
        }

        impl prost::Message for $name {
            fn encode_raw(&self, out: &mut impl BufMut) {
                out.put_slice(&self.encoded);
                message::encode_repeated(FIRST_FIELD, &self.$field, out);
            }

            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: WireType,
                from: &mut impl Buf,
                context: DecodeContext,
            ) -> Result<(), DecodeError> {
                match tag {
                    FIRST_FIELD => message::merge_repeated(wire_type, &mut self.$field, from, context),
                    _ => skip_field(wire_type, tag, from, context),
                }
            }

            fn encoded_len(&self) -> usize {
                self.encoded.len() + message::encoded_len_repeated(FIRST_FIELD, &self.$field)
            }

            fn clear(&mut self) {
                *self = Self::default();
            }
        }
    };
}

encodable!(
    /// `pulse.v1.Row`.
    Row, values: v1::Value
);
encodable!(
    /// `pulse.v1.RowBatch`.
    RowBatch, rows: Row
);

const FIRST_FIELD: u32 = 1;
