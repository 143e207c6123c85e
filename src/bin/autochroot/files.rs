//! `--file`: the files that are copied into the root. They are opened first, before any privilege
//! is dropped.

use core::ffi::c_int;

use autochroot::for_the_launcher::{Failure, open_source};
use autochroot::{Jail, NamedFile};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::fcntl_dupfd_cloexec;

use crate::options::Options;
use crate::os;
use crate::output::{Shown, Stream, fail};
use crate::{FAILED, NONE};

/// How often `--file` can be given.
const MOST: usize = NamedFile::MOST;
const _: () = assert!(MOST == 128, "a message has the number");

/// Returns whether a path of `/proc` is about the launcher itself. `/proc/self/fd` is allowed: the
/// caller gave those descriptors.
fn is_of_the_launcher(path: &[u8]) -> bool {
    let mut names = path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    path.starts_with(b"/")
        && names.next() == Some(b"proc")
        && matches!(names.next(), Some(b"self" | b"thread-self"))
        && names.next() != Some(b"fd")
}

/// The files, each with the descriptor that it is copied from, and the writable directory.
pub(crate) struct Files<'m> {
    /// The values of `--file`, each once.
    texts: &'m mut [&'static [u8]],
    named: &'m mut [NamedFile<'static>],
    opened: &'m mut [Option<OwnedFd>],
    count: usize,
    writable: Option<Writable>,
}

/// A writable directory: its size, and its path unless it is `/tmp`.
type Writable = (u64, Option<&'static [u8]>);

/// The rest of the launch, which runs once the options are checked.
type Rest<'r> = dyn FnMut(&mut Files<'_>) -> Result<c_int, c_int> + 'r;

impl Files<'_> {
    /// Checks the options about files without opening any, then calls `rest`. A launch without
    /// files does not touch the memory for files.
    pub(crate) fn with(options: &Options, rest: &mut Rest<'_>) -> Result<c_int, c_int> {
        let writable = writable(options)?;
        if options.file.is_given() {
            Self::with_memory(options, writable, rest)
        } else {
            rest(&mut Files { texts: &mut [], named: &mut [], opened: &mut [], count: 0, writable })
        }
    }

    #[inline(never)]
    fn with_memory(options: &Options, writable: Option<Writable>, rest: &mut Rest<'_>) -> Result<c_int, c_int> {
        let mut files = Files {
            texts: &mut [NONE; MOST],
            named: &mut [NamedFile::write(b"", b""); MOST],
            opened: &mut [const { None }; MOST],
            count: 0,
            writable,
        };
        for text in options.file.values() {
            let (source, path) = source_and_path(text);
            if source.is_empty() {
                fail!(FAILED, "--file \"%\": FILE is empty", text);
            }
            if is_of_the_launcher(source) {
                fail!(FAILED, "--file %: that is about autochroot itself, not about PROGRAM", text);
            }
            if files.texts.iter().take(files.count).any(|earlier| source_and_path(earlier) == (source, path)) {
                continue; // as in what `ldd` prints
            }
            let (Some(file), Some(place)) = (files.named.get_mut(files.count), files.texts.get_mut(files.count)) else {
                fail!(FAILED, "--file: more than 128 files");
            };
            (*file, *place) = (NamedFile::copy(source, path), text);
            files.count += 1;
        }
        rest(&mut files)
    }

    /// Opens the sources, before any privilege is dropped.
    pub(crate) fn open(&mut self) -> Result<(), c_int> {
        for ((file, place), text) in self.named.iter_mut().zip(&mut *self.opened).zip(&*self.texts).take(self.count) {
            let (source, path) = source_and_path(text);
            match open_source(source) {
                Ok(source) => {
                    let source = match source.as_raw_fd() {
                        0..3 => fcntl_dupfd_cloexec(source, 3),
                        _ => Ok(source),
                    };
                    let source = match source {
                        Ok(source) => source,
                        Err(errno) => fail!(FAILED, "--file %: cannot copy its descriptor: %", *text, errno),
                    };
                    *file = NamedFile::raw_descriptor(source.as_raw_fd(), path);
                    *place = Some(source);
                }
                Err(error) => {
                    let mut stream = Stream::err();
                    stream.put("autochroot: --file %: %\n", &[text, &Shown(Failure(&error, None))]);
                    if path == source && text.contains(&b'=') {
                        stream.put("  hint: write it as FILE=/PATH\n", &[]);
                    } else {
                        os::hint(&error, &mut stream);
                    }
                    stream.flush();
                    return Err(FAILED);
                }
            }
        }
        Ok(())
    }

    fn list(&self) -> &[NamedFile<'static>] {
        self.named.get(..self.count).unwrap_or_default()
    }

    /// Returns the value of `--file` that an error is about.
    pub(crate) fn text(&self, nth: usize) -> Option<&'static [u8]> {
        self.texts.get(nth).copied()
    }

    /// Returns whether this path is that of a file in the root.
    pub(crate) fn has(&self, path: &[u8]) -> bool {
        self.source_of(path).is_some()
    }

    /// Returns the file that is copied to this path.
    pub(crate) fn source_of(&self, path: &[u8]) -> Option<&'static [u8]> {
        let mut pairs = self.texts.iter().take(self.count).map(|text| source_and_path(text));
        pairs.find(|(_, to)| *to == path).map(|(source, _)| source)
    }

    /// Returns the descriptors of the open files, all of which are above 2.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = c_int> {
        self.opened.iter().flatten().map(AsRawFd::as_raw_fd)
    }

    pub(crate) fn put_into<'j>(&'j self, jail: Jail<'j>) -> Jail<'j> {
        let jail = jail.files(self.list());
        match self.writable {
            None => jail,
            Some((bytes, None)) => jail.writable(bytes),
            Some((bytes, Some(path))) => jail.writable_at(bytes, path),
        }
    }

    /// Prints the files.
    pub(crate) fn report(&self, stream: &mut Stream) {
        for text in self.texts.iter().take(self.count) {
            stream.line("file", &source_and_path(text).1);
        }
    }

    /// Returns the directory that can be written.
    pub(crate) fn writable_path(&self) -> Option<&'static [u8]> {
        self.writable.map(|(_, path)| path.unwrap_or(b"/tmp"))
    }
}

/// Reads `--writable`: SIZE in bytes, or with K, M or G, and the path.
fn writable(options: &Options) -> Result<Option<Writable>, c_int> {
    let Some(text) = options.writable else { return Ok(None) };
    let (size, path) = match text.iter().position(|&byte| byte == b'=') {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    };
    let (digits, unit) = match size {
        [digits @ .., b'K' | b'k'] => (digits, 1 << 10),
        [digits @ .., b'M' | b'm'] => (digits, 1 << 20),
        [digits @ .., b'G' | b'g'] => (digits, 1 << 30),
        digits => (digits, 1),
    };
    let digit = |number: u64, byte: &u8| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    };
    let bytes = digits.iter().try_fold(0, digit).and_then(|number| number.checked_mul(unit));
    match bytes {
        Some(bytes) if !digits.is_empty() => Ok(Some((bytes, path))),
        _ => fail!(FAILED, "--writable: \"%\" is not a size: a number, which may have K, M or G after it", size),
    }
}

/// Splits FILE[=PATH] into the source and the path in the root, which is absolute. By default they
/// are the same.
fn source_and_path(text: &'static [u8]) -> (&'static [u8], &'static [u8]) {
    match text.windows(2).rposition(|two| two == b"=/") {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default()),
        None => (text, text),
    }
}
