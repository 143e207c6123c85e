//! The command line.

use core::ffi::{CStr, c_int};

use autochroot::Jail;
#[cfg(any(target_os = "linux", target_os = "android"))]
use autochroot::{Capabilities, Protection, Seal};
#[cfg(all(feature = "userns", any(target_os = "linux", target_os = "android")))]
use autochroot::{IdMap, UserNamespace};

use crate::libc::Strings;
use crate::output::{Shown, Stream, fail};
use crate::{FAILED, NONE};

const HELP: &str = "\
Usage: autochroot [OPTIONS] [--] PROGRAM [ARG]...
       autochroot --check [OPTIONS]
Run a static PROGRAM with an empty, nameless directory as its root, and seal it:
no capability, no new privilege, no file to be opened. It keeps its process id
and environment; without a slash it is looked up in PATH, before the jail.

  -r, --root ROOT       auto; unlinked: a directory, made and removed; detached:
                        a tmpfs, mounted nowhere; DIR: that one; /: none  [auto]
  -p, --parent DIR      where the directory is made  [the first that can be
                        written of $TMPDIR (if built with std), /dev/shm, /run,
                        /tmp, /var/tmp and /; where none can, auto is detached]
  -u, --user USER[:GROUP]  become this user: digits are ids, all else names of
                        /etc/passwd and /etc/group; with all its groups, or with
                        GROUP alone
      --userns WHEN     enter by a new user namespace: always, never, or auto:
                        where chroot is not permitted  [auto]
      --id-map MAP      in it: identity (ids stay) or none  [identity]
      --caps NAME,...   capabilities that PROGRAM keeps, or none, or all  [none]
      --keep-fds N,...  descriptors that it keeps, no directory, or all
                        [0,1,2 and, with LISTEN_PID, those of LISTEN_FDS]
      --no-seal         only the root; what a user namespace gave is dropped
      --require PROTECTION,...  fail if one is not in force: landlock, seccomp,
                        bounding-set, securebits, keyring
      --allow-io-uring  leave io_uring to PROGRAM, which the seal refuses
      --check           enter and seal, print what is found inside, run nothing
  -v, --verbose         print that on standard error, and run PROGRAM
  -q, --quiet           no warning about protections that are not in force
  -h, --help            print this
  -V, --version         print the version

Exit status: that of PROGRAM; 125: failed, or bad options; 126: PROGRAM cannot
be run; 127: it is not there. Of --check: 0 in a jail, 1 if refused.
";

const LINUX: bool = cfg!(any(target_os = "linux", target_os = "android"));

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Root,
    Parent,
    User,
    Userns,
    IdMap,
    Caps,
    KeepFds,
    NoSeal,
    Require,
    AllowIoUring,
    Check,
    Verbose,
    Quiet,
    Help,
    Version,
}

/// The letter is 0 where there is none.
const OPTIONS: [(u8, &[u8], Name); 15] = [
    (b'r', b"root", Name::Root),
    (b'p', b"parent", Name::Parent),
    (b'u', b"user", Name::User),
    (0, b"userns", Name::Userns),
    (0, b"id-map", Name::IdMap),
    (0, b"caps", Name::Caps),
    (0, b"keep-fds", Name::KeepFds),
    (0, b"no-seal", Name::NoSeal),
    (0, b"require", Name::Require),
    (0, b"allow-io-uring", Name::AllowIoUring),
    (0, b"check", Name::Check),
    (b'v', b"verbose", Name::Verbose),
    (b'q', b"quiet", Name::Quiet),
    (b'h', b"help", Name::Help),
    (b'V', b"version", Name::Version),
];

impl Name {
    fn of(text: &[u8]) -> Option<Name> {
        let long = text.strip_prefix(b"--");
        let is_it = |(letter, name, _): &&(u8, &[u8], Name)| long == Some(*name) || text == [b'-', *letter];
        OPTIONS.iter().find(is_it).map(|(_, _, name)| *name)
    }

    const fn takes_a_value(self) -> bool {
        match self {
            Name::Root
            | Name::Parent
            | Name::User
            | Name::Userns
            | Name::IdMap
            | Name::Caps
            | Name::KeepFds
            | Name::Require => true,
            Name::NoSeal
            | Name::AllowIoUring
            | Name::Check
            | Name::Verbose
            | Name::Quiet
            | Name::Help
            | Name::Version => false,
        }
    }

