//! Finds out why a step failed (Linux).

use rustix::io::Errno;
use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, SecureComputingMode, capabilities, secure_computing_mode};

use crate::capabilities::Capabilities;
use crate::error::{Error, Fault, Step};
use crate::features::HINTS;
use crate::hints::cause::Cause;
use crate::linux::apparmor::{confines_this_process, restricts_user_namespaces};
use crate::linux::proc::{exists, number_in};
use crate::linux::seal::landlock;
use crate::linux::seal::privileges::securebits_are_locked_otherwise;
use crate::linux::threads::{another_thread_lives, only_thread, other_threads, unshare_is_filtered};
use crate::linux::user::maps::is_unmapped;
use crate::linux::user_namespace::is_chrooted;
use crate::protection::Protection;

impl Error {
    /// Returns why the step failed, if that is certain. The text of the error ends with it. Without
    /// the feature `hints` it is always `None`.
    ///
    /// # Cost
    ///
    /// None. The cause was found when the step failed, with about ten system calls: reads of
    /// `/proc/sys`, `/proc/self` and `/sys`, and an `unshare` that changes nothing.
    ///
    /// # Source
    ///
    /// [`user_namespaces(7)`](https://man7.org/linux/man-pages/man7/user_namespaces.7.html),
    /// [`unshare(2)`](https://man7.org/linux/man-pages/man2/unshare.2.html); about `AppArmor`'s sysctl:
    /// [Ubuntu's specification](https://discourse.ubuntu.com/t/spec-unprivileged-user-namespace-restrictions-via-apparmor-in-ubuntu-23-10/37626)
    #[must_use]
    pub const fn known_cause(&self) -> Option<Cause> {
        if HINTS { self.cause } else { None }
    }
}

/// Adds to an error why the step failed. This has to run in the same process, at once.
pub(crate) fn explain(error: Error) -> Error {
    if !HINTS {
        return error;
    }
    // If several roots were tried, the first known cause counts.
    let tried = error.attempts.into_iter().flatten().map(|(_, step, fault)| (step, fault));
    let [_, second, _] = error.attempts;
    let several = second.is_some();
    let cause = [(error.step, error.fault)].into_iter().chain(tried).find_map(|(step, fault)| {
        // Another root is not advised if the other roots of the list failed too.
        match of(&error, step, fault) {
            Some(Cause::NoFailfs) if several => None,
            // In a chroot no user namespace can be created. A parent only helps who needs none.
            Some(Cause::NoProc) if is_chrooted() => Some(Cause::Chrooted),
            Some(Cause::NoParent) if !lacks(CapabilitySet::SYS_CHROOT).is_empty() && is_chrooted() => {
                Some(Cause::Chrooted)
            }
            Some(Cause::NoParent) if several => Some(Cause::NoParentOfList),
            cause => cause,
        }
    });
    Error { cause, ..error }
}

