//! `pulse eval`: question sets, in this process.

use indicatif::{ProgressBar, ProgressStyle};

use super::command::{Error, EvalArguments, Outcome};
use crate::domain::{Clock, SystemClock};
use crate::eval;

/// Writes a prediction per question and says how many were answered, or measures what a model would be told. Scoring
/// is left to a scorer that runs the SQL.
pub(super) async fn run(arguments: EvalArguments) -> Result<Outcome, Error> {
    let work = tokio::task::spawn_blocking(move || match arguments {
        EvalArguments { context: true, .. } => context(arguments),
        EvalArguments { check_gold: true, .. } => gold(&arguments),
        _ => answers(arguments),
    });
    let said = work.await.map_err(|error| Error::Call(error.to_string()))?;
    println!("{}", said?);
    Ok(Outcome::Done)
}

fn answers(arguments: EvalArguments) -> Result<String, Error> {
    let ([suite], Some(predictions)) = (arguments.suite.as_slice(), arguments.predictions) else {
        return Err(Error::Usage("predictions are written for one --suite at a time".to_owned()));
    };
    let options = eval::Options {
        suite: suite.clone(),
        databases: arguments.databases,
        predictions,
        jobs: arguments.jobs.into(),
        today: today(),
    };
    let report = with_bar("answered", |on_progress| eval::run(&options, on_progress))?;
    let eval::Report { total, answered, abstained, elapsed } = report;
    Ok(format!("{total} questions: {answered} answered, {abstained} abstained, {:.1} s", elapsed.as_secs_f64()))
}

fn context(arguments: EvalArguments) -> Result<String, Error> {
    let options = eval::ContextOptions {
        suites: arguments.suite,
        databases: arguments.databases,
        schema_tokens: arguments.schema_tokens,
        merged: arguments.merged,
        today: today(),
    };
    let report = with_bar("with all tables", |on_progress| eval::measure_context(&options, on_progress))?;
    for (id, table) in &report.missing {
        println!("{id} lacks {table}");
    }
    let eval::ContextReport { total, tables_told, columns_told, .. } = report;
    let share = |count: usize| 100.0 * count as f64 / total.max(1) as f64;
    Ok(format!(
        "{total} questions, {} tables: all tables told for {tables_told} ({:.1} %), all columns too for {columns_told} \
         ({:.1} %); {} tokens on average, {} at most; index built in {:.3} s",
        report.tables,
        share(tables_told),
        share(columns_told),
        report.tokens / total.max(1),
        report.most_tokens,
        report.index_time.as_secs_f64()
    ))
}

fn gold(arguments: &EvalArguments) -> Result<String, Error> {
    let EvalArguments { suite, databases, .. } = arguments;
    let report = with_bar("without doubt", |on_progress| eval::check_gold(suite, databases, today(), on_progress))?;
    for (id, doubt) in &report.doubted {
        println!("{id}: {doubt}");
    }
    let eval::GoldReport { total, refused, doubted, warned } = report;
    let passed = total - refused - doubted.len();
    let share = 100.0 * passed as f64 / (total - refused).max(1) as f64;
    Ok(format!(
        "{total} statements, {refused} refused by the guard: {passed} pass without doubt ({share:.2} % of the others), \
         {warned} with a warning"
    ))
}

fn today() -> jiff::civil::Date {
    SystemClock.now().to_zoned_datetime(jiff::tz::TimeZone::UTC).date()
}

/// Shows how far a run is.
fn with_bar<T>(
    verb: &str,
    run: impl FnOnce(&mut dyn FnMut(eval::Progress)) -> Result<T, eval::Error>,
) -> Result<T, Error> {
    let bar = ProgressBar::no_length();
    let template = format!("{{bar:30}} {{pos}}/{{len}} questions, {{msg}} {verb}, {{elapsed}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    let report = run(&mut |progress| {
        bar.set_length(progress.total as u64);
        bar.set_position(progress.done as u64);
        bar.set_message(progress.answered.to_string());
    });
    bar.finish_and_clear();
    report.map_err(|error| Error::Usage(error.to_string()))
}
