//! `pulse demo`: the main job on embedded defaults, shown through Pulse's own gRPC API.

use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::ask;
use super::client::{Client, explain};
use super::command::{DemoArguments, Error, Outcome, ServerArguments};
use super::progress::Progress;
use crate::app::{self, App};
use crate::demo;
use crate::lifecycle::Lifecycle;
use crate::pb::v1::RunWorkflowRequest;
use crate::pb::v1::run_workflow_request::Source;
use crate::telemetry;

/// How many ports after a busy one are tried.
const PORTS_TRIED: u16 = 100;

/// Serves the demo database, asks its questions, and goes on serving unless `--once` was given.
pub(super) async fn run(arguments: DemoArguments) -> Result<Outcome, Error> {
    let mut settings = arguments.settings;
    if settings.log == "info" {
        // The questions and answers are what this command shows; log lines would run through them.
        "warn".clone_into(&mut settings.log);
    }
    let config = settings.check()?;
    telemetry::init(&config.telemetry).map_err(|error| Error::Usage(error.to_string()))?;
    if config.api_keys.is_some() {
        return Err(Error::Usage(
            "PULSE_API_KEYS_FILE: the demo serves without keys; unset it, or use `serve --demo`".to_owned(),
        ));
    }
    let listener = bind(config.listen).await?;
    let address = listener.local_addr().map_err(|error| Error::Call(error.to_string()))?;

    let lifecycle = Lifecycle::default();
    lifecycle.listen_for_signals().map_err(|error| Error::Call(format!("signals cannot be handled: {error}")))?;
    let app = App::start(config, &lifecycle).await.map_err(|error| Error::Usage(error.to_string()))?;
    let database = app.add_demo().await.map_err(|error| Error::Call(error.to_string()))?;
    println!("Pulse serves {} on {address}.", database.display());

    let server = tokio::spawn({
        let lifecycle = lifecycle.clone();
        async move { app.serve(listener, &lifecycle).await }
    });
    let outcome = tokio::select! {
        outcome = questions(address) => outcome,
        () = lifecycle.soft.cancelled() => Ok(Outcome::Cancelled),
    };
    if arguments.once || outcome.is_err() {
        lifecycle.soft.cancel();
    } else {
        farewell(address);
    }
    let ended = server.await.map_err(|error| Error::Call(format!("the server ended: {error}")))?;
    ended.map_err(|error| Error::Call(error.to_string()))?;
    outcome
}

/// Asks each question through the server's own API, as any client would.
async fn questions(address: SocketAddr) -> Result<Outcome, Error> {
    let server = ServerArguments { server: format!("http://{address}"), api_key: None };
    let mut client = Client::connect(&server).await?;
    let connection = client.find_connection(app::DEMO_CONNECTION).await?;
    let mut worst = Outcome::Done;
    for question in demo::QUESTIONS {
        println!("\n» {question}");
        let request = RunWorkflowRequest {
            question: question.to_owned(),
            source: Some(Source::ConnectionId(connection.id.clone())),
            ..Default::default()
        };
        let mut progress = Progress::new();
        let run = client.workflows.run_workflow(request).await.map_err(|status| explain(&status))?;
        let outcome = ask::follow(&mut run.into_inner(), |event| Ok(progress.show(event))).await?;
        if outcome != Outcome::Done {
            worst = outcome;
        }
    }
    Ok(worst)
}

/// What to try next, ready to paste.
fn farewell(address: SocketAddr) {
    let request = format!(r#"{{"question": "{}", "connection_id": "'$ID'"}}"#, demo::QUESTIONS[0]);
    println!(
        "\nServing on {address} until Ctrl+C. Try:\n\
         \n  pulse ask \"{}\" --connection {} --server http://{address}\n\
         \n  ID=$(grpcurl -plaintext {address} pulse.v1.ConnectionService/ListConnections | grep -m1 -o '[0-9a-f-]\\{{36\\}}')\
         \n  grpcurl -plaintext -d '{request}' {address} pulse.v1.WorkflowService/RunWorkflow\n\
         \nWeb page: http://{address}/",
        demo::QUESTIONS[0],
        app::DEMO_CONNECTION,
    );
}

/// The wanted address, or the same host with the next free port.
async fn bind(wanted: SocketAddr) -> Result<TcpListener, Error> {
    let mut refusal = None;
    for step in 0..PORTS_TRIED {
        let Some(port) = wanted.port().checked_add(step) else { break };
        match TcpListener::bind(SocketAddr::new(wanted.ip(), port)).await {
            Ok(listener) => {
                if step > 0 {
                    println!("Port {} is busy; using {port}.", wanted.port());
                }
                return Ok(listener);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => refusal = Some(error),
            Err(error) => {
                return Err(Error::Usage(format!("PULSE_LISTEN: cannot listen on {wanted}: {error}")));
            }
        }
    }
    let reason = refusal.map(|error| error.to_string()).unwrap_or_default();
    Err(Error::Usage(format!("PULSE_LISTEN: {wanted} and the {PORTS_TRIED} ports after it are busy: {reason}")))
}
