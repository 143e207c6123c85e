//! Tries in a fork whether a jail can be entered.
#![allow(unsafe_code, reason = "fork, and memory that both processes see")]

use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use rustix::process::{WaitStatus, geteuid};

use crate::error::Residue;
use crate::error::{Error, Fault, Step};
use crate::jail::{Entered, Jail};
use crate::jailed::Jailed;
use crate::os::{SignalsBlocked, explain, fork, may_chroot_ever, only_thread, wait_for};
use crate::root::Root;

unsafe extern "C" {
    safe fn _exit(status: c_int) -> !;
}

/// How a jail would be entered, from [`Jail::check`].
#[derive(Clone, Copy, Debug)]
pub struct Check {
    root: Root,
    entered: Entered,
    parent: Option<&'static str>,
    advisable: bool,
}

impl Check {
    const fn of(jailed: &Jailed) -> Check {
        Check { root: jailed.root(), entered: jailed.entered, parent: jailed.parent(), advisable: false }
    }

    /// Returns the kind of root that the process would have.
    #[must_use]
    pub const fn root(&self) -> Root {
        self.root
    }

    /// Returns the directory in which the root would be made, if the caller names none.
    #[must_use]
    pub const fn parent(&self) -> Option<&'static str> {
        self.parent
    }

    /// Returns how the jail would be entered (Linux).
    #[cfg(any(target_os = "linux", target_os = "android"))]
    #[must_use]
    pub const fn entered(&self) -> Entered {
        self.entered
    }

    /// Returns whether the administrator should be advised to configure a jail: the process is root
    /// and could enter one, but this `Jail` has none.
    #[must_use]
    pub const fn is_jail_advisable(&self) -> bool {
        self.advisable
    }
}

impl Jail<'_> {
    /// Tries in a child process whether and how [`enter`](Jail::enter) would succeed now, for a
    /// daemon's check of its configuration.
    ///
    /// The process itself does not change. All signals of the calling thread are blocked until the
    /// child has ended, so no handler of the caller runs in the child. On Linux no handler of
    /// `pthread_atfork` runs, and no `SIGCHLD` is sent; elsewhere both happen.
    ///
    /// It does not seal. To find out whether a required protection is possible, fork and seal in
    /// the child, or run `autochroot --check --require PROTECTION`. The launcher sets
    /// `Jail::empty_bounding_set`, without which the bounding set and the securebits are missing
    /// for an ordinary user. Like `enter`, it has to come before threads.
    ///
    /// # Cost
    ///
    /// A `fork`, and the cost of `enter`.
    ///
    /// # Errors
    ///
    /// Those of [`enter`](Jail::enter). [`Error::is_partial`] is only true if a directory could not
    /// be removed, because everything else ended with the child. [`Step::Fork`]: the fork failed,
    /// for lack of memory or processes.
    ///
    /// # Source
    ///
    /// [`fork(2)`](https://man7.org/linux/man-pages/man2/fork.2.html),
    /// [`clone(2)`](https://man7.org/linux/man-pages/man2/clone.2.html)
    pub fn check(self) -> Result<Check, Error> {
        self.check_options()?;
        if self.root().is_jail() {
            return self.try_in_a_fork(self.plan.threads, || self.enter());
        }
        let advisable = self.is_advisable();
        Ok(Check { root: Root::Unjailed, entered: Entered::Unjailed, parent: None, advisable })
    }

    /// Returns whether root has no jail although it could have one.
    fn is_advisable(&self) -> bool {
        !self.root().is_jail() && geteuid().is_root() && may_chroot_ever()
    }

    /// Enters in a fork. With `threads`, the caller may have other threads, unless a user namespace
    /// is needed.
    pub(crate) fn try_in_a_fork(
        &self,
        threads: bool,
        enter: impl FnOnce() -> Result<Jailed, Error>,
    ) -> Result<Check, Error> {
        let refused = |step, fault: Fault| explain(Error::inside(step, fault, Residue::default()));
        let alone = match only_thread() {
            Err(fault) if !threads => return Err(refused(Step::Threads, fault)),
            told => told.is_ok(),
        };
        let tried = in_a_fork(|| enter().map(|jailed| Check::of(&jailed)));
        match tried.map_err(|fault| refused(Step::Fork, fault))? {
            Ok(check) if check.entered == Entered::UserNamespace && !alone => {
                Err(refused(Step::NewUserNamespace, Errno::INVAL.into()))
            }
            Ok(check) => Ok(Check { advisable: self.is_advisable(), ..check }),
            Err(error) => {
                let Residue { directory, left, .. } = error.traces;
                Err(Error { traces: Residue { directory, left, ..Residue::default() }, ..error })
            }
        }
    }
}

/// The report of the fork, in memory that both processes see.
struct Report {
    answer: MaybeUninit<Result<Check, Error>>,
    /// 1 when the answer is complete.
    committed: AtomicU32,
}

/// Ends the fork when it leaves this scope, also by a panic: it must not unwind into the caller's
/// code.
struct Exit;

impl Drop for Exit {
    fn drop(&mut self) {
        _exit(0)
    }
}

/// Returns what `enter` returned in a fork. If the fork ends before it has answered, the error
/// names its end.
fn in_a_fork(enter: impl FnOnce() -> Result<Check, Error>) -> Result<Result<Check, Error>, Fault> {
    let length = size_of::<Report>();
    // SAFETY: a new mapping, which nothing else uses.
    let memory =
        unsafe { mmap_anonymous(ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)? };
    let report = memory.cast::<Report>();
    // SAFETY: a page is aligned for any type and full of zeros, which both fields may be. No
    // reference leads to the answer, which the other process writes; the word is atomic.
    let (answer, committed) = unsafe { (&raw mut (*report).answer, &(*report).committed) };
    let ended = SignalsBlocked::new().and_then(|_blocked| {
        // SAFETY: the child only makes system calls: `enter` takes no lock and allocates nothing.
        // If the plan allows other threads, `enter` does not read the environment.
        let Some(child) = (unsafe { fork()? }) else {
            let _exit = Exit;
            // SAFETY: the other process does not read it yet. It is Copy: numbers, and references
            // to constants, which are the same in both processes.
            unsafe { answer.write(MaybeUninit::new(enter())) };
            committed.store(1, Ordering::Release);
            return Err(Errno::CHILD); // `Exit` ends the child here
        };
        Ok(wait_for(child))
    });
    let outcome = match ended {
        // SAFETY: the answer was written before `committed`.
        Ok(_) if committed.load(Ordering::Acquire) == 1 => Ok(unsafe { answer.read().assume_init() }),
        Ok(status) => Err(status.and_then(WaitStatus::terminating_signal).map_or(Fault::Silent, Fault::killed)),
        Err(errno) => Err(errno.into()),
    };
    // SAFETY: the mapping made above, to which no reference is used any more.
    unsafe { munmap(memory, length)? };
    outcome
}
