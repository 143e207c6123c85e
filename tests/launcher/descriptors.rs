//! Which descriptors PROGRAM gets.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::*;
use crate::{assert_fails, autochroot, busybox, text};
use rustix::io::Errno;

/// The launcher with its standard descriptors and `files`, as descriptors 3 and up.
pub fn with_files(user: User, files: &[i32]) -> Command {
    // Out of the way of the numbers that they are to have.
    let copies: Vec<_> = files.iter().map(|fd| unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, 100) }).collect();
    let mut command = autochroot(user);
    // SAFETY: the calls are safe in a fork.
    unsafe {
        command.pre_exec(move || {
            for (fd, copy) in (3..).zip(&copies) {
                libc::dup2(*copy, fd);
            }
            Ok(())
        });
    }
    command
}

#[test]
fn only_the_standard_descriptors_are_kept_unless_others_are_named() {
    own_process!();
    let file = fs::File::open("/etc/passwd").unwrap();
    let files = [raw(&file); 4];
    for user in users() {
        for (keep, fds) in [
            (None, "[0, 1, 2]"),
            (Some("--keep-fds=1,5,3,5"), "[0, 1, 2, 3, 5]"),
            (Some("--keep-fds=0,1,2,6"), "[0, 1, 2, 6]"),
            (Some("--keep-fds=all"), "[0, 1, 2, 3, 4, 5, 6]"),
        ] {
            let output = with_files(user, &files).args(keep).arg(payload()).arg("fds").output().unwrap();
            assert!(text(&output.stdout).ends_with(&format!("\nfds: {fds}\n")), "{user:?} {keep:?}: {output:?}");
        }
    }
}

/// A directory of /proc, of which `fstat` says `ENOENT`, and which `fchdir` takes.
fn of_a_dead_thread() -> fs::File {
    let path = || format!("/proc/self/task/{}/fd", unsafe { libc::gettid() });
    std::thread::spawn(move || fs::File::open(path()).unwrap()).join().unwrap()
}

#[test]
fn a_directory_is_not_kept_and_one_that_is_not_kept_does_not_matter() {
    own_process!();
    let directory = fs::File::open("/").unwrap();
    for user in users() {
        let output = with_files(user, &[raw(&directory)]).arg(payload()).arg("fds").output().unwrap();
        assert!(text(&output.stdout).ends_with("\nfds: [0, 1, 2]\n"), "{output:?}");
        let output = with_files(user, &[raw(&directory)]).arg("--keep-fds=0,1,2,3").arg(payload()).output().unwrap();
        assert_fails(&output, 125, "descriptor 3 is a directory: a program can leave the jail through it");
        let output =
            with_files(user, &[raw(&of_a_dead_thread())]).arg("--keep-fds=0,1,2,3").arg(payload()).output().unwrap();
        assert_fails(&output, 125, "descriptor 3, which may be a directory: ENOENT (no such file or directory)");
        let output = with_files(user, &[raw(&directory)]).arg("--keep-fds=all").arg(payload()).output().unwrap();
        let message = "cannot accept the open descriptors: descriptor 3 is a directory\n  \
                       hint: close the directory: the process could leave the jail through it";
        assert_fails(&output, 125, message);
        let output = autochroot(user).stdin(directory.try_clone().unwrap()).arg(payload()).output().unwrap();
        assert_fails(&output, 125, "descriptor 0 is a directory: a program can leave the jail through it");
    }
}

/// An exec drops the mappings of a ring, but not the descriptor.
#[test]
fn a_ring_is_not_kept() {
    own_process!();
    let Some(ring) = ring() else { return skipped("this kernel has no io_uring") };
    for user in users() {
        let output = with_files(user, &[raw(&ring)]).arg(payload()).arg("fds").output().unwrap();
        assert!(text(&output.stdout).ends_with("\nfds: [0, 1, 2]\n"), "{output:?}");
        let output = with_files(user, &[raw(&ring)]).arg("--keep-fds=0,1,2,3").arg(payload()).output().unwrap();
        assert_fails(&output, 125, "descriptor 3 is an io_uring: a program can leave the jail through it");
        let output = autochroot(user).stdin(ring.try_clone().unwrap()).arg(payload()).output().unwrap();
        assert_fails(&output, 125, "descriptor 0 is an io_uring: a program can leave the jail through it");
        let output = with_files(user, &[raw(&ring)]).arg("--keep-fds=all").arg(payload()).output().unwrap();
        let message = "cannot accept the open descriptors: descriptor 3 is an io_uring\n  \
                       hint: close the io_uring: the process could open files through a directory that is registered in it";
        assert_fails(&output, 125, message);
    }
}

