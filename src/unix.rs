//! Other Unixes: what takes the place of `src/linux`.
#![allow(unsafe_code, reason = "rustix has neither fork nor signal masks")]

use core::ffi::c_int;
use core::ptr;

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, Stat, openat};
use rustix::io::{Errno, read};
use rustix::process::{Pid, Resource, Uid, WaitOptions, WaitStatus, geteuid, getrlimit, waitpid};

use crate::error::{Error, Fault};
use crate::jail::Plan;
use crate::libc::errno;
use crate::protection::SessionKeyring;
use crate::root::Root;

/// Defines functions that have one answer here. On Linux they ask the kernel.
macro_rules! answers {
    ($($(#[$of:meta])* fn $name:ident($($argument:tt)*) -> $type:ty = $answer:expr;)*) => {$(
        $(#[$of])*
        #[allow(clippy::unnecessary_wraps, clippy::unused_self, reason = "Linux needs it")]
        pub(crate) const fn $name($($argument)*) -> $type {
            $answer
        }
    )*};
}

/// The answer to what only Linux has.
const NOT_HERE: Fault = Fault::of(Errno::NOSYS);

answers! {
    /// Not every file system here counts links as on Linux. The check that nothing can be created in
    /// the directory runs anyway.
    fn has_no_links(_: &Stat) -> bool = true;
    /// Another thread might change the environment meanwhile.
    fn open_tmpdir() -> Result<OwnedFd, Fault> = Err(Fault::Unset);
    /// Without a check: `rmdir` removes only an empty directory, and without a name it takes no
    /// entries.
    fn check_root_is_empty() -> Result<(), Fault> = Ok(());
    /// Listing a directory would allocate here.
    fn check_is_empty(_: BorrowedFd<'_>) -> Result<(), Fault> = Err(NOT_HERE);
    /// No check is needed: all threads share one root directory.
    fn only_thread() -> Result<Option<(Pid, OwnedFd)>, Fault> = Ok(None);
    /// Root can always chroot here.
    fn may_chroot_ever() -> bool = true;
    fn has_registered_ring() -> bool = false;
    fn is_a_ring(_: i32) -> Result<Option<bool>, Errno> = Ok(Some(false));
    fn takes_nameless_files() -> bool = false;
    fn check_is_read_only() -> Result<(), Fault> = Err(NOT_HERE);
    /// Without a check: `no_new_privs` is only set on FreeBSD, to be allowed to chroot.
    fn verify_no_new_privs() -> Result<(), Fault> = Ok(());
    #[cfg(not(target_os = "freebsd"))]
    fn set_no_new_privs() -> Result<(), Errno> = Err(Errno::NOSYS);
    /// There is no list of descriptors here.
    fn each_open(_: bool, _: &mut dyn FnMut(i32) -> Result<bool, Fault>) -> Result<bool, Fault> = Ok(false);
    /// Nothing but threads shares the root or the descriptors of a process here.
    fn unshare_root_and_descriptors() -> Result<bool, Fault> = Ok(true);
    /// No cause is known here.
    fn explain(error: Error) -> Error = error;
    fn join_keyring() -> SessionKeyring = SessionKeyring::Inherited;
    fn find_failfs() -> Result<(), Fault> = Err(NOT_HERE);
    fn enter_failfs() -> Result<(), Fault> = Err(NOT_HERE);
    fn change_to_failfs() -> Result<(), Fault> = Err(NOT_HERE);
    fn verify_failfs() -> Result<(), Fault> = Err(NOT_HERE);
    fn mount() -> Result<OwnedFd, Fault> = Err(NOT_HERE);
    fn check_inodes(_: u32) -> Result<(), Fault> = Err(NOT_HERE);
    fn new_mount_namespace() -> Result<(), Errno> = Err(Errno::NOSYS);
    fn new_user_namespace(_: bool) -> Result<bool, Fault> = Err(NOT_HERE);
    fn drop_capabilities(_: Plan, _: bool) -> Result<(), Fault> = Err(NOT_HERE);
}

/// Only Linux has id maps.
pub(crate) struct IdMaps;

impl IdMaps {
    answers! {
        fn new(_: Uid) -> IdMaps = IdMaps;
        fn open_proc(&self, _: Plan, _: Root, _: bool) -> Result<(), Fault> = Err(NOT_HERE);
        fn open(&self, _: Plan, _: &mut bool) -> Result<(), Fault> = Err(NOT_HERE);
        fn map_uid(&self) -> Result<(), Fault> = Err(NOT_HERE);
        fn deny_setgroups(&self) -> Result<(), Fault> = Err(NOT_HERE);
        fn map_gid(&self) -> Result<(), Fault> = Err(NOT_HERE);
        fn verify(&self, _: Plan) -> Result<(), Fault> = Err(NOT_HERE);
    }
}

/// Flags to open a directory for `fchdir` and the `…at` calls. `O_PATH` is Linux only.
pub(crate) const PATH_DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

pub(crate) fn fill_with_random(bytes: &mut [u8]) -> Result<(), Errno> {
    let length = read(openat(CWD, c"/dev/urandom", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, &mut *bytes)?;
    if length == bytes.len() { Ok(()) } else { Err(Errno::IO) }
}

/// Returns whether this process may change the mode of a file with this status: its owner may, and
/// root.
pub(crate) fn may_change_mode(stat: &Stat) -> bool {
    geteuid().is_root() || stat.st_uid == geteuid().as_raw()
}

/// Returns the effective user id, and whether an entry by privilege has to set `no_new_privs`.
pub(crate) fn user() -> (Uid, bool) {
    (geteuid(), false)
}

#[cfg(target_os = "freebsd")]
pub(crate) fn set_no_new_privs() -> Result<(), Errno> {
    rustix::process::set_no_new_privs(None)
}

pub(crate) fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Larger than the signal set of any system.
type Signals = [u64; 16];

unsafe extern "C" {
    #[link_name = "fork"]
    fn libc_fork() -> c_int;
    #[cfg_attr(target_os = "netbsd", link_name = "__sigfillset14")]
    fn sigfillset(set: *mut Signals) -> c_int;
    #[cfg_attr(target_os = "netbsd", link_name = "__sigprocmask14")]
    fn sigprocmask(how: c_int, set: *const Signals, before: *mut Signals) -> c_int;
}

/// Makes a copy of this process. Returns the child's id, and `None` in the child.
///
/// # Safety
///
/// The child may only make system calls, and must end by `_exit`.
pub(crate) unsafe fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: the caller vouches for the child.
    match unsafe { libc_fork() } {
        ..0 => Err(errno()),
        child => Ok(Pid::from_raw(child)),
    }
}

/// Waits for the end of a child. `None`: somebody else has waited for it, or the system, because
/// `SIGCHLD` is ignored.
pub(crate) fn wait_for(child: Pid) -> Option<WaitStatus> {
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Err(Errno::INTR) => {}
            ended => return ended.ok().flatten().map(|(_, status)| status),
        }
    }
}

/// Blocks every signal of this thread until the value is dropped.
pub(crate) struct SignalsBlocked(Signals);

const SIG_SETMASK: c_int = 3;

impl SignalsBlocked {
    #[allow(clippy::unnecessary_wraps, reason = "Linux needs it")]
    pub(crate) fn new() -> Result<Self, Errno> {
        let mut all: Signals = [0; 16];
        let mut before = all;
        // SAFETY: both have room for a set of signals.
        unsafe {
            sigfillset(&raw mut all);
            sigprocmask(SIG_SETMASK, &raw const all, &raw mut before);
        }
        Ok(SignalsBlocked(before))
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // SAFETY: it is what `sigprocmask` wrote.
        unsafe { sigprocmask(SIG_SETMASK, &raw const self.0, ptr::null_mut()) };
    }
}
