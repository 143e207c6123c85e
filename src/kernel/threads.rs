//! Whether the process has but one thread (Linux).

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, fstatfs, openat};
use rustix::io::{Errno, pread};
use rustix::process::{Pid, getpid};
use rustix::thread::UnshareFlags;

use super::linux::unshare;
use crate::error::Fault;

/// That there is but one, and if it takes that to ask again in the jail, a descriptor of `/proc/self/stat`, and whose it is.
///
/// To unshare the thread group changes nothing in a process with one thread, and is `EINVAL` in every other. Where a
/// seccomp filter refuses the call (Docker's does), /proc tells.
pub(crate) fn only_thread() -> Result<Option<(Pid, OwnedFd)>, Fault> {
    match unshare_threads() {
        Ok(()) => Ok(None),
        Err(Errno::INVAL) => Err(Errno::INVAL.into()),
        Err(errno) => {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            let stat = openat(CWD, c"/proc/self/stat", flags, Mode::empty()).map_err(|_| errno)?;
            if is_alone(&stat) { Ok(Some((getpid(), stat))) } else { Err(Errno::INVAL.into()) }
        }
    }
}

/// That there is still but one; whoever has a `stat` has it because `unshare` is filtered. That of a fork is its parent's.
pub(super) fn still_alone(stat: Option<&(Pid, OwnedFd)>) -> Result<(), Fault> {
    match stat.filter(|(pid, _)| *pid == getpid()) {
        Some((_, stat)) if is_alone(stat) => Ok(()),
        Some(_) => Err(Errno::INVAL.into()),
        None => only_thread().map(drop),
    }
}

/// Whether even an `unshare` of nothing is refused, which the kernel itself never does.
pub(crate) fn unshare_is_filtered() -> bool {
    unshare(UnshareFlags::empty()).is_err()
}

fn unshare_threads() -> Result<(), Errno> {
    const CLONE_THREAD: UnshareFlags = UnshareFlags::from_bits_retain(0x0001_0000);
    unshare(CLONE_THREAD)
}

/// The twentieth field of `stat` is the number of threads, `proc_pid_stat(5)`; the second, which may hold anything, ends
/// with the last parenthesis.
fn is_alone(stat: &OwnedFd) -> bool {
    let mut text = [0; 512];
    if read_proc(stat, &mut text).is_err() {
        return false;
    }
    let (mut spaces, mut threads) = (0_u16, 0_u64);
    for &byte in &text {
        match byte {
            b')' => (spaces, threads) = (0, 0),
            b' ' => spaces += 1,
            _ if spaces == 18 => threads = threads << 8 | u64::from(byte),
            _ => {}
        }
    }
    threads == u64::from(b'1')
}

/// The first bytes of a file of /proc. One that somebody else has put there does not count.
pub(super) fn read_proc(file: &OwnedFd, text: &mut [u8]) -> Result<(), Errno> {
    if fstatfs(file)?.f_type != PROC_SUPER_MAGIC {
        return Err(Errno::IO);
    }
    pread(file, text, 0).map(drop)
}