/// A filter refuses it, as Docker's older profiles do, or the kernel is older than 5.9: as long as
/// there are descriptors, whatever their numbers and the limit.
#[test]
fn where_close_range_is_refused_no_other_descriptor_survives() {
    own_process!();
    let file = fs::File::open("/etc/passwd").unwrap();
    let directory = fs::File::open("/").unwrap();
    for errno in [Errno::NOSYS, Errno::PERM, Errno::ACCESS, Errno::INVAL, Errno::IO] {
        for user in users() {
            let mut command = with_files(user, &[raw(&file), raw(&file), raw(&file), raw(&directory)]);
            // SAFETY: the filter and the limit are for the child alone.
            unsafe {
                command.pre_exec(move || {
                    let high = if is_root() { 300_000 } else { 1000 };
                    let limit = libc::rlimit { rlim_cur: high + 1, rlim_max: high + 1 };
                    libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
                    // Above the limit that is in force then.
                    libc::dup2(6, libc::c_int::try_from(high).unwrap());
                    let limit = libc::rlimit { rlim_cur: 64, rlim_max: high + 1 };
                    libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
                    // A call for each number would take minutes.
                    let limit = libc::rlimit { rlim_cur: 20, rlim_max: 20 };
                    libc::setrlimit(libc::RLIMIT_CPU, &raw const limit);
                    fake(libc::SYS_close_range, errno);
                    Ok(())
                });
            }
            let output = command.arg("--keep-fds=0,1,2,4").arg(payload()).args(["fds", "open-fds"]).output().unwrap();
            assert!(text(&output.stdout).contains("\nfds: [0, 1, 2, 4]\nopen: 4\n"), "{errno} {user:?}: {output:?}");
        }
    }
    root_only!();
    let launcher = launcher();
    let said = ask_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/proc"), 0, "");
        fake(libc::SYS_close_range, Errno::PERM);
        let output = Command::new(launcher).arg("--check").stdin(Stdio::null()).output().unwrap();
        format!("{}{}{:?}", text(&output.stdout), text(&output.stderr), output.status.code())
    });
    let message = "cannot close the other descriptors: close_range is refused, and /proc does not list them";
    assert_eq!(said, format!("jailed: no\nautochroot: {message}\nSome(1)"));
}

