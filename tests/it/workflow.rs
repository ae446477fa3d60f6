//! A question from start to answer: its events, its steps, its result, its options, and the lists it appears in.

use std::collections::BTreeMap;

use futures::future::join_all;
use pulse::pb::v1::run_workflow_request::Source as RunSource;
use pulse::pb::v1::start_workflow_request::Source;
use pulse::pb::v1::step::Output;
use pulse::pb::v1::value::Kind;
use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::{
    DatabaseKind, DeleteWorkflowRequest, Engine, GetWorkflowRequest, InlineSchema, InlineTable,
    ListWorkflowStepsRequest, ListWorkflowsRequest, RunWorkflowRequest, StartWorkflowRequest, Step, StepStatus,
    WatchWorkflowRequest, Workflow, WorkflowEvent, WorkflowStatus,
};
use tonic::{Code, Status};

use crate::support::calls::{assert_error, assert_whole_log, connection_id, kind, question, run, start, step, watch};
use crate::support::follow::{Follower, assert_same, failed, names, reason, workflow};
use crate::support::script::{self, QUESTION};
use crate::support::server::Server;

/// An id that nobody has.
const NOBODYS: &str = "0198c0de-0000-7000-8000-000000000000";
const STEPS: [&str; 6] = ["load_schema", "planner", "mapper", "composer", "validator", "execution"];

/// The demo server and the id of its connection.
async fn demo() -> (Server, String) {
    let server = Server::demo(&[]).await;
    let id = connection_id(&server.channel, "demo").await;
    (server, id)
}

/// The whole log of a workflow that runs these steps once each.
fn straight(steps: &[&str], end: &[&str]) -> Vec<String> {
    let ran = steps.iter().flat_map(|step| [format!("step_started {step}"), format!("step_completed {step}")]);
    std::iter::once("workflow_started".to_owned()).chain(ran).chain(end.iter().map(|&name| name.to_owned())).collect()
}

async fn steps(server: &mut Server, id: &str) -> Vec<Step> {
    let request = ListWorkflowStepsRequest { id: id.to_owned(), ..ListWorkflowStepsRequest::default() };
    server.workflows.list_workflow_steps(request).await.unwrap().into_inner().steps
}

async fn list(server: &mut Server, request: ListWorkflowsRequest) -> Vec<Workflow> {
    server.workflows.list_workflows(request).await.unwrap().into_inner().workflows
}

async fn refused(server: &mut Server, request: StartWorkflowRequest) -> Status {
    server.workflows.start_workflow(request).await.unwrap_err()
}

fn ids(workflows: &[Workflow]) -> Vec<&str> {
    workflows.iter().map(|workflow| workflow.id.as_str()).collect()
}

fn nanos(time: Option<prost_types::Timestamp>) -> i128 {
    let time = time.expect("a time");
    i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos)
}

// --- One question -------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_question_is_answered_step_by_step() {
    let (mut server, demo) = demo().await;
    let (id, events) = run(&mut server.workflows, question(&demo, QUESTION)).await;
    assert_whole_log(&events, 0);
    assert_eq!(names(&events), straight(&STEPS, &["result", "completed"]));
    for event in &events {
        assert_eq!(event.workflow_id, id);
        assert!(!event.cursor.is_empty());
    }

    let Some(Event::WorkflowStarted(started)) = &events[0].event else { panic!("{:?}", events[0]) };
    assert_eq!((started.question.as_str(), started.connection_name.as_str()), (QUESTION, "demo"));
    assert_eq!(started.connection_id, demo);
    assert_eq!(started.options.as_ref().unwrap().engine(), Engine::Builtin, "AUTO without a model");
    assert_eq!(started.steps.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), STEPS);

    let file = rusqlite::Connection::open(server.databases().join("demo.sqlite")).unwrap();
    let customers: i64 = file.query_row("SELECT count(*) FROM customers", [], |row| row.get(0)).unwrap();
    let Some(Event::Result(result)) = &events[events.len() - 2].event else { panic!("{events:?}") };
    assert_eq!((result.columns.len(), result.row_count, result.truncated), (1, 1, false));
    assert_eq!(result.rows[0].values[0].kind, Some(Kind::Int64Value(customers)));
    assert!(result.answer_text.contains(&customers.to_string()), "{}", result.answer_text);
    assert!(result.execution_time.is_some());

    let Some(Event::Completed(completed)) = &events[events.len() - 1].event else { panic!("{events:?}") };
    assert!(completed.executed && completed.confidence > 0.0 && completed.elapsed_time.is_some());
    assert_eq!((completed.sql.as_str(), completed.retry_count), (result.sql.as_str(), 0));
}

