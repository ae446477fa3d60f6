//! The databases that are open, each with the state of its connection that it was opened for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use moka::future::Cache;
use moka::policy::EvictionPolicy;

use crate::domain::{Connection, ConnectionId};
use crate::sql::Database;

/// The open database of each connection.
pub(super) type OpenDatabases = Cache<ConnectionId, Arc<Open>>;

/// An open database and its connection as the store had it.
pub(super) struct Open {
    pub(super) connection: Arc<Connection>,
    pub(super) database: Database,
    /// When the store was last seen to have the connection so.
    seen: Mutex<Instant>,
}

/// At most so many databases, each while it is used. What leaves is closed after its running statements.
pub(super) fn databases(most: u64, idle: Duration) -> OpenDatabases {
    Cache::builder()
        .max_capacity(most)
        // The default policy may turn away the newest, which somebody is about to use.
        .eviction_policy(EvictionPolicy::lru())
        .time_to_idle(idle)
        .eviction_listener(|_, open: Arc<Open>, _| {
            // Whoever makes an entry leave does so within the runtime.
            if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                runtime.spawn(async move { open.database.close().await });
            }
        })
        .build()
}

impl Open {
    pub(super) fn new(connection: Connection, database: Database) -> Self {
        Self { connection: Arc::new(connection), database, seen: Mutex::new(Instant::now()) }
    }

    /// Whether the connection was seen in the store so short a time ago that it need not be looked at again.
    pub(super) fn is_current(&self, max_age: Duration) -> bool {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < max_age
    }

    /// The store has the connection still so.
    pub(super) fn confirm(&self) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(super) fn parts(&self) -> (Arc<Connection>, Database) {
        (self.connection.clone(), self.database.clone())
    }
}
