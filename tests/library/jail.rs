//! What the library promises, asked from inside the jail and around it, as root and as ordinary
//! users.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use crate::common::*;
use autochroot::{Entered, Error, IdMap, Jail, Step, UserNamespace};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid};

fn refusal(jail: Jail<'_>) -> Error {
    jail.enter().expect_err("entered")
}

fn assert_refused(error: Error, step: Step, errno: Errno) {
    assert_eq!((error.step(), error.raw_os_error()), (step, Some(errno.raw_os_error())), "{error}");
}

#[test]
fn the_root_is_empty_and_nothing_can_be_made_in_it() {
    own_process!();
    as_each_user(|_| {
        let _ = Jail::unlinked().enter().unwrap();
        assert!(fs::read_dir("/").unwrap().next().is_none());
        for refused in [
            fs::create_dir("/x").map_err(|e| e.kind()),
            fs::create_dir("x").map_err(|e| e.kind()),
            fs::File::create("/x").map(drop).map_err(|e| e.kind()),
            fs::write("x", "x").map_err(|e| e.kind()),
            symlink("/", "/x").map_err(|e| e.kind()),
            std::os::unix::net::UnixListener::bind("/x").map(drop).map_err(|e| e.kind()),
            fs::File::open("/etc/passwd").map(drop).map_err(|e| e.kind()),
        ] {
            assert_eq!(refused, Err(ErrorKind::NotFound));
        }
    });
}

#[test]
fn the_root_has_no_name_and_is_its_own_parent() {
    own_process!();
    for user in users() {
        as_user_watched(
            user,
            || {
                let _ = Jail::unlinked().enter().unwrap();
                assert_eq!(std::env::current_dir().unwrap_err().kind(), ErrorKind::NotFound);
                let inode = |path| fs::metadata(path).map(|m| (m.dev(), m.ino(), m.nlink())).unwrap();
                assert_eq!(inode("/").2, 0);
                for path in [".", "..", "/..", "../../../../.."] {
                    assert_eq!(inode(path), inode("/"), "{path}");
                }
            },
            |pid| {
                for link in ["root", "cwd"] {
                    let target = fs::read_link(format!("/proc/{pid}/{link}")).unwrap();
                    assert!(target.to_str().unwrap().ends_with(" (deleted)"), "{link}: {target:?}");
                }
            },
        );
    }
}

#[test]
fn nothing_is_left_in_the_parent_and_no_descriptor_stays_open() {
    own_process!();
    let parent = Scratch::new();
    as_each_user(|_| {
        let proc = fs::File::open("/proc").unwrap();
        let before = open_fds();
        let _ = Jail::unlinked_in(parent.bytes()).allow_open_directories().enter().unwrap();
        assert!(fs::metadata("/proc").is_err());
        assert_eq!(unsafe { libc::fchdir(raw(&proc)) }, 0);
        let after: Vec<_> = fs::read_dir("self/fd").unwrap().collect();
        assert_eq!(after.len() - 1, before.len());
    });
    assert_eq!(parent.entries(), [] as [&Path; 0]);
}

#[test]
fn ids_are_what_they_were() {
    own_process!();
    as_each_user(|user| {
        let ids = (geteuid(), getegid(), rustix::process::getuid(), rustix::process::getgid());
        let jailed = Jail::unlinked().enter().unwrap();
        assert!(jailed.ids_kept());
        assert_eq!((geteuid(), getegid(), rustix::process::getuid(), rustix::process::getgid()), ids);
        let expected = if user == User::Root { Entered::Privilege } else { Entered::UserNamespace };
        assert_eq!(jailed.entered(), expected);
    });
}

#[test]
fn without_an_id_map_the_ids_are_lost_and_the_proof_says_so() {
    own_process!();
    as_user(plain(), || {
        let jailed = Jail::unlinked().id_map(IdMap::None).enter().unwrap();
        assert!(!jailed.ids_kept());
        assert_eq!((geteuid(), getegid()), (Uid::from_raw(65534), Gid::from_raw(65534)));
        assert_eq!(held(), 0);
    });
}

#[test]
fn no_capability_is_gained() {
    own_process!();
    as_each_user(|_| {
        let before = held();
        let _ = Jail::unlinked().enter().unwrap();
        assert_eq!(held(), before);
    });
}

