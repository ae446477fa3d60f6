//! Streams of events, one for each watcher: what is stored, then what happens, with heartbeats in between. Dropping a
//! stream drops its feed. Watchers of one workflow share its fold, and one encodes each event for all.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt};
use prost::Message;
use prost::bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{status, to_pb};
use crate::domain::event::Cursor;
use crate::domain::{Event, Failure, Workflow, WorkflowId};
use crate::pb::v1 as pb;

/// Events as a use case hands them out.
pub(super) type Feed = Pin<Box<dyn Stream<Item = Result<Arc<Event>, Failure>> + Send>>;

/// Events as they are sent: each the bytes of a `WatchWorkflowResponse`, or of a `RunWorkflowResponse`, which are alike.
pub(super) type Events = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// The workflows that are watched here.
#[derive(Default)]
pub(super) struct Tellers {
    watched: Mutex<HashMap<(WorkflowId, u64), Weak<Teller>>>,
}

impl Tellers {
    /// Number of workflows from which on those that nobody watches any more are looked for.
    const SWEEP_AT: usize = 64;

    /// The teller of a workflow that is as far as `workflow`, or further. `epoch` is the store's: in another one the log may
    /// go on otherwise.
    pub(super) fn of(&self, workflow: Workflow, epoch: u64) -> Arc<Teller> {
        // Nothing panics while the lock is held but what leaves the map as it was.
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.len() >= Self::SWEEP_AT && watched.len() == watched.capacity() {
            watched.retain(|_, teller| teller.strong_count() > 0);
        }
        let place = watched.entry((workflow.id, epoch)).or_default();
        if let Some(teller) = place.upgrade() {
            teller.know(workflow);
            return teller;
        }
        let teller = Arc::new(Teller(Mutex::new(Telling { workflow, told: None })));
        *place = Arc::downgrade(&teller);
        teller
    }
}

/// Tells the events of one workflow to all its watchers.
pub(super) struct Teller(Mutex<Telling>);

struct Telling {
    /// As far as any of them is, or further: events are told with what it knows, such as the start time of a step.
    workflow: Workflow,
    /// What was told last.
    told: Option<(Cursor, Bytes)>,
}

impl Teller {
    fn know(&self, workflow: Workflow) {
        let mut telling = self.telling();
        if workflow.last_sequence > telling.workflow.last_sequence {
            telling.workflow = workflow;
        }
    }

    fn tell(&self, event: &Event) -> Bytes {
        let Telling { workflow, told } = &mut *self.telling();
        if let Some((cursor, bytes)) = told
            && *cursor == event.cursor()
        {
            return bytes.clone();
        }
        if event.sequence > workflow.last_sequence {
            workflow.apply(event);
        }
        let bytes = encoded(to_pb::event(workflow, event));
        *told = Some((event.cursor(), bytes.clone()));
        bytes
    }

    fn heartbeat(&self) -> Bytes {
        encoded(to_pb::heartbeat(&self.telling().workflow))
    }

    /// What is told is kept whole or not at all, so a poisoned lock is still good.
    fn telling(&self) -> MutexGuard<'_, Telling> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encoded(event: pb::WorkflowEvent) -> Bytes {
    pb::WatchWorkflowResponse::from(Some(event)).encode_to_vec().into()
}

/// What a watch is made from.
pub(super) struct Watch {
    /// Where the events come from; ends after the terminal one.
    pub(super) feed: Feed,
    /// Whoever tells them.
    pub(super) teller: Arc<Teller>,
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

    async fn next(&mut self) -> Option<Result<Bytes, Failure>> {
        tokio::select! {
            biased;
            event = self.feed.next() => Some(event?.map(|event| self.teller.tell(&event))),
            () = self.soft.cancelled() => Some(Err(status::draining())),
            () = tokio::time::sleep(self.heartbeat) => Some(Ok(self.teller.heartbeat())),
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
        ConnectionId, EngineName, EventKind, Principal, Question, Reason, RunOptions, Source, WorkflowStarted,
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
            previous: Vec::new(),
        };
        event(1, EventKind::WorkflowStarted(Box::new(started)))
    }

    fn decoded(bytes: Bytes) -> pb::WorkflowEvent {
        pb::WatchWorkflowResponse::decode(bytes).unwrap().event.unwrap()
    }

    struct Bench {
        feed: mpsc::UnboundedSender<Result<Arc<Event>, Failure>>,
        soft: CancellationToken,
        left: Arc<AtomicBool>,
        places: Arc<Semaphore>,
        events: Pin<Box<dyn Stream<Item = Result<pb::WorkflowEvent, Status>> + Send>>,
    }

    async fn watch(heartbeat: Duration) -> Bench {
        let (feed, receiver) = mpsc::unbounded_channel();
        let workflow = Workflow::fold(WorkflowId::generate(), &[Arc::unwrap_or_clone(started())]).unwrap();
        let (soft, left) = (CancellationToken::new(), Arc::new(AtomicBool::new(false)));
        let places = Arc::new(Semaphore::new(1));
        let flag = left.clone();
        let events = Watch {
            feed: UnboundedReceiverStream::new(receiver).boxed(),
            teller: Tellers::default().of(workflow, 1),
            heartbeat,
            soft: soft.clone(),
            place: places.clone().acquire_owned().await.unwrap(),
            on_disconnect: Some(OnDisconnect::new(move || flag.store(true, Ordering::SeqCst))),
        }
        .events()
        .map(|event| event.map(decoded))
        .boxed();
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

    #[test]
    fn watchers_of_a_workflow_share_what_is_told() {
        let step = event(2, EventKind::StepStarted { step: "planner".to_owned(), attempt: 1, candidate: 0 });
        let time = "2026-11-23T12:00:05Z".parse().unwrap();
        let kind = EventKind::StepFailed {
            step: "planner".to_owned(),
            attempt: 1,
            candidate: 0,
            failure: Failure::new(Reason::Internal, "no"),
            output: None,
            usage: None,
        };
        let failed = Arc::new(Event { sequence: 3, time, epoch: 1, kind });
        let id = WorkflowId::generate();
        let fold = |log: &[Arc<Event>]| {
            Workflow::fold(id, &log.iter().map(|event| (**event).clone()).collect::<Vec<_>>()).unwrap()
        };
        let tellers = Tellers::default();
        let first = tellers.of(fold(&[started()]), 1);
        assert_eq!(decoded(first.tell(&step)).sequence, 2);
        // One who comes late finds it further on, one who knows more brings it on; then the log is told again from there.
        let late = tellers.of(fold(&[started()]), 1);
        let ahead = tellers.of(fold(&[started(), step.clone(), failed.clone()]), 1);
        assert!(Arc::ptr_eq(&first, &late) && Arc::ptr_eq(&first, &ahead));
        let told = first.tell(&failed);
        let Some(Kind::StepFailed(pb::StepFailed { step: Some(step) })) = decoded(told.clone()).event else { panic!() };
        assert_eq!(step.start_time, Some(prost_types::Timestamp { seconds: 1_795_435_200, nanos: 0 }));
        assert_eq!(late.tell(&failed).as_ptr(), told.as_ptr(), "encoded once");
        assert!(!Arc::ptr_eq(&first, &tellers.of(fold(&[started()]), 2)), "a store that lost its tail");
        drop((first, late, ahead));
        assert_eq!(tellers.of(fold(&[started()]), 1).telling().workflow.last_sequence, 1, "nobody was left");
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
