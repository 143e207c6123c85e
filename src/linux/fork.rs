//! A fork that runs no handler of the caller (Linux).
#![allow(unsafe_code, reason = "rustix has neither fork nor signal masks")]

use core::ptr;

use linux_raw_sys::general::{__NR_clone, __NR_rt_sigprocmask, SIG_SETMASK, kernel_sigset_t};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

use crate::linux::syscall::call;

/// Makes a copy of this process. Returns the child's id, and `None` in the child. No handler of
/// `pthread_atfork` runs, and the parent gets no signal when the child ends: a handler of `SIGCHLD`
/// does not run, and if `SIGCHLD` is ignored, the parent can still wait for the child. A child that
/// executes a program sends `SIGCHLD` again.
///
/// # Errors
///
/// The errors of `clone(2)`.
///
/// # Safety
///
/// The child may only make system calls, and must end by `_exit` or execute a program.
pub unsafe fn fork() -> Result<Option<Pid>, Errno> {
    // SAFETY: without flags nothing is shared and no pointer is used. The order of the arguments
    // differs between processors, but all are 0.
    Ok(Pid::from_raw(unsafe { call(__NR_clone, [0; 4])? }))
}

/// Waits for the end of a child of [`fork`]. `None`: somebody else has waited for it.
#[must_use]
pub fn wait_for(child: Pid) -> Option<WaitStatus> {
    const WALL: u32 = 0x4000_0000; // linux/wait.h: also children that send no signal
    loop {
        match waitpid(Some(child), WaitOptions::from_bits_retain(WALL)) {
            Err(Errno::INTR) => {}
            ended => return ended.ok().flatten().map(|(_, status)| status),
        }
    }
}

/// A set of signals, as the kernel has it.
type Signals = [u8; size_of::<kernel_sigset_t>()];

/// Blocks every signal of this thread until the value is dropped.
pub(crate) struct SignalsBlocked(Signals);

impl SignalsBlocked {
    pub(crate) fn new() -> Result<Self, Errno> {
        let mut blocked = SignalsBlocked([0; size_of::<Signals>()]);
        set_mask(&[0xff; size_of::<Signals>()], blocked.0.as_mut_ptr())?;
        Ok(blocked)
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        let _ = set_mask(&self.0, ptr::null_mut()); // the same call has worked before
    }
}

fn set_mask(mask: &Signals, before: *mut u8) -> Result<(), Errno> {
    let args = [SIG_SETMASK as usize, mask.as_ptr() as usize, before as usize, size_of::<Signals>()];
    // SAFETY: the kernel reads the first set, and writes the other one unless it is null.
    unsafe { call(__NR_rt_sigprocmask, args) }.map(drop)
}
