//! The calls that the filter knows: their numbers in each ABI, and which uses are refused.

use linux_raw_sys::general::{
    __NR_add_key, __NR_bpf, __NR_clone, __NR_clone3, __NR_connect, __NR_execve, __NR_execveat, __NR_fanotify_init,
    __NR_fcntl, __NR_io_uring_enter, __NR_io_uring_register, __NR_io_uring_setup, __NR_ioctl, __NR_keyctl,
    __NR_mq_open, __NR_mq_unlink, __NR_open_by_handle_at, __NR_perf_event_open, __NR_pidfd_getfd, __NR_prlimit64,
    __NR_process_vm_readv, __NR_process_vm_writev, __NR_ptrace, __NR_request_key, __NR_sendmmsg, __NR_sendmsg,
    __NR_sendto, __NR_setns, __NR_socket, __NR_socketpair, __NR_syslog, __NR_truncate, __NR_unshare, __NR_userfaultfd,
};
#[cfg(target_pointer_width = "32")]
use linux_raw_sys::general::{__NR_fcntl64, __NR_truncate64};

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
    Execution,
    Truncate,
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
    /// `ptrace`: the request to be traced is refused, because it stops the process for its parent,
    /// which may take it for ended. Other requests get this answer.
    Trace(Answer),
    /// `socketpair` of anything but Unix streams and sequences of packets, which can be connected
    /// to nothing else.
    Pairs,
    /// `MSG_FASTOPEN`, which connects, in the argument with this number.
    FastOpen {
        flags: u32,
    },
    /// `socketcall`: refuses the calls that make sockets and connect. The filter cannot see
    /// `MSG_FASTOPEN`, which is in memory, so all of `socketcall` is refused in every ABI except
    /// the native one.
    SocketCall,
    /// A new user namespace, in the argument with this number.
    NewUser {
        flags: u32,
    },
}

use Answer::{Clone3, Execution, Refuse, Ring, Tracing, Truncate};
use Rule::{Always, FastOpen, NewUser, Notifications, OtherProcesses, Pairs, SocketCall, Terminals, Trace};

/// The number of a call that an ABI lacks.
const NO: u32 = u32::MAX;

#[cfg(target_pointer_width = "64")]
#[allow(non_upper_case_globals, reason = "as linux-raw-sys names it on other processors")]
const __NR_fcntl64: u32 = NO;
#[cfg(target_pointer_width = "64")]
#[allow(non_upper_case_globals, reason = "as above")]
const __NR_truncate64: u32 = NO;

#[allow(non_upper_case_globals, reason = "as above")]
const __NR_socketcall: u32 = match () {
    () if cfg!(any(target_arch = "mips", target_arch = "mips32r6")) => 4102,
    () if cfg!(target_arch = "sparc64") => 206,
    () if cfg!(any(target_arch = "x86", target_arch = "powerpc", target_arch = "powerpc64", target_arch = "s390x")) => {
        102
    }
    () => NO,
};

#[cfg(any(target_arch = "x86", target_arch = "mips", target_arch = "powerpc64", target_arch = "s390x"))]
const _: () = assert!(__NR_socketcall == linux_raw_sys::general::__NR_socketcall);

/// The argument of `clone` that has its flags.
const CLONE_FLAGS: u32 = if cfg!(target_arch = "s390x") { 1 } else { 0 };

/// A filter: its rules, and the number of each call in each ABI.
pub(crate) struct Table<const N: usize> {
    pub(crate) rules: [Rule; N],
    native: [u32; N],
    x86_64: [u32; N],
    i386: [u32; N],
    aarch64: [u32; N],
    arm: [u32; N],
}

