//! Asks the questions of a suite as a server would: one workflow each, with its repairs, checks and budgets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::run::{Answer, Error, Options, Progress, asked};
use super::suite::Suite;
use crate::connections::{CreateOptions, Directory, Spec};
use crate::domain::{
    ConnectionId, DatabaseKind, EngineChoice, Failure, FieldViolation, Principal, Question, Reason, RunOptions, Source,
    WorkflowStatus,
};
use crate::workflow::{Handle, StartOptions};

/// Longest that one question may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// Where the databases of the questions are.
#[derive(Debug, Clone)]
pub enum Databases {
    /// In the folder that SQLite files may be opened from, `<db>.sqlite` each.
    Files,
    /// On a server.
    Server(ServerUrl),
}

/// The URL of a server's databases, in which [`ServerUrl::DB`] stands for the name of one.
#[derive(Debug, Clone)]
pub struct ServerUrl(SecretString);

impl ServerUrl {
    /// What stands for the name of a database.
    pub const DB: &str = "{db}";

    /// The URL, or what is wrong with it; the words hold no part of it.
    pub fn parse(url: SecretString) -> Result<Self, String> {
        let url = Self(url);
        let text = url.0.expose_secret().trim_start();
        if text.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sqlite")) {
            return Err("it is for servers; SQLite files are named by their folder: --databases DIR".to_owned());
        }
        match url.of("db").problems().into_iter().next() {
            Some(FieldViolation { field, description }) if field.ends_with("url") => Err(format!("it {description}")),
            Some(FieldViolation { field, description }) => {
                Err(format!("its {} {description}", field.trim_start_matches("connection.")))
            }
            None => Ok(url),
        }
    }

    /// Whether it leads to another database for each name.
    fn names_databases(&self) -> bool {
        self.0.expose_secret().contains(Self::DB)
    }

    fn of(&self, db: &str) -> Spec {
        let url = self.0.expose_secret().replace(Self::DB, &percent_encoded(db));
        Spec { name: db.to_owned(), url: Some(url.into()), ..Spec::default() }
    }
}

/// A name as a part of a URL.
fn percent_encoded(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let encode = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    name.bytes().map(encode).collect()
}

/// The connections to the databases of a suite.
#[derive(Debug, Clone)]
pub struct Connected(BTreeMap<String, ConnectionId>);

impl Connected {
    /// Connects to every database of the suite; one that cannot be reached is an error. Suites may share databases.
    pub async fn all_of(suite: &Suite, databases: &Databases, directory: &Directory) -> Result<Self, Error> {
        let names: Vec<&str> = suite.by_database().into_keys().collect();
        if let (Databases::Server(url), [one, other, ..]) = (databases, &*names)
            && !url.names_databases()
        {
            let message = format!(
                "it names one database, and {} asks about more, such as `{one}` and `{other}`: write {} where a database's \
                 name belongs",
                suite.path.display(),
                ServerUrl::DB
            );
            return Err(Error::Url(message));
        }
        let mut ids = BTreeMap::new();
        for db in names {
            let spec = match databases {
                Databases::Files => file(db),
                Databases::Server(url) => url.of(db),
            };
            let id = connect(directory, spec).await;
            ids.insert(db.to_owned(), id.map_err(|failure| Error::Connection { db: db.to_owned(), failure })?);
        }
        Ok(Self(ids))
    }

    /// The connection to a database.
    pub(super) fn to(&self, db: &str) -> Result<ConnectionId, Error> {
        let missing = || Failure::new(Reason::Internal, "nothing is connected to it");
        self.0.get(db).copied().ok_or_else(|| Error::Connection { db: db.to_owned(), failure: missing() })
    }
}

