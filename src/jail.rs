//! The description of a jail.

use core::fmt;
use core::panic::RefUnwindSafe;
#[cfg(feature = "std")]
use std::os::unix::ffi::OsStrExt as _;
#[cfg(feature = "std")]
use std::path::Path;

use crate::error::{Error, Fault, Residue, Step};
use crate::features::{CHROOT_AFTER_NO_NEW_PRIVS, FILES, USERNS};
use crate::files::{Files, check};
use crate::hints::cause::Cause;
use crate::root::{Root, Roots};

/// Describes a jail to [`enter`](Jail::enter). It can be a constant, and changes nothing by itself.
///
/// ```
/// use autochroot::Jail;
///
/// const JAIL: Jail<'static> = Jail::unlinked_in(b"/run");
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a Jail does nothing until it is entered"]
pub struct Jail<'a> {
    /// The parent, or the directory that is to be the root.
    pub(crate) path: Option<&'a [u8]>,
    /// The files of the root.
    pub(crate) files: Option<Files<'a>>,
    /// Becomes the user, if that comes before the entry. The field is in a public type on purpose:
    /// otherwise the compiler sees that only one function is ever called here, and links it into
    /// every program.
    pub(crate) become_user: Option<BecomeUser<'a>>,
    /// The jail was made by `auto`.
    pub(crate) auto: bool,
    /// A list has a root that cannot be in a list.
    not_in_a_list: bool,
    pub(crate) plan: Plan,
}

/// The choices that the state machine has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent choices")]
pub(crate) struct Plan {
    pub(crate) roots: Roots,
    /// The root holds files.
    pub(crate) files: bool,
    /// Become the user before the root is made, and enter through a user namespace.
    pub(crate) user_first: bool,
    pub(crate) demands: Demands,
    pub(crate) threads: bool,
    pub(crate) directories: bool,
    pub(crate) bounding_set: bool,
    pub(crate) user_namespace: UserNamespace,
    pub(crate) id_map: IdMap,
    /// The process may become dumpable to open the id maps.
    pub(crate) dumpable: bool,
    /// A process that has set `no_new_privs` may chroot, if the administrator allows it (FreeBSD).
    pub(crate) no_new_privs_helps: bool,
}

/// The function that becomes the user.
#[derive(Clone, Copy)]
pub(crate) struct BecomeUser<'a>(pub(crate) &'a (dyn Fn() -> Result<(), Error> + Sync + RefUnwindSafe));

impl fmt::Debug for BecomeUser<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BecomeUser")
    }
}

impl Plan {
    /// Returns the kind of root to try after this one.
    pub(crate) fn root_after(self, root: Root) -> Option<Root> {
        let next = self.roots.after(root)?;
        let can_be = next.facts().takes_user_namespace || self.user_namespace != UserNamespace::Always;
        if can_be { Some(next) } else { self.root_after(next) }
    }
}

/// How a jail was entered (Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Entered {
    /// The process could `chroot`: as root, or by `CAP_SYS_CHROOT`. It keeps the capabilities that
    /// it had.
    Privilege,
    /// In a new user namespace. The process holds no capability.
    UserNamespace,
    /// `no_new_privs` was set, which allows a process without privilege to enter
    /// [`failfs`](Root::Failfs).
    NoNewPrivs,
    /// The process has no jail ([`Jail::unjailed`]).
    Unjailed,
}

impl fmt::Display for Entered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Entered::Privilege => "privilege",
            Entered::UserNamespace => "user namespace",
            Entered::NoNewPrivs => "no_new_privs",
            Entered::Unjailed => "no jail",
        })
    }
}

/// Requirements on a directory, for [`Jail::checked_directory`].
///
/// ```
/// use autochroot::{Demands, Jail};
///
/// const JAIL: Jail<'static> = Jail::checked_directory(b"/var/empty", Demands::new().empty().owner().unwritable());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "independent demands")]
#[must_use = "Demands do nothing by themselves"]
pub struct Demands {
    pub(crate) empty: bool,
    pub(crate) owner: bool,
    pub(crate) unwritable: bool,
    pub(crate) safe_path: bool,
}

impl Demands {
    /// Requires nothing.
    pub const fn new() -> Self {
        Demands { empty: false, owner: false, unwritable: false, safe_path: false }
    }

    /// Requires the directory to be empty. Elsewhere than on Linux that cannot be checked, and the
    /// entry fails with `ENOSYS`.
    pub const fn empty(mut self) -> Self {
        self.empty = true;
        self
    }

    /// Requires that the directory belongs to root or to the effective user: with `enter_as` from
    /// root, to root.
    pub const fn owner(mut self) -> Self {
        self.owner = true;
        self
    }

    /// Requires that neither the directory's group nor everyone may write to it.
    pub const fn unwritable(mut self) -> Self {
        self.unwritable = true;
        self
    }