#[test]
fn always_means_a_user_namespace_even_for_root_who_gets_no_capability_back() {
    own_process!();
    as_each_user(|user| {
        let jailed = Jail::unlinked().user_namespace(UserNamespace::Always).enter().unwrap();
        assert_eq!((jailed.entered(), held()), (Entered::UserNamespace, 0));
        if user == User::Root {
            // An execve by uid 0 gives nothing; escape.rs tries it.
            assert!(rustix::thread::no_new_privs().unwrap());
        }
    });
}

#[test]
fn uid_0_without_cap_sys_chroot_enters_as_everybody_else_does() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let mut sets = rustix::thread::capabilities(None).unwrap();
        sets.effective.remove(rustix::thread::CapabilitySet::SYS_CHROOT);
        sets.permitted.remove(rustix::thread::CapabilitySet::SYS_CHROOT);
        rustix::thread::set_capabilities(None, sets).unwrap();
        let jailed = Jail::unlinked().enter().unwrap();
        assert_eq!((jailed.entered(), geteuid(), held()), (Entered::UserNamespace, Uid::ROOT, 0));
    });
}

#[test]
fn cap_sys_chroot_alone_needs_no_user_namespace() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let chroot = rustix::thread::CapabilitySet::SYS_CHROOT;
        rustix::thread::set_keep_capabilities(true).unwrap();
        rustix::thread::set_thread_res_uid(Uid::from_raw(7), Uid::from_raw(7), Uid::from_raw(7)).unwrap();
        let sets =
            rustix::thread::CapabilitySets { effective: chroot, permitted: chroot, inheritable: chroot & !chroot };
        rustix::thread::set_capabilities(None, sets).unwrap();
        let jailed = Jail::unlinked().enter().unwrap();
        assert_eq!((jailed.entered(), held()), (Entered::Privilege, chroot.bits()));
        // Or a set-id program would load what this user has put into the new root.
        assert!(rustix::thread::no_new_privs().unwrap());
    });
}

/// Whoever may chroot without being root must not be able to have a set-id program load his own
/// library.
#[test]
fn every_entry_sets_no_new_privs_unless_the_process_is_root_for_good() {
    own_process!();
    root_only!();
    let ids = |real, effective, saved| unsafe { assert_eq!(libc::setresuid(real, effective, saved), 0) };
    for (real, effective, saved, sets) in
        [(0, 0, 0, false), (7, 0, 0, true), (0, 7, 0, true), (0, 0, 7, true), (7, 7, 7, true)]
    {
        for jail in [Jail::unlinked(), Jail::detached(), Jail::directory(b"/var")] {
            as_user(User::Root, || {
                rustix::thread::set_keep_capabilities(true).unwrap();
                let sets_before = rustix::thread::capabilities(None).unwrap();
                ids(real, effective, saved);
                let all = sets_before.permitted;
                let sets_now = rustix::thread::CapabilitySets { effective: all, permitted: all, ..sets_before };
                rustix::thread::set_capabilities(None, sets_now).unwrap();
                unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
                let jailed = jail.enter().unwrap();
                assert_eq!(jailed.entered(), Entered::Privilege);
                assert_eq!(rustix::thread::no_new_privs().unwrap(), sets, "{real} {effective} {saved}");
            });
            as_user(User::Root, || {
                ids(real, effective, saved);
                if effective != 0 {
                    return; // entered by a user namespace
                }
                fake_where(libc::SYS_prctl, Some(libc::PR_SET_NO_NEW_PRIVS as u32), 0);
                match jail.enter() {
                    Ok(_) => assert!(!sets),
                    Err(error) => {
                        assert!(sets, "{error}");
                        assert_eq!(
                            (error.step(), error.raw_os_error(), error.is_partial()),
                            (Step::Verify, None, true)
                        );
                    }
                }
            });
        }
    }
}

#[test]
fn a_second_thread_is_refused_unless_allowed() {
    own_process!();
    as_each_user(|user| {
        let thread = Thread::start();
        assert_refused(refusal(Jail::unlinked()), Step::Threads, Errno::INVAL);
        if user == User::Root {
            let _ = Jail::unlinked().allow_threads().enter().unwrap();
        } else {
            assert_refused(refusal(Jail::unlinked().allow_threads()), Step::NewUserNamespace, Errno::INVAL);
        }
        drop(thread);
    });
}

