//! A language model that says what a test tells it to, over real HTTP: the chat-completions API on a free local port.
//!
//! Replies are scripted per agent, which the request names by its JSON schema (`planner`, `mapper`, `composer`).
//! Each agent has a queue; its last reply is given again and again.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::stream;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// Longest any wait in here takes before the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// The running server; it ends when dropped.
pub struct ModelServer {
    url: String,
    state: Arc<State>,
    serving: tokio::task::JoinHandle<()>,
}

/// What the model answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// An answer with this content.
    Says(String),
    /// A refusal in the model's own words.
    Refuses(String),
    /// An answer that was cut at the longest length.
    Cut(String),
    /// An answer that the provider's filter withheld.
    Filtered,
    /// A chat completion without any answer.
    NoChoices,
    /// An HTTP status with a body and headers.
    Status(u16, Vec<(&'static str, String)>, String),
    /// This body with status 200.
    Body(Vec<u8>),
    /// Headers that promise more than the body holds before the connection ends.
    CutOff,
    /// Nothing at all, until released.
    Stall,
    /// Headers, then one byte a tick, for ever.
    Drip(Duration),
    /// The connection ends without a word.
    HangUp,
}

impl Reply {
    /// An answer that is this JSON.
    #[expect(clippy::needless_pass_by_value, reason = "callers write the value in place")]
    pub fn json(value: Value) -> Self {
        Self::Says(value.to_string())
    }

    /// An error in the form of the API.
    pub fn error(status: u16, message: &str) -> Self {
        Self::Status(status, Vec::new(), json!({ "error": { "message": message } }).to_string())
    }

    /// "Too many requests", with what `Retry-After` says.
    pub fn too_many(retry_after: Option<&str>) -> Self {
        let headers = retry_after.map(|told| ("retry-after", told.to_owned())).into_iter().collect();
        Self::Status(429, headers, json!({ "error": { "message": "slow down", "code": "rate_limit" } }).to_string())
    }
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Which agent asked.
    pub agent: String,
    /// Path of the request.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
    /// When it arrived.
    pub time: std::time::SystemTime,
}

impl Recorded {
    /// Everything the model was told, message by message.
    pub fn prompt(&self) -> String {
        let messages = self.body["messages"].as_array().into_iter().flatten();
        messages.filter_map(|message| message["content"].as_str()).collect::<Vec<_>>().join("\n")
    }
}

struct State {
    script: Mutex<HashMap<String, VecDeque<Reply>>>,
    requests: watch::Sender<Vec<Recorded>>,
    /// Agents whose stalled calls may go on; they then get their next reply.
    released: watch::Sender<Vec<String>>,
    /// Calls that their caller gave up before an answer.
    abandoned: watch::Sender<usize>,
    /// How long every answer takes.
    delay: Mutex<Duration>,
}

impl ModelServer {
    /// Listens on a free port of 127.0.0.1.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let state = Arc::new(State {
            script: Mutex::default(),
            requests: watch::Sender::default(),
            released: watch::Sender::default(),
            abandoned: watch::Sender::default(),
            delay: Mutex::default(),
        });
        let serving = tokio::spawn(serve(listener, state.clone()));
        Self { url, state, serving }
    }

    /// What to set `OPENAI_BASE_URL` to.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Adds a reply for an agent; its last one is repeated.
    pub fn on(&self, agent: &str, reply: Reply) -> &Self {
        self.state.script.lock().unwrap().entry(agent.to_owned()).or_default().push_back(reply);
        self
    }

    /// Leaves an agent without an answer until [`Self::release`].
    pub fn stall(&self, agent: &str) -> &Self {
        self.on(agent, Reply::Stall)
    }

    /// Gives every stalled call of an agent, now and later, the reply scripted after the stall.
    pub fn release(&self, agent: &str) {
        self.state.released.send_modify(|agents| agents.push(agent.to_owned()));
    }

    /// From now on every answer takes so long.
    pub fn delay(&self, delay: Duration) {
        *self.state.delay.lock().unwrap() = delay;
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.requests.borrow().clone()
    }

    /// Requests of one agent.
    pub fn requests_of(&self, agent: &str) -> Vec<Recorded> {
        self.requests().into_iter().filter(|request| request.agent == agent).collect()
    }

    /// Waits until so many requests have arrived.
    pub async fn arrived(&self, count: usize) {
        let mut requests = self.state.requests.subscribe();
        let wait = requests.wait_for(|requests| requests.len() >= count);
        tokio::time::timeout(PATIENCE, wait).await.expect("requests arrive").unwrap();
    }

    /// Waits until callers have given up so many unanswered calls.
    pub async fn abandoned(&self, count: usize) {
        let mut abandoned = self.state.abandoned.subscribe();
        let wait = abandoned.wait_for(|so_far| *so_far >= count);
        tokio::time::timeout(PATIENCE, wait).await.expect("the caller hangs up").unwrap();
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Connections live and die with this future.
async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let state = state.clone();
        connections.spawn(async move {
            let service = hyper::service::service_fn(move |request| answer(request, state.clone()));
            // An error is a hang-up, which is what some tests are about.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

type Body = BoxBody<Bytes, std::io::Error>;

async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let agent = agent_of(&body);
    let (path, time) = (parts.uri.path().to_owned(), std::time::SystemTime::now());
    let recorded = Recorded { agent: agent.clone(), path, headers: parts.headers, body, time };
    state.requests.send_modify(|requests| requests.push(recorded));
    let delay = *state.delay.lock().unwrap();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let reply = match next_reply(&state, &agent) {
        Reply::Stall => {
            let unanswered = Unanswered(&state);
            let mut released = state.released.subscribe();
            let _ = released.wait_for(|agents| agents.contains(&agent)).await;
            std::mem::forget(unanswered);
            next_reply(&state, &agent)
        }
        reply => reply,
    };
    respond(reply).await
}

fn agent_of(body: &Value) -> String {
    if let Some(name) = body["response_format"]["json_schema"]["name"].as_str() {
        return name.to_owned();
    }
    let messages = body["messages"].as_array().into_iter().flatten();
    let words = messages.filter_map(|message| message["content"].as_str()).next_back().unwrap_or_default();
    let name = words.split("named ").nth(1).and_then(|rest| rest.split([':', ' ']).next());
    name.unwrap_or_default().to_owned()
}

fn next_reply(state: &State, agent: &str) -> Reply {
    let mut script = state.script.lock().unwrap();
    match script.get_mut(agent) {
        Some(queue) if queue.len() > 1 => queue.pop_front(),
        Some(queue) => queue.front().cloned(),
        None => None,
    }
    .unwrap_or_else(|| Reply::error(418, &format!("nothing is scripted for `{agent}`")))
}

/// Counts a call as given up when it is dropped before its answer.
struct Unanswered<'a>(&'a State);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.abandoned.send_modify(|count| *count += 1);
    }
}

