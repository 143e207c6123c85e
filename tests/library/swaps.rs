//! What no file system and no other process does on demand: a stand-in for a system call puts
//! something else into the place of the new directory, or tells half the truth. Each check of ours
//! is the only one that sees it.

use std::ffi::CStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::common::*;
use autochroot::{Capabilities, Error, Jail, Step, UserNamespace};

/// The parent of the jail, for the stand-ins.
static PARENT: OnceLock<PathBuf> = OnceLock::new();

/// The path of a name in the parent, of which the first is the one that a call was given.
fn in_the_parent(name: usize) -> PathBuf {
    // SAFETY: it is the name that a system call was given.
    let name = unsafe { CStr::from_ptr(name as *const libc::c_char) };
    PARENT.get().unwrap().join(name.to_str().unwrap())
}

/// `mkdir(2)`, which is another call than the one that has a stand-in.
fn make(path: &Path) -> i64 {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    answer(unsafe { libc::syscall(libc::SYS_mkdir, path.as_ptr(), 0o755) })
}

fn remove(path: &Path) -> i64 {
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    answer(unsafe { libc::syscall(libc::SYS_rmdir, path.as_ptr()) })
}

fn rename(path: &Path, to: &str) {
    fs::rename(path, PARENT.get().unwrap().join(to)).unwrap();
}

fn mkdirat_of(args: [usize; 4]) -> i64 {
    make(&in_the_parent(args[1]))
}

/// Enters in a parent of one's own where these calls have stand-ins.
fn entering(user: User, stands: &[(libc::c_long, Stand)], judge: impl Fn(Result<autochroot::Jailed, Error>, &Path)) {
    let parent = Scratch::new();
    as_user(user, || {
        PARENT.set(parent.0.clone()).unwrap();
        for (number, stand) in stands {
            stand_in(*number, *stand);
        }
        judge(Jail::unlinked_in(parent.bytes()).enter(), &parent.0);
    });
}

fn is_outside() -> bool {
    fs::metadata("/etc").is_ok()
}

/// Every time, as on a file system that changes owners: then it is refused at last, and the
/// directories are removed.
#[test]
fn a_directory_of_another_user_is_not_taken_for_ours() {
    own_process!();
    if !is_root() {
        return skipped("not root");
    }
    fn another(_: usize, args: [usize; 4]) -> i64 {
        let path = in_the_parent(args[1]);
        let made = make(&path);
        std::os::unix::fs::chown(path, Some(4321), None).unwrap();
        made
    }
    entering(User::Root, &[(libc::SYS_mkdirat, another)], |entered, parent| {
        let error = entered.unwrap_err();
        assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::OpenRoot, None, false));
        assert!(error.to_string().contains("it belongs to another user"), "{error}");
        assert!(is_outside() && fs::read_dir(parent).unwrap().count() == 0);
    });
    // Only once: the next one is ours.
    fn once(nth: usize, args: [usize; 4]) -> i64 {
        match nth {
            0 => another(nth, args),
            1 => mkdirat_of(args),
            _ => -i64::from(libc::ENOENT),
        }
    }
    entering(User::Root, &[(libc::SYS_mkdirat, once)], |entered, _| {
        let _ = entered.unwrap();
        assert!(!is_outside());
    });
}

#[test]
fn a_symbolic_link_is_not_followed() {
    own_process!();
    fn link(_: usize, args: [usize; 4]) -> i64 {
        let target = PARENT.get().unwrap().join("target");
        let _ = fs::create_dir(&target);
        std::os::unix::fs::symlink(target, in_the_parent(args[1])).unwrap();
        0
    }
    for user in users() {
        entering(user, &[(libc::SYS_mkdirat, link)], |entered, parent| {
            let error = entered.unwrap_err();
            assert_eq!((error.step(), error.is_partial()), (Step::OpenRoot, true));
            assert!(is_outside() && parent.join("target").exists());
        });
    }
}

