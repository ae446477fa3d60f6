//! `pulse model check` against endpoints of many kinds: what it says, how it exits, and that it keeps the key to itself.

use serde_json::json;

use crate::support::calls::{connection_id, question, run};
use crate::support::model_server::{Habits, ModelServer, Reply};
use crate::support::process::{Process, pulse};
use crate::support::script::{self, ANSWER, KEY, QUESTION};
use crate::support::server::Folder;
use pulse::pb::v1::workflow_service_client::WorkflowServiceClient;

/// The exit code and everything that was printed.
async fn check(url: &str, flags: &[&str]) -> (i32, String) {
    let mut command = pulse();
    command.args(["model", "check", "--openai-base-url", url, "--openai-model", "double-1"]).args(flags);
    let output = tokio::time::timeout(std::time::Duration::from_mins(2), command.output()).await.unwrap().unwrap();
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(!said.contains(KEY), "{said}");
    (output.status.code().unwrap(), said)
}

fn sum() -> Reply {
    Reply::json(json!({ "sum": 42 }))
}

#[track_caller]
fn assert_says(said: &str, all: &[&str]) {
    for words in all {
        assert!(said.contains(words), "`{words}` is missing:\n{said}");
    }
}

#[tokio::test]
async fn an_endpoint_that_can_everything() {
    let model = ModelServer::start().await;
    model.on("sum", sum());
    let (code, said) = check(model.url(), &["--openai-api-key", KEY]).await;
    assert_eq!(code, 0, "{said}");
    let all = ["Reachable:   yes", "Key:         accepted", "Known:       known", "(json_schema)", "Streaming:   yes"];
    assert_says(&said, &all);
    assert_says(&said, &["100 tokens read, 10 written", "first token after", "The model can be used."]);

    // Each model that is configured is asked once.
    let (code, said) =
        check(model.url(), &["--openai-model-composer", "big", "--openai-model-mapper", "double-1"]).await;
    assert_eq!(code, 0, "{said}");
    assert_says(
        &said,
        &["Model:       double-1", "Model:       big", "none set, none needed", "known; double-1 answers"],
    );
    assert_eq!(model.requests().len(), 3);
}

#[tokio::test]
async fn an_endpoint_that_can_little() {
    let model = ModelServer::start().await;
    model.on("sum", Reply::Says("<think>17 + 25 {so} 42</think> Sure! ```json\n{\"sum\": 42}\n```".to_owned()));
    model.habits(Habits { streams: false, counts: false, ..Habits::default() });
    model
        .refuse("/response_format/json_schema", "json_schema is not supported")
        .refuse("/tools", "unknown field tools");
    let (code, said) = check(model.url(), &[]).await;
    assert_eq!(code, 0, "{said}");
    assert_says(&said, &["(json_mode)", "Streaming:   no", "not reported"]);

    model.refuse("/response_format", "response_format is not supported");
    let (code, said) = check(model.url(), &[]).await;
    assert_eq!(code, 0, "{said}");
    assert_says(&said, &["in words (text)"]);
}

#[tokio::test]
async fn a_model_that_keeps_to_no_form_cannot_be_used() {
    let model = ModelServer::start().await;
    model.on("sum", Reply::Says("It is 42.".to_owned()));
    let (code, said) = check(model.url(), &[]).await;
    assert_eq!(code, 1, "{said}");
    assert_says(&said, &["Structure:   none", "Choose another OPENAI_MODEL", "cannot be used"]);
}

#[tokio::test]
async fn what_is_wrong_is_said_with_the_setting_that_helps() {
    for (reply, expected) in [
        (Reply::error(401, &format!("Incorrect API key provided: {KEY}")), "Key:         refused: set OPENAI_API_KEY"),
        (Reply::error(404, "no such model"), "Set OPENAI_MODEL to one that is served, such as double-1, double-2"),
        (Reply::error(402, "pay"), "no quota left"),
        (Reply::error(503, KEY), "Check OPENAI_BASE_URL"),
        (Reply::error(400, &format!("{KEY} is bad")), "[key] is bad"),
        (Reply::Stall, "PULSE_LLM_FIRST_TOKEN_TIMEOUT"),
    ] {
        let model = ModelServer::start().await;
        model.on("sum", reply.clone());
        let flags = ["--openai-api-key", KEY, "--llm-first-token-timeout", "1s", "--llm-total-timeout", "20s"];
        let (code, said) = check(model.url(), &flags).await;
        assert_eq!(code, 1, "{reply:?}: {said}");
        assert_says(&said, &[expected, "cannot be used"]);
    }
    let (code, said) = check("http://127.0.0.1:1/v1", &[]).await;
    assert_eq!(code, 1, "{said}");
    assert_says(&said, &["Reachable:   no"]);
}

#[tokio::test]
async fn nothing_configured_is_wrong_usage() {
    let output = pulse().args(["model", "check"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("set OPENAI_API_KEY"));
}

/// Endpoints repeat the key in their errors; the most talkative log of a server, its events and its store do not.
#[tokio::test]
async fn a_server_logs_no_key_whatever_the_endpoint_says() {
    let folder = Folder::with_demo();
    let model = ModelServer::start().await;
    for status in [400, 401, 403, 404, 422, 500] {
        model.on("planner", Reply::error(status, &format!("key {KEY} is no good")));
    }
    model.on("planner", Reply::Refuses(format!("I know {KEY}"))).on("planner", script::plan());
    model.on("mapper", Reply::Says(format!("{KEY} {{"))).on("mapper", script::mapping());
    model.on("composer", script::statement(ANSWER));
    let flags = ["--demo", "--log", "trace", "--llm-total-timeout", "10s"];
    let process = Process::serve(folder.path(), &script::shared_flags(&model, &flags)).await;
    let channel = process.channel().await;
    let demo = connection_id(&channel, "demo").await;
    let mut client = WorkflowServiceClient::new(channel);
    let mut seen = Vec::new();
    for _ in 0..8 {
        let (_, events) = run(&mut client, question(&demo, QUESTION)).await;
        seen.push(format!("{events:?}"));
    }
    assert!(model.requests().len() >= 8);
    let log = process.log();
    assert!(log.contains("chat/completions") || log.len() > 10_000, "it is talkative: {} bytes", log.len());
    for (place, text) in [("log", &log), ("events", &seen.concat())] {
        assert!(!text.contains(KEY), "the key is in the {place}");
    }
}
