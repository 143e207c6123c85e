//! The command line.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use rustix::io::Errno;

use crate::common::*;
use crate::{assert_fails, assert_is_no_jail, autochroot, run, text};

#[test]
fn userns_never_and_always_are_obeyed() {
    own_process!();
    let message = "cannot chroot: EPERM (operation not permitted) (--root unlinked)\n  \
                   hint: run as root or with CAP_SYS_CHROOT, or allow user namespaces (UserNamespace::Auto, --userns auto)";
    assert_fails(&run(plain(), ["--userns=never".as_ref(), "--root=unlinked".as_ref(), payload()]), 125, message);
    let output = run(plain(), ["--check", "--id-map=none"]);
    assert!(text(&output.stdout).contains("\nidentity: overflow\n"), "{output:?}");
    let output = run(plain(), ["--check", "--userns=never", "--root=unlinked"]);
    assert_eq!((text(&output.stdout), output.status.code()), ("jailed: no\n", Some(1)));
    assert_eq!(text(&output.stderr), format!("autochroot: {message}\n"));
    for user in users() {
        let output = run(user, ["--userns", "always", "--no-seal", "--check"]);
        assert!(
            text(&output.stdout).contains("entered: user namespace\nidentity: kept\ngroups: ")
                && text(&output.stdout).contains("\ncapabilities: none\n"),
            "{output:?}"
        );
    }
}

#[test]
fn bad_options_are_refused_with_125() {
    own_process!();
    for user in users() {
        for (args, message) in [
            (&[][..], "no PROGRAM given (see --help)"),
            (&["--"], "no PROGRAM given (see --help)"),
            (&["--frobnicate"], "unknown option --frobnicate (see --help)"),
            (&["-x"], "unknown option -x (see --help)"),
            (&["-cx"], "unknown option -c (see --help)"),
            (&["-qx"], "unknown option -x (see --help)"),
            (&["-qvp"], "-p needs a value"),
            (&["-r=var"], "--root \"var\": neither auto, unlinked, detached, failfs, / nor an absolute path"),
            (&["-r="], "--root \"\": empty: auto, unlinked, detached, failfs, / or an absolute path is needed"),
            (&["--check=yes"], "--check takes no value"),
            (&["--parent"], "--parent needs a value"),
            (&["-p"], "-p needs a value"),
            (&["--userns", "perhaps", "true"], "--userns is auto, never or always, not \"perhaps\""),
            (
                &["--root", "", "--check"],
                "--root \"\": empty: auto, unlinked, detached, failfs, / or an absolute path is needed",
            ),
            (
                &["--root=var", "--check"],
                "--root \"var\": neither auto, unlinked, detached, failfs, / nor an absolute path",
            ),
            (
                &["--root=/none", "true"],
                "cannot use the directory: /none: ENOENT (no such file or directory) (--root /none)",
            ),
            (&["--root=/var", "-p/tmp", "--check"], "--parent goes with --root auto and unlinked only"),
            (&["--root=detached /x", "true"], "--root \"detached /x\": a parent is for auto and unlinked only"),
            (&["--id-map=all", "true"], "--id-map is identity or none, not \"all\""),
            (&["--no-seal=x", "true"], "--no-seal takes no value"),
            (&["--caps=none", "--no-seal", "true"], "--caps is part of the seal: it does not go with --no-seal"),
            (&["--caps", "net_bind", "--check"], "--caps: there is no capability \"net_bind\""),
            (&["--caps", "", "--check"], "--caps: there is no capability \"\""),
            (&["--caps=chown,", "--check"], "--caps: there is no capability \"\""),
            (&["--keep-fds=", "--check"], "--keep-fds: \"\" is not a file descriptor"),
            (&["--keep-fds=1,x", "--check"], "--keep-fds: \"x\" is not a file descriptor"),
            (&["--keep-fds=-1", "--check"], "--keep-fds: \"-1\" is not a file descriptor"),
            (&["--keep-fds=99999999999", "--check"], "--keep-fds: \"99999999999\" is not a file descriptor"),
            (&["--require=", "--check"], "--require: there is no protection \"\""),
            (&["--require=landlock,Seccomp", "--check"], "--require: there is no protection \"Seccomp\""),
            (&["--require", "--check"], "--require: there is no protection \"--check\""),
            (
                &["--require=landlock", "--no-seal", "true"],
                "--require, --allow-io-uring, --no-connect and --log-denials are about the seal: they do not go with --no-seal",
            ),
            (
                &["--allow-io-uring", "--no-seal", "true"],
                "--require, --allow-io-uring, --no-connect and --log-denials are about the seal: they do not go with --no-seal",
            ),
            (
                &["--log-denials", "--no-seal", "true"],
                "--require, --allow-io-uring, --no-connect and --log-denials are about the seal: they do not go with --no-seal",
            ),
            (&["--allow-io-uring=1", "true"], "--allow-io-uring takes no value"),
            (
                &["--userns=always", "--root=/", "true"],
                "--userns always does not go with --root /: there is no jail to enter",
            ),
            (&["--userns=", "true"], "--userns is auto, never or always, not \"\""),
            (&["-p", "tmp", "true"], "--parent \"tmp\": the parent must be an absolute path"),
            (&["-p", "", "true"], "--parent \"\": the parent must be an absolute path"),
            (&["-r", "unlinked tmp", "true"], "--root \"unlinked tmp\": the parent must be an absolute path"),
            (
                &["-p/none", "true"],
                "cannot use the parent directory: ENOENT (no such file or directory) (--parent /none)\n  hint: name a directory that can be written, or use the root \"detached\"",
            ),
            (
                &["--parent=/proc/version", "true"],
                "cannot use the parent directory: ENOTDIR (not a directory) (--parent /proc/version)\n  hint: name a directory that can be written, or use the root \"detached\"",
            ),
        ] {
            // A program that is static.
            let args = args.iter().map(|arg| if *arg == "true" { payload().to_str().unwrap() } else { arg });
            assert_fails(&run(user, args), 125, message);
        }
    }
}