/// As in a container of Docker's: `chroot` is permitted, `unshare` is not.
#[test]
fn where_unshare_is_filtered_proc_tells_whether_there_are_threads() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        fake(libc::SYS_unshare, Errno::PERM);
        let thread = Thread::start();
        assert_refused(refusal(Jail::unlinked()), Step::Threads, Errno::INVAL);
        drop(thread);
        let _ = Jail::unlinked().enter().unwrap();
    });
    as_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/proc"), 0, "");
        fake(libc::SYS_unshare, Errno::PERM);
        assert_refused(refusal(Jail::unlinked()), Step::Threads, Errno::PERM);
        fs::create_dir("/proc/self").unwrap();
        let one = "1 (it has) 1) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 1";
        fs::write("/proc/self/stat", one).unwrap();
        assert_refused(refusal(Jail::unlinked()), Step::Threads, Errno::PERM);
        let _ = Jail::unlinked().allow_threads().enter().unwrap();
    });
}

#[test]
fn never_gives_the_eperm_of_chroot_and_leaves_the_process_as_it_was() {
    own_process!();
    let parent = Scratch::new();
    as_user(plain(), || {
        std::env::set_current_dir("/usr").unwrap();
        let before = (open_fds(), fs::read_link("/proc/self/ns/user").unwrap());
        let error = refusal(Jail::unlinked_in(parent.bytes()).user_namespace(UserNamespace::Never));
        assert_refused(error, Step::Chroot, Errno::PERM);
        assert!(!error.is_partial());
        let hint =
            "hint: run as root or with CAP_SYS_CHROOT, or allow user namespaces (UserNamespace::Auto, --userns auto)";
        assert_eq!(error.to_string(), format!("cannot chroot: EPERM (operation not permitted); {hint}"));
        assert_eq!((open_fds(), fs::read_link("/proc/self/ns/user").unwrap()), before);
        assert_eq!(std::env::current_dir().unwrap(), Path::new("/usr"));
    });
    assert_eq!(parent.entries(), [] as [&Path; 0]);
}

#[test]
fn a_working_directory_that_cannot_be_searched_is_no_obstacle_but_is_missed_after_a_refusal() {
    own_process!();
    root_only!();
    let closed = Scratch::new();
    fs::set_permissions(&closed.0, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    std::thread::scope(|_| {
        let enter = |jail: Jail<'static>| {
            as_user(User::Root, || {
                std::env::set_current_dir(&closed.0).unwrap();
                rustix::thread::set_thread_res_uid(Uid::from_raw(7), Uid::from_raw(7), Uid::from_raw(7)).unwrap();
                unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
                match jail.enter() {
                    Ok(_) => {}
                    Err(error) => {
                        assert_refused(error, Step::Chroot, Errno::PERM);
                        assert!(error.is_partial());
                        assert!(error.to_string().contains("; the working directory has changed; hint: "), "{error}");
                    }
                }
            });
        };
        enter(Jail::unlinked());
        enter(Jail::unlinked().user_namespace(UserNamespace::Never));
    });
}

#[test]
fn an_rmdir_that_fails_is_an_error() {
    own_process!();
    let parent = Scratch::new();
    as_each_user(|_| {
        fake(libc::SYS_unlinkat, Errno::BUSY);
        let error = refusal(Jail::unlinked_in(parent.bytes()));
        assert_refused(error, Step::Unlink, Errno::BUSY);
        assert!(error.is_partial(), "the directory is still there");
        assert!(error.to_string().ends_with("; the new directory is still there"), "{error}");
        assert!(fs::metadata("/etc").is_ok(), "the root has changed");
    });
    for left in parent.entries() {
        assert!(fs::metadata(&left).unwrap().is_dir() && fs::read_dir(left).unwrap().next().is_none());
    }
}

#[test]
fn an_rmdir_that_does_nothing_is_an_error() {
    own_process!();
    let parent = Scratch::new();
    as_each_user(|_| {
        fake_success(libc::SYS_unlinkat);
        let error = refusal(Jail::unlinked_in(parent.bytes()));
        assert_eq!((error.step(), error.raw_os_error()), (Step::VerifyUnlinked, None), "{error}");
    });
}

