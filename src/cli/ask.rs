//! `pulse ask`: one question to a running server. `pulse resume`: an answer to a workflow that waits for one.

use std::io::IsTerminal;

use futures::{Stream, StreamExt};
use tonic::{Status, Streaming};

use super::answer;
use super::client::{Client, explain};
use super::command::{AskArguments, EngineArgument, Error, Outcome, ResumeArguments};
use super::json::EventPrinter;
use super::output::say;
use super::progress::Progress;
use crate::pb::v1::run_workflow_request::Source;
use crate::pb::v1::workflow_event::Event;
use crate::pb::v1::{
    Engine, GetWorkflowRequest, ResumeWorkflowRequest, RunWorkflowRequest, RunWorkflowResponse, WatchWorkflowRequest,
    WorkflowEvent,
};

/// Asks and shows every event until the last. Ctrl+C ends the call and with it the workflow. What the workflow asks back
/// is asked on a terminal; elsewhere the command ends and says how to answer.
pub(super) async fn run(arguments: AskArguments) -> Result<Outcome, Error> {
    let mut client = Client::connect(&arguments.server).await?;
    let connection = client.find_connection(&arguments.connection).await?;
    let at_terminal = std::io::stdin().is_terminal() && !arguments.json;
    let request = RunWorkflowRequest {
        question: arguments.question,
        source: Some(Source::ConnectionId(connection.id)),
        engine: match arguments.engine {
            EngineArgument::Auto => Engine::Auto.into(),
            EngineArgument::Openai => Engine::Openai.into(),
            EngineArgument::Builtin => Engine::Builtin.into(),
        },
        max_retries: arguments.max_retries,
        candidates: arguments.candidates,
        execute: Some(!arguments.no_execute),
        require_approval: arguments.approve,
        previous_workflow_id: arguments.follow_up.unwrap_or_default(),
        allow_clarification: Some(at_terminal),
        // Who cannot answer here may answer later.
        cancel_on_disconnect: at_terminal || !arguments.approve,
        ..Default::default()
    };
    let mut events = client.workflows.run_workflow(request).await.map_err(|status| explain(&status))?.into_inner();
    if arguments.json {
        let printer = EventPrinter::new()?;
        return follow(&mut events, |event| {
            say(&printer.line(event)?);
            Ok(outcome(event))
        })
        .await;
    }
    let mut events = events.map(|event| event.map(|answer| answer.event));
    converse(&mut client, &mut events, at_terminal).await
}

/// Answers a workflow that waits, and shows what becomes of it.
pub(super) async fn resume(arguments: ResumeArguments) -> Result<Outcome, Error> {
    let mut client = Client::connect(&arguments.server).await?;
    let (id, action) = (arguments.id, Some(arguments.action.given()));
    let request = ResumeWorkflowRequest { id: id.clone(), action, ..Default::default() };
    let answered = client.workflows.resume_workflow(request).await.map_err(|status| explain(&status))?.into_inner();
    let after_sequence = answered.workflow.map_or(0, |workflow| workflow.last_sequence);
    // The end of a rejected workflow is part of the answer.
    let after_sequence = after_sequence - i64::from(after_sequence > 0);
    let request = WatchWorkflowRequest { id, after_sequence, ..Default::default() };
    let events = client.workflows.watch_workflow(request).await.map_err(|status| explain(&status))?.into_inner();
    let mut events = events.map(|event| event.map(|answer| answer.event));
    converse(&mut client, &mut events, std::io::stdin().is_terminal()).await
}

/// Shows a workflow, and puts what it asks to the person at the terminal.
async fn converse<Events>(client: &mut Client, events: &mut Events, at_terminal: bool) -> Result<Outcome, Error>
where
    Events: Stream<Item = Result<Option<WorkflowEvent>, Status>> + Unpin,
{
    let mut progress = Progress::new();
    while let Some(response) = events.next().await {
        let Some(event) = response.map_err(|status| explain(&status))? else { continue };
        if let Some(outcome) = progress.show(&event) {
            if outcome == Outcome::Done {
                if !progress.has_result() {
                    progress.statement(&statement(client, &event.workflow_id).await?);
                }
                progress.say(&format!("  To follow it up: --follow-up {}", event.workflow_id));
            }
            return Ok(outcome);
        }
        let Some(Event::Awaiting(awaiting)) = &event.event else { continue };
        if !at_terminal {
            progress.say(&answer::how_to(&event.workflow_id, awaiting));
            return Ok(Outcome::NotAnswered);
        }
        let action = Some(answer::ask(awaiting).await?);
        let expected_sequence = Some(event.sequence);
        let request = ResumeWorkflowRequest { id: event.workflow_id, action, expected_sequence, ..Default::default() };
        client.workflows.resume_workflow(request).await.map_err(|status| explain(&status))?;
    }
    Err(broken_off())
}

/// What a workflow came to that was not to run it: no event tells the statement that passed the checks.
async fn statement(client: &mut Client, id: &str) -> Result<String, Error> {
    let request = GetWorkflowRequest { id: id.to_owned() };
    let answered = client.workflows.get_workflow(request).await.map_err(|status| explain(&status))?.into_inner();
    Ok(answered.workflow.unwrap_or_default().sql)
}

/// Hands each event to `show` until it says how the workflow ended.
pub(super) async fn follow(
    events: &mut Streaming<RunWorkflowResponse>,
    mut show: impl FnMut(&WorkflowEvent) -> Result<Option<Outcome>, Error>,
) -> Result<Outcome, Error> {
    while let Some(response) = events.next().await {
        let response = response.map_err(|status| explain(&status))?;
        if let Some(event) = &response.event
            && let Some(outcome) = show(event)?
        {
            return Ok(outcome);
        }
    }
    Err(broken_off())
}

fn broken_off() -> Error {
    Error::Call("the server ended the stream before the workflow ended".to_owned())
}

/// How a workflow ended; one that waits for a person ends the command.
fn outcome(event: &WorkflowEvent) -> Option<Outcome> {
    match event.event.as_ref()? {
        Event::Completed(_) => Some(Outcome::Done),
        Event::Failed(_) | Event::Awaiting(_) => Some(Outcome::NotAnswered),
        Event::Cancelled(_) => Some(Outcome::Cancelled),
        _ => None,
    }
}
