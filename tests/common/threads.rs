//! A second thread in a fork.

use std::sync::atomic::{AtomicU32, Ordering};

/// A second thread, that ends when this is dropped. By `clone`, since `pthread_create` may wait for
/// ever, in a fork, for a lock that some thread held when the fork was made; not so in musl, whose
/// `clone` makes no threads.
pub struct Thread(&'static AtomicU32);

impl Thread {
    pub fn start() -> Thread {
        extern "C" fn wait(goes_on: *mut libc::c_void) -> i32 {
            // SAFETY: it is the leaked counter.
            let goes_on = unsafe { &*goes_on.cast::<AtomicU32>() };
            while goes_on.load(Ordering::Acquire) == 1 {
                unsafe { libc::sched_yield() };
            }
            0
        }
        extern "C" fn wait_in_c(goes_on: *mut libc::c_void) -> *mut libc::c_void {
            wait(goes_on);
            std::ptr::null_mut()
        }
        let goes_on: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(1)));
        if cfg!(target_env = "musl") {
            create_thread(wait_in_c, (&raw const *goes_on).cast_mut().cast());
            return Thread(goes_on);
        }
        let stack = vec![0_u128; 4096].leak();
        let flags = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
        // SAFETY: the stack is the thread's own, and it uses nothing that the C library keeps for
        // each thread.
        let thread = unsafe {
            libc::clone(wait, stack.as_mut_ptr_range().end.cast(), flags, (&raw const *goes_on).cast_mut().cast())
        };
        assert!(thread > 0, "clone: {}", std::io::Error::last_os_error());
        Thread(goes_on)
    }
}

type Start = extern "C" fn(*mut libc::c_void) -> *mut libc::c_void;

/// Starts a thread by the C library. With std, a fork may wait for ever for a lock that some thread
/// held when the fork was made.
fn create_thread(start: Start, argument: *mut libc::c_void) -> libc::pthread_t {
    let mut thread = std::mem::MaybeUninit::uninit();
    unsafe {
        assert_eq!(libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), start, argument), 0);
        thread.assume_init()
    }
}

/// What `body` returns in such a thread.
pub fn in_thread<T>(body: impl FnOnce() -> T) -> T {
    struct Job<F, T>(Option<F>, Option<T>);
    extern "C" fn run<F: FnOnce() -> T, T>(job: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: it is the one below, which waits.
        let Job(body, said) = unsafe { &mut *job.cast::<Job<F, T>>() };
        *said = body.take().map(|body| body());
        std::ptr::null_mut()
    }
    fn start<F: FnOnce() -> T, T>(_: &Job<F, T>) -> Start {
        run::<F, T>
    }
    let mut job = Job(Some(body), None);
    let thread = create_thread(start(&job), (&raw mut job).cast());
    assert_eq!(unsafe { libc::pthread_join(thread, std::ptr::null_mut()) }, 0);
    job.1.unwrap()
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
        // It takes a moment; in a jail nobody can tell.
        let stopped = std::time::Instant::now();
        while std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
            assert!(stopped.elapsed().as_secs() < 30);
        }
    }
}
