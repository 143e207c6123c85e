//! What only Linux has: becoming another user, the seal, and what is in force.

mod enter_as;

use super::Jailed;
use crate::capabilities::Capabilities;
use crate::error::{Error, Fault, Step};
use crate::jail::Entered;
use crate::linux::{Before, RunAs, Seal, Sealing, User, Way, explain, run_steps};
use crate::protection::{InForce, Protection, SessionKeyring};

/// Linux only.
impl Jailed {
    /// A step that failed, as an error; whether changes were made before it comes last.
    fn refused(&self, (step, fault, changed): (impl Into<Step>, Fault, bool)) -> Error {
        explain(Error::inside(step.into(), fault, self.traces(changed)))
    }

    /// By what right the jail was entered. Costs no system call.
    #[must_use]
    pub const fn entered(&self) -> Entered {
        self.entered
    }

    /// Whether `geteuid()` and `getegid()` say what they said before. Costs no system call.
    #[must_use]
    pub const fn ids_kept(&self) -> bool {
        self.ids_kept
    }

    /// Whose session keyring the process has. Costs no system call.
    #[must_use]
    pub const fn session_keyring(&self) -> SessionKeyring {
        self.keyring
    }

    /// Whether it is certain that no descriptor that was looked at is an `io_uring`: false where open directories are allowed, and
    /// where a filter refuses `io_uring_enter` and `/proc` is not there to tell. Costs no system call.
    #[must_use]
    pub const fn rings_checked(&self) -> bool {
        self.rings_checked
    }

    /// Whether it is certain that no other process shares the root, the working directory or the descriptors: false where threads are
    /// allowed and where a filter refuses `unshare`. Another process that shares them could move the working directory out of the jail.
    /// Costs no system call.
    #[must_use]
    pub const fn is_unshared(&self) -> bool {
        self.unshared
    }

    /// Becomes this user for good: sets the real, effective and saved ids, and the supplementary groups. Unless the user is root, no
    /// capability is left, the bounding set is empty, the securebits are locked, and the session keyring is replaced by an empty one. Ids,
    /// groups and capabilities are verified.
    ///
    /// [`Jail::enter_as`](crate::Jail::enter_as) enters and does this in one call, and refuses before anything changes.
    ///
    /// A process that entered through a user namespace cannot change its user: only its own ids are accepted, and no other groups. The
    /// supplementary groups that it has stay in force there, and cannot be verified.
    ///
    /// The parent-death signal, which a change of ids clears, is set again; if the parent ended meanwhile, it is sent. A process that was
    /// dumpable is not any more: others of the new user cannot look into it.
    ///
    /// # Cost
    ///
    /// 22 system calls and one for each capability that the kernel knows (41 on Linux 6.18), in a user namespace 13.
    ///
    /// # Errors
    ///
    /// [`Step::Threads`]: there is more than one thread, or this is a fork of the process that entered and a filter refuses `unshare`.
    /// [`Step::CheckIds`]: 4294967295 is no id, more than 65536 groups, or ids that a user namespace does not have. Nothing has
    /// changed since the entry then. [`Step::SetGroups`], [`Step::SetGid`],
    /// [`Step::SetUid`], [`Step::DropCapabilities`]: the system call failed, with `EPERM` without `CAP_SETGID` and
    /// `CAP_SETUID`. [`Step::Verify`]: ids, groups or capabilities are not what was asked for, or the way back is open.
    ///
    /// # Source
    ///
    /// [`credentials(7)`](https://man7.org/linux/man-pages/man7/credentials.7.html)
    pub fn run_as(self, user: &User<'_>) -> Result<Jailed, Error> {
        self.run_as_keeping(user, Capabilities::NONE)
    }

