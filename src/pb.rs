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

/// `pulse.v1.RowBatch`, whose rows a server may have in their encoded form already.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RowBatch {
    /// The rows of a batch that was decoded.
    pub rows: Vec<v1::Row>,
    encoded: Bytes,
}

impl RowBatch {
    /// A batch of rows that are encoded: the fields of the message.
    #[must_use]
    pub fn from_encoded(rows: Bytes) -> Self {
        Self { rows: Vec::new(), encoded: rows }
    }
}

impl From<Vec<v1::Row>> for RowBatch {
    fn from(rows: Vec<v1::Row>) -> Self {
        Self { rows, encoded: Bytes::new() }
    }
}

impl prost::Message for RowBatch {
    fn encode_raw(&self, out: &mut impl BufMut) {
        out.put_slice(&self.encoded);
        message::encode_repeated(ROWS, &self.rows, out);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        from: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        match tag {
            ROWS => message::merge_repeated(wire_type, &mut self.rows, from, context),
            _ => skip_field(wire_type, tag, from, context),
        }
    }

    fn encoded_len(&self) -> usize {
        self.encoded.len() + message::encoded_len_repeated(ROWS, &self.rows)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// The number of the one field of `RowBatch`.
const ROWS: u32 = 1;
