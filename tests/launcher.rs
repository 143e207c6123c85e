//! What the launcher promises, for a real static program, as root and as ordinary users.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "calls that std does not have")]

#[macro_use]
mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::*;

/// The launcher as `user`, with neither arguments nor a TMPDIR.
fn autochroot(user: User) -> Command {
    let mut command = Command::new(launcher());
    if let (User::Plain(id), true) = (user, is_root()) {
        command.uid(id).gid(id);
    }
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn run<A: AsRef<OsStr>>(user: User, args: impl IntoIterator<Item = A>) -> Output {
    autochroot(user).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// One line on standard error that ends with `message`, and this exit status.
#[track_caller]
fn assert_fails(output: &Output, status: i32, message: &str) {
    let line = text(&output.stderr);
    assert_eq!((line, output.status.code()), (&*format!("autochroot: {message}\n"), Some(status)));
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_program_runs_in_an_empty_root_with_its_pid_arguments_environment_and_exit_status() {
    let program = payload().to_str().unwrap();
    for user in users() {
        let mut child = autochroot(user);
        child
            .args(["--", program, "look", "--check", "-h", "env", "exit=7"])
            .env_clear()
            .env("A", "b c")
            .stdout(Stdio::piped());
        let child = child.spawn().unwrap();
        let pid = child.id();
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            text(&output.stdout),
            format!(
                "name: {program}\npid: {pid}\nentries: 0\nmkdir: Err(NotFound)\ncreate: Err(NotFound)\n\
                 passwd: Err(NotFound)\nup: Err(NotFound)\narg: --check\narg: -h\nA=b c\n"
            ),
            "{user:?}"
        );
        assert_eq!(output.status.code(), Some(7));
    }
}

#[test]
fn standard_input_passes_through_and_so_does_death_by_a_signal() {
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
fn check_says_what_it_found() {
    let parent = Scratch::new();
    for user in users() {
        let output = autochroot(user).arg("--check").arg("-p").arg(&parent.0).output().unwrap();
        let (entered, capabilities) = if user == User::Root {
            ("privilege", format!("{:#x}", held()))
        } else {
            ("user namespace", "none".into())
        };
        let expected = format!(
            "root: unlinked\nparent: {}\nempty: yes\nwritable: no\nentered: {entered}\nidentity: kept\n\
             capabilities: {capabilities}\nno-new-privs: no\njailed: yes\n",
            parent.0.display()
        );
        assert_eq!((text(&output.stdout), output.status.code()), (&*expected, Some(0)), "{output:?}");
        assert_eq!(text(&output.stderr), "");
    }
    assert_eq!(parent.entries(), [] as [&Path; 0]);
}

#[test]
fn userns_never_and_always_are_heeded() {
    let output = run(plain(), ["--check", "--userns=never"]);
    assert_fails(&output, 125, "cannot chroot: EPERM (operation not permitted)");
    for user in users() {
        let output = run(user, ["--userns", "always", "--check"]);
        assert!(
            text(&output.stdout).contains("entered: user namespace\nidentity: kept\ncapabilities: none\n"),
            "{output:?}"
        );
    }
}

#[test]
fn bad_options_are_refused_with_125() {
    for user in users() {
        for (args, message) in [
            (&[][..], "no PROGRAM given (see --help)"),
            (&["--"], "no PROGRAM given (see --help)"),
            (&["--frobnicate"], "unknown option --frobnicate (see --help)"),
            (&["-x"], "unknown option -x (see --help)"),
            (&["-cx"], "unknown option -cx (see --help)"),
            (&["--check", "true"], "--check runs no PROGRAM"),
            (&["--check=yes"], "--check takes no value"),
            (&["--parent"], "--parent needs a value"),
            (&["-p"], "-p needs a value"),
            (&["--userns", "perhaps", "true"], "--userns is auto, never or always, not \"perhaps\""),
            (&["--userns=", "true"], "--userns is auto, never or always, not \"\""),
            (&["--check", "-p", "tmp"], "cannot use the parent directory: the path is not absolute (--parent tmp)"),
            (&["--check", "-p", ""], "cannot use the parent directory: ENOENT (no such file or directory) (--parent )"),
            (
                &["--check", "-p/none"],
                "cannot use the parent directory: ENOENT (no such file or directory) (--parent /none)",
            ),
            (
                &["--check", "--parent=/proc/version"],
                "cannot use the parent directory: ENOTDIR (not a directory) (--parent /proc/version)",
            ),
        ] {
            assert_fails(&run(user, args), 125, message);
        }
    }
}

#[test]
fn a_program_that_cannot_be_run_is_126_and_one_that_is_not_there_127() {
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
            (&*script, 126, "is a script: its interpreter is not in the jail"),
            (&*rubbish, 126, "is no program for this machine"),
            (fifo.to_str().unwrap(), 126, "is not a file"),
            (directory, 126, "is a directory"),
            (dynamic, 126, "is not static: its dynamic loader is not in the jail"),
            ("/nonexistent", 127, "not found"),
            ("/bin/ls/x", 127, "not found"),
            ("no-such-program", 127, "not found"),
        ] {
            assert_fails(&run(user, [program]), status, &format!("{program}: {message}"));
        }
        assert_fails(&run(user, [""]), 127, "PROGRAM is empty");
    }
}

#[test]
fn path_is_searched_as_a_shell_does() {
    let scratch = Scratch::new();
    let bin = scratch.0.join("bin");
    fs::create_dir_all(scratch.0.join("first/program")).unwrap();
    fs::create_dir(&bin).unwrap();
    fs::copy(payload(), bin.join("program")).unwrap();
    let search = |path: &str, program: &str| {
        let path = path.replace('@', scratch.0.to_str().unwrap());
        autochroot(plain()).env("PATH", path).current_dir(&bin).args([program, "exit=3"]).output().unwrap()
    };
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

#[test]
fn a_program_that_may_be_executed_but_not_read_runs() {
    root_only!();
    let scratch = Scratch::new();
    let program = scratch.0.join("secret");
    fs::copy(payload(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o711)).unwrap();
    assert_eq!(run(NOBODY, [program.to_str().unwrap(), "exit=4"]).status.code(), Some(4));
}

#[test]
fn help_and_version_go_to_standard_output_and_a_full_disk_is_noticed() {
    let output = run(plain(), ["--help"]);
    assert!(text(&output.stdout).starts_with("Usage: autochroot [OPTIONS] [--] PROGRAM [ARG]...\n"));
    assert_eq!(output.status.code(), Some(0));
    let output = run(plain(), ["-V"]);
    assert_eq!(text(&output.stdout), concat!("autochroot ", env!("CARGO_PKG_VERSION"), "\n"));
    for option in ["--help", "--version", "--check"] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let child = autochroot(plain()).arg(option).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (text(&output.stderr), output.status.code()),
            ("autochroot: cannot write to standard output\n", Some(125))
        );
    }
}
