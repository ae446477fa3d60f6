//! The accept loop: HTTP/1.1 and HTTP/2 without TLS on one port, with a limit on everything.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::corked::Corked;
use crate::lifecycle::Lifecycle;

/// Limits of connections and of HTTP/2 on each.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Open connections; more wait in the listen queue of the system.
    pub connections: usize,
    /// Time from connecting to the first byte, and to the whole head of an HTTP/1.1 request.
    pub handshake: Duration,
    /// Streams at the same time on one connection.
    pub streams: u32,
    /// Bytes of all header fields of a request.
    pub header_list_bytes: u32,
    /// Streams that a client opened and reset before they were handled (CVE-2023-44487).
    pub pending_resets: usize,
    /// Streams reset for errors of the client's.
    pub error_resets: usize,
    /// Receive window of a stream.
    pub stream_window_bytes: u32,
    /// Receive window of a connection.
    pub connection_window_bytes: u32,
    /// Bytes written ahead of the client's reading, per stream.
    pub send_buffer_bytes: usize,
    /// Silence after which a ping is sent, and how long its answer may take.
    pub keepalive: (Duration, Duration),
    /// How long calls may take to end once the server stops.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 1_000,
            handshake: Duration::from_secs(10),
            streams: 100,
            header_list_bytes: 16 << 10,
            pending_resets: 20,
            error_resets: 256,
            stream_window_bytes: 64 << 10,
            connection_window_bytes: 1 << 20,
            send_buffer_bytes: 256 << 10,
            keepalive: (Duration::from_secs(20), Duration::from_secs(10)),
            drain: Lifecycle::GRACE,
        }
    }
}

/// What answers requests; it is cloned for each.
pub(super) trait Serves:
    Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Serves for S where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// Serves connections until the soft token, then waits for those that are open, at most for the drain time or until
/// the hard token.
pub(super) async fn run<S: Serves>(
    listener: TcpListener,
    service: S,
    limits: Limits,
    lifecycle: &Lifecycle,
) -> io::Result<()> {
    let builder = Arc::new(builder(&limits));
    let slots = Arc::new(Semaphore::new(limits.connections));
    let open = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = lifecycle.soft.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let (stream, slot) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the client is gone already: neither is a reason to stop.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let connection = connection(stream, builder.clone(), service.clone(), limits.handshake, lifecycle.clone());
        open.spawn(async move {
            connection.await;
            drop(slot);
        });
    }
    drop(listener);
    open.close();
    tokio::select! {
        () = open.wait() => {}
        () = lifecycle.hard.cancelled() => tracing::warn!(connections = open.len(), "stopping without waiting"),
        () = tokio::time::sleep(limits.drain) => tracing::warn!(connections = open.len(), "stopping after waiting"),
    }
    Ok(())
}

async fn accept(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, slot))
}

async fn connection<S: Serves>(
    stream: TcpStream,
    builder: Arc<Builder<TokioExecutor>>,
    service: S,
    handshake: Duration,
    lifecycle: Lifecycle,
) {
    tokio::select! {
        () = lifecycle.soft.cancelled() => return,
        first_byte = tokio::time::timeout(handshake, stream.readable()) => {
            if !matches!(first_byte, Ok(Ok(()))) {
                return;
            }
        }
    }
    let stream = TokioIo::new(Corked::new(stream));
    let mut served = pin!(builder.serve_connection(stream, TowerToHyperService::new(service)));
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = lifecycle.soft.cancelled() => {
            served.as_mut().graceful_shutdown();
            tokio::select! {
                ended = served.as_mut() => ended,
                () = lifecycle.hard.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error, "connection ended");
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.handshake);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(limits.header_list_bytes)
        .max_pending_accept_reset_streams(limits.pending_resets)
        .max_local_error_reset_streams(limits.error_resets)
        .initial_stream_window_size(limits.stream_window_bytes)
        .initial_connection_window_size(limits.connection_window_bytes)
        .max_send_buf_size(limits.send_buffer_bytes)
        .keep_alive_interval(limits.keepalive.0)
        .keep_alive_timeout(limits.keepalive.1);
    builder
}
