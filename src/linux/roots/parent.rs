//! The parent and the name of the new directory (Linux).

use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, openat};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgid, getuid};
use rustix::rand::{GetRandomFlags, getrandom};

use crate::error::Fault;
use crate::linux::roots::checks::PATH_DIRECTORY;
use crate::linux::syscall::{is_secure_execution, variable};

/// Fills the buffer with random bytes. `GRND_INSECURE` (Linux 5.6) does not wait for the entropy
/// pool, so an `/init` is not held up.
pub(crate) fn fill_with_random(bytes: &mut [u8]) -> Result<(), Errno> {
    let length = getrandom(&mut *bytes, GetRandomFlags::INSECURE)
        .or_else(|_| getrandom(&mut *bytes, GetRandomFlags::NONBLOCK))?;
    if length == bytes.len() { Ok(()) } else { Err(Errno::IO) }
}

/// Opens `$TMPDIR`, except in a program with more privilege than its caller, who must not choose
/// the directory.
#[allow(unsafe_code, reason = "std allocates for the value, and its lock may be held in a fork")]
pub(crate) fn open_tmpdir() -> Result<OwnedFd, Fault> {
    if !cfg!(feature = "std") || is_secure_execution() || getuid() != geteuid() || getgid() != getegid() {
        return Err(Fault::Unset);
    }
    // SAFETY: nobody changes the environment meanwhile: other threads are ruled out by now. In a
    // fork of a process with threads, the caller must make async-signal-safe calls only.
    let Some(tmpdir) = (unsafe { variable(c"TMPDIR") }) else { return Err(Fault::Unset) };
    if !tmpdir.to_bytes().starts_with(b"/") {
        return Err(Fault::Relative);
    }
    Ok(openat(CWD, tmpdir, PATH_DIRECTORY, Mode::empty())?)
}
