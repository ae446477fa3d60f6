//! Workflows that wait for a person.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;

use super::testing::{Act, Bench, Scripted, short, team};
use super::*;
use crate::agents::steps::{COMPOSER, EXECUTION, LOAD_SCHEMA, PLANNER, VALIDATOR};
use crate::agents::{Task, Team};
use crate::domain::outputs::{Approval, Clarification, PlannerOutput, StepOutput, ValidatorOutput};
use crate::domain::{
    EngineName, Event, EventKind, Failure, Need, Principal, Reason, RequestKey, ResumeInput, RunOptions, Source,
    SqlError, Workflow, WorkflowId, WorkflowStatus,
};
use crate::store::{Lease, Store};

fn approval() -> RunOptions {
    RunOptions { require_approval: true, ..RunOptions::default() }
}

/// The workflow, once it waits for the `nth` time.
async fn waits(bench: &Bench, id: WorkflowId, nth: usize) -> Workflow {
    let awaiting = |event: &Event| matches!(event.kind, EventKind::Awaiting { .. });
    let mut asked = Box::pin(bench.watch(id, 0, None).filter(|event| std::future::ready(awaiting(event))));
    for _ in 0..nth {
        asked.next().await.expect("the workflow waits");
    }
    bench.handle.get(&bench.who, id).await.unwrap()
}

async fn asked(bench: &Bench) -> Workflow {
    let id = bench.ask(approval()).await.id;
    waits(bench, id, 1).await
}

async fn resume(bench: &Bench, id: WorkflowId, input: ResumeInput) -> Result<Workflow, Failure> {
    bench.handle.resume(&bench.who, id, input, ResumeOptions::default()).await
}

fn edited(sql: &str) -> ResumeInput {
    ResumeInput::EditedSql(sql.to_owned())
}

fn offered(workflow: &Workflow) -> &Approval {
    match &workflow.awaiting.as_ref().expect("it waits").need {
        Need::Approval(approval) => approval,
        other @ Need::Clarification(_) => panic!("{other:?}"),
    }
}

fn names(events: &[Event]) -> Vec<String> {
    events.iter().map(short).collect()
}

fn runs(bench: &Bench, step: &str) -> usize {
    bench.script.runs().iter().filter(|run| **run == step).count()
}

fn refusal() -> ValidatorOutput {
    ValidatorOutput {
        errors: vec!["there is no column n".into()],
        feedback: "use column id".into(),
        sql_error: Some(SqlError::default()),
        ..ValidatorOutput::default()
    }
}

#[tokio::test]
async fn nothing_runs_before_it_is_approved() {
    for bench in [Bench::new(), Bench::ahead()] {
        let workflow = asked(&bench).await;
        assert_eq!(workflow.status, WorkflowStatus::AwaitingApproval);
        assert_eq!((offered(&workflow).sql.as_str(), offered(&workflow).refused.as_ref()), ("SELECT 1", None));
        let waits = workflow.awaiting.as_ref().unwrap();
        assert_eq!(waits.expire_time.duration_since(waits.since).as_hours(), 24);
        assert!(!bench.store.is_held(&bench.who.tenant, workflow.id).await.unwrap(), "no worker keeps it");
        assert_eq!(runs(&bench, EXECUTION), 0);

        let resumed = resume(&bench, workflow.id, ResumeInput::Approve).await.unwrap();
        assert_eq!((resumed.status, resumed.awaiting.as_ref()), (WorkflowStatus::Running, None));
        let events = bench.events(workflow.id).await;
        let tail = ["awaiting", "resumed", "started(execution,1)", "completed(execution,1)", "result", "completed"];
        assert_eq!(names(&events)[names(&events).len() - 6..], tail);
        let EventKind::Resumed { by, .. } = &events[events.len() - 5].kind else { panic!("{events:?}") };
        assert_eq!(by, &Principal::local());
        let ended = Workflow::fold(workflow.id, &events).unwrap();
        assert_eq!((ended.result.unwrap().sql.as_str(), runs(&bench, EXECUTION)), ("SELECT 1", 1));
    }
}

