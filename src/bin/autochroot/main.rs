//! `autochroot`: run a static program with an empty directory as its root.
//!
//! With the feature `std` it is an ordinary program; without, it is one that a static musl build makes a few pages long.
//! Either way it does not allocate and does not fork.
#![no_main]
#![cfg_attr(not(feature = "std"), no_std)]
#![warn(clippy::undocumented_unsafe_blocks)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used))]

mod fds;
mod libc;
mod options;
mod output;
mod program;
mod report;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod user;

use core::ffi::{CStr, c_char, c_int};

use autochroot::{Error, Jailed, Step};
#[cfg(any(target_os = "linux", target_os = "android"))]
use autochroot::{Protection, SessionKeyring};
use rustix::fd::AsRawFd as _;
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgid, getuid};
#[cfg(any(target_os = "linux", target_os = "android"))]
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use fds::Kept;
use libc::Strings;
use options::Options;
use output::{Shown, Stream, fail};
use program::Unfit;
#[cfg(any(target_os = "linux", target_os = "android"))]
use user::User;

/// autochroot itself failed.
const FAILED: c_int = 125;
const CANNOT_RUN: c_int = 126;
const NOT_FOUND: c_int = 127;

/// Only Linux has `--user`.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
enum User {}

/// No text.
const NONE: &[u8] = b"";

/// Effective user and group.
type Ids = (u32, u32);

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
    refuse_privilege_from_the_file()?;
    let kept = Kept::of(options.keep_fds, environment)?;
    kept.check()?;
    kept.fill_standard(options.check)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let user = options.user.map(User::find).transpose()?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let user: Option<User> = None;
    let before = (geteuid().as_raw(), getegid().as_raw());
    match (options.check, args.peek()) {
        (true, None) => match enter(&options, &kept, user.as_ref(), None) {
            Ok(inside) => Ok(c_int::from(!report::report(&inside, before, options.jail.path(), Stream::out())?)),
            Err(status) => Ok(report::refused(status)),
        },
        (true, Some(_)) => fail!(FAILED, "--check runs no PROGRAM"),
        (false, None) => fail!(FAILED, "no PROGRAM given (see --help)"),
        (false, Some(name)) => run(&options, &kept, user.as_ref(), name, before, args, environment),
    }
}

fn run(
    options: &Options,
    kept: &Kept,
    user: Option<&User>,
    name: &CStr,
    before: Ids,
    args: &Strings,
    environment: &Strings,
) -> Result<c_int, c_int> {
    let shown = name.to_bytes();
    let program = match program::open(name, environment.variable(b"PATH")) {
        Ok(program) => program,
        Err(Unfit::Errno(Errno::NOENT | Errno::NOTDIR)) if name.is_empty() => fail!(NOT_FOUND, "PROGRAM is empty"),
        Err(Unfit::Errno(Errno::NOENT | Errno::NOTDIR)) => fail!(NOT_FOUND, "%: not found", shown),
        Err(Unfit::Errno(errno)) => fail!(CANNOT_RUN, "%: cannot open it: %", shown, errno),
        Err(Unfit::Because(why)) => fail!(CANNOT_RUN, "%: %", shown, why),
    };
    let inside = enter(options, kept, user, Some(program.as_raw_fd()))?;
    if options.verbose {
        report::report(&inside, before, options.jail.path(), Stream::err())?;
    }
    let (why, hint) = match libc::execute(&program, args, environment) {
        Errno::NOENT => match program::is_script(&program) {
            Some(true) => (
                "is a script: its interpreter is not in the jail",
                "run the interpreter, if it is a static program, and give it the script on standard input",
            ),
            Some(false) => (
                "is not static: its dynamic loader is not in the jail",
                "build it for a musl target, or name a directory with --root that holds the loader and the libraries",
            ),
            None => ("is a script or not static: its interpreter or loader is not in the jail", ""),
        },
        Errno::ACCESS if options.user.is_some() => ("may not be executed by that user", ""),
        Errno::NOEXEC => ("is no program for this machine", ""),
        errno => fail!(CANNOT_RUN, "%: cannot execute it: %", shown, errno),
    };
    let mut stream = Stream::err();
    stream.put("autochroot: %: %\n", &[&shown, &why]);
    if !hint.is_empty() {
        stream.put("  hint: %\n", &[&hint]);
    }
    stream.flush();
    Err(CANNOT_RUN)
}

/// A launcher that is set-id or has file capabilities would give whoever starts it what root alone may do: to choose the root directory
/// of a set-id program, for one.
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

#[cfg(any(target_os = "linux", target_os = "android"))]
mod os {
    use rustix::process::geteuid;
    use rustix::thread::{CapabilitySet, capabilities, capability_is_in_ambient_set};

