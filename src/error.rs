//! Errors: the step, the reason, and what could not be undone.

use core::fmt;

use rustix::io::Errno;

use crate::capabilities::Capabilities;
use crate::cause::Cause;
use crate::features::{FILES, HINTS};
use crate::parents::{PARENTS, parent};
use crate::protection::Protection;
use crate::root::Root;
use crate::text::{Named, debug_is_display, decimal};

/// Defines the steps with their texts, which follow "cannot".
macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// The step of an entry that was refused.
        ///
        /// The module `audit` (Linux) has the system calls of each step.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Step { $($(#[$doc])* $name),* }

        impl Step {
            const fn action(self) -> &'static str {
                match self { $(Step::$name => $text),* }
            }
        }
    };
}

steps! {
    /// Check that the options go with the root. This comes first, and costs no system call.
    Options => "use these options",
    /// Linux: check that there is no other thread, [`unshare(2)`](https://man7.org/linux/man-pages/man2/unshare.2.html).
    Threads => "rule out other threads",
    /// Linux: stop sharing the root, the working directory and the descriptors with another
    /// process, [`unshare(2)`](https://man7.org/linux/man-pages/man2/unshare.2.html).
    Unshare => "unshare the root and the descriptors",
    /// Check that no descriptor is open on a directory or an `io_uring`.
    Descriptors => "accept the open descriptors",
    /// Open the working directory, to come back to it after a refusal.
    WorkingDirectory => "save the working directory",
    /// Open and check the directory in which the root is made.
    Parent => "use the parent directory",
    /// Make the directory, [`mkdirat(2)`](https://man7.org/linux/man-pages/man2/mkdirat.2.html).
    Mkdir => "create a directory in the parent directory",
    /// Open the directory, and check that it is the one that was made.
    OpenRoot => "open the new directory",
    /// Remove the name of the directory, [`unlinkat(2)`](https://man7.org/linux/man-pages/man2/unlinkat.2.html).
    Unlink => "remove the new directory's name",
    /// Check that the directory has no name, and that nothing can be created in it.
    VerifyUnlinked => "see the new directory unlinked",
    /// Linux: mount a tmpfs nowhere, [`fsopen(2)`](https://man7.org/linux/man-pages/man2/fsopen.2.html).
    Mount => "mount a detached tmpfs",
    /// Open and check the files for the root.
    Files => "open the files for the root",
    /// Copy the files into the root, and make it read-only.
    Fill => "copy the files into the root",
    /// Linux: check that the kernel has failfs, by an `fchroot` that changes nothing.
    Failfs => "use failfs",
    /// Open and check the directory that becomes the root.
    Directory => "use the directory",
    /// Change into the directory, [`fchdir(2)`](https://man7.org/linux/man-pages/man2/fchdir.2.html).
    Fchdir => "change into the new directory",
    /// Make the directory the root, [`chroot(2)`](https://man7.org/linux/man-pages/man2/chroot.2.html); for failfs, `fchroot`.
    Chroot => "chroot",
    /// Linux: open `/proc/self`, for the id maps.
    Proc => "open /proc/self",
    /// Linux: create a user namespace, [`user_namespaces(7)`](https://man7.org/linux/man-pages/man7/user_namespaces.7.html).
    NewUserNamespace => "create a user namespace",
    /// Linux: open `uid_map`, `setgroups` and `gid_map`.
    OpenMaps => "open the id maps",
    /// Linux: write `/proc/self/uid_map`.
    MapUid => "write uid_map",
    /// Linux: write "deny" to `/proc/self/setgroups`.
    DenySetgroups => "write \"deny\" to setgroups",
    /// Linux: write `/proc/self/gid_map`.
    MapGid => "write gid_map",
    /// Change the working directory to the new "/".
    ChdirRoot => "change directory to the new root",
    /// Linux: drop the capabilities that the user namespace gave,
    /// [`capabilities(7)`](https://man7.org/linux/man-pages/man7/capabilities.7.html).
    DropNamespaceCapabilities => "drop the user namespace's capabilities",
    /// Linux: replace the session keyring by an empty one, [`keyrings(7)`](https://man7.org/linux/man-pages/man7/keyrings.7.html).
    Keyring => "replace the session keyring",
    /// Check the result: "/" is the directory that was made, nothing can be created in it, and ids
    /// and capabilities are as asked for.
    Verify => "verify the jail",
    /// Fork a process that tries to enter, for [`Jail::check`](crate::Jail::check).
    Fork => "try it in a process of its own",
    /// Linux: check that the process can become the user.
    CheckIds => "become that user",
    /// Linux: [`setgroups(2)`](https://man7.org/linux/man-pages/man2/setgroups.2.html).
    SetGroups => "set the supplementary groups",
    /// Linux: [`setresgid(2)`](https://man7.org/linux/man-pages/man2/setresgid.2.html).
    SetGid => "set the group id",
    /// Linux: [`setresuid(2)`](https://man7.org/linux/man-pages/man2/setresuid.2.html).
    SetUid => "set the user id",
    /// Linux: make the ruleset, [`landlock(7)`](https://man7.org/linux/man-pages/man7/landlock.7.html).
    Ruleset => "make a Landlock ruleset",
    /// Linux: check that the capabilities to keep are held.
    CheckCapabilities => "keep the capabilities",
    /// Linux: [`PR_SET_NO_NEW_PRIVS(2const)`](https://man7.org/linux/man-pages/man2/PR_SET_NO_NEW_PRIVS.2const.html).
    /// On the way in after `chroot`, unless the process is root for good; and in a seal.
    /// FreeBSD: [`procctl(2)`](https://man.freebsd.org/cgi/man.cgi?procctl(2)), on the way in, if `chroot` failed with `EPERM`.
    NoNewPrivs => "set no_new_privs",
    /// Linux: empty the bounding set.
    BoundingSet => "empty the bounding set",
    /// Linux: raise the ambient capabilities, which the next program keeps.
    Ambient => "raise the ambient capabilities",
    /// Linux: set and lock the securebits.
    Securebits => "lock the securebits",
    /// Linux: drop all capabilities but those kept, [`capset(2)`](https://man7.org/linux/man-pages/man2/capset.2.html).
    DropCapabilities => "drop the capabilities",
    /// Linux: enforce the ruleset.
    Restrict => "enforce the Landlock ruleset",
    /// Linux: check that the required protections can be put in force.
    Require => "put a required protection in force",
    /// Linux: install the filter, [`seccomp(2)`](https://man7.org/linux/man-pages/man2/seccomp.2.html).
    Filter => "install the seccomp filter",
    /// Linux: set the parent-death signal again, which a change of ids clears,
    /// [`PR_SET_PDEATHSIG(2const)`](https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html).
    DeathSignal => "set the parent-death signal",
}

