//! Other Unixes: what takes the place of `linux.rs`. There is only the entry by privilege.
#![allow(unsafe_code, reason = "descriptors that others have opened")]
#![allow(clippy::unnecessary_wraps, reason = "on Linux they fail")]

use core::ffi::{CStr, c_int, c_uint};

use autochroot::{Error, Jail, Jailed};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{Resource, geteuid, getrlimit};

use crate::Part;
use crate::fds::is_open;
use crate::libc::Strings;
use crate::options::Options;
use crate::output::Stream;
use crate::program::Unfit;

pub(crate) const LINUX: bool = false;

/// The numbers of `/dev/null` differ between systems.
pub(crate) const NULL_DEVICE: Option<(u32, u32)> = None;

/// There is no `--user`.
pub(crate) enum User {}

/// A jail, which cannot be sealed.
pub(crate) struct Inside(Jailed);

impl Inside {
    pub(crate) const fn jailed(&self) -> &Jailed {
        &self.0
    }
}

pub(crate) const fn jail(_: &Options, jail: Jail<'static>) -> Result<Jail<'static>, c_int> {
    Ok(jail)
}

pub(crate) const fn user(_: &Options) -> Result<Option<User>, c_int> {
    Ok(None)
}

/// Enters. `refused` reports an error.
pub(crate) fn enter(
    _: &Options,
    jail: Jail<'_>,
    _: Option<&User>,
    _: Option<c_int>,
    refused: impl Fn(Part, Error) -> c_int,
) -> Result<Inside, c_int> {
    jail.enter().map(Inside).map_err(|error| refused(Part::Entry, error))
}

/// Returns whether this process may read every file, whatever the mode.
pub(crate) fn may_read_all() -> bool {
    geteuid().is_root()
}

/// Returns false: not every system reports the mount option.
pub(crate) const fn is_noexec(_: &OwnedFd) -> bool {
    false
}

/// Returns false: only Linux has file capabilities.
pub(crate) const fn has_file_capabilities(_: &OwnedFd) -> bool {
    false
}

/// No causes are known.
pub(crate) const fn hint(_: &Error, _: &mut Stream) {}

pub(crate) const fn has_capabilities_from_the_file() -> bool {
    false
}

/// Returns true: the path is not looked up here.
pub(crate) const fn is_in(_: &[u8], _: &[u8]) -> bool {
    true
}

/// Returns false: the path is not looked up here.
pub(crate) const fn is_the_same_beneath(_: &[u8], _: &[u8]) -> bool {
    false
}

pub(crate) const fn open_to_execute(_: &CStr) -> Result<OwnedFd, Errno> {
    Err(Errno::ACCESS)
}

/// PROGRAM was found, and is not tried.
pub(crate) const fn try_to_execute(_: &OwnedFd, _: &Strings, _: &Strings) -> Result<&'static str, Unfit> {
    Ok("not checked")
}

/// The call differs between systems.
pub(crate) const fn foreign_owner(_: c_int) -> Option<u32> {
    None
}

pub(crate) const fn placeholder() -> Result<OwnedFd, Errno> {
    Err(Errno::NOENT)
}

pub(crate) const fn close_range(_: c_uint, _: c_uint) -> Result<(), Errno> {
    Err(Errno::NOSYS)
}

/// Makes one call for each number that a descriptor can have.
pub(crate) fn close_one_by_one(first: c_int, keeps: &dyn Fn(c_int) -> bool) -> Result<(), c_int> {
    const MOST: c_int = 1 << 20;
    let limit = getrlimit(Resource::Nofile).maximum.and_then(|limit| c_int::try_from(limit).ok());
    for fd in (first..limit.map_or(MOST, |limit| limit.max(MOST))).filter(|fd| !keeps(*fd)) {
        if is_open(fd) {
            // SAFETY: nothing here owns it.
            unsafe { rustix::io::close(fd) };
        }
    }
    Ok(())
}

pub(crate) fn report_entered(_: &Jailed, stream: &mut Stream) {
    stream.line("entered", &"privilege");
}

pub(crate) const fn ids_kept(_: &Jailed) -> bool {
    true
}

pub(crate) const fn report_groups(_: &mut Stream) {}

pub(crate) const fn report_privileges(_: &Inside, _: &mut Stream) {}
