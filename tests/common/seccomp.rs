//! System calls that fail, lie or are replaced, in this process.

use std::sync::Mutex;

use rustix::io::Errno;

use super::is_root;

/// From here on the system call `number` is not made and says `errno`: 0 is success.
pub fn fake(number: libc::c_long, errno: Errno) {
    fake_errno(number, u32::try_from(errno.raw_os_error()).unwrap());
}

pub fn fake_success(number: libc::c_long) {
    fake_errno(number, 0);
}

/// The same with any errno, up to 4095.
pub fn fake_errno(number: libc::c_long, errno: u32) {
    fake_where(number, None, errno);
}

/// The same only where the first argument is `argument`.
pub fn fake_where(number: libc::c_long, argument: Option<u32>, errno: u32) {
    filter_where(number, argument, libc::SECCOMP_RET_ERRNO | errno);
}

/// The system call with this first argument becomes a `SIGSYS`.
pub fn trap_where(number: libc::c_long, argument: u32) {
    filter_where(number, Some(argument), libc::SECCOMP_RET_TRAP);
}

/// The system call says `errno` where its second argument is `argument`.
pub fn filter_second_argument(number: libc::c_long, argument: u32, errno: Errno) {
    filter_argument(number, Some((1, argument)), libc::SECCOMP_RET_ERRNO | errno.raw_os_error().unsigned_abs());
}

/// The system call kills the process, with a `SIGSYS`.
pub fn kill_at(number: libc::c_long) {
    filter_where(number, None, libc::SECCOMP_RET_KILL_PROCESS);
}

/// The number of the call of its kind, counted from 0, and its first arguments; returns what the
/// call returns, as the kernel does.
#[cfg(target_arch = "x86_64")]
pub type Stand = fn(usize, [usize; 4]) -> i64;

/// From here on `stand` is called in the place of the system call `number`, which it must not make
/// itself.
#[cfg(target_arch = "x86_64")]
pub fn stand_in(number: libc::c_long, stand: Stand) {
    stand_in_where(number, None, stand);
}

/// The same where the argument with this number, counted from 0, is this one.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_ptr_alignment, reason = "registers")]
pub fn stand_in_where(number: libc::c_long, argument: Option<(u32, u32)>, stand: Stand) {
    static STANDS: Mutex<Vec<(libc::c_long, Stand, usize)>> = Mutex::new(vec![]);
    extern "C" fn handler(_: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel gives a context of that type, and in `si_syscall` the number.
        let (number, registers) = unsafe {
            let number = *info.cast::<u8>().add(24).cast::<i32>();
            (libc::c_long::from(number), &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs)
        };
        let args = [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10]
            .map(|register| registers[register as usize] as usize);
        let (stand, nth) = {
            let mut stands = STANDS.lock().unwrap();
            let (_, stand, count) = stands.iter_mut().find(|(trapped, ..)| *trapped == number).unwrap();
            *count += 1;
            (*stand, *count - 1)
        };
        registers[libc::REG_RAX as usize] = stand(nth, args);
    }
    STANDS.lock().unwrap().push((number, stand, 0));
    // SAFETY: the handler is of that type.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        assert_eq!(libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()), 0);
    }
    filter_argument(number, argument, libc::SECCOMP_RET_TRAP);
}

/// What a call of the C library returned, as the kernel returns it.
#[cfg(target_arch = "x86_64")]
pub fn answer(returned: i64) -> i64 {
    if returned < 0 { -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap()) } else { returned }
}

fn filter_where(number: libc::c_long, argument: Option<u32>, action: u32) {
    filter_argument(number, argument.map(|argument| (0, argument)), action);
}

/// Where the argument with this number, counted from 0, is this one.
fn filter_argument(number: libc::c_long, argument: Option<(u32, u32)>, action: u32) {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};
    let code = |code: u32, k: u32, jf: u8| sock_filter { code: u16::try_from(code).unwrap(), jt: 0, jf, k };
    let mut filter =
        vec![code(BPF_LD | BPF_W | BPF_ABS, 0, 0), code(BPF_JMP | BPF_JEQ | BPF_K, u32::try_from(number).unwrap(), 1)];
    if let Some((nth, argument)) = argument {
        filter[1].jf = 3;
        let low_half = if cfg!(target_endian = "big") { 4 } else { 0 };
        filter.push(code(BPF_LD | BPF_W | BPF_ABS, 16 + 8 * nth + low_half, 0));
        filter.push(code(BPF_JMP | BPF_JEQ | BPF_K, argument, 1));
    }
    filter.push(code(BPF_RET | BPF_K, action, 0));
    filter.push(code(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW, 0));
    let program = libc::sock_fprog { len: u16::try_from(filter.len()).unwrap(), filter: filter.as_mut_ptr() };
    // SAFETY: the program is valid for the call.
    unsafe {
        if !is_root() {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        }
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}
