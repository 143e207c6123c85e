//! Checks of a root directory (Linux).

use rustix::fd::{AsRawFd as _, BorrowedFd};
use rustix::fs::{CWD, Mode, OFlags, Stat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, capabilities};

use crate::error::Fault;
use crate::linux::proc::list;

/// Flags to open a directory for `fchdir` and the `…at` calls, without the permission to read it.
pub(crate) const PATH_DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Returns whether a directory is removed: then it has no link left, on every file system that was
/// tried.
pub(crate) const fn has_no_links(stat: &Stat) -> bool {
    stat.st_nlink == 0
}

/// Checks that "/" has no entries. A root that this process may not read passes.
pub(crate) fn check_root_is_empty() -> Result<(), Fault> {
    match check_is_empty(CWD) {
        Err(Fault::ACCESS) => Ok(()),
        seen => seen,
    }
}

/// Checks that a directory, or for `CWD` the root, has no entries. A removed directory does not
/// even have "." and "..", its `getdents` fails with `ENOENT`.
pub(crate) fn check_is_empty(directory: BorrowedFd<'_>) -> Result<(), Fault> {
    let path = if directory.as_raw_fd() == CWD.as_raw_fd() { c"/" } else { c"." };
    let entries = openat(directory, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    match list(&entries, &mut |_| Err(Fault::NotEmpty)) {
        Err(fault) if fault.errno() == Some(Errno::NOENT) => Ok(()),
        listed => listed,
    }
}

/// Returns whether this process may change the mode of a file with this status: its owner may, and
/// a holder of `CAP_FOWNER`.
pub(crate) fn may_change_mode(stat: &Stat) -> bool {
    stat.st_uid == geteuid().as_raw()
        || capabilities(None).is_ok_and(|held| held.effective.contains(CapabilitySet::FOWNER))
}

pub(crate) fn takes_nameless_files() -> bool {
    check_is_read_only() == Err(Fault::StillLinked)
}

/// Checks that the file system of "/" is read-only, by a file without a name: whatever its files are
/// called, it can be tried, and leaves nothing.
pub(crate) fn check_is_read_only() -> Result<(), Fault> {
    match openat(CWD, c"/", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
        Err(Errno::ROFS) => Ok(()),
        Ok(_) => Err(Fault::StillLinked),
        Err(errno) => Err(errno.into()),
    }
}
