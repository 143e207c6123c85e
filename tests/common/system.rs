//! What this process and this kernel have.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};

/// Closes what other tests, and whoever runs them, have opened, except `keep`.
pub fn close_all_but(mut keep: [i32; 2]) {
    keep.sort_unstable();
    for (first, last) in [(3, keep[0] - 1), (keep[0] + 1, keep[1] - 1), (keep[1] + 1, i32::MAX)] {
        if first <= last {
            close_range(first, last, 0);
        }
    }
}

pub fn close_range(first: i32, last: i32, flags: u32) {
    assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }, 0);
}

/// Numbers that look random, the same in every run.
pub struct Random(pub u64);

impl Random {
    /// A number from 0 up to and without this one.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

// The calls that read and set ids. On x86 and ARM those without "32" are the ones of the first
// kernels, which had 16 bits for an id.
#[cfg(not(any(target_arch = "x86", target_arch = "arm")))]
pub use libc::{
    SYS_getresgid as GETRESGID, SYS_getresuid as GETRESUID, SYS_setgroups as SETGROUPS, SYS_setresgid as SETRESGID,
    SYS_setresuid as SETRESUID,
};
#[cfg(any(target_arch = "x86", target_arch = "arm"))]
pub use libc::{
    SYS_getresgid32 as GETRESGID, SYS_getresuid32 as GETRESUID, SYS_setgroups32 as SETGROUPS,
    SYS_setresgid32 as SETRESGID, SYS_setresuid32 as SETRESUID,
};

/// The calls that set ids.
pub const SET_IDS: [libc::c_long; 3] = [SETRESUID, SETRESGID, SETGROUPS];

/// An `io_uring`, if this kernel has them.
pub fn ring() -> Option<File> {
    let mut parameters = [0_u32; 30];
    // SAFETY: the parameters are 120 bytes long, as the call takes them.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr()) };
    // SAFETY: it was just made.
    (fd >= 0).then(|| unsafe { File::from_raw_fd(i32::try_from(fd).unwrap()) })
}

/// The open descriptors of this process, but for the one that reads them.
pub fn open_fds() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut fds: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    fds.retain(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok());
    fds.sort_unstable();
    fds
}

/// The effective, permitted and inheritable capabilities.
pub fn held() -> u64 {
    let sets = rustix::thread::capabilities(None).unwrap();
    (sets.effective | sets.permitted | sets.inheritable).bits()
}

/// The version of this kernel's Landlock, as far as the library uses it.
pub fn landlock_abi() -> Option<i32> {
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, 1) };
    i32::try_from(abi).ok().filter(|abi| *abi > 0).map(|abi| abi.min(9))
}

pub fn raw(file: &impl AsRawFd) -> i32 {
    file.as_raw_fd()
}

/// Returns whether the kernel has failfs: an `fchroot` with unknown flags is then invalid.
pub fn failfs() -> bool {
    let returned = unsafe { libc::syscall(libc::SYS_close_range + 36, -10004, u32::MAX) };
    returned == -1 && std::io::Error::last_os_error().raw_os_error() == Some(libc::EINVAL)
}

/// The real, effective and saved user ids, and then the group ids.
pub fn ids() -> [u32; 6] {
    let [mut r, mut e, mut s, mut rg, mut eg, mut sg] = [0; 6];
    unsafe {
        libc::getresuid(&raw mut r, &raw mut e, &raw mut s);
        libc::getresgid(&raw mut rg, &raw mut eg, &raw mut sg);
    }
    [r, e, s, rg, eg, sg]
}

/// The supplementary groups.
pub fn groups() -> Vec<u32> {
    let count = unsafe { libc::getgroups(0, std::ptr::null_mut()) };
    let mut groups = vec![0; usize::try_from(count).unwrap()];
    assert_eq!(unsafe { libc::getgroups(count, groups.as_mut_ptr()) }, count);
    groups
}

pub fn set_groups(groups: &[u32]) {
    assert_eq!(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }, 0);
}

/// Drops all capabilities except these.
pub fn keep_only(keep: autochroot::Capabilities) {
    let keep = rustix::thread::CapabilitySet::from_bits_retain(keep.bits());
    let sets = rustix::thread::CapabilitySets { effective: keep, permitted: keep, inheritable: keep & !keep };
    rustix::thread::set_capabilities(None, sets).unwrap();
}
