//! What is served on the port: gRPC and gRPC-Web, `/health` for probes without gRPC, and the web UI.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method, StatusCode, Version, header};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_web::{GrpcWebLayer, GrpcWebService};
use tower::{Layer, Service, ServiceExt};
use tower_http::cors::{Cors, CorsLayer};

use super::connection_service::ConnectionService;
use super::identity::ApiKeys;
use super::knowledge_service::KnowledgeService;
use super::layers::{self, Gate};
use super::listener::{self, Limits};
use super::pages;
use super::query_service::{Drain, QueryService};
use super::workflow_service::WorkflowService;
use crate::connections::Directory;
use crate::lifecycle::Lifecycle;
use crate::pb;
use crate::pb::v1::connection_service_server::{ConnectionServiceServer, SERVICE_NAME as CONNECTIONS};
use crate::pb::v1::knowledge_service_server::{KnowledgeServiceServer, SERVICE_NAME as KNOWLEDGE};
use crate::pb::v1::query_service_server::{QueryServiceServer, SERVICE_NAME as QUERIES};
use crate::pb::v1::workflow_service_server::{SERVICE_NAME as WORKFLOWS, WorkflowServiceServer};
use crate::{knowledge, queries, workflow};

/// Largest request, and largest answer; use cases keep answers below 3.5 MiB.
const MAX_REQUEST_BYTES: usize = 2 << 20;
const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// The use cases that are served, and who may call.
pub struct Parts {
    /// Saved connections.
    pub directory: Directory,
    /// Statements.
    pub queries: queries::Service,
    /// What people know of databases.
    pub knowledge: knowledge::Service,
    /// Questions.
    pub workflows: workflow::Handle,
    /// Keys that callers must have; `None` lets everybody in as the local caller.
    pub keys: Option<ApiKeys>,
    /// Whether the store answers; health follows it.
    pub ready: watch::Receiver<bool>,
}

/// How to serve them.
#[derive(Debug, Clone)]
pub struct Options {
    /// Origins whose pages may call; none by default.
    pub cors_origins: Vec<HeaderValue>,
    /// Silence after which a watch sends a heartbeat.
    pub heartbeat: Duration,
    /// Whether the listener is on loopback: then the `Host` header is checked and reflection is open.
    pub loopback: bool,
    /// Longest a workflow may take; what a call asks beyond it is lowered.
    pub workflow_timeout: Duration,
    /// Streams of events at the same time.
    pub max_watchers: usize,
    /// Limits of connections.
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cors_origins: Vec::new(),
            heartbeat: Duration::from_secs(15),
            loopback: true,
            workflow_timeout: Duration::from_mins(5),
            max_watchers: 10_000,
            limits: Limits::default(),
        }
    }
}

/// Serves on the listener until the lifecycle's soft token; open watches then end with DRAINING, other calls may
/// finish.
pub async fn serve(listener: TcpListener, parts: Parts, options: Options, lifecycle: &Lifecycle) -> io::Result<()> {
    let limits = options.limits;
    let front = front(parts, options, lifecycle)?;
    listener::run(listener, front, limits, lifecycle).await
}

fn front(parts: Parts, options: Options, lifecycle: &Lifecycle) -> io::Result<Front> {
    let Parts { directory, queries, knowledge, workflows, keys, ready } = parts;
    let gate = Arc::new(Gate::new(keys, options.loopback));
    let health = HealthReporter::new();
    let health_service = tonic_health::server::HealthService::from_health_reporter(health.clone());
    lifecycle.tasks.spawn(follow_readiness(health, ready.clone(), lifecycle.clone()));

    macro_rules! limited {
        ($server:ident, $service:expr) => {
            $server::new($service)
                .accept_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size(MAX_REQUEST_BYTES)
                .max_encoding_message_size(MAX_RESPONSE_BYTES)
        };
    }
    let drain = Drain::new(lifecycle.soft.clone(), options.limits.drain);
    let routes = Routes::new(limited!(ConnectionServiceServer, ConnectionService::new(directory, workflows.clone())))
        .add_service(limited!(KnowledgeServiceServer, KnowledgeService::new(knowledge, workflows.clone())))
        .add_service(limited!(QueryServiceServer, QueryService::new(queries, workflows.clone(), drain)))
        .add_service(limited!(WorkflowServiceServer, WorkflowService::new(workflows, &options, lifecycle.clone())))
        .add_service(tonic_health::pb::health_server::HealthServer::new(health_service))
        .add_service(reflection().build_v1().map_err(io::Error::other)?)
        .add_service(reflection().build_v1alpha().map_err(io::Error::other)?);
    let calls = Calls { gate, services: routes.into_axum_router().fallback(layers::no_such_service) };
    // Refusals are made inside gRPC-Web, so that it can translate them.
    let browser_calls = cors(options.cors_origins).layer(GrpcWebLayer::new().layer(calls.clone()));
    let pages =
        pages::router().route("/health", routing::get(health_json).with_state(ready)).fallback(pages::no_such_page);
    Ok(Front(Arc::new(Served { calls, browser_calls, pages })))
}

