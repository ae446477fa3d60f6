//! Work on many databases, beside each other.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use super::run::Error;

/// Does each piece of work once, on as many threads as `jobs` says, one at least. `take` hears of each in this thread, in the
/// order they are done; the first that fails ends it all.
pub(super) fn spread<W: Sync, T: Send>(
    work: &[W],
    jobs: usize,
    run: impl Fn(&W) -> Result<T, Error> + Sync,
    mut take: impl FnMut(T),
) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        for _ in 0..jobs.max(1) {
            let (sender, next, run) = (sender.clone(), &next, &run);
            scope.spawn(move || {
                while let Some(piece) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if sender.send(run(piece)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        for done in receiver {
            take(done?);
        }
        Ok(())
    })
}
