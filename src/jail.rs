//! What the caller asks for.

use core::fmt;

use crate::error::{Error, Fault, Residue, Step};
use crate::features::{CHROOT_AFTER_NO_NEW_PRIVS, DETACHED, USERNS};

/// A jail to enter: a description, made at compile time if need be, that changes nothing until [`enter`](Jail::enter).
///
/// ```
/// use autochroot::Jail;
///
/// const JAIL: Jail<'static> = Jail::auto().parent(b"/run");
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a Jail does nothing until it is entered"]
pub struct Jail<'a> {
    /// The parent, or the directory that is to be the root.
    pub(crate) path: Option<&'a [u8]>,
    /// Made by the word `auto`.
    pub(crate) auto: bool,
    /// A parent was named for a root that has none.
    parent_of_another: bool,
    pub(crate) plan: Plan,
}

/// The choices that the state machine has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent choices")]
pub(crate) struct Plan {
    pub(crate) root: Root,
    pub(crate) detached_if_no_parent: bool,
    pub(crate) demands: Demands,
    pub(crate) threads: bool,
    pub(crate) directories: bool,
    pub(crate) bounding_set: bool,
    pub(crate) user_namespace: UserNamespace,
    pub(crate) id_map: IdMap,
    /// May become dumpable to open the id maps.
    pub(crate) dumpable: bool,
    /// Who has set `no_new_privs` may chroot, if the administrator lets him (FreeBSD).
    pub(crate) no_new_privs_helps: bool,
}

/// What kind of root directory a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Root {
    /// A directory that was made, opened and removed.
    Unlinked,
    /// A read-only tmpfs that is mounted nowhere (Linux).
    Detached,
    /// A directory of the caller's.
    Directory,
    /// The one that it had: no jail was wanted.
    Unjailed,
}