/// What PROGRAM opens first must not become its standard output.
#[test]
fn a_standard_descriptor_that_is_closed_or_not_kept_is_dev_null() {
    own_process!();
    let closing = |user, fds: &'static [i32]| {
        let mut command = autochroot(user);
        // SAFETY: it is the child's.
        unsafe {
            command.pre_exec(move || {
                for fd in fds {
                    libc::close(*fd);
                }
                Ok(())
            });
        }
        command
    };
    for user in users() {
        for (closed, kept) in [
            (&[0][..], None),
            (&[1], None),
            (&[2], None),
            (&[0, 1, 2], None),
            (&[], Some("--keep-fds=1")),
            (&[0], Some("--keep-fds=2,1")),
            (&[1], Some("--keep-fds=all")),
        ] {
            let mut command = closing(user, closed);
            let status = command.args(kept).arg(payload()).arg("null-exit").output().unwrap().status;
            let kept_fds: Vec<i32> = match kept {
                None | Some("--keep-fds=all") => (0..3).filter(|fd| !closed.contains(fd)).collect(),
                Some("--keep-fds=1") => vec![1],
                Some(_) => vec![1, 2],
            };
            // A bit for each that is /dev/null: the standard input always is, in this test.
            let expected: i32 = (0..3).filter(|fd| *fd == 0 || !kept_fds.contains(fd)).map(|fd| 1 << fd).sum();
            assert_eq!(status.code(), Some(expected), "{user:?} {closed:?} {kept:?}");
        }
        // A refusal is told on the standard error that the launcher was started with.
        let output = autochroot(user).args(["--keep-fds=0,1", "--root=/nowhere", "true"]).output().unwrap();
        let message_of_nowhere =
            "cannot use the directory: /nowhere: ENOENT (no such file or directory) (--root /nowhere)";
        assert_fails(&output, 125, message_of_nowhere);
        let output = autochroot(user).args(["--keep-fds=0,1", "/nowhere"]).output().unwrap();
        assert_fails(&output, 127, "/nowhere: not found");
        let output = autochroot(user).args(["-q", "--keep-fds=0,1", "/bin/ls"]).output().unwrap();
        assert!(text(&output.stderr).starts_with("autochroot: /bin/ls: is not static"), "{output:?}");
        // Also if the standard input is closed, whose number it could take.
        let output = closing(user, &[0]).args(["--keep-fds=1", "--root=/nowhere", "true"]).output().unwrap();
        assert_fails(&output, 125, message_of_nowhere);
        // What is printed by --check is not lost.
        let output = autochroot(user).args(["--keep-fds=0", "--check"]).output().unwrap();
        assert!(text(&output.stdout).ends_with("\njailed: yes\n"), "{output:?}");
    }
    root_only!();
    // Without /dev/null they stay closed, and what the launcher opens does not take their numbers.
    let Some(busybox) = busybox() else { return skipped("no static busybox") };
    let launcher = launcher();
    as_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/dev"), 0, "");
        for what in [None, Some("not the device")] {
            if let Some(content) = what {
                fs::write("/dev/null", content).unwrap();
            }
            let mut command = command(launcher);
            command.args([busybox, "sh", "-c", "(exec 5<&0) || (exec 5>&1) || (exec 5>&2) || exit 7"]);
            unsafe {
                command.pre_exec(|| {
                    (0..3).for_each(|fd| _ = libc::close(fd));
                    Ok(())
                });
            }
            assert_eq!(command.status().unwrap().code(), Some(7), "{what:?}");
        }
    });
}

/// Nothing is believed that can be looked at.
#[test]
fn a_faked_close_range_leaves_no_descriptor_open() {
    own_process!();
    let directory = fs::File::open("/").unwrap();
    for user in users() {
        let mut command = with_files(user, &[raw(&directory)]);
        // SAFETY: it is the child's.
        unsafe {
            command.pre_exec(|| {
                fake_success(libc::SYS_close_range);
                Ok(())
            });
        }
        let output = command.arg(payload()).arg("fds").output().unwrap();
        assert!(text(&output.stdout).ends_with("\nfds: [0, 1, 2]\n"), "{user:?}: {output:?}");
    }
}

/// The kernel would signal whoever an outsider has named, also root.
#[test]
fn a_descriptor_that_signals_another_process_is_refused() {
    own_process!();
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let (socket, own) = (raw(&socket), unsafe { libc::getpid() });
    for (owner, refused) in
        [(own, Some(own)), (-unsafe { libc::getpgrp() }, Some(unsafe { libc::getpgrp() })), (0, None)]
    {
        for user in users() {
            assert_eq!(unsafe { libc::fcntl(socket, libc::F_SETOWN, owner) }, 0);
            let mut command = with_files(user, &[socket]);
            let output = command.args(["--keep-fds=0,1,2,3"]).arg(payload()).output().unwrap();
            match refused {
                Some(process) => {
                    let message = format!("descriptor 3 signals process {process}, which is its owner (F_SETOWN)");
                    assert!(text(&output.stderr).starts_with(&format!("autochroot: {message}")), "{output:?}");
                    assert_eq!(output.status.code(), Some(125));
                }
                None => assert!(output.status.success(), "{output:?}"),
            }
        }
    }
}

