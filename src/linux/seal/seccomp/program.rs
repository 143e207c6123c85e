//! The program, assembled at compile time. Its last instructions are the answers, some of which
//! depend on the seal.

use core::mem::offset_of;

use linux_raw_sys::general::{CLONE_NEWUSER, F_NOTIFY, F_SETSIG};
use linux_raw_sys::if_tun::{
    BPF_ABS, BPF_ALU, BPF_AND, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter,
    sock_fprog,
};
use linux_raw_sys::ioctl::{TIOCLINUX, TIOCSTI};
use linux_raw_sys::net::{AF_UNIX, SOCK_SEQPACKET, SOCK_STREAM, SYS_CONNECT, SYS_SOCKET, SYS_SOCKETPAIR};
use rustix::io::Errno;

use super::calls::{ABIS, AUDIT_ARCH_X86_64, Answer, CONNECT, Processor, Rule, SEAL, Table, X32};

// The layout of the structures, on every processor.
const _: () = {
    assert!(size_of::<sock_filter>() == 8 && offset_of!(sock_filter, k) == 4);
    assert!(size_of::<sock_fprog>() == 2 * size_of::<usize>() && offset_of!(sock_fprog, filter) == size_of::<usize>());
};

pub(crate) const ALLOW: u32 = 0x7fff_0000;
pub(crate) const REFUSE: u32 = errno(Errno::PERM);
/// With this errno a program tries another call, as the C library does without `clone3`.
pub(crate) const MISSING: u32 = errno(Errno::NOSYS);

const fn errno(errno: Errno) -> u32 {
    0x0005_0000 | errno.raw_os_error().unsigned_abs()
}

/// `ptrace` requests are not among the constants of linux-raw-sys without one more feature.
const PTRACE_TRACEME: u32 = 0;

/// What of a socket's type is the type, linux/net.h.
const SOCK_TYPE_MASK: u32 = 0xf;
const MSG_FASTOPEN: u32 = 0x2000_0000;

const MOST: usize = 192;

