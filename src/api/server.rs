//! What is served on the port: gRPC and gRPC-Web, `/health` for probes without gRPC, and a page for people.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::codec::CompressionEncoding;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_web::GrpcWebLayer;
use tower::ServiceExt;
use tower_http::cors::CorsLayer;

use super::connection_service::ConnectionService;
use super::identity::ApiKeys;
use super::layers::{self, Gate};
use super::listener::{self, Limits};
use super::query_service::{Drain, QueryService};
use super::workflow_service::WorkflowService;
use crate::connections::Directory;
use crate::lifecycle::Lifecycle;
use crate::pb;
use crate::pb::v1::connection_service_server::{ConnectionServiceServer, SERVICE_NAME as CONNECTIONS};
use crate::pb::v1::query_service_server::{QueryServiceServer, SERVICE_NAME as QUERIES};
use crate::pb::v1::workflow_service_server::{SERVICE_NAME as WORKFLOWS, WorkflowServiceServer};
use crate::{queries, workflow};

/// Largest request, and largest answer; use cases keep answers below 3.5 MiB.
const MAX_REQUEST_BYTES: usize = 2 << 20;
const MAX_RESPONSE_BYTES: usize = 4 << 20;

/// The use cases that are served, and who may call.
pub struct Parts {
    /// Saved connections.
    pub directory: Directory,
    /// Statements.
    pub queries: queries::Service,
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
            max_watchers: 1_000,
            limits: Limits::default(),
        }
    }
}

/// Serves on the listener until the lifecycle's soft token; open watches then end with DRAINING, other calls may
/// finish.
pub async fn serve(listener: TcpListener, parts: Parts, options: Options, lifecycle: &Lifecycle) -> io::Result<()> {
    let limits = options.limits;
    let router = router(parts, options, lifecycle)?;
    listener::run(listener, router, limits, lifecycle).await
}

/// Everything that is served, as one router.
pub fn router(parts: Parts, options: Options, lifecycle: &Lifecycle) -> io::Result<Router> {
    let Parts { directory, queries, workflows, keys, ready } = parts;
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
        .add_service(limited!(QueryServiceServer, QueryService::new(queries, workflows.clone(), drain)))
        .add_service(limited!(WorkflowServiceServer, WorkflowService::new(workflows, &options, lifecycle.clone())))
        .add_service(tonic_health::pb::health_server::HealthServer::new(health_service))
        .add_service(reflection().build_v1().map_err(io::Error::other)?)
        .add_service(reflection().build_v1alpha().map_err(io::Error::other)?);
    // The last layer is the outermost. Refusals are made inside gRPC-Web, so that it can translate them.
    let grpc = routes
        .into_axum_router()
        .fallback(layers::no_such_service)
        .layer(from_fn(layers::complete))
        .layer(from_fn_with_state(gate.clone(), layers::bound))
        .layer(from_fn_with_state(gate.clone(), layers::authenticate))
        .layer(from_fn(layers::identify))
        .layer(GrpcWebLayer::new())
        .layer(cors(options.cors_origins));

    Ok(Router::new()
        .route("/", routing::get(page))
        .route("/health", routing::get(health_json).with_state(ready))
        .fallback(move |request: Request| grpc_or_nothing(grpc, request))
        .layer(from_fn_with_state(gate, layers::check_host)))
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
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

/// gRPC in any form, and the questions that browsers ask before it, go to the services; there is nothing else.
async fn grpc_or_nothing(grpc: Router, request: Request) -> Response {
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if request.method() == Method::OPTIONS || content_type.is_some_and(|kind| kind.starts_with("application/grpc")) {
        // A router has no errors of its own.
        let Ok(response) = grpc.oneshot(request).await;
        return response;
    }
    (StatusCode::NOT_FOUND, "There is no such page. Pulse answers gRPC, /health and /.\n").into_response()
}

/// `""` tells that the process runs, our services that they can work: the store answers and the server is not stopping.
async fn follow_readiness(health: HealthReporter, mut ready: watch::Receiver<bool>, lifecycle: Lifecycle) {
    loop {
        let serving = *ready.borrow_and_update() && !lifecycle.soft.is_cancelled();
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in [CONNECTIONS, QUERIES, WORKFLOWS] {
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

async fn page() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'self'"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, include_str!("page.html")).into_response()
}
