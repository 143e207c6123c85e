//! Every kind of root, on every kind of file system that a parent can be on.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicUsize, Ordering::Relaxed};

use crate::common::*;
use autochroot::{Demands, Entered, Jail, Root, Step, UserNamespace};
use rustix::io::Errno;
use rustix::process::{Uid, geteuid};

/// Becomes the ordinary user again for whom mounts were made as root.
fn become_plain(id: u32) {
    let uid = Uid::from_raw(id);
    rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
}

/// In a mount namespace that `mount` fills, as root and as an ordinary user.
fn with_mounts(mount: impl Fn(), body: impl Fn(User)) {
    for user in [User::Root, SOMEBODY] {
        as_user(User::Root, || {
            own_mounts();
            mount();
            if let User::Plain(id) = user {
                become_plain(id);
            }
            body(user);
        });
    }
}

fn assert_empty_root(root: Root) {
    assert!(fs::read_dir("/").unwrap().next().is_none());
    let refused = if root == Root::Detached { ErrorKind::ReadOnlyFilesystem } else { ErrorKind::NotFound };
    assert_eq!(fs::create_dir("/x").unwrap_err().kind(), refused);
    assert_eq!(fs::write("/x", "").unwrap_err().kind(), refused);
    assert_eq!(fs::read("/etc/passwd").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(fs::read("../etc/passwd").unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn detached_has_no_name_and_is_read_only() {
    own_process!();
    for user in users() {
        as_user_watched(
            user,
            || {
                let before = (held(), geteuid(), open_fds());
                let proc = fs::read_link("/proc/self").unwrap();
                let jailed = Jail::detached().enter().unwrap();
                assert_eq!(jailed.root(), Root::Detached);
                assert_eq!(jailed.entered() == Entered::Privilege, user == User::Root);
                assert_empty_root(Root::Detached);
                assert_eq!((held(), geteuid()), (before.0, before.1));
                assert_eq!(proc.to_str().unwrap(), std::process::id().to_string());
                let mut file_system: libc::statvfs = unsafe { std::mem::zeroed() };
                assert_eq!(unsafe { libc::statvfs(c"/".as_ptr(), &raw mut file_system) }, 0);
                let flags = libc::ST_RDONLY | libc::ST_NOSUID | libc::ST_NODEV | libc::ST_NOEXEC;
                assert_eq!(file_system.f_flag & flags, flags);
                let findings = jailed.verify().unwrap();
                assert!(!findings.takes_nameless_files() && !findings.mode_can_change());
                let fds: Vec<_> = (0..300).filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0).collect();
                assert_eq!(fds.len(), before.2.len());
                jailed.seal().unwrap().jailed().verify().unwrap();
            },
            |pid| {
                let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
                assert!(!mounts.contains("autochroot"), "{mounts}");
                assert_eq!(fs::read_link(format!("/proc/{pid}/root")).unwrap(), Path::new("/"));
            },
        );
    }
}

#[test]
fn a_list_goes_on_where_no_parent_can_be_written() {
    own_process!();
    root_only!();
    let all_read_only = || {
        for parent in ["/dev/shm", "/run", "/tmp", "/var/tmp"] {
            mount_tmpfs(Path::new(parent), libc::MS_RDONLY, "");
        }
        let flags = libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY;
        let remounted =
            unsafe { libc::mount(c"none".as_ptr(), c"/".as_ptr(), std::ptr::null(), flags, std::ptr::null()) };
        assert_eq!(remounted, 0);
        set_tmpdir(None);
    };
    with_mounts(all_read_only, |_| {
        let jailed = Jail::unlinked().or(Jail::detached()).enter().unwrap();
        assert_eq!((jailed.root(), jailed.parent()), (Root::Detached, None));
        assert_empty_root(Root::Detached);
    });
    with_mounts(all_read_only, |_| {
        let error = Jail::unlinked().enter().unwrap_err();
        assert!(error.to_string().contains("in /: EROFS (read-only file system); hint: name a directory"), "{error}");
        assert!(!error.is_partial());
    });
    // Every attempt is named, and every parent.
    with_mounts(all_read_only, |user| {
        if failfs() {
            return;
        }
        fake(libc::SYS_fsopen, Errno::NOSYS);
        let error = Jail::auto().user_namespace(UserNamespace::Never).enter().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Mount, Some(libc::ENOSYS)), "{user:?}");
        assert!(!error.is_partial());
        let text = error.to_string();
        assert!(
            text.starts_with(
                "cannot enter any root: detached: cannot mount a detached tmpfs: ENOSYS (the kernel does not have this \
                 call); unlinked: cannot create a directory: in /dev/shm: EROFS (read-only file system), in /run: "
            ),
            "{text}"
        );
        assert!(text.contains("in /: EROFS (read-only file system); failfs: cannot use failfs: "), "{text}");
    });
    // A parent that is named has no stand-in.
    with_mounts(all_read_only, |_| {
        let error = Jail::unlinked_in(b"/tmp").enter().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Mkdir, Some(libc::EROFS)));
    });
}

