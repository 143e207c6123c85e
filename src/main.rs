//! `autochroot`: run a static program with an empty directory as its root.
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
#[path = "launcher/fds.rs"]
mod fds;
#[path = "launcher/libc.rs"]
mod libc;
#[path = "launcher/options.rs"]
mod options;
#[path = "launcher/program.rs"]
mod program;

use core::ffi::{CStr, c_char, c_int};
use core::fmt;

use autochroot::{Error, Jailed};
use rustix::fd::AsRawFd as _;
use rustix::io::Errno;

use errno::Named;
use fds::Kept;
use libc::{Stream, Strings};
use options::Options;
use program::Unfit;

/// autochroot itself failed.
const FAILED: c_int = 125;
const CANNOT_RUN: c_int = 126;
const NOT_FOUND: c_int = 127;

/// Print the line that a failure is and return what it returns.
macro_rules! fail {
    ($returned:expr, $($message:tt)*) => {{
        Stream::err(format_args!("autochroot: {}\n", format_args!($($message)*)));
        return $returned;
    }};
}
use fail;

/// # Safety
///
/// For the C library alone to call.
#[allow(unsafe_code, reason = "the C library calls it by this name")]
#[unsafe(no_mangle)]
unsafe extern "C" fn main(_: c_int, args: *const *const c_char, environment: *const *const c_char) -> c_int {
    // SAFETY: the C library gives two arrays that end with a null pointer and stay.
    let (mut args, environment) = unsafe { (Strings::new(args), Strings::new(environment)) };
    args.next();
    launch(&mut args, &environment).unwrap_or_else(|status| status)
}

/// The exit status, either way.
fn launch(args: &mut Strings, environment: &Strings) -> Result<c_int, c_int> {
    let options = Options::parse(args)?;
    let kept = Kept::of(options.keep_fds, environment);
    match (options.check, args.peek()) {
        (true, None) => {
            kept.check()?;
            kept.close_others_on_exec()?;
            let path = options.jail.path();
            Ok(enter(&options, &kept, None).map_or_else(check::refused, |inside| check::report(&inside, path)))
        }
        (true, Some(_)) => fail!(Err(FAILED), "--check runs no PROGRAM"),
        (false, None) => fail!(Err(FAILED), "no PROGRAM given (see --help)"),
        (false, Some(name)) => run(&options, &kept, name, args, environment),
    }
}

fn run(options: &Options, kept: &Kept, name: &CStr, args: &Strings, environment: &Strings) -> Result<c_int, c_int> {
    kept.check()?;
    let shown = name.to_bytes().escape_ascii();
    let program = match program::open(name, environment.variable(b"PATH")) {
        Ok(program) => program,
        Err(Unfit::Errno(Errno::NOENT | Errno::NOTDIR)) if name.is_empty() => fail!(Err(NOT_FOUND), "PROGRAM is empty"),
        Err(Unfit::Errno(Errno::NOENT | Errno::NOTDIR)) => fail!(Err(NOT_FOUND), "{shown}: not found"),
        Err(Unfit::Errno(errno)) => fail!(Err(CANNOT_RUN), "{shown}: cannot open it: {}", Named(errno)),
        Err(Unfit::Directory) => fail!(Err(CANNOT_RUN), "{shown}: is a directory"),
        Err(Unfit::NotRegular) => fail!(Err(CANNOT_RUN), "{shown}: is not a file"),
        Err(Unfit::NotExecutable) => fail!(Err(CANNOT_RUN), "{shown}: is not executable"),
    };
    kept.close_others_on_exec()?;
    enter(options, kept, Some(program.as_raw_fd()))?;
    match libc::execute(&program, args, environment) {
        Errno::NOENT if program::is_script(&program) => {
            fail!(Err(CANNOT_RUN), "{shown}: is a script: its interpreter is not in the jail")
        }
        Errno::NOENT => fail!(Err(CANNOT_RUN), "{shown}: is not static: its dynamic loader is not in the jail"),
        Errno::NOEXEC => fail!(Err(CANNOT_RUN), "{shown}: is no program for this machine"),
        errno => fail!(Err(CANNOT_RUN), "{shown}: cannot execute it: {}", Named(errno)),
    }
}

/// A jail, sealed unless the options say otherwise.
pub(crate) enum Inside {
    Jailed(Jailed),
    #[cfg(any(target_os = "linux", target_os = "android"))]
    Sealed(autochroot::Sealed),
}

impl Inside {
    const fn jailed(&self) -> &Jailed {
        match self {
            Inside::Jailed(jailed) => jailed,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Inside::Sealed(sealed) => sealed.jailed(),
        }
    }
}

/// Enter and seal, but for `program`, a descriptor, to be executed.
fn enter(options: &Options, kept: &Kept, program: Option<c_int>) -> Result<Inside, c_int> {
    let jail = match kept {
        Kept::All => options.jail, // looks at every descriptor
        _ => options.jail.allow_open_directories(),
    };
    let refused = |error: Error| {
        let (name, value) = match options.parent {
            Some(parent) => ("--parent", parent),
            None if options.root != b"auto" => ("--root", options.root),
            None => ("", &b""[..]),
        };
        if name.is_empty() {
            Stream::err(format_args!("autochroot: {error}\n"));
        } else {
            Stream::err(format_args!("autochroot: {error} ({name} {})\n", value.escape_ascii()));
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        if let Some(cause) = error.cause() {
            Stream::err(format_args!("  hint: {cause}\n"));
        }
        FAILED
    };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if options.seal {
        let mut seal = autochroot::Seal::new().keep(options.caps()?);
        if let Some(program) = program {
            seal = seal.allow_execute(program);
        }
        let jailed = jail.empty_bounding_set().enter().map_err(refused)?;
        return jailed.seal_with(seal).map(Inside::Sealed).map_err(refused);
    }
    let _ = program;
    jail.enter().map(Inside::Jailed).map_err(refused)
}

/// To standard output.
fn print(text: fmt::Arguments<'_>) -> c_int {
    if Stream::out(text) { 0 } else { fail!(FAILED, "cannot write to standard output") }
}