/// Assembles a program from its end, so that the target of each jump is known.
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

    /// Loads the word at this offset of `struct seccomp_data`.
    const fn load(&mut self, offset: u32) {
        self.put(BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
    }

    /// Loads the low 32 bits of an argument: the kernel ignores the rest of a pid, of a command of
    /// `ioctl` and of flags.
    const fn load_argument(&mut self, n: u32) {
        self.load(16 + 8 * n + if cfg!(target_endian = "big") { 4 } else { 0 });
    }

    /// Jumps to an answer if the test holds.
    const fn answer_if(&mut self, test: u32, k: u32, answer: Answer) {
        let to_answer = MOST - 1 - answer as usize - self.start;
        self.put(BPF_JMP | test | BPF_K, k, to_answer, 0);
    }

    const fn allow(&mut self) {
        self.put(BPF_RET | BPF_K, ALLOW, 0, 0);
    }

    /// Adds the rule of one call. The rules of other calls come after it.
    const fn rule(&mut self, (call, rule): (u32, Rule), processor: Processor) {
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
            Rule::Notifications => {
                self.allow();
                self.answer_if(BPF_JEQ, F_SETSIG, Answer::Refuse);
                self.answer_if(BPF_JEQ, F_NOTIFY, Answer::Refuse);
                self.load_argument(1);
            }
            Rule::Trace(others) => {
                self.answer_if(BPF_JGE, 0, others);
                self.answer_if(BPF_JEQ, PTRACE_TRACEME, Answer::Refuse);
                self.load_argument(0);
            }
            Rule::Pairs => {
                self.put(BPF_RET | BPF_K, REFUSE, 0, 0);
                self.answer_if(BPF_JEQ, SOCK_SEQPACKET, Answer::Allow);
                self.answer_if(BPF_JEQ, SOCK_STREAM, Answer::Allow);
                self.put(BPF_ALU | BPF_AND | BPF_K, SOCK_TYPE_MASK, 0, 0);
                self.load_argument(1);
                self.put(BPF_RET | BPF_K, REFUSE, 0, 0);
                self.put(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 1, 0);
                self.load_argument(0);
            }
            Rule::FastOpen { flags } => {
                self.allow();
                self.answer_if(BPF_JSET, MSG_FASTOPEN, Answer::Refuse);
                self.load_argument(flags);
            }
            Rule::SocketCall => {
                if let Processor::Native = processor {
                    self.allow();
                    self.answer_if(BPF_JEQ, SYS_SOCKET, Answer::Refuse);
                    self.answer_if(BPF_JEQ, SYS_CONNECT, Answer::Refuse);
                    self.answer_if(BPF_JEQ, SYS_SOCKETPAIR, Answer::Refuse);
                    self.load_argument(0);
                } else {
                    self.put(BPF_RET | BPF_K, REFUSE, 0, 0);
                }
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

    /// Adds the rules of an ABI, by number in groups of four. A group is skipped if the number is
    /// above it. The kernel tries all its calls when a filter is installed, and without groups that
    /// takes three times as long.
    const fn rules<const N: usize>(&mut self, table: &Table<N>, processor: Processor, is_x86_64: bool) {
        let rules = table.sorted(processor);
        let mut n = rules.len();
        while n > 0 {
            let (next, is_last) = (self.start, n == rules.len());
            self.allow();
            let first = (n - 1) / 4 * 4;
            let above = n;
            while n > first {
                n -= 1;
                self.rule(rules[n], processor);
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

#[allow(clippy::indexing_slicing, reason = "at compile time")]
const fn assemble<const N: usize>(table: &Table<N>, unknown: u32) -> Assembler {
    const NONE: sock_filter = sock_filter { code: 0, jt: 0, jf: 0, k: 0 };
    let mut program = Assembler { code: [NONE; MOST], start: MOST };
    // The answers, the last one first. `install` sets those that depend on the seal.
    program.put(BPF_RET | BPF_K, ALLOW, 0, 0);
    program.put(BPF_RET | BPF_K, REFUSE, 0, 0);
    program.put(BPF_RET | BPF_K, MISSING, 0, 0);
    let mut n = Answer::Ring as usize;
    while n <= Answer::Clone3 as usize {
        program.put(BPF_RET | BPF_K, REFUSE, 0, 0);
        n += 1;
    }
    // In an unknown ABI the calls would have other numbers.
    let mut starts = [0; 2];
    n = ABIS.len();
    while n > 0 {
        n -= 1;
        program.rules(table, ABIS[n].processor, ABIS[n].audit_arch == AUDIT_ARCH_X86_64);
        starts[n] = program.start;
    }
    program.put(BPF_RET | BPF_K, unknown, 0, 0);
    n = ABIS.len();
    while n > 0 {
        n -= 1;
        let to_rules = starts[n] - program.start;
        program.put(BPF_JMP | BPF_JEQ | BPF_K, ABIS[n].audit_arch, to_rules, 0);
    }
    program.load(4); // the ABI
    program
}

/// Takes the program out of the assembler.
#[allow(clippy::indexing_slicing, reason = "at compile time")]
const fn cut<const L: usize>(whole: &Assembler) -> [sock_filter; L] {
    let mut program = [whole.code[MOST - 1]; L];
    let mut n = 0;
    while n < L {
        program[n] = whole.code[whole.start + n];
        n += 1;
    }
    program
}

pub(crate) const LENGTH: usize = MOST - assemble(&SEAL, MISSING).start;

pub(crate) static PROGRAM: [sock_filter; LENGTH] = cut(&assemble(&SEAL, MISSING));

/// `CONNECT` allows unknown ABIs, because the filter of every seal already refuses them.
const CONNECT_LENGTH: usize = MOST - assemble(&CONNECT, ALLOW).start;

pub(crate) static NO_CONNECT: [sock_filter; CONNECT_LENGTH] = cut(&assemble(&CONNECT, ALLOW));

#[cfg(all(test, target_arch = "x86_64"))]
mod tests;
