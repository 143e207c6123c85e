//! Why an entry is refused: each cause produced for real, and none where it is not known.
//!
//! The sysctl of Debian and a limit of 0 for the whole machine are in `tests/kernel.rs`. Not
//! reproducible here, and backed by their sources alone: `AppArmor` (Ubuntu's kernel), `SELinux`, a
//! kernel without user namespaces or older than 5.2.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use crate::common::*;
use autochroot::{Jail, UserNamespace};
use rustix::io::Errno;
use rustix::process::Uid;

/// Enters, is refused, and returns the whole message. What a `main` prints that returns the error
/// is the same.
fn refusal(jail: Jail<'_>) -> String {
    let error = jail.enter().expect_err("entered");
    assert_eq!(format!("{error:?}"), error.to_string());
    assert_eq!(std::io::Error::from(error).to_string(), error.to_string());
    error.to_string()
}

const USERNS: &str = "cannot create a user namespace";
const PERM: &str = "EPERM (operation not permitted)";
const FILTER: &str = "hint: a seccomp filter is in force, which may have refused it (systemd: SystemCallFilter=; containers: \
    the profile)";

/// No capability is held any more.
fn drop_capabilities() {
    hold(rustix::thread::CapabilitySet::empty());
}

/// Only these capabilities are held.
fn hold(capabilities: rustix::thread::CapabilitySet) {
    let sets =
        rustix::thread::CapabilitySets { effective: capabilities, permitted: capabilities, inheritable: capabilities };
    rustix::thread::set_capabilities(None, sets).unwrap();
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
    own_process!();
    as_user(plain(), || {
        let never = Jail::unlinked().user_namespace(UserNamespace::Never);
        let text = "cannot chroot: EPERM (operation not permitted); hint: run as root or with CAP_SYS_CHROOT, \
                    or allow user namespaces (UserNamespace::Auto, --userns auto)";
        assert_eq!(refusal(never), text);
        let directory = fs::File::open("/").unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
        let text = format!(
            "cannot accept the open descriptors: descriptor {number} is a directory; hint: close the directory: the \
             process could leave the jail through it"
        );
        assert_eq!(refusal(Jail::unlinked()), text);
        drop(directory);
        let _thread = Thread::start();
        let hint = "hint: the process has other threads (library): enter and seal before starting any, for example before the tokio \
                    runtime";
        let text = format!("cannot rule out other threads: EINVAL (invalid argument); {hint}");
        let own = fs::read_to_string("/proc/thread-self/comm").unwrap();
        let text = text.replace("(library)", &format!("({})", own.trim()));
        assert_eq!(refusal(Jail::unlinked()), text);
        let text = text.replace("rule out other threads", "create a user namespace");
        assert_eq!(refusal(Jail::unlinked().allow_threads()), text);
    });
}

#[test]
fn a_seccomp_filter() {
    own_process!();
    for (errno, name) in [(Errno::PERM, PERM), (Errno::NOSYS, "ENOSYS (the kernel does not have this call)")] {
        as_user(plain(), || {
            fake(libc::SYS_unshare, errno);
            let hint = "a seccomp filter refuses unshare: change the filter, or run as root with CAP_SYS_CHROOT";
            assert_eq!(refusal(Jail::unlinked()), format!("{USERNS}: {name}; hint: {hint}"));
        });
    }
    // One that lets through what the process asks for itself cannot be told from other reasons.
    for (errno, name) in [(libc::EPERM, PERM), (libc::EACCES, "EACCES (permission denied)")] {
        as_user(plain(), || {
            fake_where(libc::SYS_unshare, Some(libc::CLONE_NEWUSER as u32), errno.unsigned_abs());
            assert_eq!(refusal(Jail::unlinked()), format!("{USERNS}: {name}; {FILTER}"));
        });
    }
    // The same in the namespace.
    as_user(plain(), || {
        fake(libc::SYS_chroot, Errno::PERM);
        let partial = "; the process is in the new user namespace";
        assert_eq!(refusal(Jail::unlinked()), format!("cannot chroot: {PERM}{partial}; {FILTER}"));
    });
    // An old kernel is not blamed for what a filter says.
    as_user(plain(), || {
        fake(libc::SYS_fsopen, Errno::NOSYS);
        let text = "cannot mount a detached tmpfs: ENOSYS (the kernel does not have this call)";
        assert_eq!(refusal(Jail::detached()), format!("{text}; {FILTER}"));
    });
    root_only!();
    // As systemd's SystemCallFilter=~@mount. With the capability no user namespace is made.
    as_user(User::Root, || {
        fake(libc::SYS_chroot, Errno::PERM);
        let before = fs::read_link("/proc/self/ns/user").unwrap();
        assert_eq!(refusal(Jail::unlinked()), format!("cannot chroot: {PERM}; {FILTER}"));
        assert_eq!(fs::read_link("/proc/self/ns/user").unwrap(), before);
    });
}