#[tokio::test]
async fn times_are_those_at_which_things_happened() {
    let (mut server, demo) = demo().await;
    let (id, events) = run(&mut server.workflows, question(&demo, QUESTION)).await;
    let times: Vec<i128> = events.iter().map(|event| nanos(event.create_time)).collect();
    assert!(times.is_sorted(), "{times:?}");
    for event in &events {
        let Some(step) = step(event) else { continue };
        match kind(event) {
            "step_started" => assert!(step.status() == StepStatus::Running && step.finish_time.is_none(), "{step:?}"),
            _ => assert!(nanos(step.start_time) <= nanos(step.finish_time), "{step:?}"),
        }
    }
    let whole = workflow(&mut server.workflows, &id).await;
    assert_eq!((nanos(whole.create_time), nanos(whole.finish_time)), (times[0], times[times.len() - 1]));
}

#[tokio::test]
async fn get_and_list_steps_say_what_the_events_said() {
    let (mut server, demo) = demo().await;
    let request = StartWorkflowRequest { user_id: "ada".to_owned(), ..question(&demo, QUESTION) };
    let (id, events) = run(&mut server.workflows, request).await;
    let Some(Event::Result(result)) = &events[events.len() - 2].event else { panic!("{events:?}") };

    let whole = workflow(&mut server.workflows, &id).await;
    assert_eq!((whole.id.as_str(), whole.status()), (id.as_str(), WorkflowStatus::Completed));
    assert_eq!((whole.question.as_str(), whole.user_id.as_str()), (QUESTION, "ada"));
    assert_eq!((whole.connection_id.as_str(), whole.current_steps.len()), (demo.as_str(), 0));
    assert_eq!((whole.result.as_ref(), whole.sql.as_str()), (Some(result), result.sql.as_str()));
    assert_eq!(whole.dialect(), DatabaseKind::Sqlite);
    assert!(whole.explanation.len() > 10 && whole.failure.is_none() && whole.model.is_empty());
    let last = events.last().unwrap();
    assert_eq!((whole.last_sequence, whole.cursor.as_str()), (last.sequence, last.cursor.as_str()));

    let listed = steps(&mut server, &id).await;
    assert_eq!(listed.iter().map(|step| step.name.as_str()).collect::<Vec<_>>(), STEPS);
    let completed: Vec<Step> =
        events.iter().filter(|event| kind(event) == "step_completed").filter_map(step).cloned().collect();
    assert_eq!(listed, completed, "the same steps as in the events");
    for step in &listed {
        assert_eq!((step.status(), step.attempt), (StepStatus::Done, 1), "{}", step.name);
        let fits = match (step.name.as_str(), step.output.as_ref().unwrap()) {
            ("load_schema", Output::Schema(schema)) => schema.table_count == 11,
            ("planner", Output::Planner(planner)) => !planner.intent.is_empty(),
            ("mapper", Output::Mapper(mapper)) => !mapper.entities.is_empty(),
            ("composer", Output::Composer(composer)) => composer.sql == whole.sql,
            ("validator", Output::Validator(validator)) => validator.is_valid && validator.checks.len() >= 4,
            ("execution", Output::Execution(execution)) => execution.row_count == 1,
            _ => false,
        };
        assert!(fits && !step.summary.is_empty(), "{step:?}");
    }
}

#[tokio::test]
async fn steps_come_in_pages() {
    let (mut server, demo) = demo().await;
    let (id, _) = run(&mut server.workflows, question(&demo, QUESTION)).await;
    let (other, _) = run(&mut server.workflows, question(&demo, QUESTION)).await;
    let page = |id: &str, page_token: &str| ListWorkflowStepsRequest {
        id: id.to_owned(),
        page_size: 4,
        page_token: page_token.to_owned(),
    };
    let first = server.workflows.list_workflow_steps(page(&id, "")).await.unwrap().into_inner();
    let token = first.next_page_token.clone();
    let second = server.workflows.list_workflow_steps(page(&id, &token)).await.unwrap().into_inner();
    let all: Vec<String> = first.steps.into_iter().chain(second.steps).map(|step| step.name).collect();
    assert_eq!((all, second.next_page_token), (STEPS.map(str::to_owned).to_vec(), String::new()));
    let status = server.workflows.list_workflow_steps(page(&other, &token)).await.unwrap_err();
    assert_error(&status, Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]);
}

