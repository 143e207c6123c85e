//! What takes the place of Linux's own calls on other Unixes.

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, Stat, openat};
use rustix::io::{Errno, read};
use rustix::process::{Pid, Uid, geteuid};

use super::Entry;
use super::descriptors::LeadsTo;
use crate::error::Fault;
use crate::jail::Plan;

/// To hold a directory for `fchdir` and the `…at` calls.
pub(super) const SEARCH: OFlags = OFlags::RDONLY;

#[derive(Default)]
pub(super) struct IdMaps {}

pub(super) fn fill_with_random(bytes: &mut [u8]) -> Result<(), Errno> {
    let length = read(openat(CWD, c"/dev/urandom", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, &mut *bytes)?;
    if length == bytes.len() { Ok(()) } else { Err(Errno::IO) }
}

/// Not every file system here counts links like Linux; that nothing can be made in the directory is asked all the same.
pub(super) const fn has_no_links(_: &Stat) -> bool {
    true
}

/// Whether another thread changes the environment meanwhile cannot be known.
pub(super) const fn open_tmpdir() -> Result<OwnedFd, Fault> {
    Err(Fault::Unset)
}

/// `rmdir` does not remove a directory that has entries, and without a name it takes none.
#[allow(clippy::unnecessary_wraps, reason = "Linux needs it")]
pub(super) const fn see_empty_root() -> Result<(), Fault> {
    Ok(())
}

/// To list a directory takes an allocation here: it is refused to ask.
pub(super) const fn see_empty(_: BorrowedFd<'_>) -> Result<(), Fault> {
    Err(Fault::of(Errno::NOSYS))
}

/// There is no call that tells whether there are threads, and none is needed: all share one root directory.
#[allow(clippy::unnecessary_wraps, reason = "Linux needs it")]
pub(crate) const fn only_thread() -> Result<Option<(Pid, OwnedFd)>, Fault> {
    Ok(None)
}

/// Root always can.
pub(crate) const fn may_chroot_ever() -> bool {
    true
}

/// Whether this process may change the mode of what this is the status of: its owner may, and root.
pub(super) fn may_change_mode(stat: &Stat) -> bool {
    geteuid().is_root() || stat.st_uid == geteuid().as_raw()
}

/// Only Linux has rings.
#[allow(clippy::unnecessary_wraps, reason = "Linux needs it")]
pub(super) const fn is_a_ring(_: i32) -> Result<LeadsTo, Errno> {
    Ok(LeadsTo::Neither)
}

/// Only Linux has them.
pub(super) const fn takes_nameless_files() -> bool {
    false
}

/// Only Linux has keyrings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SessionKeyring {
    Inherited,
}

/// What only Linux has.
pub(super) const DETACHED: bool = false;
pub(super) const USERNS: bool = false;
const NOT_HERE: Result<(), Fault> = Err(Fault::of(Errno::NOSYS));

pub(super) const fn new_user_namespace(_: bool) -> Result<(), Fault> {
    NOT_HERE
}

pub(super) const fn shed(_: Plan) -> Result<(), Fault> {
    NOT_HERE
}

/// The effective user id, and whether an entry by privilege has to set `no_new_privs`, which most do not have.
pub(super) fn user() -> (Uid, bool) {
    (geteuid(), false)
}

/// No call tells here.
#[allow(clippy::unnecessary_wraps, reason = "Linux needs it")]
pub(super) const fn verify_no_new_privs() -> Result<(), Fault> {
    Ok(())
}

#[cfg(target_os = "freebsd")]
pub(super) fn set_no_new_privs() -> Result<(), Errno> {
    rustix::process::set_no_new_privs(None)
}

#[cfg(not(target_os = "freebsd"))]
pub(super) const fn set_no_new_privs() -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

#[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "Linux needs them")]
impl Entry {
    pub(super) fn see_no_open_directory(&mut self, _: bool) -> Result<(), Fault> {
        self.rings_checked = true;
        self.see_no_open_directory_below_the_limit()
    }

    pub(super) const fn see_no_thread(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Nothing but threads shares the root or the descriptors of a process here.
    pub(super) const fn unshare(&mut self) -> Result<(), Fault> {
        self.unshared = true;
        Ok(())
    }

    pub(super) const fn mount(&self) -> Result<(), Fault> {
        NOT_HERE
    }

    pub(super) const fn open_proc(&self, _: Plan) -> Result<(), Fault> {
        NOT_HERE
    }

    pub(super) const fn open_maps(&self, _: Plan) -> Result<(), Fault> {
        NOT_HERE
    }

    pub(super) const fn join_keyring(&self) {}

    pub(super) const fn map_uid(&self) -> Result<(), Fault> {
        NOT_HERE
    }

    pub(super) const fn deny_setgroups(&self) -> Result<(), Fault> {
        NOT_HERE
    }

    pub(super) const fn map_gid(&self) -> Result<(), Fault> {
        NOT_HERE
    }

    pub(super) const fn verify_user_namespace(&self, _: Plan) -> Result<(), Fault> {
        Ok(())
    }
}
