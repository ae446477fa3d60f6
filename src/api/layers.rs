//! What surrounds every RPC: request id, caller, admission, deadline, and complete error details.
//!
//! One function around the services, not a stack of middleware: each of those would copy the stack below it and put its
//! future on the heap, for every call.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, header};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Code, Status};
use tower::ServiceExt;
use tracing::Instrument;

use super::identity::{self, ApiKeys};
use super::status;
use crate::domain::{Clock, Failure, Reason, SystemClock};

/// Names a call in answers and log lines; kept when the caller sends one.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// RPCs of ours whose answer is a stream: they have no deadline of the server's and are counted by themselves.
const STREAMING: &[&str] = &[
    "/pulse.v1.QueryService/StreamQuery",
    "/pulse.v1.WorkflowService/RunWorkflow",
    "/pulse.v1.WorkflowService/WatchWorkflow",
];
/// Works however busy the server is: it frees room.
const ALWAYS_ADMITTED: &str = "/pulse.v1.WorkflowService/CancelWorkflow";

/// Deadline of a unary call that names none, and the longest that it may name.
const DEFAULT_DEADLINE: Duration = Duration::from_mins(1);
const MAX_DEADLINE: Duration = Duration::from_mins(10);

/// Calls that run, and calls that wait for one of them to end; more are refused at once.
const MAX_RUNNING: usize = 256;
const MAX_WAITING: usize = 64;

/// A server without keys is for its own machine, also behind a proxy.
const FORWARDED: &str = "this server has no API keys and answers callers on its own machine only, but a proxy forwards this \
                         call from another one; set PULSE_API_KEYS_FILE";

tokio::task_local! {
    static CURRENT_REQUEST_ID: String;
}

/// What decides about calls, beside the calls themselves.
pub(super) struct Gate {
    /// Keys that callers must have; `None` lets everybody in as the local caller.
    pub(super) keys: Option<ApiKeys>,
    /// Whether the server listens on loopback only.
    pub(super) loopback: bool,
    admission: Admission,
}

impl Gate {
    pub(super) fn new(keys: Option<ApiKeys>, loopback: bool) -> Self {
        Self { keys, loopback, admission: Admission::new(MAX_RUNNING, MAX_WAITING) }
    }
}

/// The id of the call that this task serves; empty outside of one.
pub(super) fn current_request_id() -> String {
    CURRENT_REQUEST_ID.try_with(Clone::clone).unwrap_or_default()
}

/// The answer to one call: with an id in its span and in the answer, if the caller may make it and within its bounds.
pub(super) async fn answer(gate: &Gate, services: Router, request: Request) -> Response {
    let id = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_request_id(id));
    let id = id.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned);
    let span = tracing::info_span!("rpc", path = request.uri().path(), request_id = id);
    let value = HeaderValue::from_str(&id);
    let begin = Instant::now();
    let answer = CURRENT_REQUEST_ID.scope(id, admitted(gate, services, request));
    let mut response = answer.instrument(span.clone()).await;
    span.in_scope(|| tracing::debug!(elapsed = ?begin.elapsed(), status = ?grpc_status(&response), "answered"));
    if let Ok(value) = value {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn is_request_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

/// Puts the caller into the request's extensions, or refuses it.
///
/// Health answers anybody: probes have no keys. Reflection answers anybody on loopback.
async fn admitted(gate: &Gate, services: Router, mut request: Request) -> Response {
    if is_forwarded(gate, request.headers()) {
        return refuse(Failure::new(Reason::Unauthenticated, FORWARDED));
    }
    let path = request.uri().path();
    let open = path.starts_with("/grpc.health.") || (gate.loopback && path.starts_with("/grpc.reflection."));
    if !open {
        let header = request.headers().get(header::AUTHORIZATION);
        match identity::authenticate(gate.keys.as_ref(), header, SystemClock.now()) {
            Ok(who) => request.extensions_mut().insert(who),
            Err(failure) => return refuse(failure),
        };
    }
    bounded(gate, services, request).await.unwrap_or_else(refuse)
}

/// Bounds unary calls of ours in number and in time.
async fn bounded(gate: &Gate, services: Router, request: Request) -> Result<Response, Failure> {
    let path = request.uri().path();
    if !path.starts_with("/pulse.") || STREAMING.contains(&path) {
        return Ok(served(services, request).await);
    }
    let deadline = deadline(request.headers())?;
    let exempt = path == ALWAYS_ADMITTED;
    let answer = async {
        let permit = if exempt { None } else { Some(gate.admission.admit().await?) };
        let response = served(services, request).await;
        drop(permit);
        Ok(response)
    };
    within(deadline, answer).await
}

async fn within<T>(deadline: Duration, answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(deadline, answer).await.unwrap_or_else(|_| {
        let seconds = deadline.as_secs_f64();
        let failure = Failure::new(Reason::DeadlineExceeded, format!("the call was not done within {seconds} s"));
        Err(failure.with("timeout_seconds", seconds))
    })
}

/// How long a unary call may take: what `grpc-timeout` says, else the default.
fn deadline(headers: &HeaderMap) -> Result<Duration, Failure> {
    Ok(stated_deadline(headers)?.unwrap_or(DEFAULT_DEADLINE).min(MAX_DEADLINE))
}

/// What `grpc-timeout` says: at most 8 digits and a unit.
pub(super) fn stated_deadline(headers: &HeaderMap) -> Result<Option<Duration>, Failure> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let asked = value.to_str().ok().and_then(grpc_timeout);
    let asked =
        asked.ok_or_else(|| Failure::field("grpc-timeout", "must be 1 to 8 digits and a unit of H M S m u n"))?;
    Ok(Some(asked))
}

