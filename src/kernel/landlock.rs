//! Landlock, for which rustix has nothing: three system calls, made through the C library's `syscall`.
#![allow(unsafe_code, reason = "system calls that have no wrapper")]

use core::ffi::{c_int, c_long};
use core::ptr;

use linux_raw_sys::general::{__NR_landlock_add_rule, __NR_landlock_create_ruleset, __NR_landlock_restrict_self};
use linux_raw_sys::landlock::{
    LANDLOCK_ACCESS_FS_EXECUTE, LANDLOCK_ACCESS_FS_READ_FILE, LANDLOCK_CREATE_RULESET_VERSION,
    LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET, LANDLOCK_SCOPE_SIGNAL, landlock_path_beneath_attr, landlock_rule_type,
    landlock_ruleset_attr,
};
use rustix::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use rustix::io::Errno;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    #[cfg_attr(target_os = "android", link_name = "__errno")]
    fn __errno_location() -> *mut c_int;
}

#[allow(clippy::cast_possible_wrap, clippy::cast_lossless, reason = "a long has 32 bits on some systems")]
const fn number(call: u32) -> c_long {
    call as c_long
}

/// What a system call returned, or the errno.
fn checked(returned: c_long) -> Result<c_int, Errno> {
    match c_int::try_from(returned) {
        Ok(value) if value >= 0 => Ok(value),
        // SAFETY: it points to the errno of this thread.
        _ => Err(Errno::from_raw_os_error(unsafe { *__errno_location() })),
    }
}

/// The version of the kernel's Landlock; `None` if there is none, or if it is left out of this build.
pub(super) fn abi() -> Option<c_int> {
    if !cfg!(feature = "landlock") {
        return None;
    }
    // SAFETY: the call takes no pointer then.
    checked(unsafe {
        syscall(
            number(__NR_landlock_create_ruleset),
            ptr::null::<landlock_ruleset_attr>(),
            0_usize,
            LANDLOCK_CREATE_RULESET_VERSION,
        )
    })
    .ok()
}

/// Every access to a file system that version `abi` knows. Bits 0 to 12 came with the first version; refer, truncate and
/// `ioctl_dev` with the second, third and fifth.
const fn accesses(abi: c_int) -> u64 {
    let count = match abi {
        ..=1 => 13,
        2 => 14,
        3 | 4 => 15,
        5.. => 16,
    };
    (1 << count) - 1
}

const fn scopes(abi: c_int) -> u64 {
    if abi < 6 { 0 } else { (LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL) as u64 }
}

/// A ruleset that refuses every access to the file system that version `abi` knows, and signals and abstract sockets to
/// processes outside. The network is none of our business.
pub(super) fn deny_all(abi: c_int) -> Result<OwnedFd, Errno> {
    let ruleset =
        landlock_ruleset_attr { handled_access_fs: accesses(abi), handled_access_net: 0, scoped: scopes(abi) };
    // A kernel that does not know a field refuses a size that includes it.
    let size = match abi {
        ..=3 => core::mem::offset_of!(landlock_ruleset_attr, handled_access_net),
        4 | 5 => core::mem::offset_of!(landlock_ruleset_attr, scoped),
        6.. => size_of::<landlock_ruleset_attr>(),
    };
    // SAFETY: `ruleset` is at least `size` long. What is returned is a new descriptor, close-on-exec.
    unsafe {
        checked(syscall(number(__NR_landlock_create_ruleset), &raw const ruleset, size, 0_u32))
            .map(|fd| OwnedFd::from_raw_fd(fd))
    }
}

/// Let the file that `fd` is open on be executed, which is also to be read. A file of no mounted file system, as of
/// `memfd_create`, can have no rule (`EBADFD`) and needs none.
pub(super) fn allow_execute(ruleset: &OwnedFd, fd: c_int) -> Result<(), Errno> {
    match allow(ruleset, fd, (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE).into()) {
        Err(Errno::BADFD) => Ok(()),
        allowed => allowed,
    }
}

/// Let everything be done beneath the directory that `fd` is open on.
pub(super) fn allow_beneath(ruleset: &OwnedFd, fd: c_int, abi: c_int) -> Result<(), Errno> {
    allow(ruleset, fd, accesses(abi))
}

fn allow(ruleset: &OwnedFd, fd: c_int, access: u64) -> Result<(), Errno> {
    let rule = landlock_path_beneath_attr { allowed_access: access, parent_fd: fd };
    let kind = landlock_rule_type::LANDLOCK_RULE_PATH_BENEATH as u32;
    // SAFETY: `rule` is what the call takes for this kind of rule.
    checked(unsafe { syscall(number(__NR_landlock_add_rule), ruleset.as_raw_fd(), kind, &raw const rule, 0_u32) })
        .map(drop)
}

/// Enforce the ruleset on this thread, for good. Needs `no_new_privs`.
pub(super) fn restrict_self(ruleset: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: the call takes no pointer.
    checked(unsafe { syscall(number(__NR_landlock_restrict_self), ruleset.as_raw_fd(), 0_u32) }).map(drop)
}
