//! Whole workflows, seen as a caller sees them: by their events.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::{FutureExt, StreamExt};

use super::testing::{Act, Bench, Scripted, question, short, spawn, team};
use super::*;
use crate::agents::steps::{COMPOSER, EXECUTION, LOAD_SCHEMA, MAPPER, PLANNER, VALIDATOR};
use crate::domain::outputs::{Check, CheckKind, StepOutput, ValidatorOutput, Verdict};
use crate::domain::{
    EngineChoice, EngineName, Event, Failure, PageRequest, Principal, Reason, RequestKey, RunOptions, Source, SqlError,
    StepStatus, TenantId, WorkflowStatus,
};
use crate::store;
use crate::store::Store;
use crate::store::embedded::Embedded;

const STEPS: [&str; 6] = [LOAD_SCHEMA, PLANNER, MAPPER, COMPOSER, VALIDATOR, EXECUTION];

fn names(events: &[Event]) -> Vec<String> {
    events.iter().map(short).collect()
}

/// Numbered 1 to n, and exactly one terminal event, last (I2).
fn assert_whole(events: &[Event]) {
    let sequences: Vec<_> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=events.len() as u64).collect::<Vec<_>>());
    let terminal: Vec<_> = events.iter().filter(|event| event.kind.is_terminal()).collect();
    assert_eq!(terminal, [events.last().unwrap()], "{:?}", names(events));
}

fn refusal() -> ValidatorOutput {
    ValidatorOutput {
        checks: vec![Check { kind: CheckKind::Planner, verdict: Verdict::Failed, detail: "no such column".into() }],
        errors: vec!["there is no column n".into()],
        feedback: "use column id".into(),
        sql_error: Some(SqlError { message: "no such column: n".into(), position: 8, ..SqlError::default() }),
        ..ValidatorOutput::default()
    }
}

#[tokio::test]
async fn a_question_runs_through_all_steps_in_order() {
    for bench in [Bench::new(), Bench::ahead()] {
        let (workflow, events) = bench.answer(RunOptions::default()).await;
        assert_whole(&events);
        let steps = STEPS.iter().flat_map(|step| [format!("started({step},1)"), format!("completed({step},1)")]);
        let expected: Vec<_> = ["workflow_started".to_owned()]
            .into_iter()
            .chain(steps)
            .chain(["result".to_owned(), "completed".to_owned()])
            .collect();
        assert_eq!(names(&events), expected);
        let result = workflow.result.as_ref().unwrap();
        assert_eq!((result.sql.as_str(), result.answer_text.as_str()), ("SELECT 1", "n: 42"));
        assert_eq!(workflow.status, WorkflowStatus::Completed);
        assert!(workflow.steps.iter().all(|step| step.status == StepStatus::Done && !step.summary.is_empty()));
        assert_eq!(bench.handle.get(&bench.who, workflow.id).await.unwrap(), workflow);
    }
}

#[tokio::test]
async fn nothing_is_run_unless_it_may() {
    for bench in [Bench::new(), Bench::ahead()] {
        let (workflow, events) = bench.answer(RunOptions { execute: false, ..RunOptions::default() }).await;
        assert_whole(&events);
        assert!(!bench.script.runs().contains(&EXECUTION));
        assert_eq!((workflow.sql(), workflow.result.as_ref()), (Some("SELECT 1"), None));

        let mut inline = question(RunOptions::default());
        inline.source = Source::InlineSchema(super::testing::schema());
        let id = bench.handle.start(&bench.who, inline, StartOptions::default()).await.unwrap().id;
        assert_eq!(names(&bench.events(id).await).last().unwrap(), "completed");
        assert!(!bench.script.runs().contains(&EXECUTION));
    }
}