#[tokio::test]
async fn nothing_is_executed_when_nobody_wants_it() {
    let (mut server, demo) = demo().await;
    let request = StartWorkflowRequest { execute: Some(false), ..question(&demo, QUESTION) };
    let (id, events) = run(&mut server.workflows, request).await;
    assert_eq!(names(&events), straight(&STEPS[..5], &["completed"]));
    let Some(Event::Completed(completed)) = &events[events.len() - 1].event else { panic!("{events:?}") };
    assert!(!completed.executed && completed.sql.contains("customers"), "{completed:?}");
    let whole = workflow(&mut server.workflows, &id).await;
    assert!(whole.result.is_none() && whole.sql == completed.sql);
    let last = steps(&mut server, &id).await.pop().unwrap();
    assert_eq!((last.name.as_str(), last.status()), ("execution", StepStatus::Skipped));
}

#[tokio::test]
async fn a_schema_in_the_request_is_enough_for_sql() {
    let mut server = Server::start().await;
    let columns = |columns: &[(&str, &str)]| -> BTreeMap<String, String> {
        columns.iter().map(|&(name, kind)| (name.to_owned(), kind.to_owned())).collect()
    };
    let planets = InlineTable {
        columns: columns(&[("id", "INTEGER"), ("name", "TEXT"), ("moons", "INTEGER")]),
        primary_key: vec!["id".to_owned()],
        ..InlineTable::default()
    };
    let schema = InlineSchema { tables: BTreeMap::from([("planets".to_owned(), planets)]), ..InlineSchema::default() };
    let request = StartWorkflowRequest {
        source: Some(Source::InlineSchema(schema)),
        ..question("", "How many planets are there?")
    };
    let (id, events) = run(&mut server.workflows, request).await;
    assert_eq!(names(&events), straight(&STEPS[..5], &["completed"]));
    let whole = workflow(&mut server.workflows, &id).await;
    assert!(whole.sql.to_lowercase().contains("count(") && whole.sql.contains("planets"), "{}", whole.sql);
    assert_eq!((whole.connection_id.as_str(), whole.options.unwrap().execute), ("", false));
}

#[tokio::test]
async fn a_question_beyond_the_data_fails_as_data() {
    let (mut server, demo) = demo().await;
    let request = question(&demo, "Does it rain more in the cities where our best customers live?");
    let (id, events) = run(&mut server.workflows, request).await;
    assert_whole_log(&events, 0);
    let failure = failed(&events);
    assert_eq!(reason(failure), "QUESTION_NOT_UNDERSTOOD");
    assert!(failure.message.len() > 20, "{failure:?}");
    let Some(Event::Failed(end)) = &events[events.len() - 1].event else { panic!() };
    assert!(names(&events).contains(&format!("step_failed {}", end.step_name)), "{:?}", names(&events));
    let whole = workflow(&mut server.workflows, &id).await;
    assert_eq!((whole.status(), whole.failure.as_ref()), (WorkflowStatus::Failed, Some(failure)));
    assert!(whole.result.is_none() && whole.finish_time.is_some());
}

#[tokio::test]
async fn run_is_start_and_watch_in_one() {
    let (mut server, demo) = demo().await;
    let request = RunWorkflowRequest {
        question: QUESTION.to_owned(),
        source: Some(RunSource::ConnectionId(demo)),
        ..RunWorkflowRequest::default()
    };
    let mut stream = server.workflows.run_workflow(request).await.unwrap().into_inner();
    let mut events: Vec<WorkflowEvent> = Vec::new();
    while let Some(response) = stream.message().await.unwrap() {
        events.push(response.event.unwrap());
    }
    assert_eq!(names(&events), straight(&STEPS, &["result", "completed"]));
    let id = events[0].workflow_id.clone();
    assert_same(&watch(&mut server.workflows, &id, 0).await, &events);
}

