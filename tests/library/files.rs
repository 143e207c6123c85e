//! Files of a detached root: what is copied, what can be done with it, and what is refused.

use std::fs;
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
#[cfg(target_arch = "x86_64")]
use std::sync::atomic::Ordering::Relaxed;

use crate::common::*;
use autochroot::{Capabilities, Entered, Error, IdMap, Jail, NamedFile, Root, Step, UserNamespace};
use rustix::io::Errno;

/// A description is made at compile time.
const GREETING: NamedFile<'static> = NamedFile::write(b"hello\n", b"/etc/greeting");

/// Everything below a directory, as paths, and directories with a slash at the end.
fn tree(directory: &Path) -> Vec<String> {
    let mut paths = vec![];
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            paths.push(format!("{}/", path.display()));
            paths.extend(tree(&path));
        } else {
            paths.push(path.display().to_string());
        }
    }
    paths.sort();
    paths
}

fn path(scratch: &Scratch, name: &str) -> Vec<u8> {
    scratch.0.join(name).into_os_string().into_encoded_bytes()
}

/// A file of this content that everyone can read.
fn source(scratch: &Scratch, name: &str, content: &[u8]) -> Vec<u8> {
    fs::write(scratch.0.join(name), content).unwrap();
    fs::set_permissions(scratch.0.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    path(scratch, name)
}

/// The payload, of which no other test makes a link meanwhile: that would be a change.
fn own_payload(scratch: &Scratch) -> Vec<u8> {
    copy_program(payload(), &scratch.0.join("program"), 0o755);
    path(scratch, "program")
}

#[test]
fn the_files_are_there_to_be_read_and_nothing_else_is() {
    own_process!();
    let scratch = Scratch::new();
    let large: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let [small, empty, big] =
        [("small", &b"small"[..]), ("empty", b""), ("big", &large)].map(|(name, text)| source(&scratch, name, text));
    let link = path(&scratch, "link");
    symlink("small", scratch.0.join("link")).unwrap();
    let version = fs::read("/proc/version").unwrap();
    as_each_user(|user| {
        let open = fs::File::open(scratch.0.join("small")).unwrap();
        (&open).seek(std::io::SeekFrom::Start(2)).unwrap();
        let before = open_fds();
        let files = [
            GREETING,
            NamedFile::copy(&small, b"/small"),
            NamedFile::copy(&link, b"/etc/app/linked"),
            NamedFile::copy(&empty, b"/empty"),
            NamedFile::copy(&big, b"/etc/app/big"),
            NamedFile::copy(b"/proc/version", b"/proc/version"),
            NamedFile::raw_descriptor(raw(&open), b"/opened"),
        ];
        unsafe { libc::umask(0o777) };
        let jailed = Jail::auto().files(&files).enter().unwrap();
        assert_eq!((jailed.root(), jailed.entered() == Entered::Privilege), (Root::Detached, user == User::Root));
        let see = || {
            let expected = [
                "/empty",
                "/etc/",
                "/etc/app/",
                "/etc/app/big",
                "/etc/app/linked",
                "/etc/greeting",
                "/opened",
                "/proc/",
                "/proc/version",
                "/small",
            ];
            assert_eq!(tree(Path::new("/")), expected);
            assert_eq!(fs::read("/etc/greeting").unwrap(), b"hello\n");
            for name in ["/small", "/etc/app/linked", "/opened"] {
                assert_eq!(fs::read(name).unwrap(), b"small", "{name}");
            }
            assert_eq!(fs::read("/etc/app/big").unwrap(), large);
            assert_eq!(fs::read("/proc/version").unwrap(), version);
            for path in expected.into_iter().chain(["/"]) {
                let mode = if path.ends_with('/') { 0o40_555 } else { 0o100_444 };
                assert_eq!(fs::symlink_metadata(path).unwrap().mode(), mode, "{path}");
            }
        };
        see();
        assert_read_only();
        let findings = jailed.verify().unwrap();
        assert!(!findings.mode_can_change() && !findings.takes_nameless_files());
        assert_eq!((&open).stream_position().unwrap(), 2);
        assert!(
            (0..256)
                .filter(|fd| unsafe { libc::fcntl(*fd, libc::F_GETFD) } >= 0)
                .eq(before.into_iter().map(|fd| i32::try_from(fd).unwrap()))
        );
        let jailed = if user == User::Root { jailed.run_as(&account(7, 7, &[])).unwrap() } else { jailed };
        let sealed = jailed.seal().unwrap();
        see();
        assert_read_only();
        sealed.jailed().verify().unwrap();
        assert_eq!(unsafe { libc::execv(c"/small".as_ptr(), [std::ptr::null()].as_ptr()) }, -1);
    });
}

/// Whatever is tried in "/": the file system is read-only, or Landlock refuses it.
fn assert_read_only() {
    let mode = fs::Permissions::from_mode(0o777);
    for refused in [
        fs::create_dir("/x"),
        fs::write("/x", ""),
        fs::write("/small", ""),
        fs::rename("/small", "/large"),
        fs::remove_file("/small"),
        fs::hard_link("/small", "/x"),
        symlink("/small", "/x"),
        fs::set_permissions("/small", mode.clone()),
        fs::set_permissions("/etc", mode),
        fs::File::options().append(true).open("/etc/greeting").map(drop),
    ] {
        let kind = refused.unwrap_err().kind();
        assert!(
            matches!(kind, ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied | ErrorKind::CrossesDevices),
            "{kind:?}"
        );
    }
}

/// What only root may read is copied with root's right, and read by everybody inside.
#[test]
fn a_file_of_root_is_read_by_the_user_that_root_becomes() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    let secret = source(&scratch, "secret", b"secret");
    fs::set_permissions(scratch.0.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    let files = [NamedFile::copy(&secret, b"/secret")];
    for always in [false, true] {
        as_user(User::Root, || {
            let jail = Jail::detached().files(&files);
            let jail = if always { jail.user_namespace(UserNamespace::Always) } else { jail };
            let jailed = jail.enter().unwrap();
            let jailed = if always { jailed } else { jailed.run_as(&account(7, 7, &[])).unwrap() };
            let _sealed = jailed.seal().unwrap();
            assert_eq!(fs::read("/secret").unwrap(), b"secret");
        });
    }
    as_user(SOMEBODY, || assert_source(Jail::detached().files(&files).enter().unwrap_err(), 0, Errno::ACCESS));
}

/// A refusal of the source with this index, before anything has changed.
#[track_caller]
fn assert_source(error: Error, nth: usize, errno: Errno) {
    assert_eq!((error.step(), error.file(), error.is_partial()), (Step::Files, Some(nth), false), "{error}");
    assert_eq!(error.raw_os_error(), Some(errno.raw_os_error()), "{error}");
}

#[test]
fn a_device_is_that_device_or_an_error() {
    own_process!();
    let names = ["null", "zero", "full", "random", "urandom"];
    let paths = names.map(|name| format!("/dev/{name}"));
    let files = paths.each_ref().map(|path| NamedFile::copy(path.as_bytes(), path.as_bytes()));
    as_each_user(|user| {
        if user == User::Root {
            let numbers = paths.each_ref().map(|path| fs::metadata(path).unwrap().rdev());
            let jailed = Jail::auto().files(&files).enter().unwrap().run_as(&account(7, 7, &[])).unwrap();
            let sealed = jailed.seal().unwrap();
            for (path, number) in paths.iter().zip(numbers) {
                let status = fs::metadata(path).unwrap();
                assert!(status.file_type().is_char_device() && status.rdev() == number, "{path}");
                assert_eq!(status.mode() & 0o7777, 0o666);
            }
            fs::write("/dev/null", "x").unwrap();
            assert_eq!(fs::write("/dev/full", "x").unwrap_err().kind(), ErrorKind::StorageFull);
            let mut bytes = [1; 8];
            fs::File::open("/dev/zero").unwrap().read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, [0; 8]);
            fs::File::open("/dev/urandom").unwrap().read_exact(&mut bytes).unwrap();
            assert_ne!(bytes, [0; 8]);
            sealed.jailed().verify().unwrap();
            assert_eq!(fs::write("/dev/x", "").unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
        } else {
            let text = "cannot open the files for the root: file 1: a device requires CAP_MKNOD and CAP_SYS_ADMIN, \
                        outside a user namespace; hint: start as root, with --user or enter_as for another user, or name a \
                        directory with the device as the root (--root DIR)";
            let error = Jail::detached().files(&files).enter().unwrap_err();
            assert_eq!((error.step(), error.is_partial(), &*error.to_string()), (Step::Files, false, text));
        }
    });
    root_only!();
    // Root makes them before it enters a user namespace.
    as_user(User::Root, || {
        let always = Jail::detached().files(&files).user_namespace(UserNamespace::Always);
        let _sealed = always.enter().unwrap().seal().unwrap();
        fs::write("/dev/null", "x").unwrap();
    });
}

/// What else has the major number 1 leads to the memory, the ports and the log of the machine, and
/// the same minor numbers are terminals elsewhere.
#[test]
fn only_the_five_devices_are_devices() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    for (major, minor) in [(1, 1), (1, 2), (1, 4), (1, 6), (1, 10), (1, 11), (1, 12), (4, 5), (5, 3), (0, 9)] {
        let node = path(&scratch, &format!("{major}-{minor}"));
        let name = std::ffi::CString::new(&*node).unwrap();
        let device = libc::makedev(major, minor);
        assert_eq!(errno(unsafe { libc::mknod(name.as_ptr(), libc::S_IFCHR | 0o666, device) }), 0);
        as_user(User::Root, || {
            let opened = unsafe { libc::open(name.as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
            for file in [NamedFile::copy(&node, b"/x"), NamedFile::raw_descriptor(opened, b"/x")] {
                let error = Jail::detached().files(&[file]).enter().unwrap_err();
                assert_eq!((error.step(), error.file(), error.is_partial()), (Step::Files, Some(0), false), "{error}");
                assert!(error.to_string().contains("it is neither a file nor one of the devices"), "{error}");
            }
        });
    }
}

#[test]
fn what_cannot_be_copied_is_named_before_anything_has_changed() {
    own_process!();
    let scratch = Scratch::new();
    let good = source(&scratch, "good", b"good");
    let fifo = path(&scratch, "fifo");
    assert_eq!(unsafe { libc::mkfifo(std::ffi::CString::new(&*fifo).unwrap().as_ptr(), 0o666) }, 0);
    fs::set_permissions(scratch.0.join("fifo"), fs::Permissions::from_mode(0o666)).unwrap();
    let socket = path(&scratch, "socket");
    let _listener = std::os::unix::net::UnixListener::bind(scratch.0.join("socket")).unwrap();
    let dangling = path(&scratch, "dangling");
    symlink("nothing", scratch.0.join("dangling")).unwrap();
    let large = source(&scratch, "large", b"");
    fs::File::options().write(true).open(scratch.0.join("large")).unwrap().set_len((64 << 20) + 1).unwrap();
    let long = [b"/".as_slice(), &[b'a'; 5000]].concat();
    let directory = scratch.bytes().to_vec();
    as_each_user(|_| {
        let refused = |second: NamedFile| {
            let state = || (open_fds(), fs::read_link("/proc/self/ns/user").unwrap(), std::env::current_dir().unwrap());
            let before = state();
            let files = [NamedFile::copy(&good, b"/good"), second];
            let error = Jail::detached().files(&files).enter().unwrap_err();
            assert_eq!((error.step(), error.file(), error.is_partial()), (Step::Files, Some(1), false), "{error}");
            assert_eq!(state(), before);
            let text = error.to_string();
            assert!(!text.contains("; hint: "), "{text}");
            text.strip_prefix("cannot open the files for the root: file 2: ").unwrap().to_owned()
        };
        let copied = |source: &[u8]| refused(NamedFile::copy(source, b"/x"));
        let not_a_file = "it is neither a file nor one of the devices null, zero, full, random and urandom";
        for (source, text) in [
            (&b"/nonexistent"[..], "ENOENT (no such file or directory)"),
            (&dangling, "ENOENT (no such file or directory): it is a symbolic link whose target is missing"),
            (b"", "ENOENT (no such file or directory)"),
            (b"/etc/pass\0wd", "EINVAL (invalid argument)"),
            (&long, "ENAMETOOLONG (file name too long)"),
            (&directory, not_a_file),
            (&fifo, not_a_file),
            (&socket, not_a_file),
            (b"/dev/tty", not_a_file),
            (&large, "it is larger than 64 MiB"),
        ] {
            assert_eq!(copied(source), text, "{}", String::from_utf8_lossy(source));
        }
        for (path, text) in [
            (&b"x"[..], "the path in the root does not begin with \"/\""),
            (b"/a/../x", "the path in the root has an empty name, \".\", \"..\" or a NUL byte"),
            (b"/good", "an earlier file has the same path in the root"),
            (b"/good/x", "it and an earlier file are in each other's way"),
        ] {
            assert_eq!(refused(NamedFile::write(b"", path)), text);
        }
        assert_eq!(refused(NamedFile::raw_descriptor(-1, b"/x")), "EBADF (bad file descriptor)");
        assert_eq!(refused(NamedFile::raw_descriptor(999, b"/x")), "EBADF (bad file descriptor)");
        let many = [NamedFile::write(b"", b"/x"); 129];
        let error = Jail::detached().files(&many).enter().unwrap_err();
        assert_eq!(error.to_string(), "cannot open the files for the root: file 129: there are more than 128");
    });
}

/// Also one that a check of the library's own might be about.
#[test]
fn a_file_can_have_any_name() {
    own_process!();
    let long = format!("/{}", "x".repeat(254));
    let files = [
        NamedFile::write(b"1", b"/autochroot"),
        NamedFile::write(b"2", b"/autochroot-/x"),
        NamedFile::write(b"3", long.as_bytes()),
    ];
    as_each_user(|_| {
        let jailed = Jail::detached().files(&files).enter().unwrap();
        assert!(!jailed.verify().unwrap().takes_nameless_files());
        let sealed = jailed.seal().unwrap();
        assert!(!sealed.jailed().verify().unwrap().takes_nameless_files());
        assert_eq!([fs::read("/autochroot").unwrap(), fs::read(&long).unwrap()], [b"1", b"3"]);
    });
}

/// Root of a unit that leaves what the documents name, and not `CAP_DAC_OVERRIDE`.
#[test]
fn a_writable_directory_beneath_others_needs_no_more_than_the_documents_say() {
    own_process!();
    root_only!();
    let files = [NamedFile::write(b"file", b"/var/lib/file")];
    for (path, files) in [(&b"/var/lib/x"[..], &files[..0]), (b"/var/lib/x", &files), (b"/var/x/y", &files)] {
        as_user(User::Root, || {
            let user = Capabilities::SETUID | Capabilities::SETGID | Capabilities::CHOWN;
            keep_only(user | Capabilities::SYS_CHROOT | Capabilities::SYS_ADMIN);
            let _jailed = Jail::auto().files(files).writable_at(1 << 20, path).enter_as(&account(7, 8, &[])).unwrap();
            let path = std::str::from_utf8(path).unwrap();
            fs::write(format!("{path}/new"), "new").unwrap();
            for parent in Path::new(path).ancestors().skip(1) {
                assert_eq!(fs::metadata(parent).unwrap().permissions().mode() & 0o7777, 0o555, "{parent:?}");
            }
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o700);
        });
    }
}

#[test]
fn only_a_detached_root_has_files() {
    own_process!();
    let files = [GREETING];
    as_each_user(|user| {
        for jail in [
            Jail::unlinked(),
            Jail::failfs(),
            Jail::directory(b"/usr"),
            Jail::unjailed(),
            Jail::unlinked_in(b"/tmp"),
            Jail::unlinked().or(Jail::failfs()),
        ] {
            let error = jail.files(&files).enter().unwrap_err();
            let text = error.to_string();
            let (text, hint) = text.split_once("; hint: ").unwrap_or((&text, ""));
            assert_eq!(text, "cannot use these options: only a detached root takes files or a writable directory");
            assert_eq!(hint.starts_with("use auto or detached"), cfg!(feature = "hints"));
            assert_eq!((error.step(), error.is_partial()), (Step::Options, false));
        }
        let unmapped = Jail::detached().files(&files).id_map(IdMap::None);
        if user == User::Root {
            // The root is there before the user namespace is.
            assert!(unmapped.user_namespace(UserNamespace::Always).check().is_ok());
        } else {
            let error = unmapped.enter().unwrap_err();
            assert_eq!((error.step(), error.is_partial()), (Step::Proc, false));
            assert!(error.to_string().ends_with("without id maps no file can be made in a user namespace"), "{error}");
        }
        for list in ["auto", "unlinked,detached", "failfs,detached,unlinked"] {
            let check = Jail::try_from(list).unwrap().files(&files).check().unwrap();
            assert_eq!(check.root(), Root::Detached);
        }
        assert_eq!(Jail::unlinked().files(&[]).check().unwrap().root(), Root::Unlinked);
    });
}

/// A file that grows, or is written to, between two reads.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "registers")]
#[test]
fn a_file_that_changes_while_it_is_copied_is_an_error() {
    own_process!();
    // No path leads there from an empty mount namespace.
    static WRITER: std::sync::Mutex<Option<fs::File>> = std::sync::Mutex::new(None);
    static IS_LARGE: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let scratch = Scratch::new();
    let source = path(&scratch, "file");
    // Also one that is empty at first: it is no file of procfs, which never has a size.
    for size in [20_000, 1, 0] {
        IS_LARGE.store(size > 1, Relaxed);
        fs::write(scratch.0.join("file"), vec![b'a'; size]).unwrap();
        fs::set_permissions(scratch.0.join("file"), fs::Permissions::from_mode(0o666)).unwrap();
        as_each_user(|user| {
            let files = [GREETING, NamedFile::copy(&source, b"/file")];
            *WRITER.lock().unwrap() = Some(fs::File::options().append(true).open(scratch.0.join("file")).unwrap());
            stand_in(libc::SYS_pread64, |nth, [fd, buffer, length, at]| {
                if nth == usize::from(IS_LARGE.load(Relaxed)) {
                    WRITER.lock().unwrap().as_mut().unwrap().write_all(b"more").unwrap();
                }
                let mut part = libc::iovec { iov_base: buffer as *mut libc::c_void, iov_len: length };
                answer(unsafe { libc::preadv(fd as i32, &raw mut part, 1, at as libc::off_t) } as i64)
            });
            let error = Jail::detached().files(&files).enter().unwrap_err();
            assert_eq!(error.step(), Step::Fill, "{error}");
            let text = "cannot fill the root: file 2: it changed while it was copied";
            assert!(error.to_string().starts_with(text), "{error}");
            assert_eq!(error.is_partial(), user != User::Root);
            if user == User::Root {
                assert!(fs::metadata("/etc").is_ok());
            }
            assert_eq!(held() == 0, user != User::Root);
        });
    }
}

/// Also if it is as long as before.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "registers")]
#[test]
fn a_file_that_is_overwritten_while_it_is_copied_is_an_error() {
    own_process!();
    static WRITER: std::sync::Mutex<Option<fs::File>> = std::sync::Mutex::new(None);
    let scratch = Scratch::new();
    let source = source(&scratch, "file", &vec![b'a'; 20_000]);
    fs::set_permissions(scratch.0.join("file"), fs::Permissions::from_mode(0o666)).unwrap();
    as_each_user(|_| {
        let files = [NamedFile::copy(&source, b"/file")];
        *WRITER.lock().unwrap() = Some(fs::File::options().write(true).open(scratch.0.join("file")).unwrap());
        stand_in(libc::SYS_pread64, |nth, [fd, buffer, length, at]| {
            if nth == 1 {
                // Older kernels have times of a few milliseconds.
                std::thread::sleep(std::time::Duration::from_millis(20));
                WRITER.lock().unwrap().as_mut().unwrap().write_all(&vec![b'b'; 20_000]).unwrap();
            }
            let mut part = libc::iovec { iov_base: buffer as *mut libc::c_void, iov_len: length };
            answer(unsafe { libc::preadv(fd as i32, &raw mut part, 1, at as libc::off_t) } as i64)
        });
        let error = Jail::detached().files(&files).enter().unwrap_err();
        assert_eq!((error.step(), error.file()), (Step::Fill, Some(0)), "{error}");
        assert!(error.to_string().contains("it changed while it was copied"), "{error}");
    });
}

/// A file without a size may have no end.
#[cfg(target_pointer_width = "64")]
#[test]
fn a_file_without_an_end_is_an_error() {
    own_process!();
    as_each_user(|user| {
        // 8 bytes for each page that there could be.
        let files = [NamedFile::copy(b"/proc/self/pagemap", b"/x")];
        let error = Jail::detached().files(&files).enter().unwrap_err();
        assert_eq!((error.step(), error.file(), error.is_partial()), (Step::Fill, Some(0), user != User::Root));
        assert!(error.to_string().contains("it is larger than 64 MiB"), "{error}");
    });
}

/// No part of a file is there twice, or missing.
#[cfg(target_arch = "x86_64")]
#[test]
fn an_interrupted_copy_is_an_error_or_whole() {
    own_process!();
    root_only!();
    fn interrupted_read(nth: usize, [fd, buffer, length, at]: [usize; 4]) -> i64 {
        let part = [buffer, length];
        if nth == 1 {
            return -i64::from(libc::EINTR);
        }
        answer(unsafe { libc::syscall(libc::SYS_preadv, fd, part.as_ptr(), 1, at, 0) })
    }
    fn interrupted_write(nth: usize, [fd, buffer, length, _]: [usize; 4]) -> i64 {
        let part = [buffer, if nth == 0 { length / 2 } else { length }];
        if nth == 1 {
            return -i64::from(libc::EINTR);
        }
        answer(unsafe { libc::syscall(libc::SYS_writev, fd, part.as_ptr(), 1) })
    }
    let scratch = Scratch::new();
    let content: Vec<u8> = (0..20_000_u32).map(|n| (n % 251) as u8).collect();
    let source = source(&scratch, "file", &content);
    for file in [NamedFile::copy(&source, b"/file"), NamedFile::write(&content, b"/file")] {
        for (number, stand) in [(libc::SYS_pread64, interrupted_read as Stand), (libc::SYS_write, interrupted_write)] {
            as_user(User::Root, || {
                stand_in(number, stand);
                match Jail::detached().files(&[file]).enter() {
                    Ok(_) => assert!(fs::read("/file").unwrap() == content, "{number}"),
                    Err(error) => {
                        assert_eq!((error.step(), error.is_partial()), (Step::Fill, false), "{error}");
                        assert_eq!(error.raw_os_error(), Some(libc::EINTR), "{error}");
                    }
                }
            });
        }
    }
}

/// A file that is a FIFO by the time that it is opened is not waited for.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_file_that_becomes_a_fifo_is_an_error() {
    own_process!();
    static PATH: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    let scratch = Scratch::new();
    as_each_user(|user| {
        let name = format!("file of {user:?}");
        let _ = PATH.set(scratch.0.join(&name));
        let source = source(&scratch, &name, b"text");
        stand_in(libc::SYS_newfstatat, |_, [_, path, status, _]| {
            let done = answer(unsafe { libc::syscall(libc::SYS_stat, path, status) });
            // SAFETY: it is the path that the call was given.
            let name = unsafe { std::ffi::CStr::from_ptr(path as *const libc::c_char) };
            if name.to_bytes() == PATH.get().unwrap().as_os_str().as_encoded_bytes() {
                fs::remove_file(PATH.get().unwrap()).unwrap();
                assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o666) }, 0);
            }
            done
        });
        unsafe { libc::alarm(60) }; // nobody writes to it
        let error = Jail::detached().files(&[NamedFile::copy(&source, b"/x")]).enter().unwrap_err();
        assert_eq!((error.step(), error.file(), error.is_partial()), (Step::Fill, Some(0), user != User::Root));
        assert!(error.to_string().contains("it is neither a file nor one of the devices"), "{error}");
    });
}