    const fn is_of_linux(self) -> bool {
        matches!(
            self,
            Name::User
                | Name::Userns
                | Name::IdMap
                | Name::Caps
                | Name::NoSeal
                | Name::Require
                | Name::AllowIoUring
                | Name::Quiet
        )
    }
}

#[allow(clippy::struct_excessive_bools, reason = "independent options")]
pub(crate) struct Options {
    pub(crate) jail: Jail<'static>,
    pub(crate) root: &'static [u8],
    pub(crate) parent: Option<&'static [u8]>,
    pub(crate) user: Option<&'static [u8]>,
    pub(crate) caps: Option<&'static [u8]>,
    pub(crate) keep_fds: Option<&'static [u8]>,
    pub(crate) seal: bool,
    pub(crate) require: Option<&'static [u8]>,
    pub(crate) rings: bool,
    pub(crate) check: bool,
    pub(crate) verbose: bool,
    pub(crate) quiet: bool,
    #[cfg(all(feature = "userns", any(target_os = "linux", target_os = "android")))]
    pub(crate) userns: UserNamespace,
    #[cfg(all(feature = "userns", any(target_os = "linux", target_os = "android")))]
    id_map: IdMap,
}

impl Options {
    /// Take the options from the front of `args`; what is left are PROGRAM and its arguments. If there is nothing more to
    /// do, or an option is bad, the exit status.
    pub(crate) fn parse(args: &mut Strings) -> Result<Options, c_int> {
        let mut options = Options {
            jail: Jail::auto(),
            root: b"auto",
            parent: None,
            user: None,
            caps: None,
            keep_fds: None,
            seal: true,
            require: None,
            rings: false,
            check: false,
            verbose: false,
            quiet: false,
            #[cfg(all(feature = "userns", any(target_os = "linux", target_os = "android")))]
            userns: UserNamespace::Auto,
            #[cfg(all(feature = "userns", any(target_os = "linux", target_os = "android")))]
            id_map: IdMap::Identity,
        };
        while let Some(arg) = args.peek().map(CStr::to_bytes).filter(|arg| arg.len() > 1 && arg.starts_with(b"-")) {
            args.next();
            if arg == b"--" {
                break;
            }
            let (text, inline) = split(arg);
            let Some(name) = Name::of(text) else { fail!(FAILED, "unknown option % (see --help)", arg) };
            if name.is_of_linux() && !LINUX {
                fail!(FAILED, "% is an option on Linux only", text);
            }
            if matches!(name, Name::Userns | Name::IdMap) && !cfg!(feature = "userns") {
                fail!(FAILED, "% is left out of this build", text);
            }
            let value = if !name.takes_a_value() {
                if inline.is_some() {
                    fail!(FAILED, "% takes no value", text);
                }
                NONE
            } else if let Some(value) = inline.or_else(|| args.next().map(CStr::to_bytes)) {
                value
            } else {
                fail!(FAILED, "% needs a value", text);
            };
            options.set(name, value)?;
        }
        options.jail = match Jail::parse(options.root) {
            Ok(jail) => jail,
            Err(error) => fail!(FAILED, "--root \"%\": %", options.root, Shown(error)),
        };
        if let Some(parent) = options.parent {
            if options.root != b"auto" && options.root != b"unlinked" {
                fail!(FAILED, "--parent goes with --root auto and unlinked only");
            }
            options.jail = options.jail.parent(parent);
        }
        #[cfg(all(feature = "userns", any(target_os = "linux", target_os = "android")))]
        {
            options.jail = options.jail.user_namespace(options.userns).id_map(options.id_map);
        }
        if !options.seal && options.caps.is_some() {
            fail!(FAILED, "--caps is part of the seal: it does not go with --no-seal");
        }
        if !options.seal && (options.require.is_some() || options.rings) {
            fail!(FAILED, "--require and --allow-io-uring are about the seal: they do not go with --no-seal");
        }
        #[cfg(all(feature = "userns", any(target_os = "linux", target_os = "android")))]
        if options.userns == UserNamespace::Always && options.caps.is_some_and(|caps| caps != b"none") {
            fail!(FAILED, "--caps does not go with --userns always: in a user namespace nothing is kept");
        }
        #[cfg(all(feature = "userns", any(target_os = "linux", target_os = "android")))]
        if options.userns == UserNamespace::Always && options.root == b"/" {
            fail!(FAILED, "--userns always does not go with --root /: there is no jail to enter");
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            options.caps()?; // a bad name is found now; what "all" means, later
            let _ = options.seal()?;
        }
        Ok(options)
    }