/// A filter may return any errno up to 4095: none is taken for an answer of ours, and each can be
/// displayed.
#[test]
fn an_unknown_errno_is_displayed_as_its_number() {
    own_process!();
    for errno in [524, 2999, 3000, 3013, 3099, 3100, 3163, 3164, 4095] {
        as_each_user(|_| {
            fake_errno(libc::SYS_fchdir, errno);
            let error = refusal(Jail::unlinked());
            assert_eq!((error.step(), error.raw_os_error()), (Step::Fchdir, Some(i32::try_from(errno).unwrap())));
            assert_eq!(error.to_string(), format!("cannot change into the directory: errno {errno}"));
        });
    }
}

#[test]
fn a_chroot_that_does_nothing_is_an_error() {
    own_process!();
    as_each_user(|_| {
        fake_success(libc::SYS_chroot);
        let error = refusal(Jail::unlinked());
        assert_eq!((error.step(), error.raw_os_error()), (Step::Verify, None), "{error}");
    });
}

#[test]
fn a_capset_that_does_nothing_is_an_error() {
    own_process!();
    as_user(plain(), || {
        fake_success(libc::SYS_capset);
        let error = refusal(Jail::unlinked());
        assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Verify, None, true), "{error}");
    });
}

#[test]
fn a_refusal_inside_the_user_namespace_is_partial_and_leaves_no_capability() {
    own_process!();
    let parent = Scratch::new();
    as_user(plain(), || {
        let before = (std::env::current_dir().unwrap(), open_fds());
        fake(libc::SYS_write, Errno::IO);
        let error = refusal(Jail::unlinked_in(parent.bytes()));
        assert_refused(error, Step::MapUid, Errno::IO);
        assert!(error.is_partial());
        assert!(error.to_string().ends_with("; the process is in the new user namespace"), "{error}");
        assert_eq!(held(), 0);
        assert_eq!((std::env::current_dir().unwrap(), open_fds()), before);
    });
    assert_eq!(parent.entries(), [] as [&Path; 0]);
}

#[test]
fn a_missing_proc_is_found_before_anything_has_changed() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/proc"), 0, "");
        let ids = Uid::from_raw(7);
        rustix::thread::set_thread_res_uid(ids, ids, ids).unwrap();
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
        let error = refusal(Jail::unlinked());
        assert_refused(error, Step::Proc, Errno::NOENT);
        assert!(!error.is_partial());
        assert!(!Jail::unlinked().id_map(IdMap::None).enter().unwrap().ids_kept());
    });
}

#[test]
fn a_read_only_proc_is_found_before_anything_has_changed() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        own_mounts();
        let read_only = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;
        let mounted =
            unsafe { libc::mount(c"none".as_ptr(), c"/proc".as_ptr(), std::ptr::null(), read_only, std::ptr::null()) };
        assert_eq!(mounted, 0);
        let ids = Uid::from_raw(7);
        rustix::thread::set_thread_res_uid(ids, ids, ids).unwrap();
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
        let namespace = fs::read_link("/proc/self/ns/user").unwrap();
        let error = refusal(Jail::unlinked());
        assert_refused(error, Step::Proc, Errno::ROFS);
        assert!(!error.is_partial());
        assert_eq!(fs::read_link("/proc/self/ns/user").unwrap(), namespace);
        assert_eq!(Jail::auto().enter().is_ok(), failfs());
    });
}

/// As after a `setuid`, with file capabilities, or of a program that may not be read.
#[test]
fn a_process_that_is_not_dumpable_is_refused_before_anything_changed_unless_allowed() {
    own_process!();
    let dumpable = || unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
    let always = Jail::unlinked().user_namespace(UserNamespace::Always);
    as_user(plain(), || {
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
        for jail in [Jail::unlinked(), always, Jail::detached()] {
            let namespace = fs::read_link("/proc/self/ns/user").unwrap();
            let error = refusal(jail);
            assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Proc, None, false));
            assert_eq!(
                error.to_string(),
                "cannot open /proc/self: the process is not dumpable, so the id maps belong to root; hint: enter before the \
                 process changes its user, allow it (Jail::allow_dumpable), or go without id maps (IdMap::None, --id-map none)"
            );
            assert_eq!(error.known_cause(), Some(autochroot::Cause::NotDumpable));
            assert_eq!(fs::read_link("/proc/self/ns/user").unwrap(), namespace);
        }
        assert!(!always.id_map(IdMap::None).enter().unwrap().ids_kept());
        assert_eq!(dumpable(), 0);
    });
    // Root's files are root's.
    for user in users().into_iter().filter(|user| *user == User::Root) {
        as_user(user, || {
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
            fake_where(libc::SYS_prctl, Some(libc::PR_SET_DUMPABLE as u32), libc::EIO as u32);
            assert!(always.enter().unwrap().ids_kept());
        });
    }
    as_each_user(|_| {
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
        let ids = (geteuid(), getegid());
        assert!(always.allow_dumpable().enter().unwrap().ids_kept());
        assert_eq!((geteuid(), getegid(), dumpable()), (ids.0, ids.1, 0));
    });
    // A process that is dumpable is not made to be anything else.
    as_each_user(|_| {
        fake_where(libc::SYS_prctl, Some(libc::PR_SET_DUMPABLE as u32), libc::EIO as u32);
        let _ = always.allow_dumpable().enter().unwrap();
    });
}