/// Nothing that is given is dropped.
#[test]
fn lists_add_up_and_other_values_are_given_once() {
    own_process!();
    let user = plain();
    for (args, message) in [
        (&["-u7:8", "--user=7:9"][..], "--user is given twice: \"7:8\" and \"7:9\""),
        (&["-r/", "-r", "auto"], "--root is given twice: \"/\" and \"auto\""),
        (&["-p/a", "-p/b"], "--parent is given twice: \"/a\" and \"/b\""),
        (&["--userns=auto", "--userns=never"], "--userns is given twice: \"auto\" and \"never\""),
        (&["--id-map=none", "--id-map=identity"], "--id-map is given twice: \"none\" and \"identity\""),
        (&["--caps=all", "--caps=chown"], "--caps: \"all\" does not go with anything else"),
        (&["--caps=chown,none"], "--caps: \"none\" does not go with anything else"),
        (&["--caps=none", "--caps=none"], "--caps: \"none\" does not go with anything else"),
        (&["--keep-fds=all", "--keep-fds=1"], "--keep-fds: \"all\" does not go with anything else"),
        (&["--keep-fds=1", "--keep-fds=2,all"], "--keep-fds: \"all\" does not go with anything else"),
        (&["--caps=chown", "--caps=nice"], "--caps: there is no capability \"nice\""),
        (&["--require=landlock", "--require=x"], "--require: there is no protection \"x\""),
    ] {
        assert_fails(&run(user, [args, &["true"]].concat()), 125, message);
    }
    // The same again changes nothing, and letters can stand together.
    let output = run(user, ["-qqvr", "unlinked", "--root=unlinked", "--check", "--check"]);
    assert!(text(&output.stdout).starts_with("root: unlinked\n"), "{output:?}");
    let output = run(user, ["--keep-fds=0", "--keep-fds", "1", "-q", payload().to_str().unwrap(), "fds"]);
    assert!(text(&output.stdout).ends_with("\nfds: [0, 1, 2]\n"), "{output:?}");
    let output = run(user, ["--keep-fds=0,1", "--keep-fds=77", "true"]);
    assert_fails(&output, 125, "--keep-fds: descriptor 77 is not open");
    // Every part of a list is required, and every capability kept.
    let filtered = |args: &[&str]| {
        let mut command = autochroot(user);
        // SAFETY: it is the child's.
        unsafe {
            command.pre_exec(|| {
                fake(libc::SYS_landlock_create_ruleset, Errno::NOSYS);
                Ok(())
            });
        }
        command.args(args).arg("--check").output().unwrap()
    };
    let output = filtered(&["--require=landlock", "--require=seccomp"]);
    let message = "autochroot: cannot put a required protection in force: landlock is missing";
    assert!(text(&output.stderr).starts_with(message) && output.status.code() == Some(1), "{output:?}");
    assert_eq!(filtered(&["--require=seccomp", "--require=keyring"]).status.code(), Some(0));
    root_only!();
    let output = run(User::Root, ["--caps=chown", "--caps", "kill,net_raw", "--check"]);
    assert!(text(&output.stdout).contains("\ncapabilities: chown,kill,net_raw\n"), "{output:?}");
}

