//! The calls of the C library that rustix does not have (Linux): system calls by number, the
//! auxiliary vector, the environment, and lists of groups. Not part of the API.
#![allow(unsafe_code, reason = "the C library is reached in no other way")]

use core::ffi::{CStr, c_char, c_int, c_long, c_ulong};

use linux_raw_sys::general::__NR_prlimit64;
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgid, getuid};

use crate::libc::errno;
use crate::linux::user::ids::Gid;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    safe fn getauxval(kind: c_ulong) -> c_ulong;
    fn getenv(name: *const c_char) -> *const c_char;
    fn getgroups(size: c_int, list: *mut Gid) -> c_int;
    fn getresuid(real: *mut u32, effective: *mut u32, saved: *mut u32) -> c_int;
    fn getresgid(real: *mut u32, effective: *mut u32, saved: *mut u32) -> c_int;
}

/// Makes a system call that rustix does not have.
///
/// # Errors
///
/// The errors of the call.
///
/// # Safety
///
/// The call must be sound with these arguments; pointers among them must be what it takes.
#[allow(clippy::cast_possible_wrap, clippy::cast_lossless, reason = "a long has 32 bits on some systems")]
pub unsafe fn call(number: u32, args: [usize; 4]) -> Result<c_int, Errno> {
    // SAFETY: the caller vouches for the call. The kernel ignores arguments that the call does not
    // have. The fifth and sixth of io_uring_enter are read only if its flags ask for them.
    let returned = unsafe { syscall(number as c_long, args[0], args[1], args[2], args[3], 0_usize, 0_usize) };
    match c_int::try_from(returned) {
        Ok(value) if value >= 0 => Ok(value),
        _ => Err(errno()),
    }
}

/// Returns the soft limit of a resource, `RLIM_INFINITY` included. The wrapper of rustix assumes
/// that the call succeeds, but a filter can refuse it.
pub(crate) fn soft_limit(resource: u32) -> Result<u64, Errno> {
    let mut limit = [0_u64; 2];
    // SAFETY: the kernel writes a `struct rlimit64`, which is two numbers of 64 bits.
    unsafe { call(__NR_prlimit64, [0, resource as usize, 0, &raw mut limit as usize])? };
    let [soft, _] = limit;
    Ok(soft)
}

/// Returns whether the process got privilege from the file of its program: a set-id bit or file
/// capabilities.
#[must_use]
pub fn is_secure_execution() -> bool {
    const AT_SECURE: c_ulong = 23;
    getauxval(AT_SECURE) != 0 // 0 also for a number that it does not know
}

/// Returns the value of this environment variable.
///
/// # Safety
///
/// Nobody may change the environment as long as the value is in use.
pub(crate) unsafe fn variable<'e>(name: &CStr) -> Option<&'e CStr> {
    // SAFETY: the name is a C string.
    let value = unsafe { getenv(name.as_ptr()) };
    // SAFETY: what is not null is a C string, and the caller vouches that it stays.
    (!value.is_null()).then(|| unsafe { CStr::from_ptr(value) })
}

/// Lists the supplementary groups and returns their number.
///
/// # Errors
///
/// `EINVAL`: the list is not empty, and too short.
pub(crate) fn supplementary_groups(list: &mut [Gid]) -> Result<usize, Errno> {
    // SAFETY: the size that is passed is that of the list.
    let count = unsafe { getgroups(c_int::try_from(list.len()).unwrap_or(c_int::MAX), list.as_mut_ptr()) };
    usize::try_from(count).map_err(|_| errno())
}

/// Stands for an id that is not known. It is not root's, and no file belongs to it.
const UNKNOWN: u32 = u32::MAX - 1;

/// Returns the real, effective and saved user ids.
pub(crate) fn user_ids() -> [u32; 3] {
    ids(getresuid, || [getuid().as_raw(), geteuid().as_raw()])
}

/// Returns the real, effective and saved group ids.
pub(crate) fn group_ids() -> [u32; 3] {
    ids(getresgid, || [getgid().as_raw(), getegid().as_raw()])
}

type GetRes = unsafe extern "C" fn(*mut u32, *mut u32, *mut u32) -> c_int;

/// Returns three ids. If a filter refuses the call, or the kernel knows root alone
/// (`CONFIG_MULTIUSER`), the saved id is not known.
fn ids(getres: GetRes, get: fn() -> [u32; 2]) -> [u32; 3] {
    let [mut real, mut effective, mut saved] = [UNKNOWN; 3];
    // SAFETY: `getres` is `getresuid` or `getresgid`; each pointer leads to a place for one id.
    if unsafe { getres(&raw mut real, &raw mut effective, &raw mut saved) } != 0 {
        [real, effective] = get();
        saved = UNKNOWN;
    }
    [real, effective, saved]
}
