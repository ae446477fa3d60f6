//! Threads with stacks deep enough for the longest statement: its tree is built, walked and dropped there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

/// Stack for the longest chain of operators that fits into the text: dropping its tree recurses once an operator.
const STACK_BYTES: usize = 32 << 20;
/// Most threads; a check takes well under a millisecond.
const MOST_THREADS: usize = 8;

type Job = Box<dyn FnOnce() + Send>;

/// Started at first use and kept: starting a thread for each statement would cost as much as checking it.
static QUEUE: LazyLock<Mutex<Sender<Job>>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<Job>();
    let receiver = Arc::new(Mutex::new(receiver));
    let threads = thread::available_parallelism().map_or(1, usize::from).clamp(2, MOST_THREADS);
    for _ in 0..threads {
        let receiver = Arc::clone(&receiver);
        // Fewer threads are slower; without any the queue has no receiver and every statement is refused.
        let _ =
            thread::Builder::new().name("sql-guard".to_owned()).stack_size(STACK_BYTES).spawn(move || work(&receiver));
    }
    Mutex::new(sender)
});

fn work(receiver: &Mutex<Receiver<Job>>) {
    loop {
        let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The caller sees that no answer came; the thread lives on.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

/// Does the work on a deep stack and waits for it; `None` when it panicked or there is no thread to be had.
pub(super) fn on_deep_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (answer, answered) = sync_channel(1);
    let job: Job = Box::new(move || {
        // A caller that no longer waits is no one's loss.
        let _ = answer.send(work());
    });
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner).send(job).ok()?;
    answered.recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_one_answer_and_no_thread() {
        for _ in 0..20 {
            assert_eq!(on_deep_stack(|| assert!(std::hint::black_box(false), "deliberate")), None);
        }
        assert_eq!(on_deep_stack(|| 7), Some(7));
    }
}
