//! The tasks that watch over the link: one asks again and again whether Redis answers, one hears what is appended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fred::interfaces::{ClientLike, EventInterface, PubsubInterface};
use fred::types::{CustomCommand, Message};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::link::{Health, Link};
use super::queue::Queue;
use crate::domain::TenantId;
use crate::store::tails::Tails;

/// Between two questions whether Redis answers, and before a broken task begins again.
const INTERVAL: Duration = Duration::from_millis(500);

/// How often trouble that lasts is told.
const REMINDER: Duration = Duration::from_mins(1);

/// How long the first connecting may take untold.
const GRACE: Duration = Duration::from_secs(2);

/// How often it is asked whether the listener still hears anything.
const LOOK: Duration = Duration::from_secs(15);

/// Keeps the link's health up to date until it is stopped.
pub(super) async fn watch_over(link: Arc<Link>, tails: Arc<Tails>, stop: CancellationToken) {
    let mut told = Told::default();
    let mut trouble = "it has not been reached yet".to_owned();
    while !stop.is_cancelled() {
        let (mut connects, mut errors) = (link.client.reconnect_rx(), link.client.error_rx());
        let mut connection = link.client.connect();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                ended = &mut connection => {
                    if let Ok(Err(error)) = ended {
                        trouble = error.to_string();
                    }
                    break;
                }
                Ok(_) = connects.recv() => {
                    // What was acknowledged may be lost, on a fail-over for example: watchers compare what they have.
                    link.renew_epoch();
                    tails.end_all();
                }
                Ok((error, _)) = errors.recv() => trouble = error.to_string(),
                () = sleep(INTERVAL) => {}
            }
            let (before, now, emptied) = link.probe(&trouble).await;
            if emptied {
                tracing::error!("the store was emptied: its connections and workflows are gone");
                link.renew_epoch();
                tails.end_all();
            }
            told.tell(&before, &now);
        }
        pause(&stop).await;
    }
    link.close();
    // Nobody waits for the answer of a server that may be gone.
    let _ = tokio::time::timeout(INTERVAL, link.client.quit()).await;
}

/// Hears the notices of all partitions, each with one subscription, until it is stopped.
pub(super) async fn listen(link: Arc<Link>, tails: Arc<Tails>, queue: Arc<Queue>, stop: CancellationToken) {
    let mut look = tokio::time::interval(LOOK);
    while !stop.is_cancelled() {
        let (mut connects, mut notices) = (link.listener.reconnect_rx(), link.listener.message_rx());
        let mut connection = link.listener.connect();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = &mut connection => break,
                Ok(_) = connects.recv() => subscribe(&link, &tails).await,
                notice = notices.recv() => match notice {
                    Ok(notice) => hear(&link, &tails, &queue, &notice),
                    Err(RecvError::Lagged(_)) => tails.end_all(),
                    Err(RecvError::Closed) => break,
                },
                () = sleep(INTERVAL), if !link.listens.load(Ordering::Relaxed) && link.listener.is_connected() => {
                    subscribe(&link, &tails).await;
                }
                _ = look.tick(), if link.listens.load(Ordering::Relaxed) => look_again(&link, &tails).await,
            }
        }
        link.listens.store(false, Ordering::Relaxed);
        pause(&stop).await;
    }
    let _ = tokio::time::timeout(INTERVAL, link.listener.quit()).await;
}

/// Subscribes to every partition. What was told before is unknown, so everybody who follows a log looks again.
async fn subscribe(link: &Link, tails: &Tails) {
    let channels: Vec<String> = link.keys.tags().collect();
    // The client does not wait for the answer to SUBSCRIBE, but the answer to the next call on that connection comes after
    // it, or is the refusal.
    let subscribed = link.listener.subscribe(channels).await.is_ok() && hears(link).await;
    link.listens.store(subscribed, Ordering::Relaxed);
    tails.end_all();
}

/// A connection on which nothing is asked may be dead without a sign. Between the nodes of a Cluster single notices may be
/// lost as well, and the node of the subscription may leave.
async fn look_again(link: &Link, tails: &Tails) {
    if link.listener.is_clustered() {
        subscribe(link, tails).await;
    } else if !hears(link).await {
        link.listens.store(false, Ordering::Relaxed);
    }
}

/// Whether the connection of the subscriptions answers.
async fn hears(link: &Link) -> bool {
    let ping = CustomCommand::new_static("PING", link.listener.id(), false);
    link.listener.custom::<String, String>(ping, Vec::new()).await.is_ok_and(|answer| answer == "PONG")
}

/// A notice is `ID TENANT LAST`, `ID TENANT gone`, or `work`.
fn hear(link: &Link, tails: &Tails, queue: &Queue, notice: &Message) {
    let text = notice.value.as_str().unwrap_or_default();
    if text == "work" {
        if let Some(partition) = link.keys.number(&notice.channel) {
            queue.tell(partition);
        }
        return;
    }
    let mut words = text.split(' ');
    let (Some(id), Some(tenant), Some(last)) = (words.next(), words.next(), words.next()) else { return };
    let (Ok(id), Some(tenant)) = (id.parse(), TenantId::parse(tenant)) else { return };
    match last.parse() {
        Ok(last) => tails.advance(&tenant, id, last),
        Err(_) => tails.end(&tenant, id),
    }
}

async fn pause(stop: &CancellationToken) {
    tokio::select! { () = stop.cancelled() => {}, () = sleep(INTERVAL) => {} }
}

/// When trouble is told next. Connecting may take its time before it is any.
struct Told(Instant);

impl Default for Told {
    fn default() -> Self {
        Self(Instant::now() + GRACE)
    }
}

impl Told {
    /// One line when Redis stops to answer and one when it answers again, and one a minute in between.
    fn tell(&mut self, before: &Health, now: &Health) {
        match now {
            Health::Up if *before != Health::Up => {
                tracing::info!("the store answers");
                self.0 = Instant::now();
            }
            Health::Up => {}
            Health::Down(why) | Health::Unfit(why) => {
                if self.0 <= Instant::now() {
                    tracing::warn!(why, "the store cannot be used");
                    self.0 = Instant::now() + REMINDER;
                }
            }
        }
    }
}
