//! A stream of events for one watcher: what is stored, then what happens, with heartbeats in between. Dropping the
//! stream drops its feed.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{status, to_pb};
use crate::domain::{Event, Failure, Workflow};
use crate::pb::v1 as pb;

/// Events as a use case hands them out.
pub(super) type Feed = Pin<Box<dyn Stream<Item = Result<Arc<Event>, Failure>> + Send>>;

/// Events as a client reads them.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<pb::WorkflowEvent, Status>> + Send>>;

/// What a watch is made from.
pub(super) struct Watch {
    /// Where the events come from; ends after the terminal one.
    pub(super) feed: Feed,
    /// The workflow at any point of its log: events are told with what it knows, such as the start time of a step.
    pub(super) workflow: Workflow,
    /// Silence after which a heartbeat is sent.
    pub(super) heartbeat: Duration,
    /// Ends the watch with DRAINING.
    pub(super) soft: CancellationToken,
    /// The watcher's place among those admitted.
    #[expect(dead_code, reason = "held until the stream is dropped")]
    pub(super) place: OwnedSemaphorePermit,
    /// Runs when the watcher leaves before the end.
    pub(super) on_disconnect: Option<OnDisconnect>,
}

/// Runs once when it is dropped, unless it was disarmed.
pub(super) struct OnDisconnect(Option<Box<dyn FnOnce() + Send>>);

impl OnDisconnect {
    pub(super) fn new(action: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(action)))
    }

    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for OnDisconnect {
    fn drop(&mut self) {
        if let Some(action) = self.0.take() {
            action();
        }
    }
}

impl Watch {
    /// The stream. It ends OK after the terminal event, or with the first error.
    pub(super) fn events(self) -> Events {
        stream::unfold(Some(self), |watch| async move {
            let mut watch = watch?;
            match watch.next().await {
                Some(Ok(event)) => Some((Ok(event), Some(watch))),
                Some(Err(failure)) => {
                    watch.leave();
                    Some((Err(failure.into()), None))
                }
                None => {
                    watch.leave();
                    None
                }
            }
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<pb::WorkflowEvent, Failure>> {
        tokio::select! {
            biased;
            event = self.feed.next() => {
                let event = match event? {
                    Ok(event) => event,
                    Err(failure) => return Some(Err(failure)),
                };
                if event.sequence > self.workflow.last_sequence {
                    self.workflow.apply(&event);
                }
                Some(Ok(to_pb::event(&self.workflow, &event)))
            }
            () = self.soft.cancelled() => Some(Err(status::draining())),
            () = tokio::time::sleep(self.heartbeat) => Some(Ok(to_pb::heartbeat(&self.workflow))),
        }
    }

    /// The stream ends from this side: the client did not leave.
    fn leave(&mut self) {
        if let Some(on_disconnect) = &mut self.on_disconnect {
            on_disconnect.disarm();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::sync::{Semaphore, mpsc};
    use tokio_stream::wrappers::UnboundedReceiverStream;

    use super::*;
    use crate::domain::{
        ConnectionId, EngineName, EventKind, Principal, Question, RunOptions, Source, WorkflowId, WorkflowStarted,
    };
    use pb::workflow_event::Event as Kind;

    fn event(sequence: u64, kind: EventKind) -> Arc<Event> {
        Arc::new(Event { sequence, time: "2026-11-23T12:00:00Z".parse().unwrap(), epoch: 1, kind })
    }

    fn started() -> Arc<Event> {
        let source = Source::Connection(ConnectionId::generate());
        let started = WorkflowStarted {
            question: Question { text: "how many?".into(), source, options: RunOptions::default() },
            principal: Principal::local(),
            engine: EngineName::Builtin,
            model: String::new(),
            prompt_version: String::new(),
            connection: None,
        };
        event(1, EventKind::WorkflowStarted(Box::new(started)))
    }

    struct Bench {
        feed: mpsc::UnboundedSender<Result<Arc<Event>, Failure>>,
        soft: CancellationToken,
        left: Arc<AtomicBool>,
        places: Arc<Semaphore>,
        events: Events,
    }

    async fn watch(heartbeat: Duration) -> Bench {
        let (feed, receiver) = mpsc::unbounded_channel();
        let workflow = Workflow::fold(WorkflowId::generate(), &[Arc::unwrap_or_clone(started())]).unwrap();
        let (soft, left) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let places = Arc::new(Semaphore::new(1));
        let flag = left.clone();
        let events = Watch {
            feed: UnboundedReceiverStream::new(receiver).boxed(),
            workflow,
            heartbeat,
            soft: soft.clone(),
            place: places.clone().acquire_owned().await.unwrap(),
            on_disconnect: Some(OnDisconnect::new(move || flag.store(true, Ordering::SeqCst))),
        }
        .events();
        Bench { feed, soft, left, places, events }
    }

    #[tokio::test]
    async fn events_come_in_order_and_the_stream_ends_after_the_last() {
        let mut bench = watch(Duration::from_mins(1)).await;
        bench.feed.send(Ok(started())).unwrap();
        bench.feed.send(Ok(event(2, EventKind::Completed))).unwrap();
        drop(bench.feed);
        let first = bench.events.next().await.unwrap().unwrap();
        assert!(matches!(first.event, Some(Kind::WorkflowStarted(_))));
        let last = bench.events.next().await.unwrap().unwrap();
        assert_eq!(last.sequence, 2);
        assert!(matches!(last.event, Some(Kind::Completed(_))));
        assert!(bench.events.next().await.is_none());
        drop(bench.events);
        assert!(!bench.left.load(Ordering::SeqCst), "the client stayed to the end");
    }

    #[tokio::test]
    async fn an_idle_watch_beats() {
        let mut bench = watch(Duration::from_millis(1)).await;
        let beat = bench.events.next().await.unwrap().unwrap();
        assert_eq!((beat.sequence, beat.cursor.as_str()), (0, ""));
        assert!(matches!(beat.event, Some(Kind::Heartbeat(pb::Heartbeat { last_sequence: 1 }))));
    }

    #[tokio::test]
    async fn a_stopping_server_sends_watchers_away() {
        let mut bench = watch(Duration::from_mins(1)).await;
        bench.soft.cancel();
        let refusal = bench.events.next().await.unwrap().unwrap_err();
        assert_eq!(refusal.code(), tonic::Code::Unavailable);
        assert!(bench.events.next().await.is_none());
        assert!(!bench.left.load(Ordering::SeqCst), "the workflow goes on elsewhere");
    }

    #[tokio::test]
    async fn a_client_that_leaves_frees_its_feed_and_its_place() {
        let bench = watch(Duration::from_mins(1)).await;
        drop(bench.events);
        assert!(bench.feed.is_closed());
        assert!(bench.left.load(Ordering::SeqCst));
        assert_eq!(bench.places.available_permits(), 1);
    }
}