/// What another process could have put between them before the file system is read-only.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "registers")]
#[test]
fn a_file_that_is_not_named_is_found() {
    own_process!();
    static OTHER: std::sync::Mutex<&std::ffi::CStr> = std::sync::Mutex::new(c"");
    // The first directory is there by then.
    fn and_another(nth: usize, [root, path, mode, _]: [usize; 4]) -> i64 {
        let root = root as i32;
        unsafe {
            if nth == 0 {
                let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC;
                assert_eq!(libc::close(libc::openat(root, OTHER.lock().unwrap().as_ptr(), flags, 0o444)), 0);
            }
            let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
            let directory = libc::openat(root, path as *const libc::c_char, flags);
            let changed = answer(libc::fchmod(directory, mode as libc::mode_t).into());
            libc::close(directory);
            changed
        }
    }
    for other in [c"other", c"etc/other"] {
        *OTHER.lock().unwrap() = other;
        as_each_user(|user| {
            stand_in(libc::SYS_fchmodat, and_another);
            let error = Jail::detached().files(&[GREETING]).enter().unwrap_err();
            assert_eq!((error.step(), error.is_partial()), (Step::Fill, user != User::Root), "{error}");
            assert!(error.to_string().contains("the root holds other files"), "{error}");
        });
    }
}