/// The directory lives, though nothing can be made in it, or the other way round: neither is a
/// jail.
#[test]
fn both_the_links_and_an_attempt_must_show_that_it_is_unlinked() {
    own_process!();
    fn moved(_: usize, args: [usize; 4]) -> i64 {
        rename(&in_the_parent(args[1]), "moved");
        0
    }
    fn removed(_: usize, args: [usize; 4]) -> i64 {
        remove(&in_the_parent(args[1]))
    }
    fn then_enoent(nth: usize, args: [usize; 4]) -> i64 {
        if nth % 2 == 0 { mkdirat_of(args) } else { -i64::from(libc::ENOENT) }
    }
    fn then_eacces(nth: usize, args: [usize; 4]) -> i64 {
        if nth % 2 == 0 { mkdirat_of(args) } else { -i64::from(libc::EACCES) }
    }
    for user in users() {
        let ways: [(Stand, Stand); 2] = [(moved, then_enoent), (removed, then_eacces)];
        for (unlinkat, mkdirat) in ways {
            entering(user, &[(libc::SYS_unlinkat, unlinkat), (libc::SYS_mkdirat, mkdirat)], |entered, parent| {
                let error = entered.unwrap_err();
                assert_eq!(
                    (error.step(), error.raw_os_error(), error.is_partial()),
                    (Step::VerifyUnlinked, None, true)
                );
                assert!(is_outside() && parent.exists());
            });
        }
        entering(user, &[(libc::SYS_unlinkat, removed), (libc::SYS_mkdirat, then_enoent)], |entered, _| {
            let _ = entered.unwrap();
        });
    }
}

/// What the attempt makes in a directory that lives is removed again.
#[test]
fn nothing_is_left_in_a_directory_that_still_lives() {
    own_process!();
    fn moved(nth: usize, args: [usize; 4]) -> i64 {
        let directory = fs::read_link(format!("/proc/self/fd/{}", args[0])).unwrap();
        // SAFETY: it is the name that the call was given.
        let name = unsafe { CStr::from_ptr(args[1] as *const libc::c_char) }.to_str().unwrap();
        if directory == *PARENT.get().unwrap() {
            rename(&directory.join(name), &format!("moved-{nth}"));
            return 0;
        }
        remove(&directory.join(name)) // what was made in it
    }
    for user in users() {
        entering(user, &[(libc::SYS_unlinkat, moved)], |entered, parent| {
            assert_eq!(entered.unwrap_err().step(), Step::VerifyUnlinked);
            let left: Vec<_> = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect();
            assert!(left.len() > 10 && left.iter().all(|path| fs::read_dir(path).unwrap().next().is_none()));
        });
    }
}

/// A name or a map that is not whole is an error, and not a guessable name or another map.
#[test]
fn random_bytes_and_maps_that_are_not_whole_are_an_error() {
    own_process!();
    fn few(_: usize, _: [usize; 4]) -> i64 {
        3
    }
    for user in users() {
        entering(user, &[(libc::SYS_getrandom, few)], |entered, parent| {
            let error = entered.unwrap_err();
            assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Mkdir, Some(libc::EIO), false));
            assert_eq!(fs::read_dir(parent).unwrap().count(), 0);
        });
    }
    fn short(_: usize, args: [usize; 4]) -> i64 {
        let part = [args[1], args[2]];
        let written = answer(unsafe { libc::syscall(libc::SYS_writev, args[0], part.as_ptr(), 1) });
        // The test has a pipe, to which it writes too.
        let is_a_map = fs::read_link(format!("/proc/self/fd/{}", args[0])).is_ok_and(|path| path.starts_with("/proc"));
        written - i64::from(is_a_map)
    }
    entering(plain(), &[(libc::SYS_write, short)], |entered, _| {
        let error = entered.unwrap_err();
        assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::MapUid, Some(libc::EIO), true));
    });
}

