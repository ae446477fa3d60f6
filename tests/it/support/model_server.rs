//! A language model that says what a test tells it to, over real HTTP: the chat-completions API on a free local port.
//!
//! Replies are scripted per agent, which the request names by its JSON schema (`planner`, `mapper`, `composer`).
//! Each agent has a queue; its last reply is given again and again. A request for several agents at once
//! (`planner-mapper-composer`) is answered by one object that holds the reply of each, and streamed so that one agent
//! can be late or fail after the others were heard.

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
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

/// Longest any wait in here takes before the test fails.
const PATIENCE: Duration = Duration::from_mins(2);

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
    /// An answer that begins with this, and then the connection ends.
    BreaksOff(String),
    /// An answer that begins with this, and then nothing more.
    FallsSilent(String),
    /// An answer that begins with this, and then an error of the endpoint.
    Fails(String),
    /// An answer that begins with this and goes on with one space a tick, for ever.
    Dawdles(String, Duration),
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
    /// Which agent asked; several have `-` between them.
    pub agent: String,
    /// Path of the request.
    pub path: String,
    /// What follows `?`.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
    /// When it arrived.
    pub time: std::time::SystemTime,
}

impl Recorded {
    /// Every agent that asked.
    pub fn agents(&self) -> impl Iterator<Item = &str> {
        self.agent.split('-')
    }

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
    /// Agents that have a script of their own where they are told these words, as the key of that script.
    told: Mutex<Vec<(String, String)>>,
    /// How long every answer takes, and each further part of one.
    delay: Mutex<Duration>,
    /// What the endpoint does not take: a place in the body, and what it says to a request that has something there.
    refused: Mutex<Vec<(&'static str, Reply)>>,
    habits: Mutex<Habits>,
}

/// How an endpoint behaves that differs from others.
#[derive(Debug, Clone, Copy)]
pub struct Habits {
    /// Sends answers in pieces when asked to.
    pub streams: bool,
    /// Says how many tokens an answer took.
    pub counts: bool,
    /// Calls the function that it is offered.
    pub calls_tools: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self { streams: true, counts: true, calls_tools: true }
    }
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
            told: Mutex::default(),
            delay: Mutex::default(),
            refused: Mutex::default(),
            habits: Mutex::default(),
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

    /// Adds a reply for an agent that is asked alone and told these words; returns the name of that script, for
    /// [`Self::release`].
    pub fn on_told(&self, agent: &str, words: &str, reply: Reply) -> String {
        let script = scripted(agent, words);
        let told = (agent.to_owned(), words.to_owned());
        let mut known = self.state.told.lock().unwrap();
        if !known.contains(&told) {
            known.push(told);
        }
        self.on(&script, reply);
        script
    }

    /// Leaves an agent without an answer until [`Self::release`].
    pub fn stall(&self, agent: &str) -> &Self {
        self.on(agent, Reply::Stall)
    }

    /// Gives every stalled call of an agent, now and later, the reply scripted after the stall.
    pub fn release(&self, agent: &str) {
        self.state.released.send_modify(|agents| agents.push(agent.to_owned()));
    }

    /// From now on a request that has something at this place of its body (a JSON pointer) is refused with these words.
    pub fn refuse(&self, place: &'static str, message: &str) -> &Self {
        self.refuse_with(place, Reply::error(400, message))
    }

    /// From now on a request that has something at this place of its body (a JSON pointer) gets this reply.
    pub fn refuse_with(&self, place: &'static str, reply: Reply) -> &Self {
        self.state.refused.lock().unwrap().push((place, reply));
        self
    }

    /// From now on nothing is refused any more.
    pub fn accept_all(&self) -> &Self {
        self.state.refused.lock().unwrap().clear();
        self
    }

    /// From now on the endpoint has these habits.
    pub fn habits(&self, habits: Habits) -> &Self {
        *self.state.habits.lock().unwrap() = habits;
        self
    }

    /// From now on every answer takes so long, and each further part of one as well.
    pub fn delay(&self, delay: Duration) {
        *self.state.delay.lock().unwrap() = delay;
    }