#[test]
fn an_unlinked_root_is_made_on_every_file_system() {
    own_process!();
    root_only!();
    if !have("mkfs.ext4") {
        return skipped("no mkfs.ext4");
    }
    let scratch = Scratch::new();
    let path = |name: &str| scratch.0.join(name);
    for name in ["lower", "overlay", "mount", "disk"] {
        fs::create_dir(path(name)).unwrap();
    }
    let run = |program: &str, args: &[&std::ffi::OsStr]| {
        let output = Command::new(program).args(args).output().unwrap();
        assert!(output.status.success(), "{program} {args:?}: {output:?}");
    };
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o1777)).unwrap();
    let overlay = |upper: &Path| {
        fs::create_dir_all(upper.join("upper")).unwrap();
        fs::create_dir_all(upper.join("work")).unwrap();
        let mut options = std::ffi::OsString::from("lowerdir=");
        options.push(path("lower"));
        options.push(",upperdir=");
        options.push(upper.join("upper"));
        options.push(",workdir=");
        options.push(upper.join("work"));
        run(
            "mount",
            &["-t".as_ref(), "overlay".as_ref(), "none".as_ref(), "-o".as_ref(), &options, path("overlay").as_ref()],
        );
        open(&path("overlay"));
    };
    let enters = |parent: &Path| {
        let parent = parent.as_os_str().as_encoded_bytes().to_vec();
        move |_: User| {
            let jailed = Jail::unlinked_in(&parent).enter().unwrap();
            assert_eq!(jailed.root(), Root::Unlinked);
            assert_empty_root(Root::Unlinked);
            jailed.verify().unwrap();
        }
    };
    with_mounts(|| mount_tmpfs(&path("mount"), 0, "mode=1777"), enters(&path("mount")));
    with_mounts(
        || {
            run("mount", &["-t".as_ref(), "ramfs".as_ref(), "none".as_ref(), path("mount").as_ref()]);
            open(&path("mount"));
        },
        enters(&path("mount")),
    );
    // An overlay whose upper layer is a disk, and one whose upper layer is a tmpfs.
    with_mounts(|| overlay(&path("disk")), enters(&path("overlay")));
    with_mounts(
        || {
            mount_tmpfs(&path("mount"), 0, "");
            overlay(&path("mount"));
        },
        enters(&path("overlay")),
    );
    // A directory that only the lower layer has.
    let lower = path("lower").join("directory");
    fs::create_dir(&lower).unwrap();
    open(&lower);
    with_mounts(|| overlay(&path("disk")), enters(&path("overlay").join("directory")));
    assert_eq!(fs::read_dir(&lower).unwrap().count(), 0);
    fs::remove_dir(&lower).unwrap();
    fs::remove_dir(path("disk/upper/directory")).unwrap();
    // A disk of its own; and the same with no inode left.
    let image = path("image");
    fs::File::create(&image).unwrap().set_len(4 << 20).unwrap();
    run("mkfs.ext4", &["-q".as_ref(), "-N".as_ref(), "16".as_ref(), image.as_ref()]);
    let ext4 = || {
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), path("mount").as_ref()]);
        open(&path("mount"));
    };
    with_mounts(ext4, enters(&path("mount")));
    let no_inodes = || {
        ext4();
        let _ = (0..100).try_for_each(|n| fs::create_dir(path("mount").join(n.to_string())));
    };
    let parent = path("mount");
    with_mounts(no_inodes, |_| {
        let error = Jail::unlinked_in(parent.as_os_str().as_encoded_bytes()).enter().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Mkdir, Some(libc::ENOSPC)));
    });
    // A directory that can be written, seen through a mount that cannot.
    let read_only = || {
        run("mount", &["--bind".as_ref(), scratch.0.as_ref(), path("mount").as_ref()]);
        run("mount", &["-o".as_ref(), "remount,bind,ro".as_ref(), path("mount").as_ref()]);
    };
    with_mounts(read_only, |_| {
        let error = Jail::unlinked_in(parent.as_os_str().as_encoded_bytes()).enter().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Mkdir, Some(libc::EROFS)));
    });
    for directory in ["mount", "overlay", "lower", "disk/upper"] {
        assert_eq!(fs::read_dir(path(directory)).unwrap().count(), 0, "{directory}");
    }
}

