//! The command line.

use core::ffi::{CStr, c_int};

use autochroot::Jail;

use crate::files;
use crate::libc::Strings;
use crate::os::{self, LINUX};
use crate::output::{Shown, Stream, fail};
use crate::{FAILED, NONE};

/// Where an option exists.
#[derive(Clone, Copy, PartialEq, Eq)]
enum In {
    Every,
    Linux,
    /// On Linux, with the feature of that name.
    Files,
    Userns,
}

/// An option: all that the parser and `--help` know of it.
struct Row {
    letter: Option<u8>,
    name: &'static str,
    /// The name of its value in `--help`, or nothing if it has no value.
    value: &'static str,
    in_: In,
    help: &'static str,
    set: fn(&mut Options, &'static [u8]) -> Result<(), c_int>,
}

/// In the order of `--help`.
const ROWS: [Row; 17] = [
    Row {
        letter: Some(b'r'),
        name: "root",
        value: "ROOT",
        in_: In::Every,
        help: "detached, unlinked, failfs, several with commas, the\nname of a directory, or / for none  [auto]",
        set: |options, value| {
            options.root = value;
            Ok(())
        },
    },
    Row {
        letter: Some(b'p'),
        name: "parent",
        value: "DIR",
        in_: In::Every,
        help: "where an unlinked root is made  [first writable one]",
        set: |options, value| {
            options.parent = Some(value);
            Ok(())
        },
    },
    Row {
        letter: Some(b'f'),
        name: "file",
        value: "FILE[=PATH]",
        in_: In::Files,
        help: "copy FILE into the root, to PATH; repeatable",
        set: |options, value| {
            let Some(place) = options.files.iter_mut().find(|place| place.is_none()) else {
                fail!(FAILED, "--file: more than 32 files");
            };
            *place = Some(value);
            Ok(())
        },
    },
    Row {
        letter: Some(b'u'),
        name: "user",
        value: "USER[:GROUP]",
        in_: In::Linux,
        help: "become this user: a name or an id",
        set: |options, value| {
            options.user = Some(value);
            Ok(())
        },
    },
    Row {
        letter: None,
        name: "userns",
        value: "WHEN",
        in_: In::Userns,
        help: "auto (if chroot is refused), always, never  [auto]",
        set: |options, value| {
            options.userns = Some(value);
            Ok(())
        },
    },
    Row {
        letter: None,
        name: "id-map",
        value: "MAP",
        in_: In::Userns,
        help: "in a user namespace: identity or none  [identity]",
        set: |options, value| {
            options.id_map = Some(value);
            Ok(())
        },
    },
    Row {
        letter: None,
        name: "caps",
        value: "NAME,...",
        in_: In::Linux,
        help: "capabilities to keep, none or all  [none]",
        set: |options, value| {
            options.caps = Some(value);
            Ok(())
        },
    },
    Row {
        letter: None,
        name: "keep-fds",
        value: "N,...",
        in_: In::Every,
        help: "descriptors to keep, or all  [0,1,2 and LISTEN_FDS]",
        set: |options, value| {
            options.keep_fds = Some(value);
            Ok(())
        },
    },
    Row {
        letter: None,
        name: "no-seal",
        value: "",
        in_: In::Linux,
        help: "change the root only",
        set: |options, _| {
            options.seal = false;
            Ok(())
        },
    },
    Row {
        letter: None,
        name: "require",
        value: "NAME,...",
        in_: In::Linux,
        help: "fail without these: landlock, seccomp, bounding-set,\nsecurebits, keyring",
        set: |options, value| {
            options.require = Some(value);
            Ok(())
        },
    },
    Row {
        letter: None,
        name: "allow-io-uring",
        value: "",
        in_: In::Linux,
        help: "let PROGRAM use io_uring",
        set: |options, _| {
            options.rings = true;
            Ok(())
        },
    },
    Row {
        letter: None,
        name: "log-denials",
        value: "",
        in_: In::Linux,
        help: "log what Landlock refuses to PROGRAM (audit)",
        set: |options, _| {
            options.log = true;
            Ok(())
        },
    },
    Row {
        letter: None,
        name: "check",
        value: "",
        in_: In::Every,
        help: "enter, seal, print what is found, and run nothing",
        set: |options, _| {
            options.check = true;
            Ok(())
        },
    },
    Row {
        letter: Some(b'v'),
        name: "verbose",
        value: "",
        in_: In::Every,
        help: "print that on standard error, then run PROGRAM",
        set: |options, _| {
            options.verbose = true;
            Ok(())
        },
    },
    Row {
        letter: Some(b'q'),
        name: "quiet",
        value: "",
        in_: In::Linux,
        help: "do not warn about protections that are missing",
        set: |options, _| {
            options.quiet = true;
            Ok(())
        },
    },
    Row {
        letter: Some(b'h'),
        name: "help",
        value: "",
        in_: In::Every,
        help: "print this",
        set: |_, _| print_and_exit(help),
    },
    Row {
        letter: Some(b'V'),
        name: "version",
        value: "",
        in_: In::Every,
        help: "print the version",
        set: |_, _| {
            print_and_exit(|stream| _ = stream.put(concat!("autochroot ", env!("CARGO_PKG_VERSION"), "\n"), &[]))
        },
    },
];

impl Row {
    fn of(text: &[u8]) -> Option<&'static Row> {
        let long = text.strip_prefix(b"--");
        let is_it =
            |row: &&Row| long == Some(row.name.as_bytes()) || row.letter.is_some_and(|letter| text == [b'-', letter]);
        ROWS.iter().find(is_it)
    }
}

