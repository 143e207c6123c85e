//! How PROGRAM is found and run.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::FromRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::Stdio;

use rustix::io::Errno;

use crate::common::*;
use crate::descriptors::with_files;
use crate::{assert_fails, autochroot, busybox, run, runsv, text};

#[test]
fn a_program_runs_in_an_empty_root_with_its_pid_arguments_environment_and_exit_status() {
    own_process!();
    let program = payload().to_str().unwrap();
    for (user, seal) in users().into_iter().flat_map(|user| [(user, None), (user, Some("--no-seal"))]) {
        let mut child = autochroot(user);
        child.args(seal).args(["--", program, "look", "--check", "-h", "env", "exit=7"]);
        let child = child.env_clear().env("A", "b c").stdout(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            text(&output.stdout),
            format!(
                "name: {program}\npid: {pid}\nentries: Ok(0)\nmkdir: Err(ReadOnlyFilesystem)\ncreate: \
                 Err(ReadOnlyFilesystem)\npasswd: Err(NotFound)\nup: Err(NotFound)\narg: --check\narg: -h\nA=b c\n"
            ),
            "{user:?}"
        );
        assert_eq!(output.status.code(), Some(7));
    }
}

#[test]
fn standard_input_passes_through_and_so_does_death_by_a_signal() {
    own_process!();
    for user in users() {
        let mut child = autochroot(user);
        let mut child = child.arg(payload()).arg("copy").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"through\n").unwrap();
        assert!(text(&child.wait_with_output().unwrap().stdout).ends_with("\nthrough\n"));
        let output = run(user, [payload(), Path::new("abort")]);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT));
    }
}

#[test]
fn busybox_runs() {
    own_process!();
    let Some(busybox) = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists()) else {
        return skipped("no busybox");
    };
    for user in users() {
        let script = "cd /; pwd; echo *; mkdir x || echo refused; read a </etc/passwd || echo none";
        let output = run(user, [busybox, "sh", "-c", script]);
        if text(&output.stderr).contains("is not static") {
            return skipped("busybox is not static");
        }
        assert_eq!((text(&output.stdout), output.status.code()), ("/\n*\nrefused\nnone\n", Some(0)), "{output:?}");
    }
}

#[test]
fn busybox_reads_hashes_and_serves_what_it_is_handed() {
    own_process!();
    let Some(busybox) = busybox() else { return skipped("no static busybox") };
    for user in users() {
        let fed = |args: &[&str], input: &[u8]| {
            let mut child = autochroot(user);
            let mut child = child.arg(busybox).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(input).unwrap();
            String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
        };
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -\n";
        assert_eq!(fed(&["sha256sum"], b""), empty);
        assert_eq!(fed(&["sh"], b"echo $((6 * 7)); exit 0"), "42\n");
        // httpd asks for its working directory, whose name is "/" in a detached root and which has
        // none in an unlinked one.
        let mut child = autochroot(user);
        child.args([busybox, "httpd", "-i"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"GET /etc/passwd HTTP/1.0\r\n\r\n").unwrap();
        let answer = child.wait_with_output().unwrap();
        assert!(text(&answer.stdout).starts_with("HTTP/1.1 404 "), "{answer:?}");
        let output = run(user, ["--root=unlinked", busybox, "httpd", "-i"]);
        assert!(text(&output.stderr).starts_with("httpd: getcwd: No such file or directory\n"), "{output:?}");
    }
}

#[test]
fn a_shell_starts_it_and_gets_the_exit_status() {
    own_process!();
    let Some(busybox) = busybox() else { return skipped("no static busybox") };
    let script = format!("{} {} exit=9; echo $?", launcher().display(), payload().display());
    let output = command(Path::new(busybox)).args(["sh", "-c", &script]).output().unwrap();
    assert!(text(&output.stdout).ends_with("\n9\n"), "{output:?}");
}

#[test]
fn the_mask_and_the_dispositions_of_signals_are_handed_over() {
    own_process!();
    for user in users() {
        for ignored in [false, true] {
            let mut command = autochroot(user);
            unsafe {
                command.pre_exec(move || {
                    libc::signal(libc::SIGUSR1, if ignored { libc::SIG_IGN } else { libc::SIG_DFL });
                    let mut set = std::mem::zeroed();
                    libc::sigemptyset(&raw mut set);
                    libc::sigaddset(&raw mut set, libc::SIGUSR2);
                    libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
                    Ok(())
                });
            }
            let output = command.arg(payload()).arg("signals").output().unwrap();
            let expected = format!("\nblocked: 800, SIGUSR1: {}\n", u8::from(ignored));
            assert!(text(&output.stdout).ends_with(&expected), "{output:?}");
        }
    }
}

#[test]
fn the_parent_death_signal_passes_through() {
    own_process!();
    for user in users() {
        let mut ways = vec![vec![]];
        if user == User::Root {
            ways.extend([vec!["--user=7:8"], vec!["--user=7:8", "--userns=always"], vec!["--user=0:0"]]);
        }
        for options in ways {
            let mut command = autochroot(user);
            // SAFETY: the call is safe in a fork.
            unsafe {
                command.pre_exec(|| {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1);
                    Ok(())
                });
            }
            let output = command.args(&options).arg(payload()).arg("death-signal").output().unwrap();
            assert!(text(&output.stdout).ends_with("\ndeath signal: 10\n"), "{user:?} {options:?}: {output:?}");
        }
    }
}