    /// Every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Recorded> {
        self.state.requests.borrow().clone()
    }

    /// Requests of one agent, alone or with others.
    pub fn requests_of(&self, agent: &str) -> Vec<Recorded> {
        self.requests().into_iter().filter(|request| request.agents().any(|one| one == agent)).collect()
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
        // Pieces of an answer leave at once, as those of a real endpoint do.
        let _ = stream.set_nodelay(true);
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
    if parts.uri.path().ends_with("/models") {
        let models = json!({ "object": "list", "data": [{ "id": "double-1" }, { "id": "double-2" }] });
        return Ok(response(200, &[], full(models.to_string())));
    }
    let agent = agent_of(&body);
    let habits = *state.habits.lock().unwrap();
    let messages = body["messages"].to_string();
    let told = state.told.lock().unwrap().clone();
    let told = told.into_iter().find(|(one, words)| *one == agent && messages.contains(words.as_str()));
    let agents = match told {
        Some((one, words)) => vec![scripted(&one, &words)],
        None => agent.split('-').map(str::to_owned).collect(),
    };
    let form = Form {
        name: agent.clone(),
        agents,
        streamed: habits.streams && body["stream"] == true,
        counted: habits.counts && (body["stream"] != true || body["stream_options"]["include_usage"] == true),
        tool: habits.calls_tools && body.get("tools").is_some(),
    };
    let refused = state.refused.lock().unwrap().clone();
    let refused =
        refused.into_iter().find(|(place, _)| body.pointer(place).is_some_and(|found| *found != json!(false)));
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default().to_owned());
    let time = std::time::SystemTime::now();
    let recorded = Recorded { agent, path, query, headers: parts.headers, body, time };
    state.requests.send_modify(|requests| requests.push(recorded));
    if let Some((_, reply)) = refused {
        return respond(&form, reply).await;
    }
    let delay = *state.delay.lock().unwrap();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let first = reply(&state, &form.agents[0]).await;
    match first {
        Reply::Says(_)
        | Reply::Refuses(_)
        | Reply::Cut(_)
        | Reply::Filtered
        | Reply::NoChoices
        | Reply::BreaksOff(_)
        | Reply::FallsSilent(_)
        | Reply::Fails(_)
        | Reply::Dawdles(..)
            if form.streamed =>
        {
            let (events, body) = mpsc::channel(1);
            tokio::spawn(stream_answer(state, form, first, Events(events)));
            let headers = [("content-type", "text/event-stream; charset=utf-8".to_owned())];
            Ok(response(200, &headers, streamed(ReceiverStream::new(body))))
        }
        Reply::Says(text) => {
            let mut whole = form.opening(0) + &text;
            for place in 1..form.agents.len() {
                match reply(&state, &form.agents[place]).await {
                    Reply::Says(text) => whole += &(form.opening(place) + &text),
                    Reply::Cut(text) => return respond(&form, Reply::Cut(whole + &form.opening(place) + &text)).await,
                    other => return respond(&form, other).await,
                }
            }
            respond(&form, Reply::Says(whole + form.closing())).await
        }
        other => respond(&form, other).await,
    }
}

/// The name of the script of an agent that is told these words.
fn scripted(agent: &str, words: &str) -> String {
    format!("{agent} told {words}")
}

/// What an answer has to look like.
struct Form {
    name: String,
    agents: Vec<String>,
    streamed: bool,
    counted: bool,
    /// As the arguments of the function that was offered.
    tool: bool,
}

impl Form {
    /// What stands before the part of an agent.
    fn opening(&self, place: usize) -> String {
        if self.agents.len() == 1 {
            return String::new();
        }
        format!("{}\"{}\":", if place == 0 { "{" } else { "," }, self.agents[place])
    }

    fn closing(&self) -> &'static str {
        if self.agents.len() == 1 { "" } else { "}" }
    }

    fn said(&self, text: &str) -> Value {
        if self.tool {
            let function = json!({ "name": self.name, "arguments": text });
            json!({ "tool_calls": [{ "index": 0, "id": "t", "type": "function", "function": function }] })
        } else {
            json!({ "content": text })
        }
    }
}

/// The reply of an agent in the middle of a stream: the one that is known, or the next one, which takes its time.
async fn late_reply(state: &State, agent: &str, known: Option<Reply>) -> Reply {
    if let Some(reply) = known {
        return reply;
    }
    let delay = *state.delay.lock().unwrap();
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    reply(state, agent).await
}

/// The next reply of an agent, after its stall where it has one.
async fn reply(state: &State, agent: &str) -> Reply {
    match next_reply(state, agent) {
        Reply::Stall => {
            let unanswered = Unanswered(state);
            let mut released = state.released.subscribe();
            let _ = released.wait_for(|agents| agents.iter().any(|one| one == agent)).await;
            std::mem::forget(unanswered);
            next_reply(state, agent)
        }
        reply => reply,
    }
}

/// The body of a streamed answer.
struct Events(mpsc::Sender<Result<Frame<Bytes>, std::io::Error>>);

impl Events {
    async fn send(&self, data: &str) {
        let _ = self.0.send(Ok(Frame::data(Bytes::from(format!("data: {data}\n\n"))))).await;
    }

