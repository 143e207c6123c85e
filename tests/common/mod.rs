//! A jail cannot be left, so each entry has a process of its own: a fork of the test, in which the
//! test goes on.
#![allow(dead_code, unused_imports, reason = "each test binary uses its part")]
#![allow(unsafe_code, reason = "fork and the calls that std does not have")]

mod mounts;
mod process;
mod programs;
mod seccomp;
mod system;
mod threads;

pub use mounts::*;
pub use process::*;
pub use programs::*;
pub use seccomp::*;
pub use system::*;
pub use threads::*;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

/// Whose process it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Uid 0 with every capability.
    Root,
    /// An ordinary user. As root the tests take two: 65534, whose id is also the overflow id, and
    /// one whose id is not.
    Plain(u32),
}

pub const NOBODY: User = User::Plain(65534);

pub const SOMEBODY: User = User::Plain(12345);

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Ids to become.
pub fn account(uid: u32, gid: u32, groups: &[u32]) -> autochroot::User<'static> {
    use autochroot::{Gid, Uid};
    let groups: Vec<_> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    autochroot::User::new(Uid::from_raw(uid), Gid::from_raw(gid), groups.leak())
}

/// The users that this process can be.
pub fn users() -> Vec<User> {
    if is_root() { vec![User::Root, NOBODY, SOMEBODY] } else { vec![User::Plain(rustix::process::geteuid().as_raw())] }
}

/// An ordinary user that this process can be.
pub fn plain() -> User {
    *users().last().unwrap()
}

/// Runs the test in a process of its own: there, the test goes on, and here it returns.
#[macro_export]
macro_rules! own_process {
    () => {
        fn here() {}
        if !$crate::common::is_own_process() {
            return $crate::common::run_in_own_process(here);
        }
    };
}

/// Returns from a test that only root can run, and say so.
#[macro_export]
macro_rules! root_only {
    () => {
        if !$crate::common::is_root() {
            return $crate::common::skipped("not root");
        }
    };
}

/// Returns from a test that connects to a server of its own, and say so, where there is no network.
#[macro_export]
macro_rules! network_only {
    () => {
        if !$crate::common::has_network() {
            return $crate::common::skipped("no loopback network");
        }
    };
}

pub fn has_network() -> bool {
    let listener = std::net::TcpListener::bind("127.0.0.1:0");
    listener.and_then(|listener| std::net::TcpStream::connect(listener.local_addr()?)).is_ok()
}

/// Runs `body` in a process of its own as `user`; if it panics there, so does the caller here.
#[track_caller]
pub fn as_user(user: User, body: impl FnOnce()) {
    as_user_watched(user, body, |_| ());
}

/// The same, and return what `body` says.
#[track_caller]
pub fn ask_user(user: User, body: impl FnOnce() -> String) -> String {
    in_fork(user, body, |_| ())
}

/// The same for every user.
#[track_caller]
pub fn as_each_user(body: impl Fn(User)) {
    for user in users() {
        as_user(user, || body(user));
    }
}

/// The same, where the caller looks at the process, by its id, after `body` and before its end.
#[track_caller]
pub fn as_user_watched(user: User, body: impl FnOnce(), watch: impl FnOnce(i32)) {
    in_fork(
        user,
        || {
            body();
            String::new()
        },
        watch,
    );
}

#[track_caller]
fn in_fork(user: User, body: impl FnOnce() -> String, watch: impl FnOnce(i32)) -> String {
    assert!(is_own_process(), "a test that forks begins with own_process!()");
    report_panics();
    let (mut report, write_report) = pipe();
    let (read_leave, leave) = pipe();
    // SAFETY: the only other thread is that of the harness, which waits and holds no lock.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        drop((report, leave));
        unsafe { libc::alarm(LIMIT) };
        IS_FORK.set(true);
        close_all_but([write_report.as_raw_fd(), read_leave.as_raw_fd()]);
        let said = catch_unwind(AssertUnwindSafe(|| {
            become_user(user);
            body()
        }));
        let panicked = said.is_err();
        let text = said.unwrap_or_else(|_| REPORT.take());
        let _ = (&write_report).write_all(text.as_bytes());
        drop(write_report);
        let _ = (&read_leave).read(&mut [0]);
        unsafe { libc::_exit(i32::from(panicked)) };
    }
    drop((write_report, read_leave));
    let mut text = String::new();
    report.read_to_string(&mut text).unwrap();
    let watched = catch_unwind(AssertUnwindSafe(|| watch(pid)));
    drop(leave);
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(status != libc::SIGALRM, "as {user:?}, killed after {LIMIT} s: {text}");
    assert!(status == 0, "as {user:?}, status {status:#x}: {text}");
    if let Err(panic) = watched {
        std::panic::resume_unwind(panic);
    }
    text
}

thread_local! {
    static IS_FORK: Cell<bool> = const { Cell::new(false) };
    static REPORT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keeps what a fork panics with, for its report.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IS_FORK.get() {
                REPORT.with_borrow_mut(|report| *report = info.to_string());
            } else {
                usual(info);
            }
        }));
    });
}

fn pipe() -> (File, File) {
    let mut fds = [0; 2];
    assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: they were just made.
    unsafe { (File::from_raw_fd(fds[0]), File::from_raw_fd(fds[1])) }
}

fn become_user(user: User) {
    if let (User::Plain(id), true) = (user, is_root()) {
        unsafe {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setresgid(id, id, id), 0);
            assert_eq!(libc::setresuid(id, id, id), 0);
            // What an exec as that user would have done.
            assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
        }
    }
}

/// Returns the exit status of a fork, which must end by itself.
pub fn exit_status(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "{status:#x}");
    libc::WEXITSTATUS(status)
}
