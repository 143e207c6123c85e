//! Open directories: each is a way out of a root directory.

use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use super::System;
use crate::error::Fault;

/// What is known of open directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenDirectories {
    /// Nothing: the caller allowed them.
    NotChecked,
    /// There were none.
    None,
    /// There were none among the descriptors below this number, the limit of open descriptors or
    /// 65536. Without `/proc`, before
    /// Linux 3.17, and elsewhere than on Linux, that is all that can be asked: a process may have lowered the limit before.
    NoneBelow(i32),
}

impl System {
    /// Without `/proc`: look at each number that a descriptor can have.
    pub(super) fn see_no_open_directory_below_the_limit(&mut self) -> Result<(), Fault> {
        const MOST: i32 = 1 << 16;
        let limit =
            getrlimit(Resource::Nofile).current.and_then(|limit| i32::try_from(limit).ok()).unwrap_or(MOST).min(MOST);
        (0..limit).try_for_each(|fd| self.is_no_directory(fd).map(drop))?;
        self.directories = OpenDirectories::NoneBelow(limit);
        Ok(())
    }

    /// That this is not a descriptor of a directory, and whether it is one at all. `O_PATH` and mounts are seen too.
    #[allow(unsafe_code, reason = "a descriptor that is not ours is looked at")]
    pub(super) fn is_no_directory(&mut self, fd: i32) -> Result<bool, Fault> {
        // SAFETY: it is borrowed for this one call, which finds out whether it is open. It is not -1: nobody gives a negative number, and
        // `max` spares the program the panic of that case.
        let seen = match fstat(unsafe { BorrowedFd::borrow_raw(fd.max(0)) }) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Err(Fault::OpenDirectory),
            Ok(_) => Ok(true),
            Err(Errno::BADF) => Ok(false),
            Err(errno) => Err(errno.into()),
        };
        self.number = seen.err().map(|_| fd);
        seen
    }
}
