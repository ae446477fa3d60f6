//! `pulse eval`: question sets, in this process.

use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::command::{EngineArgument, Error, EvalArguments, Outcome};
use super::figures::{Measured, print};
use crate::app::{Recording, Workbench, WorkbenchOptions};
use crate::config::{ModelConfig, ModelSettings};
use crate::domain::{Clock, SystemClock};
use crate::eval;
use crate::lifecycle::Lifecycle;

/// Asks, scores and prints; or measures what a model would be told, or what the validator says.
pub(super) async fn run(arguments: EvalArguments) -> Result<Outcome, Error> {
    if arguments.context {
        println!("{}", blocking(move || context(arguments)).await?);
        return Ok(Outcome::Done);
    }
    if arguments.check_gold {
        println!("{}", blocking(move || gold(&arguments)).await?);
        return Ok(Outcome::Done);
    }
    let measured = measure(arguments).await?;
    Ok(if print(&measured) { Outcome::Done } else { Outcome::NotAnswered })
}

async fn measure(arguments: EvalArguments) -> Result<Vec<Measured>, Error> {
    let EvalArguments { suite, databases, alt, engine, evidence, today: day, predictions, score, jobs, .. } = arguments;
    if suite.len() > 1 && (predictions.is_some() || score.is_some()) {
        let problem = "--predictions and --score are for one --suite at a time: ids are unique in a suite only";
        return Err(Error::Usage(problem.to_owned()));
    }
    let today = today(day);
    let options = eval::Options { databases: databases.clone(), jobs: jobs.into(), today, evidence };
    let lifecycle = Lifecycle::default();
    let source = match score {
        Some(path) => Source::File(path),
        None => match answering_model(engine, arguments.model, arguments.record, arguments.replay)? {
            None => Source::Builtin,
            Some(model) => Source::Model(Box::new(workbench(&options, model, &lifecycle).await?)),
        },
    };
    let scoring = eval::ScoreOptions { databases, alt, jobs: jobs.into() };
    let mut measured = Vec::new();
    for path in &suite {
        let suite = eval::Suite::load(path).map_err(|error| usage(format!("{}: {error}", shown(path))))?;
        let answers = source.answers(&suite, &options).await?;
        if let Some(path) = &predictions {
            suite.write(path, answers.iter().map(|answer| answer.sql.clone())).map_err(usage)?;
        }
        let scoring = scoring.clone();
        measured.push(blocking(move || scored(suite, answers, &scoring)).await?);
    }
    lifecycle.soft.cancel();
    lifecycle.ended().await;
    Ok(measured)
}

/// Who answers.
enum Source {
    File(PathBuf),
    Builtin,
    Model(Box<Workbench>),
}

impl Source {
    async fn answers(&self, suite: &eval::Suite, options: &eval::Options) -> Result<Vec<eval::Answer>, Error> {
        match self {
            Self::File(path) => {
                let predictions = suite.predictions(path).map_err(usage)?;
                let answer = |sql| eval::Answer { sql, ..eval::Answer::default() };
                Ok(predictions.into_iter().map(answer).collect())
            }
            Self::Builtin => {
                let (suite, options) = (suite.clone(), options.clone());
                let read = move || with_bar("answered", |on_progress| eval::run(&suite, &options, on_progress));
                blocking(read).await
            }
            Self::Model(bench) => {
                let bar = Bar::new("answered");
                let asked = eval::ask(suite, options, &bench.directory, &bench.workflows, |progress| bar.on(progress));
                let answers = asked.await;
                bar.finish();
                answers.map_err(usage)
            }
        }
    }
}