#[tokio::test]
async fn waiting_takes_no_place_from_others() {
    let bench = Bench::with(EngineName::Openai, Options { max_running: 1, ..Options::default() });
    for _ in 0..3 {
        asked(&bench).await;
    }
    assert_eq!(bench.answer(RunOptions::default()).await.0.status, WorkflowStatus::Completed);
}

#[tokio::test]
async fn waiting_outlives_its_process() {
    for mut bench in [Bench::new(), Bench::ahead()] {
        let id = asked(&bench).await.id;
        bench.restart().await;
        assert_eq!(bench.handle.get(&bench.who, id).await.unwrap().status, WorkflowStatus::AwaitingApproval);
        // The answer comes while nobody works.
        bench.stop().await;
        resume(&bench, id, ResumeInput::Approve).await.unwrap();
        bench.restart().await;
        assert_eq!(names(&bench.events(id).await).last().unwrap(), "completed");
        assert_eq!((runs(&bench, PLANNER), runs(&bench, EXECUTION)), (1, 1));
    }
}

#[tokio::test]
async fn what_is_rejected_never_runs() {
    let bench = Bench::new();
    let id = asked(&bench).await.id;
    let ended = resume(&bench, id, ResumeInput::Reject("too dear".into())).await.unwrap();
    assert_eq!(ended.status, WorkflowStatus::Cancelled);
    let failure = ended.failure.unwrap();
    assert_eq!((failure.reason, failure.message.as_str()), (Reason::CallCancelled, "rejected: too dear"));
    let events = bench.events(id).await;
    assert_eq!(names(&events)[events.len() - 2..], ["resumed", "cancelled:CallCancelled"]);
    assert_eq!(runs(&bench, EXECUTION), 0);
}

#[tokio::test]
async fn what_a_person_writes_is_checked_and_runs() {
    for bench in [Bench::new(), Bench::ahead()] {
        let id = asked(&bench).await.id;
        resume(&bench, id, edited("SELECT 7")).await.unwrap();
        let events = bench.events(id).await;
        let tail = ["resumed", "started(validator,2)", "completed(validator,2)", "started(execution,1)"];
        assert_eq!(names(&events)[events.len() - 7..events.len() - 3], tail);
        let ended = Workflow::fold(id, &events).unwrap();
        assert_eq!((ended.result.as_ref().unwrap().sql.as_str(), ended.sql()), ("SELECT 7", Some("SELECT 7")));
        assert_eq!(runs(&bench, COMPOSER), 1);
    }
}

#[tokio::test]
async fn what_a_person_writes_may_be_refused_and_is_asked_about_again() {
    for bench in [Bench::new(), Bench::ahead()] {
        let id = asked(&bench).await.id;
        bench.script.verdicts.lock().unwrap().push_back(refusal());
        resume(&bench, id, edited("DROP TABLE orders")).await.unwrap();
        let workflow = waits(&bench, id, 2).await;
        let Approval { sql, refused, .. } = offered(&workflow);
        assert_eq!((sql.as_str(), workflow.sql()), ("SELECT 1", Some("SELECT 1")));
        let refused = refused.as_ref().unwrap();
        assert_eq!(
            (refused.sql.as_str(), refused.failure.message.as_str()),
            ("DROP TABLE orders", "there is no column n")
        );
        assert_eq!((runs(&bench, EXECUTION), runs(&bench, COMPOSER), workflow.retries), (0, 1, 0));

        // The checks pass, the database does not run it.
        let fails = Failure::new(Reason::SqlFailed, "division by zero");
        bench.script.refusals.lock().unwrap().push_back(fails.clone());
        resume(&bench, id, edited("SELECT 1/0")).await.unwrap();
        let workflow = waits(&bench, id, 3).await;
        assert_eq!(offered(&workflow).refused.as_ref().unwrap().failure, fails);

        resume(&bench, id, ResumeInput::Approve).await.unwrap();
        let events = bench.events(id).await;
        assert_eq!(Workflow::fold(id, &events).unwrap().result.unwrap().sql, "SELECT 1");
        assert_eq!((runs(&bench, EXECUTION), runs(&bench, VALIDATOR)), (2, 3));
    }
}

