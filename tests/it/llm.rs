//! The client of the chat-completions API against a real HTTP server that misbehaves in every way that real ones do.

use std::sync::Arc;
use std::time::Duration;

use pulse::llm::{
    BadOptions, Breaker, ChatAnswer, ChatModel, ChatRequest, Error, ErrorKind, Limits, Message, OpenAi, Options,
    OutputSchema, Structure, WithBreaker, WithLimits,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::model_server::{Habits, ModelServer, Reply};

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
        output: OutputSchema { name: "planner".to_owned(), schema: json!({ "type": "object" }) },
        distrusted: None,
        temperature: 0.0,
        max_tokens: 100,
        time_left: None,
    }
}

async fn complete(model: &dyn ChatModel) -> Result<ChatAnswer, Error> {
    model.complete(request(), &watch::Sender::default()).await
}

async fn ask(server: &ModelServer) -> Result<ChatAnswer, Error> {
    complete(&OpenAi::new(options(server)).unwrap()).await
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
    let error = complete(&OpenAi::new(options).unwrap()).await.unwrap_err();
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
        complete(&OpenAi::new(Options { api_key, ..options(&server) }).unwrap()).await.unwrap();
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
        assert_eq!(failure_within(patience, reply).await, (ErrorKind::Timeout(patience), 1), "not asked again");
    }
}

#[tokio::test]
async fn all_attempts_together_end_at_the_total_timeout() {
    let server = ModelServer::start().await;
    server.stall("planner");
    let total_timeout = Duration::from_millis(300);
    let model = OpenAi::new(Options { total_timeout, ..options(&server) }).unwrap();
    assert_eq!(complete(&model).await.unwrap_err().kind, ErrorKind::Timeout(total_timeout));
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let endpoint = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()
    };
    let options = Options { endpoint, model: "m".to_owned(), api_key: Some(KEY.into()), ..Options::default() };
    let error = complete(&OpenAi::new(options).unwrap()).await.unwrap_err();
    assert!(matches!(&error.kind, ErrorKind::Unavailable(words) if words.contains("refused")), "{error:?}");
}

#[tokio::test]
async fn https_is_spoken_where_the_machine_has_certificates() {
    let server = ModelServer::start().await;
    let endpoint = server.url().replace("http://", "https://").parse().unwrap();
    match OpenAi::new(Options { endpoint, ..options(&server) }) {
        Ok(model) => {
            // The server speaks plain HTTP, so the handshake fails; the key never travels.
            let error = complete(&model).await.unwrap_err();
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
        answer = complete(&model) => panic!("{answer:?}"),
        () = server.arrived(1) => {}
    }
    server.abandoned(1).await;
}

fn forms(server: &ModelServer) -> Vec<&'static str> {
    let form = |body: &Value| match (body["response_format"]["type"].as_str(), body.get("tools")) {
        (Some("json_schema"), None) => "json_schema",
        (None, Some(_)) => "tool_call",
        (Some("json_object"), None) => "json_mode",
        _ => "text",
    };
    server.requests().iter().map(|sent| form(&sent.body)).collect()
}