/// Prints the usage, each option, and the exit status.
fn help(stream: &mut Stream) {
    const BEFORE_HELP: usize = 24;
    stream.put(
        "Usage: autochroot [OPTIONS] [--] PROGRAM [ARG]...\n       \
         autochroot --check [OPTIONS]\n\
         Run a static PROGRAM with an empty root directory, and seal it.\n",
        &[],
    );
    for Row { letter, name, value, help, .. } in &ROWS {
        match letter {
            Some(letter) => stream.put("  -%, ", &[&core::slice::from_ref(letter)]),
            None => stream.put("      ", &[]),
        };
        let space = if value.is_empty() { "" } else { " " };
        stream.put("--%%%", &[name, &space, value]);
        let mut column = 8 + name.len() + space.len() + value.len();
        for line in help.split('\n') {
            // At least two spaces, also after an option that is too long for the column.
            (column..(column + 2).max(BEFORE_HELP)).for_each(|_| _ = stream.put(" ", &[]));
            stream.put("%\n", &[&line]);
            column = 0;
        }
    }
    stream.put("Exit status: PROGRAM's; 125: refused; 126: cannot be executed; 127: not found.\n", &[]);
}

/// Prints, and ends the launcher.
fn print_and_exit(print: fn(&mut Stream)) -> Result<(), c_int> {
    let mut stream = Stream::out();
    print(&mut stream);
    if !stream.flush() {
        fail!(FAILED, "cannot write to standard output");
    }
    Err(0)
}

#[allow(clippy::struct_excessive_bools, reason = "independent options")]
pub(crate) struct Options {
    pub(crate) jail: Jail<'static>,
    pub(crate) root: &'static [u8],
    pub(crate) parent: Option<&'static [u8]>,
    files: [Option<&'static [u8]>; files::MOST],
    pub(crate) user: Option<&'static [u8]>,
    pub(crate) caps: Option<&'static [u8]>,
    pub(crate) keep_fds: Option<&'static [u8]>,
    pub(crate) seal: bool,
    pub(crate) require: Option<&'static [u8]>,
    pub(crate) rings: bool,
    pub(crate) log: bool,
    pub(crate) check: bool,
    pub(crate) verbose: bool,
    pub(crate) quiet: bool,
    pub(crate) userns: Option<&'static [u8]>,
    pub(crate) id_map: Option<&'static [u8]>,
}

impl Options {
    /// The values of `--file`.
    pub(crate) fn files(&self) -> impl Iterator<Item = &'static [u8]> {
        self.files.into_iter().flatten()
    }

    /// Takes the options from the front of `args`, and leaves PROGRAM and its arguments. Fails with
    /// the exit status if an option is wrong, or if there is nothing more to do.
    pub(crate) fn parse(args: &mut Strings) -> Result<Options, c_int> {
        let mut options = Options {
            jail: Jail::auto(),
            root: b"auto",
            parent: None,
            files: [None; files::MOST],
            user: None,
            caps: None,
            keep_fds: None,
            seal: true,
            require: None,
            rings: false,
            log: false,
            check: false,
            verbose: false,
            quiet: false,
            userns: None,
            id_map: None,
        };
        while let Some(arg) = args.peek().map(CStr::to_bytes).filter(|arg| arg.len() > 1 && arg.starts_with(b"-")) {
            args.next();
            if arg == b"--" {
                break;
            }
            let (text, inline) = split(arg);
            let Some(row) = Row::of(text) else { fail!(FAILED, "unknown option % (see --help)", arg) };
            if row.in_ != In::Every && !LINUX {
                fail!(FAILED, "% is an option on Linux only", text);
            }
            let left_out = match row.in_ {
                In::Files if !cfg!(feature = "files") => "files",
                In::Userns if !cfg!(feature = "userns") => "userns",
                In::Every | In::Linux | In::Files | In::Userns => "",
            };
            if !left_out.is_empty() {
                fail!(FAILED, "% is left out of this build: build it with the feature %", text, left_out);
            }
            let value = if row.value.is_empty() {
                if inline.is_some() {
                    fail!(FAILED, "% takes no value", text);
                }
                NONE
            } else if let Some(value) = inline.or_else(|| args.next().map(CStr::to_bytes)) {
                value
            } else {
                fail!(FAILED, "% needs a value", text);
            };
            (row.set)(&mut options, value)?;
        }
        options.jail = match Jail::parse(options.root) {
            Ok(jail) => jail,
            Err(error) => fail!(FAILED, "--root \"%\": %", options.root, Shown(error)),
        };
        if let Some(parent) = options.parent {
            let is_unlinked = |kind: &[u8]| kind == b"auto" || kind == b"unlinked";
            if !options.root.split(|&byte| byte == b',').any(is_unlinked) {
                fail!(FAILED, "--parent goes with --root auto and unlinked only");
            }
            options.jail = options.jail.in_parent(parent);
        }
        options.jail = os::jail(&options, options.jail)?;
        Ok(options)
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

/// Splits FILE[=PATH] into the source and the path in the root, which is absolute. By default they
/// are the same.
pub(crate) fn source_and_path(text: &'static [u8]) -> (&'static [u8], &'static [u8]) {
    match text.windows(2).rposition(|two| two == b"=/") {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
        None => (text, text),
    }
}