fn grpc_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if !(1..=8).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3_600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// Runs so many calls, lets so many wait, and refuses the rest at once.
#[derive(Clone)]
struct Admission {
    running: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    maximum: usize,
}

impl Admission {
    fn new(running: usize, waiting: usize) -> Self {
        Self {
            running: Arc::new(Semaphore::new(running)),
            waiting: Arc::new(Semaphore::new(waiting)),
            maximum: running,
        }
    }

    async fn admit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        if let Ok(permit) = self.running.clone().try_acquire_owned() {
            return Ok(permit);
        }
        let _place = self.waiting.try_acquire().map_err(|_| overloaded("running_calls", self.maximum))?;
        let permit = self.running.clone().acquire_owned().await;
        permit.map_err(|_| overloaded("running_calls", self.maximum))
    }
}

/// Too much at once; the wait differs from caller to caller, so that they do not all come back together.
pub(super) fn overloaded(limit: &str, maximum: usize) -> Failure {
    let jitter = uuid::Uuid::now_v7().as_bytes()[15];
    let wait = Duration::from_millis(500 + 4 * u64::from(jitter));
    let message = format!("the server has as many {} as it admits; try again", limit.replace('_', " "));
    Failure::new(Reason::Overloaded, message).with("limit", limit).with("maximum", maximum).retry_after(wait)
}

/// What the services answer. Refusals that the gRPC library makes by itself get the same details as ours.
async fn served(services: Router, request: Request) -> Response {
    let uri = request.uri().clone();
    // A router has no errors of its own.
    let Ok(response) = services.oneshot(request).await;
    let bare = Status::from_header_map(response.headers()).filter(|status| status.details().is_empty());
    match bare {
        Some(refusal) => completed(&refusal, &uri, response),
        None => response,
    }
}

fn completed(refusal: &Status, uri: &Uri, response: Response) -> Response {
    let ours = uri.path().starts_with("/pulse.");
    match refusal.code() {
        // Told apart by the header that lists what is understood.
        Code::Unimplemented if response.headers().contains_key("grpc-accept-encoding") => {
            refuse(status::not_implemented("request compression other than gzip"))
        }
        Code::Unimplemented => refuse(unknown_method(uri.path())),
        // Larger than a request may be, as sent or once decompressed.
        Code::OutOfRange | Code::ResourceExhausted if ours => refuse(Failure::field("request", refusal.message())),
        Code::Internal if ours => {
            tracing::info!(cause = refusal.message(), "request cannot be read");
            refuse(Failure::field("request", "the message cannot be decoded"))
        }
        _ => response,
    }
}