/// Asks every question of the suite; answers are in the suite's order.
///
/// A question whose workflow fails has no statement, and [`Answer::failure`] says why; [`is_invalid`] tells whether that
/// is a result at all. `on_progress` is called after each question.
pub async fn ask(
    suite: &Suite,
    engine: EngineChoice,
    options: &Options,
    connected: &Connected,
    workflows: &Handle,
    mut on_progress: impl FnMut(Progress),
) -> Result<Vec<Answer>, Error> {
    let who = Principal::local();
    let connections = suite.items.iter().map(|item| connected.to(&item.db));
    let connections: Vec<ConnectionId> = connections.collect::<Result<_, _>>()?;
    let questions = suite.items.iter().zip(connections).map(|(item, connection)| Question {
        text: asked(item, options.evidence),
        source: Source::Connection(connection),
        options: RunOptions { engine, workflow_timeout: PATIENCE, ..RunOptions::default() },
    });
    let answering = questions.map(|question| answer(workflows, &who, question));
    let mut answering = futures::stream::iter(answering).buffered(options.jobs.max(1));
    let mut answers = Vec::with_capacity(suite.items.len());
    let mut progress = Progress { done: 0, total: suite.items.len(), answered: 0 };
    while let Some(answer) = answering.next().await {
        progress.done += 1;
        progress.answered += usize::from(answer.sql.is_some());
        on_progress(progress);
        answers.push(answer);
    }
    Ok(answers)
}

/// Whether a failure says nothing of the engine: the question was never really asked.
#[must_use]
pub fn is_invalid(failure: &Failure) -> bool {
    use Reason::{
        Internal, ModelAuth, ModelNotConfigured, ModelNotFound, ModelRateLimited, ModelRequestRejected,
        ModelUnavailable, Overloaded, StoreDataLost, StoreFull, StoreUnavailable, TargetBusy, TargetUnavailable,
    };
    matches!(
        failure.reason,
        Internal
            | ModelAuth
            | ModelNotConfigured
            | ModelNotFound
            | ModelRateLimited
            | ModelRequestRejected
            | ModelUnavailable
            | Overloaded
            | StoreDataLost
            | StoreFull
            | StoreUnavailable
            | TargetBusy
            | TargetUnavailable
    )
}

fn file(db: &str) -> Spec {
    Spec { name: db.to_owned(), kind: Some(DatabaseKind::Sqlite), database: format!("{db}.sqlite"), ..Spec::default() }
}

/// The connection to a database, made or found.
async fn connect(directory: &Directory, spec: Spec) -> Result<ConnectionId, Failure> {
    let who = Principal::local();
    let name = spec.name.clone();
    match directory.create(&who, spec, CreateOptions::default()).await {
        Ok(saved) => Ok(saved.connection.id),
        Err(Failure { reason: Reason::NameTaken, .. }) => Ok(directory.find(&who, &name).await?.id),
        Err(failure) => Err(failure),
    }
}

async fn answer(workflows: &Handle, who: &Principal, question: Question) -> Answer {
    let started = Instant::now();
    let ended = follow(workflows, who, question).await;
    let time = started.elapsed();
    ended.map_or_else(
        |failure| Answer { failure: Some(failure), time, ..Answer::default() },
        |answer| Answer { time, ..answer },
    )
}

async fn follow(workflows: &Handle, who: &Principal, question: Question) -> Result<Answer, Failure> {
    let id = workflows.start(who, question, StartOptions::default()).await?.id;
    let mut events = std::pin::pin!(workflows.watch(who, id, 0, None));
    while let Some(event) = events.next().await {
        event?;
    }
    let workflow = workflows.get(who, id).await?;
    let (usage, _) = workflow.model_cost();
    let completed = workflow.status == WorkflowStatus::Completed;
    let sql = workflow.checked_sql().filter(|_| completed).map(str::to_owned);
    let failure = workflow.failure.clone();
    // Its log is of no more use.
    workflows.delete(who, id).await?;
    Ok(Answer { sql, usage, failure, time: Duration::ZERO })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_leads_to_the_database_of_each_question() {
        let url = ServerUrl::parse("postgres://ann:hunter2@db/eval_{db}?sslmode=disable".into()).unwrap();
        let told = |db: &str| url.of(db).url.unwrap().expose_secret().to_owned();
        assert_eq!(told("shop"), "postgres://ann:hunter2@db/eval_shop?sslmode=disable");
        assert_eq!(told("my shop/2"), "postgres://ann:hunter2@db/eval_my%20shop%2F2?sslmode=disable");
        for (wrong, said) in [
            ("sqlite://shop.db", "--databases DIR"),
            ("http://ann:hunter2@db/shop", "it must begin with postgres://"),
            ("postgres://db/{db}", "its username is required"),
        ] {
            let problem = ServerUrl::parse(wrong.into()).unwrap_err();
            assert!(problem.contains(said) && !problem.contains("hunter2"), "{wrong}: {problem}");
        }
    }
}
