//! What the caller asks for.

use core::fmt;

use crate::error::{Error, Fault, Residue, Step};
#[cfg(doc)]
use crate::jailed::Jailed;

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
    const fn new(root: Root, path: Option<&'a [u8]>) -> Self {
        let user_namespace = if cfg!(all(feature = "userns", any(target_os = "linux", target_os = "android"))) {
            UserNamespace::Auto
        } else {
            UserNamespace::Never
        };
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
            no_new_privs_helps: cfg!(target_os = "freebsd"),
        };
        Jail { path, auto: false, parent_of_another: false, plan }
    }

    /// An empty root, by whatever way this machine allows: [`unlinked`](Jail::unlinked) and, on Linux, where no parent can
    /// be written, [`detached`](Jail::detached).
    pub const fn auto() -> Self {
        let mut jail = Self::new(Root::Unlinked, None);
        jail.auto = true;
        jail.plan.detached_if_no_parent =
            cfg!(all(feature = "detached", any(target_os = "linux", target_os = "android")));
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
    /// [`Jailed::seal`] leaves what is beneath it accessible.
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
    /// `$TMPDIR` is not looked at. [`Jailed::run_as`] and [`Jailed::seal`] still refuse threads. Saves two system calls.
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

/// Linux only.
#[cfg(any(target_os = "linux", target_os = "android"))]
impl Jail<'_> {
    /// A read-only tmpfs that is mounted nowhere: empty, without a name at any instant, `EROFS` for whatever would be made
    /// in it. Needs no parent. In a user namespace it takes a mount namespace too, whose cost grows with the number of
    /// mounts.
    ///
    /// # Source
    ///
    /// [`fsopen(2)`](https://man7.org/linux/man-pages/man2/fsopen.2.html),
    /// [`fsmount(2)`](https://man7.org/linux/man-pages/man2/fsmount.2.html)
    #[cfg(feature = "detached")]
    pub const fn detached() -> Self {
        Jail::new(Root::Detached, None)
    }

    /// Whether to enter through a new user namespace. [`UserNamespace::Auto`] unless said.
    #[cfg(feature = "userns")]
    pub const fn user_namespace(mut self, user_namespace: UserNamespace) -> Self {
        self.plan.user_namespace = user_namespace;
        self
    }

    /// Which ids the process has in a new user namespace. [`IdMap::Identity`] unless said.
    #[cfg(feature = "userns")]
    pub const fn id_map(mut self, id_map: IdMap) -> Self {
        self.plan.id_map = id_map;
        self
    }

    /// Lets a process that is not dumpable open its id maps, which belong to root otherwise: for that moment it is dumpable, and other
    /// processes of its user can open its memory in `/proc` and trace it, for as long as they like. For a process that holds no secret.
    ///
    /// A process is not dumpable after a `setuid`, with file capabilities, and if its program cannot be read. Without this,
    /// [`enter`](Jail::enter) refuses such a process at [`Step::Proc`](crate::Step::Proc), before anything has changed; it can enter
    /// before the `setuid`, or go without id maps.
    #[cfg(feature = "userns")]
    pub const fn allow_dumpable(mut self) -> Self {
        self.plan.dumpable = true;
        self
    }

    /// In a user namespace, empty the bounding set and lock the securebits, for [`Jailed::seal`] to find them so.
    ///
    /// That takes a capability of the user namespace, which is gone when [`enter`](Jail::enter) returns. Nothing that
    /// is known depends on it: without a capability held and with `no_new_privs`, which `enter` sets in a user namespace, no
    /// `execve` gives one. It costs a system call for each capability that the kernel knows (41 on Linux 6.18) and three more, half
    /// as much time as all the rest.
    #[cfg(feature = "userns")]
    pub const fn empty_bounding_set(mut self) -> Self {
        self.plan.bounding_set = true;
        self
    }
}
