//! Why an entry was refused, where that can be known, and what to change (Linux).

use core::ffi::CStr;
use core::fmt;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use super::apparmor::restricts_user_namespaces;
use super::landlock;
use super::privileges::may_set_privileges;
use super::proc::{exists, number_in, text};
use super::threads::{another_thread_lives, only_thread, unshare_is_filtered};
use crate::error::{Error, Fault, Step};
use crate::protection::Protection;
use crate::text::number;

/// What made the kernel refuse an entry: from [`Error::cause`]. Displayed as one line that says what to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// There is more than one thread.
    Threads,
    /// Another process shares the memory of this one: it was made by `vfork`, or by `clone` with `CLONE_VM`.
    SharedMemory,
    /// A descriptor is open on a directory.
    OpenDirectory,
    /// A descriptor is an `io_uring`.
    OpenRing,
    /// There is no privilege to `chroot`, and a user namespace is not allowed by the caller.
    NoPrivilege,
    /// No directory of the list can be written.
    NoParent,
    /// A seccomp filter refuses `unshare`, as Docker's does.
    Seccomp,
    /// The sysctl `kernel.unprivileged_userns_clone` is 0 (Debian).
    UnprivilegedUsernsClone,
    /// The process is already in a chroot, where the kernel makes no user namespaces.
    Chrooted,
    /// The process' own user or group id is not mapped in the user namespace that it is in.
    UnmappedId,
    /// The sysctl `user.max_user_namespaces` is 0.
    NoMoreUserNamespaces,
    /// `user.max_user_namespaces` are in use, or they are nested 32 deep.
    UserNamespaceLimit,
    /// The kernel was built without user namespaces.
    NoUserNamespaces,
    /// The sysctl `kernel.apparmor_restrict_unprivileged_userns` is 1 (Ubuntu).
    AppArmor,
    /// `SELinux` is enforcing.
    SeLinux,
    /// `/proc` is not mounted.
    NoProc,
    /// `/proc` is mounted read-only.
    ReadOnlyProc,
    /// The process is not dumpable: it has changed its user, has file capabilities, or its program cannot be read.
    NotDumpable,
    /// Uid 0 does not hold `CAP_SETFCAP`, without which it is not mapped (Linux 5.12).
    NoSetfcap,
    /// The kernel is too old for a detached mount (Linux 5.2).
    NoDetachedMount,
    /// The kernel is too old for failfs (Linux 7.3).
    NoFailfs,
    /// The jail was entered through a user namespace, in which no capability is kept.
    NothingKept,
    /// `CAP_SETGID` or `CAP_SETUID` is not held, which it takes to become another user.
    NoSetuid,
    /// `CAP_SETPCAP` is not held, which it takes to change the bounding set and the securebits.
    NoSetpcap,
    /// The kernel was built without Landlock, or is older than Linux 5.13.
    NoLandlock,
    /// Landlock is disabled at boot.
    LandlockDisabled,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Threads => "there is more than one thread: enter before the first is started",
            Cause::SharedMemory => {
                "another process shares the memory (vfork, clone with CLONE_VM): enter in one that has its own"
            }
            Cause::OpenDirectory => "close that directory: a process leaves the jail through it",
            Cause::OpenRing => "close that io_uring: a process opens files through a directory that is registered in it",
            Cause::NoPrivilege => "run as root or with CAP_SYS_CHROOT, or do not forbid user namespaces",
            Cause::NoParent => "name a directory that can be written, or use the root \"detached\"",
            Cause::Seccomp => "a seccomp filter refuses unshare: run as root with CAP_SYS_CHROOT, or change the filter",
            Cause::UnprivilegedUsernsClone => "set the sysctl kernel.unprivileged_userns_clone, which is 0, to 1",
            Cause::Chrooted => "already in a chroot, where no user namespace can be made: run as root or outside of it",
            Cause::UnmappedId => "the user or group id is not mapped in this user namespace: map it in uid_map and gid_map",
            Cause::NoMoreUserNamespaces => "raise the sysctl user.max_user_namespaces, which is 0",
            Cause::UserNamespaceLimit => {
                "the limit user.max_user_namespaces is reached, or user namespaces are nested 32 deep"
            }
            Cause::NoUserNamespaces => "this kernel has no user namespaces (CONFIG_USER_NS): run as root",
            Cause::AppArmor => {
                "set the sysctl kernel.apparmor_restrict_unprivileged_userns, which is 1, to 0, or add an AppArmor profile \
                 that allows userns"
            }
            Cause::SeLinux => "SELinux is enforcing and refuses the user namespace: change the policy",
            Cause::NoProc => "mount /proc, or go without id maps",
            Cause::ReadOnlyProc => "/proc is read-only: mount it writable, or go without id maps",
            Cause::NotDumpable => "enter before the process changes its user, or go without id maps",
            Cause::NoSetfcap => "uid 0 needs CAP_SETFCAP to keep its id: grant it, or go without id maps",
            Cause::NothingKept => "in a user namespace no capability is kept: enter with privilege",
            Cause::NoSetuid => "to become another user takes CAP_SETGID and CAP_SETUID: run as root",
            Cause::NoSetpcap => "CAP_SETPCAP is not held: run as root, or enter through a user namespace",
            Cause::NoLandlock => "this kernel has no Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK)",
            Cause::LandlockDisabled => "Landlock is disabled: add landlock to the boot parameter lsm=",
            Cause::NoFailfs => "failfs takes Linux 7.3: use another root, or a list such as detached,unlinked",
            Cause::NoDetachedMount => "a detached mount takes Linux 5.2: name a directory that can be written",
        })
    }
}

