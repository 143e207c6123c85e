//! `--file`: the files that are copied into the root. They are opened first, before any privilege
//! is dropped.

use core::ffi::c_int;

use autochroot::for_the_launcher::open_source;
use autochroot::{Jail, NamedFile};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::io::fcntl_dupfd_cloexec;

use crate::FAILED;
use crate::options::{Options, source_and_path};
use crate::output::{Shown, fail};

/// How often `--file` can be given.
pub(crate) const MOST: usize = NamedFile::MOST;

/// The files, each with the descriptor that it is copied from.
pub(crate) struct Files {
    named: [NamedFile<'static>; MOST],
    count: usize,
    opened: [Option<OwnedFd>; MOST],
}

impl Files {
    pub(crate) fn open(options: &Options) -> Result<Files, c_int> {
        let mut named = [NamedFile::write(b"", b""); MOST];
        let mut opened = [const { None }; MOST];
        let mut count = 0;
        for ((file, place), text) in named.iter_mut().zip(&mut opened).zip(options.files()) {
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
                Err(error) => fail!(FAILED, "--file %: %", text, Shown(error)),
            }
            count += 1;
        }
        Ok(Files { named, count, opened })
    }

    /// The open files, whose descriptors are all above the standard ones.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = c_int> {
        self.opened.iter().flatten().map(AsRawFd::as_raw_fd)
    }

    pub(crate) fn put_into<'j>(&'j self, jail: Jail<'j>) -> Jail<'j> {
        jail.files(self.named.get(..self.count).unwrap_or_default())
    }
}
