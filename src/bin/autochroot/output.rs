//! Standard output and error, without the size of `core::fmt`: a text, in which each `%` stands for
//! a part.
#![allow(unsafe_code, reason = "a descriptor that others have opened")]

use core::ffi::c_int;
use core::fmt::{self, Display, Write as _};
use core::sync::atomic::{AtomicI32, Ordering};

use rustix::fd::BorrowedFd;
use rustix::io::{Errno, write};

use autochroot::for_the_launcher::{Named, decimal};

/// Prints the message of a failure, and returns its exit status.
macro_rules! fail {
    ($status:expr, $text:literal $(, $part:expr)*) => {{
        const PARTS: &[&str] = &[$(stringify!($part)),*];
        const { assert!(PARTS.len() == $crate::output::places($text)) };
        $crate::output::failure($text, &[$(&$part),*]);
        return Err($status);
    }};
}
pub(crate) use fail;

/// Returns how many parts a text has places for.
pub(crate) const fn places(text: &str) -> usize {
    let (mut rest, mut places) = (text.as_bytes(), 0);
    while let [first, more @ ..] = rest {
        places += (*first == b'%') as usize;
        rest = more;
    }
    places
}

/// Where messages go: the standard error that the launcher was started with, even if PROGRAM does
/// not keep it.
static ERRORS: AtomicI32 = AtomicI32::new(2);

pub(crate) fn write_errors_to(copy: c_int) {
    ERRORS.store(copy, Ordering::Relaxed);
}

/// Returns the copy of the standard error, if there is one.
pub(crate) fn error_copy() -> Option<c_int> {
    Some(ERRORS.load(Ordering::Relaxed)).filter(|fd| *fd != 2)
}

/// Prints one line on standard error.
pub(crate) fn failure(text: &str, parts: &[&dyn Show]) {
    Stream::err().put("autochroot: ", &[]).put(text, parts).put("\n", &[]).flush();
}

/// A stream, and what is not written to it yet.
pub(crate) struct Stream {
    fd: c_int,
    length: usize,
    written: bool,
    buffer: [u8; 1024],
}

impl Stream {
    #[inline(never)] // saves 224 bytes
    pub(crate) const fn to(fd: c_int) -> Stream {
        Stream { fd, length: 0, written: true, buffer: [0; 1024] }
    }

    /// Returns whether this is standard error. A failure to write there is ignored.
    pub(crate) const fn is_err(&self) -> bool {
        self.fd != 1
    }

    /// Prints the text, with the next part in the place of each `%`.
    pub(crate) fn put(&mut self, text: &str, mut parts: &[&dyn Show]) -> &mut Stream {
        for byte in text.bytes() {
            match (byte, parts) {
                (b'%', [part, rest @ ..]) => {
                    part.show(self);
                    parts = rest;
                }
                _ => self.byte(byte),
            }
        }
        self
    }

    /// Prints a `key: value` line.
    pub(crate) fn line(&mut self, key: &str, value: &dyn Show) {
        self.put("%: %\n", &[&key, value]);
    }

    pub(crate) const fn out() -> Stream {
        Stream::to(1)
    }

    pub(crate) fn err() -> Stream {
        Stream::to(ERRORS.load(Ordering::Relaxed))
    }

    fn byte(&mut self, byte: u8) {
        if self.length == self.buffer.len() {
            self.flush();
        }
        if let Some(place) = self.buffer.get_mut(self.length) {
            *place = byte;
            self.length += 1;
        }
    }

    /// Writes what is not written yet. Returns whether everything was written.
    pub(crate) fn flush(&mut self) -> bool {
        let mut rest = self.buffer.get(..self.length).unwrap_or_default();
        while !rest.is_empty() {
            // SAFETY: it is borrowed for this call. If it is not open, the call fails.
            match write(unsafe { BorrowedFd::borrow_raw(self.fd) }, rest) {
                Ok(written) if written > 0 => rest = rest.get(written..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                _ => {
                    self.written = false;
                    break;
                }
            }
        }
        self.length = 0;
        self.written
    }
}

impl fmt::Write for Stream {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.byte(byte));
        Ok(())
    }
}

/// A part of what is printed.
pub(crate) trait Show {
    fn show(&self, stream: &mut Stream);
}

impl Show for &str {
    fn show(&self, stream: &mut Stream) {
        let _ = stream.write_str(self);
    }
}

/// Shows text of somebody else on one line, without control characters that a terminal would obey.
impl Show for &[u8] {
    fn show(&self, stream: &mut Stream) {
        for &byte in *self {
            if matches!(byte, b' '..=b'~') && byte != b'\\' {
                stream.byte(byte);
            } else {
                let digit = |digit: u8| if digit < 10 { b'0' + digit } else { b'a' - 10 + digit };
                for byte in [b'\\', b'x', digit(byte >> 4), digit(byte & 15)] {
                    stream.byte(byte);
                }
            }
        }
    }
}

/// Shows a path for a shell: quoted, if a shell would split or change it.
pub(crate) struct Quoted<'p>(pub(crate) &'p [u8]);

impl Show for Quoted<'_> {
    fn show(&self, stream: &mut Stream) {
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._+-".contains(byte);
        let mark = if self.0.iter().all(is_plain) { "" } else { "'" };
        for (nth, part) in self.0.split(|&byte| byte == b'\'').enumerate() {
            stream.put(if nth == 0 { mark } else { "'\\''" }, &[]).put("%", &[&part]);
        }
        stream.put(mark, &[]);
    }
}

/// Shows a text with its parts.
pub(crate) struct Text<'p>(pub(crate) &'static str, pub(crate) &'p [&'p dyn Show]);

impl Show for Text<'_> {
    fn show(&self, stream: &mut Stream) {
        stream.put(self.0, self.1);
    }
}

impl Show for u32 {
    fn show(&self, stream: &mut Stream) {
        let _ = decimal(stream, *self);
    }
}

impl Show for Errno {
    fn show(&self, stream: &mut Stream) {
        Shown(Named(*self)).show(stream);
    }
}

/// Shows what the library displays.
pub(crate) struct Shown<D>(pub(crate) D);

impl<D: Display> Show for Shown<D> {
    fn show(&self, stream: &mut Stream) {
        let _ = write!(stream, "{}", self.0);
    }
}