#[test]
fn maps_that_only_seem_to_be_written_are_an_error() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/proc"), 0, "mode=777");
        fs::create_dir("/proc/self").unwrap();
        for file in ["uid_map", "setgroups", "gid_map"] {
            fs::write(format!("/proc/self/{file}"), "").unwrap();
            fs::set_permissions(format!("/proc/self/{file}"), std::os::unix::fs::PermissionsExt::from_mode(0o666))
                .unwrap();
        }
        let ids = Uid::from_raw(7);
        rustix::thread::set_thread_res_uid(ids, ids, ids).unwrap();
        unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
        let error = refusal(Jail::unlinked());
        assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Verify, None, true), "{error}");
        assert_eq!(held(), 0);
    });
}

/// It could be another's, that took the place of ours.
#[test]
fn no_mode_is_changed_before_the_directory_is_known_to_be_ours() {
    own_process!();
    let parent = Scratch::new();
    as_each_user(|_| {
        unsafe { libc::umask(0o77) };
        fake(libc::SYS_fchmod, Errno::IO);
        fake_success(libc::SYS_unlinkat);
        let error = refusal(Jail::unlinked_in(parent.bytes()));
        assert_eq!((error.step(), error.raw_os_error()), (Step::VerifyUnlinked, None), "{error}");
        assert!(error.is_partial());
        assert!(error.to_string().ends_with("; a directory that somebody moved or filled may be left"), "{error}");
    });
}