/// And what could have been put there between the copy and the entry, where the names are not read
/// again.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "registers")]
#[test]
fn a_file_that_comes_after_the_copy_is_found() {
    own_process!();
    root_only!();
    fn make_it(root: i32, flag: &std::ffi::CStr) {
        const EMPTY_PATH: libc::c_int = 8;
        const SET_FLAG: libc::c_int = 0;
        const RECONFIGURE: libc::c_int = 7;
        unsafe {
            let tmpfs = libc::syscall(libc::SYS_fspick, root, c"".as_ptr(), EMPTY_PATH);
            assert!(tmpfs >= 0);
            assert_eq!(libc::syscall(libc::SYS_fsconfig, tmpfs, SET_FLAG, flag.as_ptr(), 0_usize, 0), 0);
            assert_eq!(libc::syscall(libc::SYS_fsconfig, tmpfs, RECONFIGURE, 0_usize, 0_usize, 0), 0);
            libc::close(tmpfs as i32);
        }
    }
    fn and_another(nth: usize, [root, ..]: [usize; 4]) -> i64 {
        let root = root as i32;
        if nth == 0 {
            make_it(root, c"rw");
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC;
            unsafe { assert_eq!(libc::close(libc::openat(root, c"other".as_ptr(), flags, 0o444)), 0) };
            make_it(root, c"ro");
        }
        let path = std::ffi::CString::new(format!("/proc/self/fd/{root}")).unwrap();
        answer(unsafe { libc::chdir(path.as_ptr()) }.into())
    }
    as_user(User::Root, || {
        stand_in(libc::SYS_fchdir, and_another);
        let error = Jail::detached().files(&[GREETING]).enter().unwrap_err();
        assert_eq!((error.step(), error.is_partial()), (Step::Verify, true), "{error}");
        assert!(error.to_string().contains("the root holds other files"), "{error}");
        assert_eq!(tree(Path::new("/")), ["/etc/", "/etc/greeting", "/other"]);
    });
    // And after the entry.
    as_user(User::Root, || {
        let jailed = Jail::detached().files(&[GREETING]).enter().unwrap();
        jailed.verify().unwrap();
        let root = fs::File::open("/").unwrap();
        make_it(raw(&root), c"rw");
        fs::write("/etc/other", "").unwrap();
        make_it(raw(&root), c"ro");
        let error = jailed.verify().unwrap_err();
        assert_eq!(error.step(), Step::Verify, "{error}");
        assert!(error.to_string().contains("the root holds other files"), "{error}");
    });
}

