//! Why an entry is refused: each cause produced for real, and none where it is not known.
//!
//! The sysctl of Debian and a limit of 0 for the whole machine are in `tests/kernel.rs`. Not reproducible here, and backed by
//! their sources alone: `AppArmor` (Ubuntu's kernel), `SELinux`, a kernel without user namespaces or older than 5.2.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use crate::common::*;
use autochroot::{Cause, Jail, Step, UserNamespace};
use rustix::io::Errno;
use rustix::process::Uid;

/// Enter, be refused, and say why.
fn cause_of(jail: Jail<'_>) -> (Step, Option<i32>, Option<Cause>) {
    let error = jail.enter().expect_err("entered");
    (error.step(), error.raw_os_error(), error.cause())
}

/// Another user namespace, in which this user is itself; or none, if that is refused.
fn nested_user_namespace() -> bool {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
        return false;
    }
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).unwrap();
    fs::write("/proc/self/setgroups", "deny").unwrap();
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")).unwrap();
    true
}

#[test]
fn what_the_error_itself_tells() {
    as_user(plain(), || {
        let never = Jail::unlinked().user_namespace(UserNamespace::Never);
        assert_eq!(cause_of(never), (Step::Chroot, Some(libc::EPERM), Some(Cause::NoPrivilege)));
        let directory = fs::File::open("/").unwrap();
        assert_eq!(cause_of(Jail::unlinked()), (Step::Descriptors, None, Some(Cause::OpenDirectory)));
        drop(directory);
        let _thread = Thread::start();
        assert_eq!(cause_of(Jail::unlinked()), (Step::Threads, Some(libc::EINVAL), Some(Cause::Threads)));
        let allowed = Jail::unlinked().allow_threads();
        assert_eq!(cause_of(allowed), (Step::NewUserNamespace, Some(libc::EINVAL), Some(Cause::Threads)));
    });
}

#[test]
fn a_seccomp_filter() {
    for errno in [Errno::PERM, Errno::NOSYS] {
        as_user(plain(), || {
            fake(libc::SYS_unshare, errno);
            let expected = (Step::NewUserNamespace, Some(errno.raw_os_error()), Some(Cause::Seccomp));
            assert_eq!(cause_of(Jail::unlinked()), expected);
        });
    }
    // One that lets through what the process asks for itself cannot be told from other reasons.
    as_user(plain(), || {
        fake_where(libc::SYS_unshare, Some(libc::CLONE_NEWUSER as u32), libc::EPERM as u32);
        assert_eq!(cause_of(Jail::unlinked()), (Step::NewUserNamespace, Some(libc::EPERM), None));
    });
}

#[test]
fn a_limit_of_zero_and_one_that_is_reached() {
    for (limit, cause) in [("0", Cause::NoMoreUserNamespaces), ("1", Cause::UserNamespaceLimit)] {
        as_user(plain(), || {
            assert!(nested_user_namespace());
            fs::write("/proc/sys/user/max_user_namespaces", limit).unwrap();
            let (go_on, wait) = std::os::unix::net::UnixStream::pair().unwrap();
            if limit == "1" {
                // Somebody else has it.
                if unsafe { libc::fork() } == 0 {
                    close_all_but([std::os::fd::AsRawFd::as_raw_fd(&wait); 2]);
                    unsafe { libc::unshare(libc::CLONE_NEWUSER) };
                    (&wait).write_all(b".").unwrap();
                    let _ = (&wait).read(&mut [0]);
                    unsafe { libc::_exit(0) };
                }
                (&go_on).read_exact(&mut [0]).unwrap();
            }
            let nothing = rustix::thread::CapabilitySet::empty();
            let sets = rustix::thread::CapabilitySets { effective: nothing, permitted: nothing, inheritable: nothing };
            rustix::thread::set_capabilities(None, sets).unwrap();
            assert_eq!(cause_of(Jail::unlinked()), (Step::NewUserNamespace, Some(libc::ENOSPC), Some(cause)));
            // The one that has it, if there is one, ends with its socket.
        });
    }
}

#[test]
fn a_nesting_of_more_than_32() {
    as_user(plain(), || {
        let depth = (0..100).take_while(|_| nested_user_namespace()).count();
        let (step, errno, cause) = cause_of(Jail::unlinked().user_namespace(UserNamespace::Always));
        assert_eq!((step, cause), (Step::NewUserNamespace, Some(Cause::UserNamespaceLimit)), "{depth}: {errno:?}");
    });
}

