//! The command line.

use core::ffi::{CStr, c_int};
use core::{mem, slice};

use autochroot::Jail;

use crate::libc::Strings;
use crate::os::{self, LINUX};
use crate::output::{Show, Shown, Stream, fail};
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
    takes: Takes,
}

/// What an option takes, and where that goes.
enum Takes {
    Nothing(fn(&mut Options) -> &mut bool),
    /// A value. A second one has to be equal.
    Value(fn(&mut Options) -> &mut Option<&'static [u8]>),
    /// Values that add up.
    List(fn(&mut Options) -> &mut List),
    /// Nothing. It prints, and ends the launcher.
    Print(fn(&mut Stream)),
}

/// In the order of `--help`.
const ROWS: &[Row] = &[
    Row {
        letter: Some(b'r'),
        name: "root",
        value: "ROOT",
        in_: In::Every,
        help: "detached, unlinked, failfs, several with commas, the\nname of a directory, or / for none  [auto]",
        takes: Takes::Value(|options| &mut options.root),
    },
    Row {
        letter: Some(b'p'),
        name: "parent",
        value: "DIR",
        in_: In::Every,
        help: "where an unlinked root is made  [first writable one]",
        takes: Takes::Value(|options| &mut options.parent),
    },
    Row {
        letter: Some(b'f'),
        name: "file",
        value: "FILE[=PATH]",
        in_: In::Files,
        help: "copy FILE into the root, to PATH; repeatable",
        takes: Takes::List(|options| &mut options.file),
    },
    Row {
        letter: None,
        name: "writable",
        value: "SIZE[=PATH]",
        in_: In::Files,
        help: "a directory of that size to write in  [/tmp]",
        takes: Takes::Value(|options| &mut options.writable),
    },
    Row {
        letter: Some(b'u'),
        name: "user",
        value: "USER[:GROUP]",
        in_: In::Linux,
        help: "become this user: a name or an id",
        takes: Takes::Value(|options| &mut options.user),
    },
    Row {
        letter: None,
        name: "userns",
        value: "WHEN",
        in_: In::Userns,
        help: "auto (if chroot is refused), always, never  [auto]",
        takes: Takes::Value(|options| &mut options.userns),
    },
    Row {
        letter: None,
        name: "id-map",
        value: "MAP",
        in_: In::Userns,
        help: "in a user namespace: identity or none  [identity]",
        takes: Takes::Value(|options| &mut options.id_map),
    },
    Row {
        letter: None,
        name: "caps",
        value: "NAME,...",
        in_: In::Linux,
        help: "capabilities to keep, none or all  [none]",
        takes: Takes::List(|options| &mut options.caps),
    },
    Row {
        letter: None,
        name: "keep-fds",
        value: "N,...",
        in_: In::Every,
        help: "descriptors to keep, or all  [0,1,2 and LISTEN_FDS]",
        takes: Takes::List(|options| &mut options.keep_fds),
    },
    Row {
        letter: None,
        name: "no-seal",
        value: "",
        in_: In::Linux,
        help: "change the root only",
        takes: Takes::Nothing(|options| &mut options.no_seal),
    },
    Row {
        letter: None,
        name: "require",
        value: "NAME,...",
        in_: In::Linux,
        help: "fail without these: landlock, seccomp, bounding-set,\nsecurebits, keyring",
        takes: Takes::List(|options| &mut options.require),
    },
    Row {
        letter: None,
        name: "allow-io-uring",
        value: "",
        in_: In::Linux,
        help: "let PROGRAM use io_uring",
        takes: Takes::Nothing(|options| &mut options.rings),
    },
    Row {
        letter: None,
        name: "no-connect",
        value: "",
        in_: In::Linux,
        help: "refuse PROGRAM new sockets and connections",
        takes: Takes::Nothing(|options| &mut options.no_connect),
    },
    Row {
        letter: None,
        name: "log-denials",
        value: "",
        in_: In::Linux,
        help: "log what Landlock refuses to PROGRAM (audit)",
        takes: Takes::Nothing(|options| &mut options.log),
    },
    Row {
        letter: None,
        name: "check",
        value: "",
        in_: In::Every,
        help: "enter, seal, print what is found, and run nothing",
        takes: Takes::Nothing(|options| &mut options.check),
    },
    Row {
        letter: Some(b'v'),
        name: "verbose",
        value: "",
        in_: In::Every,
        help: "print that on standard error, then run PROGRAM",
        takes: Takes::Nothing(|options| &mut options.verbose),
    },
    Row {
        letter: Some(b'q'),
        name: "quiet",
        value: "",
        in_: In::Linux,
        help: "do not warn about protections that are missing",
        takes: Takes::Nothing(|options| &mut options.quiet),
    },
    Row { letter: Some(b'h'), name: "help", value: "", in_: In::Every, help: "print this", takes: Takes::Print(help) },
    Row {
        letter: Some(b'V'),
        name: "version",
        value: "",
        in_: In::Every,
        help: "print the version",
        takes: Takes::Print(|stream| _ = stream.put(concat!("autochroot ", env!("CARGO_PKG_VERSION"), "\n"), &[])),
    },
];

/// Prints the usage, each option, and the exit status.
fn help(stream: &mut Stream) {
    const BEFORE_HELP: usize = 24;
    stream.put(
        "Usage: autochroot [OPTIONS] [--] PROGRAM [ARG]...\n       \
         autochroot --check [OPTIONS] [--] [PROGRAM [ARG]...]\n\
         Run PROGRAM with an empty root directory, and seal it.\n",
        &[],
    );
    for Row { letter, name, value, help, .. } in ROWS {
        match letter {
            Some(letter) => stream.put("  -%, ", &[&slice::from_ref(letter)]),
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

/// The options in front of PROGRAM, one after the other. A copy gives them again.
#[derive(Clone)]
struct Given {
    args: Strings,
    /// What follows in the same argument, as in `-qv`.
    letters: &'static [u8],
    ended: bool,
}

impl Given {
    /// Takes the next option and its value, which is empty for an option without one. Leaves
    /// PROGRAM and its arguments.
    fn take(&mut self) -> Result<Option<(&'static Row, &'static [u8])>, c_int> {
        if self.letters.is_empty() {
            let arg = self.args.peek().map(CStr::to_bytes).filter(|arg| arg.len() > 1 && arg.starts_with(b"-"));
            let Some(arg) = arg.filter(|_| !self.ended) else { return Ok(None) };
            self.args.next();
            if let Some(long) = arg.strip_prefix(b"--") {
                self.ended = long.is_empty();
                return if self.ended { Ok(None) } else { self.long(long).map(Some) };
            }
            self.letters = arg.get(1..).unwrap_or_default();
        }
        let (letter, rest) = self.letters.split_at(1);
        self.letters = rest;
        let Some(row) = ROWS.iter().find(|row| row.letter.as_ref().map(slice::from_ref) == Some(letter)) else {
            fail!(FAILED, "unknown option -% (see --help)", letter);
        };
        if row.value.is_empty() {
            return Ok(Some((row, NONE)));
        }
        let rest = mem::take(&mut self.letters);
        let inline = Some(rest.strip_prefix(b"=").unwrap_or(rest)).filter(|_| !rest.is_empty());
        self.value(row, inline, ("-", letter)).map(Some)
    }

    /// Takes `--name`, `--name=value`, or `--name value`.
    fn long(&mut self, text: &'static [u8]) -> Result<(&'static Row, &'static [u8]), c_int> {
        let end = text.iter().position(|&byte| byte == b'=').unwrap_or(text.len());
        let (name, value) = text.split_at(end);
        let Some(row) = ROWS.iter().find(|row| row.name.as_bytes() == name) else {
            fail!(FAILED, "unknown option --% (see --help)", name);
        };
        match value.get(1..) {
            None if row.value.is_empty() => Ok((row, NONE)),
            Some(_) if row.value.is_empty() => fail!(FAILED, "--% takes no value", name),
            inline => self.value(row, inline, ("--", name)),
        }
    }

    fn value(
        &mut self,
        row: &'static Row,
        inline: Option<&'static [u8]>,
        (dashes, name): (&str, &[u8]),
    ) -> Result<(&'static Row, &'static [u8]), c_int> {
        match inline.or_else(|| self.args.next().map(CStr::to_bytes)) {
            Some(value) => Ok((row, value)),
            None => fail!(FAILED, "%% needs a value", dashes, name),
        }
    }
}

/// The values of an option that can be repeated.
#[derive(Clone, Default)]
pub(crate) struct List(Option<(Given, &'static str)>);

impl List {
    pub(crate) const fn is_given(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn given(&self) -> Option<&List> {
        Some(self).filter(|list| list.is_given())
    }

    /// Returns the values, one for each time that the option is given.
    pub(crate) fn values(&self) -> impl Iterator<Item = &'static [u8]> + use<> {
        let mut list = self.0.clone();
        core::iter::from_fn(move || {
            let (given, name) = list.as_mut()?;
            loop {
                let (row, value) = given.take().ok()??;
                if row.name == *name {
                    return Some(value);
                }
            }
        })
    }

    /// Returns the parts between the commas of all values.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'static [u8]> + use<> {
        self.values().flat_map(|value| value.split(|&byte| byte == b','))
    }

    /// Returns whether the list consists of this word. Fails if it has other words too.
    pub(crate) fn is(&self, word: &'static [u8]) -> Result<bool, c_int> {
        let is_it = self.parts().any(|part| part == word);
        match &self.0 {
            Some((_, name)) if is_it && self.parts().nth(1).is_some() => {
                fail!(FAILED, "--%: \"%\" does not go with anything else", *name, word)
            }
            _ => Ok(is_it),
        }
    }
}

/// Shows the values as one list.
impl Show for List {
    fn show(&self, stream: &mut Stream) {
        for (nth, value) in self.values().enumerate() {
            stream.put(if nth == 0 { "%" } else { ",%" }, &[&value]);
        }
    }
}

#[allow(clippy::struct_excessive_bools, reason = "independent options")]
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) jail: Jail<'static>,
    pub(crate) root: Option<&'static [u8]>,
    pub(crate) parent: Option<&'static [u8]>,
    pub(crate) file: List,
    pub(crate) writable: Option<&'static [u8]>,
    pub(crate) user: Option<&'static [u8]>,
    pub(crate) caps: List,
    pub(crate) keep_fds: List,
    pub(crate) no_seal: bool,
    pub(crate) require: List,
    pub(crate) rings: bool,
    pub(crate) log: bool,
    pub(crate) no_connect: bool,
    pub(crate) check: bool,
    pub(crate) verbose: bool,
    pub(crate) quiet: bool,
    pub(crate) userns: Option<&'static [u8]>,
    pub(crate) id_map: Option<&'static [u8]>,
}

impl Options {
    /// Takes the options from the front of `args`, and leaves PROGRAM and its arguments. Fails with
    /// the exit status if an option is wrong, or if there is nothing more to do.
    pub(crate) fn parse(args: &mut Strings) -> Result<Options, c_int> {
        let mut options = Options::default();
        let mut given = Given { args: args.clone(), letters: NONE, ended: false };
        loop {
            let before = given.clone();
            let Some((row, value)) = given.take()? else { break };
            options.set(row, value, before)?;
        }
        *args = given.args;
        let root = options.root.unwrap_or(b"auto");
        options.jail = match Jail::parse(root) {
            Ok(jail) => jail,
            Err(error) => fail!(FAILED, "--root \"%\": %", root, Shown(error)),
        };
        if let Some(parent) = options.parent {
            let is_unlinked = |kind: &[u8]| kind == b"auto" || kind == b"unlinked";
            if !root.split(|&byte| byte == b',').any(is_unlinked) {
                fail!(FAILED, "--parent goes with --root auto and unlinked only");
            }
            options.jail = match options.jail.in_checked_parent(parent) {
                Ok(jail) => jail,
                Err(error) => fail!(FAILED, "--parent \"%\": %", parent, Shown(error)),
            };
        }
        options.jail = os::jail(&options, options.jail)?;
        Ok(options)
    }

    /// Stores the value of an option. `before` gives this option and the options after it.
    fn set(&mut self, row: &'static Row, value: &'static [u8], before: Given) -> Result<(), c_int> {
        if row.in_ != In::Every && !LINUX {
            fail!(FAILED, "--% is an option on Linux only", row.name);
        }
        let left_out = match row.in_ {
            In::Files if !cfg!(feature = "files") => "files",
            In::Userns if !cfg!(feature = "userns") => "userns",
            In::Every | In::Linux | In::Files | In::Userns => "",
        };
        if !left_out.is_empty() {
            fail!(FAILED, "--% is left out of this build: build it with the feature %", row.name, left_out);
        }
        match row.takes {
            Takes::Nothing(place) => *place(self) = true,
            Takes::Value(place) => match place(self).replace(value) {
                Some(earlier) if earlier != value => {
                    fail!(FAILED, "--% is given twice: \"%\" and \"%\"", row.name, earlier, value)
                }
                _ => {}
            },
            Takes::List(place) => _ = place(self).0.get_or_insert((before, row.name)),
            Takes::Print(print) => {
                let mut stream = Stream::out();
                print(&mut stream);
                if !stream.flush() {
                    fail!(FAILED, "cannot write to standard output");
                }
                return Err(0);
            }
        }
        Ok(())
    }
}
