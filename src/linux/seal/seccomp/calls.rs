//! The calls that the filter knows: their numbers in each ABI, and which uses are refused.

#[cfg(target_pointer_width = "32")]
use linux_raw_sys::general::__NR_fcntl64;
use linux_raw_sys::general::{
    __NR_add_key, __NR_bpf, __NR_clone, __NR_clone3, __NR_fanotify_init, __NR_fcntl, __NR_io_uring_enter,
    __NR_io_uring_register, __NR_io_uring_setup, __NR_ioctl, __NR_keyctl, __NR_mq_open, __NR_mq_unlink,
    __NR_open_by_handle_at, __NR_perf_event_open, __NR_pidfd_getfd, __NR_prlimit64, __NR_process_vm_readv,
    __NR_process_vm_writev, __NR_ptrace, __NR_request_key, __NR_setns, __NR_syslog, __NR_unshare, __NR_userfaultfd,
};

use crate::elf::EM_CURRENT;

/// The last instructions of the program, counted from its end, to which the rules jump.
#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Allow,
    Refuse,
    Missing,
    // These depend on the seal.
    Ring,
    Tracing,
    UserNamespace,
    Clone3,
}

/// Which uses of a call are refused.
#[derive(Clone, Copy)]
pub(crate) enum Rule {
    Always(Answer),
    /// `ioctl` commands that type into a terminal.
    Terminals,
    /// `prlimit64` with a pid other than 0, which is the caller.
    OtherProcesses,
    /// `fcntl` commands that send signals to whoever owns the descriptor, or watch a directory.
    Notifications,
    /// `ptrace`: the request to be traced stops the process for its parent, which may take it for
    /// ended. Others as this answer says.
    Trace(Answer),
    /// A new user namespace, in the argument with this number.
    NewUser {
        flags: u32,
    },
}

use Answer::{Clone3, Refuse, Ring, Tracing};
use Rule::{Always, NewUser, Notifications, OtherProcesses, Terminals, Trace};

/// The number of a call that an ABI lacks.
const NO: u32 = u32::MAX;

#[cfg(target_pointer_width = "64")]
#[allow(non_upper_case_globals, reason = "as linux-raw-sys names it on other processors")]
const __NR_fcntl64: u32 = NO;

/// The argument of `clone` that has its flags.
const CLONE_FLAGS: u32 = if cfg!(target_arch = "s390x") { 1 } else { 0 };

/// Defines the calls that are filtered: the native number, those on `x86_64`, i386, aarch64 and ARM,
/// since a 64-bit kernel runs 32-bit programs too, and what is refused.
macro_rules! calls {
    ($($native:ident => $x86_64:expr, $i386:expr, $aarch64:expr, $arm:expr, $rule:expr;)*) => {
        const RULES: &[Rule] = &[$($rule),*];
        const NATIVE: Calls = Calls([$($native),*]);
        const X86_64: Calls = Calls([$($x86_64),*]);
        #[allow(dead_code, reason = "rustc 1.85 does not count the comparison below")]
        const I386: Calls = Calls([$($i386),*]);
        #[allow(dead_code, reason = "as above")]
        const AARCH64: Calls = Calls([$($aarch64),*]);
        #[allow(dead_code, reason = "as above")]
        const ARM: Calls = Calls([$($arm),*]);
    };
}

/// The number of calls that have a rule.
const COUNT: usize = RULES.len();

/// The numbers of the calls in one ABI.
#[derive(Clone, Copy)]
pub(crate) struct Calls([u32; COUNT]);

calls! {
    __NR_add_key           => 248, 286, 217, 309, Always(Refuse);
    __NR_bpf               => 321, 357, 280, 386, Always(Refuse);
    __NR_clone             =>  56, 120, 220, 120, NewUser { flags: CLONE_FLAGS };
    __NR_clone3            => 435, 435, 435, 435, Always(Clone3);
    __NR_fanotify_init     => 300, 338, 262, 367, Always(Refuse);
    __NR_fcntl             =>  72,  55,  25,  55, Notifications;
    __NR_fcntl64           =>  NO, 221,  NO, 221, Notifications;
    __NR_io_uring_setup    => 425, 425, 425, 425, Always(Ring);
    __NR_io_uring_enter    => 426, 426, 426, 426, Always(Ring);
    __NR_io_uring_register => 427, 427, 427, 427, Always(Ring);
    __NR_ioctl             =>  16,  54,  29,  54, Terminals;
    __NR_keyctl            => 250, 288, 219, 311, Always(Refuse);
    __NR_mq_open           => 240, 277, 180, 274, Always(Refuse);
    __NR_mq_unlink         => 241, 278, 181, 275, Always(Refuse);
    __NR_open_by_handle_at => 304, 342, 265, 371, Always(Refuse);
    __NR_perf_event_open   => 298, 336, 241, 364, Always(Refuse);
    __NR_pidfd_getfd       => 438, 438, 438, 438, Always(Tracing);
    __NR_prlimit64         => 302, 340, 261, 369, OtherProcesses;
    __NR_process_vm_readv  => 310, 347, 270, 376, Always(Tracing);
    __NR_process_vm_writev => 311, 348, 271, 377, Always(Tracing);
    __NR_ptrace            => 101,  26, 117,  26, Trace(Tracing);
    __NR_request_key       => 249, 287, 218, 310, Always(Refuse);
    __NR_setns             => 308, 346, 268, 375, Always(Refuse);
    __NR_syslog            => 103, 103, 116, 103, Always(Refuse);
    __NR_unshare           => 272, 310,  97, 337, NewUser { flags: 0 };
    __NR_userfaultfd       => 323, 374, 282, 388, Always(Refuse);
}

