//! `run_as`, `seal` and `verify`: what they give away, what they keep, what they refuse before
//! anything has changed.

use std::fs;

use crate::common::*;
use autochroot::{
    Capabilities, Cause, Error, IdMap, Jail, Jailed, Protection, Seal, Sealed, SessionKeyring, Step, UserNamespace,
};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, capabilities, capabilities_secure_bits, capability_is_in_bounding_set, no_new_privs,
};

fn bounding() -> u64 {
    (0..64)
        .filter(|n| capability_is_in_bounding_set(CapabilitySet::from_bits_retain(1 << n)) == Ok(true))
        .map(|n| 1 << n)
        .sum()
}

fn ambient() -> u64 {
    let is_set =
        |n: libc::c_ulong| unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_IS_SET, n, 0, 0) } == 1;
    (0..41).filter(|n| is_set(*n)).map(|n| 1_u64 << n).sum()
}

/// All that a sealed process may not hold.
fn assert_powerless(sealed: &Sealed) {
    assert_eq!((held(), ambient()), (0, 0));
    assert!(no_new_privs().unwrap());
    assert_eq!(sealed.capabilities(), Capabilities::NONE);
    assert_eq!(sealed.bounding_set_empty(), bounding() == 0);
    assert_eq!(sealed.securebits_locked(), capabilities_secure_bits().unwrap().bits() == 0xef);
    assert_eq!(sealed.landlock(), landlock_abi());
    assert!(sealed.has(Protection::Seccomp) && is_filtered());
    assert_eq!(sealed.session_keyring(), SessionKeyring::Own);
}

/// Returns whether a call that the filter refuses, and that could do nothing, is refused.
fn is_filtered() -> bool {
    unsafe { libc::setns(-1, 0) };
    std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

#[test]
fn a_seal_takes_every_layer_that_it_can() {
    own_process!();
    as_each_user(|user| {
        let sealed = Jail::auto().enter().unwrap().seal().unwrap();
        assert_powerless(&sealed);
        // In a user namespace that takes a capability that enter does not leave.
        assert_eq!((sealed.bounding_set_empty(), sealed.securebits_locked()), (user == User::Root, user == User::Root));
    });
    as_each_user(|_| {
        let sealed = Jail::auto().empty_bounding_set().enter().unwrap().seal().unwrap();
        assert_powerless(&sealed);
        assert!(sealed.bounding_set_empty() && sealed.securebits_locked());
    });
}

#[test]
fn a_kernel_without_landlock_is_reported_or_an_error_if_landlock_is_required() {
    own_process!();
    as_each_user(|_| {
        fake(libc::SYS_landlock_create_ruleset, Errno::NOSYS);
        let sealed = Jail::auto().enter().unwrap().seal().unwrap();
        assert_eq!((sealed.landlock(), held()), (None, 0));
        // It is not the kernel that lacks it.
        assert_eq!(sealed.cause(Protection::Landlock), Some(Cause::SeccompPerhaps));
    });
    // A filter that only refuses the rules.
    as_each_user(|_| {
        fake(libc::SYS_landlock_add_rule, Errno::PERM);
        let sealed = Jail::auto().enter().unwrap().seal().unwrap();
        assert_eq!(sealed.landlock(), None);
    });
    as_each_user(|_| {
        fake(libc::SYS_landlock_create_ruleset, Errno::OPNOTSUPP);
        let jailed = Jail::auto().enter().unwrap();
        let before = (held(), bounding());
        let error = jailed.seal_with(Seal::new().require(Protection::Landlock)).unwrap_err();
        assert_eq!(error.step(), Step::Require);
        assert!(!error.to_string().contains("privileges"), "{error}");
        assert_eq!((held(), bounding()), before);
        assert_eq!(error.known_cause(), Some(Cause::LandlockDisabled));
    });
    as_each_user(|_| {
        fake(libc::SYS_landlock_create_ruleset, Errno::NOSYS);
        assert_eq!(Protection::Landlock.cause(), Some(Cause::NoLandlock));
    });
}

/// Every kernel knows `CAP_CHOWN`. A filter that denies it must not make the set look empty.
#[test]
fn an_unknown_capability_does_not_end_the_bounding_set_too_early() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let jailed = Jail::auto().enter().unwrap();
        fake_where(libc::SYS_prctl, Some(libc::PR_CAPBSET_READ.unsigned_abs()), libc::EINVAL.unsigned_abs());
        fake_where(libc::SYS_prctl, Some(libc::PR_CAPBSET_DROP.unsigned_abs()), libc::EINVAL.unsigned_abs());
        let error = jailed.seal().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::BoundingSet, Some(libc::EINVAL)));
    });
}

#[test]
fn denials_are_logged_where_the_kernel_can_and_if_they_are_to_be() {
    own_process!();
    as_each_user(|_| {
        let jailed = Jail::auto().enter().unwrap();
        // The flag LANDLOCK_RESTRICT_SELF_LOG_NEW_EXEC_ON.
        filter_second_argument(libc::SYS_landlock_restrict_self, 2, Errno::DOM);
        let before = (held(), bounding(), no_new_privs());
        let error = jailed.seal_with(Seal::new().log_denials()).unwrap_err();
        if landlock_abi() >= Some(7) {
            assert_eq!((error.step(), error.raw_os_error()), (Step::Restrict, Some(libc::EDOM)));
        } else {
            assert_eq!((error.step(), error.raw_os_error()), (Step::Ruleset, None));
            assert!(error.to_string().contains("denials are logged from Linux 6.15 on, by Landlock"), "{error}");
            assert_eq!((held(), bounding(), no_new_privs()), before);
        }
    });
    as_each_user(|_| {
        filter_second_argument(libc::SYS_landlock_restrict_self, 2, Errno::DOM);
        let sealed = Jail::auto().enter().unwrap().seal().unwrap();
        assert_eq!(sealed.landlock(), landlock_abi());
    });
}

type Args = [usize; 4];

/// What a system call says: 0 or an errno.
fn errno_of(number: libc::c_long, args: Args) -> i32 {
    let [a, b, c, d] = args;
    match unsafe { libc::syscall(number, a, b, c, d, 0_usize, 0_usize) } {
        -1 => std::io::Error::last_os_error().raw_os_error().unwrap(),
        _ => 0,
    }
}

const BAD: usize = usize::MAX;