    async fn piece(&self, delta: &Value, finish: Option<&str>) {
        let choices = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        self.send(&json!({ "id": "c", "model": "double-1", "choices": choices }).to_string()).await;
    }

    /// Text in small pieces.
    async fn text(&self, form: &Form, text: &str) {
        let letters: Vec<char> = text.chars().collect();
        for piece in letters.chunks(12.max(letters.len() / 100)) {
            self.piece(&form.said(&piece.iter().collect::<String>()), None).await;
        }
    }
}

async fn stream_answer(state: Arc<State>, form: Form, first: Reply, events: Events) {
    let mut first = Some(first);
    if !matches!(first, Some(Reply::NoChoices)) {
        events.piece(&json!({ "role": "assistant", "content": "" }), None).await;
    }
    let mut finish = "stop";
    for place in 0..form.agents.len() {
        let late = late_reply(&state, &form.agents[place], first.take());
        let reply = tokio::select! { reply = late => reply, () = events.0.closed() => return };
        let opening = form.opening(place);
        match reply {
            Reply::Says(text) => {
                events.text(&form, &(opening + &text)).await;
                continue;
            }
            Reply::Refuses(text) => events.piece(&json!({ "refusal": text }), None).await,
            Reply::Cut(text) => {
                events.text(&form, &(opening + &text)).await;
                finish = "length";
            }
            Reply::Filtered => finish = "content_filter",
            Reply::NoChoices => return events.send("[DONE]").await,
            Reply::FallsSilent(text) => {
                events.text(&form, &(opening + &text)).await;
                let _unanswered = Unanswered(&state);
                return events.0.closed().await;
            }
            Reply::Fails(text) => {
                events.text(&form, &(opening + &text)).await;
                return events.send(&json!({ "error": { "message": "out of memory", "code": 500 } }).to_string()).await;
            }
            Reply::Dawdles(text, tick) => {
                events.text(&form, &(opening + &text)).await;
                while !events.0.is_closed() {
                    tokio::time::sleep(tick).await;
                    events.text(&form, " ").await;
                }
                return;
            }
            Reply::BreaksOff(text) => {
                events.text(&form, &(opening + &text)).await;
                let _ = events.0.send(Err(std::io::Error::other("breaks off on purpose"))).await;
                return;
            }
            other => panic!("{other:?} cannot stand in the middle of a stream"),
        }
        events.piece(&json!({}), Some(finish)).await;
        return end(&form, &events).await;
    }
    events.text(&form, form.closing()).await;
    events.piece(&json!({}), Some(finish)).await;
    end(&form, &events).await;
}

async fn end(form: &Form, events: &Events) {
    if form.counted {
        events.send(&json!({ "id": "c", "model": "double-1", "choices": [], "usage": usage() }).to_string()).await;
    }
    events.send("[DONE]").await;
}

fn usage() -> Value {
    json!({ "prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110 })
}

fn agent_of(body: &Value) -> String {
    let named = [&body["response_format"]["json_schema"]["name"], &body["tools"][0]["function"]["name"]];
    if let Some(name) = named.into_iter().find_map(Value::as_str) {
        return name.to_owned();
    }
    let messages = body["messages"].as_array().into_iter().flatten();
    let words = messages.filter_map(|message| message["content"].as_str()).next_back().unwrap_or_default();
    let name = words.rsplit("named ").next().and_then(|rest| rest.split([':', ' ']).next());
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

async fn respond(form: &Form, reply: Reply) -> Result<Response<Body>, std::io::Error> {
    let said = |message: Value, finish: &str| {
        completion(form, &json!([{ "index": 0, "message": message, "finish_reason": finish }]))
    };
    Ok(match reply {
        Reply::Says(text) => said(form.said(&text), "stop"),
        Reply::Refuses(text) => said(json!({ "role": "assistant", "content": null, "refusal": text }), "stop"),
        Reply::Cut(text) => said(form.said(&text), "length"),
        Reply::Filtered => said(json!({ "role": "assistant", "content": null }), "content_filter"),
        Reply::NoChoices => completion(form, &json!([])),
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
        Reply::HangUp | Reply::BreaksOff(_) | Reply::Fails(_) | Reply::Dawdles(..) => {
            return Err(std::io::Error::other("hangs up on purpose"));
        }
        Reply::Stall | Reply::FallsSilent(_) => pending().await,
    })
}

fn completion(form: &Form, choices: &Value) -> Response<Body> {
    let mut body =
        json!({ "id": "c", "object": "chat.completion", "created": 1, "model": "double-1", "choices": choices });
    if form.counted {
        body["usage"] = usage();
    }
    response(200, &[], full(body.to_string()))
}

fn response(status: u16, headers: &[(&str, String)], body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    // The caller's headers win.
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