/// The tmpfs is made for what was there when it was looked at.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "registers")]
#[test]
fn a_file_that_outgrows_the_root_is_an_error() {
    own_process!();
    static PATH: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    root_only!();
    let scratch = Scratch::new();
    let _ = PATH.set(scratch.0.join("file"));
    fs::write(scratch.0.join("file"), b"a").unwrap();
    let source = path(&scratch, "file");
    as_user(User::Root, || {
        // By then the tmpfs is there. It has 128 KiB.
        stand_in(libc::SYS_fchmod, |_, [fd, mode, ..]| {
            fs::write(PATH.get().unwrap(), vec![b'a'; 200_000]).unwrap();
            let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).unwrap();
            answer(i64::from(unsafe { libc::chmod(path.as_ptr(), mode as libc::mode_t) }))
        });
        let files = [GREETING, NamedFile::copy(&source, b"/file")];
        let error = Jail::detached().files(&files).enter().unwrap_err();
        let text = "cannot fill the root: file 2: it changed while it was copied";
        assert_eq!((error.step(), error.is_partial(), &*error.to_string()), (Step::Fill, false, text));
        assert!(fs::metadata("/etc").is_ok());
    });
}

/// While the tmpfs can be written to, no path of `/proc` leads another process of the same user
/// there.
#[test]
fn another_process_of_the_user_puts_no_file_into_the_root() {
    own_process!();
    let scratch = Scratch::new();
    let sixteen = source(&scratch, "source", &vec![b'a'; 1 << 20]);
    as_user(plain(), || {
        let files = [NamedFile::copy(&sixteen, b"/first"), NamedFile::copy(&sixteen, b"/second"), GREETING];
        for _ in 0..30 {
            let (ready, go) = std::os::unix::net::UnixStream::pair().unwrap();
            let victim = unsafe { libc::fork() };
            if victim == 0 {
                (&ready).read_exact(&mut [0]).unwrap();
                let dumpable = || unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
                assert_eq!(dumpable(), 1);
                let _jailed = Jail::detached().files(&files).enter().unwrap();
                assert_eq!(dumpable(), 1);
                let is_right = tree(Path::new("/")) == ["/etc/", "/etc/greeting", "/first", "/second"];
                unsafe { libc::_exit(i32::from(!is_right)) };
            }
            let attacker = unsafe { libc::fork() };
            if attacker == 0 {
                unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
                close_all_but([raw(&go); 2]);
                (&go).write_all(b".").unwrap();
                loop {
                    for fd in 3..20 {
                        let _ = fs::write(format!("/proc/{victim}/fd/{fd}/evil"), "");
                    }
                }
            }
            assert_eq!(exit_status(victim), 0);
            unsafe {
                libc::kill(attacker, libc::SIGKILL);
                libc::waitpid(attacker, std::ptr::null_mut(), 0);
            }
        }
    });
}

