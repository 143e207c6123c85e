//! The command line.

use core::ffi::{CStr, c_int};

use autochroot::Jail;
#[cfg(any(target_os = "linux", target_os = "android"))]
use autochroot::{Capabilities, IdMap, UserNamespace};

use crate::libc::{Stream, Strings};
use crate::{FAILED, fail, print};

const HELP: &str = "\
Usage: autochroot [OPTIONS] [--] PROGRAM [ARG]...
       autochroot --check [OPTIONS]

Run a static PROGRAM with an empty, nameless directory as its root, and seal it:
no capabilities, no new privileges, no file to be opened.
With --check, enter and seal, print what was found inside, run nothing.

  -r, --root ROOT       auto: unlinked or, where no parent can be written, detached;
                        unlinked: a directory that is made and removed;
                        detached: a read-only tmpfs that is mounted nowhere;
                        DIR: that directory, and what is in it; /: no jail  [auto]
  -p, --parent DIR      where the directory is made
                        [the first that can be written of $TMPDIR (not in a build without
                        std), /dev/shm, /run, /tmp, /var/tmp, /; if none can, detached]
      --userns WHEN     enter through a new user namespace: auto (where chroot is not
                        permitted), never, always  [auto]
      --caps NAME,...   capabilities that PROGRAM keeps, or none, or all  [none]
      --id-map MAP      in a user namespace: identity (ids are what they were) or none  [identity]
      --keep-fds N,...  the open file descriptors that PROGRAM keeps, and no others, or all;
                        none may be a directory
                        [0,1,2 and those of LISTEN_FDS, if LISTEN_PID is this process]
      --no-seal         only the empty root; what a user namespace gave is dropped all the same
      --check           see above
  -h, --help            print this
  -V, --version         print the version

PROGRAM is opened before the jail, looked up in PATH if it has no slash. It keeps the
process id and the environment.

Exit status: that of PROGRAM; 125 if autochroot failed, also for bad options;
126 if PROGRAM cannot be run; 127 if it is not found. Of --check: 0 in a jail, 1 if it
was refused.
";

const LINUX: bool = cfg!(any(target_os = "linux", target_os = "android"));

pub(crate) struct Options {
    pub(crate) jail: Jail<'static>,
    pub(crate) root: &'static [u8],
    pub(crate) parent: Option<&'static [u8]>,
    pub(crate) caps: Option<&'static [u8]>,
    pub(crate) keep_fds: Option<&'static [u8]>,
    pub(crate) seal: bool,
    pub(crate) check: bool,
    #[cfg(any(target_os = "linux", target_os = "android"))]
    userns: UserNamespace,
    #[cfg(any(target_os = "linux", target_os = "android"))]
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
            caps: None,
            keep_fds: None,
            seal: true,
            check: false,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            userns: UserNamespace::Auto,
            #[cfg(any(target_os = "linux", target_os = "android"))]
            id_map: IdMap::Identity,
        };
        while let Some(arg) = args.peek().map(CStr::to_bytes).filter(|arg| arg.len() > 1 && arg.starts_with(b"-")) {
            args.next();
            let (name, inline) = split(arg);
            let of_linux = matches!(name, b"--userns" | b"--id-map" | b"--caps" | b"--no-seal");
            match (name, inline) {
                _ if of_linux && !LINUX => fail!(Err(FAILED), "{} is an option on Linux only", name.escape_ascii()),
                (b"--", None) => break,
                (b"--check", None) => options.check = true,
                (b"--no-seal", None) => options.seal = false,
                (b"-h" | b"--help", None) => return Err(print(format_args!("{HELP}"))),
                (b"-V" | b"--version", None) => {
                    return Err(print(format_args!("autochroot {}\n", env!("CARGO_PKG_VERSION"))));
                }
                (b"--check" | b"--no-seal" | b"-h" | b"--help" | b"-V" | b"--version", Some(_)) => {
                    fail!(Err(FAILED), "{} takes no value", name.escape_ascii())
                }
                (
                    b"-r" | b"--root" | b"-p" | b"--parent" | b"--userns" | b"--id-map" | b"--caps" | b"--keep-fds",
                    _,
                ) => match inline.or_else(|| args.next().map(CStr::to_bytes)) {
                    Some(value) => options.set(name, value)?,
                    None => fail!(Err(FAILED), "{} needs a value", name.escape_ascii()),
                },
                _ => fail!(Err(FAILED), "unknown option {} (see --help)", arg.escape_ascii()),
            }
        }
        options.jail = match Jail::parse(options.root) {
            Ok(jail) => jail,
            Err(error) => fail!(Err(FAILED), "--root \"{}\": {error}", options.root.escape_ascii()),
        };
        if let Some(parent) = options.parent {
            if options.root != b"auto" && options.root != b"unlinked" {
                fail!(Err(FAILED), "--parent goes with --root auto and unlinked only");
            }
            options.jail = options.jail.parent(parent);
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            options.jail = options.jail.user_namespace(options.userns).id_map(options.id_map);
        }
        if !options.seal && options.caps.is_some() {
            fail!(Err(FAILED), "--caps is part of the seal: it does not go with --no-seal");
        }
        #[cfg(any(target_os = "linux", target_os = "android"))]
        options.caps()?; // a bad name is found now; what "all" means, later
        Ok(options)
    }

    #[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(clippy::unnecessary_wraps))]
    fn set(&mut self, name: &[u8], value: &'static [u8]) -> Result<(), c_int> {
        match name {
            #[cfg(any(target_os = "linux", target_os = "android"))]
            b"--userns" => {
                self.userns = match value {
                    b"auto" => UserNamespace::Auto,
                    b"never" => UserNamespace::Never,
                    b"always" => UserNamespace::Always,
                    _ => fail!(Err(FAILED), "--userns is auto, never or always, not \"{}\"", value.escape_ascii()),
                };
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            b"--id-map" => {
                self.id_map = match value {
                    b"identity" => IdMap::Identity,
                    b"none" => IdMap::None,
                    _ => fail!(Err(FAILED), "--id-map is identity or none, not \"{}\"", value.escape_ascii()),
                };
            }
            b"--caps" => self.caps = Some(value),
            b"--keep-fds" => self.keep_fds = Some(value),
            b"-r" | b"--root" => self.root = value,
            _ => self.parent = Some(value),
        }
        Ok(())
    }
}

/// What PROGRAM is to keep.
#[cfg(any(target_os = "linux", target_os = "android"))]
impl Options {
    pub(crate) fn caps(&self) -> Result<Capabilities, c_int> {
        match self.caps.unwrap_or(b"none") {
            b"none" => Ok(Capabilities::NONE),
            b"all" => Ok(rustix::thread::capabilities(None)
                .map_or(Capabilities::NONE, |held| Capabilities::from_bits(held.permitted.bits()))),
            names => names.split(|&byte| byte == b',').try_fold(Capabilities::NONE, |all, name| {
                match Capabilities::named(name) {
                    Some(one) => Ok(all | one),
                    None => fail!(Err(FAILED), "--caps: there is no capability \"{}\"", name.escape_ascii()),
                }
            }),
        }
    }
}

/// `--name=value` and `-nvalue` have their value in them.
fn split(arg: &'static [u8]) -> (&'static [u8], Option<&'static [u8]>) {
    if arg.starts_with(b"--") {
        let mut parts = arg.splitn(2, |&byte| byte == b'=');
        (parts.next().unwrap_or_default(), parts.next())
    } else {
        let (name, value) = arg.split_at(2);
        (name, Some(value).filter(|value| !value.is_empty()))
    }
}