/// Defines the calls that a filter knows. Each line has the native number, the numbers on `x86_64`,
/// i386, aarch64 and ARM, and the rule. A 64-bit kernel also runs 32-bit programs.
macro_rules! calls {
    (
        $(#[$doc:meta])*
        $table:ident, $count:ident;
        $($native:ident => $x86_64:expr, $i386:expr, $aarch64:expr, $arm:expr, $rule:expr;)*
    ) => {
        pub(crate) const $count: usize = [$(stringify!($native)),*].len();
        $(#[$doc])*
        pub(crate) const $table: Table<$count> = Table {
            rules: [$($rule),*],
            native: [$($native),*],
            x86_64: [$($x86_64),*],
            i386: [$($i386),*],
            aarch64: [$($aarch64),*],
            arm: [$($arm),*],
        };
        /// Each list is compared with linux-raw-sys, in a build for that processor.
        const _: () = $table.check();
    };
}

calls! {
    /// The filter of every seal.
    SEAL, SEAL_COUNT;
    __NR_add_key           => 248, 286, 217, 309, Always(Refuse);
    __NR_bpf               => 321, 357, 280, 386, Always(Refuse);
    __NR_clone             =>  56, 120, 220, 120, NewUser { flags: CLONE_FLAGS };
    __NR_clone3            => 435, 435, 435, 435, Always(Clone3);
    __NR_execve            =>  59,  11, 221,  11, Always(Execution);
    __NR_execveat          => 322, 358, 281, 387, Always(Execution);
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
    __NR_truncate          =>  76,  92,  45,  92, Always(Truncate);
    __NR_truncate64        =>  NO, 193,  NO, 193, Always(Truncate);
    __NR_unshare           => 272, 310,  97, 337, NewUser { flags: 0 };
    __NR_userfaultfd       => 323, 374, 282, 388, Always(Refuse);
}

calls! {
    /// The filter of `no_connect`.
    CONNECT, CONNECT_COUNT;
    __NR_connect    =>  42, 362, 203, 283, Always(Refuse);
    __NR_sendmmsg   => 307, 345, 269, 374, FastOpen { flags: 3 };
    __NR_sendmsg    =>  46, 370, 211, 296, FastOpen { flags: 2 };
    __NR_sendto     =>  44, 369, 206, 290, FastOpen { flags: 3 };
    __NR_socket     =>  41, 359, 198, 281, Always(Refuse);
    __NR_socketcall =>  NO, 102,  NO,  NO, SocketCall;
    __NR_socketpair =>  53, 360, 199, 288, Pairs;
}

/// An ABI, as in `seccomp_data`: the number of the machine in ELF, and the bits of `linux/audit.h`.
pub(crate) struct Abi {
    pub(crate) audit_arch: u32,
    pub(crate) processor: Processor,
}

/// The processor whose numbers an ABI has.
#[derive(Clone, Copy)]
#[allow(dead_code, reason = "each processor has one or two of them")]
pub(crate) enum Processor {
    Native,
    X86_64,
    I386,
    Aarch64,
    Arm,
}

const WIDE: u32 = 0x8000_0000;
const LITTLE_ENDIAN: u32 = 0x4000_0000;

/// The ABI of this build. The kernel calls aarch64 and ARM little-endian in either byte order.
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
    Abi { audit_arch: NATIVE_AUDIT_ARCH, processor: Processor::Native },
    #[cfg(target_arch = "x86_64")]
    Abi { audit_arch: 3 | LITTLE_ENDIAN, processor: Processor::I386 },
    #[cfg(target_arch = "x86")]
    Abi { audit_arch: 62 | WIDE | LITTLE_ENDIAN, processor: Processor::X86_64 },
    #[cfg(target_arch = "aarch64")]
    Abi { audit_arch: 40 | LITTLE_ENDIAN, processor: Processor::Arm },
    #[cfg(target_arch = "arm")]
    Abi { audit_arch: 183 | WIDE | LITTLE_ENDIAN, processor: Processor::Aarch64 },
];

#[allow(clippy::decimal_bitwise_operands, reason = "as above")]
pub(crate) const AUDIT_ARCH_X86_64: u32 = 62 | WIDE | LITTLE_ENDIAN;

/// The numbers of x32 have this bit, under the ABI of `x86_64`.
pub(crate) const X32: u32 = 0x4000_0000;

#[allow(clippy::indexing_slicing, reason = "at compile time")]
impl<const N: usize> Table<N> {
    const fn check(&self) {
        let known = match () {
            () if cfg!(target_arch = "x86_64") => self.x86_64,
            () if cfg!(target_arch = "x86") => self.i386,
            () if cfg!(target_arch = "aarch64") => self.aarch64,
            () if cfg!(target_arch = "arm") => self.arm,
            () => self.native,
        };
        let mut n = 0;
        while n < N {
            assert!(self.native[n] == known[n], "a number differs from that of linux-raw-sys");
            n += 1;
        }
    }

    /// Returns the rules in the order of the numbers.
    pub(crate) const fn sorted(&self, processor: Processor) -> [(u32, Rule); N] {
        let numbers = match processor {
            Processor::Native => self.native,
            Processor::X86_64 => self.x86_64,
            Processor::I386 => self.i386,
            Processor::Aarch64 => self.aarch64,
            Processor::Arm => self.arm,
        };
        let mut rules = [(0, self.rules[0]); N];
        let mut count = 0;
        while count < N {
            rules[count] = (numbers[count], self.rules[count]);
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

#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) const NATIVE_FOR_TESTS: u32 = NATIVE_AUDIT_ARCH;
#[cfg(all(test, target_arch = "x86_64"))]
#[allow(clippy::decimal_bitwise_operands, reason = "as above")]
pub(crate) const OTHER_FOR_TESTS: u32 = 3 | LITTLE_ENDIAN;
