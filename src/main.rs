//! The `pulse` program: settings from the environment, then hand over to the library.

use std::process::ExitCode;

use clap::Parser;
use pulse::{cli, config};

fn main() -> ExitCode {
    keep_few_arenas();
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

/// Tells glibc how many arenas it may part its memory into.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn keep_few_arenas() {
    let Some(most) = config::memory_arenas() else { return };
    // SAFETY: mallopt takes two integers and no pointers; it only sets the allocator's own parameter. Its manual page asks
    // that no other thread runs meanwhile: this one is the only one, since `main` has started none yet.
    #[expect(unsafe_code, reason = "there is no safe way to it but the environment, which is read before `main`")]
    unsafe {
        // A refusal (0) leaves the default, which is only larger.
        libc::mallopt(libc::M_ARENA_MAX, most);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn keep_few_arenas() {}
