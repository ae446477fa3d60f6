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
