//! One call to the model serves planner, mapper and composer: their steps arrive one by one, what has arrived is final,
//! and after a bad answer, a lost connection or a crash only the rest is asked for.

use std::path::Path;

use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use pulse::pb::v1::{CancelWorkflowRequest, ListWorkflowStepsRequest, Step, WorkflowEvent};
use serde_json::json;
use tonic::transport::Channel;

use crate::support::calls::{assert_whole_log, connection_id, kind, question, run, start, watch};
use crate::support::follow::{Follower, assert_same, failed, name, names, reason, workflow};
use crate::support::model_server::{Habits, ModelServer, Reply};
use crate::support::process::Process;
use crate::support::script::{self, AGENTS, ANSWER, QUESTION};
use crate::support::server::{Folder, Server};

const ALL: &str = "planner-mapper-composer";
const REST: &str = "mapper-composer";

async fn server(model: &ModelServer, more: &[&str]) -> Server {
    Server::demo(&script::shared_flags(model, more)).await
}

/// Asks, and returns the server, the workflow's id and its whole log.
async fn ask(model: &ModelServer, more: &[&str]) -> (Server, String, Vec<WorkflowEvent>) {
    let mut server = server(model, more).await;
    let demo = connection_id(&server.channel, "demo").await;
    let (id, events) = run(&mut server.workflows, question(&demo, QUESTION)).await;
    assert_whole_log(&events, 0);
    (server, id, events)
}

/// Who was asked, call by call.
fn calls(model: &ModelServer) -> Vec<String> {
    model.requests().into_iter().map(|request| request.agent).collect()
}

/// The calls that each agent's steps count, and the ids of those that served them.
async fn counted(server: &mut Server, id: &str) -> Vec<(i32, Vec<String>)> {
    let list = ListWorkflowStepsRequest { id: id.to_owned(), ..ListWorkflowStepsRequest::default() };
    let steps = server.workflows.list_workflow_steps(list).await.unwrap().into_inner().steps;
    let of_agents = steps.into_iter().filter(|step| AGENTS.contains(&step.name.as_str()));
    let calls = |step: Step| step.model_calls.into_iter().map(|call| call.id).collect();
    of_agents.map(|step| (step.usage.map_or(0, |usage| usage.model_call_count), calls(step))).collect()
}

/// One call that serves all three.
fn one_call() -> Vec<(i32, Vec<String>)> {
    [1, 0, 0].map(|count| (count, vec!["planner-1-1".to_owned()])).to_vec()
}

#[track_caller]
fn assert_completed(events: &[WorkflowEvent]) {
    assert_eq!(kind(events.last().unwrap()), "completed", "{:?} {events:?}", names(events));
}

#[tokio::test]
async fn a_question_that_passes_every_check_costs_one_call() {
    let model = script::model(ANSWER, None).await;
    let (mut server, id, events) = ask(&model, &[]).await;
    assert_completed(&events);
    assert_eq!(calls(&model), [ALL]);
    assert_eq!(counted(&mut server, &id).await, one_call());
    let sum = workflow(&mut server.workflows, &id).await.usage.unwrap();
    assert_eq!((sum.model_call_count, sum.prompt_tokens, sum.completion_tokens), (1, 100, 10));
    let prompt = model.requests()[0].prompt();
    for told in ["You are the planner", "You are the mapper", "You are the composer", "Dialect SQLite", QUESTION] {
        assert_eq!(prompt.matches(told).count(), 1, "{told}");
    }
}

#[tokio::test]
async fn each_step_tells_how_its_call_went() {
    let model = script::model(ANSWER, None).await;
    let (mut server, id, _) = ask(&model, &[]).await;
    let list = ListWorkflowStepsRequest { id, ..ListWorkflowStepsRequest::default() };
    let steps = server.workflows.list_workflow_steps(list).await.unwrap().into_inner().steps;
    let composer = steps.iter().find(|step| step.name == "composer").unwrap();
    let call = &composer.model_calls[0];
    assert_eq!((call.model.as_str(), call.structure.as_str(), call.attempt_count), ("double-1", "json_schema", 1));
    assert!(!call.prompt_version.is_empty() && call.latency.is_some() && call.time_to_first_token.is_some());
    assert_eq!(call.usage.unwrap().prompt_tokens, 100);
}

