//! Landlock, three system calls that rustix does not have.
#![allow(unsafe_code, reason = "system calls that have no wrapper")]

use core::ffi::c_int;
use core::mem::offset_of;

use linux_raw_sys::general::{__NR_landlock_add_rule, __NR_landlock_create_ruleset, __NR_landlock_restrict_self};
use linux_raw_sys::landlock::{
    LANDLOCK_ACCESS_FS_EXECUTE, LANDLOCK_ACCESS_FS_IOCTL_DEV, LANDLOCK_ACCESS_FS_MAKE_BLOCK,
    LANDLOCK_ACCESS_FS_MAKE_CHAR, LANDLOCK_ACCESS_FS_MAKE_SYM, LANDLOCK_ACCESS_FS_READ_DIR,
    LANDLOCK_ACCESS_FS_READ_FILE, LANDLOCK_ACCESS_FS_REFER, LANDLOCK_ACCESS_FS_TRUNCATE, LANDLOCK_ACCESS_FS_WRITE_FILE,
    LANDLOCK_CREATE_RULESET_VERSION, LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON, LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET,
    LANDLOCK_SCOPE_SIGNAL, landlock_path_beneath_attr, landlock_rule_type,
};
use rustix::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use crate::error::Fault;
use crate::files::Contents;
use crate::linux::proc::list;
use crate::linux::syscall::call;

// The layout of the structure, on every processor.
const _: () =
    assert!(size_of::<landlock_path_beneath_attr>() == 12 && offset_of!(landlock_path_beneath_attr, parent_fd) == 8);

/// The newest version that is used. What later versions add is not requested, and not reported.
const NEWEST: c_int = 9;

/// The first version that can log what it refuses to a program executed later (Linux 6.15).
pub(crate) const LOGS: c_int = 7;

/// Returns the version of Landlock that is used, or `None` if the kernel or this build has none.
pub(crate) fn abi() -> Option<c_int> {
    if cfg!(feature = "landlock") { query().ok() } else { None }
}

/// Returns the version of Landlock. Fails with `ENOSYS` if the kernel was built without it, and
/// with `EOPNOTSUPP` if it is disabled at boot.
pub(crate) fn query() -> Result<c_int, Errno> {
    // SAFETY: the call takes no pointer then.
    unsafe { call(__NR_landlock_create_ruleset, [0, 0, LANDLOCK_CREATE_RULESET_VERSION as usize, 0]) }
        .map(|abi| abi.min(NEWEST))
}

/// Returns every access to a file system that version `abi` knows. Bits 0 to 12 came with the first
/// version, refer, truncate and `ioctl_dev` with the second, third and fifth, and connecting to a
/// socket by path with the ninth.
const fn accesses(abi: c_int) -> u64 {
    let count = match abi {
        ..=1 => 13,
        2 => 14,
        3 | 4 => 15,
        5..=8 => 16,
        9.. => 17,
    };
    (1 << count) - 1
}

// A wrong line would protect too little without an error.
const _: () = {
    assert!(accesses(1) == 2 * LANDLOCK_ACCESS_FS_MAKE_SYM as u64 - 1);
    assert!(accesses(2) == accesses(1) | LANDLOCK_ACCESS_FS_REFER as u64);
    assert!(accesses(3) == accesses(2) | LANDLOCK_ACCESS_FS_TRUNCATE as u64 && accesses(4) == accesses(3));
    assert!(accesses(5) == accesses(4) | LANDLOCK_ACCESS_FS_IOCTL_DEV as u64 && accesses(8) == accesses(5));
    assert!(accesses(9) == accesses(8) | 1 << 16);
    assert!(scopes(5) == 0 && scopes(6) == 3);
};

const fn scopes(abi: c_int) -> u64 {
    if abi < 6 { 0 } else { (LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | LANDLOCK_SCOPE_SIGNAL) as u64 }
}

/// Makes a ruleset that refuses every access to the file system that version `abi` knows, and
/// signals and abstract sockets to processes outside. The network is not restricted.
pub(crate) fn deny_all(abi: c_int) -> Result<OwnedFd, Errno> {
    // `struct landlock_ruleset_attr`: accesses to files, to the network, scopes. A kernel accepts fields
    // that it does not know if they are 0.
    let ruleset = [accesses(abi), 0, scopes(abi)];
    // SAFETY: the size is that of the structure. What is returned is a new descriptor, close-on-exec.
    unsafe {
        call(__NR_landlock_create_ruleset, [&raw const ruleset as usize, size_of_val(&ruleset), 0, 0])
            .map(|fd| OwnedFd::from_raw_fd(fd))
    }
}