/// The calls that the filter refuses, each so that it could do nothing.
const REFUSED: &[(libc::c_long, Args)] = &[
    (libc::SYS_setns, [BAD, 0, 0, 0]),
    (libc::SYS_open_by_handle_at, [BAD, 0, 0, 0]),
    (libc::SYS_mq_open, [0; 4]),
    (libc::SYS_mq_unlink, [0; 4]),
    (libc::SYS_add_key, [0; 4]),
    (libc::SYS_keyctl, [BAD, 0, 0, 0]),
    (libc::SYS_request_key, [0; 4]),
    (libc::SYS_bpf, [BAD, 0, 0, 0]),
    (libc::SYS_perf_event_open, [0; 4]),
    (libc::SYS_userfaultfd, [BAD, 0, 0, 0]),
    (libc::SYS_prlimit64, [1, 0, 0, 0]),
    // Only the low 32 bits of a pid and of a command count for the kernel.
    #[cfg(target_pointer_width = "64")]
    (libc::SYS_prlimit64, [1 | 1 << 32, 0, 0, 0]),
    #[cfg(target_pointer_width = "32")]
    (libc::SYS_prlimit64, [2, 0, 0, 0]),
    // Signals to whoever owns a descriptor, and names of new files in a directory.
    (FCNTL, [BAD, F_SETSIG, 15, 0]),
    (FCNTL, [BAD, F_NOTIFY, 0, 0]),
    #[cfg(target_pointer_width = "64")]
    (FCNTL, [BAD, F_SETSIG | 1 << 32, 15, 0]),
    (libc::SYS_fanotify_init, [BAD, 0, 0, 0]),
    (libc::SYS_syslog, [BAD, 0, 0, 0]),
    (libc::SYS_ptrace, [0; 4]),
    (libc::SYS_ioctl, [BAD, TYPING[0], 0, 0]),
    (libc::SYS_ioctl, [BAD, TYPING[1], 0, 0]),
];
#[cfg(target_pointer_width = "64")]
const FCNTL: libc::c_long = libc::SYS_fcntl;
#[cfg(target_pointer_width = "32")]
const FCNTL: libc::c_long = libc::SYS_fcntl64;
const F_SETSIG: usize = 10;
const F_NOTIFY: usize = 1026;
/// TIOCSTI and TIOCLINUX, commands that type into a terminal.
const TYPING: [usize; 2] = if cfg!(target_arch = "mips") { [0x5472, 0x5483] } else { [0x5412, 0x541c] };
const RINGS: [(libc::c_long, Args); 3] = [
    (libc::SYS_io_uring_setup, [0; 4]),
    (libc::SYS_io_uring_enter, [BAD, 0, 0, 0]),
    (libc::SYS_io_uring_register, [BAD, BAD, 0, 0]),
];
const TRACING: [(libc::c_long, Args); 4] = [
    (libc::SYS_ptrace, [BAD, BAD, 0, 0]),
    (libc::SYS_process_vm_readv, [0, 0, 0, 0]),
    (libc::SYS_process_vm_writev, [0, 0, 0, 0]),
    (libc::SYS_pidfd_getfd, [BAD, 0, 0, 0]),
];

#[track_caller]
fn assert_refused(calls: &[(libc::c_long, Args)], refused: bool) {
    for (number, args) in calls {
        assert_eq!(errno_of(*number, *args) == libc::EPERM, refused, "{number} {args:?}: {}", errno_of(*number, *args));
    }
}

#[test]
fn the_filter_refuses_what_it_should_and_nothing_else() {
    own_process!();
    // Without it, none of them says EPERM for such arguments.
    as_user(plain(), || assert_refused(&[&RINGS[1..2], &TRACING[3..]].concat(), false));
    for run_as in [false, true] {
        as_each_user(|user| {
            let mut jailed = Jail::auto().enter().unwrap();
            if run_as && user == User::Root {
                jailed = jailed.run_as(&account(7, 8, &[])).unwrap();
            }
            let sealed = jailed.seal().unwrap();
            assert!(sealed.has(Protection::Seccomp));
            assert_refused(REFUSED, true);
            assert_refused(&RINGS, true);
            #[cfg(target_pointer_width = "64")]
            for command in TYPING {
                assert_eq!(errno_of(libc::SYS_ioctl, [BAD, command | 1 << 32, 0, 0]), libc::EPERM);
            }
            // Landlock holds tracing back, but for processes in the same jail.
            assert_refused(&TRACING, landlock_abi().is_none());
            let mut limit = [0_u64; 2];
            let own = errno_of(libc::SYS_prlimit64, [0, 7, 0, limit.as_mut_ptr() as usize]);
            // What nginx does to its channels.
            let (channel, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
            let fd = std::os::fd::AsRawFd::as_raw_fd(&channel);
            let mut on = 1;
            unsafe {
                libc::signal(libc::SIGIO, libc::SIG_IGN);
                assert_eq!(libc::ioctl(fd, libc::FIOASYNC as _, &raw mut on), 0);
                assert_eq!(libc::fcntl(fd, libc::F_SETOWN, libc::getpid()), 0);
                assert_eq!(libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK | libc::O_ASYNC), 0);
            }
            let other_command = errno_of(libc::SYS_ioctl, [0, 0x5401, limit.as_mut_ptr() as usize, 0]);
            assert!(own == 0 && other_command != libc::EPERM);
            // The rest of a program's life: threads, forks, pipes, sockets, memory files.
            std::thread::spawn(|| ()).join().unwrap();
            std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            assert!(unsafe { libc::memfd_create(c"".as_ptr(), 0) } >= 0);
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                // It is inherited.
                unsafe { libc::_exit(i32::from(!is_filtered())) };
            }
            assert_eq!(exit_status(pid), 0);
        });
    }
}

/// The other ABIs of the same kernel have other numbers for the calls.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_filter_knows_the_calls_of_32_bit_programs() {
    own_process!();
    /// With the number and arguments of i386; what it returns is the negative errno.
    fn call_i386(number: u32, a: u32, b: u32) -> i32 {
        let mut result = number;
        // SAFETY: the calls below do nothing.
        unsafe {
            std::arch::asm!("push rbx", "mov ebx, {a:e}", "int 0x80", "pop rbx", a = in(reg) a,
                inout("eax") result, in("ecx") b, in("edx") 0, in("esi") 0, in("edi") 0,
                out("r8") _, out("r9") _, out("r10") _, out("r11") _);
        }
        result.cast_signed()
    }
    as_each_user(|_| {
        let getpid = call_i386(20, 0, 0);
        if getpid == -libc::ENOSYS {
            return skipped("the kernel has no 32-bit programs");
        }
        let refused = [
            (346, u32::MAX),
            (342, u32::MAX),
            (277, 0),
            (278, 0),
            (286, 0),
            (288, u32::MAX),
            (287, 0),
            (357, u32::MAX),
            (336, 0),
            (374, u32::MAX),
            (340, 1),
            (425, 0),
            (426, u32::MAX),
            (427, u32::MAX),
            (338, u32::MAX),
            (103, u32::MAX),
            (26, 0),
        ];
        let _sealed = Jail::auto().enter().unwrap().seal().unwrap();
        for (number, a) in refused {
            assert_eq!(call_i386(number, a, 0), -libc::EPERM, "{number}");
        }
        // execve and execveat of nothing.
        assert_eq!([11, 358].map(|number| call_i386(number, 0, 0)), [-libc::EPERM; 2]);
        for fcntl in [55, 221] {
            let answers = [10, 1026, 1].map(|command| call_i386(fcntl, u32::MAX, command));
            assert_eq!(answers, [-libc::EPERM, -libc::EPERM, -libc::EBADF], "{fcntl}");
        }
        assert_eq!((call_i386(54, u32::MAX, 0x5412), call_i386(54, u32::MAX, 0x5401)), (-libc::EPERM, -libc::EBADF));
        assert_eq!(call_i386(20, 0, 0), getpid);
        // x32: where the kernel has it, the number has another bit.
        assert_eq!(errno_of(libc::SYS_getpid | 1 << 30, [0; 4]), libc::ENOSYS);
        assert_eq!(errno_of(libc::SYS_setns | 1 << 30, [BAD, 0, 0, 0]), libc::ENOSYS);
    });
    as_each_user(|_| {
        if call_i386(20, 0, 0) == -libc::ENOSYS {
            return;
        }
        let _sealed = Jail::auto().enter().unwrap().seal_with(Seal::new().no_connect()).unwrap();
        // socket, connect, socketpair of the Internet, and all of socketcall.
        for (number, a) in [(359, 2), (362, u32::MAX), (360, 2), (102, 1), (102, 2), (102, 9), (102, 16)] {
            assert_eq!(call_i386(number, a, 1), -libc::EPERM, "{number} {a}");
        }
        assert!(call_i386(20, 0, 0) > 0);
    });
}