/// The kernel would kill a process that writes beyond the limit.
#[test]
fn a_limit_of_file_sizes_is_an_error() {
    own_process!();
    as_each_user(|user| {
        let limit = libc::rlimit { rlim_cur: 5, rlim_max: 5 };
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
        let files = [GREETING];
        let error = Jail::detached().files(&files).enter().unwrap_err();
        let text = "cannot fill the root: file 1: EFBIG (file too large)";
        assert!(error.to_string().starts_with(text), "{error}");
        assert_eq!((error.step(), error.is_partial()), (Step::Fill, user != User::Root));
    });
    // Also if the first part of a file is within the limit.
    let scratch = Scratch::new();
    let source = source(&scratch, "file", &vec![b'a'; 20_000]);
    as_each_user(|user| {
        let limit = libc::rlimit { rlim_cur: 10_000, rlim_max: 10_000 };
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
        let error = Jail::detached().files(&[NamedFile::copy(&source, b"/x")]).enter().unwrap_err();
        assert_eq!((error.step(), error.raw_os_error()), (Step::Fill, Some(libc::EFBIG)), "{error}");
        assert_eq!(error.is_partial(), user != User::Root);
    });
}

/// While files are copied nobody may look; then it is as before.
#[test]
fn whether_the_process_is_dumpable_stays_as_it_was() {
    own_process!();
    root_only!();
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    for dumpable in [0, 1] {
        for enters in [true, false] {
            as_user(User::Root, || {
                assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, dumpable) }, 0);
                if !enters {
                    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
                }
                assert_eq!(Jail::detached().files(&[GREETING]).enter().is_ok(), enters);
                assert_eq!(unsafe { libc::prctl(libc::PR_GET_DUMPABLE) }, dumpable, "enters: {enters}");
            });
        }
    }
}