#[tokio::test]
async fn the_composer_hears_what_was_wrong() {
    for bench in [Bench::new(), Bench::ahead()] {
        bench.script.verdicts.lock().unwrap().push_back(refusal());
        let refused = Failure::new(Reason::SqlFailed, "the database refused it");
        bench.script.refusals.lock().unwrap().push_back(refused);
        let (workflow, events) = bench.answer(RunOptions::default()).await;
        assert_whole(&events);
        let tail = &names(&events)[7..];
        assert_eq!(
            tail,
            [
                "started(composer,1)",
                "completed(composer,1)",
                "started(validator,1)",
                "failed(validator,1)",
                "retrying(1)",
                "started(composer,2)",
                "completed(composer,2)",
                "started(validator,2)",
                "completed(validator,2)",
                "started(execution,1)",
                "failed(execution,1)",
                "retrying(2)",
                "started(composer,3)",
                "completed(composer,3)",
                "started(validator,3)",
                "completed(validator,3)",
                "started(execution,2)",
                "completed(execution,2)",
                "result",
                "completed",
            ]
        );
        let feedback = bench.script.feedback.lock().unwrap().clone();
        assert_eq!(feedback[0], None);
        let first = feedback[1].as_ref().unwrap();
        assert_eq!((first.sql.as_str(), first.message.as_str()), ("SELECT 1", "use column id"));
        assert_eq!(first.sql_error.as_ref().unwrap().position, 8);
        assert_eq!(feedback[2].as_ref().unwrap().message, "the database refused it");
        assert_eq!(workflow.result.unwrap().sql, "SELECT 3");
        let verdict = workflow.steps.iter().find(|step| step.name == VALIDATOR).unwrap();
        assert!(matches!(verdict.output, Some(StepOutput::Validator(_))), "the verdict stays with the failed attempt");
    }
}

#[tokio::test]
async fn retries_end() {
    for bench in [Bench::new(), Bench::ahead()] {
        bench.script.verdicts.lock().unwrap().extend(vec![refusal(); 3]);
        let (workflow, events) = bench.answer(RunOptions { max_retries: 2, ..RunOptions::default() }).await;
        assert_whole(&events);
        assert_eq!(bench.script.runs().iter().filter(|step| **step == COMPOSER).count(), 3);
        let failure = workflow.failure.unwrap();
        assert_eq!(failure.reason, Reason::RetriesExhausted);
        assert!(failure.message.contains("3 attempts") && failure.message.contains("use column id"), "{failure}");
        assert_eq!(failure.sql.unwrap().position, 8);
    }
}

#[tokio::test]
async fn a_corrected_statement_is_what_runs() {
    let bench = Bench::new();
    let refined = ValidatorOutput { is_valid: true, refined_sql: Some("SELECT 7".into()), ..refusal() };
    bench.script.verdicts.lock().unwrap().push_back(refined);
    let (workflow, _) = bench.answer(RunOptions::default()).await;
    assert_eq!(workflow.sql(), Some("SELECT 7"));
}

#[tokio::test]
async fn an_abstention_ends_the_workflow_as_data() {
    let bench = Bench::new();
    let abstains = Failure::new(Reason::QuestionNotUnderstood, "nothing here is called that");
    bench.script.on(PLANNER, Act::Fail(abstains.clone()));
    let (workflow, events) = bench.answer(RunOptions::default()).await;
    assert_whole(&events);
    assert_eq!(names(&events)[4..], ["failed(planner,1)", "failed:QuestionNotUnderstood"]);
    assert_eq!(workflow.failure, Some(abstains));
}

#[tokio::test]
async fn a_step_that_takes_too_long_ends_the_workflow() {
    let bench =
        Bench::with(EngineName::Openai, Options { step_timeout: Duration::from_millis(300), ..Options::default() });
    bench.script.on(MAPPER, Act::Stall);
    let (workflow, events) = bench.answer(RunOptions::default()).await;
    assert_whole(&events);
    assert_eq!(names(&events)[6..], ["failed(mapper,1)", "failed:StepTimeout"]);
    assert_eq!(workflow.failure.unwrap().metadata["step"], MAPPER);
}

#[tokio::test]
async fn a_workflow_that_takes_too_long_ends_even_across_a_resume() {
    let mut bench = Bench::new();
    bench.script.on(EXECUTION, Act::Stall);
    let workflow_timeout = Duration::from_millis(300);
    let id = bench.ask(RunOptions { workflow_timeout, ..RunOptions::default() }).await.id;
    bench.script.begun(EXECUTION, 1).await;
    bench.restart().await;
    let events = bench.events(id).await;
    assert_whole(&events);
    assert_eq!(names(&events).last().unwrap(), "failed:WorkflowTimeout");
    let took = events.last().unwrap().time.duration_since(events[0].time);
    assert!(took >= workflow_timeout.try_into().unwrap(), "counted from the first event: {took:?}");
}