fn of(error: &Error, step: Step, fault: Fault) -> Option<Cause> {
    let (has, tried) = (error.traces, error.tried);
    match (step, fault.errno()) {
        _ if fault.is_of_parent(step) && tried.iter().any(Option::is_some) => {
            let full = tried.into_iter().flatten().all(|fault| fault.errno() == Some(Errno::MFILE));
            Some(if full { Cause::NoDescriptors } else { Cause::NoParent })
        }
        (_, Some(Errno::MFILE)) => Some(Cause::NoDescriptors),
        (Step::Threads, Some(Errno::INVAL)) => Some(match another_thread_lives() {
            Some(false) => Cause::SharedMemory,
            Some(true) | None => threads(),
        }),
        (Step::Fill, Some(Errno::PERM)) if !lacks(CapabilitySet::CHOWN).is_empty() && !has.user_namespace => {
            missing_of(CapabilitySet::CHOWN)
        }
        (Step::Fill, Some(Errno::FBIG)) => Some(Cause::FileSizeLimit),
        (Step::Files | Step::Fill, None) if fault == Fault::NoDevice => Some(Cause::NoDevice),
        (Step::Files | Step::Directory | Step::Parent | Step::Fchdir, Some(Errno::ACCESS)) => no_access(step),
        (Step::Parent | Step::Mkdir, Some(Errno::ROFS | Errno::NOENT | Errno::NOTDIR | Errno::NOSPC)) => {
            Some(Cause::NoParent)
        }
        (Step::Threads, _) if !has.root && !exists(c"/proc/self/stat") => Some(Cause::NoThreadCount),
        (Step::Descriptors, None) if fault == Fault::RegisteredRing => None,
        (Step::Descriptors, None) if fault == Fault::OpenRing => Some(Cause::OpenRing),
        (Step::Descriptors, None) => Some(Cause::OpenDirectory),
        (Step::Chroot | Step::Mount, Some(Errno::PERM)) if !has.user_namespace => not_permitted(step),
        (Step::Mount | Step::Failfs, Some(Errno::NOSYS | Errno::PERM | Errno::ACCESS)) if filtered() => {
            Some(Cause::SeccompPerhaps)
        }
        (
            Step::CheckIds | Step::CheckCapabilities | Step::SetGroups | Step::SetGid | Step::BoundingSet,
            Some(Errno::NOSYS),
        ) if has_no_users() => Some(Cause::NoUsers),
        (Step::Failfs, Some(Errno::NOSYS)) => Some(Cause::NoFailfs),
        (Step::Mount, Some(Errno::NOSYS)) => Some(Cause::NoDetachedMount),
        (Step::NewUserNamespace, None) if fault == Fault::Restricted => Some(Cause::AppArmor),
        // With CAP_SYS_CHROOT, a user namespace is only needed for the mount.
        (Step::Proc | Step::NewUserNamespace, Some(_))
            if lacks(CapabilitySet::SYS_CHROOT | CapabilitySet::SYS_ADMIN) == CapabilitySet::SYS_ADMIN =>
        {
            missing_of(CapabilitySet::SYS_ADMIN)
        }
        (Step::SetGroups | Step::SetGid | Step::SetUid, Some(errno)) => not_that_user(step, errno),
        (Step::CheckCapabilities, None) if has.user_namespace => Some(Cause::NothingKept),
        (Step::CheckCapabilities, None) if fault == Fault::Securebits => Some(Cause::Securebits),
        (Step::HoldCapabilities, Some(Errno::PERM)) if !filtered() => Some(Cause::Securebits),
        (Step::CheckCapabilities, None) => fault.capability_not_held().map(Cause::MissingCapabilities),
        (Step::Require, None) => fault
            .missing_protection()
            .and_then(|protection| protection.cause_with(filtered(), lacks(CapabilitySet::SETPCAP).is_empty())),
        (Step::Restrict, Some(Errno::TOOBIG)) => Some(Cause::LandlockLayers),
        (Step::Proc, Some(Errno::NOENT)) => Some(Cause::NoProc),
        (Step::Proc, Some(Errno::ROFS)) => Some(Cause::ReadOnlyProc),
        (Step::Proc, None) if fault == Fault::NotDumpable => Some(Cause::NotDumpable),
        (Step::NewUserNamespace, Some(errno)) if cfg!(feature = "userns") => no_user_namespace(errno),
        (Step::MapUid, _) if fault == Fault::NoSetfcap => Some(Cause::NoSetfcap),
        (
            Step::OpenMaps | Step::MapUid | Step::DenySetgroups | Step::MapGid | Step::Chroot | Step::Mount,
            Some(Errno::PERM | Errno::ACCESS),
        ) => filter_or_apparmor(fault.errno()),
        // Only a filter makes these steps fail with these errnos. Steps that open files have other
        // reasons.
        (
            Step::CheckIds
            | Step::CheckCapabilities
            | Step::Unshare
            | Step::NoNewPrivs
            | Step::BoundingSet
            | Step::DropCapabilities
            | Step::DropNamespaceCapabilities
            | Step::Ruleset
            | Step::Restrict,
            Some(Errno::PERM | Errno::ACCESS),
        )
        | (_, Some(Errno::NOSYS))
            if filtered() =>
        {
            Some(Cause::SeccompPerhaps)
        }
        _ => None,
    }
}

/// Returns the other threads as a cause.
fn threads() -> Cause {
    let names = other_threads();
    if names.0.iter().any(|name| name.starts_with(b"qemu-")) { Cause::Emulator } else { Cause::Threads(names) }
}

/// Returns why a file may not be read, or a directory not be searched.
fn no_access(step: Step) -> Option<Cause> {
    if lacks(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH).is_empty() {
        Some(Cause::RefusedToRoot)
    } else if geteuid().is_root() {
        missing(CapabilitySet::DAC_READ_SEARCH)
    } else if filtered() || confines_this_process() {
        None
    } else {
        Some(if step == Step::Fchdir { Cause::NoSearch } else { Cause::NoAccess })
    }
}

/// Returns why `chroot` or `fsopen` failed with `EPERM`.
fn not_permitted(step: Step) -> Option<Cause> {
    let needed = if step == Step::Mount { CapabilitySet::SYS_ADMIN } else { CapabilitySet::SYS_CHROOT };
    match missing(needed) {
        None => filtered().then_some(Cause::SeccompPerhaps),
        Some(missing) if geteuid().is_root() => Some(missing),
        Some(_) => Some(Cause::NoPrivilege),
    }
}

/// Returns why `setgroups`, `setresgid` or `setresuid` failed.
fn not_that_user(step: Step, errno: Errno) -> Option<Cause> {
    match errno {
        Errno::PERM => missing(if step == Step::SetUid { CapabilitySet::SETUID } else { CapabilitySet::SETGID })
            .or_else(|| match step {
                _ if filtered() => Some(Cause::SeccompPerhaps),
                Step::SetGroups => Some(Cause::SetgroupsDenied),
                _ => None,
            }),
        Errno::NOSYS | Errno::ACCESS if filtered() => Some(Cause::SeccompPerhaps),
        Errno::INVAL => Some(Cause::UnmappedUser),
        Errno::AGAIN => Some(Cause::ProcessLimit),
        _ => None,
    }
}