#[test]
fn a_descriptor_that_cannot_be_read_is_found_before_anything_has_changed() {
    own_process!();
    let scratch = Scratch::new();
    fs::write(scratch.0.join("file"), "").unwrap();
    fs::set_permissions(scratch.0.join("file"), fs::Permissions::from_mode(0o666)).unwrap();
    as_each_user(|_| {
        // std takes O_PATH away where musl counts it to the access mode.
        let path = unsafe { libc::open(c"/etc/passwd".as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
        let writer = fs::File::options().write(true).open(scratch.0.join("file")).unwrap();
        for fd in [path, raw(&writer)] {
            let files = [NamedFile::raw_descriptor(fd, b"/x")];
            assert_source(Jail::detached().files(&files).enter().unwrap_err(), 0, Errno::BADF);
        }
        // The last list counts.
        assert_eq!(Jail::detached().files(&[GREETING]).files(&[]).check().unwrap().root(), Root::Detached);
    });
}

/// What has no size, before and after, is copied whole.
#[test]
fn files_without_a_size_are_copied_whole() {
    own_process!();
    as_each_user(|_| {
        let files = [NamedFile::copy(b"/proc/version", b"/version"), NamedFile::copy(b"/proc/self/status", b"/status")];
        let version = fs::read("/proc/version").unwrap();
        let _ = Jail::detached().files(&files).enter().unwrap();
        assert_eq!(fs::read("/version").unwrap(), version);
    });
}

/// Whatever follows it in the list.
#[test]
fn a_file_without_a_size_has_room_wherever_it_is() {
    own_process!();
    as_each_user(|_| {
        // A line for each mapping, as long as two neighbours differ.
        for nth in 0..8000 {
            let protection = if nth % 2 == 0 { libc::PROT_NONE } else { libc::PROT_READ };
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 1, protection, flags, -1, 0) };
            assert_ne!(mapped, libc::MAP_FAILED);
        }
        let maps = NamedFile::copy(b"/proc/self/maps", b"/maps");
        let _jailed = Jail::detached().files(&[maps, GREETING]).enter().unwrap();
        let copied = fs::read_to_string("/maps").unwrap();
        assert!(copied.len() > 200_000 && copied.ends_with('\n'), "{}", copied.len());
    });
}