#[test]
fn rings_are_left_if_allowed_and_tracing_is_refused_without_landlock() {
    own_process!();
    as_each_user(|_| {
        let _sealed = Jail::auto().enter().unwrap().seal_with(Seal::new().allow_io_uring()).unwrap();
        assert_refused(&RINGS, false);
        assert_refused(REFUSED, true);
    });
    as_each_user(|_| {
        fake(libc::SYS_landlock_create_ruleset, Errno::NOSYS);
        let _sealed = Jail::auto().enter().unwrap().seal().unwrap();
        assert_refused(&TRACING, true);
    });
}

/// Without a chroot the kernel would make one, with all capabilities in it.
#[test]
fn a_seal_without_a_jail_refuses_new_user_namespaces() {
    own_process!();
    const NEWUSER: usize = libc::CLONE_NEWUSER as usize;
    as_each_user(|_| {
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            unsafe { libc::_exit(i32::from(errno_of(libc::SYS_unshare, [NEWUSER, 0, 0, 0]) != 0)) };
        }
        assert_eq!(exit_status(pid), 0, "without a seal it can");
        let _sealed = Jail::unjailed().enter().unwrap().seal().unwrap();
        assert_eq!(errno_of(libc::SYS_unshare, [NEWUSER, 0, 0, 0]), libc::EPERM);
        let flags = NEWUSER | libc::SIGCHLD as usize;
        let args = if cfg!(target_arch = "s390x") { [0, flags, 0, 0] } else { [flags, 0, 0, 0] };
        assert_eq!(errno_of(libc::SYS_clone, args), libc::EPERM);
        assert_eq!(errno_of(libc::SYS_clone3, [0; 4]), libc::ENOSYS, "its flags are in memory");
        std::thread::spawn(|| ()).join().unwrap();
        assert!(fs::metadata("/etc").is_ok());
    });
    as_each_user(|_| {
        let _sealed = Jail::auto().enter().unwrap().seal().unwrap();
        assert_eq!(errno_of(libc::SYS_clone3, [0; 4]), libc::EINVAL);
        assert_eq!(errno_of(libc::SYS_unshare, [NEWUSER, 0, 0, 0]), libc::EPERM, "the kernel's own");
    });
}

#[test]
fn a_filter_that_cannot_be_installed_is_reported_or_an_error_if_required() {
    own_process!();
    let require = Seal::new().require(Protection::Seccomp);
    for errno in [Errno::NOSYS, Errno::INVAL, Errno::PERM, Errno::ACCESS] {
        as_each_user(|_| {
            fake(libc::SYS_seccomp, errno);
            let sealed = Jail::auto().enter().unwrap().seal().unwrap();
            assert!(!sealed.has(Protection::Seccomp) && !is_filtered());
        });
        as_each_user(|_| {
            let jailed = Jail::auto().enter().unwrap();
            fake(libc::SYS_seccomp, errno);
            let before = (held(), bounding(), no_new_privs());
            let error = jailed.seal_with(require).unwrap_err();
            assert_eq!((error.step(), error.raw_os_error()), (Step::Require, None));
            assert!(error.to_string().starts_with("cannot put a required protection in force: seccomp is missing"));
            assert_eq!((held(), bounding(), no_new_privs()), before);
        });
        // The kernel has filters, but something refuses another one.
        as_each_user(|_| {
            fake_where(libc::SYS_seccomp, Some(1), u32::try_from(errno.raw_os_error()).unwrap());
            let error = Jail::auto().enter().unwrap().seal_with(require).unwrap_err();
            assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Verify, None, true));
        });
    }
    as_each_user(|_| {
        fake(libc::SYS_seccomp, Errno::NOMEM);
        let error = Jail::auto().enter().unwrap().seal().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Filter, Some(libc::ENOMEM)));
    });
    // A kernel before 4.17 does not know the flag.
    as_each_user(|_| {
        let sealed = Jail::auto().enter().unwrap();
        filter_second_argument(libc::SYS_seccomp, 4, Errno::INVAL);
        assert!(sealed.seal().unwrap().has(Protection::Seccomp) && is_filtered());
    });
    as_each_user(|_| {
        fake_success(libc::SYS_seccomp);
        let error = Jail::auto().enter().unwrap().seal().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Verify, None, true));
        assert!(error.to_string().contains("the seccomp filter is not in force"), "{error}");
    });
}

/// Nobody finds the keys of whoever started the process, once it is in a user namespace, is another
/// user, or is sealed.
#[test]
fn the_session_keyring_is_replaced_or_it_is_reported_why_not() {
    own_process!();
    if errno_of(libc::SYS_keyctl, [0, usize::MAX - 2, 0, 0]) == libc::ENOSYS {
        return skipped("this kernel has no keys");
    }
    let session = || unsafe { libc::syscall(libc::SYS_keyctl, 0, -3_isize, 0) };
    as_each_user(|user| {
        assert!(unsafe { libc::syscall(libc::SYS_keyctl, 1, 0) } > 0);
        let before = session();
        let jailed = Jail::auto().enter().unwrap();
        let privileged = user == User::Root;
        let expected = if privileged { SessionKeyring::Inherited } else { SessionKeyring::Own };
        assert_eq!((jailed.session_keyring(), session() == before), (expected, privileged));
        if privileged {
            let jailed = jailed.run_as(&account(7, 8, &[])).unwrap();
            assert_eq!((jailed.session_keyring(), session() == before), (SessionKeyring::Own, false));
        }
    });
    for errno in [Errno::NOSYS, Errno::PERM, Errno::DQUOT] {
        let refused = SessionKeyring::Refused(errno.raw_os_error());
        as_each_user(|user| {
            fake(libc::SYS_keyctl, errno);
            let mut jailed = Jail::auto().enter().unwrap();
            if user == User::Root {
                jailed = jailed.run_as(&account(7, 8, &[])).unwrap();
            }
            assert_eq!(jailed.session_keyring(), refused);
            let sealed = jailed.seal().unwrap();
            assert_eq!((sealed.session_keyring(), sealed.has(Protection::Keyring)), (refused, false));
        });
        as_each_user(|_| {
            fake(libc::SYS_keyctl, errno);
            let error = Jail::auto().enter().unwrap().seal_with(Seal::new().require(Protection::Keyring)).unwrap_err();
            // Only the quota is not known before.
            let step = if errno == Errno::DQUOT { Step::Verify } else { Step::Require };
            assert_eq!(error.step(), step, "{error}");
            assert!(error.to_string().contains("keyring is missing"), "{error}");
        });
    }
}