/// Defines what a part of the library does one after the other, each with the step that an error
/// names.
macro_rules! actions {
    ($(#[$doc:meta])* enum $name:ident { $($(#[$of:meta])* $action:ident => $step:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$of])* $action),* }

        impl From<$name> for Step {
            fn from(action: $name) -> Step {
                match action { $($name::$action => Step::$step),* }
            }
        }

        #[allow(dead_code, reason = "for lists that have to be whole")]
        impl $name {
            /// Returns whether each action is in one of the lists, or in both.
            const fn are_all_in(one: &[$name], other: &[$name]) -> bool {
                true $(&& ($name::$action.is_in(one) || $name::$action.is_in(other)))*
            }

            const fn is_in(self, mut list: &[$name]) -> bool {
                while let [action, rest @ ..] = list {
                    if *action as u8 == self as u8 {
                        return true;
                    }
                    list = rest;
                }
                false
            }
        }
    };
}
pub(crate) use actions;

/// The reason why a step failed, in two bytes: the errno of a system call or, below zero, one of
/// the answers below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault(i16);

/// Defines the answers with their texts.
macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        #[allow(non_upper_case_globals, reason = "they read as the variants that they are")]
        #[cfg_attr(not(feature = "files"), allow(dead_code, reason = "some are of files"))]
        impl Fault {
            $($(#[$doc])* pub(crate) const $name: Fault = Fault(-1 - Answer::$name as i16);)*
        }

        #[derive(Clone, Copy)]
        #[cfg_attr(not(feature = "files"), allow(dead_code, reason = "some are of files"))]
        enum Answer { $($name),* }

        /// The texts, each before the NUL that ends it. Each as a `&str` would take 16 bytes more.
        const ANSWERS: &str = concat!($($text, "\0"),*);
    };
}

answers! {
    Relative => "the path is not absolute",
    RelativeInRoot => "its path in the root does not begin with \"/\": give one, as in FILE=/PATH",
    NotSticky => "everyone can write to it and it is not sticky",
    OtherOwner => "it belongs to another user: the file system gives it another owner, or somebody replaced it",
    Umask => "the umask takes away the right to read or search it",
    /// The process may do what it takes without a user namespace.
    MayChroot => "chroot is permitted",
    Restricted => "AppArmor restricts it",
    StillLinked => "it still has a name or takes new entries",
    NotTheRoot => "\"/\" is not the directory that was made",
    Ids => "the user or group id has changed",
    /// Uid 0 does not hold `CAP_SETFCAP`.
    NoSetfcap => "EPERM (operation not permitted)",
    Capabilities => "capabilities are held that should not be",
    NoJail => "it is the root directory already; write \"/\" for no jail",
    Owner => "it belongs neither to root nor to us",
    Writable => "its group or everyone can write to it",
    NotEmpty => "it is not empty",
    Unsafe => " does not belong to root, or others can write to it",
    OpenDirectory => " is a directory",
    OpenRing => " is an io_uring",
    NoSuchId => "4294967295 is no user or group id",
    TooManyGroups => "there are more than 65536 groups",
    NotOwnId => "a user namespace has no other users and groups",
    NotPrivileged => "the process is neither that user nor privileged",
    UnmappedId => "an id is not mapped in this user namespace",
    SetgroupsDenied => "this user namespace denies setgroups",
    OtherGroup => " of the process is not a group of the user",
    NothingKept => "none can be kept in a user namespace",
    Reversible => "the old ids can be set again",
    NoNewPrivs => "no_new_privs is not set",
    /// `$TMPDIR` is not set.
    Unset => "it is not set",
    NotDumpable => "the process is not dumpable, so the id maps belong to root",
    FilesElsewhere => "only a detached root has files",
    FilesWithoutIds => "without id maps no file can be made in a user namespace",
    TooManyFiles => "there are more than 32",
    NoName => "its path in the root has an empty name, \".\", \"..\" or a NUL byte",
    LongPath => "its path in the root is longer than 255 bytes",
    SamePath => "an earlier file has the same path in the root",
    BelowAFile => "its path leads through that of an earlier file, or the other way round",
    NotAFile => "it is neither a file nor one of the devices null, zero, full, random and urandom",
    NoDevice => "a device requires CAP_MKNOD and CAP_SYS_ADMIN, outside a user namespace",
    LargeFile => "it is larger than 16 MiB",
    Changed => "it changed while it was copied",
    OtherFiles => "the root holds other files",
    NotInAList => "only the roots unlinked, detached and failfs can be in a list",
    NoNamespaceForFailfs => "failfs is not entered through a user namespace",
    NothingToEnter => "a user namespace can only be demanded for a jail",
    RootKeepsAll => "root keeps all its capabilities: pass those to keep to the seal",
    Groups => "the supplementary groups are not those that were set",
    NoLog => "denials are logged from Linux 6.15 on, by Landlock",
    NoFilter => "the seccomp filter is not in force",
    Silent => "that process ended without an answer",
}

/// An answer with a number is one of these bounds minus the number.
const NOT_HELD: i16 = -1000;
const KILLED: i16 = -2000;
const MISSING: i16 = -3000;

impl Fault {
    pub(crate) const PERM: Fault = Fault::of(Errno::PERM);
    pub(crate) const INTR: Fault = Fault::of(Errno::INTR);
    pub(crate) const EXIST: Fault = Fault::of(Errno::EXIST);
    pub(crate) const ACCESS: Fault = Fault::of(Errno::ACCESS);

    /// A system call failed with this errno. A seccomp filter may return any number up to 4095.
    #[allow(clippy::cast_possible_truncation, reason = "an errno is at most 4095")]
    pub(crate) const fn of(errno: Errno) -> Fault {
        Fault(errno.raw_os_error() as i16)
    }

    /// The capability with this number is not held.
    pub(crate) const fn not_held(number: u8) -> Fault {
        Fault(NOT_HELD - number as i16)
    }

    /// The fork that tried to enter was killed by this signal before it had answered.
    #[allow(clippy::cast_possible_truncation, reason = "there are 64 signals")]
    pub(crate) const fn killed(signal: i32) -> Fault {
        Fault(KILLED - signal as i16)
    }

    /// A required protection is missing.
    pub(crate) const fn missing(protection: Protection) -> Fault {
        Fault(MISSING - protection as i16)
    }

    /// Returns the capability that is not held, if that is the fault.
    pub(crate) fn capability_not_held(self) -> Option<Capabilities> {
        let number = u32::from(NOT_HELD.abs_diff(self.0));
        (self.0 <= NOT_HELD && number < 64).then(|| Capabilities::from_bits(1 << number))
    }

    /// Returns the protection that is missing, if that is the fault.
    pub(crate) fn missing_protection(self) -> Option<Protection> {
        Protection::ALL.into_iter().find(|protection| self == Fault::missing(*protection))
    }

    /// Returns the errno, if a system call failed.
    pub(crate) const fn errno(self) -> Option<Errno> {
        match self {
            Fault::NoSetfcap => Some(Errno::PERM),
            Fault(errno) if errno > 0 => Some(Errno::from_raw_os_error(errno as i32)),
            Fault(_) => None,
        }
    }

    /// Returns whether somebody else moved, removed or replaced the new directory. What has its
    /// name now, if anything, is not ours.
    pub(crate) fn is_moved(self) -> bool {
        [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::MLINK].into_iter().any(|errno| self == Fault::of(errno))
    }

    /// Returns whether another parent may help, after this step.
    pub(crate) fn is_of_parent(self, step: Step) -> bool {
        matches!(step, Step::Parent | Step::Mkdir | Step::VerifyUnlinked) || self == Fault::OtherOwner
    }

    /// Returns whether somebody else made an entry in the new directory, which still has its name.
    pub(crate) fn is_filled(self) -> bool {
        self == Fault::EXIST || self == Fault::of(Errno::NOTEMPTY)
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Fault {
        Fault::of(errno)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(errno) = self.errno() {
            return Named(errno).fmt(f);
        }
        let number = |first: i16| u32::from(first.abs_diff(self.0));
        if self.0 <= MISSING {
            f.write_str(Protection::ALL.get(number(MISSING) as usize).map_or("", |protection| protection.name()))?;
            f.write_str(" is missing")
        } else if self.0 <= KILLED {
            f.write_str("that process was killed by signal ")?;
            decimal(f, number(KILLED))
        } else if self.0 <= NOT_HELD {
            Capabilities::from_bits(1 << number(NOT_HELD)).fmt(f)?;
            f.write_str(" is not held")
        } else {
            f.write_str(ANSWERS.split('\0').nth(number(-1) as usize).unwrap_or_default())
        }
    }
}

/// Defines what an entry may leave, each with the text that names it.
macro_rules! residues {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// The changes of an entry that are not undone.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[allow(clippy::struct_excessive_bools, reason = "independent facts")]
        pub(crate) struct Residue {
            $($(#[$doc])* pub(crate) $name: bool,)*
        }

        impl Residue {
            pub(crate) const fn any(self) -> bool {
                false $(|| self.$name)*
            }

            fn texts(self) -> impl Iterator<Item = &'static str> {
                [$((self.$name, $text)),*].into_iter().filter_map(|(remains, text)| remains.then_some(text))
            }
        }
    };
}

residues! {
    /// A directory of ours has a name in the parent.
    directory => "the new directory is still there",
    /// A directory of ours that somebody moved or filled could not be removed, and another was made
    /// in its place.
    left => "a directory that somebody moved or filled may be left",
    /// The working directory has changed.
    cwd => "the working directory has changed",
    /// The process is in a new user namespace.
    user_namespace => "the process is in the new user namespace",
    /// The process is also in an empty mount namespace, with another root and working directory.
    mounts => "and in an empty mount namespace, with another root",
    /// The process holds the capabilities that the user namespace gave.
    capabilities => "and holds its capabilities",
    /// `no_new_privs` is set.
    no_new_privs => "no_new_privs is set",
    /// The root directory has changed.
    root => "the process has the new root",
    /// Ids or capabilities were changed in the jail.
    privileges => "a part of the privileges is gone",
    /// The process is the user that it was to become.
    user => "the process is that user",
}

/// A kind of root that was tried, and the step that failed.
pub(crate) type Attempt = (Root, Step, Fault);

/// A refused entry: the step, the errno, and what could not be undone.
///
/// The text is, for example, `cannot create a user namespace: EPERM (operation not permitted)`. If
/// several roots or parents were tried, the text names each with its reason, and
/// [`step`](Error::step) and [`raw_os_error`](Error::raw_os_error) are about the first root. If
/// something could not be undone, the text names what remains, and both are about the last root.
///
/// [`Debug`](fmt::Debug) prints the same text, because a `main` that returns an error prints
/// `Debug`. The error keeps no path: print the configured path too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error {
    pub(crate) step: Step,
    pub(crate) fault: Fault,
    /// The descriptor, component of a path, file or group that the fault is about.
    pub(crate) number: Option<i32>,
    pub(crate) traces: Residue,
    /// Why each parent of the list failed.
    pub(crate) tried: [Option<Fault>; PARENTS],
    /// All roots, if several were tried.
    pub(crate) attempts: [Option<Attempt>; 3],
    pub(crate) cause: Option<Cause>,
}

impl Error {
    /// Makes an error without attempts.
    pub(crate) const fn inside(step: Step, fault: Fault, traces: Residue) -> Error {
        Error { step, fault, number: None, traces, tried: [None; PARENTS], attempts: [None; 3], cause: None }
    }

    /// Returns the step that failed. Costs no system call.
    #[must_use]
    pub const fn step(&self) -> Step {
        self.step
    }

    /// Returns the errno of the call that failed, or `None` if no call failed but a check did.
    #[must_use]
    pub const fn raw_os_error(&self) -> Option<i32> {
        match self.fault.errno() {
            Some(errno) => Some(errno.raw_os_error()),
            None => None,
        }
    }

    /// Returns the descriptor that is open on a directory or an `io_uring`, or that cannot be
    /// checked, after [`Step::Descriptors`].
    #[must_use]
    pub const fn fd(&self) -> Option<i32> {
        if let Step::Descriptors = self.step { self.number } else { None }
    }

    /// Returns the component of the path that is at fault, counted from 1, after
    /// [`Step::Directory`].
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counted from 1, and a path is short")]
    pub const fn component(&self) -> Option<u16> {
        match (self.step, self.number) {
            (Step::Directory, Some(number)) => Some(number as u16),
            _ => None,
        }
    }

    /// Returns the index of the [file](crate::Jail::files) that is at fault, counted from 0, after
    /// [`Step::Files`] and [`Step::Fill`]. The text counts from 1.
    #[must_use]
    pub fn file(&self) -> Option<usize> {
        match (self.step, self.number) {
            (Step::Files | Step::Fill, Some(number)) if FILES => usize::try_from(number).ok(),
            _ => None,
        }
    }

    /// Returns whether something could not be undone. If false, the process is as it was.
    ///
    /// The text names what remains: for example, the process is in a new user namespace, has the new
    /// root or another working directory, or the new directory could not be removed. After an error
    /// of `run_as`, `seal` and `verify` it is always true, because the process is in the jail.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.traces.any()
    }

    fn fmt_failure(&self, step: Step, fault: Fault, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if fault.is_of_parent(step) && self.tried.iter().any(Option::is_some) {
            let mut before = "cannot create a directory: in ";
            for (index, fault) in self.tried.iter().enumerate() {
                let Some(fault) = fault else { continue };
                [before, parent(index), ": "].into_iter().try_for_each(|text| f.write_str(text))?;
                fmt::Display::fmt(fault, f)?;
                before = ", in ";
            }
            return Ok(());
        }
        ["cannot ", step.action(), ": "].into_iter().try_for_each(|text| f.write_str(text))?;
        let Some(number) = self.number else { return fmt::Display::fmt(&fault, f) };
        let component = self.component().is_some();
        let (what, from) = match self.file() {
            Some(_) => ("file ", 1),
            None if component => ("component ", 0),
            None if fault == Fault::OtherGroup => ("group ", 0),
            None => ("descriptor ", 0),
        };
        f.write_str(what)?;
        #[allow(clippy::cast_sign_loss, reason = "a group id has 32 bits, the others are positive")]
        decimal(f, number as u32 + from)?;
        f.write_str(if component { " of the path" } else { "" })?;
        match fault {
            fault if component && matches!(fault.errno(), Some(Errno::NOTDIR | Errno::LOOP)) => {
                f.write_str(" is a symbolic link or no directory")
            }
            Fault::Unsafe | Fault::OpenDirectory | Fault::OpenRing | Fault::OtherGroup => fmt::Display::fmt(&fault, f),
            fault => f.write_str(": ").and_then(|()| fmt::Display::fmt(&fault, f)),
        }
    }
}

