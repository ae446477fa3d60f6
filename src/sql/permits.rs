//! Permission to use one of the sessions of a database.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Error;

/// A permit, waited for no longer than this. A closed semaphore is a database that was closed.
pub(super) async fn acquire(permits: &Arc<Semaphore>, longest: Duration) -> Result<OwnedSemaphorePermit, Error> {
    // Mostly there is one; then there is no need of a timer.
    if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
        return Ok(permit);
    }
    match timeout(longest, Arc::clone(permits).acquire_owned()).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_closed)) => Err(Error::Unavailable("the connection was closed or changed".to_owned())),
        Err(_elapsed) => Err(Error::Busy("all its connections are in use".to_owned())),
    }
}