/// Each list is compared with linux-raw-sys, in a build for that processor.
const _: () = {
    assert!(!cfg!(target_arch = "x86_64") || NATIVE.are(X86_64));
    assert!(!cfg!(target_arch = "x86") || NATIVE.are(I386));
    assert!(!cfg!(target_arch = "aarch64") || NATIVE.are(AARCH64));
    assert!(!cfg!(target_arch = "arm") || NATIVE.are(ARM));
};

/// An ABI, as in `seccomp_data`: the number of the machine in ELF, and the bits of `linux/audit.h`.
pub(crate) struct Abi {
    pub(crate) audit_arch: u32,
    pub(crate) calls: Calls,
}

const WIDE: u32 = 0x8000_0000;
const LITTLE_ENDIAN: u32 = 0x4000_0000;

/// This machine and this ABI. The kernel calls aarch64 and ARM little-endian in either byte order.
#[allow(clippy::panic, reason = "at compile time")]
const NATIVE_AUDIT_ARCH: u32 = match EM_CURRENT {
    Some(machine) => machine,
    None => panic!("the number of this processor has to be added to elf.rs"),
} | if cfg!(target_pointer_width = "64") { WIDE } else { 0 }
    | if cfg!(any(target_endian = "little", target_arch = "aarch64", target_arch = "arm")) { LITTLE_ENDIAN } else { 0 };
// The filter refuses the calls of x32.
const _: () = assert!(!cfg!(all(target_arch = "x86_64", target_pointer_width = "32")), "x32 is not supported");

#[allow(clippy::decimal_bitwise_operands, reason = "the numbers of the machines are written so")]
pub(crate) const ABIS: &[Abi] = &[
    Abi { audit_arch: NATIVE_AUDIT_ARCH, calls: NATIVE },
    #[cfg(target_arch = "x86_64")]
    Abi { audit_arch: 3 | LITTLE_ENDIAN, calls: I386 },
    #[cfg(target_arch = "x86")]
    Abi { audit_arch: 62 | WIDE | LITTLE_ENDIAN, calls: X86_64 },
    #[cfg(target_arch = "aarch64")]
    Abi { audit_arch: 40 | LITTLE_ENDIAN, calls: ARM },
    #[cfg(target_arch = "arm")]
    Abi { audit_arch: 183 | WIDE | LITTLE_ENDIAN, calls: AARCH64 },
];

#[allow(clippy::decimal_bitwise_operands, reason = "as above")]
pub(crate) const AUDIT_ARCH_X86_64: u32 = 62 | WIDE | LITTLE_ENDIAN;

/// The numbers of x32 have this bit, under the ABI of `x86_64`.
pub(crate) const X32: u32 = 0x4000_0000;

#[allow(clippy::indexing_slicing, reason = "at compile time")]
impl Calls {
    #[allow(dead_code, reason = "as above")]
    const fn are(self, others: Calls) -> bool {
        let mut n = 0;
        while n < COUNT && self.0[n] == others.0[n] {
            n += 1;
        }
        n == COUNT
    }

    /// Returns the rules in the order of the numbers.
    pub(crate) const fn rules(self) -> [(u32, Rule); COUNT] {
        let mut rules = [(0, RULES[0]); COUNT];
        let mut count = 0;
        while count < COUNT {
            rules[count] = (self.0[count], RULES[count]);
            let mut n = count;
            while n > 0 && rules[n - 1].0 > rules[n].0 {
                rules.swap(n - 1, n);
                n -= 1;
            }
            count += 1;
        }
        rules
    }
}