/// Not even by a descriptor that the launcher itself opens, and that would have its number.
#[test]
fn a_descriptor_that_is_not_open_cannot_be_kept() {
    own_process!();
    for user in users() {
        for (keep, closed) in [("--keep-fds=0,1,2,3", 3), ("--keep-fds=0,1,2", 0), ("--keep-fds=4", 4)] {
            let mut command = autochroot(user);
            // SAFETY: it is the child's.
            unsafe {
                command.pre_exec(move || {
                    libc::close(closed);
                    Ok(())
                });
            }
            let output = command.arg(keep).arg(payload()).output().unwrap();
            assert_fails(&output, 125, &format!("--keep-fds: descriptor {closed} is not open"));
        }
        let script = "exec 3>&-; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$1\"";
        let mut shell = command(Path::new("/bin/sh"));
        shell.args(["-c", script]).arg(launcher()).arg(payload());
        assert_fails(&shell.output().unwrap(), 125, "LISTEN_FDS: descriptor 3 is not open");
        for bad in ["-1", "", "1 ", "4294967296"] {
            let mut shell = command(Path::new("sh"));
            shell
                .args(["-c", &format!("LISTEN_PID=$$ LISTEN_FDS='{bad}' exec \"$0\" \"$1\"")])
                .arg(launcher())
                .arg(payload());
            let message = format!("LISTEN_FDS: \"{bad}\" is not a number of descriptors");
            assert_fails(&shell.output().unwrap(), 125, &message);
        }
    }
}

/// One of the two variables alone means nothing.
#[test]
fn without_both_variables_nothing_is_passed_on() {
    own_process!();
    let file = fs::File::open("/etc/passwd").unwrap();
    let copy = unsafe { libc::fcntl(raw(&file), libc::F_DUPFD_CLOEXEC, 100) };
    for user in users() {
        for (variables, fds) in [
            ("LISTEN_PID=$$", "[0, 1, 2]"),
            ("LISTEN_FDS=1", "[0, 1, 2]"),
            ("LISTEN_PID= LISTEN_FDS=1", "[0, 1, 2]"),
            ("LISTEN_PID=$$ LISTEN_FDS=0", "[0, 1, 2]"),
            ("LISTEN_PID=$$ LISTEN_FDS=1", "[0, 1, 2, 3]"),
        ] {
            let mut shell = command(Path::new("/bin/sh"));
            shell.args(["-c", &format!("{variables} exec \"$0\" \"$@\"")]).arg(launcher()).arg(payload()).arg("fds");
            shell.env_remove("LISTEN_PID").env_remove("LISTEN_FDS").current_dir("/").stdin(Stdio::null());
            start_as(&mut shell, user);
            // SAFETY: the call is safe in a fork.
            unsafe {
                shell.pre_exec(move || {
                    libc::dup2(copy, 3);
                    Ok(())
                });
            }
            let output = shell.output().unwrap();
            assert!(text(&output.stdout).ends_with(&format!("\nfds: {fds}\n")), "{user:?} {variables}: {output:?}");
        }
    }
}

#[test]
fn socket_activation_works() {
    own_process!();
    network_only!();
    use std::io::Read;
    for user in users() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // LISTEN_PID is the pid that the service has, known only once it is there: as a supervisor
        // does it, by a shell.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""]).arg(launcher()).arg(payload()).args(["accept", "fds"]);
        shell.env("LISTEN_FDS", "1").stdin(Stdio::null()).stdout(Stdio::piped());
        start_as(&mut shell, user);
        let copy = unsafe { libc::fcntl(raw(&listener), libc::F_DUPFD_CLOEXEC, 100) };
        // SAFETY: the calls are safe in a fork.
        unsafe {
            shell.pre_exec(move || {
                libc::dup2(copy, 3);
                libc::dup2(copy, 4);
                Ok(())
            });
        }
        let child = shell.spawn().unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        client.write_all(b"hello").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HELLO");
        let output = child.wait_with_output().unwrap();
        // The second one was not announced, and descriptor 3 is closed by its owner.
        assert!(text(&output.stdout).ends_with("\nLISTEN_FDS=1\nfds: [0, 1, 2]\n"), "{user:?}: {output:?}");
        // A LISTEN_FDS that is meant for another process is not for us.
        let mut command = with_files(user, &[raw(&listener)]);
        let output = command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1").arg(payload()).arg("fds").output().unwrap();
        assert!(text(&output.stdout).ends_with("\nfds: [0, 1, 2]\n"), "{output:?}");
    }
}
