//! Several statements for one question: composed beside each other, each checked, and chosen by the rows that most of them
//! return.

use pulse::pb::v1::resume_workflow_request::Action;
use pulse::pb::v1::step::Output;
use pulse::pb::v1::workflow_event::Event;
use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;
use pulse::pb::v1::{
    Agreement, Approve, ListWorkflowStepsRequest, ResumeWorkflowRequest, StartWorkflowRequest, Step, StepStatus,
    Workflow, WorkflowEvent, WorkflowStatus,
};
use serde_json::json;
use tonic::transport::Channel;

use crate::support::calls::{assert_whole_log, connection_id, kind, question, run, start, step, watch};
use crate::support::follow::{Follower, assert_same, failed, names, reason, workflow};
use crate::support::model_server::{ModelServer, Reply};
use crate::support::process::{Process, pulse};
use crate::support::script::{self, ANSWER, QUESTION, mapping, plan, statement};
use crate::support::server::{Folder, Server};

/// Nothing that the built-in engine reads anything in, so that only candidates vote.
const VAGUE: &str = "Is the shop doing fine, all things considered?";
/// The rows of [`ANSWER`] by another statement.
const SAME: &str = "SELECT count(id) AS n FROM customers";
/// Other rows.
const OTHER: &str = "SELECT count(*) FROM orders";
/// What no check lets pass.
const BAD: &str = "SELECT nickname FROM customers";

/// Words that only the second candidate is told, only the third, and so on.
const SECOND: &str = "settle first what one row";
const THIRD: &str = "the plan and the mapping may be wrong";
const FOURTH: &str = "begin with the conditions";
const FIFTH: &str = "think of the smallest example of data";

/// A model that proposes these statements as its first three candidates.
async fn proposing(statements: [&str; 3]) -> ModelServer {
    let model = ModelServer::start().await;
    model.on("planner", plan()).on("mapper", mapping()).on("composer", statement(statements[0]));
    model.on_told("composer", SECOND, statement(statements[1]));
    model.on_told("composer", THIRD, statement(statements[2]));
    model
}

/// A planner's answer that says how hard the question is.
fn rated(difficulty: &str) -> Reply {
    let Reply::Says(plan) = plan() else { panic!("a plan is said") };
    let mut plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    plan["difficulty"] = json!(difficulty);
    Reply::json(plan)
}

/// What became of a question: its workflow, its steps and its whole log.
struct Asked {
    workflow: Workflow,
    steps: Vec<Step>,
    events: Vec<WorkflowEvent>,
}

impl Asked {
    /// The candidates that a step ran for, with how it ended.
    fn of(&self, name: &str) -> Vec<(i32, StepStatus)> {
        let mut all: Vec<_> =
            self.steps.iter().filter(|step| step.name == name).map(|step| (step.candidate, step.status())).collect();
        all.sort_by_key(|(candidate, _)| *candidate);
        all
    }

    fn execution(&self) -> (&Step, Option<&Agreement>) {
        let step = self.steps.iter().rfind(|step| step.name == "execution").unwrap();
        let Some(Output::Execution(output)) = &step.output else { panic!("{step:?}") };
        (step, output.agreement.as_ref())
    }

    #[track_caller]
    fn assert_completed(&self, sql: &str) {
        assert_eq!(kind(self.events.last().unwrap()), "completed", "{:?}", names(&self.events));
        assert_eq!((self.workflow.status(), self.workflow.sql.as_str()), (WorkflowStatus::Completed, sql));
    }

    /// Who agrees, and how sure that makes it, in the step, the last event and the workflow.
    #[track_caller]
    fn assert_agreed(&self, agreeing: &[i32], confidence: f64) {
        let agreement = self.execution().1.expect("candidates were compared");
        assert_eq!((agreement.candidate, agreement.agreeing_candidates.as_slice()), (agreeing[0], agreeing));
        let Some(Event::Completed(end)) = &self.events.last().unwrap().event else { panic!("not completed") };
        for told in [agreement.confidence, end.confidence, self.workflow.confidence] {
            assert!((told - confidence).abs() < 1e-9, "{told}, not {confidence}");
        }
    }
}

