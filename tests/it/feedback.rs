//! The composer tries again: what was wrong with its statement reaches its next attempt, and nothing it proposes does harm.

use std::path::Path;

use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::{
    ListWorkflowStepsRequest, Retrying, StartWorkflowRequest, Step, StepStatus, TokenUsage, WorkflowEvent,
    WorkflowStatus,
};
use serde_json::json;

use crate::support::calls::{assert_whole_log, connection_id, kind, question, run};
use crate::support::follow::{failed, names, reason, workflow};
use crate::support::model_server::{ModelServer, Reply};
use crate::support::script::{self, ANSWER, KEY, QUESTION, mapping, plan, statement};
use crate::support::server::Server;

/// Statements that fall short, each with words of the finding that the composer must be told.
const BAD: [(&str, &str); 5] = [
    ("SELECT nickname FROM customers", "nickname"),
    ("SELECT count(*) FROM customers GROUP BY 5", "GROUP BY"),
    ("SELECT abs(-9223372036854775807 - id) FROM customers", "overflow"),
    ("DROP TABLE customers", "DROP"),
    ("SELECT 1; SELECT 2", "one statement"),
];

/// A model whose composer proposes these statements one after the other, the last one for ever.
async fn proposing(statements: &[&str]) -> ModelServer {
    let model = ModelServer::start().await;
    model.on("planner", plan()).on("mapper", mapping());
    for sql in statements {
        model.on("composer", statement(sql));
    }
    model
}

async fn ask(model: &ModelServer, max_retries: Option<i32>) -> (Server, String, Vec<WorkflowEvent>) {
    let mut server = script::server(model, &["--llm-max-calls", "20"]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let request = StartWorkflowRequest { max_retries, ..question(&demo, QUESTION) };
    let (id, events) = run(&mut server.workflows, request).await;
    assert_whole_log(&events, 0);
    (server, id, events)
}

async fn steps(server: &mut Server, id: &str, named: &str) -> Vec<Step> {
    let request = ListWorkflowStepsRequest { id: id.to_owned(), ..ListWorkflowStepsRequest::default() };
    let steps = server.workflows.list_workflow_steps(request).await.unwrap().into_inner().steps;
    steps.into_iter().filter(|step| step.name == named).collect()
}

fn retries(events: &[WorkflowEvent]) -> Vec<&Retrying> {
    let retrying = |event| match event {
        &Some(Event::Retrying(ref retrying)) => Some(retrying),
        _ => None,
    };
    events.iter().filter_map(|event| retrying(&event.event)).collect()
}

/// Every byte of every file in the folder, folders within it included.
fn bytes(folder: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        all.extend(if path.is_dir() { bytes(&path) } else { std::fs::read(&path).unwrap() });
    }
    all
}

#[tokio::test]
async fn the_next_attempt_is_told_what_was_wrong() {
    let statements: Vec<&str> = BAD.iter().map(|(sql, _)| *sql).chain([ANSWER]).collect();
    let model = proposing(&statements).await;
    let (mut server, id, events) = ask(&model, Some(10)).await;
    assert_eq!(kind(events.last().unwrap()), "completed", "{:?}", names(&events));

    let requests = model.requests_of("composer");
    assert_eq!(requests.len(), BAD.len() + 1);
    assert!(!requests[0].prompt().contains("was not accepted"));
    for (request, (sql, finding)) in requests[1..].iter().zip(BAD) {
        let prompt = request.prompt();
        assert!(prompt.contains(sql), "the statement `{sql}` is not in: {prompt}");
        assert!(prompt.to_lowercase().contains(&finding.to_lowercase()), "`{finding}` is not in: {prompt}");
    }
    assert_eq!((model.requests_of("planner").len(), model.requests_of("mapper").len()), (1, 1));

    // Each retry is an event of its own, and each attempt a step.
    let retries = retries(&events);
    assert_eq!(retries.len(), BAD.len());
    for (nth, (retrying, (sql, _))) in (1..).zip(retries.iter().zip(BAD)) {
        assert_eq!((retrying.attempt, retrying.remaining_retries), (nth + 1, 10 - nth), "{retrying:?}");
        assert_eq!(retrying.sql, sql);
        assert!(!retrying.feedback.is_empty() && retrying.failure.is_some(), "{retrying:?}");
        // Integers overflow only when they are computed: that one the database finds, the others the validator.
        let found_by = if sql.contains("abs(") { "execution" } else { "validator" };
        assert_eq!(retrying.step_name, found_by, "{sql}");
    }
    let attempts = steps(&mut server, &id, "composer").await;
    let numbers: Vec<i32> = attempts.iter().map(|step| step.attempt).collect();
    assert_eq!(numbers, (1..=6).collect::<Vec<i32>>());
    assert!(attempts.iter().all(|step| step.status() == StepStatus::Done));
    let verdicts: Vec<StepStatus> = steps(&mut server, &id, "validator").await.iter().map(Step::status).collect();
    assert_eq!(verdicts.iter().filter(|verdict| **verdict == StepStatus::Done).count(), 2, "{verdicts:?}");

    let whole = workflow(&mut server.workflows, &id).await;
    assert_eq!((whole.status(), whole.retry_count, whole.sql.as_str()), (WorkflowStatus::Completed, 5, ANSWER));
}

