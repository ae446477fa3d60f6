//! `pulse eval`: question sets, in this process.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use secrecy::SecretString;
use tokio::runtime::Handle;

use super::command::{EngineArgument, Error, EvalArguments, Outcome};
use super::figures::{Measured, print};
use super::output::say;
use crate::app::{Recording, Workbench, WorkbenchOptions};
use crate::config::{ModelConfig, ModelSettings};
use crate::domain::{Clock, EngineChoice, SystemClock};
use crate::eval;
use crate::lifecycle::Lifecycle;

/// Asks, scores and prints; or measures what a model would be told, or what the validator says.
pub(super) async fn run(arguments: EvalArguments) -> Result<Outcome, Error> {
    check_suites(&arguments)?;
    if arguments.context {
        say(&blocking(move || context(arguments)).await?);
        return Ok(Outcome::Done);
    }
    if arguments.check_gold {
        say(&blocking(move || gold(arguments)).await?);
        return Ok(Outcome::Done);
    }
    let by = arguments.by.clone();
    let measured = measure(arguments).await?;
    Ok(if print(&measured, &by) { Outcome::Done } else { Outcome::NotAnswered })
}

async fn measure(arguments: EvalArguments) -> Result<Vec<Measured>, Error> {
    let EvalArguments { suite: suites, engine, evidence, predictions, score, jobs, .. } = arguments;
    let place = Place::of(arguments.databases, arguments.alt, arguments.database_url)?;
    let options = eval::Options { jobs: jobs.into(), today: today(arguments.today), evidence };
    let model = match &score {
        Some(_) => None,
        None => answering_model(engine, arguments.model, arguments.record, arguments.replay)?,
    };
    let lifecycle = Lifecycle::default();
    let rig = Rig::new(place, model, &options, &lifecycle).await?;
    let mut measured = Vec::new();
    for path in &suites {
        let suite = eval::Suite::load(path).map_err(usage)?;
        warn(&suite.warnings);
        let (answers, on) = rig.answers(&suite, score.as_deref(), &options).await?;
        if let Some(path) = &predictions {
            suite.write(path, answers.iter().map(|answer| answer.sql.clone())).map_err(usage)?;
        }
        measured.push(blocking(move || scored(suite, answers, &on, jobs.into())).await?);
    }
    lifecycle.soft.cancel();
    lifecycle.ended().await;
    Ok(measured)
}

fn check_suites(arguments: &EvalArguments) -> Result<(), Error> {
    let EvalArguments { suite: suites, predictions, score, .. } = arguments;
    if suites.len() > 1 && (predictions.is_some() || score.is_some()) {
        return Err(usage("--predictions and --score are for one --suite at a time: ids are unique in a suite only"));
    }
    let mut seen = HashSet::new();
    // A file that is not there is named when it is read.
    let twice = suites.iter().find(|path| !seen.insert(path.canonicalize().unwrap_or_else(|_| (*path).clone())));
    twice.map_or(Ok(()), |path| {
        Err(usage(format!("--suite: {} is given twice and would count twice; leave one out", shown(path))))
    })
}

/// Where the databases are.
enum Place {
    Files(Files),
    Server(eval::ServerUrl),
}

/// SQLite files, in one state or in two.
struct Files {
    databases: PathBuf,
    alt: Option<PathBuf>,
}

impl Place {
    fn of(databases: Option<PathBuf>, alt: Option<PathBuf>, url: Option<SecretString>) -> Result<Self, Error> {
        if let Some(url) = url {
            let url = eval::ServerUrl::parse(url).map_err(|problem| usage(format!("--database-url: {problem}")))?;
            return Ok(Self::Server(url));
        }
        let databases = folder_of_files(databases)?;
        if let Some(alt) = &alt {
            check_folder("--alt", alt)?;
        }
        Ok(Self::Files(Files { databases, alt }))
    }
}

/// The folder of `--databases`.
fn folder_of_files(given: Option<PathBuf>) -> Result<PathBuf, Error> {
    let folder = given.ok_or_else(|| usage("--databases DIR is required"))?;
    check_folder("--databases", &folder)?;
    Ok(folder)
}

fn check_folder(flag: &str, folder: &Path) -> Result<(), Error> {
    if folder.is_dir() {
        return Ok(());
    }
    Err(usage(format!("{flag}: {} is not a folder; name the one that holds DB.sqlite for each `db`", shown(folder))))
}

impl Files {
    /// What statements are run on. A second state that holds nothing of the suite is a mistake.
    fn tried(&self, suite: &eval::Suite) -> Result<eval::Tried, Error> {
        let on = eval::Tried::Files { databases: self.databases.clone(), alt: self.alt.clone() };
        if let Some(alt) = &self.alt {
            match eval::without_second_state(suite, alt) {
                (0, _) => {}
                (lacking, all) if lacking == all => {
                    let problem = "has no database of";
                    return Err(usage(format!("--alt: {} {problem} {}", shown(alt), shown(&suite.path))));
                }
                (lacking, all) => warn(&[format!(
                    "--alt: {} lacks {lacking} of the {all} databases of {}; their questions count by the first state alone",
                    shown(alt),
                    shown(&suite.path)
                )]),
            }
        }
        Ok(on)
    }
}

/// What answers questions and runs statements.
enum Rig {
    /// The builtin engine, on SQLite files and without workflows around it.
    Files(Files),
    /// Whole workflows.
    Bench(Box<Bench>),
}

