//! The seccomp filter of a seal: system calls that lead out of a jail, or into other processes, in
//! spite of dropped capabilities and Landlock (Linux).
#![allow(unsafe_code, reason = "a call that rustix does not have")]

mod calls;
mod program;

use linux_raw_sys::general::{__NR_seccomp, __NR_setns, __NR_socket};
use linux_raw_sys::if_tun::{sock_filter, sock_fprog};
use rustix::io::Errno;

use crate::error::Fault;
use crate::linux::syscall::call;
use calls::Answer;
use program::{ALLOW, LENGTH, MISSING, NO_CONNECT, PROGRAM, REFUSE};

/// What the filter of a seal still allows.
#[derive(Clone, Copy)]
#[allow(clippy::struct_excessive_bools, reason = "independent permissions")]
pub(crate) struct Leave {
    /// `io_uring`.
    pub(crate) rings: bool,
    /// `ptrace` and its like, which Landlock restricts more precisely.
    pub(crate) tracing: bool,
    /// New user namespaces, which the kernel refuses to every process in a chroot.
    pub(crate) user_namespaces: bool,
    /// `execve` and `execveat`: a `memfd_create` is on no file system that Landlock knows.
    pub(crate) execution: bool,
    /// `truncate`: Landlock sees it from ABI 3 on.
    pub(crate) truncation: bool,
}

/// Returns whether the kernel has filters of this kind, by a call without effect.
#[must_use]
pub fn is_available() -> bool {
    const SECCOMP_GET_ACTION_AVAIL: usize = 2;
    let action = REFUSE & 0xffff_0000;
    // SAFETY: the call reads one word.
    unsafe { call(__NR_seccomp, [SECCOMP_GET_ACTION_AVAIL, 0, &raw const action as usize, 0]) }.is_ok()
}

/// Installs the filter, for good. Requires `no_new_privs`. Returns false if the kernel has no
/// filters, or an outer filter refuses another.
pub(crate) fn install(leave: Leave) -> Result<bool, Fault> {
    let mut code = PROGRAM;
    for (answer, left, refused) in [
        (Answer::Ring, leave.rings, REFUSE),
        (Answer::Tracing, leave.tracing, REFUSE),
        (Answer::UserNamespace, leave.user_namespaces, REFUSE),
        (Answer::Clone3, leave.user_namespaces, MISSING),
        (Answer::Execution, leave.execution, REFUSE),
        (Answer::Truncate, leave.truncation, REFUSE),
    ] {
        if let Some(instruction) = code.get_mut(LENGTH - 1 - answer as usize) {
            instruction.k = if left { ALLOW } else { refused };
        }
    }
    Ok(install_program(&code)?)
}

/// Installs a second filter, which refuses new sockets and connections.
pub(crate) fn install_no_connect() -> Result<bool, Fault> {
    Ok(install_program(&NO_CONNECT)?)
}

/// Installs any filter. Requires `no_new_privs`. Returns false if the kernel has no filters, or an
/// outer filter refuses another.
///
/// # Errors
///
/// Other errors of the call.
pub fn install_program(code: &[sock_filter]) -> Result<bool, Errno> {
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    /// Without this flag (Linux 4.17), kernels before 5.16 turn on protections against speculation
    /// attacks, which slow the whole program down.
    const SECCOMP_FILTER_FLAG_SPEC_ALLOW: usize = 4;
    #[allow(clippy::cast_possible_truncation, reason = "it is not that long")]
    let program = sock_fprog { len: code.len() as u16, filter: code.as_ptr().cast_mut() };
    // SAFETY: the call reads the program and all its instructions, and keeps no pointer.
    let set = |flags| unsafe { call(__NR_seccomp, [SECCOMP_SET_MODE_FILTER, flags, &raw const program as usize, 0]) };
    match set(SECCOMP_FILTER_FLAG_SPEC_ALLOW).or_else(|_| set(0)) {
        Ok(_) => Ok(true),
        Err(Errno::NOSYS | Errno::INVAL | Errno::PERM | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Checks that the filter is in force.
pub(crate) fn verify() -> Result<(), Fault> {
    verify_refused(__NR_setns)
}

/// Checks that no socket can be made.
pub(crate) fn verify_no_connect() -> Result<(), Fault> {
    verify_refused(__NR_socket)
}

/// Checks that the filter refuses this call. Without a filter the call has no effect: there is no
/// descriptor -1, and no socket family -1.
fn verify_refused(number: u32) -> Result<(), Fault> {
    // SAFETY: neither call takes a pointer.
    match unsafe { call(number, [usize::MAX, 0, 0, 0]) } {
        Err(Errno::PERM) => Ok(()),
        Ok(_) | Err(_) => Err(Fault::NoFilter),
    }
}