#[test]
fn the_umask_does_not_close_the_root_to_a_later_user() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        unsafe { libc::umask(0o77) };
        let _ = Jail::unlinked().enter().unwrap();
        assert_eq!(fs::metadata("/").unwrap().mode() & 0o7777, 0o555);
        rustix::thread::set_thread_res_uid(Uid::from_raw(7), Uid::from_raw(7), Uid::from_raw(7)).unwrap();
        assert_eq!(fs::metadata("/etc").unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn an_unusable_parent_is_refused_with_the_reason() {
    own_process!();
    let scratch = Scratch::new();
    let file = scratch.0.join("file");
    fs::write(&file, "").unwrap();
    let long = format!("/{}", "x".repeat(256));
    let longer = format!("/{}", "x/".repeat(2048));
    as_each_user(|_| {
        for (parent, errno) in [
            ("", Errno::NOENT),
            ("/nonexistent", Errno::NOENT),
            ("/dev\0/shm", Errno::INVAL),
            (file.to_str().unwrap(), Errno::NOTDIR),
            (&long, Errno::NAMETOOLONG),
            (&longer, Errno::NAMETOOLONG),
        ] {
            let error = refusal(Jail::unlinked_in(parent.as_bytes()));
            assert_refused(error, Step::Parent, errno);
            assert!(!error.is_partial());
        }
        let error = refusal(Jail::unlinked_in(b"tmp"));
        assert_eq!((error.step(), error.raw_os_error()), (Step::Parent, None));
        assert_eq!(error.to_string(), "cannot use the parent directory: the path is not absolute");
        assert_refused(refusal(Jail::unlinked_in(b"/proc")), Step::Mkdir, Errno::NOENT);
    });
    fs::set_permissions(&scratch.0, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    as_each_user(|_| {
        let error = refusal(Jail::unlinked_in(scratch.bytes()));
        assert_eq!(error.to_string(), "cannot use the parent directory: everyone can write to it and it is not sticky");
    });
}

#[test]
fn a_parent_that_is_read_only_or_full_is_refused() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    for (flags, options, errno) in
        [(libc::MS_RDONLY, "mode=1777", Errno::ROFS), (0, "mode=1777,nr_inodes=1", Errno::NOSPC)]
    {
        as_user(User::Root, || {
            own_mounts();
            mount_tmpfs(&scratch.0, flags, options);
            let error = refusal(Jail::unlinked_in(scratch.bytes()));
            assert_refused(error, Step::Mkdir, errno);
            assert!(!error.is_partial());
        });
    }
}

#[test]
fn the_first_parent_that_will_do_is_taken_and_if_none_does_each_is_named() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/dev/shm"), libc::MS_RDONLY, "");
        mount_tmpfs(Path::new("/run"), 0, "mode=777");
        mount_tmpfs(Path::new("/tmp"), 0, "nr_inodes=1");
        mount_tmpfs(Path::new("/var/tmp"), 0, "");
        set_tmpdir(None);
        assert_eq!(Jail::unlinked().enter().unwrap().parent(), Some("/var/tmp"));
    });
    as_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/dev/shm"), libc::MS_RDONLY, "");
        mount_tmpfs(Path::new("/run"), 0, "mode=777");
        mount_tmpfs(Path::new("/tmp"), 0, "nr_inodes=1");
        set_tmpdir(None);
        mount_tmpfs(Path::new("/var"), 0, "");
        let ids = Uid::from_raw(7);
        rustix::thread::set_thread_res_uid(ids, ids, ids).unwrap();
        assert_eq!(
            refusal(Jail::unlinked()).to_string(),
            "cannot create a directory: in /dev/shm: EROFS (read-only file system), \
             in /run: everyone can write to it and it is not sticky, \
             in /tmp: ENOSPC (no space left or limit reached), \
             in /var/tmp: ENOENT (no such file or directory), \
             in /: EACCES (permission denied); hint: name a directory that can be written, or use the root \"detached\""
        );
        set_tmpdir(Some(Path::new("/nonexistent")));
        let error = refusal(Jail::unlinked()).to_string();
        assert!(
            error.starts_with("cannot create a directory: in $TMPDIR: ENOENT (no such file or directory), in /dev"),
            "{error}"
        );
    });
}

#[test]
fn the_error_is_an_io_error_too() {
    own_process!();
    let io = std::io::Error::from(refusal(Jail::unlinked_in(b"/nonexistent").allow_threads().allow_open_directories()));
    assert_eq!(io.kind(), ErrorKind::NotFound);
    assert_eq!(
        io.to_string(),
        "cannot use the parent directory: ENOENT (no such file or directory); hint: name a directory that can be written, or \
         use the root \"detached\""
    );
}

#[test]
fn among_many_descriptors_each_is_looked_at_wherever_it_is() {
    own_process!();
    for (files, directory) in
        [(0, 200), (0, 900), (28, 29), (31, 40), (40, 3), (100, 104), (100, 150), (100, 900), (700, 701), (900, 1000)]
    {
        as_each_user(|_| {
            let file = fs::File::open("/dev/null").unwrap();
            let (from, mut last) = (10, 0);
            for _ in 0..files {
                last = unsafe { libc::fcntl(raw(&file), libc::F_DUPFD, from) };
                assert!(last >= 0);
            }
            let jailed = Jail::unlinked().check();
            assert!(jailed.is_ok(), "{files} files, the last {last}: {jailed:?}");
            let at = if directory < 10 { 10 } else { directory };
            let opened = unsafe { libc::open(c"/".as_ptr(), libc::O_PATH) };
            assert_eq!(unsafe { libc::dup2(opened, at) }, at);
            assert_eq!(unsafe { libc::close(opened) }, 0);
            let error = Jail::unlinked().enter().unwrap_err();
            assert_eq!((error.step(), error.fd()), (Step::Descriptors, Some(at)), "{files} files: {error}");
        });
    }
}

/// The answer of a fork counts when it is whole, however the fork is reaped; otherwise the error
/// says how it ended.
#[test]
fn a_check_without_an_answer_says_what_became_of_the_fork() {
    own_process!();
    as_each_user(|_| {
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        Jail::unlinked().check().unwrap();
    });
    as_each_user(|_| {
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        kill_at(libc::SYS_fchdir);
        let error = Jail::unlinked().check().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Fork, None, false));
        let killed =
            format!("cannot try it in a process of its own: that process was killed by signal {}", libc::SIGSYS);
        assert_eq!(error.to_string(), killed);
    });
    for errno in [Errno::AGAIN, Errno::NOMEM, Errno::NOSYS] {
        as_each_user(|_| {
            fake(libc::SYS_clone, errno);
            #[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64")))]
            fake(libc::SYS_fork, errno);
            assert_refused(Jail::unlinked().check().unwrap_err(), Step::Fork, errno);
        });
    }
}

