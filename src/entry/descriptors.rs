//! The open descriptors: a directory among them is a way out of the root, and so is an `io_uring`.

use core::fmt;

use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use crate::error::Fault;
use crate::os;

/// What is known of open directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
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

impl fmt::Display for OpenDirectories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OpenDirectories::NotChecked => "not checked",
            OpenDirectories::None => "none",
            OpenDirectories::NoneBelow(_) => "none below the limit of descriptors",
        })
    }
}

/// What was found out about the open descriptors.
pub(crate) struct Descriptors {
    pub(crate) directories: OpenDirectories,
    /// There is no `io_uring` among them.
    pub(crate) rings_checked: bool,
}

impl Descriptors {
    pub(super) const NOT_CHECKED: Descriptors =
        Descriptors { directories: OpenDirectories::NotChecked, rings_checked: false };

    /// Checks that none leads to a directory. `number` is left with the one at which that fails.
    pub(super) fn check(&mut self, threads: bool, number: &mut Option<i32>) -> Result<(), Fault> {
        self.rings_checked = true;
        self.directories = if os::each_open(threads, &mut |fd| self.is_no_directory(fd, number))? {
            OpenDirectories::None
        } else {
            self.check_below_the_limit(number)?
        };
        Ok(())
    }

    /// Looks at each number that a descriptor can have.
    fn check_below_the_limit(&mut self, number: &mut Option<i32>) -> Result<OpenDirectories, Fault> {
        const MOST: i32 = 1 << 16;
        let limit = os::descriptor_limit().and_then(|limit| i32::try_from(limit).ok()).unwrap_or(MOST).min(MOST);
        (0..limit).try_for_each(|fd| self.is_no_directory(fd, number).map(drop))?;
        Ok(OpenDirectories::NoneBelow(limit))
    }

    /// Checks that this descriptor leads to no directory, by `openat` or by an `io_uring`, and returns whether it is open at all.
    fn is_no_directory(&mut self, fd: i32, number: &mut Option<i32>) -> Result<bool, Fault> {
        let seen = match leads_to(fd) {
            Ok(LeadsTo::Directory) => Err(Fault::OpenDirectory),
            Ok(LeadsTo::Ring) => Err(Fault::OpenRing),
            Ok(LeadsTo::PerhapsARing) => {
                self.rings_checked = false;
                Ok(true)
            }
            Ok(LeadsTo::Neither) => Ok(true),
            Err(Errno::BADF) => Ok(false),
            Err(errno) => Err(errno.into()),
        };
        *number = seen.err().map(|_| fd);
        seen
    }
}

/// Whether a process could open other files through a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeadsTo {
    /// A directory, also one that is open with `O_PATH`, and mounts.
    Directory,
    /// An `io_uring`, in which directories may be registered.
    Ring,
    /// What is no file of any kind. Whether it is an `io_uring` cannot be asked: a filter refuses it, and `/proc` is not there.
    PerhapsARing,
    /// Neither of these.
    Neither,
}

/// Looks at a descriptor, whoever has opened it.
///
/// # Errors
///
/// `EBADF`: it is not open. Others: nothing can be said of it.
#[allow(unsafe_code, reason = "a descriptor that is not ours is looked at")]
pub fn leads_to(fd: i32) -> Result<LeadsTo, Errno> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: it is not -1, and borrowed for this one call, which finds out whether it is open.
    let mode = fstat(unsafe { BorrowedFd::borrow_raw(fd) })?.st_mode;
    Ok(match FileType::from_raw_mode(mode) {
        FileType::Directory => LeadsTo::Directory,
        // Only what has no file behind it is of no type.
        FileType::Unknown => match os::is_a_ring(fd)? {
            Some(true) => LeadsTo::Ring,
            Some(false) => LeadsTo::Neither,
            None => LeadsTo::PerhapsARing,
        },
        _ => LeadsTo::Neither,
    })
}