#[test]
fn a_required_protection_without_its_capability_is_refused_before_anything_has_changed() {
    own_process!();
    for (protection, name) in [(Protection::BoundingSet, "bounding-set"), (Protection::Securebits, "securebits")] {
        assert_eq!(Protection::named(name.as_bytes()), Some(protection));
        as_user(plain(), || {
            let error = Jail::auto().enter().unwrap().seal_with(Seal::new().require(protection)).unwrap_err();
            assert_eq!(error.step(), Step::Require);
            assert!(error.to_string().contains(&format!("{name} is missing")), "{error}");
        });
        as_user(plain(), || {
            let jailed = Jail::auto().empty_bounding_set().enter().unwrap();
            assert!(jailed.seal_with(Seal::new().require(protection)).unwrap().has(protection));
        });
    }
    as_each_user(|_| {
        let all = Protection::ALL.into_iter().filter(|one| *one != Protection::Landlock || landlock_abi().is_some());
        let seal = all.clone().fold(Seal::new(), Seal::require);
        let sealed = Jail::auto().empty_bounding_set().enter().unwrap().seal_with(seal).unwrap();
        assert!(all.into_iter().all(|protection| sealed.has(protection)));
    });
    assert_eq!(Protection::named(b"Seccomp"), None);
}

#[test]
fn landlock_handles_what_the_kernel_knows() {
    own_process!();
    let Some(abi) = landlock_abi() else { return skipped("this kernel has no Landlock") };
    as_user(plain(), || {
        let directory = fs::File::open("/usr").unwrap();
        let sealed = Jail::auto().allow_open_directories().enter().unwrap().seal().unwrap();
        assert_eq!(sealed.landlock(), Some(abi));
        assert_eq!(unsafe { libc::fchdir(raw(&directory)) }, 0);
        assert_eq!(fs::read_dir(".").unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
    });
}

/// From here on the kernel answers that it has this version of Landlock. Only that question, whose
/// flags are 1, is not left to it.
#[cfg(target_arch = "x86_64")]
fn answer_with_version(abi: i32) {
    use std::sync::atomic::{AtomicI64, Ordering};

    static ABI: AtomicI64 = AtomicI64::new(0);
    ABI.store(abi.into(), Ordering::Relaxed);
    stand_in_where(libc::SYS_landlock_create_ruleset, Some((2, 1)), |_, _| ABI.load(Ordering::Relaxed));
}

/// Each version has its own set of accesses, and a rule may only allow what the ruleset handles. So
/// every version up to the kernel's is used, with a root that has rules of every kind.
#[cfg(all(target_arch = "x86_64", feature = "files"))]
#[test]
fn every_version_of_landlock_up_to_the_kernels_is_used_without_an_error() {
    use autochroot::NamedFile;

    own_process!();
    let Some(newest) = landlock_abi() else { return skipped("this kernel has no Landlock") };
    for abi in 1..=newest {
        as_each_user(|user| {
            answer_with_version(abi);
            let program = NamedFile::write(b"#!", b"/bin/program").executable();
            let files = [NamedFile::write(b"text", b"/file"), program, NamedFile::copy(b"/dev/null", b"/null")];
            let files = if user == User::Root { &files[..] } else { &files[..2] };
            let sealed = Jail::auto().files(files).writable(1 << 20).enter().unwrap().seal().unwrap();
            assert_eq!(sealed.landlock(), Some(abi));
            assert_eq!(fs::read("/file").unwrap(), b"text");
            fs::write("/tmp/file", "text").unwrap();
            fs::create_dir("/tmp/directory").unwrap();
            let renamed = fs::rename("/tmp/file", "/tmp/directory/file");
            assert_eq!(renamed.is_ok(), abi > 1, "{abi} {renamed:?}");
            assert!(fs::write("/other", "").is_err() && fs::write("/file", "").is_err());
            assert!(user != User::Root || fs::write("/null", "text").is_ok());
        });
    }
}

/// The row of the crate page: closed from version 3 on.
#[cfg(target_arch = "x86_64")]
#[test]
fn truncating_through_a_directory_is_closed_from_version_3_of_landlock_on() {
    use std::os::unix::fs::PermissionsExt;

    own_process!();
    let Some(newest) = landlock_abi() else { return skipped("this kernel has no Landlock") };
    let scratch = Scratch::new();
    let file = scratch.0.join("file");
    for abi in 1..=newest {
        fs::write(&file, "six...").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).unwrap();
        as_user(plain(), || {
            answer_with_version(abi);
            let directory = fs::File::open(&scratch.0).unwrap();
            let _sealed = Jail::auto().allow_open_directories().enter().unwrap().seal().unwrap();
            assert_eq!(unsafe { libc::fchdir(raw(&directory)) }, 0);
            assert_eq!(unsafe { libc::truncate(c"file".as_ptr(), 1) == 0 }, abi < 3, "version {abi}");
        });
        assert_eq!(fs::read(&file).unwrap().len(), if abi < 3 { 1 } else { 6 });
    }
}

/// The row of the crate page: without a seal a process in a user namespace can link the keyring of
/// whoever started it, if it knows the number.
#[test]
fn the_keyrings_of_the_starter_are_open_by_number_until_the_seal() {
    const GET_KEYRING_ID: libc::c_long = 0;
    const LINK: libc::c_long = 8;
    const UNLINK: libc::c_long = 9;
    const SEARCH: libc::c_long = 10;
    const SESSION: libc::c_long = -3;
    const USER: libc::c_long = -4;
    own_process!();
    let keyctl = |operation: libc::c_long, args: [libc::c_long; 3]| {
        // SAFETY: these operations take numbers and C strings.
        unsafe { libc::syscall(libc::SYS_keyctl, operation, args[0], args[1], args[2], 0) }
    };
    let search =
        |ring| keyctl(SEARCH, [ring, c"user".as_ptr() as libc::c_long, c"autochroot-secret".as_ptr() as libc::c_long]);
    for (seals, found) in [(false, true), (true, false)] {
        let said = ask_user(plain(), || {
            let ring = keyctl(GET_KEYRING_ID, [USER, 1, 0]);
            // SAFETY: the strings and the payload are valid for the call.
            let key = unsafe {
                libc::syscall(libc::SYS_add_key, c"user".as_ptr(), c"autochroot-secret".as_ptr(), b"secret", 6, USER)
            };
            if ring < 0 || key < 0 {
                return "no keys".to_owned();
            }
            let jailed = Jail::auto().user_namespace(UserNamespace::Always).enter().unwrap();
            assert!(search(SESSION) < 0, "the session keyring is new");
            let _sealed = seals.then(|| jailed.seal().unwrap());
            keyctl(LINK, [ring, SESSION, 0]);
            let said = (search(SESSION) == key).to_string();
            keyctl(UNLINK, [key, ring, 0]);
            said
        });
        if said == "no keys" {
            return skipped("the kernel has no keys, or a filter refuses them");
        }
        assert_eq!(said, found.to_string(), "sealed: {seals}");
    }
}

