//! Checks that nothing else shares the process: no thread, no other process (Linux).

use core::ffi::CStr;

use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, getpid};
use rustix::thread::{Timespec, gettid, nanosleep};

use crate::error::Fault;
use crate::hints::cause::ThreadNames;
use crate::linux::proc;
use crate::linux::unshare::{Share, unshare};
use crate::text::number;

/// Checks that the process has one thread and shares its memory with no other process. If checking
/// again in the jail requires it, returns a descriptor of `/proc/self/stat` and its process.
///
/// Unsharing the memory changes nothing if it is not shared, and fails with `EINVAL` if it is: by a
/// thread, or by a process made with `vfork` or `clone(CLONE_VM)`. Where a seccomp filter refuses
/// the call (Docker's does), `/proc` has the number of threads.
///
/// The kernel counts a thread for some time after it was joined, so a refusal waits for threads
/// that are dead.
pub(crate) fn only_thread() -> Result<Option<(Pid, OwnedFd)>, Fault> {
    const TRIES: u8 = 50;
    for _ in 0..TRIES {
        match unshare(Share::Memory) {
            Ok(()) => return Ok(None),
            Err(Errno::INVAL) => {}
            Err(errno) => {
                let stat = proc::open(CWD, c"/proc/self/stat", OFlags::empty()).map_err(|_| errno)?;
                if is_alone(&stat) {
                    return Ok(Some((getpid(), stat)));
                }
            }
        }
        if another_thread_lives() == Some(true) {
            break;
        }
        let _ = nanosleep(&Timespec { tv_sec: 0, tv_nsec: 1_000_000 });
    }
    Err(Errno::INVAL.into())
}

/// Gives the process its own root, working directory and table of descriptors, if another process
/// shares them. The other process stays outside, and can no longer change them. Returns false if a
/// filter refuses the call.
pub(crate) fn unshare_root_and_descriptors() -> Result<bool, Fault> {
    match unshare(Share::RootAndDescriptors) {
        Ok(()) => Ok(true),
        Err(Errno::PERM | Errno::ACCESS | Errno::NOSYS) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Returns whether more than one thread of the process lives, or `None` if `/proc` does not show
/// it.
pub(crate) fn another_thread_lives() -> Option<bool> {
    let tasks = proc::open_directory(CWD, c"/proc/self/task").ok()?;
    let mut living = 0_u32;
    let mut count = |task: &CStr| -> Result<(), Fault> {
        living += u32::from(proc::open_directory(tasks.as_fd(), task).is_ok_and(|task| lives(task.as_fd())));
        Ok(())
    };
    proc::list(&tasks, &mut count).ok()?;
    Some(living > 1)
}

/// Returns the names of the first threads that are not this one.
pub(crate) fn other_threads() -> ThreadNames {
    let mut names = ThreadNames::default();
    let mut places = names.0.iter_mut();
    let own = gettid().as_raw_nonzero().get().unsigned_abs();
    let mut read_name = |task: BorrowedFd<'_>, name: &CStr| -> Result<(), Fault> {
        if number(name.to_bytes()) != Some(own) {
            let task = proc::open_directory(task, name)?;
            let comm = proc::open(task.as_fd(), c"comm", OFlags::empty())?;
            if let Some(place) = places.next() {
                proc::read_start(&comm, place)?;
            }
        }
        Ok(())
    };
    if let Ok(tasks) = proc::open_directory(CWD, c"/proc/self/task") {
        // What cannot be read has no name.
        let _ = proc::list(&tasks, &mut |name| read_name(tasks.as_fd(), name));
    }
    names
}

/// Returns whether the thread with this directory of `/proc` is not about to end. When a join
/// returns, the kernel has set `PF_EXITING`, but the state of the thread may still be anything. A
/// thread without a `stat` has ended.
fn lives(task: BorrowedFd<'_>) -> bool {
    const PF_EXITING: u32 = 4; // linux/sched.h
    let stat = proc::open(task, c"stat", OFlags::empty());
    let flags = stat.and_then(|stat| field(&stat, 9));
    flags.is_ok_and(|flags| flags.is_none_or(|flags| flags & PF_EXITING == 0))
}

/// Returns the number in this field of a `stat`, see `proc_pid_stat(5)`. The second field may hold
/// anything, so the third begins after the last parenthesis.
fn field(stat: &OwnedFd, place: usize) -> Result<Option<u32>, Errno> {
    let mut text = [0; 512];
    proc::read_start(stat, &mut text)?;
    let rest = text.rsplit(|&byte| byte == b')').next().unwrap_or_default();
    Ok(rest.split(|&byte| byte == b' ').nth(place - 2).and_then(number))
}

/// Checks that there is still one thread. `stat` is `Some` only where a filter refuses `unshare`;
/// in a fork it is the parent's.
pub(crate) fn still_alone(stat: Option<&(Pid, OwnedFd)>) -> Result<(), Fault> {
    match stat.filter(|(pid, _)| *pid == getpid()) {
        Some((_, stat)) if is_alone(stat) => Ok(()),
        Some(_) => Err(Errno::INVAL.into()),
        None => only_thread().map(drop),
    }
}

/// Returns whether even an `unshare` of nothing is refused, which the kernel itself never does.
pub(crate) fn unshare_is_filtered() -> bool {
    unshare(Share::Nothing).is_err()
}

/// Returns whether `stat` counts one thread.
fn is_alone(stat: &OwnedFd) -> bool {
    field(stat, 20) == Ok(Some(1))
}
