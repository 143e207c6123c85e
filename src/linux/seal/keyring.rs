//! The session keyring (Linux). A program shares it, with all its keys, with whoever started the
//! program.
#![allow(unsafe_code, reason = "a call that rustix does not have")]

use linux_raw_sys::general::__NR_keyctl;
use rustix::io::Errno;

use crate::linux::syscall::call;
use crate::protection::SessionKeyring;

/// Gives the process a session keyring of its own, which cannot be undone.
///
/// [`keyctl(2)`](https://man7.org/linux/man-pages/man2/keyctl.2.html)
pub(crate) fn join() -> SessionKeyring {
    const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
    // SAFETY: without a name the call takes no pointer.
    match unsafe { call(__NR_keyctl, [KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0]) } {
        Ok(_) => SessionKeyring::Own,
        Err(errno) => SessionKeyring::Refused(errno.raw_os_error()),
    }
}

/// Returns whether the kernel has keyrings and no filter refuses them. Only reads the number of the
/// keyring in use.
pub(crate) fn is_available() -> bool {
    const KEYCTL_GET_KEYRING_ID: usize = 0;
    const KEY_SPEC_SESSION_KEYRING: usize = usize::MAX - 2; // -3
    // SAFETY: the call takes no pointer.
    let asked = unsafe { call(__NR_keyctl, [KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0]) };
    !matches!(asked, Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS))
}