/// The model that answers, as the server would choose it, or `None` for the builtin engine.
fn answering_model(
    engine: EngineArgument,
    settings: ModelSettings,
    record: Option<PathBuf>,
    replay: Option<PathBuf>,
) -> Result<Option<(ModelConfig, Recording)>, Error> {
    let recording = match (record, replay) {
        (_, Some(folder)) => Recording::Replay(folder),
        (Some(folder), None) => Recording::Record(folder),
        (None, None) => Recording::Off,
    };
    if matches!(engine, EngineArgument::Builtin) {
        return match recording {
            Recording::Off => Ok(None),
            _ => Err(usage("--record and --replay are for answers of a model; leave out --engine builtin")),
        };
    }
    if let Recording::Replay(folder) = &recording {
        if !folder.is_dir() {
            return Err(usage(format!("--replay: {} is not a folder", shown(folder))));
        }
        return Ok(Some((settings.check_unasked()?, recording)));
    }
    let model = settings.check()?;
    match (&recording, engine) {
        (Recording::Off, EngineArgument::Auto) => {}
        _ if model.is_none() => {
            let problem = "no language model is configured: set OPENAI_API_KEY, or OPENAI_BASE_URL for a local one";
            return Err(usage(problem));
        }
        _ => {}
    }
    if let Recording::Record(folder) = &recording {
        std::fs::create_dir_all(folder)
            .map_err(|error| usage(format!("--record: {} cannot be created: {error}", shown(folder))))?;
    }
    Ok(model.map(|model| (model, recording)))
}

async fn workbench(
    options: &eval::Options,
    model: (ModelConfig, Recording),
    lifecycle: &Lifecycle,
) -> Result<Workbench, Error> {
    let databases = options.databases.canonicalize();
    let sqlite_dir =
        databases.map_err(|error| usage(format!("--databases: {}: {error}", shown(&options.databases))))?;
    let midnight =
        options.today.to_zoned_datetime(TimeZone::UTC).map_err(|error| usage(format!("--today: {error}")))?;
    let options =
        WorkbenchOptions { sqlite_dir, model: Some(model), max_workflows: options.jobs, now: midnight.timestamp() };
    Workbench::start(options, lifecycle).await.map_err(usage)
}

fn scored(suite: eval::Suite, answers: Vec<eval::Answer>, options: &eval::ScoreOptions) -> Result<Measured, Error> {
    let verdicts = if suite.has_gold {
        let sql: Vec<Option<String>> = answers.iter().map(|answer| answer.sql.clone()).collect();
        Some(with_bar("right", |on_progress| eval::score(&suite, &sql, options, on_progress))?)
    } else {
        None
    };
    Ok(Measured { suite, answers, verdicts })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Call(error.to_string()))?
}

fn context(arguments: EvalArguments) -> Result<String, Error> {
    let options = eval::ContextOptions {
        suites: arguments.suite,
        databases: arguments.databases,
        schema_tokens: arguments.schema_tokens,
        merged: arguments.merged,
        today: today(arguments.today),
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
    let today = today(arguments.today);
    let report = with_bar("without doubt", |on_progress| eval::check_gold(suite, databases, today, on_progress))?;
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

fn today(given: Option<Date>) -> Date {
    given.unwrap_or_else(|| SystemClock.now().to_zoned_datetime(TimeZone::UTC).date())
}

/// Shows how far a run is.
fn with_bar<T>(
    verb: &'static str,
    run: impl FnOnce(&mut dyn FnMut(eval::Progress)) -> Result<T, eval::Error>,
) -> Result<T, Error> {
    let bar = Bar::new(verb);
    let report = run(&mut |progress| bar.on(progress));
    bar.finish();
    report.map_err(usage)
}

/// How far a run is, on standard error where that is a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new(verb: &str) -> Self {
        let bar = ProgressBar::no_length();
        let template = format!("{{bar:30}} {{pos}}/{{len}} questions, {{msg}} {verb}, {{elapsed}}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style);
        }
        Self(bar)
    }

    fn on(&self, progress: eval::Progress) {
        self.0.set_length(progress.total as u64);
        self.0.set_position(progress.done as u64);
        self.0.set_message(progress.answered.to_string());
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}

fn shown(path: &Path) -> std::path::Display<'_> {
    path.display()
}

#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by its name")]
fn usage<T: ToString>(problem: T) -> Error {
    Error::Usage(problem.to_string())
}
