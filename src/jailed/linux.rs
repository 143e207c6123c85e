//! Becoming another user, the seal, and the protections in force (Linux).

use super::Jailed;
use crate::capabilities::Capabilities;
use crate::error::Error;
#[cfg(doc)]
use crate::error::Step;
use crate::hints::cause::Cause;
use crate::jail::Entered;
use crate::linux::{Before, RunAs, Seal, Sealing, User, Way, explain, run_steps};
use crate::protection::{InForce, Protection, SessionKeyring};

/// Linux only.
impl Jailed {
    /// Returns how the jail was entered.
    #[must_use]
    pub const fn entered(&self) -> Entered {
        self.entered
    }

    /// Returns whether the process still shows the ids that it had before. False only in a user
    /// namespace with `IdMap::None`.
    #[must_use]
    pub const fn ids_kept(&self) -> bool {
        self.ids_kept
    }

    /// Returns the session keyring that the process has.
    #[must_use]
    pub const fn session_keyring(&self) -> SessionKeyring {
        self.keyring
    }

    /// Returns whether all descriptors were checked for an `io_uring`. False if open directories
    /// are allowed, or if a filter refuses `io_uring_enter` and `/proc` is missing.
    #[must_use]
    pub const fn rings_checked(&self) -> bool {
        self.rings_checked
    }

    /// Returns whether it is certain that no other process shares the root, the working directory
    /// or the descriptors. Such a process could move the working directory out of the jail. False
    /// if threads are allowed, or if a filter refuses `unshare`.
    #[must_use]
    pub const fn is_unshared(&self) -> bool {
        self.unshared
    }

    /// Becomes this user for good: sets the real, effective and saved ids, and the supplementary
    /// groups. Unless the user is root, no capability is left, the bounding set is empty, the
    /// securebits are locked, and the session keyring is replaced by an empty one. Ids, groups and
    /// capabilities are verified.
    ///
    /// [`Jail::enter_as`](crate::Jail::enter_as) enters and does this in one call, and refuses
    /// before anything changes.
    ///
    /// A process that entered through a user namespace cannot change its user: only its own ids are
    /// accepted, and no other groups. Its supplementary groups stay in force, and cannot be
    /// verified.
    ///
    /// A change of ids clears the parent-death signal, so it is set again. If the parent ended
    /// meanwhile, the signal is sent. The process is not dumpable afterwards: other processes of
    /// the new user cannot look into it.
    ///
    /// # Cost
    ///
    /// 25 system calls and one for each capability that the kernel knows (41 on Linux 6.18), in a
    /// user namespace 13.
    ///
    /// # Errors
    ///
    /// - [`Step::Threads`]: there is more than one thread, or this is a fork of the process that
    ///   entered, and a filter refuses `unshare`.
    /// - [`Step::CheckIds`]: an id is 4294967295, there are more than 65536 groups, or the process
    ///   entered through a user namespace with other ids. Nothing has changed since the entry.
    /// - [`Step::SetGroups`], [`Step::SetGid`], [`Step::SetUid`], [`Step::DropCapabilities`]: the
    ///   system call failed, with `EPERM` if `CAP_SETGID` or `CAP_SETUID` is missing.
    /// - [`Step::HoldCapabilities`]: the securebits forbid that capabilities survive the change.
    /// - [`Step::Verify`]: ids, groups or capabilities differ from what was asked for, or the old
    ///   ids can be set again.
    ///
    /// If the change fails half way, the text names what has changed, and contains "the process is
    /// neither user: end it". What was set to hold the capabilities is put back, and after the
    /// change of the user id no capability is left.
    ///
    /// # Source
    ///
    /// [`credentials(7)`](https://man7.org/linux/man-pages/man7/credentials.7.html)
    pub fn run_as(self, user: &User<'_>) -> Result<Jailed, Error> {
        self.run_as_keeping(user, Capabilities::NONE)
    }

    /// Becomes this user like [`run_as`](Jailed::run_as), but keeps these capabilities, also
    /// through an `execve` ([`Seal::allow_execute`]). Example: a daemon that binds port 443 later.
    ///
    /// # Cost
    ///
    /// Five system calls more than `run_as`, and two for each capability.
    ///
    /// # Errors
    ///
    /// - Those of `run_as`.
    /// - [`Step::CheckCapabilities`]: a capability is not held, or the securebits forbid keeping
    ///   it. Nothing has changed since the entry.
    /// - [`Step::CheckIds`]: the user is root, which keeps all capabilities until a [`Seal`] drops
    ///   them. Nothing has changed since the entry.
    pub fn run_as_keeping(self, user: &User<'_>, keep: Capabilities) -> Result<Jailed, Error> {
        self.become_user(user, Way { ids: true, groups: true }, keep)
    }