#[tokio::test]
async fn what_no_statement_could_do_better_ends_it() {
    let bench = Bench::new();
    let id = asked(&bench).await.id;
    bench.script.on(EXECUTION, Act::Fail(Failure::new(Reason::TargetUnavailable, "it is down")));
    resume(&bench, id, edited("SELECT 7")).await.unwrap();
    assert_eq!(names(&bench.events(id).await).last().unwrap(), "failed:TargetUnavailable");
}

#[tokio::test]
async fn another_statement_needs_another_approval() {
    for bench in [Bench::new(), Bench::ahead()] {
        let id = asked(&bench).await.id;
        let refused = Failure::new(Reason::SqlFailed, "the database refused it");
        bench.script.refusals.lock().unwrap().push_back(refused);
        resume(&bench, id, ResumeInput::Approve).await.unwrap();
        let workflow = waits(&bench, id, 2).await;
        assert_eq!((offered(&workflow).sql.as_str(), workflow.retries), ("SELECT 2", 1));
        resume(&bench, id, ResumeInput::Approve).await.unwrap();
        let ended = Workflow::fold(id, &bench.events(id).await).unwrap();
        assert_eq!(ended.result.unwrap().sql, "SELECT 2");
    }
}

#[tokio::test]
async fn of_two_answers_the_first_counts() {
    let bench = Bench::new();
    let id = asked(&bench).await.id;
    let reject = || ResumeInput::Reject(String::new());
    let (one, other) = tokio::join!(resume(&bench, id, reject()), resume(&bench, id, reject()));
    let refused = [one, other].into_iter().filter_map(Result::err).collect::<Vec<_>>();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].reason, refused[0].metadata["status"].as_str()), (Reason::WorkflowNotAwaiting, "CANCELLED"));
}

#[tokio::test]
async fn only_what_is_waited_for_is_heard() {
    let bench = Bench::new();
    let workflow = asked(&bench).await;
    let id = workflow.id;
    let refused = resume(&bench, id, ResumeInput::Answer("yes".into())).await.unwrap_err();
    assert_eq!(refused.reason, Reason::WorkflowNotAwaiting);
    assert!(refused.message.contains("approve"), "{refused}");
    let stranger = Principal { tenant: crate::domain::TenantId::parse("other").unwrap(), ..Principal::local() };
    let strange = bench.handle.resume(&stranger, id, ResumeInput::Approve, ResumeOptions::default()).await;
    assert_eq!(strange.unwrap_err().reason, Reason::WorkflowNotFound);
    let seen = |expected| ResumeOptions { expected_sequence: Some(expected), ..ResumeOptions::default() };
    let last = workflow.last_sequence;
    let stale = bench.handle.resume(&bench.who, id, ResumeInput::Approve, seen(last - 1)).await.unwrap_err();
    assert_eq!((stale.reason, &stale.metadata["last_sequence"]), (Reason::SequenceMismatch, &last.to_string()));
    bench.handle.resume(&bench.who, id, ResumeInput::Approve, seen(last)).await.unwrap();
    assert_eq!(names(&bench.events(id).await).last().unwrap(), "completed");
    let late = resume(&bench, id, ResumeInput::Approve).await.unwrap_err();
    assert_eq!(late.reason, Reason::WorkflowNotAwaiting);
}