// --- Options ------------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_workflow_may_be_given_limits_of_its_own() {
    let (mut server, demo) = demo().await;
    let all = "List the last names of all customers.";
    let request = StartWorkflowRequest { max_rows: 3, ..question(&demo, all) };
    let (id, events) = run(&mut server.workflows, request).await;
    let Some(Event::Result(result)) = &events[events.len() - 2].event else { panic!("{events:?}") };
    assert_eq!((result.rows.len(), result.truncated), (3, true));
    let Some(Event::WorkflowStarted(started)) = &events[0].event else { panic!("{events:?}") };
    let whole = workflow(&mut server.workflows, &id).await;
    for options in [started.options.unwrap(), whole.options.unwrap()] {
        let seconds = |span: Option<prost_types::Duration>| span.map(|span| span.seconds);
        assert_eq!((options.max_rows, options.max_bytes), (3, 256 << 10), "defaults are filled in");
        assert_eq!((seconds(options.step_timeout), seconds(options.statement_timeout)), (Some(60), Some(30)));
    }
    let request = StartWorkflowRequest { max_bytes: 20, ..question(&demo, all) };
    let (_, events) = run(&mut server.workflows, request).await;
    let Some(Event::Result(result)) = &events[events.len() - 2].event else { panic!("{events:?}") };
    assert!(result.truncated && result.rows.len() < 3, "{result:?}");

    let more = StartWorkflowRequest {
        max_rows: 1_000_000,
        max_bytes: i32::MAX,
        step_timeout: Some(prost_types::Duration { seconds: 100_000, nanos: 0 }),
        validate_only: true,
        ..question(&demo, all)
    };
    let lowered = server.workflows.start_workflow(more).await.unwrap().into_inner().workflow.unwrap().options.unwrap();
    assert_eq!((lowered.max_rows, lowered.max_bytes, lowered.step_timeout.unwrap().seconds), (200, 256 << 10, 60));
}

#[tokio::test]
async fn a_step_and_the_sql_may_be_given_less_time() {
    let mut server = Server::start().await;
    let endless = "CREATE VIEW numbers AS \
        WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c;";
    let id = server.database("endless", endless).await;
    let ask = || question(&id, "How many numbers are there?");
    let nanos = |nanos| Some(prost_types::Duration { seconds: 0, nanos });
    let request = StartWorkflowRequest { step_timeout: nanos(1), ..ask() };
    let (_, events) = run(&mut server.workflows, request).await;
    assert_eq!(reason(failed(&events)), "STEP_TIMEOUT");
    let request = StartWorkflowRequest { statement_timeout: nanos(50_000_000), ..ask() };
    let (_, events) = run(&mut server.workflows, request).await;
    assert!(failed(&events).message.contains("0.05 s"), "{:?}", failed(&events));
    assert_eq!(names(&events).iter().filter(|name| *name == "step_started execution").count(), 1);
}

#[tokio::test]
async fn the_model_must_be_there_to_be_asked_for() {
    let (mut server, demo) = demo().await;
    let request = StartWorkflowRequest { engine: Engine::Openai.into(), ..question(&demo, QUESTION) };
    let status = refused(&mut server, request).await;
    assert_error(&status, Code::FailedPrecondition, "MODEL_NOT_CONFIGURED", &[]);
    assert!(status.message().contains("OPENAI_"), "the remedy is named: {}", status.message());
}

