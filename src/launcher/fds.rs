//! Which descriptors PROGRAM keeps: all others are closed.
#![allow(unsafe_code, reason = "descriptors that others have opened, and close_range")]

use core::ffi::c_int;

use autochroot::{LeadsTo, leads_to};
use rustix::fd::BorrowedFd;
use rustix::io::{Errno, fcntl_getfd};
use rustix::process::{Resource, getpid, getrlimit};

use crate::FAILED;
use crate::libc::{Strings, close_range};
use crate::output::fail;
use autochroot::text::number;

/// The descriptors to keep, but for `All` as ranges.
pub(crate) enum Kept {
    All,
    Listed(&'static [u8]),
    /// 0, 1, 2 and this many from 3 on.
    Standard(c_int),
}

impl Kept {
    /// By default the standard ones and those of socket activation, `sd_listen_fds(3)`, if they are meant for this process.
    pub(crate) fn of(list: Option<&'static [u8]>, environment: &Strings) -> Result<Kept, c_int> {
        let pid = environment.variable(b"LISTEN_PID").and_then(descriptor);
        Ok(match list {
            Some(b"all") => Kept::All,
            Some(list) => Kept::Listed(list),
            None if pid.is_some_and(|pid| pid == getpid().as_raw_nonzero().get()) => {
                let more = environment.variable(b"LISTEN_FDS").unwrap_or(b"0");
                match descriptor(more) {
                    Some(more) => Kept::Standard(more),
                    None => fail!(FAILED, "LISTEN_FDS: \"%\" is no number of descriptors", more),
                }
            }
            None => Kept::Standard(0),
        })
    }

    /// The lowest one that is not below `least`; of all, none.
    fn next(&self, least: c_int) -> Option<c_int> {
        match self {
            Kept::All => None,
            Kept::Listed(list) => {
                list.split(|&byte| byte == b',').filter_map(descriptor).filter(|&fd| fd >= least).min()
            }
            Kept::Standard(more) => Some(least).filter(|&fd| fd < 3 || fd - 3 < *more),
        }
    }

    /// See that they are open, before anything of ours is, and that none is a directory. `All` is not for here: the jail
    /// looks at every descriptor then.
    pub(crate) fn check(&self) -> Result<(), c_int> {
        if let Kept::Listed(list) = self {
            for part in list.split(|&byte| byte == b',') {
                match descriptor(part) {
                    None => fail!(FAILED, "--keep-fds: \"%\" is no file descriptor", part),
                    Some(fd) if !is_open(fd) => {
                        fail!(FAILED, "--keep-fds: descriptor % is not open", fd.unsigned_abs())
                    }
                    Some(_) => {}
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
            least = fd + 1;
        }
        Ok(())
    }

    /// Close all others but `program`, which the `execve` closes.
    pub(crate) fn close_others(&self, program: Option<c_int>) -> Result<(), c_int> {
        if let Kept::All = self {
            return Ok(());
        }
        let mut least = 0;
        while let Some(fd) = self.next(least).into_iter().chain(program.filter(|fd| *fd >= least)).min() {
            if fd > least {
                close(least, fd - 1)?;
            }
            least = fd + 1;
        }
        close(least, c_int::MAX)
    }
}

/// `close_range` does it in one call from Linux 5.11 on, otherwise it is one call for each number that a descriptor can
/// have: the limit may have been lowered since one was opened, `fs.nr_open` seldom is raised above its default.
fn close(first: c_int, last: c_int) -> Result<(), c_int> {
    match close_range(first.unsigned_abs(), last.unsigned_abs()) {
        Ok(()) => Ok(()),
        Err(Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
            const NR_OPEN: c_int = 1 << 20;
            let limit = getrlimit(Resource::Nofile).maximum.and_then(|limit| c_int::try_from(limit).ok());
            for fd in first..=last.min(limit.map_or(NR_OPEN, |limit| limit.max(NR_OPEN))) {
                if is_open(fd) {
                    // SAFETY: nothing here owns it.
                    unsafe { rustix::io::close(fd) };
                }
            }
            Ok(())
        }
        Err(errno) => fail!(FAILED, "cannot close the other descriptors: %", errno),
    }
}

fn is_open(fd: c_int) -> bool {
    // SAFETY: as above.
    fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) }).is_ok()
}

fn descriptor(digits: &[u8]) -> Option<c_int> {
    number(digits).and_then(|number| c_int::try_from(number).ok())
}
