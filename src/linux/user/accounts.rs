//! Reads `/etc/passwd` and `/etc/group` (Linux).

use core::ffi::CStr;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, read};

use crate::text::number;

/// The longest name that is found.
pub(crate) const NAME: usize = 256;

/// One of the two files.
#[derive(Clone, Copy)]
pub(crate) enum Accounts {
    Passwd,
    Group,
}

impl Accounts {
    const fn path(self) -> &'static CStr {
        match self {
            Accounts::Passwd => c"/etc/passwd",
            Accounts::Group => c"/etc/group",
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Accounts::Passwd => "/etc/passwd",
            Accounts::Group => "/etc/group",
        }
    }

    /// Calls `each` with the entries, until it returns true. A missing file has no entries.
    /// `member` is the group member to look for.
    pub(crate) fn each(self, member: &[u8], each: &mut dyn FnMut(&Line) -> bool) -> Result<(), Errno> {
        match self.read(member, each) {
            Err(Errno::NOENT) => Ok(()),
            read => read,
        }
    }

    fn read(self, member: &[u8], each: &mut dyn FnMut(&Line) -> bool) -> Result<(), Errno> {
        let file = openat(CWD, self.path(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let mut buffer = [0; 4096];
        let mut line = Line::start(1);
        loop {
            let length = match read(&file, &mut buffer) {
                Err(Errno::INTR) => continue,
                length => length?,
            };
            // The last line may lack its end.
            let bytes = if length == 0 { b"\n" } else { buffer.get(..length).unwrap_or_default() };
            for &byte in bytes {
                if !line.add(byte, member) {
                    continue;
                }
                if line.is_entry() && each(&line) {
                    return Ok(());
                }
                line = Line::start(line.number.saturating_add(1));
            }
            if length == 0 {
                return Ok(());
            }
        }
    }
}

/// The fields of a line that are needed, see `passwd(5)` and `group(5)`.
pub(crate) struct Line {
    /// Counted from 1.
    pub(crate) number: u32,
    colons: usize,
    pub(crate) name: Text<NAME>,
    third: Text<10>,
    fourth: Text<10>,
    /// A member of a group, while it is read.
    token: Text<NAME>,
    /// The group has the member that was looked for.
    pub(crate) has_member: bool,
    /// The line holds a byte that is invalid there: a NUL, a blank at the start, or in the name a
    /// comma or a control character.
    is_bad: bool,
}

impl Line {
    const fn start(number: u32) -> Line {
        Line {
            number,
            colons: 0,
            name: Text::EMPTY,
            third: Text::EMPTY,
            fourth: Text::EMPTY,
            token: Text::EMPTY,
            has_member: false,
            is_bad: false,
        }
    }

    /// Adds a byte. Returns true at the end of the line.
    fn add(&mut self, byte: u8, member: &[u8]) -> bool {
        // The members follow the third colon. A further colon belongs to a member.
        if self.colons >= 3 && matches!(byte, b',' | b'\n') {
            self.has_member |=
                self.token.get().is_some_and(|one| !member.is_empty() && one.trim_ascii_start() == member);
            self.token = Text::EMPTY;
        } else if self.colons >= 3 {
            self.token.push(byte);
        }
        match (byte, self.colons) {
            (b'\n', _) => return true,
            (b':', _) => self.colons += 1,
            // Some C libraries skip blanks at the start of a line, others do not.
            (b' ', 0) if self.name.length == 0 => self.is_bad = true,
            (_, 0) => {
                self.is_bad |= matches!(byte, 0..b' ' | b',' | 127);
                if !(self.name.length == 0 && byte.is_ascii_whitespace()) {
                    self.name.push(byte);
                }
            }
            (_, 2) => self.third.push_digit(byte),
            (_, 3) => {
                self.is_bad |= byte == 0;
                self.fourth.push_digit(byte);
            }
            _ => self.is_bad |= byte == 0,
        }
        false
    }

    /// Returns whether the line is an account, and not a comment or an entry of NIS (`+`, `-`).
    fn is_entry(&self) -> bool {
        !matches!(self.name.bytes.first(), None | Some(0 | b'#' | b'+' | b'-'))
    }

    fn id(&self) -> Option<u32> {
        number(self.third.get()?)
    }

    /// Returns the id that a C library may read in the third field, which need not be well-formed.
    pub(crate) fn seeming_id(&self) -> Option<u32> {
        let text = self.third.get()?.trim_ascii();
        number(text.strip_prefix(b"+").unwrap_or(text))
    }

    /// Returns the user id and group id, if the line of `/etc/passwd` is well-formed: an id
    /// consists of digits.
    pub(crate) fn login(&self) -> Option<(u32, u32)> {
        if self.is_bad || self.colons < 6 { None } else { self.id().zip(number(self.fourth.get()?)) }
    }

    /// Returns the group id, if the line of `/etc/group` is well-formed.
    pub(crate) fn group(&self) -> Option<u32> {
        if self.is_bad || self.colons < 3 { None } else { self.id() }
    }
}

/// A text of at most `MOST` bytes. A longer one is lost.
#[derive(Clone, Copy)]
pub(crate) struct Text<const MOST: usize> {
    bytes: [u8; MOST],
    length: usize,
}

impl<const MOST: usize> Text<MOST> {
    const EMPTY: Self = Text { bytes: [0; MOST], length: 0 };

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length = self.length.saturating_add(1);
    }

    /// Adds a digit. Zeros at the start, of which there may be any number, do not take room.
    fn push_digit(&mut self, byte: u8) {
        if self.length == 1 && self.bytes.first() == Some(&b'0') && byte.is_ascii_digit() {
            self.length = 0;
        }
        self.push(byte);
    }

    pub(crate) fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.length)
    }
}