#[tokio::test]
async fn the_ladder_is_climbed_down_as_far_as_the_endpoint_refuses_and_remembered() {
    let refusals: [(&str, Reply); 3] = [
        ("/response_format/json_schema", Reply::error(400, "'response_format' of type 'json_schema' is not supported")),
        ("/tools", Reply::error(500, "This server does not support tools. Start it with `--jinja`")),
        (
            "/response_format",
            Reply::Status(422, vec![], r#"{"detail":[{"loc":["body","response_format"]}]}"#.to_owned()),
        ),
    ];
    let all = ["json_schema", "tool_call", "json_mode", "text"];
    for rungs in 0..=3 {
        let server = ModelServer::start().await;
        server.on("planner", Reply::json(json!({ "intent": "x" })));
        for (place, reply) in refusals.iter().take(rungs) {
            server.refuse_with(place, reply.clone());
        }
        let model = OpenAi::new(options(&server)).unwrap();
        let answer = complete(&model).await.unwrap();
        assert_eq!(answer.text, r#"{"intent":"x"}"#, "{rungs}");
        assert_eq!(answer.delivery.structure.as_str(), all[rungs]);
        complete(&model).await.unwrap();
        let mut expected = all[..=rungs].to_vec();
        expected.push(all[rungs]);
        assert_eq!(forms(&server), expected);
    }
}

#[tokio::test]
async fn parameters_that_are_refused_are_left_out_from_then_on_for_that_model() {
    for (place, message) in [
        ("/temperature", "Unsupported value: 'temperature' does not support 0.0 with this model."),
        ("/max_tokens", "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead."),
        ("/stream_options", "Unrecognized request argument supplied: stream_options"),
        ("/stream", "Streaming is not supported by this model"),
    ] {
        let server = ModelServer::start().await;
        server.on("planner", Reply::json(json!({}))).refuse(place, message);
        let model = OpenAi::new(options(&server)).unwrap();
        for _ in 0..2 {
            complete(&model).await.unwrap();
        }
        let refused: Vec<bool> = server
            .requests()
            .iter()
            .map(|sent| sent.body.pointer(place).is_some_and(|value| *value != json!(false)))
            .collect();
        assert_eq!(refused, [true, false, false], "{place}");
        // Another model of the same endpoint is asked as any other.
        let other = ChatRequest { model: Some("other".to_owned()), ..request() };
        model.complete(other, &watch::Sender::default()).await.unwrap();
        assert!(server.requests()[3].body.pointer(place).is_some(), "{place}");
    }
}

#[tokio::test]
async fn a_structure_that_was_not_kept_to_is_not_asked_for_again() {
    let server = ModelServer::start().await;
    server.on("planner", Reply::json(json!({})));
    let model = OpenAi::new(options(&server)).unwrap();
    let distrusting = ChatRequest { distrusted: Some(Structure::JsonSchema), ..request() };
    for asked in [request(), distrusting.clone(), distrusting, request()] {
        model.complete(asked, &watch::Sender::default()).await.unwrap();
    }
    assert_eq!(forms(&server), ["json_schema", "tool_call", "tool_call", "tool_call"]);
}

#[tokio::test]
async fn an_answer_is_heard_while_it_arrives() {
    let server = ModelServer::start().await;
    server.on("planner", Reply::FallsSilent(r#"{"intent":"#.to_owned()));
    let model = OpenAi::new(options(&server)).unwrap();
    let (sender, mut heard) = watch::channel(String::new());
    tokio::select! {
        answer = model.complete(request(), &sender) => panic!("{answer:?}"),
        begun = heard.wait_for(|heard| heard == r#"{"intent":"#) => drop(begun.unwrap()),
    }
    server.abandoned(1).await;

    let server = ModelServer::start().await;
    server.on("planner", Reply::json(json!({ "intent": "x" })));
    let model = OpenAi::new(options(&server)).unwrap();
    let answer = model.complete(request(), &sender).await.unwrap();
    assert!(answer.delivery.streamed && answer.delivery.counted && answer.delivery.time_to_first_token.is_some());
    assert_eq!((answer.delivery.attempts, answer.usage.prompt_tokens), (1, 100));
    assert!(heard.borrow().ends_with(&answer.text));
}

#[tokio::test]
async fn an_endpoint_that_ignores_streaming_is_heard_at_once() {
    let server = ModelServer::start().await;
    server.on("planner", Reply::json(json!({ "intent": "x" })));
    server.habits(Habits { streams: false, counts: false, ..Habits::default() });
    let (sender, heard) = watch::channel(String::new());
    let answer = OpenAi::new(options(&server)).unwrap().complete(request(), &sender).await.unwrap();
    assert!(!answer.delivery.streamed && !answer.delivery.counted);
    assert_eq!((heard.borrow().as_str(), answer.text.as_str()), (r#"{"intent":"x"}"#, r#"{"intent":"x"}"#));
}

/// What was heard may be in use already: an answer that breaks off is left to the caller, and not asked for again.
#[tokio::test]
async fn an_answer_that_breaks_off_is_not_repeated_behind_the_listeners_back() {
    let begun = || r#"{"intent":"#.to_owned();
    for (reply, expected) in [
        (Reply::BreaksOff(begun()), ErrorKind::Unavailable(String::new())),
        (Reply::Fails(begun()), ErrorKind::Unavailable(String::new())),
        (Reply::FallsSilent(begun()), ErrorKind::Timeout(Duration::ZERO)),
        (Reply::Dawdles(begun(), Duration::from_millis(50)), ErrorKind::Timeout(Duration::ZERO)),
        (Reply::Cut(begun()), ErrorKind::Truncated),
    ] {
        let server = ModelServer::start().await;
        server.on("planner", reply.clone());
        let options = Options { attempt_timeout: Duration::from_secs(5), ..options(&server) };
        let (sender, heard) = watch::channel(String::new());
        let error = OpenAi::new(options).unwrap().complete(request(), &sender).await.unwrap_err();
        assert_eq!(std::mem::discriminant(&error.kind), std::mem::discriminant(&expected), "{reply:?}: {error:?}");
        assert_eq!((server.requests().len(), heard.borrow().trim_end()), (1, begun().as_str()), "{reply:?}");
    }
}

#[tokio::test]
async fn the_first_token_has_a_limit_of_its_own() {
    let server = ModelServer::start().await;
    server.stall("planner");
    let first_token_timeout = Duration::from_millis(200);
    let options = Options { first_token_timeout, ..options(&server) };
    let error = complete(&OpenAi::new(options).unwrap()).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Silence(first_token_timeout));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn a_wait_that_one_call_is_told_holds_for_all() {
    let server = ModelServer::start().await;
    server.on("planner", Reply::too_many(Some("86400"))).on("planner", Reply::json(json!({})));
    let total_timeout = Duration::from_secs(20);
    let model = OpenAi::new(Options { total_timeout, ..options(&server) }).unwrap();
    let mut waits = Vec::new();
    for _ in 0..2 {
        let kind = complete(&model).await.unwrap_err().kind;
        let ErrorKind::RateLimited { retry_after: Some(wait) } = kind else { panic!("{kind:?}") };
        waits.push(wait);
    }
    assert!(waits[0] > Duration::from_hours(23), "{waits:?}");
    // A day is not waited for: the endpoint may have meant something else.
    assert!(waits[1] > total_timeout && waits[1] <= Duration::from_mins(1), "{waits:?}");
    assert_eq!(server.requests().len(), 1, "the second one was not sent");
}

#[tokio::test]
async fn azure_gets_the_key_and_the_version_where_it_looks_for_them() {
    let server = ModelServer::start().await;
    server.on("planner", Reply::json(json!({})));
    let url = format!("{}/openai/deployments/d?api-version=2024-10-21", server.url().trim_end_matches("/v1"));
    complete(&OpenAi::new(Options { endpoint: url.parse().unwrap(), ..options(&server) }).unwrap()).await.unwrap();
    let sent = &server.requests()[0];
    assert_eq!(
        (sent.path.as_str(), &sent.headers["api-key"]),
        ("/openai/deployments/d/chat/completions", &KEY.parse().unwrap())
    );
    assert_eq!(sent.query, "api-version=2024-10-21");
}

#[tokio::test]
async fn an_endpoint_that_keeps_failing_is_left_alone_until_one_call_finds_it_well() {
    let server = ModelServer::start().await;
    server.on("planner", Reply::json(json!({}))).refuse_with("/messages", Reply::HangUp);
    let breaker = Breaker { failures: 2, rest: Duration::from_secs(5) };
    let model = WithBreaker::new(Arc::new(OpenAi::new(options(&server)).unwrap()), breaker);
    for _ in 0..2 {
        assert!(matches!(complete(&model).await.unwrap_err().kind, ErrorKind::Unavailable(_)));
    }
    let sent = server.requests().len();
    let ErrorKind::Resting { wait, last } = complete(&model).await.unwrap_err().kind else { panic!("it is asked") };
    assert!(wait <= breaker.rest && !last.is_empty());
    assert_eq!(server.requests().len(), sent, "nothing is sent while it rests");

    // It is well again: the first call after the rest finds that out, and everybody is let through.
    server.accept_all();
    let well = async {
        while complete(&model).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), well).await.unwrap();
    complete(&model).await.unwrap();
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
        tokio::spawn(async move { complete(&*model).await })
    };
    let running = call(&model);
    server.arrived(1).await;
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let model = model.clone();
        others.spawn(async move { complete(&*model).await });
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
