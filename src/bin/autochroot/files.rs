//! `--file`: the files that are copied into the root. They are opened first, before any privilege
//! is dropped.

use core::ffi::c_int;

use autochroot::for_the_launcher::{Failure, check_files, open_source};
use autochroot::{Jail, NamedFile};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::fcntl_dupfd_cloexec;

use crate::options::{Options, source_and_path};
use crate::os;
use crate::output::{Shown, Stream, fail};
use crate::{FAILED, Part, say_why};

/// How often `--file` can be given.
const MOST: usize = NamedFile::MOST;
const _: () = assert!(MOST == 32, "a message has the number");

/// Returns whether a path leads to what `/proc` has about the process that opens it. Its
/// descriptors are whatever the caller gave.
fn is_of_the_launcher(path: &[u8]) -> bool {
    let mut names = path.split(|&byte| byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    path.starts_with(b"/")
        && names.next() == Some(b"proc")
        && matches!(names.next(), Some(b"self" | b"thread-self"))
        && names.next() != Some(b"fd")
}

/// The files, each with the descriptor that it is copied from.
pub(crate) struct Files {
    named: [NamedFile<'static>; MOST],
    count: usize,
    opened: [Option<OwnedFd>; MOST],
}

impl Files {
    /// Checks what the options say of the files, and opens nothing.
    pub(crate) fn named(options: &Options) -> Result<Files, c_int> {
        let mut files = Files { named: [NamedFile::write(b"", b""); MOST], count: 0, opened: [const { None }; MOST] };
        for text in options.file.values() {
            let (source, path) = source_and_path(text);
            if source.is_empty() {
                fail!(FAILED, "--file \"%\": FILE is empty", text);
            }
            if is_of_the_launcher(source) {
                fail!(FAILED, "--file %: that is about autochroot itself, not about PROGRAM", text);
            }
            let Some(file) = files.named.get_mut(files.count) else { fail!(FAILED, "--file: more than 32 files") };
            *file = NamedFile::write(b"", path);
            files.count += 1;
        }
        match check_files(files.list()) {
            Ok(()) => Ok(files),
            Err(error) => Err(say_why(options, Part::Entry, &error)),
        }
    }

    /// Opens the files.
    pub(crate) fn open(&mut self, options: &Options) -> Result<(), c_int> {
        for ((file, place), text) in self.named.iter_mut().zip(&mut self.opened).zip(options.file.values()) {
            let (source, path) = source_and_path(text);
            match open_source(source) {
                Ok(source) => {
                    let source = match source.as_raw_fd() {
                        0..3 => fcntl_dupfd_cloexec(source, 3),
                        _ => Ok(source),
                    };
                    let source = match source {
                        Ok(source) => source,
                        Err(errno) => fail!(FAILED, "--file %: cannot copy its descriptor: %", text, errno),
                    };
                    *file = NamedFile::raw_descriptor(source.as_raw_fd(), path);
                    *place = Some(source);
                }
                Err(error) if path == source && text.contains(&b'=') => fail!(
                    FAILED,
                    "--file %: %\n  hint: the path in the root must begin with \"/\": FILE=/PATH",
                    text,
                    Shown(error)
                ),
                Err(error) => {
                    let mut stream = Stream::err();
                    stream.put("autochroot: --file %: %\n", &[&text, &Shown(Failure(&error, None))]);
                    os::hint(&error, &mut stream);
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

    /// The open files, whose descriptors are all above the standard ones.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = c_int> {
        self.opened.iter().flatten().map(AsRawFd::as_raw_fd)
    }

    pub(crate) fn put_into<'j>(&'j self, jail: Jail<'j>) -> Jail<'j> {
        jail.files(self.list())
    }
}
