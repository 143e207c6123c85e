//! What the launcher promises, for a real static program, as root and as ordinary users.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "calls that std does not have")]
#![allow(clippy::items_after_statements, reason = "the first statement of a test gives it its process")]

#[macro_use]
#[path = "../common/mod.rs"]
mod common;

#[cfg(target_arch = "x86_64")]
mod calls;
mod descriptors;
mod documents;
mod dynamic;
mod files;
mod hints;
mod network;
mod options;
mod privileges;
mod random;
mod report;
mod run;
mod silent;
mod user;

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use common::*;

/// The launcher as `user`, with neither arguments nor a TMPDIR.
fn autochroot(user: User) -> Command {
    let mut command = command(launcher());
    start_as(&mut command, user);
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

/// The same of a `--check`, which ends with a line that says so.
#[track_caller]
fn assert_is_no_jail(output: &Output, message: &str) {
    let (line, last) = (text(&output.stderr), text(&output.stdout));
    assert_eq!((line, last, output.status.code()), (&*format!("autochroot: {message}\n"), "jailed: no\n", Some(1)));
}

/// runsv, with a service whose script has this line, and what it prints.
fn runsv(service: &Scratch, line: &str) -> (Child, impl Iterator<Item = String> + use<>) {
    let script = service.0.join("run");
    fs::write(&script, format!("#!/bin/sh\n{line}\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let mut runsv = command(Path::new("runsv")).arg(&service.0).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(runsv.stdout.take().unwrap()).lines().map(Result::unwrap);
    (runsv, lines)
}

fn busybox() -> Option<&'static str> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists())?;
    let output = run(plain(), [busybox, "true"]);
    output.status.success().then_some(busybox)
}
