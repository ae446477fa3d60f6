//! The client of the chat-completions API against a real HTTP server that misbehaves in every way that real ones do.

use std::sync::Arc;
use std::time::Duration;

use pulse::llm::{
    BadOptions, ChatAnswer, ChatModel, ChatRequest, Error, ErrorKind, Limits, Message, OpenAi, Options, OutputSchema,
    WithLimits,
};
use serde_json::json;

use crate::support::model_server::{ModelServer, Reply};

/// Must never be seen outside the `Authorization` header.
const KEY: &str = "sk-canary-5b1e7c3d";

fn options(server: &ModelServer) -> Options {
    Options {
        endpoint: server.url().parse().unwrap(),
        api_key: Some(KEY.into()),
        model: "test-model".to_owned(),
        ..Options::default()
    }
}

fn request() -> ChatRequest {
    ChatRequest {
        model: None,
        messages: vec![Message::system("rules"), Message::user("hello")],
        output: OutputSchema { name: "planner", schema: json!({ "type": "object" }) },
        temperature: 0.0,
        max_tokens: 100,
    }
}

async fn ask(server: &ModelServer) -> Result<ChatAnswer, Error> {
    OpenAi::new(options(server)).unwrap().complete(request()).await
}

/// The failure that a reply leads to when it is given again and again; the key is nowhere in it.
async fn failure(reply: Reply) -> (ErrorKind, usize) {
    failure_within(Duration::from_secs(30), reply).await
}

