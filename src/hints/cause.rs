//! The causes of refusals, and their remedies.

use core::fmt::{self, Write as _};

use crate::capabilities::{Capabilities, InCapitals};

/// Defines the causes: first those with data, then the others with their texts.
macro_rules! causes {
    ({ $($(#[$more:meta])* $name:ident($type:ty),)* } $($(#[$doc:meta])* $cause:ident => $text:literal,)*) => {
        /// The reason why the kernel refused a step, from [`Error::known_cause`](crate::Error::known_cause)
        /// (Linux). It is displayed as one line that names the remedy.
        ///
        /// | cause | the kernel's answer, and what makes it certain |
        /// | --- | --- |
        /// | `Threads` | `EINVAL` of `unshare(CLONE_VM)`; `/proc/self/task` has another thread |
        /// | `SharedMemory` | the same without another thread |
        /// | `OpenDirectory`, `OpenRing` | the descriptor itself |
        /// | `FileSizeLimit` | `EFBIG` |
        /// | `OtherRoot`, `PathInRoot` | the options themselves |
        /// | `NoAccess` | `EACCES` for a user other than root; no filter and no AppArmor profile is in force (Landlock can cause it too) |
        /// | `NoSearch` | `EACCES` of `fchdir`, as for `NoAccess` |
        /// | `RefusedToRoot` | `EACCES`; `CAP_DAC_OVERRIDE` and `CAP_DAC_READ_SEARCH` are held |
        /// | `NoDevice` | the source is a device |
        /// | `Emulator` | a thread is named `qemu-…` |
        /// | `NoDescriptors` | `EMFILE` |
        /// | `NoPrivilege` | `EPERM`, the capability is not held, and user namespaces are forbidden |
        /// | `MissingCapabilities` | `EPERM`, and they are not held |
        /// | `NoParent`, `NoParentOfList` | each parent of the list failed, or the named one with `EROFS`, `ENOENT`, `ENOTDIR` or `ENOSPC` |
        /// | `Seccomp` | even `unshare(0)` fails |
        /// | `SeccompPerhaps` | `EPERM`, `EACCES` or `ENOSYS`; `prctl(PR_GET_SECCOMP)` returns 2 |
        /// | `UnprivilegedUsernsClone` | `EPERM`; the sysctl is 0 |
        /// | `Chrooted` | `EPERM`; "/" is not the root of a mount |
        /// | `UnmappedId` | `EPERM`; the id is not in the map |
        /// | `UnmappedUser`, `SetgroupsDenied` | `EINVAL`; `EPERM` with the capability held |
        /// | `NoMoreUserNamespaces`, `NoMoreMountNamespaces` | `ENOSPC`; the sysctl is 0 |
        /// | `UserNamespaceLimit` | `ENOSPC` or `EUSERS`; neither sysctl is 0 |
        /// | `NoUserNamespaces` | `/proc/self/ns/user` is missing |
        /// | `NoUsers` | `ENOSYS`; `capget` fails with `ENOSYS` too, and no filter is in force |
        /// | `AppArmor` | the sysctl is 1, and no filter is in force |
        /// | `AppArmorProfile` | `EACCES`; `/proc/self/attr/current` ends with "(enforce)", and no filter is in force |
        /// | `SeLinux` | `EACCES`; SELinux is enforcing, and no filter is in force |
        /// | `NoProc`, `ReadOnlyProc` | `ENOENT`; the mount is read-only |
        /// | `NoThreadCount` | `unshare(CLONE_VM)` fails with `EPERM`, `EACCES` or `ENOSYS`; `/proc/self/stat` is missing |
        /// | `NotDumpable` | `prctl(PR_GET_DUMPABLE)` |
        /// | `NoSetfcap` | `EPERM` of `uid_map` for uid 0 without it |
        /// | `NoDetachedMount` | `ENOSYS` of `fsopen`, and no filter is in force |
        /// | `NoFailfs` | `ENOSYS` of `fchroot`, and no filter is in force |
        /// | `Securebits` | `prctl(PR_GET_SECUREBITS)` |
        /// | `NothingKept` | the jail was entered through a user namespace |
        /// | `NoSeccomp` | `EINVAL` of `prctl(PR_GET_SECCOMP)` |
        /// | `NoLandlock`, `LandlockDisabled` | `ENOSYS`, `EOPNOTSUPP` |
        /// | `LandlockLayers` | `E2BIG` |
        /// | `ProcessLimit` | `EAGAIN` of `setresuid` |
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Cause {
            $($(#[$more])* $name($type),)*
            $($(#[$doc])* $cause),*
        }

        impl fmt::Display for Cause {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = match self {
                    Cause::Threads(names) => {
                        f.write_str("the process has other threads")?;
                        fmt::Display::fmt(names, f)?;
                        ": enter and seal before starting any, for example before the tokio runtime"
                    }
                    Cause::MissingCapabilities(missing) => {
                        f.write_str("missing: ")?;
                        fmt::Display::fmt(&InCapitals(*missing), f)?;
                        "; start as root, and allow it in a container or unit (systemd: CapabilityBoundingSet=, with User= also AmbientCapabilities=)"
                    }
                    $(Cause::$cause => $text),*
                };
                f.write_str(text)
            }
        }
    };
}

causes! {
    {
        /// There is more than one thread. These are the names of others, if `/proc` shows them.
        Threads(ThreadNames),
        /// The step requires these capabilities, which are not held.
        MissingCapabilities(Capabilities),
    }
    /// Another process shares the memory of this one: it was made by `vfork`, or by `clone` with
    /// `CLONE_VM`.
    SharedMemory => "another process shares the memory (vfork, clone with CLONE_VM): enter in a process that has its own",
    /// A descriptor is open on a directory.
    OpenDirectory => "close the directory: the process could leave the jail through it",
    /// A descriptor is an `io_uring`.
    OpenRing => "close the io_uring: the process could open files through a directory that is registered in it",
    /// `RLIMIT_FSIZE` is smaller than a file for the root.
    FileSizeLimit => "a file is larger than the limit of file sizes: raise it (ulimit -f, LimitFSIZE= in systemd)",
    /// The root holds no files of the caller's choice.
    OtherRoot => "use auto or detached, or a directory that has it",
    /// A file, or the writable directory, cannot have this path in the root.
    PathInRoot => "give another path: --file FILE=/PATH, --writable SIZE=/PATH",
    /// The user may not read the file, or not search the directory.
    NoAccess => "start as root (--user, enter_as), or let that user read or search it",
    /// The user may not search the directory that is to be the root.
    NoSearch => "let that user search it (chmod o+x)",
    /// The process holds the capabilities to read every file, but a mount or a security module refuses
    /// this one.
    RefusedToRoot => "a mount that root may not read (FUSE, NFS), or a security module, refuses it: start as the owner, or copy it elsewhere",
    /// Devices are made by root alone, outside a user namespace.
    NoDevice => "start as root, with --user or enter_as for another user, or name a directory with the device as the root (--root DIR)",
    /// qemu's user mode has a thread of its own in every process.
    Emulator => "qemu-user has a thread in this process that cannot be ended: run it on a kernel of its own (qemu-system)",
    /// `RLIMIT_NOFILE` is reached.
    NoDescriptors => "the limit of open files is reached: raise it (ulimit -n, LimitNOFILE= in systemd)",
    /// `CAP_SYS_CHROOT` is not held, and the caller forbids user namespaces.
    NoPrivilege => "run as root or with CAP_SYS_CHROOT, or allow user namespaces (UserNamespace::Auto, --userns auto)",
    /// No directory of the list can be written.
    NoParent => "name a directory that can be written, or use the root \"detached\"",
    /// No directory of the list can be written, and the other roots that were tried failed too.
    NoParentOfList => "name a directory that can be written",
    /// A seccomp filter refuses `unshare`, as Docker's does.
    Seccomp => "a seccomp filter refuses unshare: change the filter, or run as root with CAP_SYS_CHROOT",
    /// A seccomp filter is in force. It is not known whether it or something else refused the call.
    SeccompPerhaps => "a seccomp filter is in force, which may have refused it (systemd: SystemCallFilter=; containers: the profile)",
    /// The sysctl `kernel.unprivileged_userns_clone` is 0 (Debian).
    UnprivilegedUsernsClone => "set the sysctl kernel.unprivileged_userns_clone, which is 0, to 1",
    /// The process is already in a chroot, where the kernel makes no user namespaces.
    Chrooted => "in a chroot no user namespace can be created: start outside it, or as root with CAP_SYS_CHROOT and CAP_SYS_ADMIN",
    /// The process' own user or group id is not mapped in the user namespace that it is in.
    UnmappedId => "the user or group id is not mapped in this user namespace: map it in uid_map and gid_map",
    /// An id of the user to become is not mapped in the user namespace that the process is in.
    UnmappedUser => "the id is not mapped in this user namespace: map it in uid_map and gid_map",
    /// The user namespace that the process is in denies `setgroups`.
    SetgroupsDenied => "this user namespace denies setgroups: start with the user's groups",
    /// The sysctl `user.max_user_namespaces` is 0.
    NoMoreUserNamespaces => "raise the sysctl user.max_user_namespaces, which is 0",
    /// The sysctl `user.max_mnt_namespaces` is 0.
    NoMoreMountNamespaces => "raise the sysctl user.max_mnt_namespaces, which is 0",
    /// A limit of `/proc/sys/user` is reached, or user namespaces are nested 32 deep.
    UserNamespaceLimit => "a limit of namespaces in /proc/sys/user is reached, or user namespaces are nested 32 deep",
    /// The kernel was built without user namespaces.
    NoUserNamespaces => "this kernel has no user namespaces (CONFIG_USER_NS): run as root",
    /// The kernel was built without users, groups and capabilities.
    NoUsers => "this kernel has no users and no capabilities (CONFIG_MULTIUSER): only a jail without a seal is possible",
    /// The sysctl `kernel.apparmor_restrict_unprivileged_userns` is 1 (Ubuntu).
    AppArmor => "set the sysctl kernel.apparmor_restrict_unprivileged_userns, which is 1, to 0, or add an AppArmor profile that allows userns",
    /// A profile of `AppArmor` is enforced on the process, which refuses the user namespace or the
    /// files of `/proc`.
    AppArmorProfile => "the AppArmor profile of this process refuses it: add \"userns,\" and flags=(attach_disconnected)",
    /// `SELinux` is enforcing, and refused the call with `EACCES`.
    SeLinux => "SELinux is enforcing and refuses the user namespace: change the policy",
    /// `/proc` is not mounted.
    NoProc => "mount /proc, or go without id maps and files (IdMap::None, --id-map none)",
    /// A seccomp filter refuses `unshare`, and `/proc`, where the threads can be counted, is not
    /// mounted.
    NoThreadCount => "a seccomp filter refuses unshare: mount /proc, where the threads can be counted",
    /// `/proc` is mounted read-only.
    ReadOnlyProc => "/proc is read-only: mount it writable, or go without id maps and files (IdMap::None, --id-map none)",
    /// The process is not dumpable: it has changed its user, has file capabilities, or its program
    /// cannot be read.
    NotDumpable => "enter before the process changes its user, allow it (Jail::allow_dumpable), or go without id maps (IdMap::None, --id-map none)",
    /// Uid 0 does not hold `CAP_SETFCAP`, without which it is not mapped (Linux 5.12).
    NoSetfcap => "uid 0 needs CAP_SETFCAP to keep its id: grant it, or go without id maps (IdMap::None, --id-map none)",
    /// The kernel is too old for a detached mount (Linux 5.2).
    NoDetachedMount => "a detached mount requires Linux 5.2: name a directory that can be written",
    /// The kernel is too old for failfs (Linux 7.3).
    NoFailfs => "failfs requires Linux 7.3: use another root, or a list such as detached,unlinked",
    /// Whoever started the process has set or locked a securebit.
    Securebits => "the securebits were set or locked by whoever started the process: start it without (systemd: SecureBits=)",
    /// The jail was entered through a user namespace, in which no capability is kept.
    NothingKept => "in a user namespace no capability can be kept: enter with privilege",
    /// The kernel was built without seccomp.
    NoSeccomp => "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)",
    /// The kernel was built without Landlock, or is older than Linux 5.13.
    NoLandlock => "this kernel has no Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK)",
    /// Landlock is disabled at boot.
    LandlockDisabled => "Landlock is disabled: add landlock to the boot parameter lsm=",
    /// 16 layers of Landlock are in force, and there cannot be more.
    LandlockLayers => "16 layers of Landlock are in force already, and there cannot be more",
    /// The user to become has as many processes as `RLIMIT_NPROC` permits.
    ProcessLimit => "that user has as many processes as RLIMIT_NPROC permits",
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
