//! `--check` and `--verbose`: what they print, and what happens if it cannot be printed.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::*;
use crate::{autochroot, run, text};

#[test]
fn verbose_says_on_standard_error_what_check_would_and_runs_the_program() {
    own_process!();
    for user in users() {
        let check = run(user, ["--check"]);
        let output = run(user, ["-v".as_ref(), payload(), "exit=5".as_ref()]);
        assert_eq!((text(&output.stderr), output.status.code()), (text(&check.stdout), Some(5)));
        let output = run(user, ["-v".as_ref(), "--root=/".as_ref(), payload(), "exit=5".as_ref()]);
        assert!(text(&output.stderr).ends_with("\njailed: no\n"), "{output:?}");
        assert_eq!(output.status.code(), Some(5));
    }
}

#[test]
fn check_says_what_it_found() {
    own_process!();
    let parent = Scratch::new();
    for user in users() {
        let output = autochroot(user).arg("--check").arg("-p").arg(&parent.0).output().unwrap();
        let entered = if user == User::Root { "privilege" } else { "user namespace" };
        let landlock = landlock_abi().map_or("no: not in this kernel".into(), |abi| format!("ABI {abi}"));
        let expected = format!(
            "root: unlinked\nparent: {}\nempty: yes\nwritable: no\nmode: changeable\nopen-directories: none\n\
             entered: {entered}\nidentity: kept\ncapabilities: none\nno-new-privs: yes\nbounding-set: none\n\
             securebits: locked\nlandlock: {landlock}\nseccomp: yes\nkeyring: own\nthreads: 1\nshared: no\nio-uring: none\njailed: yes\n",
            parent.0.display()
        );
        // Those of whoever runs the tests.
        let (before, groups) = text(&output.stdout).split_once("groups: ").unwrap();
        let said = format!("{before}{}", groups.split_once('\n').unwrap().1);
        assert_eq!((&*said, output.status.code()), (&*expected, Some(0)), "{output:?}");
        assert_eq!(text(&output.stderr), "");
    }
    assert_eq!(parent.entries(), [] as [&Path; 0]);
}

/// A filter that calls every capability unknown must not make the bounding set look empty.
#[test]
fn a_bounding_set_that_cannot_be_read_is_not_reported_as_empty() {
    own_process!();
    let mut command = autochroot(User::Root);
    // SAFETY: the filter is for the child alone.
    unsafe {
        command.pre_exec(|| {
            fake_where(libc::SYS_prctl, Some(libc::PR_CAPBSET_READ.unsigned_abs()), libc::EINVAL.unsigned_abs());
            Ok(())
        });
    }
    let output = command.args(["--check", "--no-seal", "--userns=auto"]).output().unwrap();
    assert!(text(&output.stdout).contains("\nbounding-set: EINVAL (invalid argument)\n"), "{output:?}");
}

#[test]
fn every_root_is_entered_and_reported() {
    own_process!();
    let scratch = Scratch::new();
    fs::copy("/etc/hostname", scratch.0.join("file")).unwrap();
    for user in users() {
        let said = |root: &str| {
            let output = run(user, ["--check", "--root", root]);
            (text(&output.stdout).to_owned(), output.status.code())
        };
        let (detached, status) = said("detached");
        assert!(
            detached.starts_with("root: detached\nparent: none\nempty: yes\nwritable: no\nmode: fixed\n"),
            "{detached}"
        );
        assert_eq!(status, Some(0));
        let (unlinked, status) = said("unlinked /tmp");
        assert!(unlinked.starts_with("root: unlinked\nparent: /tmp\nempty: yes\n"), "{unlinked}");
        assert_eq!(status, Some(0));
        let (directory, status) = said(scratch.0.to_str().unwrap());
        assert!(
            directory.starts_with(
                "root: directory\nparent: none\nempty: not checked\nwritable: not checked\nmode: not checked\n"
            ),
            "{directory}"
        );
        assert_eq!((directory.ends_with("\njailed: yes\n"), status), (true, Some(0)));
        let (unjailed, status) = said("/");
        assert!(unjailed.starts_with("root: unjailed\n") && unjailed.ends_with("\njailed: no\n"), "{unjailed}");
        assert_eq!(status, Some(1));
        let root = format!("--root={}", scratch.0.display());
        // Nothing that would make anything: this is somebody's directory.
        let output = run(user, [root.as_ref(), payload(), "has=/file".as_ref(), "has=/etc/passwd".as_ref()]);
        assert!(text(&output.stdout).ends_with("\nhas=/file: true\nhas=/etc/passwd: false\n"), "{output:?}");
        let output = run(user, ["-r/".as_ref(), payload(), "has=/etc/passwd".as_ref()]);
        assert!(text(&output.stdout).ends_with("\nhas=/etc/passwd: true\n"), "{output:?}");
    }
}

/// A disk that fills up while the last part is written.
#[test]
fn a_part_that_is_written_is_not_the_whole() {
    own_process!();
    let whole = run(plain(), ["--help"]).stdout.len();
    let scratch = Scratch::new();
    for (room, status) in [(whole - 10, 125), (whole, 0)] {
        let file = fs::File::create(scratch.0.join(room.to_string())).unwrap();
        let mut command = autochroot(plain());
        // SAFETY: the calls are safe in a fork.
        unsafe {
            command.pre_exec(move || {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                let limit = libc::rlimit { rlim_cur: room as libc::rlim_t, rlim_max: room as libc::rlim_t };
                libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
                Ok(())
            });
        }
        let output = command.arg("--help").stdout(file).output().unwrap();
        let message = if status == 0 { "" } else { "autochroot: cannot write to standard output\n" };
        assert_eq!((text(&output.stderr), output.status.code()), (message, Some(status)));
    }
}

/// Without /proc, a process with a limit below the numbers of its descriptors cannot know of all.
#[test]
fn what_could_not_be_looked_at_is_told() {
    own_process!();
    root_only!();
    let launcher = launcher();
    let said = ask_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/proc"), 0, "");
        let mut command = Command::new(launcher);
        let output = command.args(["--check", "--keep-fds=all"]).stdin(Stdio::null()).output().unwrap();
        text(&output.stdout).to_owned()
    });
    assert!(said.contains("\nopen-directories: none below the limit of descriptors\n"), "{said}");
}