#[tokio::test]
async fn auto_takes_the_model_and_builtin_can_be_asked_for_all_the_same() {
    let model = script::model(script::ANSWER, None).await;
    let mut server = script::server(&model, &[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let (id, events) = run(&mut server.workflows, question(&demo, QUESTION)).await;
    assert_eq!(names(&events), straight(&STEPS, &["result", "completed"]));
    assert_eq!(model.requests().len(), 3);
    let whole = workflow(&mut server.workflows, &id).await;
    assert_eq!((whole.options.unwrap().engine(), whole.sql.as_str()), (Engine::Openai, script::ANSWER));
    assert!(!whole.model.is_empty());

    let request = StartWorkflowRequest { engine: Engine::Builtin.into(), ..question(&demo, QUESTION) };
    let (_, events) = run(&mut server.workflows, request).await;
    assert_eq!(kind(events.last().unwrap()), "completed");
    assert_eq!(model.requests().len(), 3, "the model was not asked again");
}

#[tokio::test]
async fn a_repeated_start_is_one_workflow() {
    let (mut server, demo) = demo().await;
    let request = StartWorkflowRequest { request_id: "order-66".to_owned(), ..question(&demo, QUESTION) };
    let client = server.workflows.clone();
    let together = (0..8).map(|_| {
        let (mut client, request) = (client.clone(), request.clone());
        async move { start(&mut client, request).await }
    });
    let started = join_all(together).await;
    assert!(started.iter().all(|id| *id == started[0]), "{started:?}");
    watch(&mut server.workflows, &started[0], 0).await;

    let repeat = server.workflows.start_workflow(request.clone()).await.unwrap().into_inner().workflow.unwrap();
    assert_eq!((&repeat.id, repeat.status()), (&started[0], WorkflowStatus::Completed), "as it stands now");
    assert_eq!(ids(&list(&mut server, ListWorkflowsRequest::default()).await), [&started[0]]);

    let other = StartWorkflowRequest { question: "How many orders do we have?".to_owned(), ..request };
    let status = refused(&mut server, other).await;
    assert_error(&status, Code::AlreadyExists, "REQUEST_ID_REUSED", &[]);
}

#[tokio::test]
async fn a_request_can_be_checked_without_starting_anything() {
    let (mut server, demo) = demo().await;
    let check = |connection: &str| StartWorkflowRequest { validate_only: true, ..question(connection, QUESTION) };
    let checked = server.workflows.start_workflow(check(&demo)).await.unwrap().into_inner().workflow.unwrap();
    assert_eq!((checked.id.as_str(), checked.question.as_str()), ("", QUESTION));
    let status = refused(&mut server, check(NOBODYS)).await;
    assert_error(&status, Code::NotFound, "CONNECTION_NOT_FOUND", &[]);
    let run = RunWorkflowRequest {
        question: QUESTION.to_owned(),
        source: Some(RunSource::ConnectionId(demo)),
        validate_only: true,
        ..RunWorkflowRequest::default()
    };
    let mut stream = server.workflows.run_workflow(run).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_none(), "an empty stream that ends OK");
    assert!(list(&mut server, ListWorkflowsRequest::default()).await.is_empty());
}

// --- Lists and ends -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn workflows_are_listed_newest_first_in_pages() {
    let (mut server, demo) = demo().await;
    let mut expected = Vec::new();
    for _ in 0..5 {
        expected.insert(0, run(&mut server.workflows, question(&demo, QUESTION)).await.0);
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    for size in [2, 2, 1] {
        let request = ListWorkflowsRequest { page_size: 2, page_token: token, ..ListWorkflowsRequest::default() };
        let page = server.workflows.list_workflows(request).await.unwrap().into_inner();
        assert_eq!(page.workflows.len(), size);
        for workflow in page.workflows {
            assert!(workflow.result.is_none_or(|result| result.rows.is_empty()), "a list carries no rows");
            seen.push(workflow.id);
        }
        token = page.next_page_token;
    }
    assert_eq!((seen, token), (expected, String::new()));
}

#[tokio::test]
async fn lists_can_be_narrowed() {
    let model = script::model(script::ANSWER, Some("planner")).await;
    let mut server = script::server(&model, &[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let by = |user: &str, engine: Engine, text: &str| StartWorkflowRequest {
        user_id: user.to_owned(),
        engine: engine.into(),
        ..question(&demo, text)
    };
    let (answered, _) = run(&mut server.workflows, by("ada", Engine::Builtin, QUESTION)).await;
    let (beyond, _) = run(&mut server.workflows, by("ada", Engine::Builtin, "What is the average salary?")).await;
    let stuck = start(&mut server.workflows, by("bob", Engine::Openai, QUESTION)).await;
    Follower::new(&mut server.workflows, &stuck, 0).await.until("step_started planner").await;

    let filter = ListWorkflowsRequest::default;
    let narrowed = [
        (ListWorkflowsRequest { status: WorkflowStatus::Completed.into(), ..filter() }, vec![&answered]),
        (ListWorkflowsRequest { status: WorkflowStatus::Failed.into(), ..filter() }, vec![&beyond]),
        (ListWorkflowsRequest { status: WorkflowStatus::Running.into(), ..filter() }, vec![&stuck]),
        (ListWorkflowsRequest { user_id: "ada".to_owned(), ..filter() }, vec![&beyond, &answered]),
        (ListWorkflowsRequest { connection_id: demo.clone(), user_id: "bob".to_owned(), ..filter() }, vec![&stuck]),
        (ListWorkflowsRequest { connection_id: NOBODYS.to_owned(), ..filter() }, vec![]),
        (ListWorkflowsRequest { question_contains: "AVERAGE sal".to_owned(), ..filter() }, vec![&beyond]),
        (
            ListWorkflowsRequest { question_contains: QUESTION.to_uppercase(), user_id: "ada".to_owned(), ..filter() },
            vec![&answered],
        ),
    ];
    for (request, expected) in narrowed {
        assert_eq!(ids(&list(&mut server, request.clone()).await), expected, "{request:?}");
    }

    let page = ListWorkflowsRequest { page_size: 1, user_id: "ada".to_owned(), ..filter() };
    let token = server.workflows.list_workflows(page).await.unwrap().into_inner().next_page_token;
    let search = || ListWorkflowsRequest { question_contains: "ab".to_owned(), ..filter() };
    for other in [
        ListWorkflowsRequest { page_token: token.clone(), user_id: "bob".to_owned(), ..filter() },
        ListWorkflowsRequest { page_token: token, user_id: "ada".to_owned(), ..search() },
    ] {
        let status = server.workflows.list_workflows(other).await.unwrap_err();
        assert_error(&status, Code::InvalidArgument, "PAGE_TOKEN_INVALID", &[]);
    }
    let long = ListWorkflowsRequest { question_contains: "ä".repeat(129), ..filter() };
    let status = server.workflows.list_workflows(long).await.unwrap_err();
    assert_error(&status, Code::InvalidArgument, "FIELD_INVALID", &["question_contains"]);
    model.release("planner");
    watch(&mut server.workflows, &stuck, 0).await;
}

#[tokio::test]
async fn only_a_workflow_that_has_ended_can_be_deleted() {
    let model = script::model(script::ANSWER, Some("mapper")).await;
    let mut server = script::server(&model, &[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    let delete = || DeleteWorkflowRequest { id: id.clone() };
    Follower::new(&mut server.workflows, &id, 0).await.until("step_started mapper").await;
    let status = server.workflows.delete_workflow(delete()).await.unwrap_err();
    assert_error(&status, Code::FailedPrecondition, "WORKFLOW_NOT_FINISHED", &[]);
    model.release("mapper");
    watch(&mut server.workflows, &id, 0).await;

    server.workflows.delete_workflow(delete()).await.unwrap();
    let get = GetWorkflowRequest { id: id.clone() };
    let gone = [
        server.workflows.get_workflow(get).await.unwrap_err(),
        server.workflows.delete_workflow(delete()).await.unwrap_err(),
        watch_refusal(&mut server, &id).await,
    ];
    for status in gone {
        assert_error(&status, Code::NotFound, "WORKFLOW_NOT_FOUND", &[]);
    }
    assert!(list(&mut server, ListWorkflowsRequest::default()).await.is_empty());
}

#[tokio::test]
async fn a_search_goes_on_until_everything_was_looked_at() {
    let (mut server, demo) = demo().await;
    let mut expected = Vec::new();
    for text in [QUESTION, "What is the average salary?", QUESTION, QUESTION] {
        let (id, _) = run(&mut server.workflows, question(&demo, text)).await;
        if text == QUESTION {
            expected.insert(0, id);
        }
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let text = QUESTION.to_lowercase();
        let request = ListWorkflowsRequest {
            page_size: 2,
            page_token: token,
            question_contains: text,
            ..ListWorkflowsRequest::default()
        };
        let page = server.workflows.list_workflows(request).await.unwrap().into_inner();
        assert!(page.workflows.len() <= 2);
        seen.extend(page.workflows.into_iter().map(|workflow| workflow.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected);
}

/// The error of a watch, whether it comes at once or in the stream.
async fn watch_refusal(server: &mut Server, id: &str) -> Status {
    let request = WatchWorkflowRequest { id: id.to_owned(), ..WatchWorkflowRequest::default() };
    match server.workflows.watch_workflow(request).await {
        Ok(stream) => stream.into_inner().message().await.unwrap_err(),
        Err(status) => status,
    }
}
