//! The command line.

use std::fs;
use std::process::Stdio;

use crate::common::*;
use crate::{assert_fails, autochroot, run, text};

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
            (&["-cx"], "unknown option -cx (see --help)"),
            (&["--check", "true"], "--check runs no PROGRAM"),
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
                "cannot use the directory: component 1 of the path: ENOENT (no such file or directory) (--root /none)",
            ),
            (&["--root=/var", "-p/tmp", "--check"], "--parent goes with --root auto and unlinked only"),
            (&["--root=detached /x", "true"], "--root \"detached /x\": a parent is for auto and unlinked only"),
            (&["--id-map=all", "true"], "--id-map is identity or none, not \"all\""),
            (&["--no-seal=x", "true"], "--no-seal takes no value"),
            (&["--caps=none", "--no-seal", "true"], "--caps is part of the seal: it does not go with --no-seal"),
            (&["--caps", "net_bind", "--check"], "--caps: there is no capability \"net_bind\""),
            (&["--caps", "", "--check"], "--caps: there is no capability \"\""),
            (&["--caps=chown,", "--check"], "--caps: there is no capability \"\""),
            (&["--keep-fds=", "--check"], "--keep-fds: \"\" is no file descriptor"),
            (&["--keep-fds=1,x", "--check"], "--keep-fds: \"x\" is no file descriptor"),
            (&["--keep-fds=-1", "--check"], "--keep-fds: \"-1\" is no file descriptor"),
            (&["--keep-fds=99999999999", "--check"], "--keep-fds: \"99999999999\" is no file descriptor"),
            (&["--keep-fds=1,2147483647", "--check"], "--keep-fds: descriptor 2147483647 is not open"),
            (&["--require=", "--check"], "--require: there is no protection \"\""),
            (&["--require=landlock,Seccomp", "--check"], "--require: there is no protection \"Seccomp\""),
            (&["--require", "--check"], "--require: there is no protection \"--check\""),
            (
                &["--require=landlock", "--no-seal", "true"],
                "--require, --allow-io-uring and --log-denials are about the seal: they do not go with --no-seal",
            ),
            (
                &["--allow-io-uring", "--no-seal", "true"],
                "--require, --allow-io-uring and --log-denials are about the seal: they do not go with --no-seal",
            ),
            (
                &["--log-denials", "--no-seal", "true"],
                "--require, --allow-io-uring and --log-denials are about the seal: they do not go with --no-seal",
            ),
            (&["--allow-io-uring=1", "true"], "--allow-io-uring takes no value"),
            (&["-qx", "true"], "-q takes no value"),
            (
                &["--userns=always", "--root=/", "true"],
                "--userns always does not go with --root /: there is no jail to enter",
            ),
            (&["--userns=", "true"], "--userns is auto, never or always, not \"\""),
            (&["-p", "tmp", "true"], "cannot use the parent directory: the path is not absolute (--parent tmp)"),
            (&["-p", "", "true"], "cannot use the parent directory: ENOENT (no such file or directory) (--parent )"),
            (
                &["-p/none", "true"],
                "cannot use the parent directory: ENOENT (no such file or directory) (--parent /none)",
            ),
            (
                &["--parent=/proc/version", "true"],
                "cannot use the parent directory: ENOTDIR (not a directory) (--parent /proc/version)",
            ),
        ] {
            assert_fails(&run(user, args), 125, message);
        }
    }
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
