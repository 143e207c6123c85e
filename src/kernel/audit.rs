//! Open directories: each is a way out of a root directory.

use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::error::Fault;

/// What is known of open directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenDirectories {
    /// Nothing: the caller allowed them.
    NotChecked,
    /// There were none.
    None,
    /// There were none among the descriptors below this number, the limit of open descriptors or
    /// 65536. Without `/proc`, and
    /// elsewhere than on Linux, that is all that can be asked: a process may have lowered the limit before.
    NoneBelow(i32),
}

/// Without a list of the descriptors: ask for each number that a descriptor can have.
pub(super) fn see_no_open_directory_below_the_limit() -> Result<OpenDirectories, Fault> {
    const MOST: i32 = 1 << 16;
    let limit =
        getrlimit(Resource::Nofile).current.and_then(|limit| i32::try_from(limit).ok()).unwrap_or(MOST).min(MOST);
    (0..limit).try_for_each(|fd| is_no_directory(fd).map(drop)).map(|()| OpenDirectories::NoneBelow(limit))
}

/// That this is not a descriptor of a directory, and whether it is one at all. `O_PATH` and mounts are seen too.
#[allow(unsafe_code, reason = "a descriptor that is not ours is looked at")]
pub(super) fn is_no_directory(fd: i32) -> Result<bool, Fault> {
    // SAFETY: it is borrowed for this one call, which finds out whether it is open.
    match fstat(unsafe { BorrowedFd::borrow_raw(fd) }) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Err(Fault::OpenDirectory(fd)),
        Ok(_) => Ok(true),
        Err(Errno::BADF) => Ok(false),
        Err(Errno::INTR) => Err(Errno::INTR.into()), // which the machine asks again
        Err(errno) => Err(Fault::Descriptor(fd, errno)),
    }
}