/// Where the kernel has `socketcall`, it is another way to make sockets and connect.
#[cfg(any(target_arch = "x86", target_arch = "s390x", target_arch = "powerpc64", target_arch = "mips"))]
#[test]
fn no_connect_refuses_the_calls_of_socketcall_that_make_and_connect() {
    const SOCKETCALL: libc::c_long = if cfg!(target_arch = "mips") { 4102 } else { 102 };
    own_process!();
    as_each_user(|_| {
        let sealed = Jail::auto().enter().unwrap().seal_with(Seal::new().no_connect()).unwrap();
        assert!(sealed.refuses_connect());
        let mut pair = [0_i32; 2];
        // The family, the type and the protocol, or a descriptor and an address; room for two descriptors.
        let args: [libc::c_long; 4] = [2, libc::SOCK_STREAM as libc::c_long, 0, pair.as_mut_ptr() as libc::c_long];
        for call in [1, 3, 8] {
            // socket, connect, socketpair
            // SAFETY: the kernel reads the array.
            let done = unsafe { libc::syscall(SOCKETCALL, call, args.as_ptr()) };
            assert_eq!((done, std::io::Error::last_os_error().raw_os_error()), (-1, Some(libc::EPERM)), "{call}");
        }
    });
}

#[test]
fn the_network_is_left_alone() {
    own_process!();
    network_only!();
    as_each_user(|_| {
        let _sealed = Jail::auto().enter().unwrap().seal().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    });
}

#[test]
fn a_capability_is_kept_by_name_and_by_root_only() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let keep = Capabilities::named(b"cap_net_bind_service").unwrap();
        let jailed = Jail::auto().enter().unwrap().run_as_keeping(&account(7, 8, &[]), keep).unwrap();
        assert_eq!(held(), keep.bits());
        let sealed = jailed.seal_with(Seal::new().keep(keep)).unwrap();
        assert_eq!((sealed.capabilities(), held(), ambient()), (keep, keep.bits(), 0));
        // A server of this machine may have some of them.
        let is_bound = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
        assert!((1..1024).rev().any(is_bound));
    });
    as_user(User::Root, || {
        let keep = Capabilities::NET_BIND_SERVICE;
        let sealed = Jail::auto().enter().unwrap().seal_with(Seal::new().keep(keep)).unwrap();
        assert_eq!((held(), bounding(), sealed.bounding_set_empty()), (keep.bits(), keep.bits(), true));
    });
    as_user(SOMEBODY, || {
        let error =
            Jail::auto().enter().unwrap().seal_with(Seal::new().keep(Capabilities::NET_BIND_SERVICE)).unwrap_err();
        assert_eq!(error.step(), Step::CheckCapabilities);
        assert!(error.to_string().starts_with("cannot keep the capabilities: net_bind_service is not held"), "{error}");
    });
}

#[test]
fn run_as_changes_every_id_for_good() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let jailed = Jail::auto().enter().unwrap().run_as(&account(7, 8, &[9, 10])).unwrap();
        assert_eq!((ids(), groups(), held()), ([7, 7, 7, 8, 8, 8], vec![9, 10], 0));
        unsafe {
            assert_eq!(
                [libc::setuid(0), libc::seteuid(0), libc::setgid(0), libc::setgroups(0, std::ptr::null())],
                [-1; 4]
            );
        }
        // What is not there says so, and not that it is forbidden.
        assert_eq!(fs::metadata("/etc").unwrap_err().kind(), std::io::ErrorKind::NotFound);
        jailed.verify().unwrap();
        // Once more: the ids are one's own, the groups are not root's to set any more.
        let error = jailed.run_as(&account(7, 8, &[])).unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::SetGroups, Some(libc::EPERM)));
    });
}

/// The usual way of a daemon: nothing that can be given away may be forgotten because of the order.
#[test]
fn after_run_as_a_seal_still_has_every_layer() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let sealed = Jail::auto().enter().unwrap().run_as(&account(7, 8, &[])).unwrap().seal().unwrap();
        assert_powerless(&sealed);
        assert!(sealed.bounding_set_empty() && sealed.securebits_locked());
    });
    as_user(User::Root, || {
        let keep = Capabilities::NET_BIND_SERVICE;
        let jailed = Jail::auto().enter().unwrap().run_as_keeping(&account(7, 8, &[]), keep).unwrap();
        assert_eq!(ambient(), keep.bits());
        // A program that may be executed keeps them; one's own process, if none may be, needs no
        // ambient ones.
        let sealed = jailed.seal_with(Seal::new().keep(keep)).unwrap();
        assert_eq!((held(), ambient(), bounding()), (keep.bits(), 0, keep.bits()));
        assert!(sealed.bounding_set_empty() && sealed.securebits_locked());
    });
    as_user(User::Root, || {
        let keep = Capabilities::NET_BIND_SERVICE;
        let program = fs::File::open("/proc/self/exe").unwrap();
        let jailed = Jail::auto().enter().unwrap().run_as_keeping(&account(7, 8, &[]), keep).unwrap();
        jailed.seal_with(Seal::new().keep(keep).allow_execute_raw(raw(&program))).unwrap();
        assert_eq!((held(), ambient()), (keep.bits(), keep.bits()));
    });
}

#[test]
fn cap_setuid_and_cap_setgid_are_enough_for_run_as() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let few =
            CapabilitySet::SETUID | CapabilitySet::SETGID | CapabilitySet::SYS_CHROOT | CapabilitySet::NET_BIND_SERVICE;
        let sets = rustix::thread::CapabilitySets { effective: few, permitted: few, inheritable: few & !few };
        rustix::thread::set_capabilities(None, sets).unwrap();
        let keep = Capabilities::NET_BIND_SERVICE;
        let sealed = Jail::auto()
            .enter()
            .unwrap()
            .run_as_keeping(&account(7, 8, &[9]), keep)
            .unwrap()
            .seal_with(Seal::new().keep(keep))
            .unwrap();
        assert_eq!((ids(), groups(), held()), ([7, 7, 7, 8, 8, 8], vec![9], keep.bits()));
        assert!(!sealed.bounding_set_empty() && !sealed.securebits_locked(), "that takes CAP_SETPCAP");
    });
}

#[test]
fn run_as_in_a_user_namespace_accepts_the_own_ids_only() {
    own_process!();
    as_user(plain(), || {
        let [uid, .., gid] = ids();
        fake(SET_IDS[2], Errno::IO);
        let jailed = Jail::auto().enter().unwrap().run_as(&account(uid, gid, &[])).unwrap();
        assert_eq!(ids(), [uid, uid, uid, gid, gid, gid]);
        let jailed = jailed.run_as(&account(uid, gid, &[gid])).unwrap();
        let error = jailed.run_as(&account(uid, gid, &[gid ^ 1])).unwrap_err();
        assert_eq!(error.step(), Step::CheckIds);
    });
    for other in [(0, 0), (1, 0), (0, 1)] {
        as_user(plain(), || {
            let before @ [uid, .., gid] = ids();
            let error = Jail::auto().enter().unwrap().run_as(&account(uid ^ other.0, gid ^ other.1, &[3])).unwrap_err();
            assert_eq!((error.step(), error.raw_os_error()), (Step::CheckIds, None));
            assert_eq!(ids(), before);
        });
    }
    as_user(plain(), || {
        let [uid, .., gid] = ids();
        let jailed = Jail::auto().id_map(IdMap::None).enter().unwrap();
        assert_eq!(jailed.run_as(&account(uid, gid, &[])).unwrap_err().step(), Step::CheckIds);
    });
}

