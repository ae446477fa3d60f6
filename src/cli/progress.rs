//! Steps as they arrive: a line for each finished one, a spinner for each that runs.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::command::Outcome;
use super::output::say;
use super::table;
use crate::pb::v1::workflow_event::Event;
use crate::pb::v1::{Step, WorkflowEvent, WorkflowResult};

/// Shows the events of one workflow. Spinners appear on a terminal only; lines go to standard output.
pub(super) struct Progress {
    bars: MultiProgress,
    /// By name and candidate.
    running: HashMap<(String, i32), ProgressBar>,
    spinning: bool,
    has_result: bool,
}

impl Progress {
    /// An empty display.
    pub(super) fn new() -> Self {
        Self {
            bars: MultiProgress::new(),
            running: HashMap::new(),
            spinning: std::io::stdout().is_terminal() && std::io::stderr().is_terminal(),
            has_result: false,
        }
    }

    /// Shows one event; says how the workflow ended when this was its last.
    pub(super) fn show(&mut self, event: &WorkflowEvent) -> Option<Outcome> {
        match event.event.as_ref()? {
            Event::StepStarted(started) => self.start(started.step.as_ref()?),
            Event::StepCompleted(completed) => self.finish(completed.step.as_ref()?, "✓"),
            Event::StepFailed(failed) => self.finish(failed.step.as_ref()?, "✗"),
            Event::Retrying(retrying) => {
                self.line(&format!("  ↻ trying again ({}): {}", retrying.attempt, one_line(&retrying.feedback)));
            }
            Event::Result(result) => self.result(result),
            Event::Awaiting(_) => self.clear(),
            Event::Completed(_) => return Some(Outcome::Done),
            Event::Failed(failed) => {
                let message = failed.failure.as_ref().map_or("no reason was given", |failure| &failure.message);
                self.clear();
                self.line(&format!("\n  not answered: {}", one_line(message)));
                return Some(Outcome::NotAnswered);
            }
            Event::Cancelled(cancelled) => {
                self.clear();
                self.line(&format!("\n  {}", cancelled_because(&cancelled.reason)));
                return Some(Outcome::Cancelled);
            }
            Event::WorkflowStarted(_) | Event::Resumed(_) | Event::CancelRequested(_) | Event::Heartbeat(_) => {}
        }
        None
    }

    /// Says something between the steps.
    pub(super) fn say(&self, text: &str) {
        self.line(text);
    }

    /// Whether rows were shown, and with them the statement that returned them.
    pub(super) fn has_result(&self) -> bool {
        self.has_result
    }

    /// Shows the statement that was come to.
    pub(super) fn statement(&mut self, sql: &str) {
        self.clear();
        self.line(&format!("\n  {}\n", sql.trim().replace('\n', "\n  ")));
    }

    fn start(&mut self, step: &Step) {
        if !self.spinning {
            return;
        }
        let bar = self.bars.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg:<12} {elapsed:>8}") {
            bar.set_style(style);
        }
        bar.set_message(label(step));
        bar.enable_steady_tick(Duration::from_millis(80));
        self.running.insert((step.name.clone(), step.candidate), bar);
    }

    fn finish(&mut self, step: &Step, mark: &str) {
        if let Some(bar) = self.running.remove(&(step.name.clone(), step.candidate)) {
            bar.finish_and_clear();
        }
        let attempt = if step.attempt > 1 { format!(" (attempt {})", step.attempt) } else { String::new() };
        self.line(&format!("  {mark} {:<12} {:>9}  {}{attempt}", label(step), elapsed(step), one_line(&step.summary)));
    }

    fn result(&mut self, result: &WorkflowResult) {
        self.has_result = true;
        self.statement(&result.sql);
        if !result.columns.is_empty() {
            self.line(&indent(&table::render(result)));
        }
        self.line(&format!("  {}", one_line(&result.answer_text)));
    }

    fn clear(&mut self) {
        for (_, bar) in self.running.drain() {
            bar.finish_and_clear();
        }
    }

    /// Prints above the spinners.
    fn line(&self, text: &str) {
        self.bars.suspend(|| say(text));
    }
}

/// How a workflow ended that was cancelled; not everybody says why.
fn cancelled_because(reason: &str) -> String {
    match one_line(reason).trim() {
        "" => "cancelled".to_owned(),
        reason => format!("cancelled: {reason}"),
    }
}

/// The step's name, and which of several candidates it is about.
fn label(step: &Step) -> String {
    if step.candidate > 0 { format!("{} {}", step.name, step.candidate) } else { step.name.clone() }
}

/// Real time between the step's start and its end.
fn elapsed(step: &Step) -> String {
    let (Some(start), Some(finish)) = (&step.start_time, &step.finish_time) else { return String::new() };
    let nanoseconds =
        i128::from(finish.seconds - start.seconds) * 1_000_000_000 + i128::from(finish.nanos - start.nanos);
    let milliseconds = nanoseconds.max(0) as f64 / 1e6;
    if milliseconds < 1_000.0 { format!("{milliseconds:.1} ms") } else { format!("{:.2} s", milliseconds / 1e3) }
}

fn one_line(text: &str) -> String {
    text.chars().map(|one| if one.is_control() { ' ' } else { one }).collect()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_that_nobody_gave_is_not_announced() {
        assert_eq!(cancelled_because("not now\nplease"), "cancelled: not now please");
        assert_eq!(cancelled_because(""), "cancelled");
        assert_eq!(cancelled_because(" "), "cancelled");
    }
}
