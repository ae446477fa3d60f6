//! What people think of answers: kept beside the log, as long as it.

use pulse::pb::v1::{RateWorkflowRequest, Rating, RatingVerdict, Workflow};
use tonic::{Code, Status};

use crate::support::calls::{assert_error, connection_id, question, run, start, watch};
use crate::support::follow::{Follower, assert_same, workflow};
use crate::support::script::{self, QUESTION};
use crate::support::server::Server;
use crate::support::servers::{ENCRYPTION_KEY, RedisServer};

async fn rate(server: &mut Server, id: &str, verdict: RatingVerdict, comment: &str) -> Result<Workflow, Status> {
    let request = RateWorkflowRequest { id: id.to_owned(), verdict: verdict.into(), comment: comment.to_owned() };
    server.workflows.rate_workflow(request).await.map(|rated| rated.into_inner().workflow.unwrap())
}

fn said(workflow: &Workflow) -> Option<(RatingVerdict, &str)> {
    let Rating { comment, update_time, .. } = workflow.rating.as_ref()?;
    assert!(update_time.is_some(), "{workflow:?}");
    Some((workflow.rating.as_ref()?.verdict(), comment))
}

/// Rates an answer, changes the rating, and starts the server anew.
async fn a_rating_is_kept(flags: &[&str]) {
    let mut server = Server::demo(flags).await;
    let demo = connection_id(&server.channel, "demo").await;
    let (id, events) = run(&mut server.workflows, question(&demo, QUESTION)).await;
    assert_eq!(said(&workflow(&mut server.workflows, &id).await), None);
    let rated = rate(&mut server, &id, RatingVerdict::Up, "").await.unwrap();
    assert_eq!(said(&rated), Some((RatingVerdict::Up, "")));
    rate(&mut server, &id, RatingVerdict::Down, "„Zu wenige“").await.unwrap();

    let folder = server.stop().await;
    let mut server = Server::on(folder, flags, false).await;
    let kept = workflow(&mut server.workflows, &id).await;
    assert_eq!(said(&kept), Some((RatingVerdict::Down, "„Zu wenige“")));
    assert_eq!(kept.last_sequence, events.last().unwrap().sequence);
    assert_same(&watch(&mut server.workflows, &id, 0).await, &events);
}

#[tokio::test]
async fn a_rating_is_kept_beside_the_log() {
    a_rating_is_kept(&[]).await;
}

#[tokio::test]
async fn a_rating_is_kept_in_redis() {
    let redis = RedisServer::start(&[]).await;
    a_rating_is_kept(&["--store", &redis.url(), "--encryption-key", ENCRYPTION_KEY]).await;
}

#[tokio::test]
async fn only_what_has_ended_is_rated_and_with_a_verdict() {
    let model = script::model(script::ANSWER, Some("mapper")).await;
    let mut server = script::server(&model, &[]).await;
    let demo = connection_id(&server.channel, "demo").await;
    let id = start(&mut server.workflows, question(&demo, QUESTION)).await;
    Follower::new(&mut server.workflows, &id, 0).await.until("step_started mapper").await;
    let early = rate(&mut server, &id, RatingVerdict::Up, "").await.unwrap_err();
    assert_error(&early, Code::FailedPrecondition, "WORKFLOW_NOT_FINISHED", &[]);
    assert!(early.message().contains("rate it once it has ended"), "{early:?}");
    model.release("mapper");
    watch(&mut server.workflows, &id, 0).await;

    let long = "x".repeat(1025);
    let bad = rate(&mut server, &id, RatingVerdict::Unspecified, &long).await.unwrap_err();
    assert_error(&bad, Code::InvalidArgument, "FIELD_INVALID", &["verdict", "comment"]);
    rate(&mut server, &id, RatingVerdict::Up, &long[1..]).await.unwrap();
}