    /// [`run_as`](Jailed::run_as), but keep these capabilities, also through an `execve` ([`Seal::allow_execute`]): for a
    /// daemon that binds port 443 later. Costs six system calls more, and three for each of them.
    ///
    /// # Errors
    ///
    /// Those of `run_as`, [`Step::CheckCapabilities`] for a capability that is not held, and
    /// [`Step::CheckIds`] for uid 0, which keeps all its capabilities until a [`Seal`] drops them; nothing has changed since the entry then.
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
        run_steps(RunAs::CHECKS, changes, |step| run_as.perform(step)).map_err(|failure| self.refused(failure))?;
        let keyring = run_as.keyring;
        Ok(Jailed { keyring, kept: keep, ..self })
    }

    /// Gives up everything, except the capabilities that [`run_as_keeping`](Jailed::run_as_keeping) kept:
    /// [`seal_with`](Jailed::seal_with) the default [`Seal`].
    ///
    /// # Errors
    ///
    /// Those of `seal_with`.
    pub fn seal(self) -> Result<Sealed, Error> {
        self.seal_with(Seal::new())
    }

    /// Gives up for good, as far as the kernel and the privilege allow, what could lead out of the jail:
    ///
    /// - Capabilities: every one that is not kept, from the bounding, ambient, inheritable, permitted and effective sets.
    /// - The power of uid 0, of set-id programs and of file capabilities: securebits, all locked, and `no_new_privs`.
    /// - The keys of whoever started the process: an empty session keyring.
    /// - By Landlock, to open, list, execute, make, remove, rename or truncate anything on a mounted file system, except to list the
    ///   empty root and, if it has [files](crate::Jail::files), to read them and write to devices, also through a directory that is still open or comes over a socket; from ABI 9 on (Linux 7.1), to connect to a
    ///   socket by its path through such a directory; and, from ABI 6 on (Linux 6.12), signals and abstract Unix
    ///   sockets to processes outside.
    /// - By a seccomp filter, the system calls that lead out in spite of all this, or into other processes of the user: `setns`,
    ///   `open_by_handle_at`, `mq_open`, `mq_unlink`, `add_key`, `keyctl`, `request_key`, `io_uring_setup`, `io_uring_enter`,
    ///   `io_uring_register`, `bpf`, `perf_event_open`, `userfaultfd`, `prlimit64` with a pid other than 0, and `ioctl` with
    ///   `TIOCSTI` or `TIOCLINUX` fail with `EPERM`. Without Landlock, so do `ptrace`, `process_vm_readv`, `process_vm_writev`
    ///   and `pidfd_getfd`; without a jail, `unshare` and `clone` with `CLONE_NEWUSER`, while `clone3` fails with `ENOSYS`. On
    ///   `x86_64` and aarch64 the filter holds for 32-bit programs too; calls of other ABIs, as x32, fail with `ENOSYS`.
    ///
    /// Through a directory that is still open, a process can still look (`stat`, `O_PATH`), before ABI 9 connect to a socket by path, and change
    /// mode, owner, times and extended attributes where it has the right to: close it.
    ///
    /// The network is left alone, and so is what is beneath a [`directory`](crate::Jail::directory) of the caller's.
    /// [`Sealed`] reports the protections that are in force: bounding set and securebits take
    /// `CAP_SETPCAP`, in a user namespace [`Jail::empty_bounding_set`](crate::Jail::empty_bounding_set).
    ///
    /// # Cost
    ///
    /// 22 system calls and two for each capability that the kernel knows, after [`run_as`](Jailed::run_as) 18 and one
    /// for each, in a user namespace 18, and one for each if
    /// [`Jail::empty_bounding_set`](crate::Jail::empty_bounding_set) was asked for. The filter takes two thirds of the time: the kernel
    /// tries all its calls once. Later it costs each call of the process some nanoseconds.
    ///
    /// # Errors
    ///
    /// [`Step::Threads`]: as of `run_as`. [`Step::CheckCapabilities`]: a capability to keep is not held.
    /// [`Step::Ruleset`]: no descriptor is left. [`Step::Require`]: a required protection is missing. Nothing has changed
    /// since the entry then. [`Step::Verify`]: something given up is still there, or a required protection could not be put in
    /// force after all. All others: the system call failed; a part is given up.
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
        run_steps(Sealing::CHECKS, Sealing::CHANGES, |step| sealing.perform(step))
            .map_err(|failure| self.refused(failure))?;
        let in_force = sealing.in_force;
        Ok(Sealed { jailed: self, in_force, kept: keep })
    }
}

/// Proof that a jail is sealed, and of what that means on this kernel (Linux). `no_new_privs` is set in any case.
#[derive(Debug)]
pub struct Sealed {
    jailed: Jailed,
    in_force: InForce,
    kept: Capabilities,
}

/// None of these costs a system call.
impl Sealed {
    /// The proof of entry.
    pub const fn jailed(&self) -> &Jailed {
        &self.jailed
    }

    /// The capabilities that are still held.
    #[must_use]
    pub const fn capabilities(&self) -> Capabilities {
        self.kept
    }

    /// Whether this protection is in force.
    #[must_use]
    pub const fn has(&self, protection: Protection) -> bool {
        self.in_force.has(protection)
    }

    /// Whose session keyring the process has.
    #[must_use]
    pub const fn session_keyring(&self) -> SessionKeyring {
        self.in_force.keyring
    }

    /// Whether no capability but those kept is in the bounding set.
    #[must_use]
    pub const fn bounding_set_empty(&self) -> bool {
        self.in_force.bounding_set
    }

    /// Whether the securebits are set and locked.
    #[must_use]
    pub const fn securebits_locked(&self) -> bool {
        self.in_force.securebits
    }

    /// The version of Landlock that is in force, at most 9, the newest that is used; `None` if the kernel has none. From 6 on it holds
    /// back signals and
    /// abstract Unix sockets too.
    #[must_use]
    pub const fn landlock(&self) -> Option<i32> {
        self.in_force.landlock
    }
}