/// A container from scratch: a root file system with nothing in it but the static launcher and a
/// static program.
#[test]
fn in_a_container_from_scratch_it_needs_nothing() {
    own_process!();
    root_only!();
    let Some(launcher) = std::env::var_os("AUTOCHROOT_STATIC") else {
        return skipped("AUTOCHROOT_STATIC is not set");
    };
    let (scratch, payload) = (Scratch::new(), payload());
    for (options, read_only, expected) in [
        (&["--root=unlinked,detached"][..], false, "root: unlinked\nparent: /\n"),
        (&["--root=unlinked,detached"], true, "root: detached\nparent: none\n"),
        (&["--user=12345:12345"], true, "root: detached\nparent: none\n"),
    ] {
        let said = ask_user(User::Root, || {
            own_mounts();
            mount_tmpfs(&scratch.0, 0, "mode=755");
            copy_program(Path::new(&launcher), &scratch.0.join("autochroot"), 0o755);
            copy_program(payload, &scratch.0.join("payload"), 0o755);
            std::env::set_current_dir(&scratch.0).unwrap();
            unsafe {
                assert_eq!(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()), 0);
                assert_eq!(libc::umount2(c".".as_ptr(), libc::MNT_DETACH), 0);
                if read_only {
                    let flags = libc::MS_REMOUNT | libc::MS_RDONLY;
                    let none = std::ptr::null();
                    assert_eq!(libc::mount(none, c"/".as_ptr(), none, flags, none.cast()), 0);
                }
            }
            let mut command = command(Path::new("/autochroot"));
            let output = command
                .args(options)
                .args(["-v", "/payload", "has=/payload", "capabilities"])
                .stdin(unsafe { Stdio::from_raw_fd(libc::dup(0)) })
                .output()
                .unwrap();
            format!("{}{}", text(&output.stderr), text(&output.stdout))
        });
        assert!(said.starts_with(expected), "{said}");
        assert!(said.ends_with("\njailed: yes\nname: /payload\nhas=/payload: false\n[0, 0, 0]\n"), "{said}");
    }
}