#[test]
fn invalid_ids_are_refused_before_anything_has_changed() {
    own_process!();
    root_only!();
    let too_many = vec![5; 65537];
    for (uid, gid, groups) in [(u32::MAX, 5, &[][..]), (5, u32::MAX, &[]), (5, 5, &[5, u32::MAX]), (5, 5, &too_many)] {
        as_user(User::Root, || {
            let before = (ids(), held(), self::groups());
            let error = Jail::auto().enter().unwrap().run_as(&account(uid, gid, groups)).unwrap_err();
            assert_eq!((error.step(), error.raw_os_error()), (Step::CheckIds, None), "{error}");
            assert_eq!((ids(), held(), self::groups()), before);
        });
    }
    as_user(User::Root, || {
        let most = vec![5; 65536];
        let _ = Jail::auto().enter().unwrap().run_as(&account(5, 5, &most)).unwrap();
    });
    as_user(User::Root, || {
        let before = (ids(), held());
        let unheard_of = Capabilities::from_bits(1 << 63);
        let error = Jail::auto().enter().unwrap().run_as_keeping(&account(5, 5, &[]), unheard_of).unwrap_err();
        assert!(error.to_string().starts_with("cannot keep the capabilities: 63 is not held"), "{error}");
        assert_eq!((ids(), held()), before);
    });
}

#[test]
fn a_thread_made_in_the_jail_is_refused_by_run_as_and_seal() {
    own_process!();
    let with_a_thread = |change: fn(Jailed) -> Result<(), Error>| {
        as_each_user(|_| {
            let jailed = Jail::auto().enter().unwrap();
            let _thread = Thread::start();
            let before = (ids(), held(), no_new_privs());
            assert_eq!(change(jailed).unwrap_err().step(), Step::Threads);
            assert_eq!((ids(), held(), no_new_privs()), before);
        });
    };
    with_a_thread(|jailed| jailed.seal().map(drop));
    with_a_thread(|jailed| jailed.run_as(&account(7, 7, &[])).map(drop));
}

/// Whatever of them is set and locked already.
#[test]
fn inherited_securebits_are_added_to_and_never_an_error() {
    own_process!();
    root_only!();
    for inherited in [0x0 as libc::c_ulong, 0x1, 0x2, 0x3, 0x8, 0x10, 0x20, 0x30, 0x40, 0x80, 0xc0, 0x100, 0x300] {
        for run_as in [false, true] {
            as_user(User::Root, || {
                if unsafe { libc::prctl(libc::PR_SET_SECUREBITS, inherited) } != 0 {
                    assert!(inherited >= 0x100, "this kernel does not know {inherited:#x}");
                    return;
                }
                let mut jailed = Jail::auto().enter().unwrap();
                if run_as {
                    jailed = jailed.run_as(&account(7, 8, &[])).unwrap();
                }
                let sealed = jailed.seal().unwrap();
                let now = capabilities_secure_bits().unwrap().bits();
                assert_eq!(held(), 0);
                assert_eq!(now & 0xaa, 0xaa, "{inherited:#x}: every lock");
                assert_eq!(
                    libc::c_ulong::from(now) & inherited & 0x300,
                    inherited & 0x300,
                    "{inherited:#x}: what is not ours stays"
                );
                assert_eq!(sealed.securebits_locked(), !matches!(inherited, 0x2 | 0x8 | 0x30 | 0x80), "{inherited:#x}");
            });
        }
    }
}

#[test]
fn a_capability_that_cannot_be_handed_over_is_refused_before_anything_has_changed() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        rustix::thread::remove_capability_from_bounding_set(CapabilitySet::NET_BIND_SERVICE).unwrap();
        let before = (ids(), held());
        let keep = Capabilities::NET_BIND_SERVICE;
        let error = Jail::auto().enter().unwrap().run_as_keeping(&account(7, 8, &[]), keep).unwrap_err();
        assert_eq!((error.step(), ids(), held()), (Step::CheckCapabilities, before.0, before.1));
    });
}

#[test]
fn a_capability_is_kept_through_an_execve_without_cap_setpcap() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let mut now = capabilities(None).unwrap();
        now.effective -= CapabilitySet::SETPCAP;
        now.permitted -= CapabilitySet::SETPCAP;
        rustix::thread::set_capabilities(None, now).unwrap();
        let keep = Capabilities::NET_BIND_SERVICE;
        let _jailed = Jail::auto().enter().unwrap().run_as_keeping(&account(7, 8, &[]), keep).unwrap();
        assert_eq!((held(), ambient()), (keep.bits(), keep.bits()));
    });
}

#[test]
fn a_thread_in_the_jail_is_found_where_unshare_is_filtered() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        fake(libc::SYS_unshare, Errno::PERM);
        assert_powerless(&Jail::auto().enter().unwrap().run_as(&account(7, 7, &[])).unwrap().seal().unwrap());
    });
    as_user(User::Root, || {
        fake(libc::SYS_unshare, Errno::PERM);
        let jailed = Jail::auto().enter().unwrap();
        let _thread = Thread::start();
        let error = jailed.run_as(&account(7, 7, &[])).unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Threads, Some(libc::EINVAL)));
    });
    as_user(User::Root, || {
        fake(libc::SYS_unshare, Errno::PERM);
        let jailed = Jail::auto().enter().unwrap();
        let _thread = Thread::start();
        assert_eq!(jailed.seal().unwrap_err().step(), Step::Threads);
    });
    as_user(User::Root, || {
        fake(libc::SYS_unshare, Errno::PERM);
        let error = Jail::auto().allow_threads().enter().unwrap().seal().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Threads, Some(libc::EPERM)));
    });
    // What was there to ask was about its parent.
    as_user(User::Root, || {
        fake(libc::SYS_unshare, Errno::PERM);
        let jailed = Jail::auto().enter().unwrap();
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let _thread = Thread::start();
            let error = jailed.run_as(&account(7, 7, &[])).unwrap_err();
            let expected = error.step() == Step::Threads && error.raw_os_error() == Some(libc::EPERM);
            unsafe { libc::_exit(i32::from(!expected)) };
        }
        assert_eq!(exit_status(pid), 0);
    });
    // Where no jail was wanted /proc is still there to ask.
    as_user(User::Root, || {
        fake(libc::SYS_unshare, Errno::PERM);
        let _ = Jail::unjailed().enter().unwrap().run_as(&account(7, 7, &[])).unwrap().seal().unwrap();
    });
    as_user(User::Root, || {
        fake(libc::SYS_unshare, Errno::PERM);
        let _thread = Thread::start();
        let error = Jail::unjailed().enter().unwrap().run_as(&account(7, 7, &[])).unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Threads, Some(libc::EINVAL)));
    });
}

#[test]
fn wrong_groups_are_an_error() {
    own_process!();
    root_only!();
    let many: Vec<u32> = (100..400).rev().collect();
    for (now, wanted) in
        [(&[3][..], &[][..]), (&[3], &[4]), (&[3, 4], &[4]), (&[], &[4]), (&[3, 4], &[4, 4]), (&many, &many[1..])]
    {
        as_user(User::Root, || {
            set_groups(now);
            fake_success(SET_IDS[2]);
            let error = Jail::auto().enter().unwrap().run_as(&account(7, 8, wanted)).unwrap_err();
            assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Verify, None, true));
            assert!(error.to_string().contains("the supplementary groups are not those that were set"), "{error}");
        });
    }
    for wanted in [&[][..], &[9], &[9, 8, 9, 7], &many, &many[..127], &many[..128], &many[..129]] {
        for (uid, own) in [(0, 0), (7, 0), (7, 1), (7, 200)] {
            as_user(User::Root, || {
                set_groups(&many[..own]);
                let _ = Jail::auto().enter().unwrap().run_as(&account(uid, 8, wanted)).unwrap();
            });
        }
    }
}