#[tokio::test]
async fn a_repeated_answer_is_the_same_answer() {
    let bench = Bench::new();
    let id = asked(&bench).await.id;
    let key = |byte| ResumeOptions {
        request: Some(RequestKey { id: "r-1".into(), body_hash: [byte; 32] }),
        expected_sequence: None,
    };
    let approve = |options| bench.handle.resume(&bench.who, id, ResumeInput::Approve, options);
    // The first try claims the id and cannot be stored; of the second only the word that it was is lost.
    bench.store.failing_appends.store(1, Ordering::SeqCst);
    assert_eq!(approve(key(1)).await.unwrap_err().reason, Reason::StoreUnavailable);
    bench.store.lost_answers.store(1, Ordering::SeqCst);
    assert_eq!(approve(key(1)).await.unwrap_err().reason, Reason::StoreUnavailable);
    approve(key(1)).await.unwrap();
    assert_eq!(approve(key(2)).await.unwrap_err().reason, Reason::RequestIdReused);
    let events = bench.events(id).await;
    assert_eq!(names(&events).iter().filter(|name| *name == "resumed").count(), 1);
    assert_eq!(approve(key(1)).await.unwrap().status, WorkflowStatus::Completed);
}

#[tokio::test]
async fn nobody_is_waited_for_for_ever() {
    for engine in [EngineName::Openai, EngineName::Builtin] {
        let options = Options { input_timeout: Duration::from_millis(200), ..Options::default() };
        let mut bench = Bench::with(engine, options);
        let (ended, events) = bench.answer(approval()).await;
        assert_eq!(names(&events)[events.len() - 2..], ["awaiting", "failed:InputExpired"]);
        assert!(ended.failure.unwrap().message.contains("nobody approved"));
        // The same when the time passes while nobody works.
        let id = asked(&bench).await.id;
        bench.restart().await;
        assert_eq!(names(&bench.events(id).await).last().unwrap(), "failed:InputExpired");
        assert_eq!(runs(&bench, EXECUTION), 0);
    }
}

#[tokio::test]
async fn who_waits_is_cancelled_at_once() {
    let bench = Bench::new();
    let id = asked(&bench).await.id;
    let ended = bench.handle.cancel(&bench.who, id, "enough".into()).await.unwrap();
    assert_eq!((ended.status, ended.awaiting), (WorkflowStatus::Cancelled, None));

    let workflow = asked(&bench).await;
    let Source::Connection(connection) = workflow.started.question.source else { panic!() };
    bench.handle.cancel_for_connection(&bench.who, connection).await.unwrap();
    let events = bench.events(workflow.id).await;
    assert_eq!(names(&events).last().unwrap(), "cancelled:ConnectionDeleted");
}

#[tokio::test]
async fn the_wait_does_not_count_as_work() {
    let bench = Bench::new();
    // A log of yesterday, whose person answers today.
    let first = asked(&bench).await;
    let events: Vec<Event> = bench.store.read(&bench.who.tenant, first.id, 0, 100).await.unwrap();
    let shift = jiff::SignedDuration::from_hours(20);
    let old = events.into_iter().map(|event| Event { time: event.time - shift, ..event }).collect::<Vec<_>>();
    let id = WorkflowId::generate();
    let lease = Lease::new(id);
    bench.store.append_on(&bench.who.tenant, id, 0, &old, Some(lease)).await.unwrap();
    resume(&bench, id, ResumeInput::Approve).await.unwrap();
    let ended = Workflow::fold(id, &bench.events(id).await).unwrap();
    assert_eq!(ended.status, WorkflowStatus::Completed, "{:?}", ended.failure);
    let whole = ended.update_time.duration_since(ended.create_time);
    assert!(ended.waited > Duration::from_hours(19) && whole.as_hours() >= 20, "{:?} of {whole:?}", ended.waited);
}

// --- Questions back -------------------------------------------------------------------------------------------------

fn may_ask() -> RunOptions {
    RunOptions { allow_clarification: true, ..RunOptions::default() }
}

/// A team whose planner asks back until it was answered so often.
fn asking(bench: &Bench, times: usize) -> Team {
    let mut asking = team(&bench.script);
    let plan = move |task: &Task| {
        let nth = task.workflow.clarified.len();
        let asked = Clarification { question: format!("Which, {nth}?"), options: vec!["a".into(), "b".into()] };
        let clarification = (nth < times).then_some(asked);
        StepOutput::Planner(PlannerOutput { clarification, ..PlannerOutput::default() })
    };
    asking.agents.retain(|agent| agent.name() != PLANNER);
    asking.agents.push(Scripted::playing(&bench.script, PLANNER, &[LOAD_SCHEMA], plan));
    asking
}