#[test]
fn a_program_that_cannot_be_run_is_126_and_one_that_is_not_there_127() {
    own_process!();
    let scratch = Scratch::new();
    let file = |name: &str, mode: u32, content: &[u8]| {
        let path = scratch.0.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let plain_file = file("plain", 0o644, b"");
    let script = file("script", 0o755, b"#!/bin/sh\n");
    let rubbish = file("rubbish", 0o755, b"\x7fELF and no more");
    let fifo = scratch.0.join("fifo");
    assert_eq!(unsafe { libc::mkfifo(std::ffi::CString::new(fifo.to_str().unwrap()).unwrap().as_ptr(), 0o777) }, 0);
    let directory = scratch.0.to_str().unwrap();
    let dynamic = Path::new("/bin/ls").to_str().unwrap();
    for user in users() {
        for (program, status, message) in [
            (&*plain_file, 126, "is not executable"),
            (
                &*script,
                126,
                "is a script: scripts cannot be executed by descriptor\n  hint: run the \
             interpreter, and give it the script with -f or on standard input",
            ),
            (&*rubbish, 126, "is neither a program nor a script"),
            (fifo.to_str().unwrap(), 126, "is not a file"),
            (directory, 126, "is a directory"),
            (
                dynamic,
                126,
                "is not static: its dynamic loader /lib64/ld-linux-x86-64.so.2 is not in the jail\n  hint: build it statically, or \
                 copy the loader and the libraries: autochroot $(ldd /bin/ls | grep -o '/[^ )]*' | sed 's/^/-f /') /bin/ls",
            ),
            ("/nonexistent", 127, "not found"),
            ("/bin/ls/x", 127, "not found"),
            ("no-such-program", 127, "not found"),
        ] {
            assert_not_run(user, &[program], status, message);
        }
        for args in [&[""][..], &["--check", ""]] {
            assert_fails(&run(user, args), 125, "PROGRAM is empty");
        }
    }
}

/// PROGRAM, the last word, is refused with this message, and `--check` predicts it.
#[track_caller]
fn assert_not_run(user: User, words: &[&str], status: i32, message: &str) {
    assert_fails(&run(user, words), status, &format!("{}: {message}", words.last().unwrap()));
    assert_predicted(&run(user, [&["--check"], words].concat()), message);
}

/// `--check` found a jail, in which PROGRAM cannot be executed for this reason.
#[track_caller]
fn assert_predicted(output: &std::process::Output, message: &str) {
    let said = text(&output.stdout);
    assert!(
        said.starts_with(&format!("program: {message}\nroot: ")) && said.ends_with("\njailed: yes\n"),
        "{output:?}"
    );
    assert_eq!((text(&output.stderr), output.status.code()), ("", Some(1)));
}

/// The program is executed as far as the kernel, and makes no system call.
#[test]
fn check_predicts_that_a_program_runs_and_does_not_run_it() {
    own_process!();
    let name = payload().to_str().unwrap();
    for user in users() {
        for options in [&[][..], &["--no-seal"], &["--no-connect"], &["--root=unlinked"], &["-f/etc/passwd"]] {
            assert!(run(user, [options, &[name, "look"]].concat()).status.success(), "{options:?}");
            let output = run(user, [&["--check"], options, &[name, "look", "exit=7"]].concat());
            let said = text(&output.stdout);
            assert!(said.starts_with("program: yes\nroot: ") && said.ends_with("\njailed: yes\n"), "{output:?}");
            assert!(!said.contains("arg") && !said.contains("euid"), "{said}");
            assert_eq!((text(&output.stderr), output.status.code()), ("", Some(0)));
        }
        let output = run(user, ["--check", "--root=/", name, "exit=7"]);
        assert!(text(&output.stdout).starts_with("program: yes\nroot: unjailed\n"), "{output:?}");
        assert_eq!(output.status.code(), Some(1), "there is no jail");
    }
}

#[test]
fn check_says_why_a_program_cannot_be_tried_or_executed() {
    own_process!();
    let name = payload().to_str().unwrap();
    for (number, errno, message) in [
        (
            libc::SYS_clone,
            Errno::AGAIN,
            "cannot be tried: no process can be made\n  hint: raise the limit of processes (ulimit -u, TasksMax= in systemd)",
        ),
        (libc::SYS_seccomp, Errno::PERM, "cannot be tried: a seccomp filter is needed for that"),
        (libc::SYS_execveat, Errno::NOMEM, "cannot be executed: there is not enough memory"),
        (libc::SYS_execveat, Errno::IO, "cannot execute it: EIO (input/output error)"),
    ] {
        let mut command = autochroot(plain());
        // SAFETY: the filter is for the child alone.
        unsafe {
            command.pre_exec(move || {
                fake(number, errno);
                Ok(())
            });
        }
        let output = command.args(["--check", name]).output().unwrap();
        assert_predicted(&output, message);
    }
}

#[test]
fn the_reason_is_named_why_a_program_is_not_executed() {
    own_process!();
    let scratch = Scratch::new();
    let path = |name: &str| scratch.0.join(name).to_str().unwrap().to_owned();
    let mut foreign = fs::read(payload()).unwrap();
    foreign[18] ^= 1;
    fs::write(path("foreign"), foreign).unwrap();
    fs::write(path("other"), "MZ").unwrap();
    for name in ["foreign", "other"] {
        fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    for user in users() {
        let [foreign, other] = [path("foreign"), path("other")];
        assert_not_run(user, &[&foreign], 126, "is for another processor");
        assert_not_run(user, &[&other], 126, "is neither a program nor a script");
        let loader = "/lib64/ld-linux-x86-64.so.2";
        if Path::new(loader).exists() {
            // One that may not be executed.
            let copy = path("loader");
            fs::copy(loader, &copy).unwrap();
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o644)).unwrap();
            let text = "is not static: its dynamic loader cannot be executed in the jail\n  hint: the loader needs an execute bit, and that \
                        user the right to search the directories above it";
            assert_not_run(user, &["-f", &format!("{copy}={loader}"), "/bin/ls"], 126, text);
        }
    }
    // What the kernel would say.
    let program = payload().to_str().unwrap();
    for (errno, text) in [
        ("EAGAIN", "that user has as many processes as RLIMIT_NPROC permits"),
        ("ENOMEM", "there is not enough memory"),
        ("E2BIG", "its arguments and the environment are too long"),
        ("ETXTBSY", "a process has it open to write to it"),
        ("ENOSYS", "the kernel has no execveat (Linux 3.19), or a seccomp filter refuses it"),
    ] {
        let Some(output) = with_failing_execveat(program, errno) else { return };
        assert_fails(&output, 126, &format!("{program}: cannot be executed: {text}"));
    }
    let other = path("other");
    let output = with_failing_execveat(&other, "ENOENT").unwrap();
    assert_fails(&output, 126, &format!("{other}: is run by an interpreter of binfmt_misc, which is not in the jail"));
    let output = with_failing_execveat(program, "EIO").unwrap();
    assert_fails(&output, 126, &format!("{program}: cannot execute it: EIO (input/output error)"));
    root_only!();
    // As on FUSE, and on NFS with root_squash.
    let mut strace = command(Path::new("strace"));
    strace.args(["-f", "-o/dev/null", "-P", program, "-e", "inject=openat:error=EACCES"]).arg(launcher()).arg(program);
    let output = strace.current_dir("/").stdin(Stdio::null()).output().unwrap();
    let hint = "hint: a mount (FUSE, NFS) or a security module refuses it";
    assert_fails(&output, 126, &format!("{program}: cannot open it: EACCES (permission denied)\n  {hint}"));
    let capable = path("capable");
    copy_program(payload(), Path::new(&capable), 0o755);
    set_file_capabilities(Path::new(&capable), 1 << 10);
    for options in [&["-u7:8"][..], &[]] {
        let text = "has file capabilities that it may not gain\n  hint: remove them from the file (setcap -r), and grant them \
                    with --caps";
        assert_not_run(User::Root, &[options, &[&*capable]].concat(), 126, text);
    }
    as_user(User::Root, || {
        own_mounts();
        let mounted = scratch.0.join("mounted");
        fs::create_dir(&mounted).unwrap();
        mount_tmpfs(&mounted, libc::MS_NOEXEC, "mode=755");
        let program = mounted.join("program");
        copy_program(payload(), &program, 0o755);
        let program = program.to_str().unwrap();
        let text = "is on a file system that is mounted noexec\n  hint: copy it elsewhere, or mount that file system without \
                    noexec";
        assert_not_run(SOMEBODY, &[program], 126, text);
    });
}