#[test]
fn the_parent_death_signal_survives_a_change_of_user() {
    own_process!();
    root_only!();
    let signal = || {
        let mut signal = 0;
        assert_eq!(unsafe { libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut signal) }, 0);
        signal
    };
    for (uid, gid) in [(7, 8), (0, 8), (7, 0)] {
        as_user(User::Root, || {
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1) };
            let jailed = Jail::auto().enter().unwrap().run_as(&account(uid, gid, &[])).unwrap();
            assert_eq!(signal(), libc::SIGUSR1);
            jailed.seal().unwrap();
            assert_eq!(signal(), libc::SIGUSR1);
        });
    }
    as_user(User::Root, || {
        let _ = Jail::auto().enter().unwrap().run_as(&account(7, 8, &[])).unwrap();
        assert_eq!(signal(), 0);
    });
}

#[test]
fn calls_that_do_nothing_are_errors() {
    own_process!();
    root_only!();
    for call in [SET_IDS[0], SET_IDS[1], libc::SYS_capset] {
        as_user(User::Root, || {
            fake_success(call);
            let jailed = Jail::auto().enter().unwrap();
            let error = jailed.run_as(&account(7, 7, &[])).unwrap_err();
            // Without `capset` the bounding set cannot be emptied.
            let step = if call == libc::SYS_capset { Step::BoundingSet } else { Step::Verify };
            assert_eq!((error.step(), error.is_partial()), (step, true), "{call}: {error}");
        });
    }
    as_user(User::Root, || {
        fake_success(libc::SYS_capset);
        let error = Jail::auto().enter().unwrap().seal().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Verify, None, true), "{error}");
    });
    as_user(User::Root, || {
        let jailed = Jail::auto().enter().unwrap();
        fake(libc::SYS_landlock_create_ruleset, Errno::NOSYS);
        fake_where(libc::SYS_prctl, Some(libc::PR_SET_NO_NEW_PRIVS as u32), 0);
        let error = jailed.seal().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Verify, None, true), "{error}");
    });
}

#[test]
fn verify_reports_a_read_only_root() {
    own_process!();
    let disk = Scratch::new();
    as_each_user(|user| {
        // On a tmpfs, an owner can change the mode, and then make nameless files.
        let jailed = Jail::unlinked_in(b"/dev/shm").enter().unwrap();
        let findings = jailed.verify().unwrap();
        assert!(findings.mode_can_change());
        assert_eq!(findings.takes_nameless_files(), user == User::Root);
        let sealed = jailed.seal().unwrap();
        assert!(!sealed.jailed().verify().unwrap().takes_nameless_files());
    });
    root_only!();
    as_user(User::Root, || {
        let jailed = Jail::unlinked_in(disk.bytes()).enter().unwrap().run_as(&account(7, 7, &[])).unwrap();
        let findings = jailed.verify().unwrap();
        assert!(!findings.mode_can_change() && !findings.takes_nameless_files());
    });
}

#[test]
fn verify_changes_nothing() {
    own_process!();
    use std::os::unix::fs::MetadataExt;
    as_each_user(|_| {
        let jailed = Jail::unlinked_in(b"/dev/shm").enter().unwrap();
        let state = || {
            let root = fs::metadata("/").unwrap();
            (root.mode(), root.uid(), root.ctime(), root.ctime_nsec(), root.mtime_nsec(), root.atime_nsec())
        };
        for mode in [0o555, 0o700] {
            fs::set_permissions("/", std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            let before = state();
            std::thread::sleep(std::time::Duration::from_millis(20));
            assert!(jailed.verify().unwrap().mode_can_change());
            let after = state();
            assert_eq!((before.0, before.1, before.2, before.3), (after.0, after.1, after.2, after.3));
        }
    });
}

#[test]
fn verify_sees_a_process_that_got_out() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let outside = fs::File::open("/").unwrap();
        let jailed = Jail::auto().allow_open_directories().enter().unwrap();
        jailed.verify().unwrap();
        assert_eq!(unsafe { libc::fchdir(raw(&outside)) }, 0);
        let error = jailed.verify().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Verify, None));
        assert_eq!(unsafe { libc::chroot(c".".as_ptr()) }, 0);
        assert!(jailed.verify().is_err());
        assert!(fs::metadata("/autochroot").is_err());
    });
}

#[test]
fn root_that_goes_through_a_user_namespace_is_sealed_too() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let sealed = Jail::auto().user_namespace(UserNamespace::Always).enter().unwrap().seal().unwrap();
        assert_eq!((held(), no_new_privs().unwrap()), (0, true));
        assert_eq!(capabilities(None).unwrap().permitted.bits(), 0);
        assert!(!sealed.bounding_set_empty());
    });
}

/// The crate page has each of the 41 capabilities in one list, and no list has another.
#[test]
fn each_capability_is_classified_once() {
    let page = include_str!("../../src/crate.md");
    let lists = page.split_once("- A capability that is kept").unwrap().1.split_once("- The server of").unwrap().0;
    let names: Vec<&str> = lists.split('`').skip(1).step_by(2).filter(|name| *name != "kexec_load").collect();
    let mut classified = Capabilities::NONE;
    for name in &names {
        let one = Capabilities::named(name.as_bytes()).unwrap_or_else(|| panic!("{name}"));
        assert!((classified & one).is_empty(), "{name} twice");
        classified |= one;
    }
    assert_eq!(classified.bits(), (1 << 41) - 1);
    let undo = names[..6].iter().map(|name| Capabilities::named(name.as_bytes()).unwrap());
    assert_eq!(undo.fold(Capabilities::NONE, |all, one| all | one), Capabilities::UNDO_A_JAIL);
}

