//! `pulse health`: readiness of a running server, for people and for container health checks.

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::client::{Client, explain};
use super::command::{Error, Outcome, ServerArguments};
use super::output::say;

const SERVICES: [&str; 4] =
    ["pulse.v1.ConnectionService", "pulse.v1.KnowledgeService", "pulse.v1.QueryService", "pulse.v1.WorkflowService"];

/// Prints a line per service; not ready is [`Outcome::NotAnswered`].
pub(super) async fn run(arguments: ServerArguments) -> Result<Outcome, Error> {
    let client = Client::connect(&arguments).await?;
    let mut health = HealthClient::new(client.channel);
    let mut ready = true;
    for service in SERVICES {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = health.check(request).await.map_err(|status| explain(&status))?.into_inner().status();
        ready &= status == ServingStatus::Serving;
        say(&format!("{service}: {}", status.as_str_name()));
    }
    Ok(if ready { Outcome::Done } else { Outcome::NotAnswered })
}