fn unknown_method(path: &str) -> Failure {
    let message = format!("there is no RPC {path}; `grpcurl ADDRESS list` names those that are");
    Failure::new(Reason::MethodUnknown, message).with("path", path)
}

/// The answer to a gRPC call whose service is not here.
pub(super) async fn no_such_service(request: Request) -> Response {
    refuse(unknown_method(request.uri().path()))
}

/// Whether this is what a page that rebinds its name to loopback would send: HTTP/1.1 with a foreign `Host`.
pub(super) fn is_rebound(gate: &Gate, request: &Request) -> bool {
    let suspect = gate.loopback && request.version() < Version::HTTP_2;
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    suspect && !host.is_some_and(names_loopback)
}

/// Whether a proxy in front of a server without keys lets in callers from elsewhere (`x-forwarded-for`).
fn is_forwarded(gate: &Gate, headers: &HeaderMap) -> bool {
    let elsewhere = |value: &HeaderValue| {
        let mut callers = value.to_str().unwrap_or("unreadable").split(',').map(str::trim);
        callers.any(|caller| !caller.is_empty() && !caller.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()))
    };
    gate.loopback && gate.keys.is_none() && headers.get_all("x-forwarded-for").iter().any(elsewhere)
}

fn names_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let address = name.parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

fn refuse(failure: Failure) -> Response {
    Status::from(failure).into_http()
}

fn grpc_status(response: &Response) -> Option<Code> {
    Status::from_header_map(response.headers()).map(|status| status.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_grpc_writes_them() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_hours(99_999_999))),
            ("7u", Some(Duration::from_micros(7))),
            ("", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("123456789S", None),
            ("1s", None),
            ("1é", None),
        ] {
            assert_eq!(grpc_timeout(text), expected, "{text}");
        }
        let headers =
            |text: &str| HeaderMap::from_iter([(HeaderName::from_static("grpc-timeout"), text.parse().unwrap())]);
        assert_eq!(deadline(&HeaderMap::new()), Ok(DEFAULT_DEADLINE));
        assert_eq!(deadline(&headers("2H")), Ok(MAX_DEADLINE));
        assert_eq!(deadline(&headers("soon")).unwrap_err().reason, Reason::FieldInvalid);
    }

    #[test]
    fn only_loopback_names_pass_the_host_check() {
        for host in ["localhost", "LOCALHOST:50051", "127.0.0.1", "127.8.9.1:80", "[::1]:50051", "[::1]"] {
            assert!(names_loopback(host), "{host}");
        }
        for host in ["", "example.org", "localhost.example.org:50051", "10.0.0.1:80", "127.0.0.1.nip.io", "[::2]:1"] {
            assert!(!names_loopback(host), "{host}");
        }
    }

    #[test]
    fn streaming_rpcs_are_those_of_the_contract() {
        use prost::Message;
        let set = prost_types::FileDescriptorSet::decode(crate::pb::FILE_DESCRIPTOR_SET).unwrap();
        let mut found = Vec::new();
        for file in set.file.iter().filter(|file| file.package() == "pulse.v1") {
            for service in &file.service {
                let streaming = service.method.iter().filter(|method| method.server_streaming());
                found.extend(streaming.map(|method| format!("/pulse.v1.{}/{}", service.name(), method.name())));
            }
        }
        found.sort();
        assert_eq!(found, STREAMING);
    }

    #[tokio::test]
    async fn calls_beyond_the_queue_are_refused_with_a_wait() {
        let admission = Admission::new(1, 1);
        let first = admission.admit().await.unwrap();
        let second = tokio::spawn({
            let admission = admission.clone();
            async move { admission.admit().await.map(drop) }
        });
        while admission.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let refused = admission.admit().await.unwrap_err();
        assert_eq!(refused.reason, Reason::Overloaded);
        assert!(refused.retry_after.is_some());
        drop(first);
        second.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_call_over_its_deadline_says_how_long_it_had() {
        let failure = within(Duration::ZERO, std::future::pending::<Result<(), Failure>>()).await.unwrap_err();
        assert_eq!((failure.reason, failure.metadata["timeout_seconds"].as_str()), (Reason::DeadlineExceeded, "0"));
    }
}
