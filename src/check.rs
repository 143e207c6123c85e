//! Whether a jail could be entered: tried, not guessed, in a process of its own.
#![allow(unsafe_code, reason = "fork, and memory that both processes see")]

use core::ffi::c_int;
use core::ptr;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use rustix::process::{Pid, WaitOptions, geteuid, waitpid};

use crate::error::{Error, Step};
use crate::jail::{Jail, Root};
use crate::jailed::Jailed;
use crate::kernel::{may_chroot_ever, only_thread};
use crate::machine::Traces;

unsafe extern "C" {
    fn fork() -> c_int;
    fn _exit(status: c_int) -> !;
}

/// How a jail would be entered: what [`Jail::check`] found.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    root: Root,
    user_namespace: bool,
    parent: Option<&'static str>,
    advisable: bool,
}

impl Check {
    const fn of(jailed: &Jailed) -> Check {
        Check {
            root: jailed.root(),
            user_namespace: jailed.in_user_namespace(),
            parent: jailed.parent(),
            advisable: false,
        }
    }

    /// What kind of root the process would have.
    #[must_use]
    pub const fn root(&self) -> Root {
        self.root
    }

    /// The directory in which the root would be made, if the caller names none.
    #[must_use]
    pub const fn parent(&self) -> Option<&'static str> {
        self.parent
    }

    /// By what right it would be entered (Linux).
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[must_use]
    pub const fn entered(&self) -> crate::Entered {
        if self.user_namespace { crate::Entered::UserNamespace } else { crate::Entered::Privilege }
    }

    /// Whether to advise the administrator to configure a jail: none is wanted, though the process is root and could
    /// have one.
    #[must_use]
    pub const fn is_jail_advisable(&self) -> bool {
        self.advisable
    }
}

impl Jail<'_> {
    /// Whether [`enter`](Jail::enter) would succeed now, and how: for a daemon's check of its configuration.
    ///
    /// Nothing is guessed: a fork of the process enters, says what came of it, and ends. The process itself stays as it
    /// is. Costs a `fork` and what `enter` costs. The child is seen by a handler of `SIGCHLD`; if that, or another thread,
    /// reaps it first, no harm is done.
    ///
    /// # Errors
    ///
    /// Those of [`enter`](Jail::enter). What could not be undone went with the child, but for a directory that could not be
    /// removed: only of that [`Error::is_partial`] tells.
    /// [`Step::Try`]: there is no memory or process to be had.
    ///
    /// # Source
    ///
    /// [`fork(2)`](https://man7.org/linux/man-pages/man2/fork.2.html)
    pub fn check(self) -> Result<Check, Error> {
        let advisable = matches!(self.plan.root, Root::Unjailed) && geteuid().is_root() && may_chroot_ever();
        if self.plan.root == Root::Unjailed {
            return Ok(Check { root: Root::Unjailed, user_namespace: false, parent: None, advisable });
        }
        let refused = |step, fault: crate::error::Fault| Error::inside(step, fault, Traces::default());
        let alone = match only_thread() {
            Err(fault) if !self.plan.threads => return Err(refused(Step::Threads, fault)),
            told => told.is_ok(),
        };
        let tried = try_in_a_fork(|| self.enter().map(|jailed| Check::of(&jailed)));
        match tried.map_err(|errno| refused(Step::Try, errno.into()))? {
            Ok(check) if check.user_namespace && !alone => Err(refused(Step::NewUserNamespace, Errno::INVAL.into())),
            Ok(check) => Ok(check),
            Err(error) => {
                let Traces { directory, left, .. } = error.traces;
                Err(Error { traces: Traces { directory, left, ..Traces::default() }, ..error })
            }
        }
    }
}

/// What `enter` returns in a fork, which leaves it in memory that is shared.
fn try_in_a_fork(enter: impl FnOnce() -> Result<Check, Error>) -> Result<Result<Check, Error>, Errno> {
    type Said = Option<Result<Check, Error>>;
    let length = size_of::<Said>();
    // SAFETY: a new mapping, and a page is aligned for any type.
    let said =
        unsafe { mmap_anonymous(ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)? };
    let said = said.cast::<Said>();
    // SAFETY: `said` is valid, and only one process uses it at a time: the child between `fork` and its end. What it leaves
    // is Copy: numbers, and references to constants, which are the same in both. In a fork of a process with threads, which are
    // allowed then, `enter` makes system calls alone: it waits for none, allocates nothing and does not read the environment.
    unsafe {
        said.write(None);
        let child = fork();
        if child == 0 {
            said.write(Some(enter()));
            _exit(0);
        }
        let outcome = if child < 0 {
            Err(Errno::AGAIN)
        } else {
            while matches!(waitpid(Pid::from_raw(child), WaitOptions::empty()), Err(Errno::INTR)) {}
            said.read().ok_or(Errno::CHILD)
        };
        munmap(said.cast(), length)?;
        outcome
    }
}