impl Error {
    /// Why it was refused, if that can be known: nothing is guessed. To be asked at once, by the process that was refused.
    ///
    /// Costs no system call where the error itself tells, otherwise up to about ten: it reads `/proc/sys`, `/proc/self`, `/sys` and
    /// tries an `unshare` that changes nothing.
    ///
    /// # Source
    ///
    /// [`user_namespaces(7)`](https://man7.org/linux/man-pages/man7/user_namespaces.7.html),
    /// [`unshare(2)`](https://man7.org/linux/man-pages/man2/unshare.2.html); of `AppArmor`'s sysctl
    /// [Ubuntu's specification](https://discourse.ubuntu.com/t/spec-unprivileged-user-namespace-restrictions-via-apparmor-in-ubuntu-23-10/37626)
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        // Of several roots the first whose cause is known.
        let tried = self.attempts.into_iter().flatten().map(|(_, step, fault)| (step, fault));
        [(self.step, self.fault)].into_iter().chain(tried).find_map(|(step, fault)| self.cause_of(step, fault))
    }

    fn cause_of(&self, step: Step, fault: Fault) -> Option<Cause> {
        match (step, fault.errno()) {
            (Step::Threads, Some(Errno::INVAL)) if another_thread_lives() == Some(false) => Some(Cause::SharedMemory),
            (Step::Threads, Some(Errno::INVAL)) => Some(Cause::Threads),
            (Step::Threads, _) if !self.traces.root && !exists(c"/proc/self/stat") => Some(Cause::NoProc),
            (Step::Descriptors, None) if fault == Fault::OpenRing => Some(Cause::OpenRing),
            (Step::Descriptors, None) => Some(Cause::OpenDirectory),
            _ if fault.is_of_parent(step) && self.tried.iter().any(Option::is_some) => Some(Cause::NoParent),
            (Step::Chroot, Some(Errno::INVAL)) if another_thread_lives() == Some(false) => Some(Cause::SharedMemory),
            (Step::Chroot, Some(Errno::INVAL)) => Some(Cause::Threads),
            (Step::Chroot | Step::Mount, Some(Errno::PERM)) if !self.traces.user_namespace => {
                (!may_chroot()).then_some(Cause::NoPrivilege)
            }
            (Step::Failfs, Some(Errno::NOSYS)) => Some(Cause::NoFailfs),
            (Step::NewUserNamespace, None) if fault == Fault::Restricted => Some(Cause::AppArmor),
            (Step::Mount, Some(Errno::NOSYS)) => Some(Cause::NoDetachedMount),
            (Step::SetGroups | Step::SetGid | Step::SetUid, Some(Errno::PERM)) if lacks_setuid() => {
                Some(Cause::NoSetuid)
            }
            (Step::CheckCapabilities, None) if self.traces.user_namespace => Some(Cause::NothingKept),
            (Step::Require, None) => fault.missing_protection().and_then(Protection::cause),
            (Step::Proc, Some(Errno::NOENT)) if is_chrooted() => Some(Cause::Chrooted),
            (Step::Proc, Some(Errno::NOENT)) => Some(Cause::NoProc),
            (Step::Proc, None) if fault == Fault::NotDumpable => Some(Cause::NotDumpable),
            (Step::NewUserNamespace, Some(errno)) if cfg!(feature = "userns") => no_user_namespace(errno),
            (Step::MapUid, _) if fault == Fault::NoSetfcap => Some(Cause::NoSetfcap),
            (Step::Proc, Some(Errno::ROFS)) => Some(Cause::ReadOnlyProc),
            (
                Step::OpenMaps | Step::MapUid | Step::DenySetgroups | Step::MapGid | Step::Chroot | Step::Mount,
                Some(Errno::PERM | Errno::ACCESS),
            ) => apparmor(),
            _ => None,
        }
    }
}

