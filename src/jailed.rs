//! Proof of entry, and what can be asked and done inside.

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

/// Proof that the process is in a jail: only [`Jail::enter`](crate::Jail::enter) makes one.
///
/// What must not be done later has no method later: [`run_as`](Jailed::run_as) comes before [`seal`](Jailed::seal).
///
/// Where a filter refuses `unshare`, it holds a descriptor of `/proc/self/stat` to see new threads by; a fork cannot use that one,
/// and is refused what takes one thread.
#[derive(Debug)]
#[must_use = "it has run_as, seal and verify; without them the process is jailed, and no more"]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub struct Jailed {
    pub(crate) entered: Entered,
    ids_kept: bool,
    stat: Option<(Pid, OwnedFd)>,
    unshared: bool,
    keyring: SessionKeyring,
    /// What `run_as` kept.
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

    /// The directory in which the root was made, if the caller named none. Costs no system call.
    #[must_use]
    pub const fn parent(&self) -> Option<&'static str> {
        self.parent
    }

    /// What kind of root the process has. Costs no system call.
    #[must_use]
    pub const fn root(&self) -> Root {
        self.place.root
    }

    /// What was seen of open directories before the jail was entered. Costs no system call.
    #[must_use]
    pub const fn open_directories(&self) -> OpenDirectories {
        self.directories
    }

    /// Checks once more that the jail holds: "/" is the directory that was made, and so are ".." and the working directory; it is empty,
    /// has no name, and neither `mkdir` nor `creat` makes anything in it. Of a directory of the caller's only "/" and ".." are checked,
    /// without a jail nothing.
    ///
    /// Returns what can still be done to the root of a jail that holds. Changes nothing, not even the times of the root. Costs at
    /// most 12 system calls.
    ///
    /// # Errors
    ///
    /// [`Step::Verify`], which should not happen.
    pub fn verify(&self) -> Result<RootMutability, Error> {
        self.place.verify().map_err(|fault| Error::inside(Step::Verify, fault, self.traces(false)))
    }

    pub(crate) const fn in_user_namespace(&self) -> bool {
        matches!(self.entered, Entered::UserNamespace)
    }

    /// What is not as it was before the entry.
    const fn traces(&self, privileges: bool) -> Residue {
        Residue {
            directory: false,
            cwd: false,
            user_namespace: self.in_user_namespace(),
            mounts: false,
            capabilities: false,
            root: !matches!(self.place.root, Root::Unjailed),
            left: false,
            privileges,
            user: false,
            no_new_privs: false,
        }
    }
}
