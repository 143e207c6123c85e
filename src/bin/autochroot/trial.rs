//! `--check PROGRAM`: executes PROGRAM in a child that can do nothing, and checks whether that
//! works (Linux).
#![allow(unsafe_code, reason = "rustix has no fork, no filters and no execveat")]

use core::ffi::{c_int, c_long};

use autochroot::for_the_launcher::{errno, fork, has_filters, install_filter, syscall, wait_for};
use linux_raw_sys::general::{
    __NR_execveat, __NR_exit_group, __NR_prlimit64, AT_EMPTY_PATH, RLIMIT_CORE, RLIMIT_CPU, SIGCHLD, SIGSYS, SIGXCPU,
};
use linux_raw_sys::if_tun::sock_filter;
use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::io::Errno;
use rustix::thread::set_no_new_privs;

use crate::libc::Strings;
use crate::program::Unfit;

unsafe extern "C" {
    // The number is a `long` in C, which is as large as a `usize` on Linux.
    #[link_name = "syscall"]
    fn call(number: usize, ...) -> c_long;
    safe fn signal(number: u32, action: usize) -> usize;
}

/// Marks the status of the child itself: a program that calls `exit_group` ends by a signal.
const MARK: u32 = 0x6175_7400;

/// Allows `execveat`, and `exit_group` with the mark. Any other call ends the process by `SIGSYS`. The
/// numbers are those of this ABI: in a program of another one, its calls with these two numbers pass.
static FILTER: [sock_filter; 8] = {
    const fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
        sock_filter { code, jt, jf, k }
    }
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const EQUALS: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const ALLOW: u32 = 0x7fff_0000;
    const TRAP: u32 = 0x0003_0000; // unlike KILL_PROCESS, it leaves no line in the kernel's log
    const FIRST_ARGUMENT: u32 = if cfg!(target_endian = "big") { 20 } else { 16 };
    [
        instruction(LOAD, 0, 0, 0),
        instruction(EQUALS, __NR_execveat, 5, 0),
        instruction(EQUALS, __NR_exit_group, 0, 3),
        instruction(LOAD, FIRST_ARGUMENT, 0, 0),
        instruction(AND, !0xff, 0, 0),
        instruction(EQUALS, MARK, 1, 0),
        instruction(RETURN, TRAP, 0, 0),
        instruction(RETURN, ALLOW, 0, 0),
    ]
};

/// Executes PROGRAM in a child, in which every system call of PROGRAM ends it. Returns `yes` if
/// PROGRAM began to run.
pub(crate) fn try_to_execute(program: &OwnedFd, args: &Strings, environment: &Strings) -> Result<&'static str, Unfit> {
    const SIG_DFL: usize = 0;
    // A child that has executed something sends SIGCHLD. If that is ignored, nobody can wait for it.
    signal(SIGCHLD, SIG_DFL);
    signal(SIGXCPU, SIG_DFL);
    prepare();
    // SAFETY: the child makes system calls alone. It ends by `exit_group`, or executes the program.
    let child = match unsafe { fork() } {
        Ok(child) => child,
        Err(errno) => {
            const LIMIT: &str = "raise the limit of processes (ulimit -u, TasksMax= in systemd)";
            let remedy = if errno == Errno::AGAIN { LIMIT } else { "" };
            return Err(Unfit::Because("cannot be tried: no process can be made", remedy));
        }
    };
    let Some(child) = child else {
        let errno = if restrict() { execute(program.as_raw_fd(), args, environment).raw_os_error() } else { 0 };
        // SAFETY: the call takes a number and does not return.
        unsafe { call(__NR_exit_group as usize, MARK | errno.unsigned_abs()) };
        return Err(Unfit::Errno(Errno::CHILD)); // not reached
    };
    let ended = wait_for(child).map(|ended| (ended.exit_status(), ended.terminating_signal().map(c_int::unsigned_abs)));
    match ended {
        Some((None, Some(SIGSYS | SIGXCPU))) => Ok("yes"),
        Some((Some(0), None)) => Err(Unfit::Because("cannot be tried: a seccomp filter is needed for that", "")),
        Some((Some(errno), None)) => Err(Unfit::Errno(Errno::from_raw_os_error(errno))),
        Some(_) => Err(Unfit::Because("ends by a signal before its first system call", "")),
        None => Err(Unfit::Because("cannot be tried: its end was not reported", "")),
    }
}

/// Makes the calls that the child makes, as far as they have no effect on the launcher. A filter that
/// kills at one of them kills the launcher, and not the child, whose end would mean something else.
/// Limits the time of a program that makes no call to a second. No core is dumped, unless the hard
/// limit is 0 and `core_pattern` is a pipe.
fn prepare() {
    for limit in [RLIMIT_CORE, RLIMIT_CPU] {
        let soft_and_hard = [1_u64, 2]; // core(5): with 1, no core is piped to a handler either
        // SAFETY: the call reads a `struct rlimit64`.
        let _ = unsafe { syscall::call(__NR_prlimit64, [0, limit as usize, &raw const soft_and_hard as usize, 0]) };
    }
    let _ = has_filters();
    // SAFETY: there is no descriptor -1.
    unsafe { call(__NR_execveat as usize, -1, c"".as_ptr(), 0, 0, AT_EMPTY_PATH) };
}

/// Restricts this process to executing a program, which ends by its first system call. Returns
/// whether that is possible.
fn restrict() -> bool {
    set_no_new_privs(true).is_ok() && matches!(install_filter(&FILTER), Ok(true))
}

/// Executes the program in this process. `fexecve` could go through `/proc`.
fn execute(program: c_int, args: &Strings, environment: &Strings) -> Errno {
    let number = __NR_execveat as usize;
    // SAFETY: both are arrays of C strings that end with a null pointer.
    unsafe { call(number, program, c"".as_ptr(), args.as_ptr(), environment.as_ptr(), AT_EMPTY_PATH) };
    errno()
}