#[test]
fn a_chroot_around_it_and_an_id_that_is_not_mapped() {
    root_only!();
    let scratch = Scratch::new();
    for directory in ["proc", "tmp"] {
        fs::create_dir(scratch.0.join(directory)).unwrap();
        fs::set_permissions(scratch.0.join(directory), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    }
    as_user(User::Root, || {
        std::os::unix::fs::chroot(&scratch.0).unwrap();
        std::env::set_current_dir("/").unwrap();
        let uid = Uid::from_raw(7);
        rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
        // To mount /proc there would not help.
        assert_eq!(cause_of(Jail::unlinked()), (Step::Proc, Some(libc::ENOENT), Some(Cause::Chrooted)));
        let jail = Jail::unlinked().id_map(autochroot::IdMap::None);
        assert_eq!(cause_of(jail), (Step::NewUserNamespace, Some(libc::EPERM), Some(Cause::Chrooted)));
    });
    for mapped in [&[][..], &["uid_map"], &["gid_map"]] {
        as_user(SOMEBODY, || {
            let id = rustix::process::geteuid().as_raw();
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, 0);
            fs::write("/proc/self/setgroups", "deny").unwrap();
            for map in mapped {
                fs::write(format!("/proc/self/{map}"), format!("{id} {id} 1")).unwrap();
            }
            let nothing = rustix::thread::CapabilitySet::empty();
            let sets = rustix::thread::CapabilitySets { effective: nothing, permitted: nothing, inheritable: nothing };
            rustix::thread::set_capabilities(None, sets).unwrap();
            let expected = (Step::NewUserNamespace, Some(libc::EPERM), Some(Cause::UnmappedId));
            assert_eq!(cause_of(Jail::detached()), expected, "{mapped:?}");
        });
    }
}

#[test]
fn proc_that_is_missing_hidden_or_read_only() {
    root_only!();
    let as_seven = |mount: &dyn Fn(), jail: Jail<'_>| {
        ask_user(User::Root, || {
            own_mounts();
            mount();
            let uid = Uid::from_raw(7);
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
            match jail.enter() {
                Ok(_) => "entered".into(),
                Err(error) => format!("{:?} {:?}", error.step(), error.cause()),
            }
        })
    };
    let missing = || mount_tmpfs(Path::new("/proc"), 0, "");
    let proc = |flags, options: &str| {
        let options = std::ffi::CString::new(options).unwrap();
        let mounted = unsafe {
            libc::mount(c"proc".as_ptr(), c"/proc".as_ptr(), c"proc".as_ptr(), flags, options.as_ptr().cast())
        };
        assert_eq!(mounted, 0, "mount: {}", std::io::Error::last_os_error());
    };
    assert_eq!(as_seven(&missing, Jail::unlinked()), "Proc Some(NoProc)");
    assert_eq!(as_seven(&|| proc(libc::MS_RDONLY, ""), Jail::unlinked()), "Proc Some(ReadOnlyProc)");
    assert_eq!(as_seven(&|| proc(0, "hidepid=2"), Jail::unlinked()), "entered");
    assert_eq!(as_seven(&|| proc(0, "subset=pid"), Jail::unlinked()), "entered");
    let everything_read_only = || {
        for parent in ["/dev/shm", "/run", "/tmp", "/var/tmp"] {
            mount_tmpfs(Path::new(parent), libc::MS_RDONLY, "");
        }
        set_tmpdir(None);
    };
    assert_eq!(as_seven(&everything_read_only, Jail::unlinked()), "Mkdir Some(NoParent)");
}

#[test]
fn uid_0_that_may_not_be_mapped() {
    root_only!();
    as_user(User::Root, || {
        let nothing = rustix::thread::CapabilitySet::empty();
        let sets = rustix::thread::CapabilitySets { effective: nothing, permitted: nothing, inheritable: nothing };
        rustix::thread::set_capabilities(None, sets).unwrap();
        assert_eq!(cause_of(Jail::unlinked()), (Step::MapUid, Some(libc::EPERM), Some(Cause::NoSetfcap)));
    });
}

/// A Landlock domain cannot be asked for: what it refuses has no known cause.
#[test]
fn landlock_before_the_jail_is_not_known() {
    let Some(abi) = landlock_abi() else { return skipped("this kernel has no Landlock") };
    as_user(plain(), || {
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            // Handles making directories and writing files, allows neither.
            let attributes = [0x82_u64];
            let ruleset = libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), 8, 0);
            assert!(ruleset >= 0, "ABI {abi}");
            assert_eq!(libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0), 0);
            libc::syscall(libc::SYS_close, ruleset);
        }
        let (step, errno, cause) = cause_of(Jail::unlinked().parent(b"/dev/shm"));
        assert_eq!((step, errno, cause), (Step::Mkdir, Some(libc::EACCES), None));
    });
}

#[test]
fn what_is_not_known_is_not_guessed() {
    as_user(plain(), || {
        fake(libc::SYS_mkdirat, Errno::IO);
        assert_eq!(cause_of(Jail::unlinked().parent(b"/dev/shm")), (Step::Mkdir, Some(libc::EIO), None));
    });
    as_user(plain(), || {
        fake(libc::SYS_chroot, Errno::IO);
        assert_eq!(cause_of(Jail::unlinked()), (Step::Chroot, Some(libc::EIO), None));
    });
    as_user(plain(), || {
        fake(libc::SYS_chroot, Errno::PERM);
        assert_eq!(cause_of(Jail::unlinked()), (Step::Chroot, Some(libc::EPERM), None), "also in the user namespace");
    });
    as_user(plain(), || {
        fake_success(libc::SYS_chroot);
        assert_eq!(cause_of(Jail::unlinked()), (Step::Verify, None, None));
    });
}
