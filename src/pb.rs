//! The wire contract: Rust generated from `proto/pulse/v1`, and its descriptors.
//!
//! Only the edges speak it (`api`, `cli`); inside, `domain` types take over.

use std::marker::PhantomData;

use prost::DecodeError;
use prost::bytes::{Buf, BufMut, Bytes};
use prost::encoding::{DecodeContext, WireType, message, skip_field};
use tonic::Status;
use tonic::codec::{BufferSettings, EncodeBuf};
use tonic_prost::ProstCodec;

/// Messages, clients and servers of package `pulse.v1`.
#[allow(
    clippy::all,
    clippy::pedantic,
    missing_docs,
    rustdoc::all,
    reason = "generated; the comments in proto/ are written for every language"
)]
pub mod v1 {
    pub use super::{Row, RowBatch, RunWorkflowResponse, WatchWorkflowResponse};
    tonic::include_proto!("pulse.v1");
}

/// The encoded `FileDescriptorSet` of the contract with everything it imports and all comments, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("pulse.v1");

/// Protobuf as tonic speaks it, with a smaller buffer to begin with: a watcher that waits holds it all the time. It grows
/// with the first message that needs more.
#[derive(Debug)]
pub struct Codec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for Codec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

/// Bytes of a buffer before the first message; bytes that wait before they are sent.
const BUFFER: (usize, usize) = (512, 32 * 1024);

impl<T, U> tonic::codec::Codec for Codec<T, U>
where
    T: prost::Message + Send + 'static,
    U: prost::Message + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = Encoder<T>;
    type Decoder = <ProstCodec<T, U> as tonic::codec::Codec>::Decoder;

    fn encoder(&mut self) -> Self::Encoder {
        Encoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<T, U>::raw_decoder(BufferSettings::new(BUFFER.0, BUFFER.1))
    }
}

/// Makes room for a whole message at once: one of 256 KiB would grow the small buffer nine times.
#[derive(Debug)]
pub struct Encoder<T>(PhantomData<T>);

impl<T: prost::Message> tonic::codec::Encoder for Encoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, message: T, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.reserve(message.encoded_len());
        message.encode(out).map_err(|error| Status::internal(error.to_string()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER.0, BUFFER.1)
    }
}

/// The only field of a message that may be encoded already.
trait Field: Default {
    fn encode(&self, out: &mut impl BufMut);
    fn merge(&mut self, wire_type: WireType, from: &mut impl Buf, context: DecodeContext) -> Result<(), DecodeError>;
    fn length(&self) -> usize;
}

const FIRST_FIELD: u32 = 1;

impl<M: prost::Message + Default> Field for Vec<M> {
    fn encode(&self, out: &mut impl BufMut) {
        message::encode_repeated(FIRST_FIELD, self, out);
    }

    fn merge(&mut self, wire_type: WireType, from: &mut impl Buf, context: DecodeContext) -> Result<(), DecodeError> {
        message::merge_repeated(wire_type, self, from, context)
    }

    fn length(&self) -> usize {
        message::encoded_len_repeated(FIRST_FIELD, self)
    }
}

impl<M: prost::Message + Default> Field for Option<M> {
    fn encode(&self, out: &mut impl BufMut) {
        if let Some(field) = self {
            message::encode(FIRST_FIELD, field, out);
        }
    }

    fn merge(&mut self, wire_type: WireType, from: &mut impl Buf, context: DecodeContext) -> Result<(), DecodeError> {
        message::merge(wire_type, self.get_or_insert_default(), from, context)
    }

    fn length(&self) -> usize {
        self.as_ref().map_or(0, |field| message::encoded_len(FIRST_FIELD, field))
    }
}

/// A message with one field, which a server may have in its encoded form already.
macro_rules! encodable {
    ($(#[$meta:meta])* $name:ident, $field:ident: $type:ty) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name {
            /// The field of a message that was decoded, or made of it.
            pub $field: $type,
            encoded: Bytes,
        }

        impl $name {
            /// A message that is encoded: the bytes of its field.
            #[must_use]
            pub fn from_encoded(field: Bytes) -> Self {
                Self { $field: Default::default(), encoded: field }
            }
        }

        impl From<$type> for $name {
            fn from($field: $type) -> Self {
                Self { $field, encoded: Bytes::new() }
            }
        }

        impl prost::Message for $name {
            fn encode_raw(&self, out: &mut impl BufMut) {
                out.put_slice(&self.encoded);
                self.$field.encode(out);
            }

            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: WireType,
                from: &mut impl Buf,
                context: DecodeContext,
            ) -> Result<(), DecodeError> {
                match tag {
                    FIRST_FIELD => self.$field.merge(wire_type, from, context),
                    _ => skip_field(wire_type, tag, from, context),
                }
            }

            fn encoded_len(&self) -> usize {
                self.encoded.len() + self.$field.length()
            }

            fn clear(&mut self) {
                *self = Self::default();
            }
        }
    };
}

encodable!(
    /// `pulse.v1.Row`.
    Row, values: Vec<v1::Value>
);
encodable!(
    /// `pulse.v1.RowBatch`.
    RowBatch, rows: Vec<Row>
);
encodable!(
    /// `pulse.v1.WatchWorkflowResponse`.
    WatchWorkflowResponse, event: Option<v1::WorkflowEvent>
);
encodable!(
    /// `pulse.v1.RunWorkflowResponse`.
    RunWorkflowResponse, event: Option<v1::WorkflowEvent>
);
