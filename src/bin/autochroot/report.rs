//! `--check` and `--verbose`: the state of the jail, read from the kernel.

use core::ffi::c_int;

use autochroot::{OpenDirectories, Root};
use rustix::process::{getegid, geteuid};

use crate::files::Files;
use crate::options::Options;
use crate::os::{self, Inside};
use crate::output::{Show, Shown, Stream, fail};
use crate::{FAILED, Ids};

/// Prints that there is no jail, after an entry that failed with this exit status.
pub(crate) fn refused(status: c_int) -> c_int {
    if Stream::out().put("jailed: no\n", &[]).flush() { 1 } else { status }
}

/// Prints `key: value` lines. Returns 0 if the process is in a jail, as in the last line, or 1.
pub(crate) fn report(
    inside: &Inside,
    before: Ids,
    (options, files): (&Options, &Files),
    mut stream: Stream,
) -> Result<c_int, c_int> {
    let jailed = inside.jailed();
    let parent = options.jail.path().or(jailed.parent().map(str::as_bytes)).unwrap_or_default();
    let root = jailed.root();
    let ours = root.is_made();
    let findings = match jailed.verify() {
        Ok(findings) => findings,
        Err(error) => fail!(FAILED, "%", Shown(error)),
    };
    let now = (geteuid().as_raw(), getegid().as_raw());
    stream.line("root", &Shown(root));
    stream.line("parent", &if root == Root::Unlinked { parent } else { b"none" });
    let empty = match () {
        () if options.file.is_given() => "only files",
        () if files.writable_path().is_some() => "only a writable directory",
        () if ours => "yes",
        () => "not checked",
    };
    stream.line("empty", &empty);
    files.report(&mut stream);
    let path = files.writable_path().unwrap_or_default();
    let writable: &dyn Show = match findings.takes_nameless_files() {
        _ if !path.is_empty() => &path,
        _ if !ours => &"not checked",
        true => &"nameless files",
        false => &"no",
    };
    stream.line("writable", writable);
    let mode = match findings.mode_can_change() {
        _ if !ours => "not checked",
        true => "changeable",
        false => "fixed",
    };
    stream.line("mode", &mode);
    // The library makes no check if the launcher has checked every descriptor that PROGRAM keeps.
    match jailed.open_directories() {
        OpenDirectories::NotChecked if root.is_jail() => stream.line("open-directories", &"none"),
        told => stream.line("open-directories", &Shown(told)),
    }
    if root.is_jail() {
        os::report_entered(jailed, &mut stream);
    } else {
        stream.line("entered", &"no");
    }
    if !os::ids_kept(jailed) {
        stream.line("identity", &"overflow");
    } else if now == before {
        stream.line("identity", &"kept");
    } else {
        stream.put("identity: %:%\n", &[&now.0, &now.1]);
    }
    os::report_groups(&mut stream);
    os::report_privileges(inside, &mut stream);
    stream.line("jailed", &if root.is_jail() { "yes" } else { "no" });
    if stream.flush() || stream.is_err() {
        Ok(c_int::from(!root.is_jail()))
    } else {
        fail!(FAILED, "cannot write to standard output")
    }
}
