//! Compiles the contract in `proto/` to Rust and to a descriptor set, without protoc, and builds the web UI.

#[path = "build/web.rs"]
mod web;

use std::{env, error::Error, fs, path::PathBuf};

/// Every file of the contract; `google/api` comes in by import.
const PROTOS: &[&str] = &[
    "pulse/v1/connection.proto",
    "pulse/v1/connection_service.proto",
    "pulse/v1/error_reason.proto",
    "pulse/v1/knowledge.proto",
    "pulse/v1/knowledge_service.proto",
    "pulse/v1/query.proto",
    "pulse/v1/query_service.proto",
    "pulse/v1/workflow.proto",
    "pulse/v1/workflow_service.proto",
];

const IMPORTED: &[&str] = &["google/api/annotations.proto", "google/api/http.proto"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    // tonic-prost-build prints none of these for descriptors that come from elsewhere.
    for proto in PROTOS.iter().chain(IMPORTED) {
        println!("cargo:rerun-if-changed=proto/{proto}");
    }

    // Source info carries the comments, which reflection then shows to people.
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(PROTOS)?;

    // Encoded by the compiler, because prost's own types drop the HTTP annotations.
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("pulse.v1.bin"), compiler.encode_file_descriptor_set())?;
    web::embed(&out)?;

    tonic_prost_build::configure()
        // Maps keep the same order every time, so that stored requests hash alike.
        .btree_map(".pulse.v1")
        // Rows and events that are encoded already are sent as they are.
        .extern_path(".pulse.v1.Row", "crate::pb::Row")
        .extern_path(".pulse.v1.RowBatch", "crate::pb::RowBatch")
        .extern_path(".pulse.v1.WatchWorkflowResponse", "crate::pb::WatchWorkflowResponse")
        .extern_path(".pulse.v1.RunWorkflowResponse", "crate::pb::RunWorkflowResponse")
        .codec_path("crate::pb::Codec")
        // Cells and Arrow pieces are shared, not copied.
        .bytes(".pulse.v1")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
