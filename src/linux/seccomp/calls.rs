//! The calls that the filter knows: their numbers in each ABI, and which uses are refused.

use linux_raw_sys::general::{
    __NR_add_key, __NR_bpf, __NR_clone, __NR_clone3, __NR_io_uring_enter, __NR_io_uring_register, __NR_io_uring_setup,
    __NR_ioctl, __NR_keyctl, __NR_mq_open, __NR_mq_unlink, __NR_open_by_handle_at, __NR_perf_event_open,
    __NR_pidfd_getfd, __NR_prlimit64, __NR_process_vm_readv, __NR_process_vm_writev, __NR_ptrace, __NR_request_key,
    __NR_setns, __NR_unshare, __NR_userfaultfd,
};

use crate::elf::EM_CURRENT;

/// The last instructions of the program, counted from its end, to which the rules jump.
#[derive(Clone, Copy)]
pub(super) enum Answer {
    Allow,
    Refuse,
    Missing,
    // These depend on the seal.
    Ring,
    Tracing,
    UserNamespace,
    Clone3,
}

/// The numbers of the calls that are filtered, in one ABI.
#[derive(Clone, Copy)]
pub(super) struct Calls {
    add_key: u32,
    bpf: u32,
    clone: u32,
    clone3: u32,
    io_uring: [u32; 3],
    ioctl: u32,
    keyctl: u32,
    mq_open: u32,
    mq_unlink: u32,
    open_by_handle_at: u32,
    perf_event_open: u32,
    pidfd_getfd: u32,
    prlimit64: u32,
    process_vm_readv: u32,
    process_vm_writev: u32,
    ptrace: u32,
    request_key: u32,
    setns: u32,
    unshare: u32,
    userfaultfd: u32,
}

const NATIVE: Calls = Calls {
    add_key: __NR_add_key,
    bpf: __NR_bpf,
    clone: __NR_clone,
    clone3: __NR_clone3,
    io_uring: [__NR_io_uring_setup, __NR_io_uring_enter, __NR_io_uring_register],
    ioctl: __NR_ioctl,
    keyctl: __NR_keyctl,
    mq_open: __NR_mq_open,
    mq_unlink: __NR_mq_unlink,
    open_by_handle_at: __NR_open_by_handle_at,
    perf_event_open: __NR_perf_event_open,
    pidfd_getfd: __NR_pidfd_getfd,
    prlimit64: __NR_prlimit64,
    process_vm_readv: __NR_process_vm_readv,
    process_vm_writev: __NR_process_vm_writev,
    ptrace: __NR_ptrace,
    request_key: __NR_request_key,
    setns: __NR_setns,
    unshare: __NR_unshare,
    userfaultfd: __NR_userfaultfd,
};

/// The other ABI of a 64-bit kernel that also runs 32-bit programs. Both are filtered.
const X86_64: Calls = Calls {
    add_key: 248,
    bpf: 321,
    clone: 56,
    clone3: 435,
    io_uring: [425, 426, 427],
    ioctl: 16,
    keyctl: 250,
    mq_open: 240,
    mq_unlink: 241,
    open_by_handle_at: 304,
    perf_event_open: 298,
    pidfd_getfd: 438,
    prlimit64: 302,
    process_vm_readv: 310,
    process_vm_writev: 311,
    ptrace: 101,
    request_key: 249,
    setns: 308,
    unshare: 272,
    userfaultfd: 323,
};
#[allow(dead_code, reason = "rustc 1.85 does not count the comparison below")]
const I386: Calls = Calls {
    add_key: 286,
    bpf: 357,
    clone: 120,
    ioctl: 54,
    keyctl: 288,
    mq_open: 277,
    mq_unlink: 278,
    open_by_handle_at: 342,
    perf_event_open: 336,
    prlimit64: 340,
    process_vm_readv: 347,
    process_vm_writev: 348,
    ptrace: 26,
    request_key: 287,
    setns: 346,
    unshare: 310,
    userfaultfd: 374,
    ..X86_64 // from 424 on all have the same number
};
#[allow(dead_code, reason = "as above")]
const AARCH64: Calls = Calls {
    add_key: 217,
    bpf: 280,
    clone: 220,
    ioctl: 29,
    keyctl: 219,
    mq_open: 180,
    mq_unlink: 181,
    open_by_handle_at: 265,
    perf_event_open: 241,
    prlimit64: 261,
    process_vm_readv: 270,
    process_vm_writev: 271,
    ptrace: 117,
    request_key: 218,
    setns: 268,
    unshare: 97,
    userfaultfd: 282,
    ..X86_64
};
#[allow(dead_code, reason = "as above")]
const ARM: Calls = Calls {
    add_key: 309,
    bpf: 386,
    clone: 120,
    ioctl: 54,
    keyctl: 311,
    mq_open: 274,
    mq_unlink: 275,
    open_by_handle_at: 371,
    perf_event_open: 364,
    prlimit64: 369,
    process_vm_readv: 376,
    process_vm_writev: 377,
    ptrace: 26,
    request_key: 310,
    setns: 375,
    unshare: 337,
    userfaultfd: 388,
    ..X86_64
};