async fn ask(model: &ModelServer, more: &[&str], change: impl FnOnce(&mut StartWorkflowRequest)) -> Asked {
    let mut server = Server::demo(&script::shared_flags(model, more)).await;
    let mut request = question(&connection_id(&server.channel, "demo").await, VAGUE);
    request.candidates = 3;
    change(&mut request);
    let (id, events) = run(&mut server.workflows, request).await;
    look(&mut server, &id, events).await
}

async fn look(server: &mut Server, id: &str, events: Vec<WorkflowEvent>) -> Asked {
    assert_whole_log(&events, 0);
    let list = ListWorkflowStepsRequest { id: id.to_owned(), ..ListWorkflowStepsRequest::default() };
    let steps = server.workflows.list_workflow_steps(list).await.unwrap().into_inner().steps;
    Asked { workflow: workflow(&mut server.workflows, id).await, steps, events }
}

fn all_done(candidates: i32) -> Vec<(i32, StepStatus)> {
    (1..=candidates).map(|candidate| (candidate, StepStatus::Done)).collect()
}

#[tokio::test]
async fn the_rows_of_two_beat_those_of_one() {
    let model = proposing([OTHER, ANSWER, SAME]).await;
    let asked = ask(&model, &[], |_| {}).await;
    asked.assert_completed(ANSWER);
    asked.assert_agreed(&[2, 3], 2.0 / 3.0);
    assert_eq!(asked.execution().1.unwrap().builtin_agrees, None, "the built-in engine reads nothing in it");
    assert!(asked.execution().0.summary.contains("Candidates 2, 3 of 3 agree"), "{:?}", asked.execution().0);
    assert_eq!((asked.of("composer"), asked.of("validator")), (all_done(3), all_done(3)));
    // All begin together: the first is what the shared call says at its end, the others are calls of their own.
    let begun = names(&asked.events);
    let first = begun.iter().position(|name| name == "step_started composer").unwrap();
    assert_eq!(begun[first..first + 3], ["step_started composer"; 3]);
    let usage = asked.workflow.usage.unwrap();
    assert_eq!((usage.model_call_count, usage.prompt_tokens, usage.completion_tokens), (3, 300, 30));
    let mut calls: Vec<String> = model.requests().into_iter().map(|request| request.agent).collect();
    calls.sort();
    assert_eq!(calls, ["composer", "composer", "planner-mapper-composer"]);
    let others = model.requests_of("composer");
    let temperature = |at: usize| others[at].body["temperature"].as_f64().unwrap();
    assert!(temperature(0) < 0.1 && temperature(1) > 0.5 && temperature(2) > 0.5);
}

#[tokio::test]
async fn a_wrong_majority_is_a_majority() {
    let model = proposing([ANSWER, OTHER, OTHER]).await;
    let asked = ask(&model, &[], |_| {}).await;
    asked.assert_completed(OTHER);
    asked.assert_agreed(&[2, 3], 2.0 / 3.0);
}

#[tokio::test]
async fn the_built_in_engine_votes_and_breaks_ties() {
    let model = proposing([OTHER, ANSWER, ANSWER]).await;
    let asked = ask(&model, &[], |request| {
        request.question = QUESTION.to_owned();
        request.candidates = 2;
    })
    .await;
    asked.assert_completed(ANSWER);
    asked.assert_agreed(&[2], 2.0 / 3.0);
    assert_eq!(asked.execution().1.unwrap().builtin_agrees, Some(true));
    assert_eq!(asked.workflow.usage.unwrap().model_call_count, 2, "its vote costs nothing");
}

#[tokio::test]
async fn what_does_not_pass_the_checks_is_not_run() {
    for bad in [BAD, "DROP TABLE customers"] {
        let model = proposing([bad, ANSWER, SAME]).await;
        let asked = ask(&model, &[], |_| {}).await;
        asked.assert_completed(ANSWER);
        asked.assert_agreed(&[2, 3], 2.0 / 3.0);
        assert_eq!(asked.of("validator")[0], (1, StepStatus::Failed));
        assert!(!names(&asked.events).contains(&"retrying".to_owned()), "others passed: nothing is repaired");
        assert_eq!(asked.workflow.usage.unwrap().model_call_count, 3);
    }
}