/// The launcher under strace, whose `execveat` fails with this errno.
fn with_failing_execveat(program: &str, errno: &str) -> Option<std::process::Output> {
    let mut strace = command(Path::new("strace"));
    strace.args(["-f", "-o/dev/null", "-e"]).arg(format!("inject=execveat:error={errno}:when=1"));
    strace.arg(launcher()).args(["-q", "--no-seal", program]).current_dir("/").stdin(Stdio::null());
    match strace.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skipped("no strace");
            None
        }
        output => Some(output.unwrap()),
    }
}

#[test]
fn a_link_whose_target_is_missing_is_told_from_what_is_not_there() {
    own_process!();
    let scratch = Scratch::new();
    let link = scratch.0.join("link");
    std::os::unix::fs::symlink("/nonexistent", &link).unwrap();
    let link = link.to_str().unwrap();
    let told = "it is a symbolic link whose target is missing";
    assert_fails(&run(plain(), [link]), 127, &format!("{link}: not found: {told}"));
    let file = format!("-f{link}=/x");
    let message =
        format!("--file {link}=/x: cannot open the files for the root: ENOENT (no such file or directory): {told}");
    assert_fails(&run(plain(), [&*file, "true"]), 125, &message);
}

#[test]
fn path_is_searched_as_a_shell_does() {
    own_process!();
    let scratch = Scratch::new();
    let bin = scratch.0.join("bin");
    fs::create_dir_all(scratch.0.join("first/program")).unwrap();
    fs::create_dir(&bin).unwrap();
    copy_program(payload(), &bin.join("program"), 0o755);
    let search = |path: &str, program: &str| {
        let path = path.replace('@', scratch.0.to_str().unwrap());
        autochroot(plain()).env("PATH", path).current_dir(&bin).args([program, "exit=3"]).output().unwrap()
    };
    // One that others may execute, but not this user, is passed over.
    fs::create_dir(scratch.0.join("others")).unwrap();
    copy_program(payload(), &scratch.0.join("others/program"), 0o700);
    if is_root() {
        assert_eq!(search("@/others:@/bin", "program").status.code(), Some(3));
        assert_fails(&search("@/others", "program"), 126, "program: is not executable");
    }
    // Of several that will not do, the last is named.
    fs::create_dir(scratch.0.join("plain")).unwrap();
    fs::write(scratch.0.join("plain/program"), "").unwrap();
    assert_fails(&search("@/first:@/plain", "program"), 126, "program: is not executable");
    assert_fails(&search("@/plain:@/first", "program"), 126, "program: is a directory");
    // A directory of that name is passed over, an empty element is the working directory.
    for path in ["@/first:/nonexistent:@/bin", "@/bin", "/bin:", ":"] {
        assert_eq!(search(path, "program").status.code(), Some(3), "{path}");
    }
    assert_eq!(search("/bin", "./program").status.code(), Some(3));
    assert_fails(&search("@/first", "program"), 126, "program: is a directory");
    assert_fails(&search("", "none"), 127, "none: not found");
    assert_fails(
        &search("/bin", &"x".repeat(300)),
        126,
        &format!("{}: cannot open it: ENAMETOOLONG (file name too long)", "x".repeat(300)),
    );
}

