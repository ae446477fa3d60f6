//! Log lines: readable text for people, JSON for collectors, on standard error.
//!
//! Spans are named `noun.verb`. Fields that every line may carry: `tenant`, `connection`, `workflow`, `step`,
//! `request_id`. Question texts, SQL and values are never fields at `info` or above.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What to log, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Directives such as `info,pulse::workflow=debug`.
    pub filter: String,
    /// The form of a line.
    pub format: LogFormat,
}

/// The filter's directives cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("PULSE_LOG is not a list of directives such as `info,pulse=debug`: {0}")]
pub struct Error(#[from] tracing_subscriber::filter::ParseError);

/// Installs the subscriber. A second call in one process changes nothing.
pub fn init(options: &Options) -> Result<(), Error> {
    // The store tells of its troubles itself, once each; its client would at every attempt.
    let filter = EnvFilter::try_new(format!("fred=off,{}", options.filter))?;
    let colours = std::io::stderr().is_terminal();
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours);
    // The only failure is that a subscriber is there already, which is what the caller wants.
    let _ = match options.format {
        LogFormat::Text => subscriber.with_target(false).try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    Ok(())
}