#[tokio::test]
async fn a_candidate_without_an_answer_does_no_harm() {
    let model = ModelServer::start().await;
    model.on("planner", plan()).on("mapper", mapping()).on("composer", statement(ANSWER));
    model.on_told("composer", SECOND, Reply::Says("no JSON".to_owned()));
    model.on_told("composer", THIRD, statement(SAME));
    let asked = ask(&model, &[], |_| {}).await;
    asked.assert_completed(ANSWER);
    asked.assert_agreed(&[1, 3], 2.0 / 3.0);
    assert_eq!(asked.of("composer")[1], (2, StepStatus::Failed));
    assert_eq!(model.requests_of("composer").len(), 3, "it is not asked for again");
}

#[tokio::test]
async fn a_candidate_that_the_database_cannot_compute_has_no_vote() {
    let overflows = "SELECT abs(-9223372036854775807 - id) FROM customers";
    let model = proposing([overflows, ANSWER, SAME]).await;
    let asked = ask(&model, &[], |_| {}).await;
    asked.assert_completed(ANSWER);
    asked.assert_agreed(&[2, 3], 2.0 / 3.0);
}

/// More rows than one execution returns, and others that begin in the same way.
const MANY: &str = "SELECT 'x' AS x FROM order_items";
const MANY_OTHERS: &str = "SELECT 'x' AS x FROM orders";

#[tokio::test]
async fn results_that_were_cut_agree_with_no_other_statement() {
    let model = proposing([MANY_OTHERS, MANY, MANY]).await;
    let asked = ask(&model, &[], |_| {}).await;
    asked.assert_completed(MANY);
    asked.assert_agreed(&[2, 3], 2.0 / 3.0);
}

#[tokio::test]
async fn endless_statements_take_no_vote_from_a_fast_one() {
    // The statements' own time ends first; the same where they wait for one another; that of the step does.
    for flags in [
        &["--statement-timeout", "1s"][..],
        &["--statement-timeout", "1s", "--pool-size", "1"],
        &["--step-timeout", "6s"],
    ] {
        let model = ModelServer::start().await;
        model.on("planner", plan()).on("mapper", mapping()).on("composer", statement(script::ENDLESS));
        let endless = |more: u32| statement(&script::ENDLESS.replace("count(*)", &format!("count(*) + {more}")));
        for (words, reply) in
            [(SECOND, endless(1)), (THIRD, endless(2)), (FOURTH, endless(3)), (FIFTH, statement(ANSWER))]
        {
            model.on_told("composer", words, reply);
        }
        let asked = ask(&model, flags, |request| request.candidates = 5).await;
        asked.assert_completed(ANSWER);
        asked.assert_agreed(&[5], 0.2);
    }
}

#[tokio::test]
async fn where_no_call_is_left_the_end_says_what_was_wrong() {
    for (candidates, calls) in [(1, "1"), (3, "3")] {
        let model = proposing([BAD, BAD, BAD]).await;
        let asked = ask(&model, &["--llm-max-calls", calls], |request| request.candidates = candidates).await;
        let failure = failed(&asked.events);
        assert_eq!(reason(failure), "MODEL_BUDGET_EXHAUSTED");
        for words in ["PULSE_LLM_MAX_CALLS", "nickname"] {
            assert!(failure.message.contains(words), "{words}: {failure:?}");
        }
        let told = |key: &str| failure.metadata.get(key).map(String::as_str);
        assert_eq!((told("sql"), told("setting")), (Some(BAD), Some("PULSE_LLM_MAX_CALLS")));
        assert!(told("findings").is_some_and(|findings| findings.contains("nickname")), "{failure:?}");
        assert!(failure.sql_error.as_ref().is_some_and(|error| error.message.contains("nickname")), "{failure:?}");
        assert_eq!(model.requests().len().to_string(), calls);
        assert!(!names(&asked.events).contains(&"retrying".to_owned()), "nothing is tried that cannot be asked for");
    }
}