/// Whoever the bit is for.
#[test]
fn any_execute_bit_of_a_source_makes_the_copy_executable() {
    own_process!();
    let scratch = Scratch::new();
    for (mode, copied) in [(0o744, 0o555), (0o654, 0o555), (0o645, 0o555), (0o664, 0o444)] {
        let source = source(&scratch, "file", b"text");
        fs::set_permissions(scratch.0.join("file"), fs::Permissions::from_mode(mode)).unwrap();
        as_each_user(|_| {
            let _jailed = Jail::detached().files(&[NamedFile::copy(&source, b"/file")]).enter().unwrap();
            assert_eq!(fs::metadata("/file").unwrap().mode() & 0o7777, copied, "{mode:o}");
        });
    }
}

/// An executable source stays executable, and only it can be executed.
#[test]
fn copies_of_executable_files_can_be_executed_and_no_others() {
    own_process!();
    if !has_payload() {
        return skipped("no rustc, which makes the program");
    }
    let scratch = Scratch::new();
    let program = &own_payload(&scratch);
    let content = fs::read(payload()).unwrap();
    let files = [
        NamedFile::copy(program, b"/bin/deep/program"),
        NamedFile::write(&content, b"/bin/plain"),
        NamedFile::write(&content, b"/made").executable(),
        NamedFile::copy(program, b"/bin/deep/program"), // the same once more
    ];
    let runs = |path: &str| {
        let run = std::process::Command::new(path).arg("exit=9").status();
        run.map_err(|error| error.raw_os_error().unwrap()).map(|status| status.code().unwrap())
    };
    for seals in [true, false] {
        as_each_user(|_| {
            let jailed = Jail::auto().files(&files).enter().unwrap();
            let modes = ["/bin/deep/program", "/bin/plain", "/made"]
                .map(|path| fs::metadata(path).unwrap().permissions().mode() & 0o7777);
            assert_eq!(modes, [0o555, 0o444, 0o555]);
            if seals {
                let sealed = jailed.seal().unwrap();
                assert!(!sealed.refuses_execute());
            }
            for (path, expected) in [("/bin/deep/program", Ok(9)), ("/made", Ok(9)), ("/bin/plain", Err(libc::EACCES))]
            {
                assert_eq!(runs(path), expected, "{path} sealed: {seals}");
            }
        });
    }
    // Each of them alone, and a copy of a file that is not executable.
    let plain = source(&scratch, "plain", &content);
    for (file, path) in [
        (files[0], "/bin/deep/program"),
        (files[2], "/made"),
        (NamedFile::copy(&plain, b"/plain").executable(), "/plain"),
    ] {
        as_each_user(|_| {
            let sealed = Jail::auto().files(&[file]).enter().unwrap().seal().unwrap();
            assert!(!sealed.refuses_execute());
            assert_eq!(runs(path), Ok(9), "{path}");
        });
    }
    // Without one, nothing is.
    as_each_user(|_| {
        let sealed = Jail::auto().files(&files[1..2]).enter().unwrap().seal().unwrap();
        assert!(sealed.refuses_execute());
        assert_eq!(runs("/bin/plain"), Err(libc::EPERM));
    });
}

#[test]
fn files_have_a_bound_together() {
    own_process!();
    let scratch = Scratch::new();
    let large = scratch.0.join("large");
    fs::File::create(&large).unwrap().set_len(64 << 20).unwrap();
    fs::set_permissions(&large, fs::Permissions::from_mode(0o644)).unwrap();
    let source = large.to_str().unwrap().as_bytes();
    let paths: Vec<String> = (0..17).map(|nth| format!("/{nth}")).collect();
    let files: Vec<_> = paths.iter().map(|path| NamedFile::copy(source, path.as_bytes())).collect();
    as_each_user(|_| {
        let error = Jail::detached().files(&files).enter().unwrap_err();
        assert_eq!((error.step(), error.is_partial()), (Step::Files, false));
        assert!(error.to_string().contains("they are larger than 1 GiB together"), "{error}");
    });
}

/// What an errno a call fails with, or 0.
fn errno(done: i32) -> i32 {
    if done < 0 { std::io::Error::last_os_error().raw_os_error().unwrap() } else { 0 }
}

