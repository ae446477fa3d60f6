//! Asks the questions of a suite as a server would: one workflow each, with its repairs, checks and budgets.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::StreamExt as _;

use super::run::{Answer, Error, Options, Progress, asked};
use super::suite::Suite;
use crate::connections::{CreateOptions, Directory, Spec};
use crate::domain::{
    ConnectionId, DatabaseKind, EngineChoice, Failure, Principal, Question, Reason, RunLimits, RunOptions, Source,
    WorkflowStatus,
};
use crate::workflow::{Handle, StartOptions};

/// Longest that one question may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// Asks every question of the suite on the SQLite files that the directory may open; answers are in the suite's order.
///
/// A question whose workflow fails has no statement, and [`Answer::failure`] says why; [`is_invalid`] tells whether that
/// is a result at all. `on_progress` is called after each question.
pub async fn ask(
    suite: &Suite,
    options: &Options,
    directory: &Directory,
    workflows: &Handle,
    mut on_progress: impl FnMut(Progress),
) -> Result<Vec<Answer>, Error> {
    let who = Principal::local();
    let mut connections: BTreeMap<&str, ConnectionId> = BTreeMap::new();
    for item in &suite.items {
        if !connections.contains_key(item.db.as_str()) {
            let connected = connect(directory, &who, &item.db).await;
            let id = connected.map_err(|failure| Error::Connection { db: item.db.clone(), failure })?;
            connections.insert(&item.db, id);
        }
    }
    let questions = suite.items.iter().map(|item| (asked(item, options.evidence), connections[item.db.as_str()]));
    let answering = questions.map(|(text, connection)| answer(workflows, &who, text, connection));
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

/// The connection to a database; suites may share it.
async fn connect(directory: &Directory, who: &Principal, db: &str) -> Result<ConnectionId, Failure> {
    let spec = Spec {
        name: db.to_owned(),
        kind: Some(DatabaseKind::Sqlite),
        database: format!("{db}.sqlite"),
        ..Spec::default()
    };
    match directory.create(who, spec, CreateOptions::default()).await {
        Ok(saved) => Ok(saved.connection.id),
        Err(Failure { reason: Reason::NameTaken, .. }) => Ok(directory.find(who, db).await?.id),
        Err(failure) => Err(failure),
    }
}

async fn answer(workflows: &Handle, who: &Principal, text: String, connection: ConnectionId) -> Answer {
    let started = Instant::now();
    let ended = follow(workflows, who, text, connection).await;
    let time = started.elapsed();
    ended.map_or_else(
        |failure| Answer { failure: Some(failure), time, ..Answer::default() },
        |answer| Answer { time, ..answer },
    )
}

async fn follow(
    workflows: &Handle,
    who: &Principal,
    text: String,
    connection: ConnectionId,
) -> Result<Answer, Failure> {
    let options = RunOptions {
        user_id: String::new(),
        engine: EngineChoice::Openai,
        max_retries: 3,
        execute: true,
        require_approval: false,
        allow_clarification: false,
        candidates: 1,
        workflow_timeout: PATIENCE,
        previous_workflow_id: None,
        cancel_on_disconnect: false,
        limits: RunLimits::default(),
    };
    let question = Question { text, source: Source::Connection(connection), options };
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