#[tokio::test]
async fn where_all_fall_short_the_composer_hears_why() {
    let model = ModelServer::start().await;
    // The first is not even read; the others come further.
    model.on("planner", plan()).on("mapper", mapping());
    model.on("composer", statement("SELEC 1")).on("composer", statement(ANSWER));
    model.on_told("composer", SECOND, statement(BAD));
    model.on_told("composer", THIRD, statement("DROP TABLE customers"));
    let asked = ask(&model, &[], |_| {}).await;
    asked.assert_completed(ANSWER);
    let retrying = asked.events.iter().find_map(|event| match &event.event {
        Some(Event::Retrying(retrying)) => Some(retrying),
        _ => None,
    });
    let retrying = retrying.expect("one repair");
    assert_eq!((retrying.sql.as_str(), retrying.step_name.as_str(), retrying.attempt), (BAD, "validator", 2));
    assert!(retrying.feedback.contains("nickname"), "{retrying:?}");
    // One statement is mended: it is a step like any other.
    assert_eq!(asked.of("composer")[0], (0, StepStatus::Done));
    assert!(asked.execution().1.is_none());
    assert_eq!(asked.workflow.usage.unwrap().model_call_count, 4);
}

#[tokio::test]
async fn calls_bound_the_candidates_and_that_is_said() {
    for (most, asked_for, composed, said) in
        [("2", 5, all_done(2), "2 candidates of 5"), ("1", 3, vec![(0, StepStatus::Done)], "1 candidate of 3")]
    {
        let model = proposing([ANSWER, ANSWER, ANSWER]).await;
        let asked = ask(&model, &["--llm-max-calls", most], |request| request.candidates = asked_for).await;
        if composed.len() == 2 {
            asked.assert_completed(ANSWER);
        }
        assert_eq!(asked.of("composer"), composed);
        let summary = &asked.execution().0.summary;
        assert!(summary.contains(said) && summary.contains("PULSE_LLM_MAX_CALLS"), "{summary}");
        assert_eq!(model.requests().len().to_string(), most);
    }
    let model = proposing([ANSWER, ANSWER, ANSWER]).await;
    let asked = ask(&model, &[], |request| request.candidates = 5).await;
    asked.assert_agreed(&[1, 2, 3, 4, 5], 1.0);
    assert_eq!(model.requests().len(), 5, "the first is part of the call that plans");
}

#[tokio::test]
async fn the_planner_decides_where_nobody_else_does() {
    let executes = |_: &mut StartWorkflowRequest| {};
    let only_sql = |request: &mut StartWorkflowRequest| request.execute = Some(false);
    let with_approval = |request: &mut StartWorkflowRequest| request.require_approval = true;
    for (difficulty, change, calls) in [
        ("hard", executes as fn(&mut StartWorkflowRequest), 3),
        ("easy", executes, 1),
        ("hard", only_sql, 1),
        ("hard", with_approval, 1),
    ] {
        let model = ModelServer::start().await;
        model.on("planner", rated(difficulty)).on("mapper", mapping()).on("composer", statement(ANSWER));
        let mut server = Server::demo(&script::shared_flags(&model, &[])).await;
        let mut request = question(&connection_id(&server.channel, "demo").await, VAGUE);
        change(&mut request);
        let id = start(&mut server.workflows, request).await;
        let mut follower = Follower::new(&mut server.workflows, &id, 0).await;
        follower.until(if calls == 1 && difficulty == "hard" { "step_completed validator" } else { "completed" }).await;
        assert_eq!(model.requests().len(), calls, "{difficulty}");
        assert_eq!(workflow(&mut server.workflows, &id).await.options.unwrap().candidates, 0);
    }
}

#[tokio::test]
async fn nothing_runs_before_it_is_approved() {
    let model = proposing([BAD, ANSWER, OTHER]).await;
    let mut server = Server::demo(&script::shared_flags(&model, &[])).await;
    let demo = connection_id(&server.channel, "demo").await;
    let request = StartWorkflowRequest { candidates: 3, require_approval: true, ..question(&demo, VAGUE) };
    let id = start(&mut server.workflows, request).await;
    let mut follower = Follower::new(&mut server.workflows, &id, 0).await;
    let awaiting = follower.until("awaiting").await;
    assert!(format!("{awaiting:?}").contains(ANSWER), "the first that passed: {awaiting:?}");
    assert!(!names(&follower.seen).contains(&"step_started execution".to_owned()));
    let action = Some(Action::Approve(Approve {}));
    let resume = ResumeWorkflowRequest { id: id.clone(), action, ..ResumeWorkflowRequest::default() };
    server.workflows.resume_workflow(resume).await.unwrap();
    let events = follower.rest().await;
    let asked = look(&mut server, &id, events).await;
    asked.assert_completed(ANSWER);
    assert!(asked.execution().1.is_none(), "only what was approved has run");
    assert!((asked.workflow.confidence - 0.8).abs() < 1e-9, "as the composer says");
}