/// Returns which of these capabilities are not effective, as a cause.
pub(crate) fn missing(needed: CapabilitySet) -> Option<Cause> {
    missing_of(lacks(needed))
}

/// Returns which of these capabilities are not effective.
fn lacks(needed: CapabilitySet) -> CapabilitySet {
    capabilities(None).map_or(CapabilitySet::empty(), |held| needed - held.effective)
}

/// Returns these missing capabilities as a cause.
pub(crate) fn missing_of(missing: CapabilitySet) -> Option<Cause> {
    (!missing.is_empty()).then(|| Cause::MissingCapabilities(Capabilities::from_bits(missing.bits())))
}

/// Returns whether a seccomp filter is in force, which may fail any call with any errno.
pub(crate) fn filtered() -> bool {
    secure_computing_mode() == Ok(SecureComputingMode::Filter)
}

fn filter_or_apparmor(errno: Option<Errno>) -> Option<Cause> {
    if filtered() {
        Some(Cause::SeccompPerhaps)
    } else if errno == Some(Errno::ACCESS) && confines_this_process() {
        Some(Cause::AppArmorProfile)
    } else {
        restricts_user_namespaces().then_some(Cause::AppArmor)
    }
}

impl Protection {
    /// Returns why this process cannot have the protection, if that can be known. Without the
    /// feature `hints` it is always `None`. After a seal, [`Sealed::cause`](crate::Sealed::cause)
    /// also recognises filters. `None` is no promise that it can have the protection.
    ///
    /// # Cost
    ///
    /// One or two system calls.
    #[must_use]
    pub fn cause(self) -> Option<Cause> {
        self.cause_with(false, lacks(CapabilitySet::SETPCAP).is_empty())
    }

    /// Returns the cause. `filter`: a filter was in force that may have refused the protection.
    /// `may_set_privileges`: `CAP_SETPCAP` was held.
    pub(crate) fn cause_with(self, filter: bool, may_set_privileges: bool) -> Option<Cause> {
        if !HINTS {
            return None;
        }
        let filter = filter.then_some(Cause::SeccompPerhaps);
        match self {
            Protection::Securebits if securebits_are_locked_otherwise() == Ok(true) => Some(Cause::Securebits),
            Protection::BoundingSet | Protection::Securebits if !may_set_privileges => {
                missing_of(CapabilitySet::SETPCAP)
            }
            Protection::Landlock => match landlock::query() {
                Err(Errno::NOSYS) => filter.or(Some(Cause::NoLandlock)),
                Err(Errno::OPNOTSUPP) => Some(Cause::LandlockDisabled),
                Ok(_) | Err(_) => filter,
            },
            Protection::Seccomp if secure_computing_mode() == Err(Errno::INVAL) => Some(Cause::NoSeccomp),
            Protection::BoundingSet | Protection::Securebits | Protection::Seccomp | Protection::Keyring => filter,
        }
    }
}

/// Returns why no user namespace can be created. Certain causes come first, because a filter makes
/// all others uncertain.
fn no_user_namespace(errno: Errno) -> Option<Cause> {
    let is_zero = |sysctl| number_in(sysctl) == Some(0);
    match errno {
        Errno::INVAL | Errno::PERM | Errno::NOSYS if has_no_user_namespaces() => Some(Cause::NoUserNamespaces),
        Errno::PERM | Errno::NOSYS if unshare_is_filtered() => Some(Cause::Seccomp),
        Errno::PERM if is_zero(c"/proc/sys/kernel/unprivileged_userns_clone") => Some(Cause::UnprivilegedUsernsClone),
        Errno::PERM if is_chrooted() => Some(Cause::Chrooted),
        Errno::PERM if is_unmapped(geteuid().as_raw(), getegid().as_raw()) => Some(Cause::UnmappedId),
        Errno::PERM | Errno::ACCESS | Errno::NOSYS if filtered() => Some(Cause::SeccompPerhaps),
        Errno::ACCESS if confines_this_process() => Some(Cause::AppArmorProfile),
        Errno::ACCESS if number_in(c"/sys/fs/selinux/enforce") == Some(1) => Some(Cause::SeLinux),
        Errno::PERM | Errno::ACCESS => restricts_user_namespaces().then_some(Cause::AppArmor),
        Errno::NOSPC if is_zero(c"/proc/sys/user/max_user_namespaces") => Some(Cause::NoMoreUserNamespaces),
        Errno::NOSPC if is_zero(c"/proc/sys/user/max_mnt_namespaces") => Some(Cause::NoMoreMountNamespaces),
        Errno::NOSPC | Errno::USERS => Some(Cause::UserNamespaceLimit),
        Errno::INVAL if only_thread().is_err() => Some(threads()),
        _ => None,
    }
}

/// Returns whether the kernel was built without user namespaces.
fn has_no_user_namespaces() -> bool {
    exists(c"/proc/self/stat") && !exists(c"/proc/self/ns/user")
}

/// Returns whether the kernel was built without users. All processes belong to root then, and have
/// all capabilities.
fn has_no_users() -> bool {
    capabilities(None) == Err(Errno::NOSYS) && !filtered()
}
