//! `pulse descriptors`: the contract in the form that gateways and clients without proto files read.

use std::collections::BTreeSet;
use std::io::Write;

use prost_reflect::DescriptorPool;

use super::command::{Error, Outcome};
use crate::pb;

/// Prints the set.
pub(super) fn run() -> Result<Outcome, Error> {
    let printed = std::io::stdout().lock().write_all(&encoded()?);
    match printed {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::Call(error.to_string())),
        _ => Ok(Outcome::Done),
    }
}

/// The contract with everything it imports, and `google.rpc`: whoever turns an error into JSON needs its details.
fn encoded() -> Result<Vec<u8>, Error> {
    let broken = |error: prost_reflect::DescriptorError| {
        Error::Call(format!("the built-in descriptors cannot be read: {error}"))
    };
    let mut pool = DescriptorPool::decode(pb::FILE_DESCRIPTOR_SET).map_err(broken)?;
    let known: BTreeSet<String> = pool.files().map(|file| file.name().to_owned()).collect();
    let details = DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET).map_err(broken)?;
    // Both bring the well-known types.
    let new = details.files().filter(|file| !known.contains(file.name()));
    pool.add_file_descriptor_protos(new.map(|file| file.file_descriptor_proto().clone())).map_err(broken)?;
    Ok(pool.encode_to_vec())
}
