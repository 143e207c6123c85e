//! Paths for system calls, and opening directories.

use core::ffi::CStr;

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;

use crate::error::Fault;
use crate::os::PATH_DIRECTORY;
use crate::text::c_str;

pub(super) fn absolute(path: &[u8]) -> Result<&[u8], Fault> {
    if path.starts_with(b"/") { Ok(path) } else { Err(Fault::Relative) }
}

/// Returns the C string in these bytes, which end with their only NUL.
pub(super) fn terminated(bytes: &[u8]) -> &CStr {
    CStr::from_bytes_with_nul(bytes).unwrap_or_default()
}

/// Opens this directory for `fchdir` and the `…at` calls.
pub(super) fn open_path(from: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(from, c_str(path, &mut [0; 4096])?, PATH_DIRECTORY | flags, Mode::empty())
}