    /// Sets what differs, and drops what is not kept.
    pub(crate) fn become_user(self, user: &User<'_>, way: Way, keep: Capabilities) -> Result<Jailed, Error> {
        let before = Before {
            in_user_namespace: self.in_user_namespace(),
            ids_kept: self.ids_kept,
            keyring: self.keyring,
            stat: self.stat.as_ref(),
        };
        let mut run_as = RunAs::new(before, user, way, keep);
        let changes = RunAs::changes(self.in_user_namespace(), user.uid().as_raw(), way);
        run_steps(RunAs::CHECKS, changes, |step| run_as.perform(step)).map_err(|(step, fault, changes)| {
            let error = explain(Error::inside(step.into(), fault, self.traces()));
            Error { traces: run_as.remains(changes, step, error.traces), ..error }
        })?;
        let keyring = run_as.keyring;
        Ok(Jailed { keyring, kept: keep, ..self })
    }

    /// Calls [`seal_with`](Jailed::seal_with) with the default [`Seal`], which gives up everything
    /// except the capabilities that [`run_as_keeping`](Jailed::run_as_keeping) kept.
    ///
    /// # Errors
    ///
    /// The errors of `seal_with`.
    pub fn seal(self) -> Result<Sealed, Error> {
        self.seal_with(Seal::new())
    }

    /// Gives up for good, as far as the kernel and the privilege allow, what could lead out of the
    /// jail:
    ///
    /// - Capabilities: every one that is not kept, from the bounding, ambient, inheritable,
    ///   permitted and effective sets.
    /// - The power of uid 0, of set-id programs and of file capabilities: securebits, all locked,
    ///   and `no_new_privs`.
    /// - The keys of whoever started the process: an empty session keyring.
    /// - Access to file systems, by Landlock: to open, list, execute, create, remove, rename or
    ///   truncate anything on a mounted file system, also through a directory that is still open or
    ///   received over a socket. Exceptions: the empty root can be listed, and its
    ///   [files](crate::Jail::files) can be read, its devices also written.
    /// - By newer versions of Landlock: signals and abstract Unix sockets to processes outside (ABI
    ///   6, Linux 6.12), and connecting to a socket by path through an open directory (ABI 9, Linux
    ///   7.1).
    /// - System calls that lead out in other ways, or into other processes of the user, by a
    ///   seccomp filter. These fail with `EPERM`: `setns`, `open_by_handle_at`, `mq_open`,
    ///   `mq_unlink`, `add_key`, `keyctl`, `request_key`, `io_uring_setup`, `io_uring_enter`,
    ///   `io_uring_register`, `bpf`, `perf_event_open`, `userfaultfd`, `fanotify_init`, `syslog`,
    ///   `prlimit64` with a pid other than 0, `ptrace` with `PTRACE_TRACEME`, `fcntl` with
    ///   `F_SETSIG` or `F_NOTIFY`, and `ioctl` with `TIOCSTI` or `TIOCLINUX`.
    /// - Without Landlock also: all of `ptrace`, `process_vm_readv`, `process_vm_writev` and
    ///   `pidfd_getfd`.
    /// - `execve` and `execveat`, except in these cases: [`Seal::allow_execute`] was called, a file
    ///   of the root is executable, the root is a directory of the caller, or there is no jail.
    /// - Without a jail also: `unshare` and `clone` with `CLONE_NEWUSER`. `clone3` fails with
    ///   `ENOSYS`.
    ///
    /// On `x86_64` and aarch64 the filter also holds for 32-bit programs. Calls of other ABIs, such
    /// as x32, fail with `ENOSYS`.
    ///
    /// Close open directories. Through one, a process can still use `stat` and `O_PATH`, connect to
    /// a socket by path (before ABI 9), and change mode, owner, times and extended attributes as
    /// its ids allow.
    ///
    /// The network is not restricted, except by [`Seal::no_connect`], nor is what is beneath a
    /// [`directory`](crate::Jail::directory) that the caller named. [`Sealed`] reports
    /// the protections in force. Bounding set and securebits require `CAP_SETPCAP`, or in a user
    /// namespace [`Jail::empty_bounding_set`](crate::Jail::empty_bounding_set).
    ///
    /// # Cost
    ///
    /// - After an entry by privilege: 21 system calls, and two for each capability that the kernel
    ///   knows.
    /// - After [`run_as`](Jailed::run_as): 17, and one for each capability.
    /// - In a user namespace: 17. With
    ///   [`Jail::empty_bounding_set`](crate::Jail::empty_bounding_set) also one for each
    ///   capability.
    ///
    /// The filter takes two thirds of the time, because the kernel tries each call once. Later it
    /// adds some nanoseconds to each call of the process.
    ///
    /// # Errors
    ///
    /// Before anything has changed since the entry:
    ///
    /// - [`Step::Threads`]: see `run_as`.
    /// - [`Step::CheckCapabilities`]: a capability to keep is not held, or the securebits forbid
    ///   keeping it.
    /// - [`Step::Ruleset`]: no descriptor is left, the descriptor to execute is not open, or
    ///   [`Seal::log_denials`] requires a newer kernel.
    /// - [`Step::Require`]: a required protection is missing, or [`Seal::no_connect`] is not
    ///   possible.
    ///
    /// Later, when a part is given up:
    ///
    /// - [`Step::Verify`]: something that was given up is still there, or a required protection is
    ///   not in force.
    /// - All others: the system call failed.
    ///
    /// # Source
    ///
    /// [`capabilities(7)`](https://man7.org/linux/man-pages/man7/capabilities.7.html),
    /// [`landlock(7)`](https://man7.org/linux/man-pages/man7/landlock.7.html),
    /// [`seccomp(2)`](https://man7.org/linux/man-pages/man2/seccomp.2.html),
    /// [`keyrings(7)`](https://man7.org/linux/man-pages/man7/keyrings.7.html)
    pub fn seal_with(self, seal: Seal<'_>) -> Result<Sealed, Error> {
        let keep = seal.keep.unwrap_or(self.kept);
        let mut sealing = Sealing::new(seal, keep, self.root(), self.place.contents, self.keyring, self.stat.as_ref());
        run_steps(Sealing::CHECKS, Sealing::CHANGES, |step| sealing.perform(step)).map_err(
            |(step, fault, changes)| {
                explain(Error::inside(step.into(), fault, Sealing::remains(changes, self.traces())))
            },
        )?;
        let in_force = sealing.in_force;
        Ok(Sealed { jailed: self, in_force, kept: keep })
    }
}

