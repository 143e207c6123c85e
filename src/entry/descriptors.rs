//! The open descriptors: a directory among them is a way out of the root, and so is an `io_uring`.

use core::fmt;

use rustix::fd::BorrowedFd;
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use crate::error::Fault;
use crate::os;

/// The result of the check for open directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OpenDirectories {
    /// The check was not made, because the caller allows open directories.
    NotChecked,
    /// No directory is open.
    None,
    /// No directory is open among the descriptors below this number, which is the limit of open
    /// descriptors or 65536. A descriptor above it is possible: the process may have lowered the
    /// limit. This is all that is known without `/proc`, and elsewhere than on Linux.
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

/// The result of the check of the open descriptors.
pub(crate) struct Descriptors {
    pub(crate) directories: OpenDirectories,
    /// Every descriptor was checked for an `io_uring`.
    pub(crate) rings_checked: bool,
}

impl Descriptors {
    pub(super) const NOT_CHECKED: Descriptors =
        Descriptors { directories: OpenDirectories::NotChecked, rings_checked: false };

    /// Checks that no descriptor is a directory or an `io_uring`. Stores the one at fault in
    /// `number`.
    pub(super) fn check(&mut self, threads: bool, number: &mut Option<i32>) -> Result<(), Fault> {
        if os::has_registered_ring() {
            return Err(Fault::RegisteredRing);
        }
        self.rings_checked = true;
        self.directories = if os::each_open(threads, &mut |fd| self.is_no_directory(fd, number))? {
            OpenDirectories::None
        } else {
            self.check_below_the_limit(number)?
        };
        Ok(())
    }

    /// Checks each number that a descriptor can have.
    fn check_below_the_limit(&mut self, number: &mut Option<i32>) -> Result<OpenDirectories, Fault> {
        const MOST: i32 = 1 << 16;
        let limit = os::descriptor_limit().and_then(|limit| i32::try_from(limit).ok()).unwrap_or(MOST).min(MOST);
        (0..limit).try_for_each(|fd| self.is_no_directory(fd, number).map(drop))?;
        Ok(OpenDirectories::NoneBelow(limit))
    }

    /// Checks that this descriptor is neither a directory nor an `io_uring`. Returns whether it is
    /// open.
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

/// What a descriptor leads to, apart from its own file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeadsTo {
    /// A directory or a mount, also if it is open with `O_PATH`.
    Directory,
    /// An `io_uring`, in which directories may be registered.
    Ring,
    /// A descriptor without a file type, which may be an `io_uring`: a filter refuses the test, and
    /// `/proc` is missing.
    PerhapsARing,
    /// Neither a directory nor an `io_uring`.
    Neither,
}

/// Checks a descriptor, no matter who opened it.
///
/// # Errors
///
/// `EBADF`: it is not open. Others: nothing is known about it.
#[allow(unsafe_code, reason = "a descriptor that is not ours is looked at")]
pub fn leads_to(fd: i32) -> Result<LeadsTo, Errno> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: it is not -1, and borrowed for this one call, which finds out whether it is open.
    let mode = fstat(unsafe { BorrowedFd::borrow_raw(fd) })?.st_mode;
    Ok(match FileType::from_raw_mode(mode) {
        FileType::Directory => LeadsTo::Directory,
        // A descriptor without a file has no file type.
        FileType::Unknown => match os::is_a_ring(fd)? {
            Some(true) => LeadsTo::Ring,
            Some(false) => LeadsTo::Neither,
            None => LeadsTo::PerhapsARing,
        },
        _ => LeadsTo::Neither,
    })
}
