//! `autochroot`: runs a static program with an empty root directory.
//!
//! Without the feature `std`, a static build with musl is small. In every build it does not
//! allocate, and forks only for `--check PROGRAM`.
#![no_main]
#![cfg_attr(not(feature = "std"), no_std)]
#![warn(clippy::undocumented_unsafe_blocks)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used))]

mod fds;
#[cfg(all(feature = "files", any(target_os = "linux", target_os = "android")))]
mod files;
#[cfg(not(all(feature = "files", any(target_os = "linux", target_os = "android"))))]
mod no_files;
#[cfg(not(all(feature = "files", any(target_os = "linux", target_os = "android"))))]
use no_files as files;
mod libc;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
mod options;
mod output;
mod program;
mod report;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod trial;
mod unfit;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod unix;

use core::ffi::{CStr, c_char, c_int};

use autochroot::for_the_launcher::Failure;
use autochroot::{Error, Root, Step};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgid, getuid};

use fds::Kept;
use files::Files;
use libc::Strings;
#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as os;
use options::Options;
use os::{Inside, User};
use output::{Quoted, Show, Shown, Stream, Text, fail};
use program::Unfit;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use unix as os;

/// autochroot itself failed.
const FAILED: c_int = 125;
const CANNOT_RUN: c_int = 126;
const NOT_FOUND: c_int = 127;

/// No text.
const NONE: &[u8] = b"";

/// Effective user and group.
type Ids = (u32, u32);

/// # Safety
///
/// Only the C library may call it.
#[allow(unsafe_code, reason = "the C library calls it by this name")]
#[unsafe(no_mangle)]
unsafe extern "C" fn main(_: c_int, args: *const *const c_char, environment: *const *const c_char) -> c_int {
    // SAFETY: the C library gives two arrays that end with a null pointer and stay.
    let (mut args, environment) = unsafe { (Strings::new(args), Strings::new(environment)) };
    args.next();
    launch(&mut args, &environment).unwrap_or_else(|status| status)
}

/// Runs the launcher. Returns the exit status, as an `Err` if it failed.
fn launch(args: &mut Strings, environment: &Strings) -> Result<c_int, c_int> {
    let options = Options::parse(args)?;
    let kept = Kept::of(&options.keep_fds, environment)?;
    Files::with(&options, &mut |files| {
        files.put_into(options.jail).check_words().map_err(|error| say_why(&options, files, Part::Entry, &error))?;
        match (args.peek(), options.check) {
            (Some(name), _) if name.is_empty() => fail!(FAILED, "PROGRAM is empty"),
            // The words are right. Whatever is refused now depends on the machine.
            (name, true) => check(&options, &kept, files, name.map(|name| (name, &*args, environment)))
                .or_else(|status| Ok(report::refused(status))),
            (None, false) => fail!(FAILED, "no PROGRAM given (see --help)"),
            (Some(name), false) => run(&options, &kept, files, (name, args, environment)),
        }
    })
}

/// Enters, and prints the state of the jail, and whether PROGRAM can be executed there.
fn check(options: &Options, kept: &Kept, files: &mut Files, program: Option<Program<'_>>) -> Result<c_int, c_int> {
    let user = prepare(options, kept, files)?;
    let before = ids();
    // A jail without PROGRAM is reported too.
    let found = program.map(|program| (find(options, files, program), program));
    let fd = found.as_ref().and_then(|(found, _)| found.as_ref().ok()).map(AsRawFd::as_raw_fd);
    let inside = enter(options, kept, files, user.as_ref(), fd)?;
    let status = match found {
        Some((Ok(file), program)) => try_to_execute(options, &file, program),
        Some((Err(_), _)) => 1,
        None => 0,
    };
    report::report(&inside, before, (options, files), Stream::out()).map(|jailed| jailed.max(status))
}

/// Does everything that comes before the entry.
fn prepare(options: &Options, kept: &Kept, files: &mut Files) -> Result<Option<User>, c_int> {
    refuse_privilege_from_the_file()?;
    kept.check()?;
    files.open()?;
    kept.fill_standard(options.check)?;
    os::user(options)
}

fn ids() -> Ids {
    (geteuid().as_raw(), getegid().as_raw())
}

/// The name of PROGRAM, its arguments, and the environment.
type Program<'m> = (&'static CStr, &'m Strings, &'m Strings);