/// What a capability does in a seal that keeps it, and not in one that does not: harmless calls.
#[test]
fn a_capability_that_is_kept_does_what_the_classes_say() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    let others = scratch.0.join("file");
    fs::write(&others, "").unwrap();
    std::os::unix::fs::chown(&others, Some(4321), Some(4321)).unwrap();
    let file = fs::File::open(&others).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    let xattr = [1_u8, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let set_xattr =
        || unsafe { libc::fsetxattr(fd, c"security.capability".as_ptr(), xattr.as_ptr().cast(), xattr.len(), 0) };
    type Probe<'p> = (Capabilities, &'p dyn Fn() -> i32);
    let probes: &[Probe<'_>] = &[
        (Capabilities::SYS_BOOT, &|| match errno_of(libc::SYS_reboot, [1, 2, 3, 0]) {
            libc::EINVAL => 0, // the magic numbers are wrong
            _ => -1,
        }),
        (Capabilities::SYS_CHROOT, &|| unsafe { libc::chroot(c".".as_ptr()) }),
        (Capabilities::SYS_ADMIN, &|| unsafe { libc::unshare(libc::CLONE_NEWUTS) }),
        (Capabilities::CHOWN, &|| unsafe { libc::fchown(fd, 4322, 4322) }),
        (Capabilities::FOWNER, &|| unsafe { libc::fchmod(fd, 0o600) }),
        (Capabilities::LEASE, &|| unsafe { libc::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK) }),
        (Capabilities::SETFCAP, &set_xattr),
        (Capabilities::SETUID, &|| unsafe { libc::setuid(4321) }),
        (Capabilities::SETGID, &|| unsafe { libc::setgid(4321) }),
        (Capabilities::SETPCAP, &|| unsafe { libc::prctl(libc::PR_CAPBSET_DROP, 3) }),
        (Capabilities::NET_RAW, &|| unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW, 0) }.min(0)),
        (Capabilities::SYS_NICE, &|| unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -1) }),
        (Capabilities::WAKE_ALARM, &|| unsafe { libc::timerfd_create(libc::CLOCK_BOOTTIME_ALARM, 0) }.min(0)),
    ];
    for (one, probe) in probes {
        for keep in [*one, Capabilities::NONE] {
            as_user(User::Root, || {
                // The descriptor is open in the fork.
                let own = fs::File::open(&others).unwrap();
                assert_eq!(unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&own), fd) }, fd);
                std::mem::forget(own);
                let _sealed = Jail::detached().enter().unwrap().seal_with(Seal::new().keep(keep)).unwrap();
                assert_eq!(probe() == 0, !keep.is_empty(), "{one}, kept: {keep}");
            });
            std::os::unix::fs::chown(&others, Some(4321), Some(4321)).unwrap();
        }
    }
}

/// Every way to a new connection, each with a target that listens, and what still has to work.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "arguments of system calls")]
#[test]
fn no_connect_refuses_every_new_connection_and_nothing_else() {
    own_process!();
    network_only!();
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream, UdpSocket};
    use std::os::fd::AsRawFd;
    const MSG_FASTOPEN: usize = 0x2000_0000;
    as_each_user(|_| {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let std::net::SocketAddr::V4(address) = target.local_addr().unwrap() else { panic!() };
        let mut to: libc::sockaddr_in = unsafe { std::mem::zeroed() };
        to.sin_family = libc::AF_INET.cast_unsigned() as u16;
        to.sin_port = address.port().to_be();
        to.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
        let (to, length) = (&raw const to as usize, size_of::<libc::sockaddr_in>());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut accepted, _) = listener.accept().unwrap();
        let fresh = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) };
        let (udp, peer) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let jailed = Jail::auto().enter().unwrap();
        let sealed = jailed.seal_with(Seal::new().no_connect()).unwrap();
        assert!(sealed.refuses_connect());
        let high = if cfg!(target_pointer_width = "64") { 1_usize.wrapping_shl(32) } else { 0 };
        for family in 0..50 {
            for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_RAW].map(|kind| kind as usize) {
                assert_refused(&[(libc::SYS_socket, [family, kind, 0, 0])], true);
                assert_refused(&[(libc::SYS_socket, [family | high, kind, 0, 0])], true);
            }
        }
        let mut pair = [0; 2];
        let pairs = |kind: i32, high: usize| [1 | high, kind as usize | high, 0, pair.as_ptr() as usize];
        assert_refused(&[(libc::SYS_socketpair, pairs(libc::SOCK_DGRAM, 0))], true);
        assert_refused(&[(libc::SYS_socketpair, pairs(libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, high))], true);
        assert_refused(&[(libc::SYS_socketpair, [2, libc::SOCK_STREAM as usize, 0, 0])], true);
        for kind in [libc::SOCK_STREAM, libc::SOCK_SEQPACKET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC] {
            assert_eq!(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) }, 0);
        }
        // An accepted one, a listener, and one that was never connected.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        (header.msg_name, header.msg_namelen) = (to as *mut _, length as u32);
        for fd in [accepted.as_raw_fd(), listener.as_raw_fd(), fresh] {
            let fd = fd as usize;
            let mut many: libc::mmsghdr = unsafe { std::mem::zeroed() };
            many.msg_hdr = header;
            let calls = [
                (libc::SYS_connect, [fd, to, length, 0]),
                (libc::SYS_sendto, [fd, to, 1, MSG_FASTOPEN]),
                (libc::SYS_sendto, [fd, to, 1, MSG_FASTOPEN | high | 0x4000]),
                (libc::SYS_sendmsg, [fd, &raw const header as usize, MSG_FASTOPEN, 0]),
                (libc::SYS_sendmmsg, [fd, &raw mut many as usize, 1, MSG_FASTOPEN]),
            ];
            assert_refused(&calls, true);
        }
        // What is open works.
        client.write_all(b"hello").unwrap();
        accepted.read_exact(&mut [0; 5]).unwrap();
        accepted.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
        udp.send_to(b"x", peer.local_addr().unwrap()).unwrap();
        peer.recv_from(&mut [0; 9]).unwrap();
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            unsafe { libc::_exit(i32::from(TcpStream::connect(address).is_ok())) };
        }
        assert_eq!(exit_status(pid), 0, "it is inherited");
        target.set_nonblocking(true).unwrap();
        assert_eq!(target.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock, "nobody came");
    });
    // Without it, they come.
    as_each_user(|_| {
        let target = TcpListener::bind("127.0.0.1:0").unwrap();
        let sealed = Jail::auto().enter().unwrap().seal().unwrap();
        assert!(!sealed.refuses_connect());
        TcpStream::connect(target.local_addr().unwrap()).unwrap();
    });
    // It is an error if it cannot be.
    as_each_user(|_| {
        let jailed = Jail::auto().enter().unwrap();
        let error = jailed.seal_with(Seal::new().no_connect().allow_io_uring()).unwrap_err();
        assert_eq!(error.step(), Step::Require);
        let jailed = Jail::unjailed().enter().unwrap();
        fake(libc::SYS_seccomp, Errno::NOSYS);
        let error = jailed.seal_with(Seal::new().no_connect()).unwrap_err();
        assert_eq!((error.step(), error.is_partial()), (Step::Require, false), "{error}");
    });
}

/// Version 2 of Landlock does not see `truncate`, so the filter refuses it where files can be
/// changed.
#[cfg(target_arch = "x86_64")]
#[test]
fn truncating_a_given_file_is_refused_whatever_landlock_sees() {
    own_process!();
    use std::os::unix::fs::PermissionsExt;
    const CREATE: libc::c_long = libc::SYS_landlock_create_ruleset;
    let files = [autochroot::NamedFile::write(b"some text", b"/file")];
    as_each_user(|_| {
        let jailed = Jail::auto().files(&files).writable(1 << 20).enter().unwrap();
        // As on a kernel without Landlock at all, where modes alone protect the file, and root owns
        // it.
        fake(CREATE, Errno::NOSYS);
        let sealed = jailed.seal().unwrap();
        assert_eq!(sealed.landlock(), None);
        let _ = fs::set_permissions("/file", fs::Permissions::from_mode(0o666));
        let refused = errno_of(libc::SYS_truncate, [c"/file".as_ptr() as usize, 0, 0, 0]);
        assert_eq!(refused, libc::EPERM);
    });
    // Elsewhere it is left alone.
    as_each_user(|_| {
        let _sealed = Jail::auto().enter().unwrap().seal().unwrap();
        assert_ne!(errno_of(libc::SYS_truncate, [c"/file".as_ptr() as usize, 0, 0, 0]), libc::EPERM);
    });
}