#[test]
fn a_parent_may_be_a_symlink_and_its_path_long() {
    own_process!();
    let scratch = Scratch::new();
    let link = scratch.0.join("link");
    symlink(&scratch.0, &link).unwrap();
    let mut deep = scratch.0.clone();
    // The last component brings the path to 255 bytes: beyond that, another buffer is taken.
    deep.push("d".repeat(254 - scratch.0.as_os_str().len()));
    for path in [deep.clone(), {
        let mut longer = deep.clone();
        longer.push("e".repeat(200));
        longer
    }] {
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o1777)).unwrap();
        as_each_user(|_| {
            let _ = Jail::unlinked_in(path.as_os_str().as_encoded_bytes()).enter().unwrap();
        });
        assert_eq!(fs::read_dir(&path).unwrap().filter(|entry| !entry.as_ref().unwrap().path().is_dir()).count(), 0);
    }
    as_each_user(|_| {
        let _ = Jail::unlinked_in(link.as_os_str().as_encoded_bytes()).enter().unwrap();
    });
    let too_long = format!("/{}", "/".repeat(4095));
    as_each_user(|_| {
        let error = Jail::unlinked_in(too_long.as_bytes()).enter().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
        let longest = &too_long[..4095];
        let error = Jail::unlinked_in(longest.as_bytes()).enter();
        assert_eq!(error.is_ok(), geteuid().is_root(), "/ itself, which only root can write to");
    });
    let removed = scratch.0.join("removed");
    fs::create_dir(&removed).unwrap();
    as_each_user(|_| {
        // Open, and gone before anything is made in it: through /proc, since the path is looked up
        // only once.
        let Ok(held) = fs::File::open(&removed) else { return };
        let path = format!("/proc/self/fd/{}", raw(&held));
        if fs::remove_dir(&removed).is_ok() || !removed.exists() {
            let error = Jail::unlinked_in(path.as_bytes()).allow_open_directories().enter().unwrap_err();
            assert_eq!((error.step(), error.raw_os_error()), (Step::Mkdir, Some(libc::ENOENT)));
        }
    });
}

#[test]
fn a_directory_is_entered_as_it_is() {
    own_process!();
    let scratch = Scratch::new();
    fs::write(scratch.0.join("file"), "text").unwrap();
    as_each_user(|_| {
        let jailed = Jail::directory(scratch.bytes()).enter().unwrap();
        assert_eq!((jailed.root(), jailed.parent()), (Root::Directory, None));
        assert_eq!(fs::read_to_string("/file").unwrap(), "text");
        assert!(fs::metadata("/../etc").is_err());
        jailed.verify().unwrap();
        // Sealed, it is still there to be used, and nothing else is.
        let jailed = jailed.seal().unwrap();
        assert_eq!(fs::read_to_string("/file").unwrap(), "text");
        fs::write("/file", "text").unwrap_or_else(|error| assert_eq!(error.kind(), ErrorKind::PermissionDenied));
        jailed.jailed().verify().unwrap();
    });
    // Through a directory that was open, the seal lets nothing through.
    as_each_user(|_| {
        let outside = fs::File::open("/usr").unwrap();
        let _sealed = Jail::directory(scratch.bytes()).allow_open_directories().enter().unwrap().seal().unwrap();
        assert_eq!(unsafe { libc::fchdir(raw(&outside)) }, 0);
        assert_eq!(fs::read_dir(".").is_err(), landlock_abi().is_some());
    });
}

