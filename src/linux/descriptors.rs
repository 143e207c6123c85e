//! The open descriptors, found through `/proc`, and which of them are `io_uring`s (Linux).

use core::ffi::CStr;
use core::mem::MaybeUninit;

use linux_raw_sys::general::{__NR_io_uring_enter, RLIMIT_NOFILE};
use rustix::fd::AsRawFd as _;
use rustix::fs::{CWD, readlinkat_raw, stat, statfs};
use rustix::io::Errno;

use crate::error::Fault;
use crate::linux::proc;
use crate::linux::syscall::{call, soft_limit};
use crate::text::{c_str, digits, number};

/// From `io_uring/tctx.h` and `linux/io_uring.h`. linux-raw-sys has the second only with another
/// feature.
const IO_RINGFD_REG_MAX: usize = 16;
const IORING_ENTER_REGISTERED_RING: u32 = 1 << 4;

/// Calls `each` with the number of every open descriptor, until `each` fails. `each` returns
/// whether the descriptor is open. Returns false if there is no `/proc`.
///
/// Tries 0, 1, 2 and so on, until as many are open as `/proc` counts. If that does not find all,
/// goes through the list in `/proc`.
///
/// `/proc/self` shows the first thread. Another thread may have other descriptors.
pub(crate) fn each_open(threads: bool, each: &mut impl FnMut(i32) -> Result<bool, Fault>) -> Result<bool, Fault> {
    let descriptors = if threads { c"/proc/thread-self/fd" } else { c"/proc/self/fd" };
    let is_proc = match statfs(descriptors) {
        Ok(file_system) => proc::is_procfs(&file_system),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => false,
        Err(errno) => return Err(errno.into()),
    };
    if !is_proc || as_many_as_there_are(descriptors, each)? {
        return Ok(is_proc);
    }
    let list = proc::open_directory(CWD, descriptors)?;
    let own = list.as_raw_fd();
    proc::list(&list, &mut |name| match number(name.to_bytes()).and_then(|fd| i32::try_from(fd).ok()) {
        Some(fd) if fd != own => each(fd).map(drop),
        _ => Ok(()),
    })?;
    Ok(true)
}

/// Returns whether `each` found as many descriptors as `/proc` counts, before and after. The size
/// of /proc/self/fd is that count (Linux 6.2). Returns false on an older kernel, if the numbers are
/// far apart, or if a signal handler or a thread opened or closed a descriptor meanwhile.
fn as_many_as_there_are(descriptors: &CStr, each: &mut impl FnMut(i32) -> Result<bool, Fault>) -> Result<bool, Fault> {
    let count = || stat(descriptors).map_or(0, |proc| i32::try_from(proc.st_size).unwrap_or(0));
    let counted = count();
    if counted <= 0 {
        return Ok(false);
    }
    let mut more = counted;
    for fd in 0..counted.saturating_mul(2).saturating_add(256) {
        more -= i32::from(each(fd)?);
        if more == 0 {
            return Ok(count() == counted);
        }
    }
    Ok(false)
}

/// Returns the soft limit of descriptors.
pub(crate) fn descriptor_limit() -> Option<u64> {
    soft_limit(RLIMIT_NOFILE).ok()
}

/// Returns whether a descriptor without a file type is an `io_uring`, or `None` if that cannot be
/// known. For any other, such as an `eventfd`, `io_uring_enter` fails with `EOPNOTSUPP`. The call
/// submits nothing and waits for nothing.
#[allow(unsafe_code, reason = "a call that rustix does not have")]
pub(crate) fn is_a_ring(fd: i32) -> Result<Option<bool>, Errno> {
    // SAFETY: without an entry to submit and without flags, the call takes no pointer.
    match unsafe { call(__NR_io_uring_enter, [fd.unsigned_abs() as usize, 0, 0, 0]) } {
        Err(Errno::OPNOTSUPP) => Ok(Some(false)),
        Err(Errno::BADF) => Err(Errno::BADF),
        // The kernel has no rings, or a filter refuses the call. The name of the file shows it too.
        Err(errno @ (Errno::NOSYS | Errno::PERM | Errno::ACCESS)) => Ok(match is_named_a_ring(fd) {
            None if errno == Errno::NOSYS => Some(false),
            named => named,
        }),
        Ok(_) | Err(_) => Ok(Some(true)),
    }
}

/// Returns whether an `io_uring` is registered by index, which needs no descriptor (Linux 5.18). A
/// process that never had a ring, and an older kernel, fail with `EINVAL` at once. If a filter
/// refuses the call, the ring cannot be used either.
#[allow(unsafe_code, reason = "a call that rustix does not have")]
pub(crate) fn has_registered_ring() -> bool {
    for index in 0..IO_RINGFD_REG_MAX {
        // SAFETY: without an entry to submit, the call takes no pointer.
        match unsafe { call(__NR_io_uring_enter, [index, 0, 0, IORING_ENTER_REGISTERED_RING as usize]) } {
            Err(Errno::BADF) => {}
            // EBADFD: the ring is disabled. EOWNERDEAD: its kernel thread has ended.
            Ok(_) | Err(Errno::BADFD | Errno::OWNERDEAD) => return true,
            Err(_) => return false,
        }
    }
    false
}

fn is_named_a_ring(fd: i32) -> Option<bool> {
    let descriptors = proc::open_directory(CWD, c"/proc/thread-self/fd").ok()?;
    let mut buffer = [0; 12];
    let name = c_str(digits(fd.unsigned_abs()).trim_ascii_start(), &mut buffer).ok()?;
    let mut target = [MaybeUninit::uninit(); 32];
    let (target, _) = readlinkat_raw(&descriptors, name, &mut target).ok()?;
    Some(*target == *b"anon_inode:[io_uring]")
}