    /// Requires of each component of the path, except "/", that it belongs to root, that only root
    /// may write to it, and that it is not a symbolic link. Then nobody else can put another
    /// directory in its place, unless "/" itself belongs to somebody else.
    /// [`Error::component`](crate::Error::component) returns the first one that differs.
    pub const fn safe_path(mut self) -> Self {
        self.safe_path = true;
        self
    }
}

/// When to enter through a new user namespace, which requires no privilege (Linux).
#[cfg_attr(
    not(feature = "userns"),
    allow(dead_code, unreachable_pub, reason = "the machine knows it, the API does not")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UserNamespace {
    /// If `chroot` fails with `EPERM`.
    Auto,
    /// Never. Without privilege the entry fails with the `EPERM` of `chroot`.
    Never,
    /// Always, also with privilege.
    Always,
}

/// The ids that a process has in a new user namespace (Linux).
#[cfg_attr(
    not(feature = "userns"),
    allow(dead_code, unreachable_pub, reason = "the machine knows it, the API does not")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IdMap {
    /// The effective ids are kept: `geteuid()` and `getegid()` return the same as before. Requires
    /// `/proc`. A map that cannot be written is an error.
    Identity,
    /// No map is written. All ids show as the overflow id (65534), and cannot be set.
    None,
}

/// [`Jail::auto`].
impl Default for Jail<'_> {
    fn default() -> Self {
        Jail::auto()
    }
}

/// Constructors that take paths of `std`.
#[cfg(feature = "std")]
impl<'a> Jail<'a> {
    /// Calls [`unlinked_in`](Jail::unlinked_in) with a `&str`, `Path`, `OsStr` or `String`.
    pub fn unlinked_in_path<P: AsRef<Path> + ?Sized>(parent: &'a P) -> Self {
        Self::unlinked_in(parent.as_ref().as_os_str().as_bytes())
    }

    /// Calls [`checked_directory`](Jail::checked_directory) with a `&str`, `Path`, `OsStr` or
    /// `String`.
    pub fn directory_path<P: AsRef<Path> + ?Sized>(path: &'a P, demands: Demands) -> Self {
        Self::checked_directory(path.as_ref().as_os_str().as_bytes(), demands)
    }
}

impl<'a> Jail<'a> {
    /// Describes a jail with the first of these roots that is available, and without a path.
    pub(crate) const fn of(roots: Roots) -> Self {
        let user_namespace = if USERNS { UserNamespace::Auto } else { UserNamespace::Never };
        let plan = Plan {
            roots,
            files: false,
            user_first: false,
            demands: Demands::new(),
            threads: false,
            directories: false,
            bounding_set: false,
            user_namespace,
            id_map: IdMap::Identity,
            dumpable: false,
            no_new_privs_helps: CHROOT_AFTER_NO_NEW_PRIVS,
        };
        Jail { path: None, files: None, become_user: None, auto: false, not_in_a_list: false, plan }
    }

    /// Describes an empty root of the first kind that is available. On Linux these are
    /// [`detached`](Root::Detached), [`unlinked`](Root::Unlinked) and [`failfs`](Root::Failfs), as
    /// far as the Cargo features are on. On other systems only `unlinked` is tried.
    pub const fn auto() -> Self {
        let mut jail = Self::of(Roots::AUTO);
        jail.auto = true;
        jail
    }

    /// Tries the roots of `other` if no root of this jail is available. Example:
    /// `Jail::detached().or(Jail::unlinked())`.
    ///
    /// If a kind of root is not available, [`enter`](Jail::enter) undoes what it did and tries the
    /// next one. The error of an entry that fails names every attempt. What cannot be undone ends
    /// the list:
    ///
    /// - After a new user namespace was created, no other root is tried.
    /// - While `CAP_SYS_CHROOT` is held, a list creates no user namespace, except with
    ///   `UserNamespace::Always`.
    /// - With `UserNamespace::Always`, `failfs` is skipped.
    ///
    /// All other options are those of the first jail. `other` only contributes its roots and its
    /// parent. A directory and "no jail" cannot be in a list: `enter` then fails at
    /// [`Step::Options`](crate::Step::Options).
    pub const fn or(mut self, other: Jail<'a>) -> Self {
        self.auto = false;
        match self.plan.roots.or_all(other.plan.roots) {
            Some(roots) => self.plan.roots = roots,
            None => self.not_in_a_list = true,
        }
        if self.path.is_none() {
            self.path = other.path;
        }
        self.not_in_a_list |= other.not_in_a_list;
        self
    }

    /// Describes a root that is made, opened and removed. It is empty and has no name, and nothing
    /// can be created in it.
    ///
    /// It is made in the first of these that can be written: `$TMPDIR`, `/dev/shm`, `/run`, `/tmp`,
    /// `/var/tmp` and `/`. It has a name there for the time of two system calls. `$TMPDIR` requires
    /// Linux and the feature `std`. It is not used if threads are allowed, because one might change
    /// it, nor in a set-id process, because the caller must not choose the directory.
    pub const fn unlinked() -> Self {
        Self::of(Roots::one(Root::Unlinked))
    }