/// The path that a call was given.
fn path_of(pointer: usize) -> &'static str {
    // SAFETY: it is a C string.
    unsafe { CStr::from_ptr(pointer as *const libc::c_char) }.to_str().unwrap()
}

/// What `verify` compares, each of them changed once: the directory, its device, its links, ".."
/// and the working directory.
#[test]
fn a_root_that_differs_in_one_respect_is_found() {
    own_process!();
    /// What is told of this path that is not so.
    type Lie = (&'static str, fn(&mut libc::stat));
    static LIE: std::sync::Mutex<Lie> = std::sync::Mutex::new(("", |_| {}));
    fn status(_: usize, args: [usize; 4]) -> i64 {
        let status = args[2] as *mut libc::stat;
        let done = answer(unsafe { libc::syscall(libc::SYS_stat, args[1], status) });
        let (path, lie) = *LIE.lock().unwrap();
        if path_of(args[1]) == path {
            // SAFETY: the call has filled it.
            lie(unsafe { &mut *status });
        }
        done
    }
    let lies: [Lie; 5] = [
        ("/", |status| status.st_dev += 1),
        ("/", |status| status.st_ino += 1),
        ("/", |status| status.st_nlink = 1),
        ("/..", |status| status.st_ino += 1),
        (".", |status| status.st_ino += 1),
    ];
    for (path, lie) in lies {
        for user in users() {
            entering(user, &[(libc::SYS_newfstatat, status)], |entered, _| {
                let jailed = entered.unwrap();
                jailed.verify().unwrap();
                *LIE.lock().unwrap() = (path, lie);
                let error = jailed.verify().unwrap_err();
                assert_eq!((error.step(), error.raw_os_error()), (Step::Verify, None), "{path}");
            });
            if path == "/" {
                *LIE.lock().unwrap() = (path, lie);
                entering(user, &[(libc::SYS_newfstatat, status)], |entered, _| {
                    assert_eq!(entered.unwrap_err().step(), Step::Verify);
                });
                *LIE.lock().unwrap() = ("", |_| {});
            }
        }
    }
}

/// Each way in which a root can turn out to take entries, or to have some.
#[test]
fn a_root_that_is_not_empty_or_takes_entries_is_seen() {
    own_process!();
    fn made(_: usize, _: [usize; 4]) -> i64 {
        0
    }
    fn created(_: usize, args: [usize; 4]) -> i64 {
        if i32::try_from(args[2]).unwrap() & libc::O_CREAT != 0 {
            return answer(unsafe { libc::dup(2) }.into());
        }
        answer(unsafe { libc::syscall(libc::SYS_open, args[1], args[2], args[3]) })
    }
    fn listed(nth: usize, args: [usize; 4]) -> i64 {
        // `struct linux_dirent64`: the inode, the offset, the length, the type and the name.
        let mut entry = [0_u8; 24];
        (entry[0], entry[16], entry[19]) = (1, 24, b'x');
        if nth > 0 {
            return 0;
        }
        // SAFETY: the buffer has at least that many places.
        unsafe { std::ptr::copy_nonoverlapping(entry.as_ptr(), args[1] as *mut u8, 24) };
        24
    }
    for user in users() {
        for (number, stand) in
            [(libc::SYS_mkdirat, made as Stand), (libc::SYS_openat, created), (libc::SYS_getdents64, listed)]
        {
            as_user(user, || {
                let jailed = Jail::unlinked().enter().unwrap();
                stand_in(number, stand);
                let error = jailed.verify().unwrap_err();
                assert_eq!((error.step(), error.raw_os_error()), (Step::Verify, None), "{number}");
            });
        }
        // In a detached root only EROFS will do.
        fn missing(_: usize, args: [usize; 4]) -> i64 {
            if i32::try_from(args[2]).unwrap() & libc::O_TMPFILE == libc::O_TMPFILE {
                return -i64::from(libc::ENOENT);
            }
            // `struct open_how`: flags, no mode and no restriction. It has no O_LARGEFILE together with O_PATH.
            let how = [u64::try_from(args[2]).unwrap() & 0xffff_7fff, 0, 0];
            answer(unsafe { libc::syscall(libc::SYS_openat2, args[0], args[1], how.as_ptr(), size_of_val(&how)) })
        }
        as_user(user, || {
            stand_in(libc::SYS_openat, missing);
            let error = Jail::detached().enter().unwrap_err();
            assert_eq!(
                (error.step(), error.raw_os_error(), error.is_partial()),
                (Step::Verify, Some(libc::ENOENT), true)
            );
        });
    }
}

/// Ids that are only half set: `run_as` sees the real ones, and both ways back.
#[test]
fn ids_that_are_set_in_part_are_an_error() {
    own_process!();
    if !is_root() {
        return skipped("not root");
    }
    const KEEP: usize = u32::MAX as usize;
    fn set(number: libc::c_long, real: usize, effective: usize) -> i64 {
        answer(unsafe { libc::syscall(number, real, effective) })
    }
    fn effective_uid(_: usize, args: [usize; 4]) -> i64 {
        set(libc::SYS_setreuid, KEEP, args[1])
    }
    fn effective_gid(_: usize, args: [usize; 4]) -> i64 {
        set(libc::SYS_setregid, KEEP, args[1])
    }
    // The real one first: then the saved one stays what the effective one was.
    fn all_but_the_saved_uid(_: usize, args: [usize; 4]) -> i64 {
        if args[0] == KEEP {
            return set(libc::SYS_setreuid, KEEP, args[1]);
        }
        set(libc::SYS_setreuid, args[0], KEEP) | set(libc::SYS_setreuid, KEEP, args[1])
    }
    fn all_but_the_saved_gid(_: usize, args: [usize; 4]) -> i64 {
        if args[0] == KEEP {
            return set(libc::SYS_setregid, KEEP, args[1]);
        }
        set(libc::SYS_setregid, args[0], KEEP) | set(libc::SYS_setregid, KEEP, args[1])
    }
    for (number, stand, message) in [
        (libc::SYS_setresuid, effective_uid as Stand, "the user or group id has changed"),
        (libc::SYS_setresgid, effective_gid, "the user or group id has changed"),
        (libc::SYS_setresuid, all_but_the_saved_uid, "the old ids can be set again"),
        (libc::SYS_setresgid, all_but_the_saved_gid, "the old ids can be set again"),
    ] {
        as_user(User::Root, || {
            let jailed = Jail::unlinked().enter().unwrap();
            stand_in(number, stand);
            let error = jailed.run_as(&account(7, 8, &[])).unwrap_err();
            assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Verify, None, true));
            assert!(error.to_string().contains(message), "{error}");
        });
    }
}