impl Protection {
    /// Returns why this process cannot have the protection, if that can be known. Costs up to one system call.
    #[must_use]
    pub fn cause(self) -> Option<Cause> {
        match self {
            Protection::BoundingSet | Protection::Securebits => {
                (!may_set_privileges().unwrap_or(true)).then_some(Cause::NoSetpcap)
            }
            Protection::Landlock => match landlock::query() {
                Err(Errno::NOSYS) => Some(Cause::NoLandlock),
                Err(Errno::OPNOTSUPP) => Some(Cause::LandlockDisabled),
                Ok(_) | Err(_) => None,
            },
            Protection::Seccomp | Protection::Keyring => None,
        }
    }
}

/// In the order in which the kernel asks.
fn no_user_namespace(errno: Errno) -> Option<Cause> {
    match errno {
        Errno::PERM | Errno::NOSYS if unshare_is_filtered() => Some(Cause::Seccomp),
        Errno::PERM if number_in(c"/proc/sys/kernel/unprivileged_userns_clone") == Some(0) => {
            Some(Cause::UnprivilegedUsernsClone)
        }
        Errno::PERM if is_chrooted() => Some(Cause::Chrooted),
        Errno::PERM if is_unmapped() => Some(Cause::UnmappedId),
        Errno::PERM | Errno::ACCESS if number_in(c"/sys/fs/selinux/enforce") == Some(1) => Some(Cause::SeLinux),
        Errno::PERM | Errno::ACCESS => apparmor(),
        Errno::NOSPC if number_in(c"/proc/sys/user/max_user_namespaces") == Some(0) => {
            Some(Cause::NoMoreUserNamespaces)
        }
        Errno::NOSPC | Errno::USERS => Some(Cause::UserNamespaceLimit),
        Errno::INVAL if only_thread().is_err() => Some(Cause::Threads),
        Errno::INVAL | Errno::NOSYS if exists(c"/proc/self/stat") && !exists(c"/proc/self/ns/user") => {
            Some(Cause::NoUserNamespaces)
        }
        _ => None,
    }
}

fn apparmor() -> Option<Cause> {
    restricts_user_namespaces().then_some(Cause::AppArmor)
}

/// "/" is then not the root of a mount. Older kernels than 5.8 do not tell.
fn is_chrooted() -> bool {
    const MOUNT_ROOT: u64 = 0x2000;
    statx(CWD, c"/", AtFlags::empty(), StatxFlags::empty()).is_ok_and(|root| {
        root.stx_attributes_mask.bits() & MOUNT_ROOT != 0 && root.stx_attributes.bits() & MOUNT_ROOT == 0
    })
}

/// The effective user or group id is not mapped in the user namespace that the process is in.
fn is_unmapped() -> bool {
    is_outside(c"/proc/self/uid_map", geteuid().as_raw()) || is_outside(c"/proc/self/gid_map", getegid().as_raw())
}

/// No line of the map holds the id: the first number of each is an id here, the third how many follow.
fn is_outside(map: &CStr, id: u32) -> bool {
    let mut buffer = [0; 1024];
    let Some(text) = text(map, &mut buffer) else { return false };
    !text.split(|&byte| byte == b'\n').any(|line| {
        let mut numbers = line.split(u8::is_ascii_whitespace).filter_map(number);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(first), Some(_), Some(count)) => id.checked_sub(first).is_some_and(|nth| nth < count),
            _ => false,
        }
    })
}

fn may_chroot() -> bool {
    capabilities(None).is_ok_and(|held| held.effective.contains(CapabilitySet::SYS_CHROOT))
}

fn lacks_setuid() -> bool {
    !capabilities(None).is_ok_and(|held| held.effective.contains(CapabilitySet::SETUID | CapabilitySet::SETGID))
}