/// Allows executing, and therefore reading, the file that `fd` is open on. A file that is on no
/// mounted file system, such as a `memfd_create`, can have no rule (`EBADFD`) and needs none.
pub(crate) fn allow_execute(ruleset: &OwnedFd, fd: c_int) -> Result<(), Errno> {
    match allow(ruleset, fd, (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE).into()) {
        Err(Errno::BADFD) => Ok(()),
        allowed => allowed,
    }
}

/// Allows listing an empty root, because some programs fail if they cannot. If the root has files,
/// they can be read, devices written to, and executable files executed.
pub(crate) fn allow_contents(
    ruleset: &OwnedFd,
    root: BorrowedFd<'_>,
    contents: Option<Contents>,
    abi: c_int,
) -> Result<(), Fault> {
    let read = if contents.is_some() { LANDLOCK_ACCESS_FS_READ_FILE } else { 0 };
    allow(ruleset, root.as_raw_fd(), (LANDLOCK_ACCESS_FS_READ_DIR | read).into())?;
    match contents {
        Some(Contents { devices, executables, writable, .. }) if devices || executables || writable => {
            allow_each(ruleset, root, abi)
        }
        Some(_) | None => Ok(()),
    }
}

/// Allows, for each file and directory beneath this directory, the accesses that suit its type and
/// mode.
/// Each level of directories takes 1.5 KiB of stack.
fn allow_each(ruleset: &OwnedFd, directory: BorrowedFd<'_>, abi: c_int) -> Result<(), Fault> {
    const NOT_WRITABLE: u32 = LANDLOCK_ACCESS_FS_EXECUTE
        | LANDLOCK_ACCESS_FS_MAKE_CHAR
        | LANDLOCK_ACCESS_FS_MAKE_BLOCK
        | LANDLOCK_ACCESS_FS_IOCTL_DEV;
    let entries = openat(directory, c".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    list(&entries, &mut |name| {
        let file = openat(directory, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        let mode = fstat(&file)?.st_mode;
        let has = |bits| Mode::from_raw_mode(mode).intersects(bits);
        match FileType::from_raw_mode(mode) {
            FileType::Directory if has(Mode::WUSR) => {
                allow(ruleset, file.as_raw_fd(), accesses(abi) & !u64::from(NOT_WRITABLE))?;
            }
            FileType::Directory => allow_each(ruleset, file.as_fd(), abi)?,
            FileType::CharacterDevice => allow(ruleset, file.as_raw_fd(), LANDLOCK_ACCESS_FS_WRITE_FILE.into())?,
            _ if has(Mode::XUSR) => allow_execute(ruleset, file.as_raw_fd())?,
            _ => {}
        }
        Ok(())
    })
}

/// Allows everything beneath the directory that `fd` is open on.
pub(crate) fn allow_beneath(ruleset: &OwnedFd, fd: c_int, abi: c_int) -> Result<(), Fault> {
    Ok(allow(ruleset, fd, accesses(abi))?)
}

fn allow(ruleset: &OwnedFd, fd: c_int, access: u64) -> Result<(), Errno> {
    let rule = landlock_path_beneath_attr { allowed_access: access, parent_fd: fd };
    let kind = landlock_rule_type::LANDLOCK_RULE_PATH_BENEATH as usize;
    let ruleset = raw(ruleset);
    // SAFETY: `rule` is what the call takes for this kind of rule.
    unsafe { call(__NR_landlock_add_rule, [ruleset, kind, &raw const rule as usize, 0]) }.map(drop)
}

/// Enforces the ruleset on this thread, for good. Needs `no_new_privs`. The kernel logs what is
/// refused before an exec; with `log` also what is refused after it.
pub(crate) fn restrict_self(ruleset: &OwnedFd, log: bool) -> Result<(), Errno> {
    let flags = if log { LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON } else { 0 };
    // SAFETY: the call takes no pointer.
    unsafe { call(__NR_landlock_restrict_self, [raw(ruleset), flags as usize, 0, 0]) }.map(drop)
}

/// Returns the number of a descriptor, which is never negative, as an argument of a system call.
fn raw(fd: &OwnedFd) -> usize {
    fd.as_raw_fd().unsigned_abs() as usize
}