#[test]
fn demands_on_a_directory_are_met_or_it_is_refused() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    let directory = |name: &str, mode: u32, owner: u32| {
        let path = scratch.0.join(name);
        fs::create_dir(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(owner), None).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let good = directory("good", 0o755, 0);
    let full = directory("full", 0o755, 0);
    fs::write(format!("{full}/file"), "").unwrap();
    let foreign = directory("foreign", 0o755, 4711);
    let open = directory("open", 0o775, 0);
    let link = format!("{}/link", scratch.0.display());
    symlink(&good, &link).unwrap();
    let demanding = |path: &str| {
        let path = path.to_owned();
        ask_user(User::Root, || {
            let jail = Jail::checked_directory(path.as_bytes(), Demands::new().empty().owner().unwritable());
            jail.enter().map_or_else(|error| error.to_string(), |_| "entered".into())
        })
    };
    assert_eq!(demanding(&good), "entered");
    assert_eq!(demanding(&full), "cannot use the directory: it is not empty");
    assert_eq!(demanding(&foreign), "cannot use the directory: it belongs neither to root nor to us");
    assert_eq!(demanding(&open), "cannot use the directory: its group or everyone can write to it");
    assert_eq!(demanding(&link), "entered");
    assert_eq!(demanding("relative"), "cannot use the directory: the path is not absolute");
    assert_eq!(demanding(""), "cannot use the directory: the path is not absolute");
    assert_eq!(
        demanding("/nonexistent"),
        "cannot use the directory: component 1 of the path: ENOENT (no such file or directory)"
    );
    assert_eq!(
        demanding("/etc/passwd"),
        "cannot use the directory: component 2 of the path is a symbolic link or no directory"
    );
    let no_jail = "cannot use the directory: it is the root directory already; write \"/\" for no jail";
    for path in ["//", "/.", "/usr/.."] {
        assert_eq!(demanding(path), no_jail);
    }
    // An ordinary user's own directory is as good as root's.
    let own = directory("own", 0o755, 12345);
    as_user(SOMEBODY, || {
        let _ = Jail::checked_directory(own.as_bytes(), Demands::new().empty().owner().unwritable()).enter().unwrap();
    });
}

#[test]
fn a_safe_path_is_roots_from_end_to_end_and_the_component_that_is_not_is_named() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/mnt"), 0, "mode=755");
        fs::create_dir_all("/mnt/a/b/c").unwrap();
        fs::create_dir_all("/mnt/x/b").unwrap();
        fs::set_permissions("/mnt/x", fs::Permissions::from_mode(0o777)).unwrap();
        fs::create_dir_all("/mnt/y/z").unwrap();
        std::os::unix::fs::chown("/mnt/y/z", Some(7), None).unwrap();
        symlink("a", "/mnt/link").unwrap();
        let refused =
            |path: &str| Jail::checked_directory(path.as_bytes(), Demands::new().safe_path()).enter().unwrap_err();
        for (path, component, text) in [
            ("/mnt/x/b", 2, "component 2 of the path does not belong to root, or others can write to it"),
            ("/mnt/y/z", 3, "component 3 of the path does not belong to root, or others can write to it"),
            ("/mnt/link/b", 2, "component 2 of the path is a symbolic link or no directory"),
            ("/mnt/a/d/c", 3, "component 3 of the path: ENOENT (no such file or directory)"),
        ] {
            let error = refused(path);
            assert_eq!(
                (error.step(), error.component(), error.is_partial()),
                (Step::Directory, Some(component), false)
            );
            assert_eq!(error.to_string(), format!("cannot use the directory: {text}"));
        }
        let _ = Jail::checked_directory(b"/mnt//a/b/c/", Demands::new().safe_path()).enter().unwrap();
    });
}

#[test]
fn unjailed_changes_nothing_and_says_so() {
    own_process!();
    as_each_user(|_| {
        std::env::set_current_dir("/usr").unwrap();
        let open = fs::File::open("/").unwrap();
        let _thread = Thread::start();
        let jailed = Jail::parse(b"/").unwrap().enter().unwrap();
        assert_eq!((jailed.root(), jailed.entered()), (Root::Unjailed, Entered::Unjailed));
        jailed.verify().unwrap();
        assert_eq!(std::env::current_dir().unwrap(), Path::new("/usr"));
        drop(open);
    });
    // A daemon need not look: what comes after works all the same.
    as_each_user(|_| {
        let _sealed = Jail::unjailed().enter().unwrap().seal().unwrap();
        assert!(!fs::read("/etc/passwd").unwrap().is_empty());
        assert_eq!(held(), 0);
    });
}