#[test]
fn an_option_that_does_not_go_with_the_root_is_an_error() {
    own_process!();
    for (jail, message) in [
        (Jail::unjailed().or(Jail::unlinked()), "only the roots unlinked, detached and failfs can be in a list"),
        (Jail::unjailed().user_namespace(UserNamespace::Always), "a user namespace can only be demanded for a jail"),
    ] {
        as_each_user(|_| {
            for error in [refusal(jail), jail.check().unwrap_err()] {
                assert_eq!((error.step(), error.raw_os_error(), error.is_partial()), (Step::Options, None, false));
                assert_eq!(error.to_string(), format!("cannot use these options: {message}"));
            }
        });
    }
    root_only!();
    as_user(User::Root, || {
        let before = held();
        let keep = autochroot::Capabilities::NET_BIND_SERVICE;
        let error = Jail::unlinked().enter().unwrap().run_as_keeping(&account(0, 0, &[]), keep).unwrap_err();
        assert_eq!((error.step(), error.raw_os_error(), held()), (Step::CheckIds, None, before));
        assert!(error.to_string().contains("root keeps all its capabilities: pass those to keep to the seal"));
    });
}

/// A kernel without users (`CONFIG_MULTIUSER`) has no such call, and a filter may refuse it: that
/// does not make the new directory somebody else's.
#[test]
fn without_getresuid_the_parent_is_not_blamed() {
    own_process!();
    for errno in [Errno::NOSYS, Errno::PERM] {
        as_each_user(|_| {
            fake(GETRESUID, errno);
            let _ = Jail::unlinked().enter().unwrap();
            assert!(rustix::thread::no_new_privs().unwrap());
        });
    }
}

/// What cannot be undone is the user namespace. Its capabilities go, and nothing else changes.
#[test]
fn a_refusal_in_a_user_namespace_changes_no_more_than_it_says() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        fake(libc::SYS_chroot, Errno::PERM);
        let error = refusal(Jail::unlinked().user_namespace(UserNamespace::Always));
        assert_eq!((error.step(), error.is_partial(), held()), (Step::Chroot, true, 0), "{error}");
        assert!(!rustix::thread::no_new_privs().unwrap());
    });
}

/// Whoever starts a program that runs with other ids must not choose where it makes directories.
#[test]
fn tmpdir_counts_only_where_real_and_effective_ids_are_the_same() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    for (uid, gid, counts) in [(None, None, true), (Some(7), None, false), (None, Some(7), false)] {
        as_user(User::Root, || {
            set_tmpdir(Some(&scratch.0));
            let gid = gid.map(Gid::from_raw);
            rustix::thread::set_thread_res_gid(None, gid, None).unwrap();
            rustix::thread::set_thread_res_uid(None, uid.map(Uid::from_raw), None).unwrap();
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
            let parent = Jail::unlinked().enter().unwrap().parent();
            assert_eq!(parent == Some("$TMPDIR"), counts, "{uid:?} {gid:?}: {parent:?}");
        });
    }
}

/// Of an ordinary user `Auto` enters and `Never` does not; of root neither makes a user namespace.
#[test]
fn auto_and_never_differ_where_there_is_no_privilege() {
    own_process!();
    for (when, entered) in [(UserNamespace::Auto, true), (UserNamespace::Never, false), (UserNamespace::Always, true)] {
        as_each_user(|user| {
            let namespace = fs::read_link("/proc/self/ns/user").unwrap();
            let proc = fs::File::open("/proc/self/ns").unwrap();
            let jail = Jail::unlinked().user_namespace(when).allow_open_directories();
            assert_eq!(jail.enter().is_ok(), entered || user == User::Root, "{when:?}");
            assert_eq!(unsafe { libc::fchdir(raw(&proc)) }, 0);
            let moved = fs::read_link("user").unwrap() != namespace;
            assert_eq!(moved, when == UserNamespace::Always || when == UserNamespace::Auto && user != User::Root);
        });
    }
}
