//! The seccomp filter of a seal: system calls that lead out of a jail, or into other processes, in spite of dropped capabilities and
//! Landlock (Linux).
//!
//! The program is assembled at compile time. Its last instructions are the answers, some of which depend on the seal.
#![allow(unsafe_code, reason = "a call that rustix does not have")]

use linux_raw_sys::general::{
    __NR_add_key, __NR_bpf, __NR_clone, __NR_clone3, __NR_io_uring_enter, __NR_io_uring_register, __NR_io_uring_setup,
    __NR_ioctl, __NR_keyctl, __NR_mq_open, __NR_mq_unlink, __NR_open_by_handle_at, __NR_perf_event_open,
    __NR_pidfd_getfd, __NR_prlimit64, __NR_process_vm_readv, __NR_process_vm_writev, __NR_ptrace, __NR_request_key,
    __NR_seccomp, __NR_setns, __NR_unshare, __NR_userfaultfd, CLONE_NEWUSER,
};
use linux_raw_sys::if_tun::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter, sock_fprog,
};
use linux_raw_sys::ioctl::{TIOCLINUX, TIOCSTI};
use rustix::io::Errno;

use crate::error::Fault;
use crate::kernel::libc::call;

/// What a filter leaves.
#[derive(Clone, Copy)]
pub(super) struct Leave {
    /// `io_uring`.
    pub(super) rings: bool,
    /// `ptrace` and its like, which Landlock holds back more precisely.
    pub(super) tracing: bool,
    /// New user namespaces, which the kernel refuses to every process in a chroot.
    pub(super) user_namespaces: bool,
}