fn answer(text: &str) -> ResumeInput {
    ResumeInput::Answer(text.to_owned())
}

#[tokio::test]
async fn an_answer_lets_the_planner_plan_again() {
    for mut bench in [Bench::new(), Bench::ahead()] {
        let asking = asking(&bench, 2);
        bench.replace(asking.clone()).await;
        let id = bench.ask(may_ask()).await.id;
        let workflow = waits(&bench, id, 1).await;
        assert_eq!(workflow.status, WorkflowStatus::AwaitingInput);
        let Need::Clarification(asked) = &workflow.awaiting.as_ref().unwrap().need else { panic!() };
        assert_eq!(asked.question, "Which, 0?");
        let refused = resume(&bench, id, ResumeInput::Approve).await.unwrap_err();
        assert!(refused.reason == Reason::WorkflowNotAwaiting && refused.message.contains("answer"), "{refused}");
        resume(&bench, id, answer("b")).await.unwrap();
        waits(&bench, id, 2).await;
        // The answers outlive the process.
        bench.replace(asking).await;
        resume(&bench, id, answer("in my own words")).await.unwrap();
        let events = bench.events(id).await;
        let planned = names(&events).into_iter().filter(|name| name.contains("planner") || name.starts_with("aw"));
        let expected =
            [1, 2].map(|n| [format!("started(planner,{n})"), format!("completed(planner,{n})"), "awaiting".into()]);
        let last = ["started(planner,3)", "completed(planner,3)"].map(str::to_owned);
        assert_eq!(planned.collect::<Vec<_>>(), expected.concat().into_iter().chain(last).collect::<Vec<_>>());
        let ended = Workflow::fold(id, &events).unwrap();
        assert_eq!(ended.status, WorkflowStatus::Completed, "{:?}", ended.failure);
        let answers: Vec<_> = ended.clarified.iter().map(|clarified| clarified.answer.as_str()).collect();
        assert_eq!(answers, ["b", "in my own words"]);
        assert_eq!((runs(&bench, LOAD_SCHEMA), runs(&bench, COMPOSER)), (3, 1), "each worker looks at the facts");
    }
}

#[tokio::test]
async fn who_may_not_be_asked_is_not() {
    let mut bench = Bench::new();
    let asking = asking(&bench, 9);
    bench.replace(asking).await;
    let (ended, _) = bench.answer(RunOptions::default()).await;
    let failure = ended.failure.unwrap();
    assert_eq!((failure.reason, failure.metadata["readings"].as_str()), (Reason::QuestionAmbiguous, "2"));
    assert!(failure.message.contains("Which, 0? (a; b)"), "{failure}");

    // Nobody is asked a fourth time.
    let id = bench.ask(may_ask()).await.id;
    for nth in 1..=3 {
        waits(&bench, id, nth).await;
        resume(&bench, id, answer("a")).await.unwrap();
    }
    assert_eq!(names(&bench.events(id).await).last().unwrap(), "failed:QuestionAmbiguous");
}

#[tokio::test]
async fn a_question_may_be_asked_back_and_its_sql_approved() {
    let mut bench = Bench::ahead();
    let asking = asking(&bench, 1);
    bench.replace(asking).await;
    let id = bench.ask(RunOptions { require_approval: true, ..may_ask() }).await.id;
    waits(&bench, id, 1).await;
    resume(&bench, id, answer("a")).await.unwrap();
    let workflow = waits(&bench, id, 2).await;
    assert_eq!(workflow.status, WorkflowStatus::AwaitingApproval);
    resume(&bench, id, ResumeInput::Approve).await.unwrap();
    assert_eq!(names(&bench.events(id).await).last().unwrap(), "completed");
}