#[tokio::test]
async fn a_cancel_stops_every_step() {
    for (step, bench) in STEPS.into_iter().flat_map(|step| [(step, Bench::new()), (step, Bench::ahead())]) {
        bench.script.on(step, Act::Stall);
        let id = bench.ask(RunOptions::default()).await.id;
        bench.script.begun(step, 1).await;
        let asked = bench.handle.cancel(&bench.who, id, "enough".into()).await.unwrap();
        assert_eq!(asked.cancel_requested.as_deref(), Some("enough"));
        let events = bench.events(id).await;
        assert_whole(&events);
        let names = names(&events);
        assert_eq!(
            names[names.len() - 3..],
            [format!("started({step},1)"), "cancel_requested".into(), "cancelled:CallCancelled".into()]
        );
        let again = bench.handle.cancel(&bench.who, id, String::new()).await.unwrap();
        assert_eq!(again.last_sequence, events.last().unwrap().sequence, "asking again changes nothing");
    }
}

#[tokio::test]
async fn a_workflow_that_nobody_runs_is_cancelled_at_once() {
    let mut bench = Bench::new();
    bench.script.on(MAPPER, Act::Stall);
    let id = bench.ask(RunOptions::default()).await.id;
    bench.script.begun(MAPPER, 1).await;
    bench.stop().await;
    let cancelled = bench.handle.cancel(&bench.who, id, String::new()).await.unwrap();
    assert_eq!(cancelled.status, WorkflowStatus::Cancelled);
    bench.restart().await;
    assert_whole(&bench.events(id).await);
    assert_eq!(bench.script.runs().iter().filter(|step| **step == MAPPER).count(), 1);
}

#[tokio::test]
async fn a_resume_goes_on_at_the_first_unfinished_step() {
    for (index, step) in STEPS.into_iter().enumerate() {
        let mut bench = Bench::new();
        bench.script.on(step, Act::Stall);
        let id = bench.ask(RunOptions::default()).await.id;
        bench.script.begun(step, 1).await;
        bench.stop().await;
        let stopped = bench.handle.get(&bench.who, id).await.unwrap();
        assert_eq!(stopped.current_steps(), [step], "a shutdown writes nothing");
        bench.script.clear();
        bench.restart().await;
        let events = bench.events(id).await;
        assert_whole(&events);
        let again = format!("started({step},1)");
        assert_eq!(names(&events).iter().filter(|name| **name == again).count(), 2);
        assert_eq!(names(&events).last().unwrap(), "completed");
        let runs = bench.script.runs();
        for (other, name) in STEPS.into_iter().enumerate().skip(1) {
            let expected = if other == index { 2 } else { 1 };
            assert_eq!(runs.iter().filter(|run| **run == name).count(), expected, "{name} when stopped in {step}");
        }
    }
}

#[tokio::test]
async fn a_workflow_that_ends_its_worker_again_and_again_is_given_up() {
    let mut bench = Bench::new();
    bench.script.on(PLANNER, Act::Stall);
    let id = bench.ask(RunOptions::default()).await.id;
    for times in 1..=5 {
        bench.script.begun(PLANNER, times).await;
        bench.restart().await;
    }
    let events = bench.events(id).await;
    assert_whole(&events);
    assert_eq!(names(&events).last().unwrap(), "failed:WorkerLost");
    assert_eq!(bench.script.runs().iter().filter(|run| **run == PLANNER).count(), 5);
}

#[tokio::test]
async fn a_panic_ends_one_workflow_and_no_other() {
    for bench in [Bench::new(), Bench::ahead()] {
        bench.script.on(MAPPER, Act::Panic);
        let (workflow, events) = bench.answer(RunOptions::default()).await;
        assert_whole(&events);
        let failure = workflow.failure.unwrap();
        assert_eq!(failure.reason, Reason::Internal);
        assert!(!failure.message.contains("scripted"), "what a panic says stays inside");
        bench.script.clear();
        assert_eq!(bench.answer(RunOptions::default()).await.0.status, WorkflowStatus::Completed);
    }
}