/// The numbers of the calls that are filtered, in one ABI.
#[derive(Clone, Copy)]
struct Calls {
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

/// Of a 64-bit kernel that also runs 32-bit programs, the ABIs are filtered both: here is the one that this program is not built for.
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

/// Each list that is written out here is compared with linux-raw-sys where the crate is built for it.
const _: () = {
    assert!(!cfg!(target_arch = "x86_64") || NATIVE.are(X86_64));
    assert!(!cfg!(target_arch = "x86") || NATIVE.are(I386));
    assert!(!cfg!(target_arch = "aarch64") || NATIVE.are(AARCH64));
    assert!(!cfg!(target_arch = "arm") || NATIVE.are(ARM));
};

/// An ABI, as `seccomp_data` tells it: the machine's number in ELF, and the bits of `linux/audit.h`.
struct Abi {
    audit_arch: u32,
    calls: Calls,
}

const WIDE: u32 = 0x8000_0000;
const LITTLE_ENDIAN: u32 = 0x4000_0000;

#[allow(clippy::panic, reason = "at compile time")]
const fn native_audit_arch() -> u32 {
    let machine = if cfg!(target_arch = "x86_64") {
        62
    } else if cfg!(target_arch = "x86") {
        3
    } else if cfg!(target_arch = "aarch64") {
        183
    } else if cfg!(target_arch = "arm") {
        40
    } else if cfg!(any(target_arch = "riscv32", target_arch = "riscv64")) {
        243
    } else if cfg!(any(
        target_arch = "mips",
        target_arch = "mips64",
        target_arch = "mips32r6",
        target_arch = "mips64r6"
    )) {
        8
    } else if cfg!(target_arch = "powerpc") {
        20
    } else if cfg!(target_arch = "powerpc64") {
        21
    } else if cfg!(target_arch = "s390x") {
        22
    } else if cfg!(target_arch = "loongarch64") {
        258
    } else if cfg!(target_arch = "sparc64") {
        43
    } else {
        panic!("the number of this machine in ELF, EM_ in linux/elf-em.h, has to be added")
    };
    machine
        | if cfg!(target_pointer_width = "64") { WIDE } else { 0 }
        | if cfg!(target_endian = "little") { LITTLE_ENDIAN } else { 0 }
}

#[allow(clippy::decimal_bitwise_operands, reason = "the numbers of the machines are written so")]
const ABIS: &[Abi] = &[
    Abi { audit_arch: native_audit_arch(), calls: NATIVE },
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
const AUDIT_ARCH_X86_64: u32 = 62 | WIDE | LITTLE_ENDIAN;

/// The numbers of x32 have this bit, under the ABI of `x86_64`.
const X32: u32 = 0x4000_0000;

/// The last instructions of the program, from the end on: what a rule leads to.
#[derive(Clone, Copy)]
enum Answer {
    Allow,
    Refuse,
    Missing,
    // These depend on the seal.
    Ring,
    Tracing,
    UserNamespace,
    Clone3,
}

const ALLOW: u32 = 0x7fff_0000;
const REFUSE: u32 = errno(Errno::PERM);
/// So that a program looks for another way, as the C library does without `clone3`.
const MISSING: u32 = errno(Errno::NOSYS);

const fn errno(errno: Errno) -> u32 {
    0x0005_0000 | errno.raw_os_error().unsigned_abs()
}

/// How many calls have a rule.
const COUNT: usize = 22;

const MOST: usize = 160;

/// Puts a program together from its end, so that every place that a jump leads to is known.
struct Assembler {
    code: [sock_filter; MOST],
    start: usize,
}

#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "at compile time")]
impl Assembler {
    const fn put(&mut self, code: u32, k: u32, jt: usize, jf: usize) {
        self.start -= 1;
        assert!(jt < 256 && jf < 256);
        self.code[self.start] = sock_filter { code: code as u16, jt: jt as u8, jf: jf as u8, k };
    }

    /// Loads the word at this place of `struct seccomp_data`.
    const fn load(&mut self, offset: u32) {
        self.put(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
    }

    /// The low 32 bits of an argument: the kernel takes no more of a pid, of a command of `ioctl` and of flags.
    const fn load_argument(&mut self, n: u32) {
        self.load(16 + 8 * n + if cfg!(target_endian = "big") { 4 } else { 0 });
    }

    /// Leads to an answer where the test holds.
    const fn answer_if(&mut self, test: u32, k: u32, answer: Answer) {
        let to_answer = MOST - 1 - answer as usize - self.start;
        self.put(BPF_JMP | test | BPF_K, k, to_answer, 0);
    }

    const fn allow(&mut self) {
        self.put(BPF_RET | BPF_K, ALLOW, 0, 0);
    }

    /// The rule of one call; what comes after it is for the others.
    const fn rule(&mut self, (call, rule): (u32, Rule)) {
        let end = self.start;
        match rule {
            Rule::Always(answer) => return self.answer_if(BPF_JEQ, call, answer),
            Rule::Terminals => {
                self.allow();
                self.answer_if(BPF_JEQ, TIOCSTI, Answer::Refuse);
                self.answer_if(BPF_JEQ, TIOCLINUX, Answer::Refuse);
                self.load_argument(1);
            }
            Rule::OtherProcesses => {
                self.put(BPF_RET | BPF_K, REFUSE, 0, 0);
                self.answer_if(BPF_JEQ, 0, Answer::Allow);
                self.load_argument(0);
            }
            Rule::NewUser { flags } => {
                self.allow();
                self.answer_if(BPF_JSET, CLONE_NEWUSER, Answer::UserNamespace);
                self.load_argument(flags);
            }
        }
        let others = end - self.start;
        self.put(BPF_JMP | BPF_JEQ | BPF_K, call, 0, others);
    }

    /// The rules of an ABI, by number in groups of four, each of which is passed over if the number is above it: the kernel tries all
    /// its calls when a filter is installed, and a list without groups takes three times as long.
    const fn rules(&mut self, calls: Calls, is_x86_64: bool) {
        let rules = calls.rules();
        let mut n = rules.len();
        while n > 0 {
            let (next, is_last) = (self.start, n == rules.len());
            self.allow();
            let first = (n - 1) / 4 * 4;
            let above = n;
            while n > first {
                n -= 1;
                self.rule(rules[n]);
            }
            if !is_last {
                let to_next = next - self.start;
                self.put(BPF_JMP | BPF_JGE | BPF_K, rules[above].0, to_next, 0);
            }
        }
        if is_x86_64 {
            self.answer_if(BPF_JGE, X32, Answer::Missing);
        }
        self.load(0); // the number of the call
    }
}

/// What is refused of a call.
#[derive(Clone, Copy)]
enum Rule {
    Always(Answer),
    /// `ioctl`: what types into a terminal.
    Terminals,
    /// `prlimit64`: of any process but oneself, which is 0.
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

    /// What is refused, in the order of the numbers.
    const fn rules(self) -> [(u32, Rule); COUNT] {
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

#[allow(clippy::indexing_slicing, reason = "at compile time")]
const fn assemble() -> Assembler {
    const NONE: sock_filter = sock_filter { code: 0, jt: 0, jf: 0, k: 0 };
    let mut program = Assembler { code: [NONE; MOST], start: MOST };
    // The answers, the last one first: `fill_in` gives those that depend on the seal what they say.
    program.put(BPF_RET | BPF_K, ALLOW, 0, 0);
    program.put(BPF_RET | BPF_K, REFUSE, 0, 0);
    program.put(BPF_RET | BPF_K, MISSING, 0, 0);
    let mut n = Answer::Ring as usize;
    while n <= Answer::Clone3 as usize {
        program.put(BPF_RET | BPF_K, REFUSE, 0, 0);
        n += 1;
    }
    // An ABI that is not known would give the calls other numbers.
    let mut starts = [0; 2];
    n = ABIS.len();
    while n > 0 {
        n -= 1;
        program.rules(ABIS[n].calls, ABIS[n].audit_arch == AUDIT_ARCH_X86_64);
        starts[n] = program.start;
    }
    program.put(BPF_RET | BPF_K, MISSING, 0, 0);
    n = ABIS.len();
    while n > 0 {
        n -= 1;
        let to_rules = starts[n] - program.start;
        program.put(BPF_JMP | BPF_JEQ | BPF_K, ABIS[n].audit_arch, to_rules, 0);
    }
    program.load(4); // the ABI
    program
}

const LENGTH: usize = MOST - assemble().start;

#[allow(clippy::indexing_slicing, reason = "at compile time")]
static PROGRAM: [sock_filter; LENGTH] = {
    let whole = assemble();
    let mut program = [whole.code[MOST - 1]; LENGTH];
    let mut n = 0;
    while n < LENGTH {
        program[n] = whole.code[whole.start + n];
        n += 1;
    }
    program
};

/// Whether the kernel has filters of this kind, asked without an effect.
pub(super) fn is_available() -> bool {
    const SECCOMP_GET_ACTION_AVAIL: usize = 2;
    let action = REFUSE & 0xffff_0000;
    // SAFETY: the call reads one word.
    unsafe { call(__NR_seccomp, [SECCOMP_GET_ACTION_AVAIL, 0, &raw const action as usize, 0]) }.is_ok()
}

/// Installs the filter, for good. Needs `no_new_privs`. Returns false if the kernel has no filters, or an outer filter refuses another.
pub(super) fn install(leave: Leave) -> Result<bool, Fault> {
    const SECCOMP_SET_MODE_FILTER: usize = 1;
    /// Without it, kernels before 5.16 slow the whole program down, against attacks on its speculation (Linux 4.17).
    const SECCOMP_FILTER_FLAG_SPEC_ALLOW: usize = 4;
    let mut code = PROGRAM;
    for (answer, left, refused) in [
        (Answer::Ring, leave.rings, REFUSE),
        (Answer::Tracing, leave.tracing, REFUSE),
        (Answer::UserNamespace, leave.user_namespaces, REFUSE),
        (Answer::Clone3, leave.user_namespaces, MISSING),
    ] {
        if let Some(instruction) = code.get_mut(LENGTH - 1 - answer as usize) {
            instruction.k = if left { ALLOW } else { refused };
        }
    }
    #[allow(clippy::cast_possible_truncation, reason = "it is not that long")]
    let program = sock_fprog { len: LENGTH as u16, filter: code.as_mut_ptr() };
    // SAFETY: the call reads the program and all its instructions, and keeps no pointer.
    let set = |flags| unsafe { call(__NR_seccomp, [SECCOMP_SET_MODE_FILTER, flags, &raw const program as usize, 0]) };
    match set(SECCOMP_FILTER_FLAG_SPEC_ALLOW).or_else(|_| set(0)) {
        Ok(_) => Ok(true),
        Err(Errno::NOSYS | Errno::INVAL | Errno::PERM | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Checks that a call that the filter refuses is refused, by one that could do nothing.
pub(super) fn verify() -> Result<(), Fault> {
    // SAFETY: there is no descriptor -1, so the call has no effect.
    match unsafe { call(__NR_setns, [usize::MAX, 0, 0, 0]) } {
        Err(Errno::PERM) => Ok(()),
        Ok(_) | Err(_) => Err(Fault::NoFilter),
    }
}
