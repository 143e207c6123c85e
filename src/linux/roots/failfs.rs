//! `failfs`, the empty root of the kernel itself (Linux 7.3).
#![allow(unsafe_code, reason = "system calls that have no wrapper")]

use linux_raw_sys::general::{__NR_close_range, __NR_fchdir};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use crate::error::Fault;
use crate::linux::syscall::call;

/// The number that stands for the root of failfs in place of a descriptor, see `linux/fcntl.h`.
const FD_FAILFS_ROOT: usize = usize::MAX - 10003; // -10004

/// `fchroot` is call 472 on x86-64. On every architecture it is as far above `close_range` as
/// there.
const NR_FCHROOT: u32 = __NR_close_range + 36;

/// Checks that the kernel has `fchroot`, which refuses unknown flags with `EINVAL`. Changes
/// nothing.
pub(crate) fn find() -> Result<(), Fault> {
    match fchroot(usize::MAX) {
        Err(Errno::INVAL) => Ok(()),
        Ok(()) => Err(Errno::NOSYS.into()), // nobody accepts all flags
        Err(errno) => Err(errno.into()),
    }
}

/// Makes failfs the root directory. The working directory stays where it is.
pub(crate) fn enter() -> Result<(), Fault> {
    Ok(fchroot(0)?)
}

fn fchroot(flags: usize) -> Result<(), Errno> {
    // SAFETY: the call takes no pointer.
    unsafe { call(NR_FCHROOT, [FD_FAILFS_ROOT, flags, 0, 0]) }.map(drop)
}

/// Makes failfs the working directory.
pub(crate) fn change_to() -> Result<(), Fault> {
    // SAFETY: the call takes no pointer.
    unsafe { call(__NR_fchdir, [FD_FAILFS_ROOT, 0, 0, 0])? };
    Ok(())
}

/// Checks that the root and the working directory are in failfs: no path can even be looked up.
pub(crate) fn verify() -> Result<(), Fault> {
    for path in [c"/", c".", c".."] {
        let looked = statat(CWD, path, AtFlags::empty()).map(drop);
        let held = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map(drop);
        if (looked, held) != (Err(Errno::OPNOTSUPP), Err(Errno::OPNOTSUPP)) {
            return Err(Fault::NotTheRoot);
        }
    }
    Ok(())
}