fn run(options: &Options, kept: &Kept, files: &mut Files, program: Program<'_>) -> Result<c_int, c_int> {
    let user = prepare(options, kept, files)?;
    let before = ids();
    let file = find(options, files, program)?;
    let inside = enter(options, kept, files, user.as_ref(), Some(file.as_raw_fd()))?;
    if !(options.quiet || kept.keeps_errors()) {
        Stream::err().put("autochroot: warning: PROGRAM has no standard error: --keep-fds is without 2\n", &[]).flush();
    }
    if options.verbose {
        report::report(&inside, before, (options, files), Stream::err())?;
    }
    let (name, args, environment) = program;
    let errno = libc::execute(&file, args, environment);
    Err(not_executed(options, &file, name, errno))
}

/// Executes PROGRAM for `--check`, and stops it before it can do anything. Returns the exit status.
fn try_to_execute(options: &Options, file: &OwnedFd, (name, args, environment): Program<'_>) -> c_int {
    match os::try_to_execute(file, args, environment) {
        Ok(told) => {
            Stream::out().put("program: %\n", &[&told]).flush();
            0
        }
        Err(Unfit::Errno(errno)) => not_executed(options, file, name, errno),
        Err(Unfit::Because(why, remedy)) => unfit(options, name, CANNOT_RUN, &why, hint(&remedy)),
    }
}

/// Reports why PROGRAM was not executed, and returns the exit status.
fn not_executed(options: &Options, file: &OwnedFd, name: &CStr, errno: Errno) -> c_int {
    match unfit::why(file, errno) {
        Some((why, remedy)) => unfit(options, name, CANNOT_RUN, &why, hint(&remedy)),
        None => unfit(options, name, CANNOT_RUN, &Text("cannot execute it: %", &[&errno]), None),
    }
}

/// Returns the remedy, unless it is empty.
fn hint<'r>(remedy: &'r &'static str) -> Option<&'r dyn Show> {
    (!remedy.is_empty()).then_some(remedy)
}

/// Prints why PROGRAM cannot be run, and the remedy unless it is empty. Returns the exit status.
/// With `--check` it is a line of the report.
fn unfit(options: &Options, name: &CStr, status: c_int, why: &dyn Show, hint: Option<&dyn Show>) -> c_int {
    let mut stream = if options.check { Stream::out() } else { Stream::err() };
    if options.check {
        stream.put("program: %\n", &[why]);
    } else {
        stream.put("autochroot: %: %\n", &[&name.to_bytes(), why]);
    }
    if let Some(hint) = hint {
        stream.put("  hint: %\n", &[hint]);
    }
    stream.flush();
    if options.check { 1 } else { status }
}

/// Finds PROGRAM, and checks before the entry that its dynamic loader will be in the root.
fn find(options: &Options, files: &Files, (name, _, environment): Program<'_>) -> Result<OwnedFd, c_int> {
    let refused = |status, why: &dyn Show, hint: Option<&dyn Show>| Err(unfit(options, name, status, why, hint));
    let directory = options.jail.path().filter(|_| options.jail.root() == Root::Directory);
    let program = match program::open(name, environment.variable(b"PATH")) {
        Ok(program) => program,
        Err(Unfit::Errno(Errno::NOENT)) if name.to_bytes().contains(&b'/') && program::is_link(name) => {
            return refused(NOT_FOUND, &"not found: it is a symbolic link whose target is missing", None);
        }
        Err(Unfit::Errno(Errno::NOENT | Errno::NOTDIR)) => {
            // It is looked up before the root changes.
            let path = name.to_bytes();
            let inside = directory.filter(|directory| {
                let below = path.strip_prefix(b"/").unwrap_or_default();
                os::is_the_same_beneath(directory, below)
            });
            let outside = inside.map(|directory| (directory, path)).or(files.source_of(path).map(|file| (file, NONE)));
            let (first, rest) = outside.unwrap_or_default();
            let parts: [&dyn Show; 2] = [&first, &rest];
            let remedy = Text("give its path outside: %%", &parts);
            return refused(NOT_FOUND, &"not found", outside.is_some().then_some(&remedy));
        }
        Err(Unfit::Errno(errno)) => {
            const MOUNT: &str = "a mount (FUSE, NFS) or a security module refuses it";
            let hint = (errno == Errno::ACCESS && os::may_read_all()).then_some(&MOUNT as &dyn Show);
            return refused(CANNOT_RUN, &Text("cannot open it: %", &[&errno]), hint);
        }
        Err(Unfit::Because(why, remedy)) => return refused(CANNOT_RUN, &why, hint(&remedy)),
    };
    let mut buffer = [0; 256];
    let Some(loader) = unfit::loader(&program, &mut buffer) else { return Ok(program) };
    let is_there = match directory {
        Some(directory) => os::is_in(directory, loader),
        None => !options.jail.root().is_made() || files.has(loader),
    };
    if is_there {
        return Ok(program);
    }
    let path = name.to_bytes();
    // A name without a slash is looked up in PATH.
    let (before, after) = if path.contains(&b'/') { ("", "") } else { ("$(command -v ", ")") };
    let words: [&dyn Show; 3] = [&before, &Quoted(path), &after];
    let listed = Text("$(ldd %%% | grep -o '/[^ )]*'", &words);
    let (remedy, last) = match directory {
        None => ("autochroot % | sed 's/^/-f /') %", path),
        Some(directory) => ("for file in %); do install -D $file %$file; done", directory),
    };
    let why = "is not static: its dynamic loader % is not in the jail";
    let parts: [&dyn Show; 2] = [&listed, &Quoted(last)];
    let line = Text(remedy, &parts);
    refused(
        CANNOT_RUN,
        &Text(why, &[&loader]),
        Some(&Text("build it statically, or copy the loader and the libraries: %", &[&line])),
    )
}