    fn set(&mut self, name: Name, value: &'static [u8]) -> Result<(), c_int> {
        match name {
            Name::Root => self.root = value,
            Name::Parent => self.parent = Some(value),
            Name::User => self.user = Some(value),
            #[cfg(all(feature = "userns", any(target_os = "linux", target_os = "android")))]
            Name::Userns => {
                self.userns = match value {
                    b"auto" => UserNamespace::Auto,
                    b"never" => UserNamespace::Never,
                    b"always" => UserNamespace::Always,
                    _ => fail!(FAILED, "--userns is auto, never or always, not \"%\"", value),
                }
            }
            #[cfg(all(feature = "userns", any(target_os = "linux", target_os = "android")))]
            Name::IdMap => {
                self.id_map = match value {
                    b"identity" => IdMap::Identity,
                    b"none" => IdMap::None,
                    _ => fail!(FAILED, "--id-map is identity or none, not \"%\"", value),
                }
            }
            #[cfg(not(all(feature = "userns", any(target_os = "linux", target_os = "android"))))]
            Name::Userns | Name::IdMap => {}
            Name::Caps => self.caps = Some(value),
            Name::KeepFds => self.keep_fds = Some(value),
            Name::NoSeal => self.seal = false,
            Name::Require => self.require = Some(value),
            Name::AllowIoUring => self.rings = true,
            Name::Check => self.check = true,
            Name::Verbose => self.verbose = true,
            Name::Quiet => self.quiet = true,
            Name::Help | Name::Version => {
                let version = concat!("autochroot ", env!("CARGO_PKG_VERSION"), "\n");
                if !Stream::out().put("%", &[&(if name == Name::Help { HELP } else { version })]).flush() {
                    fail!(FAILED, "cannot write to standard output");
                }
                return Err(0);
            }
        }
        Ok(())
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
impl Options {
    /// Whether there is an entry, and it cannot be by privilege or is not to be.
    pub(crate) fn never_by_privilege(&self) -> bool {
        if self.root == b"/" {
            return false;
        }
        #[cfg(feature = "userns")]
        if self.userns == UserNamespace::Always {
            return true;
        }
        let held = rustix::thread::capabilities(None).map(|held| held.effective);
        !held.is_ok_and(|held| held.contains(rustix::thread::CapabilitySet::SYS_CHROOT))
    }

    /// The seal that is asked for, but for the capabilities to keep.
    pub(crate) fn seal(&self) -> Result<Seal, c_int> {
        let mut seal = if self.rings { Seal::new().allow_io_uring() } else { Seal::new() };
        for name in self.require.into_iter().flat_map(|names| names.split(|&byte| byte == b',')) {
            seal = match Protection::named(name) {
                Some(protection) => seal.require(protection),
                None => fail!(FAILED, "--require: there is no protection \"%\"", name),
            };
        }
        Ok(seal)
    }

    /// What PROGRAM is to keep.
    pub(crate) fn caps(&self) -> Result<Capabilities, c_int> {
        match self.caps.unwrap_or(b"none") {
            b"none" => Ok(Capabilities::NONE),
            b"all" => Ok(rustix::thread::capabilities(None)
                .map_or(Capabilities::NONE, |held| Capabilities::from_bits(held.permitted.bits()))),
            names => names.split(|&byte| byte == b',').try_fold(Capabilities::NONE, |all, name| {
                match Capabilities::named(name) {
                    Some(one) => Ok(all | one),
                    None => fail!(FAILED, "--caps: there is no capability \"%\"", name),
                }
            }),
        }
    }
}

/// `--name=value` and `-nvalue` have their value in them.
fn split(arg: &'static [u8]) -> (&'static [u8], Option<&'static [u8]>) {
    let long = arg.starts_with(b"--");
    let end = if long { arg.iter().position(|&byte| byte == b'=') } else { Some(2) };
    let (name, value) = end.and_then(|end| arg.split_at_checked(end)).unwrap_or((arg, NONE));
    let value = if long { value.strip_prefix(b"=") } else { Some(value).filter(|value| !value.is_empty()) };
    (name, value)
}
