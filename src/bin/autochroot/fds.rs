//! The descriptors that PROGRAM keeps. All others are closed.
#![allow(unsafe_code, reason = "descriptors that others have opened")]

use core::ffi::c_int;

use autochroot::for_the_launcher::{LeadsTo, leads_to, number};
use rustix::fd::{BorrowedFd, IntoRawFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, major, minor, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec, fcntl_getfd};
use rustix::process::getpid;

use crate::FAILED;
use crate::files::Files;
use crate::libc::Strings;
use crate::options::List;
use crate::os::{NULL_DEVICE, close_one_by_one, close_range, foreign_owner, placeholder};
use crate::output::{self, fail};

/// The descriptors that PROGRAM keeps.
pub(crate) enum Kept {
    All,
    Listed(List),
    /// 0, 1 and 2, and this many from 3 on.
    Standard(c_int),
}

impl Kept {
    /// Returns the descriptors of `--keep-fds`. By default these are the standard descriptors and,
    /// if they are for this process, the descriptors of socket activation, `sd_listen_fds(3)`.
    pub(crate) fn of(list: &List, environment: &Strings) -> Result<Kept, c_int> {
        if list.is(b"all")? {
            return Ok(Kept::All);
        }
        for part in list.parts() {
            if descriptor(part).is_none() {
                fail!(FAILED, "--keep-fds: \"%\" is not a file descriptor", part);
            }
        }
        let pid = environment.variable(b"LISTEN_PID").and_then(descriptor);
        Ok(match () {
            () if list.is_given() => Kept::Listed(list.clone()),
            () if pid.is_some_and(|pid| pid == getpid().as_raw_nonzero().get()) => {
                let more = environment.variable(b"LISTEN_FDS").unwrap_or(b"0");
                match descriptor(more) {
                    Some(more) => Kept::Standard(more),
                    None => fail!(FAILED, "LISTEN_FDS: \"%\" is not a number of descriptors", more),
                }
            }
            () => Kept::Standard(0),
        })
    }

    /// Returns the lowest descriptor to keep from `least` on, or nothing for `All`.
    fn next(&self, least: c_int) -> Option<c_int> {
        match self {
            Kept::All => None,
            Kept::Listed(list) => list.parts().filter_map(descriptor).filter(|&fd| fd >= least).min(),
            Kept::Standard(more) => Some(least).filter(|&fd| fd < 3 || fd - 3 < *more),
        }
    }

    /// Checks the descriptors to keep, before the launcher opens any. Each that was named must be
    /// open, and none may be a directory, an `io_uring`, or signal another process. For `All`, the
    /// jail looks for directories and rings itself.
    pub(crate) fn check(&self) -> Result<(), c_int> {
        if let Kept::Listed(list) = self {
            for fd in list.parts().filter_map(descriptor) {
                if !is_open(fd) {
                    fail!(FAILED, "--keep-fds: descriptor % is not open", fd.unsigned_abs());
                }
            }
        }
        let mut least = 0;
        while let Some(fd) = self.next(least) {
            if fd > 2 && !is_open(fd) {
                fail!(FAILED, "LISTEN_FDS: descriptor % is not open", fd.unsigned_abs());
            }
            let number = fd.unsigned_abs();
            match leads_to(fd) {
                Ok(LeadsTo::Neither) | Err(Errno::BADF) => {}
                Ok(LeadsTo::Directory) => {
                    fail!(FAILED, "descriptor % is a directory: a program can leave the jail through it", number)
                }
                Ok(LeadsTo::Ring) => {
                    fail!(FAILED, "descriptor % is an io_uring: a program can leave the jail through it", number)
                }
                Ok(LeadsTo::PerhapsARing) => {
                    fail!(
                        FAILED,
                        "descriptor % may be an io_uring: a filter refuses to tell, and /proc is missing",
                        number
                    )
                }
                Err(errno) => fail!(FAILED, "descriptor %, which may be a directory: %", number, errno),
            }
            if let Some(owner) = foreign_owner(fd) {
                fail!(
                    FAILED,
                    "descriptor % signals process %, which is its owner (F_SETOWN): the program could send it signals\n  hint: \
                     give the program another descriptor",
                    number,
                    owner
                );
            }
            least = fd + 1;
        }
        Ok(())
    }

