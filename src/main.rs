//! The `pulse` program: settings from the environment, then hand over to the library.

use std::process::ExitCode;

use clap::Parser;
use pulse::{cli, config};

fn main() -> ExitCode {
    // Before any thread starts: `.env` fills variables that clap then reads.
    if let Err(error) = config::load_env_file() {
        eprintln!("pulse: {error}");
        return ExitCode::from(2);
    }
    let program = cli::Program::parse();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli::run(program)),
        Err(error) => {
            eprintln!("pulse: threads cannot be started: {error}");
            ExitCode::from(4)
        }
    }
}
