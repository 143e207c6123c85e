//! What takes the place of Linux's own calls on other Unixes.

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, Stat, openat};
use rustix::io::{Errno, read};
use rustix::process::Pid;

use super::System;
use crate::error::{Fault, Step};
use crate::jail::Plan;
use crate::machine::State;

/// To hold a directory for `fchdir` and the `…at` calls.
pub(super) const SEARCH: OFlags = OFlags::RDONLY;

#[derive(Default)]
pub(super) struct Maps {}

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
    Err(Fault::UNSET)
}

/// `rmdir` does not remove a directory that has entries, and without a name it takes none.
#[allow(clippy::unnecessary_wraps, reason = "Linux needs it")]
pub(super) const fn see_empty_root() -> Result<(), Fault> {
    Ok(())
}

/// To list a directory takes an allocation here: it is refused to ask.
pub(super) const fn see_empty(_: BorrowedFd<'_>) -> Result<(), Fault> {
    Err(Fault(Errno::NOSYS))
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

/// Only Linux has them.
pub(super) const fn takes_nameless_files() -> bool {
    false
}

#[allow(clippy::unused_self, clippy::unnecessary_wraps, reason = "Linux needs them")]
impl System {
    pub(super) fn see_no_open_directory(&mut self, _: bool) -> Result<(), Fault> {
        self.see_no_open_directory_below_the_limit()
    }

    pub(super) fn ask_os(&mut self, step: Step, _: Plan, _: &State) -> Result<(), Fault> {
        match step {
            Step::Threads => Ok(()),
            #[cfg(target_os = "freebsd")]
            Step::NoNewPrivs => Ok(rustix::process::set_no_new_privs(None)?),
            _ => Err(Errno::NOSYS.into()),
        }
    }

    pub(super) fn verify_user_namespace(&self, _: Plan) -> Result<(), Fault> {
        Ok(())
    }
}