/// As a shell that nobody has given one.
#[test]
fn without_path_the_usual_directories_are_searched() {
    own_process!();
    let Some(busybox) = busybox() else { return skipped("no static busybox") };
    let (_, name) = busybox.rsplit_once('/').unwrap();
    for user in users() {
        let output = autochroot(user).env_remove("PATH").args([name, "echo", "here"]).output().unwrap();
        assert_eq!((text(&output.stdout), text(&output.stderr)), ("here\n", ""), "{user:?}");
        let output = autochroot(user).env("PATH", "/nonexistent").args([name, "echo", "here"]).output().unwrap();
        assert_fails(&output, 127, &format!("{name}: not found"));
    }
}

#[test]
fn a_program_that_only_root_may_execute_is_not_run_as_another_user() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    let program = scratch.0.join("program");
    copy_program(payload(), &program, 0o700);
    let output = run(User::Root, ["--user=12345:12345".as_ref(), program.as_os_str()]);
    assert_fails(&output, 126, &format!("{}: may not be executed by that user", program.display()));
    let output = run(User::Root, [program.to_str().unwrap(), "exit=3"]);
    assert_eq!(output.status.code(), Some(3));
    // Of the three parts of the mode one counts, also if another one permits it.
    for (owner, mode) in [((12345, 0), 0o077), ((0, 12345), 0o707)] {
        std::os::unix::fs::chown(&program, Some(owner.0), Some(owner.1)).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        let output = run(User::Root, ["--user=12345:12345".as_ref(), program.as_os_str()]);
        assert_fails(&output, 126, &format!("{}: may not be executed by that user", program.display()));
    }
}