#[test]
fn capabilities_that_are_missing() {
    own_process!();
    use rustix::thread::CapabilitySet as Set;
    root_only!();
    let hint = |missing: &str| {
        format!(
            "hint: missing: {missing}; start as root, and allow it in a container or unit (systemd: CapabilityBoundingSet=, with User= also AmbientCapabilities=)"
        )
    };
    as_user(User::Root, || {
        hold(Set::SETUID | Set::SETGID);
        let never = Jail::unlinked().user_namespace(UserNamespace::Never);
        assert_eq!(refusal(never), format!("cannot chroot: {PERM}; {}", hint("CAP_SYS_CHROOT")));
    });
    for (held, step, missing) in [
        (Set::SYS_CHROOT | Set::SETPCAP, "set the supplementary groups", "CAP_SETGID"),
        (Set::SYS_CHROOT | Set::SETPCAP | Set::SETGID, "set the user id", "CAP_SETUID"),
    ] {
        as_user(User::Root, || {
            hold(held);
            let error = Jail::unlinked().enter().unwrap().run_as(&account(7, 7, &[])).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with(&format!("cannot {step}: {PERM}; ")) && text.ends_with(&hint(missing)), "{text}");
        });
    }
    as_user(User::Root, || {
        hold(Set::SYS_CHROOT);
        let seal = autochroot::Seal::new().keep(autochroot::Capabilities::named(b"net_admin").unwrap());
        let text = Jail::unlinked().enter().unwrap().seal_with(seal).unwrap_err().to_string();
        let expected = "cannot keep the capabilities: net_admin is not held; the process has the new root";
        assert_eq!(text, format!("{expected}; {}", hint("CAP_NET_ADMIN")));
    });
    as_user(User::Root, || {
        hold(Set::SYS_CHROOT);
        let seal = autochroot::Seal::new().require(autochroot::Protection::Securebits);
        let text = Jail::unlinked().enter().unwrap().seal_with(seal).unwrap_err().to_string();
        let expected = "cannot put a required protection in force: securebits is missing; the process has the new root";
        assert_eq!(text, format!("{expected}; {}", hint("CAP_SETPCAP")));
    });
}

/// An id that the user namespace around the process does not map, and groups that it may not set.
#[test]
fn a_user_outside_the_user_namespace_is_named() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        // Only from outside are more ids than one mapped.
        let (inside, outside) = std::os::unix::net::UnixStream::pair().unwrap();
        let pid = std::process::id();
        let helper = unsafe { libc::fork() };
        if helper == 0 {
            (&outside).read_exact(&mut [0]).unwrap();
            fs::write(format!("/proc/{pid}/uid_map"), "0 0 1000").unwrap();
            fs::write(format!("/proc/{pid}/gid_map"), "0 0 1000").unwrap();
            unsafe { libc::_exit(0) };
        }
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, 0);
        (&inside).write_all(b".").unwrap();
        assert_eq!(exit_status(helper), 0);
        let text = Jail::unlinked().enter().unwrap().run_as(&account(100_000, 100, &[])).unwrap_err().to_string();
        let expected = "cannot set the user id: EINVAL (invalid argument); the process has the new root; the \
                        supplementary groups have changed; the group id has changed; the process is neither user: end it; hint: the id is not mapped in this user namespace: map it in uid_map and \
                        gid_map";
        assert_eq!(text, expected);
    });
    as_user(SOMEBODY, || {
        assert!(nested_user_namespace());
        let text = Jail::unlinked().enter().unwrap().run_as(&account(12345, 12345, &[])).unwrap_err().to_string();
        let expected = "cannot set the supplementary groups: EPERM (operation not permitted); the process has the new root; \
                        hint: this user namespace denies setgroups: start with the user's groups";
        assert_eq!(text, expected);
    });
}

#[test]
fn no_descriptor_is_left() {
    own_process!();
    as_user(plain(), || {
        let none = |free: u64| {
            let limit = libc::rlimit { rlim_cur: free, rlim_max: free };
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
        };
        let free = open_fds().len() as u64 + 1; // the working directory takes it
        none(free);
        let hint = "hint: the limit of open files is reached: raise it (ulimit -n, LimitNOFILE= in systemd)";
        let text = refusal(Jail::unlinked());
        assert!(text.starts_with("cannot create a directory: in ") && text.ends_with(hint), "{text}");
        assert!(text.contains("in /dev/shm: EMFILE (too many open files), in /run: EMFILE"), "{text}");
        let text = refusal(Jail::unlinked_in(b"/tmp"));
        assert_eq!(text, format!("cannot use the parent directory: EMFILE (too many open files); {hint}"));
    });
}