/// Displays what failed and what remains, without the cause, which the launcher prints on its own
/// line.
pub struct Failure<'e>(pub &'e Error);

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0;
        let mut before = "cannot enter any root: ";
        for (root, step, fault) in error.attempts.into_iter().flatten() {
            [before, root.name(), ": "].into_iter().try_for_each(|text| f.write_str(text))?;
            error.fmt_failure(step, fault, f)?;
            before = "; ";
        }
        if before != "; " {
            error.fmt_failure(error.step, error.fault, f)?;
        }
        // The new root has another working directory in any case.
        let remains = Residue { cwd: error.traces.cwd && !error.traces.root, ..error.traces };
        remains.texts().try_for_each(|text| f.write_str("; ").and_then(|()| f.write_str(text)))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Failure(self).fmt(f)?;
        match self.cause.filter(|_| HINTS) {
            Some(cause) => f.write_str("; hint: ").and_then(|()| fmt::Display::fmt(&cause, f)),
            None => Ok(()),
        }
    }
}

debug_is_display!(Error);

impl core::error::Error for Error {}

#[cfg(feature = "std")]
impl From<Error> for std::io::Error {
    /// Makes an error of the kind of the errno, with this error inside.
    fn from(error: Error) -> Self {
        let kind = error
            .raw_os_error()
            .map_or(std::io::ErrorKind::Other, |errno| std::io::Error::from_raw_os_error(errno).kind());
        std::io::Error::new(kind, error)
    }
}
