//! The causes of refusals, and their remedies.

use core::fmt::{self, Write as _};

use crate::capabilities::Capabilities;

/// The reason why the kernel refused a step, from [`Error::known_cause`](crate::Error::known_cause)
/// (Linux). It is displayed as one line that names the remedy.
///
/// | cause | the kernel's answer, and what makes it certain | test |
/// | --- | --- | --- |
/// | `Threads` | `EINVAL` of `unshare(CLONE_VM)`; `/proc/self/task` has another thread | `cause::what_the_error_itself_tells` |
/// | `SharedMemory` | the same without another thread | `escape::a_process_that_shares_the_memory_is_refused_and_named` |
/// | `OpenDirectory`, `OpenRing` | the descriptor itself | `cause::what_the_error_itself_tells`, `escape::a_ring_is_refused…` |
/// | `NoDescriptors` | `EMFILE` | `cause::no_descriptor_is_left` |
/// | `NoPrivilege` | `EPERM`, the capability is not held, and user namespaces are forbidden | `cause::what_the_error_itself_tells` |
/// | `MissingCapabilities` | `EPERM`, and they are not held | `cause::capabilities_that_are_missing` |
/// | `NoParent`, `NoParentOfList` | each parent has a reason of its own | `cause::proc_that_is_missing_hidden_or_read_only` |
/// | `Seccomp` | even `unshare(0)` fails | `cause::a_seccomp_filter` |
/// | `SeccompPerhaps` | `EPERM`, `EACCES` or `ENOSYS`; `prctl(PR_GET_SECCOMP)` returns 2 | `cause::a_seccomp_filter` |
/// | `UnprivilegedUsernsClone` | `EPERM`; the sysctl is 0 | `kernel::every_caller_gets_the_jail_or_a_true_remedy` |
/// | `Chrooted` | `EPERM`; "/" is not the root of a mount | `cause::a_chroot_around_it_and_an_id_that_is_not_mapped` |
/// | `UnmappedId` | `EPERM`; the id is not in the map | `cause::a_chroot_around_it_and_an_id_that_is_not_mapped` |
/// | `UnmappedUser`, `SetgroupsDenied` | `EINVAL`; `EPERM` with the capability held | `cause::a_user_outside_the_user_namespace_is_named` |
/// | `NoMoreUserNamespaces`, `NoMoreMountNamespaces` | `ENOSPC`; the sysctl is 0 | `cause::a_limit_of_zero_and_one_that_is_reached` |
/// | `UserNamespaceLimit` | `ENOSPC` or `EUSERS`; neither is 0 | `cause::a_nesting_of_more_than_32` |
/// | `NoUserNamespaces` | `/proc/self/ns/user` is missing | `kernel::on_a_small_kernel…` |
/// | `NoUsers` | `ENOSYS`; `capget` fails with `ENOSYS` too, and no filter is in force | `kernel::on_a_small_kernel…` |
/// | `AppArmor` | the sysctl is 1, and no filter is in force | none: Ubuntu's kernel |
/// | `AppArmorProfile` | `EACCES`; `/proc/self/attr/current` ends with "(enforce)", and no filter is in force | `kernel::apparmor_is_named…` |
/// | `SeLinux` | `EACCES`; it is enforcing, and no filter is in force | none |
/// | `NoProc`, `ReadOnlyProc` | `ENOENT`; the mount is read-only | `cause::proc_that_is_missing_hidden_or_read_only` |
/// | `NoThreadCount` | `unshare(CLONE_VM)` fails with `EPERM`, `EACCES` or `ENOSYS`; `/proc/self/stat` is missing | `cause::proc_that_is_missing_hidden_or_read_only` |
/// | `NotDumpable` | `prctl(PR_GET_DUMPABLE)` | `jail::a_process_that_is_not_dumpable_is_refused…` |
/// | `NoSetfcap` | `EPERM` of `uid_map` for uid 0 without it | `cause::uid_0_that_may_not_be_mapped` |
/// | `NoDetachedMount` | `ENOSYS` of `fsopen`, and no filter is in force | none: no such kernel |
/// | `NoFailfs` | `ENOSYS` of `fchroot`, and no filter is in force | `roots::failfs_is_entered_where_the_kernel_has_it…` |
/// | `NothingKept` | the jail was entered through a user namespace | `seal::a_capability_is_kept_by_name_and_by_root_only` |
/// | `NoSeccomp` | `EINVAL` of `prctl(PR_GET_SECCOMP)` | `kernel::on_a_small_kernel…` |
/// | `NoLandlock`, `LandlockDisabled` | `ENOSYS`, `EOPNOTSUPP` | `seal::a_kernel_without_landlock_is_reported…` |
/// | `LandlockLayers` | `E2BIG` | `cause::sixteen_layers_of_landlock` |
/// | `ProcessLimit` | `EAGAIN` of `setresuid` | none: no kernel since Linux 3.1 returns it there |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// There is more than one thread. These are the names of others, if `/proc` shows them.
    Threads(ThreadNames),
    /// Another process shares the memory of this one: it was made by `vfork`, or by `clone` with
    /// `CLONE_VM`.
    SharedMemory,
    /// A descriptor is open on a directory.
    OpenDirectory,
    /// A descriptor is an `io_uring`.
    OpenRing,
    /// `RLIMIT_NOFILE` is reached.
    NoDescriptors,
    /// `CAP_SYS_CHROOT` is not held, and the caller forbids user namespaces.
    NoPrivilege,
    /// The step requires these capabilities, which are not held.
    MissingCapabilities(Capabilities),
    /// No directory of the list can be written.
    NoParent,
    /// No directory of the list can be written, and the other roots that were tried failed too.
    NoParentOfList,
    /// A seccomp filter refuses `unshare`, as Docker's does.
    Seccomp,
    /// A seccomp filter is in force. It is not known whether it or something else refused the call.
    SeccompPerhaps,
    /// The sysctl `kernel.unprivileged_userns_clone` is 0 (Debian).
    UnprivilegedUsernsClone,
    /// The process is already in a chroot, where the kernel makes no user namespaces.
    Chrooted,
    /// The process' own user or group id is not mapped in the user namespace that it is in.
    UnmappedId,
    /// An id to become is not mapped in the user namespace that the process is in.
    UnmappedUser,
    /// The user namespace that the process is in denies `setgroups`.
    SetgroupsDenied,
    /// The sysctl `user.max_user_namespaces` is 0.
    NoMoreUserNamespaces,
    /// The sysctl `user.max_mnt_namespaces` is 0.
    NoMoreMountNamespaces,
    /// A limit of `/proc/sys/user` is reached, or user namespaces are nested 32 deep.
    UserNamespaceLimit,
    /// The kernel was built without user namespaces.
    NoUserNamespaces,
    /// The kernel was built without users, groups and capabilities.
    NoUsers,
    /// The sysctl `kernel.apparmor_restrict_unprivileged_userns` is 1 (Ubuntu).
    AppArmor,
    /// A profile of `AppArmor` is enforced on the process, which refuses the user namespace or the
    /// files of `/proc`.
    AppArmorProfile,
    /// `SELinux` is enforcing, and refused the call with `EACCES`.
    SeLinux,
    /// `/proc` is not mounted.
    NoProc,
    /// A seccomp filter refuses `unshare`, and `/proc`, where the threads can be counted, is not
    /// mounted.
    NoThreadCount,
    /// `/proc` is mounted read-only.
    ReadOnlyProc,
    /// The process is not dumpable: it has changed its user, has file capabilities, or its program
    /// cannot be read.
    NotDumpable,
    /// Uid 0 does not hold `CAP_SETFCAP`, without which it is not mapped (Linux 5.12).
    NoSetfcap,
    /// The kernel is too old for a detached mount (Linux 5.2).
    NoDetachedMount,
    /// The kernel is too old for failfs (Linux 7.3).
    NoFailfs,
    /// The jail was entered through a user namespace, in which no capability is kept.
    NothingKept,
    /// The kernel was built without seccomp.
    NoSeccomp,
    /// The kernel was built without Landlock, or is older than Linux 5.13.
    NoLandlock,
    /// Landlock is disabled at boot.
    LandlockDisabled,
    /// 16 layers of Landlock are in force, and there cannot be more.
    LandlockLayers,
    /// The user to become has as many processes as `RLIMIT_NPROC` permits.
    ProcessLimit,
}