/// Each seal is a layer, and no more than 16 can be in force.
#[test]
fn sixteen_layers_of_landlock() {
    own_process!();
    if landlock_abi().is_none() {
        return skipped("this kernel has no Landlock");
    }
    as_user(plain(), || {
        unsafe {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
            // Executing is handled, and no rule needed for what does not execute.
            let attributes = [1_u64];
            let ruleset = libc::syscall(libc::SYS_landlock_create_ruleset, attributes.as_ptr(), 8, 0);
            for _ in 0..16 {
                assert_eq!(libc::syscall(libc::SYS_landlock_restrict_self, ruleset, 0), 0);
            }
            libc::syscall(libc::SYS_close, ruleset);
        }
        let text = Jail::unlinked().enter().unwrap().seal().unwrap_err().to_string();
        let hint = "hint: 16 layers of Landlock are in force already, and there cannot be more";
        assert!(text.starts_with("cannot enforce the Landlock ruleset: E2BIG (") && text.ends_with(hint), "{text}");
    });
}

#[test]
fn a_limit_of_zero_and_one_that_is_reached() {
    own_process!();
    let reached = "a limit of namespaces in /proc/sys/user is reached, or user namespaces are nested 32 deep";
    for (sysctl, limit, hint) in [
        ("max_user_namespaces", "0", "raise the sysctl user.max_user_namespaces, which is 0"),
        ("max_mnt_namespaces", "0", "raise the sysctl user.max_mnt_namespaces, which is 0"),
        ("max_user_namespaces", "1", reached),
    ] {
        as_user(plain(), || {
            assert!(nested_user_namespace());
            fs::write(format!("/proc/sys/user/{sysctl}"), limit).unwrap();
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
            drop_capabilities();
            let text = format!("{USERNS}: ENOSPC (no space left or limit reached); hint: {hint}");
            assert_eq!(refusal(Jail::detached()), text);
            // The one that has it, if there is one, ends with its socket.
        });
    }
}

#[test]
fn a_nesting_of_more_than_32() {
    own_process!();
    as_user(plain(), || {
        let depth = (0..100).take_while(|_| nested_user_namespace()).count();
        let text = refusal(Jail::unlinked().user_namespace(UserNamespace::Always));
        let hint = "; hint: a limit of namespaces in /proc/sys/user is reached, or user namespaces are nested 32 deep";
        assert!(text.starts_with(USERNS) && text.ends_with(hint), "{depth}: {text}");
    });
}

#[test]
fn a_chroot_around_it_and_an_id_that_is_not_mapped() {
    own_process!();
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
        let hint = "hint: in a chroot no user namespace can be created: start outside it, or as root with CAP_SYS_CHROOT and CAP_SYS_ADMIN";
        let text = format!("cannot open /proc/self: ENOENT (no such file or directory); {hint}");
        assert_eq!(refusal(Jail::unlinked()), text);
        let jail = Jail::unlinked().id_map(autochroot::IdMap::None);
        assert_eq!(refusal(jail), format!("{USERNS}: {PERM}; {hint}"));
    });
    for mapped in [&[][..], &["uid_map"], &["gid_map"]] {
        as_user(SOMEBODY, || {
            let id = rustix::process::geteuid().as_raw();
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, 0);
            fs::write("/proc/self/setgroups", "deny").unwrap();
            for map in mapped {
                fs::write(format!("/proc/self/{map}"), format!("{id} {id} 1")).unwrap();
            }
            drop_capabilities();
            let hint = "the user or group id is not mapped in this user namespace: map it in uid_map and gid_map";
            assert_eq!(refusal(Jail::detached()), format!("{USERNS}: {PERM}; hint: {hint}"), "{mapped:?}");
        });
    }
}

