//! `pulse ask`: one question to a running server.

use std::io::Write;

use futures::StreamExt;

use super::client::{Client, explain};
use super::command::{AskArguments, EngineArgument, Error, Outcome};
use super::json::EventPrinter;
use super::progress::Progress;
use crate::pb::v1::run_workflow_request::Source;
use crate::pb::v1::{Engine, RunWorkflowRequest, WorkflowEvent};

/// Asks and shows every event until the last. Ctrl+C ends the call and with it the workflow.
pub(super) async fn run(arguments: AskArguments) -> Result<Outcome, Error> {
    let mut client = Client::connect(&arguments.server).await?;
    let connection = client.find_connection(&arguments.connection).await?;
    let request = RunWorkflowRequest {
        question: arguments.question,
        source: Some(Source::ConnectionId(connection.id)),
        engine: match arguments.engine {
            EngineArgument::Auto => Engine::Auto.into(),
            EngineArgument::Openai => Engine::Openai.into(),
            EngineArgument::Builtin => Engine::Builtin.into(),
        },
        max_retries: arguments.max_retries,
        execute: Some(!arguments.no_execute),
        cancel_on_disconnect: true,
        ..Default::default()
    };
    if arguments.json {
        let printer = EventPrinter::new()?;
        follow(&mut client, request, |event| {
            // A reader that is gone, such as `head`, wants no more lines.
            let _ = writeln!(std::io::stdout(), "{}", printer.line(event)?);
            Ok(outcome(event))
        })
        .await
    } else {
        let mut progress = Progress::new();
        follow(&mut client, request, |event| Ok(progress.show(event))).await
    }
}

/// Runs a workflow and hands each event to `show` until it says how the workflow ended.
pub(super) async fn follow(
    client: &mut Client,
    request: RunWorkflowRequest,
    mut show: impl FnMut(&WorkflowEvent) -> Result<Option<Outcome>, Error>,
) -> Result<Outcome, Error> {
    let mut events = client.workflows.run_workflow(request).await.map_err(|status| explain(&status))?.into_inner();
    while let Some(response) = events.next().await {
        let response = response.map_err(|status| explain(&status))?;
        if let Some(event) = &response.event
            && let Some(outcome) = show(event)?
        {
            return Ok(outcome);
        }
    }
    Err(Error::Call("the server ended the stream before the workflow ended".to_owned()))
}

fn outcome(event: &WorkflowEvent) -> Option<Outcome> {
    use crate::pb::v1::workflow_event::Event;
    match event.event.as_ref()? {
        Event::Completed(_) => Some(Outcome::Done),
        Event::Failed(_) => Some(Outcome::NotAnswered),
        Event::Cancelled(_) => Some(Outcome::Cancelled),
        _ => None,
    }
}