#[test]
fn check_finds_what_enter_would_and_changes_nothing() {
    own_process!();
    let scratch = Scratch::new();
    as_each_user(|user| {
        let state = || (open_fds(), std::env::current_dir().unwrap(), fs::metadata("/").unwrap().ino(), held());
        let before = state();
        for jail in [Jail::auto(), Jail::unlinked_in(scratch.bytes()), Jail::detached(), Jail::directory(b"/usr")] {
            let check = jail.check().unwrap();
            assert_eq!(check.entered() == Entered::Privilege, user == User::Root, "{jail}");
            assert!(!check.is_jail_advisable());
        }
        assert_eq!(Jail::directory(b"/usr").check().unwrap().root(), Root::Directory);
        let error = Jail::directory(b"/nonexistent").check().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Directory, Some(libc::ENOENT)));
        if user != User::Root {
            let error = Jail::detached().or(Jail::unlinked()).user_namespace(UserNamespace::Never).check().unwrap_err();
            assert_eq!((error.step(), error.is_partial()), (Step::Mount, false));
        }
        assert_eq!(state(), before);
        let directory = fs::File::open("/").unwrap();
        assert_eq!(Jail::auto().check().unwrap_err().fd(), Some(raw(&directory)));
        drop(directory);
        let thread = Thread::start();
        assert_eq!(Jail::auto().check().unwrap_err().step(), Step::Threads);
        let allowed = Jail::auto().allow_threads().check();
        assert_eq!(allowed.is_ok(), user == User::Root);
        assert_eq!(allowed.err().map(|error| error.step()), (user != User::Root).then_some(Step::NewUserNamespace));
        drop(thread);
        fake(libc::SYS_clone, Errno::AGAIN);
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        fake(libc::SYS_fork, Errno::AGAIN); // by which musl forks
        assert_eq!(Jail::auto().check().unwrap_err().step(), Step::Fork);
    });
    assert_eq!(scratch.entries(), [] as [&Path; 0]);
}

/// A handler that ran in the child would write into the pipes of the caller.
#[test]
fn no_handler_of_the_caller_runs_in_the_child_of_a_check() {
    own_process!();
    static RAN: AtomicUsize = AtomicUsize::new(0);
    static ELSEWHERE: AtomicPtr<bool> = AtomicPtr::new(ptr::null_mut());
    static OWN: AtomicI32 = AtomicI32::new(0);
    extern "C" fn handler(_: i32) {
        RAN.fetch_add(1, Relaxed);
        if unsafe { libc::getpid() } != OWN.load(Relaxed) {
            forked();
        }
    }
    extern "C" fn forked() {
        // SAFETY: both processes share the page.
        unsafe { *ELSEWHERE.load(Relaxed) = true };
    }
    as_each_user(|_| {
        let shared = unsafe {
            let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
            libc::mmap(ptr::null_mut(), 1, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0)
        };
        ELSEWHERE.store(shared.cast(), Relaxed);
        OWN.store(unsafe { libc::getpid() }, Relaxed);
        unsafe {
            assert_eq!(libc::setpgid(0, 0), 0);
            for signal in [libc::SIGTERM, libc::SIGCHLD, libc::SIGALRM] {
                libc::signal(signal, handler as extern "C" fn(i32) as usize);
            }
            assert_eq!(libc::pthread_atfork(Some(forked), None, Some(forked)), 0);
        }
        let blocked = |how, signals: &[i32]| unsafe {
            let mut set = std::mem::zeroed();
            for signal in signals {
                assert_eq!(libc::sigaddset(&raw mut set, *signal), 0);
            }
            let mut before = std::mem::zeroed();
            assert_eq!(libc::sigprocmask(how, &raw const set, &raw mut before), 0);
            (1..64).filter(|signal| libc::sigismember(&raw const before, *signal) == 1).collect::<Vec<_>>()
        };
        blocked(libc::SIG_BLOCK, &[libc::SIGUSR2]);
        // Somebody who sends signals to the whole group.
        let sender = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
        if sender == 0 {
            unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
            loop {
                unsafe { libc::kill(0, libc::SIGTERM) };
            }
        }
        for _ in 0..100 {
            Jail::auto().check().unwrap();
        }
        let sender = i32::try_from(sender).unwrap();
        unsafe {
            libc::kill(sender, libc::SIGKILL);
            assert_eq!(libc::waitpid(sender, ptr::null_mut(), libc::__WALL), sender);
        }
        assert!(RAN.load(Relaxed) > 0, "no signal came");
        assert!(!unsafe { *shared.cast::<bool>() }, "a handler ran in the child");
        assert_eq!(blocked(libc::SIG_SETMASK, &[]), [libc::SIGUSR2]);
        // No end of a child is told, and none is lost.
        RAN.store(0, Relaxed);
        Jail::auto().check().unwrap();
        assert_eq!(RAN.load(Relaxed), 0, "SIGCHLD");
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        Jail::auto().check().unwrap();
        fake(libc::SYS_rt_sigprocmask, Errno::PERM);
        assert_eq!(Jail::auto().check().unwrap_err().step(), Step::Fork);
    });
}