#[tokio::test]
async fn attempts_are_as_many_as_allowed() {
    for (max_retries, attempts) in [(Some(0), 1), (Some(1), 2), (None, 4)] {
        let model = proposing(&["SELECT nickname FROM customers"]).await;
        let (mut server, id, events) = ask(&model, max_retries).await;
        let failure = failed(&events);
        assert_eq!(reason(failure), "RETRIES_EXHAUSTED");
        assert!(format!("{failure:?}").contains("nickname"), "it says what was wrong last: {failure:?}");
        assert_eq!(model.requests_of("composer").len(), attempts);
        assert_eq!(retries(&events).len(), attempts - 1);
        assert_eq!(steps(&mut server, &id, "composer").await.len(), attempts);
        let whole = workflow(&mut server.workflows, &id).await;
        assert_eq!(whole.status(), WorkflowStatus::Failed);
        assert!(whole.result.is_none());
    }
}

#[tokio::test]
async fn retrying_is_a_status_until_the_composer_goes_on() {
    let model = proposing(&["SELECT nickname FROM customers", ANSWER]).await;
    let (_server, _, events) = ask(&model, None).await;
    let names = names(&events);
    let at = names.iter().position(|name| name == "retrying").expect("a retry");
    assert_eq!(names[at - 1], "step_failed validator");
    assert_eq!(names[at + 1], "step_started composer");
}