#[tokio::test]
async fn independent_steps_run_at_the_same_time() {
    let mut bench = Bench::new();
    let mut both = team(&bench.script);
    for name in ["left", "right"] {
        let output = |_: &crate::agents::Task| StepOutput::Other(serde_json::Map::new());
        both.agents.push(Scripted::playing(&bench.script, name, &[PLANNER], output));
    }
    bench.replace(both).await;
    bench.script.on("left", Act::Stall);
    bench.script.on("right", Act::Stall);
    let id = bench.ask(RunOptions::default()).await.id;
    bench.script.begun("left", 1).await;
    bench.script.begun("right", 1).await;
    bench.script.begun(EXECUTION, 1).await;
    let handle = &bench.handle;
    let mut events = Box::pin(bench.watch(id, 0, None));
    while short(&events.next().await.unwrap()) != "completed(execution,1)" {}
    let mut current: Vec<_> =
        handle.get(&bench.who, id).await.unwrap().current_steps().into_iter().map(str::to_owned).collect();
    current.sort_unstable();
    assert_eq!(current, ["left", "right"]);
    handle.cancel(&bench.who, id, String::new()).await.unwrap();
    assert_whole(&bench.events(id).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn watchers_see_the_same_events_wherever_they_begin() {
    for bench in [Bench::new(), Bench::ahead()] {
        bench.script.verdicts.lock().unwrap().extend(vec![refusal(); 3]);
        let id = bench.ask(RunOptions::default()).await.id;
        let watch = |after| bench.watch(id, after, None).collect::<Vec<_>>();
        let (first, second, late) = tokio::join!(watch(0), watch(0), watch(1));
        assert_whole(&first);
        assert_eq!(first, second);
        assert_eq!(first[1..], late);
        for after in 1..=first.len() {
            let cursor = first[after - 1].cursor();
            let rest = bench.watch(id, after as u64, Some(cursor));
            assert_eq!(rest.collect::<Vec<_>>().await, first[after..]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_keeps_leaving_misses_nothing_and_repeats_nothing() {
    for bench in [Bench::new(), Bench::ahead()] {
        bench.script.verdicts.lock().unwrap().extend(vec![refusal(); 10]);
        let id = bench.ask(RunOptions { max_retries: 10, ..RunOptions::default() }).await.id;
        let mut seen: Vec<Event> = Vec::new();
        while seen.last().is_none_or(|event| !event.kind.is_terminal()) {
            let after = seen.last().map_or(0, |event| event.sequence);
            let few = bench.watch(id, after, seen.last().map(Event::cursor)).take(3);
            seen.extend(few.collect::<Vec<_>>().await);
        }
        assert_whole(&seen);
        assert_eq!(seen, bench.events(id).await);
    }
}

#[tokio::test]
async fn of_many_watchers_one_reads_what_is_new() {
    const WATCHERS: usize = 100;
    let bench = Bench::new();
    bench.script.on(PLANNER, Act::Stall);
    let id = bench.ask(RunOptions::default()).await.id;
    bench.script.begun(PLANNER, 1).await;
    let known = bench.handle.get(&bench.who, id).await.unwrap().last_sequence;
    let waiting = Arc::new(tokio::sync::Barrier::new(WATCHERS + 1));
    let watchers: Vec<_> = (0..WATCHERS)
        .map(|_| {
            let (mut events, waiting) = (Box::pin(bench.watch(id, 0, None)), waiting.clone());
            tokio::spawn(async move {
                while events.next().await.unwrap().sequence < known {}
                waiting.wait().await;
                events.next().await.unwrap()
            })
        })
        .collect();
    waiting.wait().await;
    let before = bench.store.reads.load(Ordering::SeqCst);
    bench.handle.cancel(&bench.who, id, String::new()).await.unwrap();
    for watcher in watchers {
        assert_eq!(watcher.await.unwrap().sequence, known + 1);
    }
    // The worker and the canceller read as well.
    let reads = bench.store.reads.load(Ordering::SeqCst) - before;
    assert!(reads < 20, "{reads} reads for {WATCHERS} watchers");
}

#[tokio::test]
async fn a_log_that_lost_its_end_is_never_a_silent_gap() {
    let bench = Bench::new();
    let (workflow, events) = bench.answer(RunOptions::default()).await;
    let cursor = events.last().unwrap().cursor();
    bench.store.rewind(workflow.id, 5);
    let mut watch = Box::pin(bench.handle.watch(&bench.who, workflow.id, cursor.sequence, Some(cursor)));
    let failure = watch.next().await.unwrap().unwrap_err();
    assert_eq!((failure.reason, failure.metadata["last_sequence"].as_str()), (Reason::LogRewound, "5"));
    assert!(watch.next().await.is_none());
    let other_writer = Cursor { sequence: 3, epoch: 9 };
    let mut watch = Box::pin(bench.handle.watch(&bench.who, workflow.id, 3, Some(other_writer)));
    assert_eq!(watch.next().await.unwrap().unwrap_err().reason, Reason::LogRewound);
}

#[tokio::test]
async fn another_tenants_workflow_does_not_exist() {
    let bench = Bench::new();
    let (workflow, _) = bench.answer(RunOptions::default()).await;
    let stranger = Principal { tenant: TenantId::parse("other").unwrap(), ..Principal::local() };
    let (handle, id) = (&bench.handle, workflow.id);
    let page = PageRequest { after: None, limit: 10 };
    assert!(handle.list(&stranger, ListFilter::default(), page.clone()).await.unwrap().items.is_empty());
    let watched = Box::pin(handle.watch(&stranger, id, 0, None)).next().await.unwrap();
    for refused in [
        handle.get(&stranger, id).await.err(),
        handle.cancel(&stranger, id, String::new()).await.err(),
        handle.delete(&stranger, id).await.err(),
        watched.err(),
    ] {
        assert_eq!(refused.unwrap().reason, Reason::WorkflowNotFound);
    }
    assert_eq!(handle.list(&bench.who, ListFilter::default(), page).await.unwrap().items, [workflow]);
    handle.delete(&bench.who, id).await.unwrap();
    assert_eq!(handle.get(&bench.who, id).await.unwrap_err().reason, Reason::WorkflowNotFound);
}

#[tokio::test]
async fn a_repeat_is_the_same_workflow() {
    let bench = Bench::new();
    let key = |byte| StartOptions {
        request: Some(RequestKey { id: "r-1".into(), body_hash: [byte; 32] }),
        validate_only: false,
    };
    let asked = question(RunOptions::default());
    let start = |options| bench.handle.start(&bench.who, asked.clone(), options);
    // The first try claims the id and cannot store the workflow: the repeat completes it.
    bench.store.failing_appends.store(1, Ordering::SeqCst);
    assert_eq!(start(key(1)).await.unwrap_err().reason, Reason::StoreUnavailable);
    let (first, second) = tokio::join!(start(key(1)), start(key(1)));
    let first = first.unwrap();
    assert_eq!(first.id, second.unwrap().id);
    assert_whole(&bench.events(first.id).await);
    assert_eq!(start(key(1)).await.unwrap().status, WorkflowStatus::Completed);
    assert_eq!(start(key(2)).await.unwrap_err().reason, Reason::RequestIdReused);
    assert_eq!(bench.script.runs().len(), STEPS.len(), "it ran once");
}

#[tokio::test]
async fn a_start_whose_answer_was_lost_runs_all_the_same() {
    let bench = Bench::new();
    bench.store.lost_answers.store(1, Ordering::SeqCst);
    let refused = bench.handle.start(&bench.who, question(RunOptions::default()), StartOptions::default()).await;
    assert_eq!(refused.unwrap_err().reason, Reason::StoreUnavailable);
    bench.script.begun(EXECUTION, 1).await;
}

#[tokio::test]
async fn a_store_that_fails_in_passing_costs_no_answer() {
    let mut bench = Bench::new();
    bench.script.on(MAPPER, Act::Stall);
    let id = bench.ask(RunOptions::default()).await.id;
    bench.script.begun(MAPPER, 1).await;
    bench.script.clear();
    bench.store.failing_appends.store(2, Ordering::SeqCst);
    bench.store.lost_answers.store(1, Ordering::SeqCst);
    bench.restart().await;
    let events = bench.events(id).await;
    assert_whole(&events);
    assert_eq!(names(&events).last().unwrap(), "completed");
    assert_eq!(names(&events).iter().filter(|name| *name == "started(mapper,1)").count(), 2, "stored once per start");
    assert_eq!(bench.script.runs().iter().filter(|run| **run == COMPOSER).count(), 1);
}

#[tokio::test]
async fn deleting_a_connection_cancels_its_workflows() {
    for bench in [Bench::new(), Bench::ahead()] {
        bench.script.on(COMPOSER, Act::Stall);
        let asked = bench.ask(RunOptions::default()).await;
        bench.script.begun(COMPOSER, 1).await;
        let Source::Connection(connection) = asked.started.question.source else { panic!() };
        bench.handle.cancel_for_connection(&bench.who, connection).await.unwrap();
        let events = bench.events(asked.id).await;
        assert_whole(&events);
        assert_eq!(names(&events).last().unwrap(), "cancelled:ConnectionDeleted");
    }
}

#[tokio::test]
async fn too_much_is_refused_at_once() {
    let bench = Bench::with(EngineName::Openai, Options { max_running: 1, max_waiting: 1, ..Options::default() });
    bench.script.on(PLANNER, Act::Stall);
    let running = bench.ask(RunOptions::default()).await;
    bench.script.begun(PLANNER, 1).await;
    let waiting = bench.ask(RunOptions::default()).await;
    let refused = bench.handle.start(&bench.who, question(RunOptions::default()), StartOptions::default()).await;
    let failure = refused.unwrap_err();
    assert_eq!(failure.reason, Reason::Overloaded);
    assert!(failure.retry_after.is_some());
    bench.script.clear();
    bench.handle.cancel(&bench.who, running.id, String::new()).await.unwrap();
    assert_eq!(names(&bench.events(waiting.id).await).last().unwrap(), "completed");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_and_not_stored() {
    let bench = Bench::ahead();
    let defaults = RunOptions::default;
    let cases = [
        (RunOptions { engine: EngineChoice::Openai, ..defaults() }, Reason::ModelNotConfigured),
        (RunOptions { max_retries: 11, ..defaults() }, Reason::FieldInvalid),
        (RunOptions { workflow_timeout: Duration::ZERO, ..defaults() }, Reason::FieldInvalid),
    ];
    for (options, reason) in cases {
        let refused = bench.handle.start(&bench.who, question(options), StartOptions::default()).now_or_never();
        assert_eq!(refused.unwrap().unwrap_err().reason, reason);
    }
    let dry = StartOptions { validate_only: true, ..StartOptions::default() };
    let checked = bench.handle.start(&bench.who, question(defaults()), dry).await.unwrap();
    assert_eq!(checked.status, WorkflowStatus::Pending);
    let page = PageRequest { after: None, limit: 10 };
    assert!(bench.handle.list(&bench.who, ListFilter::default(), page).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn the_embedded_store_carries_a_workflow_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pulse.db");
    let script = Arc::default();
    let who = Principal::local();
    let open = || async { Arc::new(Embedded::open(&file, store::embedded::Options::default()).await.unwrap()) };

    let first = open().await;
    let (handle, shutdown, engine) = spawn(first.clone(), team(&script), &script, Options::default());
    script.on(COMPOSER, Act::Stall);
    let id = handle.start(&who, question(RunOptions::default()), StartOptions::default()).await.unwrap().id;
    script.begun(COMPOSER, 1).await;
    shutdown.cancel();
    engine.await.unwrap();
    let seen: Vec<_> = handle.watch(&who, id, 0, None).take(8).map(testing::seen).collect().await;
    first.close().await;

    script.clear();
    let (handle, _, _) = spawn(open().await, team(&script), &script, Options::default());
    let events: Vec<_> = handle.watch(&who, id, 0, None).map(testing::seen).collect().await;
    assert_whole(&events);
    assert_eq!(events[..8], seen, "what was seen stays as it was");
    assert_eq!(names(&events)[7..9], ["started(composer,1)", "started(composer,1)"]);
    assert!(events[8].epoch > events[7].epoch);
    assert_eq!(handle.get(&who, id).await.unwrap().status, WorkflowStatus::Completed);
    assert_eq!(script.runs().iter().filter(|run| **run == PLANNER).count(), 1);
}