async fn respond(reply: Reply) -> Result<Response<Body>, std::io::Error> {
    let said = |message: Value, finish: &str| {
        completion(&json!([{ "index": 0, "message": message, "finish_reason": finish }]))
    };
    Ok(match reply {
        Reply::Says(text) => said(json!({ "role": "assistant", "content": text }), "stop"),
        Reply::Refuses(text) => said(json!({ "role": "assistant", "content": null, "refusal": text }), "stop"),
        Reply::Cut(text) => said(json!({ "role": "assistant", "content": text }), "length"),
        Reply::Filtered => said(json!({ "role": "assistant", "content": null }), "content_filter"),
        Reply::NoChoices => completion(&json!([])),
        Reply::Body(bytes) => response(200, &[], full(bytes)),
        Reply::Status(status, headers, body) => response(status, &headers, full(body)),
        Reply::CutOff => {
            let start = frame(b"{\"choices\": [");
            let lost = Err(std::io::Error::other("cut off on purpose"));
            response(200, &[("content-length", "4096".to_owned())], streamed(stream::iter([start, lost])))
        }
        Reply::Drip(tick) => {
            let drops = stream::unfold((), move |()| async move {
                tokio::time::sleep(tick).await;
                Some((frame(b" "), ()))
            });
            response(200, &[], streamed(drops))
        }
        Reply::HangUp => return Err(std::io::Error::other("hangs up on purpose")),
        Reply::Stall => pending().await,
    })
}

fn completion(choices: &Value) -> Response<Body> {
    let usage = json!({ "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 });
    let body = json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "double-1", "choices": choices, "usage": usage });
    response(200, &[], full(body.to_string()))
}

fn response(status: u16, headers: &[(&str, String)], body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    for (name, value) in headers {
        response.headers_mut().insert(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    response
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

fn streamed(frames: impl stream::Stream<Item = Result<Frame<Bytes>, std::io::Error>> + Send + Sync + 'static) -> Body {
    http_body_util::BodyExt::boxed(StreamBody::new(frames))
}

#[expect(clippy::unnecessary_wraps, reason = "a stream of frames that may fail")]
fn frame(bytes: &'static [u8]) -> Result<Frame<Bytes>, std::io::Error> {
    Ok(Frame::data(Bytes::from_static(bytes)))
}