    /// Ambient capabilities are not from the file: whoever starts the launcher holds them.
    pub(super) fn has_capabilities_from_the_file() -> bool {
        let permitted = capabilities(None).map_or(CapabilitySet::empty(), |held| held.permitted);
        let is_from_the_file = |one: u32| {
            let one = CapabilitySet::from_bits_retain(1 << one);
            permitted.contains(one) && capability_is_in_ambient_set(one) != Ok(true)
        };
        autochroot::syscall::is_secure_execution() && !geteuid().is_root() && (0..u64::BITS).any(is_from_the_file)
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod os {
    pub(super) const fn has_capabilities_from_the_file() -> bool {
        false
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

/// Enters, becomes the user, and seals. `program` is the descriptor that may still be executed.
fn enter(options: &Options, kept: &Kept, user: Option<&User>, program: Option<c_int>) -> Result<Inside, c_int> {
    let jail = match kept {
        Kept::All => options.jail, // looks at every descriptor
        Kept::Listed(_) | Kept::Standard(_) => options.jail.allow_open_directories(),
    };
    kept.close_others(program)?;
    let refused = |error| {
        say_why(options, &error);
        FAILED
    };
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        let caps = options.caps()?;
        #[cfg(feature = "userns")]
        let jail = if options.seal { jail.empty_bounding_set() } else { jail };
        #[cfg(feature = "userns")]
        let jail = jail.allow_dumpable(); // nothing secret is in here
        let first = user.is_some() && options.never_by_privilege();
        // Who is that user already needs no privilege to become it. Root may still have other groups.
        let already = user.is_some_and(|user| (first || user.uid != 0) && user.is_this_process());
        // Who cannot enter by privilege becomes the user first: in a user namespace there are no other ids. The user's other
        // processes may then look into this one: they find no descriptor but those kept, and no working directory of root's.
        if let (Some(user), true, false) = (user, first, already) {
            if let Err(errno) = rustix::process::chdir(c"/") {
                fail!(FAILED, "cannot change directory to \"/\": %", errno);
            }
            let unjailed = autochroot::Jail::unjailed().enter();
            let _ =
                unjailed.and_then(|unjailed| unjailed.run_as(user.uid, user.gid, user.groups())).map_err(refused)?;
        }
        let mut jailed = jail.enter().map_err(refused)?;
        match user {
            Some(user) if !first && !already => {
                // Of root the seal drops what is not kept.
                let keep = if user.uid == 0 { autochroot::Capabilities::NONE } else { caps };
                jailed = jailed.run_as_keeping(user.uid, user.gid, user.groups(), keep).map_err(refused)?;
            }
            // What run_as would have dropped; a seal does it too.
            Some(user) if already && user.uid != 0 && !options.seal => {
                let none = CapabilitySet::empty();
                let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
                if let Err(errno) = set_capabilities(None, sets) {
                    fail!(FAILED, "cannot drop the capabilities: %", errno);
                }
            }
            Some(_) | None => {}
        }
        if options.seal {
            let mut seal = options.seal()?.keep(caps);
            if let Some(program) = program {
                seal = seal.allow_execute(program);
            }
            let sealed = jailed.seal_with(seal).map_err(refused)?;
            if !(options.quiet || options.check) {
                warn(&sealed);
            }
            return Ok(Inside::Sealed(sealed));
        }
        Ok(Inside::Jailed(jailed))
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = (program, user);
        jail.enter().map(Inside::Jailed).map_err(refused)
    }
}

/// One line with the protections that are missing, if any is. Where the filter is in force, or the kernel has no keys, it does not matter
/// whose session keyring it is.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn warn(sealed: &autochroot::Sealed) {
    let no_keys = sealed.session_keyring() == SessionKeyring::Refused(Errno::NOSYS.raw_os_error());
    let mut stream = Stream::err();
    let mut before = "autochroot: warning: not in force: ";
    for protection in Protection::ALL.into_iter().filter(|protection| !sealed.has(*protection)) {
        if protection == Protection::Keyring && (no_keys || sealed.has(Protection::Seccomp)) {
            continue;
        }
        stream.put("%%", &[&before, &protection.name()]);
        before = ", ";
    }
    if before == ", " {
        stream.put("\n", &[]).flush();
    }
}

/// The error, the option that it is about, and the cause where it is known.
fn say_why(options: &Options, error: &Error) {
    let (name, value) = match options.parent {
        _ if matches!(error.step(), Step::CheckIds | Step::SetGroups | Step::SetGid | Step::SetUid) => {
            ("user", options.user)
        }
        Some(_) => ("parent", options.parent),
        None => ("root", Some(options.root).filter(|root| *root != b"auto")),
    };
    let mut stream = Stream::err();
    stream.put("autochroot: %", &[&Shown(error)]);
    if let Some(value) = value {
        stream.put(" (--% %)", &[&name, &value]);
    }
    stream.put("\n", &[]);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Some(cause) = error.cause() {
        stream.put("  hint: %\n", &[&Shown(cause)]);
    }
    stream.flush();
}