impl Root {
    /// Returns its name: `unlinked`, `detached`, `directory`, `unjailed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Root::Unlinked => "unlinked",
            Root::Detached => "detached",
            Root::Directory => "directory",
            Root::Unjailed => "unjailed",
        }
    }

    /// Whether it was made for the jail, so that it is empty and takes nothing.
    pub(crate) const fn is_made(self) -> bool {
        match self {
            Root::Unlinked | Root::Detached => true,
            Root::Directory | Root::Unjailed => false,
        }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a directory of the caller's must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent demands")]
pub(crate) struct Demands {
    pub(crate) empty: bool,
    pub(crate) owner: bool,
    pub(crate) unwritable: bool,
    pub(crate) safe_path: bool,
}

/// Whether to enter through a new user namespace, which needs no privilege (Linux).
#[cfg_attr(
    not(feature = "userns"),
    allow(dead_code, unreachable_pub, reason = "the machine knows it, the API does not")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UserNamespace {
    /// When `chroot` says `EPERM`.
    Auto,
    /// Never: without privilege the entry fails with the `EPERM` of `chroot`.
    Never,
    /// Always, even where the privilege is there.
    Always,
}

/// What is written to `uid_map` and `gid_map` of a new user namespace (Linux).
#[cfg_attr(
    not(feature = "userns"),
    allow(dead_code, unreachable_pub, reason = "the machine knows it, the API does not")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdMap {
    /// The effective ids onto themselves, so that `geteuid()` and `getegid()` say what they said before. Needs `/proc`.
    /// A map that cannot be written is an error.
    Identity,
    /// Nothing: all ids show as the overflow id (65534), and cannot be set to what they were.
    None,
}

impl<'a> Jail<'a> {
    pub(crate) const fn new(root: Root, path: Option<&'a [u8]>) -> Self {
        let user_namespace = if USERNS { UserNamespace::Auto } else { UserNamespace::Never };
        let plan = Plan {
            root,
            detached_if_no_parent: false,
            demands: Demands { empty: false, owner: false, unwritable: false, safe_path: false },
            threads: false,
            directories: false,
            bounding_set: false,
            user_namespace,
            id_map: IdMap::Identity,
            dumpable: false,
            no_new_privs_helps: CHROOT_AFTER_NO_NEW_PRIVS,
        };
        Jail { path, auto: false, parent_of_another: false, plan }
    }

    /// An empty root, by whatever way this machine allows: [`unlinked`](Jail::unlinked) and, on Linux, where no parent can
    /// be written, [`detached`](Jail::detached).
    pub const fn auto() -> Self {
        let mut jail = Self::new(Root::Unlinked, None);
        jail.auto = true;
        jail.plan.detached_if_no_parent = DETACHED;
        jail
    }

    /// A directory that is made, opened and removed: empty, without a name, and nothing can be made in it.
    ///
    /// It is made in the first of `$TMPDIR`, `/dev/shm`, `/run`, `/tmp`, `/var/tmp` and `/` that can be written, and has a name there
    /// between two system calls. `$TMPDIR` is looked at on Linux, with the feature `std`, unless threads are allowed, which might
    /// change it meanwhile, and not in a set-id process, whose user does not choose where it makes directories.
    pub const fn unlinked() -> Self {
        Self::new(Root::Unlinked, None)
    }

    /// This directory, an absolute path: as it is, unless more is demanded of it. See
    /// [`require_empty`](Jail::require_empty), [`require_owner`](Jail::require_owner),
    /// [`require_unwritable`](Jail::require_unwritable) and [`require_safe_path`](Jail::require_safe_path).
    ///
    /// [`Jailed::seal`](crate::Jailed::seal) leaves what is beneath it accessible.
    pub const fn directory(path: &'a [u8]) -> Self {
        Self::new(Root::Directory, Some(path))
    }

    /// No jail: [`enter`](Jail::enter) succeeds without a system call, and the proof says so. For a configuration in which
    /// the administrator decides.
    pub const fn unjailed() -> Self {
        Self::new(Root::Unjailed, None)
    }

    /// Of `auto` and `unlinked`: make the directory in `parent`, an absolute path, and nowhere else; `auto` then has nothing to
    /// fall back on.
    ///
    /// A parent that everyone can write to must be sticky, like `/tmp`. Other roots have no parent: [`enter`](Jail::enter) then fails
    /// at [`Step::Options`](crate::Step::Options).
    pub const fn parent(mut self, parent: &'a [u8]) -> Self {
        if let Root::Unlinked = self.plan.root {
            self.path = Some(parent);
            self.plan.detached_if_no_parent = false;
        } else {
            self.parent_of_another = true;
        }
        self
    }

    /// Of a [`directory`](Jail::directory), and of no other root: it must be empty. On Linux only; elsewhere that is refused with `ENOSYS`.
    pub const fn require_empty(mut self) -> Self {
        self.plan.demands.empty = true;
        self
    }

    /// Of a [`directory`](Jail::directory): it must belong to root or to the effective user.
    pub const fn require_owner(mut self) -> Self {
        self.plan.demands.owner = true;
        self
    }

    /// Of a [`directory`](Jail::directory): neither its group nor everyone may write to it.
    pub const fn require_unwritable(mut self) -> Self {
        self.plan.demands.unwritable = true;
        self
    }

    /// Of a [`directory`](Jail::directory): each component of its path must belong to root, be writable by root alone, and be
    /// no symbolic link, so that nobody else can put another in its place. [`Error::component`] says which is not.
    pub const fn require_safe_path(mut self) -> Self {
        self.plan.demands.safe_path = true;
        self
    }

    /// Which kind of root is described, of `auto` the first that is tried. What is required of a directory must not be required of
    /// another kind, so a program that reads the kind from its configuration asks here first.
    #[must_use]
    pub const fn root(&self) -> Root {
        self.plan.root
    }

    /// An option that does not go with the root is an error, and not ignored.
    pub(crate) fn check_options(&self) -> Result<(), Error> {
        let plan = self.plan;
        let fault = if self.parent_of_another {
            Fault::ParentOfAnother
        } else if plan.demands != Demands::default() && plan.root != Root::Directory {
            Fault::NotADirectory
        } else if plan.user_namespace == UserNamespace::Always && plan.root == Root::Unjailed {
            Fault::NothingToEnter
        } else {
            return Ok(());
        };
        Err(Error::inside(Step::Options, fault, Residue::default()))
    }

    /// The path that was named: of the parent, or of the directory that is to be the root.
    #[must_use]
    pub const fn path(&self) -> Option<&'a [u8]> {
        self.path
    }

    /// Enter even if there are other threads.
    ///
    /// A thread that does not share its root with this one (`CLONE_FS`) is then *not* jailed, a user namespace cannot be made (`unshare`
    /// fails with `EINVAL`), and a root, working directory or table of descriptors that another process shares stays shared.
    /// `$TMPDIR` is not looked at. [`Jailed::run_as`](crate::Jailed::run_as) and [`Jailed::seal`](crate::Jailed::seal) still refuse threads. Saves two system calls.
    pub const fn allow_threads(mut self) -> Self {
        self.plan.threads = true;
        self
    }

    /// Enter even if a descriptor is open on a directory, through which a process leaves the jail (`fchdir`, `openat`), or on an
    /// `io_uring`, in which a directory may be registered.
    ///
    /// Saves the system calls of [`Step::Descriptors`](crate::Step::Descriptors): at least three, and one for
    /// each number up to the last descriptor.
    pub const fn allow_open_directories(mut self) -> Self {
        self.plan.directories = true;
        self
    }
}