/// The names of up to three threads.
///
/// It is displayed as ` (tokio-rt-worker, log)`, or as nothing if there is no name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ThreadNames(pub(crate) [[u8; 16]; 3]);

impl fmt::Display for ThreadNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = " (";
        for name in &self.0 {
            for byte in name.iter().take_while(|byte| (0x20..0x7f).contains(*byte)) {
                f.write_str(before)?;
                f.write_char(char::from(*byte))?;
                before = "";
            }
            before = if before.is_empty() { ", " } else { before };
        }
        f.write_str(if before == ", " { ")" } else { "" })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Cause::Threads(names) => {
                f.write_str("the process has other threads")?;
                fmt::Display::fmt(names, f)?;
                ": enter and seal before starting any, for example before the tokio runtime"
            }
            Cause::SharedMemory => {
                "another process shares the memory (vfork, clone with CLONE_VM): enter in a process that has its own"
            }
            Cause::OpenDirectory => "close the directory: the process could leave the jail through it",
            Cause::OpenRing => {
                "close the io_uring: the process could open files through a directory that is registered in it"
            }
            Cause::NoDescriptors => "the limit of open files is reached: raise it (ulimit -n, LimitNOFILE= in systemd)",
            Cause::NoPrivilege => {
                "run as root or with CAP_SYS_CHROOT, or allow user namespaces (UserNamespace::Auto, --userns auto)"
            }
            Cause::MissingCapabilities(missing) => {
                f.write_str("missing: ")?;
                fmt::Display::fmt(missing, f)?;
                "; run as root with it in the bounding set; in systemd: CapabilityBoundingSet=, and with User= AmbientCapabilities="
            }
            Cause::NoParent => "name a directory that can be written, or use the root \"detached\"",
            Cause::NoParentOfList => "name a directory that can be written",
            Cause::Seccomp => "a seccomp filter refuses unshare: change the filter, or run as root with CAP_SYS_CHROOT",
            Cause::SeccompPerhaps => {
                "a seccomp filter is in force, which may have refused it (systemd: SystemCallFilter=; containers: the profile)"
            }
            Cause::UnprivilegedUsernsClone => "set the sysctl kernel.unprivileged_userns_clone, which is 0, to 1",
            Cause::Chrooted => {
                "already in a chroot, where no user namespace can be created: run as root, or outside the chroot"
            }
            Cause::UnmappedId => {
                "the user or group id is not mapped in this user namespace: map it in uid_map and gid_map"
            }
            Cause::UnmappedUser => "the id is not mapped in this user namespace: map it in uid_map and gid_map",
            Cause::SetgroupsDenied => "this user namespace denies setgroups: start with the user's groups",
            Cause::NoMoreUserNamespaces => "raise the sysctl user.max_user_namespaces, which is 0",
            Cause::NoMoreMountNamespaces => "raise the sysctl user.max_mnt_namespaces, which is 0",
            Cause::UserNamespaceLimit => {
                "a limit of namespaces in /proc/sys/user is reached, or user namespaces are nested 32 deep"
            }
            Cause::NoUserNamespaces => "this kernel has no user namespaces (CONFIG_USER_NS): run as root",
            Cause::NoUsers => {
                "this kernel has no users and no capabilities (CONFIG_MULTIUSER): only a jail without a seal is possible"
            }
            Cause::AppArmor => {
                "set the sysctl kernel.apparmor_restrict_unprivileged_userns, which is 1, to 0, or add an AppArmor profile \
                 that allows userns"
            }
            Cause::AppArmorProfile => {
                "the AppArmor profile of this process refuses it: add \"userns,\" and flags=(attach_disconnected)"
            }
            Cause::SeLinux => "SELinux is enforcing and refuses the user namespace: change the policy",
            Cause::NoProc => "mount /proc, or go without id maps and files (IdMap::None, --id-map none)",
            Cause::NoThreadCount => "a seccomp filter refuses unshare: mount /proc, where the threads can be counted",
            Cause::ReadOnlyProc => {
                "/proc is read-only: mount it writable, or go without id maps and files (IdMap::None, --id-map none)"
            }
            Cause::NotDumpable => {
                "enter before the process changes its user, allow it (Jail::allow_dumpable), or go without id maps (IdMap::None, \
                 --id-map none)"
            }
            Cause::NoSetfcap => {
                "uid 0 needs CAP_SETFCAP to keep its id: grant it, or go without id maps (IdMap::None, --id-map none)"
            }
            Cause::NothingKept => "in a user namespace no capability can be kept: enter with privilege",
            Cause::NoSeccomp => "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)",
            Cause::NoLandlock => "this kernel has no Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK)",
            Cause::LandlockDisabled => "Landlock is disabled: add landlock to the boot parameter lsm=",
            Cause::LandlockLayers => "16 layers of Landlock are in force already, and there cannot be more",
            Cause::ProcessLimit => "that user has as many processes as RLIMIT_NPROC permits",
            Cause::NoFailfs => "failfs requires Linux 7.3: use another root, or a list such as detached,unlinked",
            Cause::NoDetachedMount => "a detached mount requires Linux 5.2: name a directory that can be written",
        };
        f.write_str(text)
    }
}