#[tokio::test]
async fn without_rows_the_first_that_passed_counts() {
    let model = proposing([BAD, ANSWER, OTHER]).await;
    let asked = ask(&model, &[], |request| request.execute = Some(false)).await;
    asked.assert_completed(ANSWER);
    assert!(asked.workflow.result.is_none());
}

#[tokio::test]
async fn the_built_in_engine_has_one_reading() {
    let mut server = Server::demo(&[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let request = StartWorkflowRequest { candidates: 5, ..question(&demo, QUESTION) };
    let (id, events) = run(&mut server.workflows, request).await;
    let asked = look(&mut server, &id, events).await;
    assert_eq!(asked.of("composer"), [(0, StepStatus::Done)]);
    assert!(asked.execution().1.is_none());
    assert!(!asked.execution().0.summary.contains("candidate"), "{:?}", asked.execution().0);
}

/// kill -9 while one candidate is composed and the others are done: only that one is asked for again.
#[tokio::test]
async fn finished_candidates_are_not_paid_for_again() {
    let folder = Folder::with_demo();
    let model = ModelServer::start().await;
    model.on("planner", plan()).on("mapper", mapping()).on("composer", statement(OTHER));
    model.on_told("composer", SECOND, statement(ANSWER));
    let third = model.on_told("composer", THIRD, Reply::Stall);
    model.on_told("composer", THIRD, statement(SAME));
    let flags = script::shared_flags(&model, &["--demo"]);
    let process = Process::serve(folder.path(), &flags).await;
    let demo = connection_id(&process.channel().await, "demo").await;
    let mut client = workflows(&process).await;
    let request = StartWorkflowRequest { candidates: 3, ..question(&demo, VAGUE) };
    let id = start(&mut client, request).await;
    let mut follower = Follower::new(&mut client, &id, 0).await;
    for _ in 0..2 {
        follower.until("step_completed validator").await;
    }
    model.arrived(3).await;
    process.kill().await;

    let process = Process::serve(folder.path(), &flags).await;
    model.arrived(4).await;
    model.release(&third);
    let whole = watch(&mut workflows(&process).await, &id, 0).await;
    assert_whole_log(&whole, 0);
    assert_same(&follower.seen, &whole[..follower.seen.len()]);
    assert_eq!(kind(whole.last().unwrap()), "completed", "{:?}", names(&whole));
    let done = |name: &str| {
        let done = whole.iter().filter(|event| kind(event) == "step_completed").filter_map(step);
        let mut candidates: Vec<i32> = done.filter(|step| step.name == name).map(|step| step.candidate).collect();
        candidates.sort_unstable();
        candidates
    };
    assert_eq!((done("composer"), done("validator"), done("execution")), (vec![1, 2, 3], vec![1, 2, 3], vec![0]));
    let told = |words: &str| model.requests().iter().filter(|request| request.prompt().contains(words)).count();
    assert_eq!((model.requests().len(), told(SECOND), told(THIRD)), (4, 1, 2));
    let end = workflow(&mut workflows(&process).await, &id).await;
    assert_eq!((end.sql.as_str(), end.usage.unwrap().model_call_count), (ANSWER, 3));
}

/// kill -9 while the first candidate still arrives as the end of the shared call: it is asked for by a call of its own.
#[tokio::test]
async fn the_first_candidate_outlives_its_call() {
    let folder = Folder::with_demo();
    let model = ModelServer::start().await;
    model.on("planner", plan()).on("mapper", mapping()).stall("composer").on("composer", statement(ANSWER));
    model.on_told("composer", SECOND, statement(SAME));
    model.on_told("composer", THIRD, statement(OTHER));
    let flags = script::shared_flags(&model, &["--demo"]);
    let process = Process::serve(folder.path(), &flags).await;
    let demo = connection_id(&process.channel().await, "demo").await;
    let mut client = workflows(&process).await;
    let request = StartWorkflowRequest { candidates: 3, ..question(&demo, VAGUE) };
    let id = start(&mut client, request).await;
    let mut follower = Follower::new(&mut client, &id, 0).await;
    for _ in 0..2 {
        follower.until("step_completed validator").await;
    }
    process.kill().await;

    let process = Process::serve(folder.path(), &flags).await;
    let whole = watch(&mut workflows(&process).await, &id, 0).await;
    assert_whole_log(&whole, 0);
    assert_same(&follower.seen, &whole[..follower.seen.len()]);
    let end = workflow(&mut workflows(&process).await, &id).await;
    assert_eq!((end.status(), end.sql.as_str()), (WorkflowStatus::Completed, ANSWER));
    let told = |words: &str| model.requests().iter().filter(|request| request.prompt().contains(words)).count();
    assert_eq!((model.requests().len(), told(SECOND), told(THIRD)), (4, 1, 1));
}

async fn workflows(process: &Process) -> WorkflowServiceClient<Channel> {
    WorkflowServiceClient::new(process.channel().await)
}

#[tokio::test]
async fn a_person_at_a_shell_sees_each_candidate() {
    let model = proposing([OTHER, ANSWER, SAME]).await;
    let server = Server::demo(&script::shared_flags(&model, &[])).await;
    let address = format!("http://{}", server.address);
    let output = pulse()
        .args(["ask", "--server", &address, "--connection", "demo", "--candidates", "3", VAGUE])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}");
    for words in ["composer 1", "composer 2", "validator 3", "Candidates 2, 3 of 3 agree", ANSWER] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

// --- Repair happens on findings only ------------------------------------------------------------------------------

/// A plan with a condition.
fn conditioned() -> Reply {
    let Reply::Says(plan) = plan() else { panic!("a plan is said") };
    let mut plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    plan["aggregations"] = json!([]);
    plan["filters"] = json!([{ "column": "id", "operator": "less", "values": [0] }]);
    Reply::json(plan)
}

const NOTHING: &str = "SELECT email FROM customers WHERE id < 0";

async fn composing(first: &str, then: Reply) -> (ModelServer, Asked) {
    let model = ModelServer::start().await;
    model.on("planner", conditioned()).on("mapper", mapping());
    model.on("composer", statement(first)).on("composer", then);
    let asked = ask(&model, &[], |request| request.candidates = 1).await;
    (model, asked)
}

#[tokio::test]
async fn an_empty_result_is_looked_at_once_more() {
    let (model, asked) = composing(NOTHING, statement(ANSWER)).await;
    asked.assert_completed(ANSWER);
    let prompt = model.requests_of("composer")[1].prompt();
    assert!(prompt.contains(NOTHING) && prompt.contains("it returned no row"), "{prompt}");
    let retrying = asked.events.iter().find(|event| kind(event) == "retrying").unwrap();
    assert!(format!("{retrying:?}").contains("step_name: \"execution\""), "{retrying:?}");
}

#[tokio::test]
async fn who_proposes_the_same_again_means_it() {
    let (model, asked) = composing(NOTHING, statement(NOTHING)).await;
    asked.assert_completed(NOTHING);
    assert_eq!((model.requests().len(), asked.workflow.result.unwrap().row_count), (2, 0));
}

#[tokio::test]
async fn an_empty_result_stands_where_nothing_better_comes() {
    for worse in [statement(BAD), Reply::Refuses("I would rather not.".to_owned())] {
        let (_model, asked) = composing(NOTHING, worse).await;
        asked.assert_completed(NOTHING);
        assert_eq!(asked.workflow.result.unwrap().row_count, 0);
    }
}

#[tokio::test]
async fn an_empty_result_on_which_candidates_agree_is_an_answer() {
    let model = ModelServer::start().await;
    model.on("planner", conditioned()).on("mapper", mapping()).on("composer", statement(NOTHING));
    model.on_told("composer", SECOND, statement("SELECT email FROM customers WHERE id = -1"));
    let asked = ask(&model, &[], |_| {}).await;
    asked.assert_completed(NOTHING);
    asked.assert_agreed(&[1, 2, 3], 1.0);
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_mended() {
    let model = ModelServer::start().await;
    model.on("planner", plan()).on("mapper", mapping());
    model.on("composer", statement(script::ENDLESS)).on("composer", statement(ANSWER));
    let asked = ask(&model, &["--statement-timeout", "1s"], |request| request.candidates = 1).await;
    asked.assert_completed(ANSWER);
    assert_eq!(asked.workflow.retry_count, 1);
}
