//! A second thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::LIMIT;

/// A second thread, that ends when this is dropped.
pub struct Thread(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Thread {
    pub fn start() -> Thread {
        let ends = Arc::new(AtomicBool::new(false));
        let seen = ends.clone();
        let thread = std::thread::spawn(move || {
            while !seen.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        });
        Thread(ends, Some(thread))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
        self.1.take().unwrap().join().unwrap();
        // The kernel takes a moment to forget it; in a jail nobody can tell.
        let other_threads = || std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1);
        wait_until("the thread has ended", || !other_threads());
    }
}

/// Waits until the condition holds.
#[track_caller]
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(LIMIT.into()) / 2, "not after {} s: {what}", LIMIT / 2);
        std::thread::yield_now();
    }
}
