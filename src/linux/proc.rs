//! Directories and files of `/proc`. `open` checks that they are on procfs, because somebody may
//! have mounted others there (Linux).

use core::ffi::CStr;
use core::mem::MaybeUninit;

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, PROC_SUPER_MAGIC, RawDir, StatFs, StatxFlags, fstatfs, openat, statx};
use rustix::io::{Errno, pread, read};

use crate::error::Fault;
use crate::text::number;

/// Opens a directory of procfs.
pub(crate) fn open_directory(from: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    open(from, path, OFlags::DIRECTORY)
}

/// Opens a directory or a file. Fails with `EIO` if it is not on procfs.
pub(crate) fn open(from: BorrowedFd<'_>, path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let file = openat(from, path, OFlags::RDONLY | OFlags::CLOEXEC | flags, Mode::empty())?;
    if is_procfs(&fstatfs(&file)?) { Ok(file) } else { Err(Errno::IO) }
}

/// Returns whether this file system is procfs.
#[must_use]
#[allow(clippy::unnecessary_cast, clippy::cast_sign_loss, reason = "the types differ from one processor to the next")]
pub fn is_procfs(file_system: &StatFs) -> bool {
    file_system.f_type as u64 == PROC_SUPER_MAGIC as u64
}

/// Calls `each` with the name of every entry of any directory, except "." and "..", until `each`
/// fails. Entries that come or go meanwhile may be missed.
pub(crate) fn list(directory: &OwnedFd, each: &mut dyn FnMut(&CStr) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            each(entry.file_name())?;
        }
    }
    Ok(())
}

/// Reads the first bytes of an open file.
pub(crate) fn read_start(file: &OwnedFd, text: &mut [u8]) -> Result<(), Errno> {
    pread(file, text, 0).map(drop)
}

/// Returns whether there is such a file.
pub(crate) fn exists(path: &CStr) -> bool {
    statx(CWD, path, AtFlags::empty(), StatxFlags::empty()).is_ok()
}

/// Returns the number in a file, for example of a sysctl.
pub(crate) fn number_in(path: &CStr) -> Option<u32> {
    number(text(path, &mut [0; 32])?.trim_ascii())
}

/// Returns the first bytes of a file. Does not check that it is on procfs.
pub(crate) fn text<'b>(path: &CStr, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let length = read(&file, &mut *buffer).ok()?;
    buffer.get(..length)
}
