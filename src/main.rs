//! `autochroot`: run a static program with an empty directory as its root. [`HELP`] is its manual.
//!
//! With the feature `std` it is an ordinary program; without, it is one that a static musl build makes a few pages long.
//! Either way it does not allocate and does not fork.
#![no_main]
#![cfg_attr(not(feature = "std"), no_std)]
#![warn(clippy::undocumented_unsafe_blocks)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used))]

#[path = "launcher/check.rs"]
mod check;
mod errno;
#[path = "launcher/libc.rs"]
mod libc;
#[path = "launcher/program.rs"]
mod program;

use core::ffi::{CStr, c_char, c_int};
use core::fmt;

use autochroot::{Jail, Jailed};
use rustix::io::Errno;

use errno::Named;
use libc::{Stream, Strings};
use program::Unfit;

const HELP: &str = "\
Usage: autochroot [OPTIONS] [--] PROGRAM [ARG]...
       autochroot --check [OPTIONS]

Run a static PROGRAM with an empty, nameless directory as its root.
With --check, enter the jail, print what was found inside, run nothing.

  -p, --parent DIR      where the directory is made
                        [the first of /dev/shm, /run, /tmp, /var/tmp, / that can be written]
      --userns WHEN     enter through a new user namespace: auto (where chroot is not
                        permitted), never, always  [auto]
      --check           see above
  -h, --help            print this
  -V, --version         print the version

PROGRAM is opened before the jail, looked up in PATH if it has no slash. It keeps the
process id, the environment and the open file descriptors.

Exit status: that of PROGRAM; 125 if autochroot failed, also for bad options;
126 if PROGRAM cannot be run; 127 if it is not found.
";

/// autochroot itself failed.
const FAILED: c_int = 125;
const CANNOT_RUN: c_int = 126;
const NOT_FOUND: c_int = 127;

/// Print the line that a failure is and return its exit status.
macro_rules! fail {
    ($status:expr, $($message:tt)*) => {{
        Stream::err(format_args!("autochroot: {}\n", format_args!($($message)*)));
        return $status;
    }};
}

/// # Safety
///
/// For the C library alone to call.
#[allow(unsafe_code, reason = "the C library calls it by this name")]
#[unsafe(no_mangle)]
unsafe extern "C" fn main(_: c_int, args: *const *const c_char, environment: *const *const c_char) -> c_int {
    // SAFETY: the C library gives two arrays that end with a null pointer and stay.
    let (mut args, environment) = unsafe { (Strings::new(args), Strings::new(environment)) };
    args.next();
    launch(args, &environment)
}

fn launch(mut args: Strings, environment: &Strings) -> c_int {
    let mut jail = Jail::auto();
    let mut parent = None;
    let mut check = false;
    while let Some(arg) = args.peek().map(CStr::to_bytes).filter(|arg| arg.len() > 1 && arg.starts_with(b"-")) {
        args.next();
        let (name, inline) = split(arg);
        let value = match (name, inline) {
            (b"-p" | b"--parent" | b"--userns", Some(value)) => value,
            (b"-p" | b"--parent" | b"--userns", None) => match args.next() {
                Some(value) => value.to_bytes(),
                None => fail!(FAILED, "{} needs a value", name.escape_ascii()),
            },
            (b"--check" | b"-h" | b"--help" | b"-V" | b"--version", Some(_)) => {
                fail!(FAILED, "{} takes no value", name.escape_ascii())
            }
            _ => b"",
        };
        match name {
            b"--" => break,
            b"-p" | b"--parent" => parent = Some(value),
            #[cfg(any(target_os = "linux", target_os = "android"))]
            b"--userns" => {
                use autochroot::UserNamespace::{Always, Auto, Never};
                jail = jail.user_namespace(match value {
                    b"auto" => Auto,
                    b"never" => Never,
                    b"always" => Always,
                    _ => fail!(FAILED, "--userns is auto, never or always, not \"{}\"", value.escape_ascii()),
                });
            }
            b"--check" => check = true,
            b"-h" | b"--help" => return print(format_args!("{HELP}")),
            b"-V" | b"--version" => return print(format_args!("autochroot {}\n", env!("CARGO_PKG_VERSION"))),
            _ => fail!(FAILED, "unknown option {} (see --help)", arg.escape_ascii()),
        }
    }
    if let Some(parent) = parent {
        jail = jail.parent(parent);
    }
    match (check, args.peek()) {
        (false, Some(name)) => run(jail, parent, name, &args, environment),
        (false, None) => fail!(FAILED, "no PROGRAM given (see --help)"),
        (true, None) => match enter(jail, parent) {
            Ok(jailed) => check::report(&jailed, parent),
            Err(status) => status,
        },
        (true, Some(_)) => fail!(FAILED, "--check runs no PROGRAM"),
    }
}

/// `--name=value` and `-nvalue` have their value in them.
fn split(arg: &[u8]) -> (&[u8], Option<&[u8]>) {
    if arg.starts_with(b"--") {
        let mut parts = arg.splitn(2, |&byte| byte == b'=');
        (parts.next().unwrap_or_default(), parts.next())
    } else {
        let (name, value) = arg.split_at(2);
        (name, Some(value).filter(|value| !value.is_empty()))
    }
}

/// To standard output.
fn print(text: fmt::Arguments<'_>) -> c_int {
    if Stream::out(text) { 0 } else { fail!(FAILED, "cannot write to standard output") }
}

fn enter(jail: Jail<'_>, parent: Option<&[u8]>) -> Result<Jailed, c_int> {
    jail.enter().map_err(|error| {
        match parent {
            Some(parent) => Stream::err(format_args!("autochroot: {error} (--parent {})\n", parent.escape_ascii())),
            None => Stream::err(format_args!("autochroot: {error}\n")),
        }
        FAILED
    })
}

fn run(jail: Jail<'_>, parent: Option<&[u8]>, name: &CStr, args: &Strings, environment: &Strings) -> c_int {
    let shown = name.to_bytes().escape_ascii();
    let program = match program::open(name, environment.variable(b"PATH")) {
        Ok(program) => program,
        Err(Unfit::Errno(Errno::NOENT | Errno::NOTDIR)) if name.is_empty() => fail!(NOT_FOUND, "PROGRAM is empty"),
        Err(Unfit::Errno(Errno::NOENT | Errno::NOTDIR)) => fail!(NOT_FOUND, "{shown}: not found"),
        Err(Unfit::Errno(errno)) => fail!(CANNOT_RUN, "{shown}: cannot open it: {}", Named(errno)),
        Err(Unfit::Directory) => fail!(CANNOT_RUN, "{shown}: is a directory"),
        Err(Unfit::NotRegular) => fail!(CANNOT_RUN, "{shown}: is not a file"),
        Err(Unfit::NotExecutable) => fail!(CANNOT_RUN, "{shown}: is not executable"),
    };
    if let Err(status) = enter(jail, parent) {
        return status;
    }
    match libc::execute(&program, args, environment) {
        Errno::NOENT if program::is_script(&program) => {
            fail!(CANNOT_RUN, "{shown}: is a script: its interpreter is not in the jail")
        }
        Errno::NOENT => fail!(CANNOT_RUN, "{shown}: is not static: its dynamic loader is not in the jail"),
        Errno::NOEXEC => fail!(CANNOT_RUN, "{shown}: is no program for this machine"),
        errno => fail!(CANNOT_RUN, "{shown}: cannot execute it: {}", Named(errno)),
    }
}