    /// Describes an [`unlinked`](Jail::unlinked) root that is made in `parent` and nowhere else.
    ///
    /// The path must be absolute. A parent that everyone can write to must be sticky, like `/tmp`.
    pub const fn unlinked_in(parent: &'a [u8]) -> Self {
        Self::unlinked().in_parent(parent)
    }

    /// Makes the directory of an `unlinked` root, which must be among the roots, in `parent`.
    pub(crate) const fn in_parent(mut self, parent: &'a [u8]) -> Self {
        if self.auto {
            self.plan.roots = Roots::one(Root::Unlinked);
        }
        self.path = Some(parent);
        self
    }

    /// Uses this directory as the root, as it is. The path must be absolute.
    ///
    /// A seal (Linux) keeps everything beneath it accessible.
    pub const fn directory(path: &'a [u8]) -> Self {
        Self::checked_directory(path, Demands::new())
    }

    /// Uses this directory as the root. If the path is not absolute, or the directory does not meet
    /// the demands, [`enter`](Jail::enter) fails at [`Step::Directory`](crate::Step::Directory).
    pub const fn checked_directory(path: &'a [u8], demands: Demands) -> Self {
        let mut jail = Self::of(Roots::one(Root::Directory));
        jail.path = Some(path);
        jail.plan.demands = demands;
        jail
    }

    /// Describes no jail: [`enter`](Jail::enter) succeeds without a system call, and
    /// [`Jailed::root`](crate::Jailed::root) returns [`Root::Unjailed`]. For programs whose
    /// administrator decides.
    pub const fn unjailed() -> Self {
        Self::of(Roots::one(Root::Unjailed))
    }

    /// Returns the kind of root, in a list the first kind that is tried.
    #[must_use]
    pub const fn root(&self) -> Root {
        self.plan.roots.first()
    }

    /// Refuses an option that does not go with the root, instead of ignoring it.
    ///
    /// # Errors
    ///
    /// [`Step::Options`]
    pub(crate) fn check_options(&self) -> Result<(), Error> {
        let plan = self.plan;
        let fault = if self.not_in_a_list {
            Fault::NotInAList
        } else if FILES && plan.files && !(plan.roots.is_one() && self.root().facts().has_files) {
            Fault::FilesElsewhere
        } else if plan.user_namespace == UserNamespace::Always && !self.root().facts().takes_user_namespace {
            if self.root().is_made() { Fault::NoNamespaceForFailfs } else { Fault::NothingToEnter }
        } else {
            return Ok(());
        };
        let cause = (fault == Fault::FilesElsewhere).then_some(Cause::OtherRoot);
        Err(Error { cause, ..Error::inside(Step::Options, fault, Residue::default()) })
    }

    /// Checks everything that does not depend on the machine. For the launcher.
    ///
    /// # Errors
    ///
    /// [`Step::Options`], [`Step::Files`]
    #[doc(hidden)]
    pub fn check_words(&self) -> Result<(), Error> {
        self.check_options()?;
        let (Some(Files { named, writable, .. }), mut number) = (self.files, None) else { return Ok(()) };
        check(named, writable, &mut number).map_err(|fault| {
            let cause = [Fault::RelativeInRoot, Fault::WritableFile].contains(&fault).then_some(Cause::PathInRoot);
            Error { number, cause, ..Error::inside(Step::Files, fault, Residue::default()) }
        })
    }

    /// Returns the path of the parent, or of the directory that becomes the root.
    #[must_use]
    pub const fn path(&self) -> Option<&'a [u8]> {
        self.path
    }

    /// Enters even if there are other threads. Saves two system calls.
    ///
    /// - A thread that does not share its root with this one (`CLONE_FS`) is *not* jailed.
    /// - No user namespace can be created: `unshare` fails with `EINVAL`.
    /// - A root, working directory or table of descriptors that another process shares stays
    ///   shared.
    /// - `$TMPDIR` is not used.
    /// - `Jailed::run_as` and `Jailed::seal` still refuse threads.
    pub const fn allow_threads(mut self) -> Self {
        self.plan.threads = true;
        self
    }

    /// Enters even if a descriptor is open on a directory or an `io_uring`.
    ///
    /// Through a directory the process can leave the jail (`fchdir`, `openat`). In an `io_uring` a
    /// directory may be registered. Saves the system calls of
    /// [`Step::Descriptors`](crate::Step::Descriptors): at least three, and one for each number up
    /// to the last descriptor.
    pub const fn allow_open_directories(mut self) -> Self {
        self.plan.directories = true;
        self
    }
}