#[test]
fn check_as_finds_what_enter_as_would_and_changes_nothing() {
    own_process!();
    let other = account(61234, 61235, &[]);
    as_each_user(|user| {
        let state = || (open_fds(), std::env::current_dir().unwrap(), fs::metadata("/").unwrap().ino(), held());
        let before = state();
        for jail in [Jail::auto(), Jail::unlinked(), Jail::unjailed(), Jail::directory(b"/usr")] {
            let checked = jail.check_as(&other);
            if user == User::Root {
                let check = checked.unwrap();
                assert_eq!((check.root(), check.is_jail_advisable()), (jail.root(), !jail.root().is_jail()), "{jail}");
            } else {
                let error = checked.unwrap_err();
                assert_eq!((error.step(), error.is_partial()), (Step::CheckIds, false), "{jail}: {error}");
            }
        }
        let own = account(unsafe { libc::geteuid() }, unsafe { libc::getegid() }, &[]);
        let check = Jail::unlinked().check_as(&own).unwrap();
        assert_eq!(check.entered() == Entered::Privilege, user == User::Root);
        let thread = Thread::start();
        assert_eq!(Jail::auto().allow_threads().check_as(&own).unwrap_err().step(), Step::Threads);
        drop(thread);
        assert_eq!(state(), before);
    });
}

/// What an entry could not undo went with the process that tried, but for a directory.
#[test]
fn check_is_partial_only_if_a_directory_is_left() {
    own_process!();
    let scratch = Scratch::new();
    as_each_user(|_| {
        fake(libc::SYS_unlinkat, Errno::BUSY);
        let error = Jail::unlinked_in(scratch.bytes()).check().unwrap_err();
        assert_eq!((error.step(), error.is_partial()), (Step::Unlink, true));
        assert!(
            error.to_string().ends_with("EBUSY (device or resource busy); the new directory is still there"),
            "{error}"
        );
    });
    as_user(plain(), || {
        fake_success(libc::SYS_capset);
        let error = Jail::auto().check().unwrap_err();
        assert_eq!((error.step(), error.is_partial()), (Step::Verify, false));
    });
}

#[test]
fn a_jail_is_advised_to_root_that_could_have_one() {
    own_process!();
    as_each_user(|user| {
        assert_eq!(Jail::unjailed().check().unwrap().is_jail_advisable(), user == User::Root);
    });
    root_only!();
    as_user(User::Root, || {
        rustix::thread::remove_capability_from_bounding_set(rustix::thread::CapabilitySet::SYS_CHROOT).unwrap();
        assert!(!Jail::unjailed().check().unwrap().is_jail_advisable());
    });
}