/// Refuses to run set-id or with file capabilities: anybody could then do what only root may do,
/// for example choose the root directory of a set-id program.
fn refuse_privilege_from_the_file() -> Result<(), c_int> {
    if getuid() == geteuid() && getgid() == getegid() && !os::has_capabilities_from_the_file() {
        return Ok(());
    }
    Stream::err()
        .put("autochroot: refused: it got privilege from its own file, by a set-id bit or file capabilities\n", &[])
        .put("  hint: remove them (chmod u-s,g-s or setcap -r), and start it with the privilege that it needs\n", &[])
        .flush();
    Err(FAILED)
}

/// Enters, becomes the user, and seals. `program` is the descriptor that may still be executed.
fn enter(
    options: &Options,
    kept: &Kept,
    files: &Files,
    user: Option<&User>,
    program: Option<c_int>,
) -> Result<Inside, c_int> {
    let jail = match kept {
        Kept::All => options.jail, // looks at every descriptor
        Kept::Listed(_) | Kept::Standard(_) => options.jail.allow_open_directories(),
    };
    kept.close_others(program, files)?;
    os::enter(options, files.put_into(jail), user, program, |part, error| say_why(options, files, part, &error))
}

/// The part that was refused.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    allow(dead_code, reason = "elsewhere there is only the entry")
)]
pub(crate) enum Part {
    Entry,
    Seal,
}

fn shown(value: Option<&impl Show>) -> Option<&dyn Show> {
    value.map(|value| value as &dyn Show)
}

/// Prints the error, the option that it is about, and the cause if it is known. Returns the exit
/// status.
fn say_why(options: &Options, files: &Files, part: Part, error: &Error) -> c_int {
    let file = error.file().and_then(|nth| files.text(nth));
    let (name, value): (&str, Option<&dyn Show>) = match (part, error.step()) {
        (_, Step::CheckCapabilities) => ("caps", shown(options.caps.given())),
        (_, Step::CheckIds | Step::SetGroups | Step::SetGid | Step::SetUid) => ("user", shown(options.user.as_ref())),
        (Part::Seal, Step::Require) => ("require", shown(options.require.given())),
        // No option is about the other steps of the seal.
        (Part::Seal, _) => ("", None),
        (Part::Entry, _) if file.is_some() => ("file", shown(file.as_ref())),
        (Part::Entry, Step::Files) if options.writable.is_some() => ("writable", shown(options.writable.as_ref())),
        (Part::Entry, _) if options.parent.is_some() => ("parent", shown(options.parent.as_ref())),
        (Part::Entry, _) => ("root", shown(options.root.as_ref()).filter(|_| options.root != Some(b"auto"))),
    };
    let mut stream = Stream::err();
    stream.put("autochroot: %", &[&Shown(Failure(error, options.root))]);
    if let Some(value) = value {
        stream.put(" (--% %)", &[&name, value]);
    }
    stream.put("\n", &[]);
    os::hint(error, &mut stream);
    stream.flush();
    FAILED
}