async fn failure_within(attempt_timeout: Duration, reply: Reply) -> (ErrorKind, usize) {
    let server = ModelServer::start().await;
    server.on("planner", reply);
    let options = Options { attempt_timeout, ..options(&server) };
    assert!(!format!("{options:?}").contains("canary"));
    let error = OpenAi::new(options).unwrap().complete(request()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    (error.kind, server.requests().len())
}

#[tokio::test]
async fn an_answer_comes_with_its_usage_and_the_request_is_as_the_api_wants_it() {
    let server = ModelServer::start().await;
    server.on("planner", Reply::json(json!({ "intent": "x" })));
    let answer = ask(&server).await.unwrap();
    assert_eq!(answer.text, r#"{"intent":"x"}"#);
    assert_eq!((answer.usage.model.as_str(), answer.usage.calls), ("double-1", 1));
    assert_eq!((answer.usage.prompt_tokens, answer.usage.completion_tokens), (100, 10));

    let sent = &server.requests()[0];
    assert_eq!(sent.path, "/v1/chat/completions");
    assert_eq!(sent.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(sent.body["model"], "test-model");
    assert_eq!(sent.body["response_format"]["json_schema"]["strict"], true);
    assert_eq!(sent.body["messages"][0]["role"], "system");
}

#[tokio::test]
async fn no_key_means_no_header() {
    let server = ModelServer::start().await;
    server.on("planner", Reply::json(json!({})));
    for api_key in [None, Some("".into()), Some(" \n".into())] {
        OpenAi::new(Options { api_key, ..options(&server) }).unwrap().complete(request()).await.unwrap();
    }
    assert!(server.requests().iter().all(|sent| !sent.headers.contains_key("authorization")));
}

#[tokio::test]
async fn passing_troubles_are_repeated() {
    let troubles = [
        Reply::error(500, "oops"),
        Reply::error(529, "overloaded"),
        Reply::error(408, "late"),
        Reply::too_many(None),
        Reply::too_many(Some("0")),
        Reply::HangUp,
        Reply::CutOff,
    ];
    for trouble in troubles {
        let server = ModelServer::start().await;
        server.on("planner", trouble.clone()).on("planner", Reply::json(json!({ "ok": true })));
        let answer = ask(&server).await.unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
        assert_eq!((answer.usage.calls, server.requests().len()), (1, 2), "{trouble:?}");
    }
}

#[tokio::test]
async fn lasting_troubles_are_repeated_three_times() {
    let (kind, requests) = failure(Reply::error(503, &format!("down, {KEY}"))).await;
    assert!(matches!(kind, ErrorKind::Unavailable(_)), "{kind:?}");
    assert_eq!(requests, 4);
    let (kind, requests) = failure(Reply::HangUp).await;
    assert!(matches!(kind, ErrorKind::Unavailable(_)), "{kind:?}");
    assert_eq!(requests, 4);
}

#[tokio::test]
async fn troubles_that_time_does_not_heal_are_not_repeated() {
    let quota = json!({ "error": { "message": "no", "code": "insufficient_quota" } }).to_string();
    for (reply, expected) in [
        (Reply::error(401, &format!("Incorrect API key provided: {KEY}")), ErrorKind::Auth),
        (Reply::error(403, KEY), ErrorKind::Auth),
        (Reply::error(404, "no such model"), ErrorKind::ModelUnknown),
        (Reply::Status(429, Vec::new(), quota), ErrorKind::QuotaExhausted),
        (Reply::Refuses("I would rather not".to_owned()), ErrorKind::Refused("I would rather not".to_owned())),
        (Reply::Cut("{\"intent\":".to_owned()), ErrorKind::Truncated),
        (Reply::Filtered, ErrorKind::ContentFilter),
        (Reply::NoChoices, ErrorKind::OutputInvalid("it holds no answer".to_owned())),
        (Reply::Says("  ".to_owned()), ErrorKind::OutputInvalid("the answer is empty".to_owned())),
        (Reply::Body(b"<html>".to_vec()), ErrorKind::OutputInvalid("it is not JSON".to_owned())),
        (Reply::Body(b"{\"choices\":\"\xff\"}".to_vec()), ErrorKind::OutputInvalid("it is not JSON".to_owned())),
        (Reply::Body(b"{\"choices\":3}".to_vec()), ErrorKind::OutputInvalid("it is not a chat completion".to_owned())),
        (Reply::Says("x".repeat(2 << 20)), ErrorKind::OutputInvalid("it is longer than 1 MiB".to_owned())),
        (
            Reply::error(400, &format!("bad thing {KEY}")),
            ErrorKind::Other("400 Bad Request: bad thing [key]".to_owned()),
        ),
    ] {
        assert_eq!(failure(reply).await, (expected, 1));
    }
    let redirect = Reply::Status(307, vec![("location", "http://127.0.0.1:1/".to_owned())], String::new());
    let (kind, requests) = failure(redirect).await;
    assert!(matches!(kind, ErrorKind::Other(words) if words.contains("redirects")));
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn an_answer_that_is_of_no_use_still_says_what_it_cost() {
    let server = ModelServer::start().await;
    server.on("planner", Reply::Cut("{".to_owned()));
    let usage = ask(&server).await.unwrap_err().usage.unwrap();
    assert_eq!((usage.calls, usage.completion_tokens), (1, 10));
}

#[tokio::test]
async fn a_wait_that_would_take_too_long_fails_at_once_and_says_how_long() {
    let (kind, requests) = failure(Reply::too_many(Some("86400"))).await;
    assert_eq!(kind, ErrorKind::RateLimited { retry_after: Some(Duration::from_hours(24)) });
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn silence_and_dripping_end_at_the_attempt_timeout() {
    for reply in [Reply::Stall, Reply::Drip(Duration::from_millis(5))] {
        let patience = Duration::from_millis(200);
        assert_eq!(failure_within(patience, reply).await, (ErrorKind::Timeout(patience), 4));
    }
}

#[tokio::test]
async fn all_attempts_together_end_at_the_total_timeout() {
    let server = ModelServer::start().await;
    server.stall("planner");
    let total_timeout = Duration::from_millis(300);
    let model = OpenAi::new(Options { total_timeout, ..options(&server) }).unwrap();
    assert_eq!(model.complete(request()).await.unwrap_err().kind, ErrorKind::Timeout(total_timeout));
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let endpoint = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()
    };
    let options = Options { endpoint, model: "m".to_owned(), api_key: Some(KEY.into()), ..Options::default() };
    let error = OpenAi::new(options).unwrap().complete(request()).await.unwrap_err();
    assert!(matches!(&error.kind, ErrorKind::Unavailable(words) if words.contains("refused")), "{error:?}");
}

#[tokio::test]
async fn https_is_spoken_where_the_machine_has_certificates() {
    let server = ModelServer::start().await;
    let endpoint = server.url().replace("http://", "https://").parse().unwrap();
    match OpenAi::new(Options { endpoint, ..options(&server) }) {
        Ok(model) => {
            // The server speaks plain HTTP, so the handshake fails; the key never travels.
            let error = model.complete(request()).await.unwrap_err();
            assert!(matches!(error.kind, ErrorKind::Unavailable(_)), "{error:?}");
            assert!(server.requests().is_empty());
        }
        Err(error) => assert!(matches!(error, BadOptions::Tls(_)), "{error}"),
    }
}

#[tokio::test]
async fn dropping_the_call_hangs_up() {
    let server = ModelServer::start().await;
    server.stall("planner");
    let model = OpenAi::new(options(&server)).unwrap();
    tokio::select! {
        answer = model.complete(request()) => panic!("{answer:?}"),
        () = server.arrived(1) => {}
    }
    server.abandoned(1).await;
}

#[tokio::test]
async fn endpoints_without_structured_outputs_are_asked_in_words_and_remembered() {
    let server = ModelServer::start().await;
    server.on("planner", Reply::error(400, "response_format json_schema is not supported"));
    server.on("planner", Reply::json(json!({ "intent": "x" })));
    let model = OpenAi::new(options(&server)).unwrap();
    model.complete(request()).await.unwrap();
    model.complete(request()).await.unwrap();
    let forms: Vec<_> = server.requests().iter().map(|sent| sent.body["response_format"]["type"].clone()).collect();
    assert_eq!(forms, ["json_schema", "json_object", "json_object"]);
    assert!(server.requests()[1].prompt().contains("JSON schema"));
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_when_the_client_is_made() {
    let server = ModelServer::start().await;
    let bad_key = Options { api_key: Some("canary\nx".into()), ..options(&server) };
    assert_eq!(OpenAi::new(bad_key).err(), Some(BadOptions::Key));
    let no_model = Options { model: " ".to_owned(), ..options(&server) };
    assert_eq!(OpenAi::new(no_model).err(), Some(BadOptions::Model));
}

#[tokio::test]
async fn limits_let_some_run_some_wait_and_turn_the_rest_away() {
    let server = ModelServer::start().await;
    server.stall("planner").on("planner", Reply::json(json!({})));
    let limits = Limits { max_concurrent: 1, max_queued: 1 };
    let model = Arc::new(WithLimits::new(Arc::new(OpenAi::new(options(&server)).unwrap()), limits));
    let call = |model: &Arc<WithLimits>| {
        let model = model.clone();
        tokio::spawn(async move { model.complete(request()).await })
    };
    let running = call(&model);
    server.arrived(1).await;
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let model = model.clone();
        others.spawn(async move { model.complete(request()).await });
    }
    // One of the two waits, the other is turned away although nothing has been answered yet.
    let turned_away = others.join_next().await.unwrap().unwrap();
    assert_eq!(turned_away.unwrap_err().kind, ErrorKind::Busy);
    assert_eq!(server.requests().len(), 1);
    server.release("planner");
    running.await.unwrap().unwrap();
    others.join_next().await.unwrap().unwrap().unwrap();
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn the_most_talkative_log_holds_neither_the_key_nor_a_reply() {
    let (log, lines) = {
        let (writer, lines) = std::sync::mpsc::channel::<Vec<u8>>();
        let make = move || Line(writer.clone());
        let layer = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(make).finish();
        (tracing::subscriber::set_default(layer), lines)
    };
    for reply in [
        Reply::json(json!({ "intent": "private words" })),
        Reply::error(401, &format!("{KEY} private words")),
        Reply::error(500, &format!("{KEY} private words")),
        Reply::error(400, &format!("{KEY} private words")),
        Reply::Body(b"{\"choices\": \"private words\"".to_vec()),
        Reply::Body(b"{\"choices\": \"private words\"}".to_vec()),
    ] {
        let server = ModelServer::start().await;
        server.on("planner", reply).on("planner", Reply::json(json!({})));
        let _ = ask(&server).await;
    }
    drop(log);
    let log: String = lines.try_iter().map(|line| String::from_utf8_lossy(&line).into_owned()).collect();
    assert!(!log.is_empty() && !log.contains("canary") && !log.contains("private words"), "{log}");
}

/// Sends what is logged to the test.
struct Line(std::sync::mpsc::Sender<Vec<u8>>);

impl std::io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.0.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