/// What is in front of everything that is served. It is cloned for every request, but of what is behind it only the part
/// that answers.
#[derive(Clone)]
struct Front(Arc<Served>);

struct Served {
    calls: Calls,
    browser_calls: Cors<GrpcWebService<Calls>>,
    pages: Router,
}

impl Front {
    async fn answer(self, request: Request) -> Response {
        let Served { calls, browser_calls, pages } = &*self.0;
        if layers::is_rebound(&calls.gate, &request) {
            return (StatusCode::FORBIDDEN, "This server answers to the name localhost only.\n").into_response();
        }
        match Kind::of(&request) {
            Kind::Call => calls.clone().answer(request).await,
            Kind::BrowserCall => infallible(browser_calls.clone().oneshot(request).await).map(Body::new),
            Kind::Page => infallible(pages.clone().oneshot(request).await),
        }
    }
}

impl Service<http::Request<Incoming>> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Incoming>) -> Self::Future {
        self.clone().answer(request.map(Body::new)).map(Ok).boxed()
    }
}

/// What a request is for.
enum Kind {
    /// gRPC as every client but a browser speaks it.
    Call,
    /// gRPC in any form, from a page perhaps, and the questions that browsers ask before it.
    BrowserCall,
    /// Anything else.
    Page,
}

impl Kind {
    fn of(request: &Request) -> Self {
        let headers = request.headers();
        let content_type = headers.get(header::CONTENT_TYPE).map_or(&[][..], HeaderValue::as_bytes);
        match content_type.strip_prefix(b"application/grpc") {
            Some(rest) if !rest.starts_with(b"-web") && request.version() == Version::HTTP_2 => {
                if headers.contains_key(header::ORIGIN) { Self::BrowserCall } else { Self::Call }
            }
            Some(_) => Self::BrowserCall,
            None if request.method() == Method::OPTIONS => Self::BrowserCall,
            None => Self::Page,
        }
    }
}

/// The services, and what surrounds every call to them.
#[derive(Clone)]
struct Calls {
    gate: Arc<Gate>,
    services: Router,
}

impl Calls {
    async fn answer(self, request: Request) -> Response {
        layers::answer(&self.gate, self.services, request).await
    }
}

impl Service<http::Request<tonic::body::Body>> for Calls {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        self.clone().answer(request.map(Body::new)).map(Ok).boxed()
    }
}

fn infallible<T>(result: Result<T, Infallible>) -> T {
    let Ok(value) = result;
    value
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // The details of errors: clients that know Pulse by reflection only can read those as well.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

/// Pages of these origins may call and read the statuses; nobody else's may.
fn cors(origins: Vec<HeaderValue>) -> CorsLayer {
    let names = |names: &'static [&'static str]| names.iter().copied().map(HeaderName::from_static).collect::<Vec<_>>();
    CorsLayer::new()
        .allow_origin(origins)
        .allow_methods([Method::POST])
        .allow_headers(names(&[
            "authorization",
            "content-type",
            "grpc-timeout",
            "x-grpc-web",
            "x-request-id",
            "x-user-agent",
        ]))
        .expose_headers(names(&["grpc-status", "grpc-message", "grpc-status-details-bin", "x-request-id"]))
        .max_age(Duration::from_hours(1))
}

/// `""` tells that the process runs, our services that they can work: the store answers and the server is not stopping.
async fn follow_readiness(health: HealthReporter, mut ready: watch::Receiver<bool>, lifecycle: Lifecycle) {
    loop {
        let serving = *ready.borrow_and_update() && !lifecycle.soft.is_cancelled();
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in [CONNECTIONS, KNOWLEDGE, QUERIES, WORKFLOWS] {
            health.set_service_status(service, status).await;
        }
        if lifecycle.soft.is_cancelled() {
            return;
        }
        tokio::select! {
            () = lifecycle.soft.cancelled() => {}
            changed = ready.changed() => if changed.is_err() {
                // Nobody watches the store any more: the last word stands until the server stops.
                lifecycle.soft.cancelled().await;
            },
        }
    }
}

/// Readiness for probes that speak plain HTTP: 200 when ready, else 503.
async fn health_json(State(ready): State<watch::Receiver<bool>>) -> Response {
    let ready = *ready.borrow();
    let (code, status) =
        if ready { (StatusCode::OK, "SERVING") } else { (StatusCode::SERVICE_UNAVAILABLE, "NOT_SERVING") };
    let body = serde_json::json!({ "status": status, "ready": ready, "version": env!("CARGO_PKG_VERSION") });
    (code, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
