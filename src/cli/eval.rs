//! `pulse eval`: the built-in engine over a question set, in this process.

use indicatif::{ProgressBar, ProgressStyle};

use super::command::{Error, EvalArguments, Outcome};
use crate::domain::{Clock, SystemClock};
use crate::eval;

/// Writes a prediction per question and says how many were answered. Scoring is left to a scorer that runs the SQL.
pub(super) async fn run(arguments: EvalArguments) -> Result<Outcome, Error> {
    let options = eval::Options {
        suite: arguments.suite,
        databases: arguments.databases,
        predictions: arguments.predictions,
        jobs: arguments.jobs.into(),
        today: SystemClock.now().to_zoned_datetime(jiff::tz::TimeZone::UTC).date(),
    };
    let report = tokio::task::spawn_blocking(move || {
        let bar = ProgressBar::no_length();
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} questions, {msg} answered, {elapsed}") {
            bar.set_style(style);
        }
        let report = eval::run(&options, |progress| {
            bar.set_length(progress.total as u64);
            bar.set_position(progress.done as u64);
            bar.set_message(progress.answered.to_string());
        });
        bar.finish_and_clear();
        report
    });
    let report = report.await.map_err(|error| Error::Call(error.to_string()))?;
    let report = report.map_err(|error| Error::Usage(error.to_string()))?;
    println!(
        "{} questions: {} answered, {} abstained, {:.1} s",
        report.total,
        report.answered,
        report.total - report.answered,
        report.elapsed.as_secs_f64()
    );
    Ok(Outcome::Done)
}