/// A parent that ends while the signal of its death is not set: it is sent then.
#[test]
fn the_death_of_the_parent_in_between_is_not_missed() {
    own_process!();
    if !is_root() {
        return skipped("not root");
    }
    fn and_the_parent_ends(nth: usize, args: [usize; 4]) -> i64 {
        unsafe {
            let parent = libc::getppid();
            // Only the first time: whoever is the parent then has to live.
            if nth == 0 {
                libc::kill(parent, libc::SIGKILL);
                while libc::getppid() == parent {
                    libc::sched_yield();
                }
            }
            answer(libc::syscall(libc::SYS_setreuid, args[0], args[1]))
        }
    }
    as_user(User::Root, || {
        let (alive, ends) = std::os::unix::net::UnixStream::pair().unwrap();
        let parent = unsafe { libc::fork() };
        if parent == 0 {
            let pid = unsafe { libc::fork() };
            if pid > 0 {
                unsafe { libc::pause() };
            }
            drop(alive);
            unsafe {
                libc::alarm(LIMIT);
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR2);
            }
            let jailed = Jail::unlinked().allow_open_directories().enter().unwrap();
            stand_in(libc::SYS_setresuid, and_the_parent_ends);
            // The signal ends the process before this returns.
            let _ = jailed.run_as(&account(7, 7, &[]));
            std::io::Write::write_all(&mut &ends, b"missed").unwrap();
            unsafe { libc::_exit(0) };
        }
        drop(ends);
        let mut told = String::new();
        std::io::Read::read_to_string(&mut &alive, &mut told).unwrap();
        assert_eq!(told, "");
    });
}