/// `--check` fails with 1 for whatever the machine lacks, and with 125 for wrong words.
#[test]
fn check_tells_wrong_words_from_what_the_machine_lacks() {
    own_process!();
    let user = plain();
    for (args, message) in [
        (&["-u", "nosuch"][..], "--user nosuch: no such user in /etc/passwd (for LDAP give ids, as in 33:33)"),
        (&["-f/none=/x"], "--file /none=/x: cannot open the files for the root: ENOENT (no such file or directory)"),
        (&["--keep-fds=1,2147483647"], "--keep-fds: descriptor 2147483647 is not open"),
        (&["-r/none"], "cannot use the directory: /none: ENOENT (no such file or directory) (--root /none)"),
    ] {
        assert_is_no_jail(&run(user, [args, &["--check"]].concat()), message);
    }
    let directory = fs::File::open("/").unwrap();
    let output = autochroot(user).stdin(directory).arg("--check").output().unwrap();
    assert_is_no_jail(&output, "descriptor 0 is a directory: a program can leave the jail through it");
    for (args, message) in [
        (&["-u", "a:"][..], "--user a:: not USER or USER:GROUP"),
        (&["-u", "4294967295:1"], "--user 4294967295:1: not a valid id: ids are 0 to 4294967294"),
        (&["-u", "99999999999"], "--user 99999999999: not a valid id: ids are 0 to 4294967294"),
        (&["-u1:4294967295"], "--user 1:4294967295: not a valid id: ids are 0 to 4294967294"),
        (
            &["-f/etc/passwd=/../x"],
            "cannot open the files for the root: file 1: the path in the root has an empty name, \".\", \"..\" or a NUL byte (--file /etc/passwd=/../x)",
        ),
        (
            &["-f/etc/passwd", "-runlinked"],
            "cannot use these options: only a detached root takes files or a writable directory (--root unlinked)\n  \
                 hint: use auto or detached, or a directory that has it",
        ),
        (
            &["--userns=always", "-rfailfs"],
            "cannot use these options: failfs is not entered through a user namespace (--root failfs)",
        ),
        (&["-p", "x"], "--parent \"x\": the parent must be an absolute path"),
    ] {
        assert_fails(&run(user, [args, &["--check"]].concat()), 125, message);
    }
}

/// What PROGRAM keeps although a jail is asked for.
#[test]
fn what_weakens_the_jail_is_a_warning() {
    own_process!();
    let program = payload().to_str().unwrap();
    let output = run(plain(), ["--keep-fds=0,1", program]);
    let told = "autochroot: warning: PROGRAM has no standard error: --keep-fds is without 2\n";
    assert_eq!(text(&output.stderr), told);
    for quiet in [&["-q", "--keep-fds=1"][..], &["--no-seal"], &["--keep-fds=2"], &["--caps=none"]] {
        assert_eq!(text(&run(plain(), [quiet, &[program]].concat()).stderr), "", "{quiet:?}");
    }
    root_only!();
    for (args, kept) in [
        (&["--caps=sys_boot,chown,sys_admin"][..], "sys_admin,sys_boot"),
        (&["-u7:8", "--caps=sys_chroot"], "sys_chroot"),
    ] {
        let told = format!("autochroot: warning: PROGRAM keeps capabilities that can undo the jail: {kept}\n");
        assert_eq!(text(&run(User::Root, [args, &[program]].concat()).stderr), told, "{args:?}");
        assert_eq!(text(&run(User::Root, [args, &["-q", program]].concat()).stderr), "", "{args:?}");
    }
    let output = run(User::Root, ["--no-seal", program]);
    assert!(text(&output.stderr).starts_with("autochroot: warning: PROGRAM keeps capabilities"), "{output:?}");
    for args in [&["--caps=kill"][..], &["--no-seal", "-u7:8"], &["--no-seal", "-r/"], &["--caps=all", "-r/"]] {
        assert_eq!(text(&run(User::Root, [args, &[program]].concat()).stderr), "", "{args:?}");
    }
}

/// Each option that `--help` names does something, so that none can be added and forgotten.
#[test]
fn every_option_has_an_effect() {
    own_process!();
    const BASE: &[&str] = &["--check"];
    let help = run(plain(), ["--help"]);
    let names = text(&help.stdout)
        .lines()
        .filter(|line| line.starts_with("  "))
        .filter_map(|line| line.split_once("--")?.1.split(' ').next());
    let names: Vec<_> = names.filter(|name| *name != "check").collect();
    let tried: &[(&str, &[&str])] = &[
        ("root", &["--root=unlinked"]),
        ("parent", &["--parent=/dev/shm"]),
        ("file", &["--file=/etc/passwd"]),
        ("writable", &["--writable=1M"]),
        ("user", &["--user=7:nosuch"]),
        ("userns", &["--userns=always", "--root=failfs"]),
        ("id-map", &["--id-map=none", "--userns=always"]),
        ("caps", &["--caps=chown", "--userns=always"]),
        ("keep-fds", &["--keep-fds=99"]),
        ("no-seal", &["--no-seal"]),
        ("require", &["--require=landlock", "--no-seal"]),
        ("allow-io-uring", &["--allow-io-uring", "--no-seal"]),
        ("no-connect", &["--no-connect"]),
        ("log-denials", &["--log-denials", "--no-seal"]),
        ("verbose", &[]),
        ("quiet", &[]),
        ("help", &["--help"]),
        ("version", &["--version"]),
    ];
    assert_eq!(names, tried.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let usual = run(plain(), BASE);
    for (name, args) in tried.iter().filter(|(_, args)| !args.is_empty()) {
        let output = run(plain(), [args, BASE].concat());
        assert_ne!((&output.stdout, &output.stderr), (&usual.stdout, &usual.stderr), "--{name}");
    }
    let output = run(plain(), ["-v".as_ref(), payload()]);
    assert!(text(&output.stderr).starts_with("root: "), "{output:?}");
    // `what_weakens_the_jail_is_a_warning` is about --quiet.
}

#[test]
fn help_and_version_go_to_standard_output_and_a_full_disk_is_noticed() {
    own_process!();
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
