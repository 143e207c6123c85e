//! The proof of entry, and what a process can do inside.

use rustix::fd::OwnedFd;
use rustix::process::Pid;

use crate::capabilities::Capabilities;
use crate::entry::{Entry, OpenDirectories, RootId, RootMutability};
use crate::error::Residue;
use crate::error::{Error, Step};
use crate::jail::{Entered, IdMap, Jail};
use crate::machine::State;
use crate::protection::SessionKeyring;
use crate::root::Root;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod linux;

/// Proves that the process is in a jail. Only [`Jail::enter`](crate::Jail::enter) and its like
/// return it.
///
/// On Linux, `run_as` comes before `seal`: a sealed jail has no `run_as`.
///
/// Where a seccomp filter refuses `unshare` (Linux), a `Jailed` holds a descriptor of `/proc/self/stat`, to
/// find new threads. In a fork this descriptor shows the parent, so `run_as` and `seal` fail there.
///
/// Methods that only return a fact make no system call. Dropping a `Jailed` changes nothing: a jail
/// is for good.
#[derive(Debug)]
#[must_use = "it has run_as, seal and verify; without them the process is jailed, and no more"]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Jailed {
    pub(crate) entered: Entered,
    ids_kept: bool,
    stat: Option<(Pid, OwnedFd)>,
    unshared: bool,
    keyring: SessionKeyring,
    /// The capabilities that `run_as` kept.
    kept: Capabilities,
    directories: OpenDirectories,
    rings_checked: bool,
    parent: Option<&'static str>,
    place: RootId,
}

impl Jailed {
    pub(crate) fn new(jail: Jail<'_>, system: &mut Entry, end: &State) -> Jailed {
        Jailed {
            entered: end.entered,
            ids_kept: end.entered != Entered::UserNamespace || jail.plan.id_map == IdMap::Identity,
            stat: system.stat.take(),
            unshared: system.unshared,
            keyring: system.keyring,
            kept: Capabilities::NONE,
            directories: system.descriptors.directories,
            rings_checked: system.descriptors.rings_checked,
            parent: system.parent_of_the_list(jail, end.parent),
            place: system.place,
        }
    }

    /// Returns the directory in which the root was made, if the caller named none.
    #[must_use]
    pub const fn parent(&self) -> Option<&'static str> {
        self.parent
    }

    /// Returns the kind of root.
    #[must_use]
    pub const fn root(&self) -> Root {
        self.place.root
    }

    /// Returns the result of the check for open directories.
    #[must_use]
    pub const fn open_directories(&self) -> OpenDirectories {
        self.directories
    }

    /// Checks once more that the jail holds, and returns the changes to the root that are still
    /// possible. The checks change nothing, not even the times of the root.
    ///
    /// - "/", ".." and the working directory are the root that was made. An unlinked root has no
    ///   name.
    /// - `mkdir` and `creat` fail in the root.
    /// - The root is empty, or holds nothing except its files.
    ///
    /// Exceptions:
    ///
    /// - failfs: the check is that no path can be looked up.
    /// - A root with a writable directory: only the first check runs.
    /// - A directory that the caller named: only "/" and ".." are checked.
    /// - No jail: nothing is checked.
    ///
    /// # Cost
    ///
    /// At most 12 system calls.
    ///
    /// # Errors
    ///
    /// [`Step::Verify`]: the jail does not hold, which should not happen.
    pub fn verify(&self) -> Result<RootMutability, Error> {
        self.place.verify().map_err(|fault| Error::inside(Step::Verify, fault, self.traces()))
    }

    pub(crate) const fn in_user_namespace(&self) -> bool {
        matches!(self.entered, Entered::UserNamespace)
    }

    /// Returns what differs from before the entry.
    fn traces(&self) -> Residue {
        Residue { user_namespace: self.in_user_namespace(), root: self.place.root.is_jail(), ..Residue::default() }
    }
}
