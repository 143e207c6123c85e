//! What the caller asks for.

use crate::error::Error;
use crate::jailed::Jailed;
use crate::kernel::System;
use crate::machine::State;

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
    parent: Option<&'a [u8]>,
    plan: Plan,
}

/// The choices that the state machine has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) threads: bool,
    pub(crate) directories: bool,
    pub(crate) bounding_set: bool,
    pub(crate) user_namespace: UserNamespace,
    pub(crate) id_map: IdMap,
}

/// Whether to enter through a new user namespace, which needs no privilege (Linux).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
pub enum IdMap {
    /// The effective ids onto themselves, so that `geteuid()` and `getegid()` say what they said before. Needs `/proc`.
    /// A map that cannot be written is an error.
    Identity,
    /// Nothing: all ids show as the overflow id (65534), and cannot be set to what they were.
    None,
}

impl<'a> Jail<'a> {
    /// An empty directory without a name, by whatever way this machine allows.
    pub const fn auto() -> Self {
        let user_namespace = if cfg!(any(target_os = "linux", target_os = "android")) {
            UserNamespace::Auto
        } else {
            UserNamespace::Never
        };
        let plan =
            Plan { threads: false, directories: false, bounding_set: false, user_namespace, id_map: IdMap::Identity };
        Jail { parent: None, plan }
    }

    /// Make the directory in `parent`, an absolute path, and nowhere else.
    ///
    /// It has a name there only between two system calls. By default the first of `/dev/shm`, `/run`, `/tmp`, `/var/tmp`
    /// and `/` that can be written is taken. A parent that everyone can write to must be sticky, like `/tmp`.
    pub const fn parent(mut self, parent: &'a [u8]) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Enter even if there are other threads.
    ///
    /// A thread that does not share its root with this one (`CLONE_FS`) is then *not* jailed, and a user namespace can
    /// not be made: `unshare` says `EINVAL`. Saves one system call.
    pub const fn allow_threads(mut self) -> Self {
        self.plan.threads = true;
        self
    }

    /// Enter even if a descriptor is open on a directory, through which a process leaves the jail: `fchdir`, `openat`.
    ///
    /// Saves the system calls of [`Step::OpenDirectories`](crate::Step::OpenDirectories): one for each open descriptor
    /// and four more.
    pub const fn allow_open_directories(mut self) -> Self {
        self.plan.directories = true;
        self
    }

    /// Enter the jail: on success "/" is an empty directory that has no name and takes no entries, and so is the
    /// working directory.
    ///
    /// Open descriptors stay open. Costs 23 system calls with privilege, 41 in a user namespace, and one for each
    /// open descriptor, listed on the [crate page](crate); allocates nothing.
    ///
    /// # Requirements
    ///
    /// One thread, and a parent that can be written. `CAP_SYS_CHROOT` (elsewhere than on Linux: root), or on Linux
    /// the right to make user namespaces, and `/proc` unless the map is [`IdMap::None`].
    ///
    /// # Errors
    ///
    /// All or nothing: after an error the process is as it was, with its working directory and without a trace in the
    /// parent, or [`Error::is_partial`] is true. [`Error::step`] says where it failed, [`Error::raw_os_error`] why.
    ///
    /// # Source
    ///
    /// [`chroot(2)`](https://man7.org/linux/man-pages/man2/chroot.2.html),
    /// [`user_namespaces(7)`](https://man7.org/linux/man-pages/man7/user_namespaces.7.html)
    pub fn enter(self) -> Result<Jailed, Error> {
        let mut system = System::new(self.plan, self.parent);
        let end = State::start(self.plan, system.parents()).run(|state| system.ask(state));
        match end.refused {
            None => Ok(Jailed::new(&system, &end)),
            Some((step, fault)) => Err(Error { step, fault, traces: end.has, tried: system.tried() }),
        }
    }
}

/// Linux only.
#[cfg(any(target_os = "linux", target_os = "android"))]
impl Jail<'_> {
    /// Whether to enter through a new user namespace. [`UserNamespace::Auto`] unless said.
    pub const fn user_namespace(mut self, user_namespace: UserNamespace) -> Self {
        self.plan.user_namespace = user_namespace;
        self
    }

    /// Which ids the process has in a new user namespace. [`IdMap::Identity`] unless said.
    pub const fn id_map(mut self, id_map: IdMap) -> Self {
        self.plan.id_map = id_map;
        self
    }

    /// In a user namespace, empty the bounding set and lock the securebits, for [`Jailed::seal`] to find them so.
    ///
    /// That takes a capability of the user namespace, which is gone when [`enter`](Jail::enter) returns. Nothing that
    /// is known depends on it: without a capability held and with `no_new_privs`, which `seal` sets, no `execve` gives
    /// one. It costs a system call for each capability that the kernel knows (41 on Linux 6.18), about as much time as
    /// all the rest.
    pub const fn empty_bounding_set(mut self) -> Self {
        self.plan.bounding_set = true;
        self
    }
}