    /// Returns whether PROGRAM has a standard error, or there was none to keep.
    pub(crate) fn keeps_errors(&self) -> bool {
        output::error_copy().is_none() || self.keeps(2)
    }

    /// Returns whether PROGRAM keeps this standard descriptor.
    fn keeps(&self, standard: c_int) -> bool {
        matches!(self, Kept::All) || self.next(standard) == Some(standard)
    }

    /// Puts /dev/null in the place of each standard descriptor that is closed or not kept: what
    /// PROGRAM opens first must not become its standard output. The launcher's own descriptors are
    /// then above 2. `check` prints to the standard output in any case.
    pub(crate) fn fill_standard(&self, check: bool) -> Result<(), c_int> {
        if is_open(2) && !self.keeps(2) {
            // SAFETY: it is open, and borrowed for this call.
            match fcntl_dupfd_cloexec(unsafe { BorrowedFd::borrow_raw(2) }, 3) {
                Ok(copy) => output::write_errors_to(copy.into_raw_fd()),
                Err(errno) => fail!(FAILED, "cannot copy the standard error: %", errno),
            }
        }
        for fd in 0..3 {
            if is_open(fd) {
                if self.keeps(fd) || check && fd == 1 {
                    continue;
                }
                // SAFETY: nothing here owns it.
                unsafe { rustix::io::close(fd) };
            }
            // The lowest number that is free is this one.
            match open_null() {
                Ok(null) => _ = null.into_raw_fd(),
                Err(errno) => {
                    fail!(FAILED, "cannot open anything in the place of descriptor %: %", fd.unsigned_abs(), errno)
                }
            }
        }
        Ok(())
    }

    /// Closes all other descriptors, except `program` and the files, which the `execve` closes.
    pub(crate) fn close_others(&self, program: Option<c_int>, files: &Files) -> Result<(), c_int> {
        if let Kept::All = self {
            return Ok(());
        }
        let ours = [program, output::error_copy()];
        let next = |least: c_int| {
            self.next(least)
                .into_iter()
                .chain(ours.into_iter().flatten().chain(files.descriptors()).filter(|fd| *fd >= least))
                .min()
        };
        // A filter may fake the success of close_range. A probe that is still open afterwards shows
        // it. SAFETY: it is borrowed for this call.
        let probe = fcntl_dupfd_cloexec(unsafe { BorrowedFd::borrow_raw(0) }, 3).ok().map(IntoRawFd::into_raw_fd);
        let mut least = 3;
        loop {
            let kept = next(least);
            let end = kept.map_or(c_int::MAX, |fd| fd - 1);
            if end >= least && close_range(least.unsigned_abs(), end.unsigned_abs()).is_err() {
                return close_one_by_one(3, &|fd| next(fd) == Some(fd));
            }
            match kept {
                Some(fd) => least = fd + 1,
                None if probe.is_some_and(is_open) => return close_one_by_one(3, &|fd| next(fd) == Some(fd)),
                None => return Ok(()),
            }
        }
    }
}

/// Opens the real /dev/null. If it is missing, opens something that only holds the number until
/// PROGRAM is executed.
fn open_null() -> Result<OwnedFd, Errno> {
    match openat(CWD, c"/dev/null", OFlags::RDWR, Mode::empty()) {
        Ok(null) if is_null(&null) => Ok(null),
        _ => placeholder(),
    }
}

fn is_null(file: &OwnedFd) -> bool {
    fstat(file).is_ok_and(|stat| {
        let is_device = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        is_device && NULL_DEVICE.is_none_or(|null| null == (major(stat.st_rdev), minor(stat.st_rdev)))
    })
}

pub(crate) fn is_open(fd: c_int) -> bool {
    // SAFETY: it is borrowed for this call, which finds out whether it is open.
    fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) }).is_ok()
}

pub(crate) fn descriptor(digits: &[u8]) -> Option<c_int> {
    number(digits).and_then(|number| c_int::try_from(number).ok())
}