/// A second entry inside a jail of any kind. That a detached root is one is seen from Linux 6.8 on.
#[test]
fn a_jail_around_it() {
    own_process!();
    // SAFETY: statmount without arguments only fails.
    let kernel_tells = unsafe { libc::syscall(457, 0, 0, 0, 0) } == -1
        && std::io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT);
    for (outer, is_known) in [(Jail::detached(), kernel_tells), (Jail::unlinked(), true), (Jail::failfs(), true)] {
        as_user(plain(), || {
            if outer.check().is_err() {
                return; // no failfs
            }
            let _jailed = outer.enter().unwrap();
            let unmapped = Jail::detached().id_map(autochroot::IdMap::None);
            for jail in [Jail::auto(), Jail::detached(), Jail::unlinked(), unmapped] {
                let told = refusal(jail);
                let hint = "; hint: in a chroot no user namespace can be created: start outside it, or as root with CAP_SYS_CHROOT and CAP_SYS_ADMIN";
                assert_eq!(told.ends_with(hint), is_known, "{outer}: {told}");
            }
        });
    }
    // Root too cannot create one there.
    root_only!();
    as_user(User::Root, || {
        let _jailed = Jail::unlinked().enter().unwrap();
        let told = refusal(Jail::detached().user_namespace(UserNamespace::Always));
        assert!(told.contains("; hint: in a chroot"), "{told}");
    });
}

#[test]
fn proc_that_is_missing_hidden_or_read_only() {
    own_process!();
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
                Err(error) => error.to_string(),
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
    let text = "cannot open /proc/self: ENOENT (no such file or directory); hint: mount /proc, or go without id maps \
                and files (IdMap::None, --id-map none)";
    assert_eq!(as_seven(&missing, Jail::unlinked()), text);
    let filtered = || {
        missing();
        fake(libc::SYS_unshare, Errno::PERM);
    };
    let text = "cannot rule out other threads: EPERM (operation not permitted); hint: a seccomp filter refuses unshare: \
                mount /proc, where the threads can be counted";
    assert_eq!(as_seven(&filtered, Jail::unlinked()), text);
    let text = "cannot open /proc/self: EROFS (read-only file system); hint: /proc is read-only: mount it writable, \
                or go without id maps and files (IdMap::None, --id-map none)";
    assert_eq!(as_seven(&|| proc(libc::MS_RDONLY, ""), Jail::unlinked()), text);
    assert_eq!(as_seven(&|| proc(0, "hidepid=2"), Jail::unlinked()), "entered");
    assert_eq!(as_seven(&|| proc(0, "subset=pid"), Jail::unlinked()), "entered");
    let everything_read_only = || {
        for parent in ["/dev/shm", "/run", "/tmp", "/var/tmp"] {
            mount_tmpfs(Path::new(parent), libc::MS_RDONLY, "");
        }
        set_tmpdir(None);
    };
    let text = as_seven(&everything_read_only, Jail::unlinked());
    assert!(
        text.starts_with("cannot create a directory: in /dev/shm: EROFS (read-only file system), in /run: "),
        "{text}"
    );
    assert!(text.ends_with("; hint: name a directory that can be written, or use the root \"detached\""), "{text}");
    // Where a detached root failed too, it is no remedy.
    let no_mount_either = || {
        everything_read_only();
        fake(libc::SYS_fsopen, Errno::NODEV);
    };
    let text = as_seven(&no_mount_either, Jail::auto());
    assert!(text.ends_with("; hint: name a directory that can be written") || text == "entered", "{text}");
}

#[test]
fn uid_0_that_may_not_be_mapped() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        drop_capabilities();
        let text = "cannot write uid_map: EPERM (operation not permitted); the process is in the new user namespace; hint: uid \
                    0 needs CAP_SETFCAP to keep its id: grant it, or go without id maps (IdMap::None, --id-map none)";
        assert_eq!(refusal(Jail::unlinked()), text);
    });
}

/// A Landlock domain cannot be asked for: what it refuses has no known cause.
#[test]
fn landlock_before_the_jail_is_not_known() {
    own_process!();
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
        assert_eq!(
            refusal(Jail::unlinked_in(b"/dev/shm")),
            "cannot create a directory in the parent directory: EACCES (permission denied)"
        );
    });
}

#[test]
fn what_is_not_known_is_not_guessed() {
    own_process!();
    let eio = "EIO (input/output error)";
    as_user(plain(), || {
        fake(libc::SYS_mkdirat, Errno::IO);
        assert_eq!(
            refusal(Jail::unlinked_in(b"/dev/shm")),
            format!("cannot create a directory in the parent directory: {eio}")
        );
    });
    as_user(plain(), || {
        fake(libc::SYS_chroot, Errno::IO);
        assert_eq!(refusal(Jail::unlinked()), format!("cannot chroot: {eio}"));
    });
    as_user(plain(), || {
        fake_success(libc::SYS_chroot);
        assert!(!refusal(Jail::unlinked()).contains("hint"));
    });
}