/// The model is silent after each part in turn; what it said before has been seen by then.
#[tokio::test]
async fn each_step_arrives_as_soon_as_its_part_is_complete() {
    for (late, seen) in [("mapper", "step_completed planner"), ("composer", "step_completed mapper")] {
        let model = script::model(ANSWER, Some(late)).await;
        let mut server = server(&model, &[]).await;
        let demo = connection_id(&server.channel, "demo").await;
        let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
        let mut follower = Follower::new(&mut server.workflows, &id, 0).await;
        follower.until(seen).await;
        follower.until(&format!("step_started {late}")).await;
        model.release(late);
        assert_completed(&follower.rest().await);
        assert_eq!(calls(&model), [ALL]);
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_stream_delivers_the_three_together() {
    for refuses in [false, true] {
        let model = script::model(ANSWER, None).await;
        model.habits(Habits { streams: refuses, ..Habits::default() });
        if refuses {
            model.refuse("/stream", "stream is not supported");
        }
        let (mut server, id, events) = ask(&model, &[]).await;
        assert_completed(&events);
        assert_eq!(calls(&model).len(), 1 + usize::from(refuses));
        assert_eq!(counted(&mut server, &id).await, one_call());
        assert_eq!(workflow(&mut server.workflows, &id).await.usage.unwrap().prompt_tokens, 100);
    }
}

#[tokio::test]
async fn endpoints_without_schemas_stream_as_well() {
    let model = script::model(ANSWER, Some("composer")).await;
    model.refuse("/response_format/json_schema", "json_schema is not supported");
    let mut server = server(&model, &[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    let mut follower = Follower::new(&mut server.workflows, &id, 0).await;
    follower.until("step_completed mapper").await;
    model.release("composer");
    assert_completed(&follower.rest().await);
    assert!(model.requests()[1].body.get("tools").is_some());
}

/// What comes after a part that is of no use is asked for again together with it; what came before is given.
#[tokio::test]
async fn after_a_bad_part_only_the_rest_is_asked_for() {
    let begun = || "{\"entities\":".to_owned();
    for (bad, told) in [
        (Reply::Cut(begun()), "was cut"),
        (Reply::BreaksOff(begun()), "broke off"),
        (Reply::Fails(begun()), "broke off"),
        (Reply::Says("7".to_owned()), "mapper"),
        (Reply::json(json!({ "entities": [] })), "filters"),
        (Reply::Says(script::mapping_to("costumers")), "costumers"),
    ] {
        let model = ModelServer::start().await;
        model.on("planner", script::plan()).on("mapper", bad.clone()).on("mapper", script::mapping());
        model.on("composer", script::statement(ANSWER));
        let (mut server, id, events) = ask(&model, &[]).await;
        assert_completed(&events);
        assert_eq!(calls(&model), [ALL, REST], "{bad:?}");
        let again = model.requests()[1].prompt();
        assert!(again.contains(told) && again.contains("Count the customers."), "{bad:?}: {again}");
        // Each call is counted once, and so are the tokens of those that were answered.
        let sum = workflow(&mut server.workflows, &id).await.usage.unwrap();
        let answered = !matches!(bad, Reply::BreaksOff(_) | Reply::Fails(_));
        let tokens = if answered { 200 } else { 100 };
        assert_eq!((sum.model_call_count, sum.prompt_tokens), (2, tokens), "{bad:?}");
    }
}

#[tokio::test]
async fn a_bad_statement_is_corrected_by_a_call_of_its_own() {
    let model = ModelServer::start().await;
    model.on("planner", script::plan()).on("mapper", script::mapping());
    model.on("composer", script::statement("SELECT nickname FROM customers")).on("composer", script::statement(ANSWER));
    let (mut server, id, events) = ask(&model, &[]).await;
    assert_completed(&events);
    assert_eq!(calls(&model), [ALL, "composer"]);
    assert!(model.requests()[1].prompt().contains("nickname"));
    assert_eq!(workflow(&mut server.workflows, &id).await.usage.unwrap().model_call_count, 2);
}

#[tokio::test]
async fn the_budget_of_calls_holds() {
    let model = ModelServer::start().await;
    model.on("planner", script::plan()).on("mapper", Reply::Says("7".to_owned()));
    model.on("composer", script::statement(ANSWER));
    let (_server, _, events) = ask(&model, &["--llm-max-calls", "1"]).await;
    assert_eq!(reason(failed(&events)), "MODEL_OUTPUT_INVALID");
    assert_eq!(calls(&model), [ALL]);
}

#[tokio::test]
async fn the_budgets_of_tokens_and_of_time_hold() {
    // A call takes 110 tokens.
    let model = script::model("SELECT nickname FROM customers", None).await;
    let (_server, _, events) = ask(&model, &["--llm-workflow-tokens", "200"]).await;
    let failure = failed(&events);
    assert_eq!(reason(failure), "MODEL_BUDGET_EXHAUSTED");
    assert!(failure.message.contains("PULSE_LLM_WORKFLOW_TOKENS"), "{failure:?}");
    assert_eq!(calls(&model), [ALL, "composer"]);
    let allowed: Vec<_> = model.requests().iter().map(|request| request.body["max_tokens"].clone()).collect();
    assert_eq!(allowed, [200, 90]);

    let model = script::model(ANSWER, Some("mapper")).await;
    let (_server, _, events) = ask(&model, &["--llm-workflow-time", "1s"]).await;
    let failure = failed(&events);
    assert_eq!(reason(failure), "MODEL_BUDGET_EXHAUSTED");
    assert!(failure.message.contains("PULSE_LLM_WORKFLOW_TIME"), "{failure:?}");
}

#[tokio::test]
async fn what_a_model_declines_or_cannot_answer_ends_the_workflow_with_its_words() {
    let no_answer = json!({ "sql": "", "answerable": false, "reason": "There are no salaries.", "confidence": 1 });
    for (agent, reply, expected) in [
        ("planner", Reply::Refuses("I would rather not.".to_owned()), "MODEL_REFUSED"),
        ("mapper", Reply::Filtered, "MODEL_REFUSED"),
        ("composer", Reply::json(no_answer), "QUESTION_NOT_UNDERSTOOD"),
    ] {
        let model = ModelServer::start().await;
        model.on(agent, reply.clone());
        model.on("planner", script::plan()).on("mapper", script::mapping()).on("composer", script::statement(ANSWER));
        let (_server, _, events) = ask(&model, &[]).await;
        assert_eq!(reason(failed(&events)), expected, "{reply:?}");
        assert_eq!(calls(&model), [ALL], "{reply:?}");
    }
}

#[tokio::test]
async fn a_workflow_that_is_cancelled_between_two_parts_hangs_up() {
    for late in AGENTS {
        let model = script::model(ANSWER, Some(late)).await;
        let mut server = server(&model, &[]).await;
        let demo = connection_id(&server.channel, "demo").await;
        let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
        let mut follower = Follower::new(&mut server.workflows, &id, 0).await;
        follower.until(&format!("step_started {late}")).await;
        model.arrived(1).await;
        server.workflows.cancel_workflow(CancelWorkflowRequest { id, reason: String::new() }).await.unwrap();
        assert_eq!(kind(follower.rest().await.last().unwrap()), "cancelled");
        model.abandoned(1).await;
    }
}

// --- The process dies ---------------------------------------------------------------------------------------------

async fn serve(folder: &Path, model: &ModelServer) -> (Process, WorkflowServiceClient<Channel>) {
    let process = Process::serve(folder, &script::shared_flags(model, &["--demo"])).await;
    let client = WorkflowServiceClient::new(process.channel().await);
    (process, client)
}

/// kill -9 while the model is silent before this agent's part.
async fn killed_before(late: &str, expected: [&str; 2]) {
    let folder = Folder::with_demo();
    let model = script::model(ANSWER, Some(late)).await;
    let (process, mut client) = serve(folder.path(), &model).await;
    let demo = connection_id(&process.channel().await, "demo").await;
    let id = start(&mut client, question(&demo, QUESTION)).await;
    let mut follower = Follower::new(&mut client, &id, 0).await;
    follower.until(&format!("step_started {late}")).await;
    model.arrived(1).await;
    process.kill().await;

    let (_process, mut client) = serve(folder.path(), &model).await;
    let whole = watch(&mut client, &id, 0).await;
    assert_whole_log(&whole, 0);
    assert_completed(&whole);
    assert_same(&follower.seen, &whole[..follower.seen.len()]);
    let mut done: Vec<String> = whole.iter().filter(|event| kind(event) == "step_completed").map(name).collect();
    assert_eq!(done.len(), 6, "{:?}", names(&whole));
    done.sort();
    done.dedup();
    assert_eq!(done.len(), 6, "each step completes once: {:?}", names(&whole));
    // What is in the log is given to the model, not asked again.
    assert_eq!(calls(&model), expected);
    let counted = workflow(&mut client, &id).await.usage.unwrap();
    // A call of which a part is in the log counts; one that died without a word was never answered.
    let answered = if late == "planner" { 1 } else { 2 };
    assert_eq!((counted.model_call_count, counted.prompt_tokens), (answered, 100));
}

#[tokio::test]
async fn killed_before_the_planners_part() {
    killed_before("planner", [ALL, ALL]).await;
}

#[tokio::test]
async fn killed_between_planner_and_mapper() {
    killed_before("mapper", [ALL, REST]).await;
}

#[tokio::test]
async fn killed_between_mapper_and_composer() {
    killed_before("composer", [ALL, "composer"]).await;
}