#[test]
fn a_program_that_may_be_executed_but_not_read_runs() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    let program = scratch.0.join("secret");
    copy_program(payload(), &program, 0o711);
    assert_eq!(run(NOBODY, [program.to_str().unwrap(), "exit=4"]).status.code(), Some(4));
}

/// A file that is in no mounted file system, to which Landlock can have no rule.
#[test]
fn a_program_in_memory_runs() {
    own_process!();
    for user in users() {
        let memory = unsafe { fs::File::from_raw_fd(libc::memfd_create(c"program".as_ptr(), 0)) };
        (&memory).write_all(&fs::read(payload()).unwrap()).unwrap();
        // While it can be written to, it is busy: what the launcher is given is a descriptor for
        // reading alone.
        let path = format!("/proc/self/fd/{}", raw(&memory));
        unsafe { libc::fchmod(raw(&memory), 0o755) };
        let readable = fs::File::open(path).unwrap();
        drop(memory);
        let output = with_files(user, &[raw(&readable)]).args(["/proc/self/fd/3", "exit=5"]).output().unwrap();
        assert_eq!((text(&output.stderr), output.status.code()), ("", Some(5)), "{user:?}");
    }
}

/// A supervisor may ignore `SIGCHLD`, and a filter that kills must not look like a program that ran.
#[test]
fn check_is_not_misled_by_an_ignored_sigchld_or_a_filter_that_kills() {
    own_process!();
    let check = |prepare: fn()| {
        let mut command = autochroot(plain());
        // SAFETY: the calls are for the child alone.
        unsafe {
            command.pre_exec(move || {
                prepare();
                Ok(())
            });
        }
        command.arg("--check").arg(payload()).output().unwrap()
    };
    let output = check(|| unsafe { _ = libc::signal(libc::SIGCHLD, libc::SIG_IGN) });
    assert!(text(&output.stdout).starts_with("program: yes\n"), "{output:?}");
    for prepare in [|| kill_at(libc::SYS_execveat), || kill_at(libc::SYS_prlimit64)] {
        let output = check(prepare);
        assert_eq!((text(&output.stdout), output.status.signal()), ("", Some(libc::SIGSYS)), "{output:?}");
    }
}

/// The kernel reports the stop of a traced child to any `waitpid`. A supervisor takes it for the end, and starts
/// another copy: so did runsv with the launcher before version 0.3.
#[test]
fn a_supervisor_does_not_take_a_stop_for_an_end() {
    own_process!();
    for user in users() {
        for (seal, traced) in [(None, false), (Some("--no-seal"), true)] {
            let mut child = autochroot(user);
            let mut child =
                child.args(seal).arg("-q").arg(payload()).arg("stop").stdout(Stdio::piped()).spawn().unwrap();
            let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
            let (pid, mut status) = (libc::pid_t::try_from(child.id()).unwrap(), 0);
            assert_eq!(lines.find(|line| line.starts_with("traced: ")), Some(format!("traced: {traced}")));
            let state = || {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
                stat.rsplit_once(") ").unwrap().1.chars().next()
            };
            wait_until("the stop", || matches!(state(), Some('T' | 't')));
            let reported = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) };
            assert_eq!((reported, libc::WIFSTOPPED(status)), if traced { (pid, true) } else { (0, false) });
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// In four seconds runsv started four copies with the launcher of version 0.2.
#[test]
fn runsv_starts_a_program_that_stops_once() {
    own_process!();
    root_only!();
    if !have("runsv") {
        return skipped("no runsv");
    }
    let scratch = Scratch::new();
    let line = format!("exec {} -u 7:8 {} stop", launcher().display(), payload().display());
    let (mut runsv, mut lines) = runsv(&scratch, &line);
    assert_eq!(lines.find(|line| line.starts_with("traced: ")).as_deref(), Some("traced: false"));
    // runsv waits a second before it starts another copy.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let copy: libc::pid_t = fs::read_to_string(scratch.0.join("supervise/pid")).unwrap().trim().parse().unwrap();
    runsv.kill().unwrap();
    runsv.wait().unwrap();
    unsafe { libc::kill(copy, libc::SIGKILL) };
    assert_eq!(lines.find(|line| line.starts_with("traced: ")), None);
}
