//! Why a step failed: an errno or an answer of our own.

use core::fmt;
use core::num::NonZero;

use rustix::io::Errno;

use super::step::Step;
use crate::capabilities::Capabilities;
use crate::protection::Protection;
use crate::text::{Named, decimal, write_all};

/// The reason why a step failed, in two bytes: the errno of a system call or, below zero, one of
/// the answers below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault(NonZero<i16>);

/// Defines the answers with their texts.
macro_rules! answers {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        #[allow(non_upper_case_globals, reason = "they read as the variants that they are")]
        #[cfg_attr(not(feature = "files"), allow(dead_code, reason = "some are of files"))]
        impl Fault {
            $($(#[$doc])* pub(crate) const $name: Fault = Fault::new(-1 - Answer::$name as i16);)*
        }

        #[derive(Clone, Copy)]
        #[cfg_attr(not(feature = "files"), allow(dead_code, reason = "some are of files"))]
        enum Answer { $($name),* }

        /// The texts, each ended by a NUL. As a `&str` each would take 16 bytes more.
        const ANSWERS: &str = concat!($($text, "\0"),*);
    };
}

answers! {
    Relative => "the path is not absolute",
    RelativeInRoot => "the path in the root does not begin with \"/\"",
    NotSticky => "everyone can write to it and it is not sticky",
    OtherOwner => "it belongs to another user: the file system gives it another owner, or somebody replaced it",
    Umask => "the umask takes away the right to read or search it",
    /// The process holds the capability that the failed call requires, so a user namespace would not help.
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
    RegisteredRing => "an io_uring without a descriptor is registered (IORING_REGISTER_RING_FDS)",
    NotOwnId => "a user namespace has no other users and groups",
    NotPrivileged => "the process is neither that user nor privileged",
    UnmappedId => "an id is not mapped in this user namespace",
    SetgroupsDenied => "this user namespace denies setgroups",
    OtherGroup => " of the process is not a group of the user",
    NothingKept => "none can be kept in a user namespace",
    /// The securebits forbid that a program which is executed keeps capabilities, or that they survive
    /// a change of the user id.
    Securebits => "the securebits forbid it",
    Reversible => "the old ids can be set again",
    NoNewPrivs => "no_new_privs is not set",
    /// `$TMPDIR` is not set.
    Unset => "it is not set",
    NotDumpable => "the process is not dumpable, so the id maps belong to root",
    NotDumpableThen => "as that user it is not dumpable, so the id maps belong to root",
    FilesElsewhere => "only a detached root takes files or a writable directory",
    FilesWithoutIds => "without id maps no file can be made in a user namespace",
    TooManyFiles => "there are more than 128",
    NoName => "the path in the root has an empty name, \".\", \"..\" or a NUL byte",
    LongPath => "the path in the root is longer than 255 bytes",
    SamePath => "an earlier file has the same path in the root",
    BelowAFile => "it and an earlier file are in each other's way",
    NotAFile => "it is neither a file nor one of the devices null, zero, full, random and urandom",
    Dangling => "ENOENT (no such file or directory): it is a symbolic link whose target is missing",
    NoDevice => "a device requires CAP_MKNOD and CAP_SYS_ADMIN, outside a user namespace",
    LargeFile => "it is larger than 64 MiB",
    LargeFiles => "they are larger than 1 GiB together",
    Size => "the size of the writable directory has to be from 1 byte to 1 TiB",
    WritableFile => "it and the writable directory (/tmp by default) are in each other's way",
    Changed => "it changed while it was copied",
    OtherFiles => "the root holds other files",
    NotInAList => "only the roots unlinked, detached and failfs can be in a list",
    NoNamespaceForFailfs => "failfs is not entered through a user namespace",
    NothingToEnter => "a user namespace can only be demanded for a jail",
    RootKeepsAll => "root keeps all its capabilities: pass those to keep to the seal",
    Groups => "the supplementary groups are not those that were set",
    NoLog => "denials are logged from Linux 6.15 on, by Landlock",
    RingsConnect => "no_connect does not go with io_uring, whose operations no filter sees",
    NoFilter => "the seccomp filter is not in force",
    Silent => "that process ended without an answer",
}

/// An answer with a number is one of these bounds minus the number.
const NOT_HELD: i16 = -1000;
const KILLED: i16 = -2000;
const MISSING: i16 = -3000;

impl Fault {
    const fn new(number: i16) -> Fault {
        match NonZero::new(number) {
            Some(number) => Fault(number),
            None => Fault(NonZero::<i16>::MIN), // an errno is never 0
        }
    }

    pub(crate) const PERM: Fault = Fault::of(Errno::PERM);
    pub(crate) const INTR: Fault = Fault::of(Errno::INTR);
    pub(crate) const EXIST: Fault = Fault::of(Errno::EXIST);
    pub(crate) const ACCESS: Fault = Fault::of(Errno::ACCESS);

    /// Returns the fault of a system call that failed with this errno. A seccomp filter may return
    /// any number up to 4095.
    #[allow(clippy::cast_possible_truncation, reason = "an errno is at most 4095")]
    pub(crate) const fn of(errno: Errno) -> Fault {
        Fault::new(errno.raw_os_error() as i16)
    }

    /// Returns the fault of a capability that is not held.
    pub(crate) const fn not_held(number: u8) -> Fault {
        Fault::new(NOT_HELD - number as i16)
    }

    /// Returns the fault of a fork that was killed by this signal before it had answered.
    #[allow(clippy::cast_possible_truncation, reason = "there are 64 signals")]
    pub(crate) const fn killed(signal: i32) -> Fault {
        Fault::new(KILLED - signal as i16)
    }

    /// Returns the fault of a required protection that is missing.
    pub(crate) const fn missing(protection: Protection) -> Fault {
        Fault::new(MISSING - protection as i16)
    }

    /// Returns the capability that is not held, if that is the fault.
    pub(crate) fn capability_not_held(self) -> Option<Capabilities> {
        let number = u32::from(NOT_HELD.abs_diff(self.0.get()));
        (self.0.get() <= NOT_HELD && number < 64).then(|| Capabilities::from_bits(1 << number))
    }

    /// Returns the protection that is missing, if that is the fault.
    pub(crate) fn missing_protection(self) -> Option<Protection> {
        Protection::ALL.into_iter().find(|protection| self == Fault::missing(*protection))
    }

    /// Returns the errno, if a system call failed.
    pub(crate) const fn errno(self) -> Option<Errno> {
        match self {
            Fault::NoSetfcap => Some(Errno::PERM),
            Fault::Dangling => Some(Errno::NOENT),
            Fault(number) if number.get() > 0 => Some(Errno::from_raw_os_error(number.get() as i32)),
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
        if let (Some(errno), true) = (self.errno(), self.0.get() > 0) {
            return Named(errno).fmt(f);
        }
        let number = |first: i16| u32::from(first.abs_diff(self.0.get()));
        if self.0.get() <= MISSING {
            let missing = Protection::ALL.get(number(MISSING) as usize).map_or("", |protection| protection.name());
            write_all(f, &[missing, " is missing"])
        } else if self.0.get() <= KILLED {
            f.write_str("that process was killed by signal ")?;
            decimal(f, number(KILLED))
        } else if self.0.get() <= NOT_HELD {
            Capabilities::from_bits(1 << number(NOT_HELD)).fmt(f)?;
            f.write_str(" is not held")
        } else {
            f.write_str(ANSWERS.split('\0').nth(number(-1) as usize).unwrap_or_default())
        }
    }
}