struct Bench {
    workbench: Workbench,
    place: Place,
    engine: EngineChoice,
}

impl Rig {
    async fn new(
        place: Place,
        model: Option<(ModelConfig, Recording)>,
        options: &eval::Options,
        lifecycle: &Lifecycle,
    ) -> Result<Self, Error> {
        let engine = if model.is_some() { EngineChoice::Openai } else { EngineChoice::Builtin };
        let (place, sqlite_dir) = match place {
            Place::Files(files) if model.is_none() => return Ok(Self::Files(files)),
            Place::Files(files) => {
                let folder = files.databases.canonicalize();
                let folder =
                    folder.map_err(|error| usage(format!("--databases: {}: {error}", shown(&files.databases))))?;
                (Place::Files(files), Some(folder))
            }
            server @ Place::Server(_) => (server, None),
        };
        let midnight =
            options.today.to_zoned_datetime(TimeZone::UTC).map_err(|error| usage(format!("--today: {error}")))?;
        let parts = WorkbenchOptions { sqlite_dir, model, max_workflows: options.jobs, now: midnight.timestamp() };
        let workbench = Workbench::start(parts, lifecycle).await.map_err(usage)?;
        Ok(Self::Bench(Box::new(Bench { workbench, place, engine })))
    }

    /// The answers to a suite, those of a file where one is given, and what they are to be run on.
    async fn answers(
        &self,
        suite: &eval::Suite,
        given: Option<&Path>,
        options: &eval::Options,
    ) -> Result<(Vec<eval::Answer>, eval::Tried), Error> {
        let given = given.map(|path| answers_in(suite, path)).transpose()?;
        match self {
            Self::Files(files) => {
                let on = files.tried(suite)?;
                let answers = match given {
                    Some(answers) => answers,
                    None => read(suite.clone(), files.databases.clone(), options.clone()).await?,
                };
                Ok((answers, on))
            }
            Self::Bench(bench) => bench.answers(suite, given, options).await,
        }
    }
}

impl Bench {
    async fn answers(
        &self,
        suite: &eval::Suite,
        given: Option<Vec<eval::Answer>>,
        options: &eval::Options,
    ) -> Result<(Vec<eval::Answer>, eval::Tried), Error> {
        let Workbench { directory, workflows, queries } = &self.workbench;
        let databases = match &self.place {
            Place::Files(_) => eval::Databases::Files,
            Place::Server(url) => eval::Databases::Server(url.clone()),
        };
        let connected = eval::Connected::all_of(suite, &databases, directory).await.map_err(usage)?;
        let answers = if let Some(answers) = given {
            answers
        } else {
            let bar = Bar::new("answered");
            let asked =
                eval::ask(suite, self.engine, options, &connected, workflows, |progress| bar.on(progress)).await;
            bar.finish();
            asked.map_err(usage)?
        };
        let on = match &self.place {
            Place::Files(files) => files.tried(suite)?,
            Place::Server(_) => eval::Tried::Server { queries: queries.clone(), connected, runtime: Handle::current() },
        };
        Ok((answers, on))
    }
}

/// The answers of a file.
fn answers_in(suite: &eval::Suite, path: &Path) -> Result<Vec<eval::Answer>, Error> {
    let eval::Predictions { answers, warnings } = suite.predictions(path).map_err(usage)?;
    warn(&warnings);
    let answer = |sql| eval::Answer { sql, ..eval::Answer::default() };
    Ok(answers.into_iter().map(answer).collect())
}

/// What the builtin engine reads.
async fn read(suite: eval::Suite, databases: PathBuf, options: eval::Options) -> Result<Vec<eval::Answer>, Error> {
    let run = move || with_bar("answered", |on_progress| eval::run(&suite, &databases, &options, on_progress));
    blocking(run).await
}

/// Says what somebody should know before they believe the figures.
fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("pulse: warning: {warning}");
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

fn scored(suite: eval::Suite, answers: Vec<eval::Answer>, on: &eval::Tried, jobs: usize) -> Result<Measured, Error> {
    let scored = if suite.has_gold {
        let sql: Vec<Option<String>> = answers.iter().map(|answer| answer.sql.clone()).collect();
        Some(with_bar("right", |on_progress| eval::score(&suite, &sql, on, jobs, on_progress))?)
    } else {
        None
    };
    Ok(Measured { suite, answers, scored })
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Call(error.to_string()))?
}

fn context(arguments: EvalArguments) -> Result<String, Error> {
    let options = eval::ContextOptions {
        suites: arguments.suite,
        databases: folder_of_files(arguments.databases)?,
        schema_tokens: arguments.schema_tokens,
        merged: arguments.merged,
        today: today(arguments.today),
    };
    let report = with_bar("with all tables", |on_progress| eval::measure_context(&options, on_progress))?;
    for (id, table) in &report.missing {
        say(&format!("{id} lacks {table}"));
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

fn gold(arguments: EvalArguments) -> Result<String, Error> {
    let (suites, today) = (arguments.suite, today(arguments.today));
    let databases = folder_of_files(arguments.databases)?;
    let check = |on_progress: &mut dyn FnMut(_)| eval::check_gold(&suites, &databases, today, on_progress);
    let report = with_bar("without doubt", check)?;
    for (id, doubt) in &report.doubted {
        say(&format!("{id}: {doubt}"));
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