/// What is permitted counts, also if it is not in effect.
#[test]
fn a_seal_that_leaves_permitted_capabilities_is_an_error() {
    own_process!();
    if !is_root() {
        return skipped("not root");
    }
    as_user(User::Root, || {
        let jailed = Jail::unlinked().enter().unwrap();
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective = rustix::thread::CapabilitySet::empty();
        rustix::thread::set_capabilities(None, sets).unwrap();
        rustix::thread::set_no_new_privs(true).unwrap(); // a filter takes it now
        fake_success(libc::SYS_capset);
        let error = jailed.seal().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Verify, None, true));
    });
    // Nor is the flag left set that let them survive a change of user.
    as_user(User::Root, || {
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective -= rustix::thread::CapabilitySet::SETPCAP;
        sets.permitted -= rustix::thread::CapabilitySet::SETPCAP;
        rustix::thread::set_capabilities(None, sets).unwrap();
        let keep = Capabilities::NET_BIND_SERVICE;
        let _jailed = Jail::unlinked().enter().unwrap().run_as_keeping(&account(7, 8, &[]), keep).unwrap();
        assert_eq!((held(), unsafe { libc::prctl(libc::PR_GET_KEEPCAPS) }), (keep.bits(), 0));
    });
}

#[test]
fn a_user_namespace_without_no_new_privs_is_an_error() {
    own_process!();
    if !is_root() {
        return skipped("not root"); // the filter of the test would set it
    }
    as_user(User::Root, || {
        fake_where(libc::SYS_prctl, Some(libc::PR_SET_NO_NEW_PRIVS as u32), 0);
        let error = Jail::unlinked().user_namespace(UserNamespace::Always).enter().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Verify, None, true));
        assert!(error.to_string().contains("no_new_privs is not set"), "{error}");
    });
}

/// As the kernel does for a moment after a thread was joined.
#[test]
fn a_thread_that_is_dead_is_waited_for_and_one_that_lives_is_not() {
    own_process!();
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static DEAD_FOR: AtomicUsize = AtomicUsize::new(0);
    fn count(nth: usize, _: [usize; 4]) -> i64 {
        CALLS.store(nth + 1, Relaxed);
        if nth < DEAD_FOR.load(Relaxed) { -i64::from(libc::EINVAL) } else { 0 }
    }
    for (dead_for, enters) in [(1, true), (10, true), (1000, false)] {
        as_user(plain(), || {
            DEAD_FOR.store(dead_for, Relaxed);
            stand_in(libc::SYS_unshare, count);
            let error = Jail::unlinked().user_namespace(UserNamespace::Never).enter().unwrap_err();
            // An ordinary user gets as far as chroot then.
            let expected = if enters { (Step::Chroot, libc::EPERM) } else { (Step::Threads, libc::EINVAL) };
            assert_eq!((error.step(), error.raw_os_error()), (expected.0, Some(expected.1)), "{error}");
            assert!(CALLS.load(Relaxed) < 100);
        });
    }
    as_user(plain(), || {
        let _thread = Thread::start();
        DEAD_FOR.store(1000, Relaxed);
        stand_in(libc::SYS_unshare, count);
        assert_eq!(Jail::unlinked().enter().unwrap_err().step(), Step::Threads);
        assert_eq!(CALLS.load(Relaxed), 1, "it is refused at once: /proc tells");
    });
}