/// Proves that the process is sealed, and reports the protections in force on this kernel (Linux).
/// `no_new_privs` is always set. Dropping it changes nothing.
#[derive(Debug)]
pub struct Sealed {
    jailed: Jailed,
    in_force: InForce,
    kept: Capabilities,
}

/// Except [`cause`](Sealed::cause), no method makes a system call.
impl Sealed {
    /// Returns the proof of entry.
    pub const fn jailed(&self) -> &Jailed {
        &self.jailed
    }

    /// Returns the capabilities that are still held.
    #[must_use]
    pub const fn capabilities(&self) -> Capabilities {
        self.kept
    }

    /// Returns whether this protection is in force.
    #[must_use]
    pub const fn has(&self, protection: Protection) -> bool {
        self.in_force.has(protection)
    }

    /// Returns why this protection is not in force, if that can be known. Costs up to one system
    /// call. Without the feature `hints` it is always `None`.
    #[must_use]
    pub fn cause(&self, protection: Protection) -> Option<Cause> {
        if self.has(protection) {
            return None;
        }
        protection.cause_with(self.in_force.outer_filter, self.in_force.may_set_privileges)
    }

    /// Returns the session keyring that the process has.
    #[must_use]
    pub const fn session_keyring(&self) -> SessionKeyring {
        self.in_force.keyring
    }

    /// Returns whether the bounding set is empty, except for the capabilities that are kept.
    #[must_use]
    pub const fn bounding_set_empty(&self) -> bool {
        self.in_force.bounding_set
    }

    /// Returns whether the securebits are set and locked.
    #[must_use]
    pub const fn securebits_locked(&self) -> bool {
        self.in_force.securebits
    }

    /// Returns whether new sockets and connections are refused ([`Seal::no_connect`]).
    #[must_use]
    pub const fn refuses_connect(&self) -> bool {
        self.in_force.no_connect
    }

    /// Returns whether `execve` and `execveat` are refused: the filter is in force, and the seal
    /// allows nothing to be executed.
    #[must_use]
    pub const fn refuses_execute(&self) -> bool {
        self.in_force.no_execute
    }

    /// Returns the version of Landlock in force, at most 9, or `None` if Landlock is not in force.
    /// From version 6 on it also restricts signals and abstract Unix sockets.
    #[must_use]
    pub const fn landlock(&self) -> Option<i32> {
        self.in_force.landlock
    }
}
