//! `--file`: what is copied into the root. It is opened before any privilege is dropped.

use core::ffi::c_int;

use autochroot::{NamedFile, open_source};
use rustix::fd::{AsRawFd as _, OwnedFd};

use crate::FAILED;
use crate::options::{Options, source_and_path};
use crate::output::{Shown, fail};

/// The files, each with the descriptor that it is copied from.
pub(crate) struct Files {
    named: [NamedFile<'static>; NamedFile::MOST],
    count: usize,
    _opened: [Option<OwnedFd>; NamedFile::MOST],
}

impl Files {
    pub(crate) fn open(options: &Options) -> Result<Files, c_int> {
        let mut named = [NamedFile::bytes(b"", b""); NamedFile::MOST];
        let mut opened = [const { None }; NamedFile::MOST];
        let mut count = 0;
        for ((file, place), text) in named.iter_mut().zip(&mut opened).zip(options.files()) {
            let (source, path) = source_and_path(text);
            match open_source(source) {
                Ok(source) => {
                    *file = NamedFile::descriptor(source.as_raw_fd(), path);
                    *place = Some(source);
                }
                Err(error) => fail!(FAILED, "--file %: %", text, Shown(error)),
            }
            count += 1;
        }
        Ok(Files { named, count, _opened: opened })
    }

    pub(crate) fn all(&self) -> &[NamedFile<'static>] {
        self.named.get(..self.count).unwrap_or_default()
    }
}