/// Each list is compared with linux-raw-sys, in a build for that processor.
const _: () = {
    assert!(!cfg!(target_arch = "x86_64") || NATIVE.are(X86_64));
    assert!(!cfg!(target_arch = "x86") || NATIVE.are(I386));
    assert!(!cfg!(target_arch = "aarch64") || NATIVE.are(AARCH64));
    assert!(!cfg!(target_arch = "arm") || NATIVE.are(ARM));
};

/// An ABI, as in `seccomp_data`: the number of the machine in ELF, and the bits of `linux/audit.h`.
pub(super) struct Abi {
    pub(super) audit_arch: u32,
    pub(super) calls: Calls,
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
pub(super) const ABIS: &[Abi] = &[
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
pub(super) const AUDIT_ARCH_X86_64: u32 = 62 | WIDE | LITTLE_ENDIAN;

/// The numbers of x32 have this bit, under the ABI of `x86_64`.
pub(super) const X32: u32 = 0x4000_0000;

/// How many calls have a rule.
const COUNT: usize = 22;

/// Which uses of a call are refused.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    Always(Answer),
    /// `ioctl` commands that type into a terminal.
    Terminals,
    /// `prlimit64` with a pid other than 0, which is the caller.
    OtherProcesses,
    /// A new user namespace, in the argument with this number.
    NewUser {
        flags: u32,
    },
}

#[allow(clippy::indexing_slicing, reason = "at compile time")]
impl Calls {
    #[allow(dead_code, reason = "as above")]
    const fn are(self, others: Calls) -> bool {
        let (ours, theirs) = (self.rules(), others.rules());
        let mut n = 0;
        while n < ours.len() && ours[n].0 == theirs[n].0 {
            n += 1;
        }
        n == ours.len()
    }

    /// The refused uses, in the order of the numbers.
    pub(super) const fn rules(self) -> [(u32, Rule); COUNT] {
        let clone_flags = if cfg!(target_arch = "s390x") { 1 } else { 0 };
        let refuse = Rule::Always(Answer::Refuse);
        let mut rules = [
            (self.add_key, refuse),
            (self.bpf, refuse),
            (self.clone, Rule::NewUser { flags: clone_flags }),
            (self.clone3, Rule::Always(Answer::Clone3)),
            (self.io_uring[0], Rule::Always(Answer::Ring)),
            (self.io_uring[1], Rule::Always(Answer::Ring)),
            (self.io_uring[2], Rule::Always(Answer::Ring)),
            (self.ioctl, Rule::Terminals),
            (self.keyctl, refuse),
            (self.mq_open, refuse),
            (self.mq_unlink, refuse),
            (self.open_by_handle_at, refuse),
            (self.perf_event_open, refuse),
            (self.pidfd_getfd, Rule::Always(Answer::Tracing)),
            (self.prlimit64, Rule::OtherProcesses),
            (self.process_vm_readv, Rule::Always(Answer::Tracing)),
            (self.process_vm_writev, Rule::Always(Answer::Tracing)),
            (self.ptrace, Rule::Always(Answer::Tracing)),
            (self.request_key, refuse),
            (self.setns, refuse),
            (self.unshare, Rule::NewUser { flags: 0 }),
            (self.userfaultfd, refuse),
        ];
        let mut sorted = 1;
        while sorted < rules.len() {
            let mut n = sorted;
            while n > 0 && rules[n - 1].0 > rules[n].0 {
                rules.swap(n - 1, n);
                n -= 1;
            }
            sorted += 1;
        }
        rules
    }
}