#[test]
fn tmpdir_comes_first_but_not_for_a_set_id_process() {
    own_process!();
    let tmpdir = Scratch::new();
    as_each_user(|_| {
        set_tmpdir(Some(&tmpdir.0));
        assert_eq!(Jail::unlinked().enter().unwrap().parent(), Some("$TMPDIR"));
    });
    as_each_user(|_| {
        set_tmpdir(Some(Path::new("relative")));
        assert_ne!(Jail::unlinked().enter().unwrap().parent(), Some("$TMPDIR"));
    });
    // Another thread might change the environment.
    as_each_user(|_| {
        set_tmpdir(Some(&tmpdir.0));
        assert_eq!(Jail::unlinked().check().unwrap().parent(), Some("$TMPDIR"));
        assert_ne!(Jail::unlinked().allow_threads().check().unwrap().parent(), Some("$TMPDIR"));
        assert_ne!(Jail::unlinked().allow_threads().enter().unwrap().parent(), Some("$TMPDIR"));
    });
    root_only!();
    as_user(User::Root, || {
        set_tmpdir(Some(&tmpdir.0));
        assert_eq!(unsafe { libc::setresuid(7, 0, 0) }, 0);
        assert_ne!(Jail::unlinked().enter().unwrap().parent(), Some("$TMPDIR"));
    });
    assert_eq!(tmpdir.entries(), [] as [&Path; 0]);
}

#[test]
fn a_list_is_entered_by_its_first_kind_that_can_be_had() {
    own_process!();
    as_each_user(|_| {
        assert_eq!(Jail::auto().enter().unwrap().root(), Root::Detached);
    });
    as_each_user(|_| {
        assert_eq!(Jail::unlinked().or(Jail::detached()).enter().unwrap().root(), Root::Unlinked);
    });
    as_each_user(|_| {
        fake(libc::SYS_fsopen, Errno::NOSYS);
        let jailed = Jail::auto().enter().unwrap();
        assert_eq!(jailed.root(), Root::Unlinked);
        jailed.verify().unwrap();
    });
    // With CAP_SYS_CHROOT no user namespace is made, though CAP_SYS_ADMIN is missing.
    root_only!();
    as_user(User::Root, || {
        fake(libc::SYS_fsopen, Errno::PERM);
        let jailed = Jail::auto().enter().unwrap();
        assert_eq!((jailed.root(), jailed.entered()), (Root::Unlinked, Entered::Privilege));
    });
}

#[test]
fn what_cannot_be_in_a_list_is_an_error_of_the_options() {
    own_process!();
    as_user(plain(), || {
        for jail in [
            Jail::directory(b"/usr").or(Jail::unlinked()),
            Jail::unlinked().or(Jail::unjailed()),
            Jail::failfs().user_namespace(UserNamespace::Always),
        ] {
            let error = jail.enter().unwrap_err();
            assert_eq!((error.step(), error.is_partial()), (Step::Options, false), "{error}");
        }
        let parent = Jail::detached().or(Jail::unlinked_in(b"/tmp"));
        assert_eq!((parent.to_string(), parent.path()), ("detached,unlinked /tmp".into(), Some(&b"/tmp"[..])));
    });
}

#[test]
fn failfs_is_entered_where_the_kernel_has_it_and_refused_elsewhere() {
    own_process!();
    as_each_user(|user| {
        if !failfs() {
            let error = Jail::failfs().enter().unwrap_err();
            assert_eq!((error.step(), error.raw_os_error()), (Step::Failfs, Some(libc::ENOSYS)));
            assert_eq!(error.known_cause(), Some(autochroot::Cause::NoFailfs));
            assert!(!error.is_partial() && fs::metadata("/etc").is_ok());
            return;
        }
        let jailed = Jail::failfs().enter().unwrap();
        let right = if user == User::Root { Entered::Privilege } else { Entered::NoNewPrivs };
        assert_eq!((jailed.root(), jailed.entered()), (Root::Failfs, right));
        for path in ["/", ".", "..", "/etc"] {
            assert_eq!(fs::metadata(path).unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
        }
        let jailed = if user == User::Root { jailed.run_as(&account(7, 7, &[])).unwrap() } else { jailed };
        let sealed = jailed.seal().unwrap();
        sealed.jailed().verify().unwrap();
        assert_eq!(sealed.landlock(), landlock_abi());
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, -1);
    });
}

#[test]
fn a_umask_that_closes_the_new_directory_is_named() {
    own_process!();
    as_user(plain(), || {
        unsafe { libc::umask(0o777) };
        let error = Jail::unlinked().enter().unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot open the new directory: the umask takes away the right to read or search it"
        );
        assert!(!error.is_partial());
        assert_eq!(Jail::auto().enter().unwrap().root(), Root::Detached);
    });
}