#[tokio::test]
async fn model_calls_are_limited_whatever_the_retries() {
    let model = proposing(&["SELECT nickname FROM customers"]).await;
    let mut server = script::server(&model, &["--llm-max-calls", "4"]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let request = StartWorkflowRequest { max_retries: Some(10), ..question(&demo, QUESTION) };
    let (_, events) = run(&mut server.workflows, request).await;
    assert_whole_log(&events, 0);
    assert_eq!(reason(failed(&events)), "MODEL_BUDGET_EXHAUSTED");
    assert_eq!(model.requests().len(), 4);
}

#[tokio::test]
async fn nothing_that_is_proposed_changes_the_database() {
    let harmful = [
        "DROP TABLE customers",
        "DELETE FROM customers",
        "UPDATE products SET price = 0",
        "INSERT INTO categories (name) VALUES ('x')",
        "SELECT 1; DELETE FROM customers",
        "WITH gone AS (SELECT 1) DELETE FROM customers",
        "PRAGMA writable_schema = 1",
        "ATTACH DATABASE 'other.sqlite' AS other",
        "VACUUM",
        "CREATE TABLE t (x)",
        "SELECT writefile('x', 'y')",
    ];
    let model = proposing(&harmful).await;
    let mut server = script::server(&model, &["--llm-max-calls", "20"]).await;
    let file = server.databases().join("demo.sqlite");
    let before = std::fs::read(&file).unwrap();
    let demo = connection_id(&server.channel, "demo").await;
    let request = StartWorkflowRequest { max_retries: Some(10), ..question(&demo, QUESTION) };
    let (_, events) = run(&mut server.workflows, request).await;
    assert_whole_log(&events, 0);
    assert_eq!(model.requests_of("composer").len(), harmful.len(), "each was refused and the next one asked for");
    assert_eq!(reason(failed(&events)), "RETRIES_EXHAUSTED");
    assert!(!names(&events).contains(&"step_started execution".to_owned()), "none got that far");
    assert!(before == std::fs::read(&file).unwrap(), "the file is the same, byte for byte");
    let files: Vec<_> =
        std::fs::read_dir(server.databases()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["demo.sqlite"]);
}

#[tokio::test]
async fn tokens_stand_where_they_were_spent() {
    let model = proposing(&["SELECT nickname FROM customers", ANSWER]).await;
    let (mut server, id, events) = ask(&model, None).await;
    let one = TokenUsage { model_call_count: 1, prompt_tokens: 100, completion_tokens: 10, ..TokenUsage::default() };
    for (name, attempts) in [("planner", 1), ("mapper", 1), ("composer", 2)] {
        let steps = steps(&mut server, &id, name).await;
        assert_eq!(steps.iter().map(|step| step.usage).collect::<Vec<_>>(), vec![Some(one); attempts], "{name}");
        for call in steps.iter().flat_map(|step| &step.model_calls) {
            assert_eq!((call.model.as_str(), call.usage), ("double-1", Some(one)));
        }
    }
    for name in ["load_schema", "validator", "execution"] {
        let steps = steps(&mut server, &id, name).await;
        assert!(steps.iter().all(|step| step.usage.is_none_or(|usage| usage == TokenUsage::default())), "{name}");
    }
    let sum = TokenUsage { model_call_count: 4, prompt_tokens: 400, completion_tokens: 40, ..TokenUsage::default() };
    let Some(Event::Completed(completed)) = &events[events.len() - 1].event else { panic!("{events:?}") };
    assert_eq!((completed.usage, workflow(&mut server.workflows, &id).await.usage), (Some(sum), Some(sum)));
}

#[tokio::test]
async fn the_key_goes_to_the_model_and_nowhere_else() {
    let model = proposing(&["SELECT nickname FROM customers", ANSWER]).await;
    let (mut server, id, events) = ask(&model, None).await;
    for request in model.requests() {
        assert_eq!(request.headers["authorization"], format!("Bearer {KEY}"));
        assert!(!request.body.to_string().contains(KEY));
    }
    let whole = workflow(&mut server.workflows, &id).await;
    assert!(!format!("{events:?}{whole:?}").contains(KEY));
    let stored = bytes(server.data_dir());
    assert!(stored.windows(QUESTION.len()).any(|window| window == QUESTION.as_bytes()), "the question is stored");
    assert!(!stored.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "the key is not");
}

/// A statement that runs but may not be meant goes back once; who gives it again means it.
#[tokio::test]
async fn a_doubt_is_told_once() {
    const MISSPELT: &str = "SELECT count(*) FROM suppliers WHERE country = 'Germny'";
    const RIGHT: &str = "SELECT count(*) FROM suppliers WHERE country = 'Germany'";
    for (proposed, answer) in [([MISSPELT, RIGHT], RIGHT), ([MISSPELT, MISSPELT], MISSPELT)] {
        let model = proposing(&proposed).await;
        let (mut server, id, events) = ask(&model, None).await;
        assert_eq!(kind(events.last().unwrap()), "completed", "{:?}", names(&events));
        assert_eq!(model.requests_of("composer").len(), 2);
        let told = model.requests_of("composer")[1].prompt();
        assert!(told.contains(MISSPELT) && told.contains("perhaps 'Germany'"), "{told}");
        let whole = workflow(&mut server.workflows, &id).await;
        assert_eq!((whole.sql.as_str(), whole.retry_count), (answer, 1));
    }
    let model = proposing(&[MISSPELT]).await;
    let (mut server, id, _) = ask(&model, Some(0)).await;
    assert_eq!(workflow(&mut server.workflows, &id).await.sql, MISSPELT, "without retries it stays a warning");
}

/// With `PULSE_LLM_SEMANTIC_CHECK` the model looks once more at what passed; only a concrete objection counts.
#[tokio::test]
async fn an_objection_of_the_model_counts_when_it_says_what_to_write() {
    const POOR: &str = "SELECT count(*) FROM orders";
    let objection = json!({ "meant": false, "wrong": "It counts orders.", "fix": "Count the rows of customers." });
    let vague = json!({ "meant": false, "wrong": "It is not good.", "fix": "" });
    for (opinion, answer, calls) in [(objection, ANSWER, 5), (vague, POOR, 4), (json!({ "meant": true }), POOR, 4)] {
        let model = proposing(&[POOR, ANSWER]).await;
        model.on("reviewer", Reply::json(opinion.clone()));
        let mut server = script::server(&model, &["--llm-semantic-check", "true"]).await;
        let demo = connection_id(&server.channel, "demo").await;
        let (id, events) = run(&mut server.workflows, question(&demo, QUESTION)).await;
        assert_whole_log(&events, 0);
        let whole = workflow(&mut server.workflows, &id).await;
        assert_eq!((whole.sql.as_str(), model.requests().len()), (answer, calls), "{opinion} {:?}", names(&events));
        assert_eq!(whole.usage.unwrap().model_call_count, i32::try_from(calls).unwrap(), "the opinion is paid for");
        assert_eq!(model.requests_of("reviewer").len(), 1, "nobody is asked twice");
    }
    let told = proposing(&[ANSWER]).await;
    let (_, _, events) = ask(&told, None).await;
    assert_eq!(kind(events.last().unwrap()), "completed");
    assert!(told.requests_of("reviewer").is_empty(), "by default nobody is asked");
}