/// One directory can be written, up to its size; everything else stays as it is.
#[test]
fn a_writable_directory_takes_what_it_has_room_for_and_nothing_else_changes() {
    own_process!();
    if !has_payload() {
        return skipped("no rustc, which makes the program");
    }
    let scratch = Scratch::new();
    let program = &own_payload(&scratch);
    let files = [NamedFile::copy(program, b"/bin/program"), NamedFile::write(b"text", b"/var/lib/file")];
    let size = 1 << 20;
    for path in [None, Some(&b"/var/lib/server"[..])] {
        for with_files in [true, false] {
            as_each_user(|user| {
                let jail = if with_files { Jail::auto().files(&files) } else { Jail::auto() };
                let jail = match path {
                    None => jail.writable(size),
                    Some(path) => jail.writable_at(size, path),
                };
                let jailed = if user == User::Root {
                    jail.enter_as(&account(7, 8, &[])).unwrap()
                } else {
                    jail.enter().unwrap()
                };
                assert_eq!(jailed.root(), Root::Detached);
                let _ = jailed.verify().unwrap();
                let sealed = jailed.seal().unwrap();
                let held_back = sealed.landlock().is_some();
                let directory = path.map_or("/tmp", |path| std::str::from_utf8(path).unwrap());
                let mode = fs::metadata(directory).unwrap().permissions().mode() & 0o7777;
                assert_eq!(mode, if path.is_some() { 0o700 } else { 0o1777 });
                let within = |name: &str| format!("{directory}/{name}");
                fs::create_dir(within("a")).unwrap();
                fs::write(within("x"), "text").unwrap();
                if landlock_abi() != Some(1) {
                    fs::rename(within("x"), within("a/x")).unwrap();
                    fs::remove_file(within("a/x")).unwrap();
                }
                std::os::unix::fs::symlink("x", within("link")).unwrap();
                // It is full when SIZE is reached, and not long before.
                let mut written = 0;
                let mut file = fs::File::create(within("big")).unwrap();
                let full = loop {
                    match file.write(&[1; 4096]) {
                        Ok(length) => written += length as u64,
                        Err(error) => break error,
                    }
                };
                assert_eq!(full.raw_os_error(), Some(libc::ENOSPC));
                assert!((size * 9 / 10..=size).contains(&written), "{written}");
                drop(file);
                fs::remove_file(within("big")).unwrap();
                // Nothing else can be written, and nothing written be executed.
                assert!(fs::write("/x", "").is_err() && fs::create_dir("/x").is_err());
                fs::write(within("program"), b"#!/bin/program").unwrap();
                fs::set_permissions(within("program"), fs::Permissions::from_mode(0o755)).unwrap();
                if held_back || !with_files {
                    assert!(std::process::Command::new(within("program")).status().is_err());
                }
                let node = std::ffi::CString::new(within("node")).unwrap();
                assert_ne!(errno(unsafe { libc::mknod(node.as_ptr(), libc::S_IFCHR | 0o666, 0x103) }), 0);
                if with_files && held_back {
                    assert!(fs::rename(within("program"), "/bin/program").is_err());
                    assert!(fs::remove_file("/bin/program").is_err() && fs::write("/bin/program", "").is_err());
                    assert!(fs::write("/var/lib/file", "").is_err());
                    let ran = std::process::Command::new("/bin/program").arg("exit=9").status().unwrap();
                    assert_eq!(ran.code(), Some(9));
                }
            });
        }
    }
    // What cannot be.
    for (bytes, path, files, text) in [
        (0, &b"/tmp"[..], &files[..0], "the size of the writable directory has to be from 1 byte to 1 TiB"),
        ((1 << 40) + 1, b"/tmp", &files[..0], "the size of the writable directory has to be from 1 byte to 1 TiB"),
        (1, b"tmp", &files[..0], "the path in the root does not begin with \"/\""),
        (1, b"/", &files[..0], "the path in the root has an empty name, \".\", \"..\" or a NUL byte"),
        (1, b"/bin", &files, "file 1: it and the writable directory (/tmp by default) are in each other's way"),
        (
            1,
            b"/bin/program/x",
            &files,
            "file 1: it and the writable directory (/tmp by default) are in each other's way",
        ),
        (1, b"/bin/program", &files, "file 1: it and the writable directory (/tmp by default) are in each other's way"),
    ] {
        as_user(plain(), || {
            let error = Jail::auto().files(files).writable_at(bytes, path).enter().unwrap_err();
            assert_eq!((error.step(), error.is_partial()), (Step::Files, false));
            assert!(error.to_string().contains(text), "{error}");
            let error = Jail::unlinked().writable(1).enter().unwrap_err();
            assert_eq!((error.step(), error.is_partial()), (Step::Options, false));
        });
    }
}

/// The directories on the way to it are like those on the way to a file, and the user whose it is
/// has no other.
#[test]
fn the_way_to_a_writable_directory_cannot_be_written() {
    own_process!();
    as_each_user(|user| {
        let jail = Jail::auto().writable_at(1 << 20, b"/var/lib/server");
        let jailed =
            if user == User::Root { jail.enter_as(&account(7, 8, &[])).unwrap() } else { jail.enter().unwrap() };
        for path in ["/", "/var", "/var/lib"] {
            let status = fs::metadata(path).unwrap();
            assert_eq!(status.mode() & 0o7777, 0o555, "{path}");
            assert!(user != User::Root || (status.uid(), status.gid()) == (0, 0), "{path}");
            assert!(fs::create_dir(Path::new(path).join("x")).is_err(), "{path}");
        }
        let status = fs::metadata("/var/lib/server").unwrap();
        assert!(user != User::Root || (status.uid(), status.gid()) == (7, 8));
        fs::write("/var/lib/server/x", "text").unwrap();
        jailed.verify().unwrap();
    });
}

/// A source without a size leaves no room behind, and uid 0 without capabilities is held back too.
#[test]
fn the_size_of_a_writable_directory_counts_from_what_is_there() {
    own_process!();
    as_each_user(|_| {
        let files = [NamedFile::copy(b"/proc/version", b"/version")];
        let _sealed = Jail::auto().files(&files).writable(64 << 10).enter().unwrap().seal().unwrap();
        let mut file = fs::File::create("/tmp/x").unwrap();
        let mut written = 0;
        while let Ok(length) = file.write(&[1; 4096]) {
            written += length;
        }
        assert!(written <= 64 << 10, "{written}");
        assert!(fs::write("/version", "").is_err() && fs::remove_file("/version").is_err());
        if landlock_abi().is_some() {
            let _ = fs::set_permissions("/version", fs::Permissions::from_mode(0o666));
            assert!(fs::write("/version", "").is_err());
        }
        // As many files as there is room for pages, and some.
        let made = (0..1000).take_while(|nth| fs::write(format!("/tmp/{nth}"), "").is_ok()).count();
        assert!((16..=32).contains(&made), "{made}");
    });
}
