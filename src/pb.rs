//! The wire contract: Rust generated from `proto/pulse/v1`, and its descriptors.
//!
//! Only the edges speak it (`api`, `cli`); inside, `domain` types take over.

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
