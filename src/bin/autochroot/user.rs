//! `--user`: found in `/etc/passwd` and `/etc/group` before the jail, in which they are not.

use core::ffi::{CStr, c_int};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, read};
use rustix::process::{getegid, geteuid, getgid, getuid};

use crate::FAILED;
use crate::os::{GROUPS, supplementary_groups};
use crate::output::fail;
use autochroot::text::number;

const PASSWD: &CStr = c"/etc/passwd";
const GROUP: &CStr = c"/etc/group";

/// No name is longer.
const NAME: usize = 256;

/// Whom PROGRAM is to run as.
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    groups: [u32; GROUPS],
    count: usize,
}

impl User {
    pub(crate) fn groups(&self) -> &[u32] {
        self.groups.get(..self.count).unwrap_or_default()
    }

    /// The user that `USER[:GROUP]` means: digits are an id, anything else is a name. Without a group it has those that a login
    /// gives it, as `initgroups(3)`; with one, that alone.
    pub(crate) fn find(text: &[u8]) -> Result<User, c_int> {
        let (name, group) = match text.iter().position(|&byte| byte == b':') {
            Some(colon) => (text.get(..colon).unwrap_or_default(), text.get(colon + 1..)),
            None => (text, None),
        };
        if name.is_empty() || group.is_some_and(<[u8]>::is_empty) {
            fail!(FAILED, "--user: \"%\" is not USER or USER:GROUP", text);
        }
        let id = number(name);
        let login = if id.is_some() && group.is_some() { None } else { find_login(name, id)? };
        let uid = match (id, &login) {
            (Some(uid), _) => uid,
            (None, Some((_, uid, _))) => *uid,
            (None, None) => fail!(FAILED, "--user: there is no user \"%\" in /etc/passwd", name),
        };
        let gid = match (group, &login) {
            (Some(group), _) => find_group(group)?,
            (None, Some((_, _, gid))) => *gid,
            (None, None) => {
                fail!(FAILED, "--user: % is not in /etc/passwd: name a group, as in %:%", name, name, name)
            }
        };
        let mut user = User { uid, gid, groups: [0; GROUPS], count: 0 };
        let mut fits = user.add(gid);
        if let (None, Some(member)) = (group, login.as_ref().and_then(|(login, _, _)| login.get())) {
            each_entry(GROUP, member, &mut |line| {
                if let (true, Some(gid)) = (line.member, line.gid_of_group()) {
                    fits &= user.add(gid);
                }
                false
            })?;
        }
        if !fits {
            fail!(FAILED, "--user: % is in more than 256 groups: name one, as in %:GROUP", name, name);
        }
        if uid == u32::MAX || gid == u32::MAX {
            fail!(FAILED, "--user: 4294967295 is no user or group id");
        }
        Ok(user)
    }

    /// Whether it has a place.
    fn add(&mut self, gid: u32) -> bool {
        if self.groups().contains(&gid) {
            return true;
        }
        let place = self.groups.get_mut(self.count);
        self.count += usize::from(place.is_some());
        place.map(|place| *place = gid).is_some()
    }

    /// Whether the process is this user already, with these groups; or fewer, if it `may_lack` some because it cannot set them.
    pub(crate) fn is_this_process(&self, may_lack: bool) -> bool {
        let mut groups = [0; GROUPS];
        let Some(groups) = supplementary_groups(&mut groups) else { return false };
        let uids = [getuid(), geteuid()].iter().all(|uid| uid.as_raw() == self.uid);
        let gids = [getgid(), getegid()].iter().all(|gid| gid.as_raw() == self.gid);
        let within = |some: &[u32], all: &[u32]| some.iter().all(|gid| *gid == self.gid || all.contains(gid));
        uids && gids && within(groups, self.groups()) && (may_lack || within(self.groups(), groups))
    }
}

/// The first entry of this name or id: its name, uid and gid.
fn find_login(name: &[u8], id: Option<u32>) -> Result<Option<(Text<NAME>, u32, u32)>, c_int> {
    let mut found = None;
    each_entry(PASSWD, b"", &mut |line| {
        let ids = line.ids(6);
        match (id, line.name.get(), ids) {
            (None, Some(its), _) if its == name => found = Some((line.number, line.name, ids)),
            (Some(id), Some(_), Some((uid, _))) if id == uid => found = Some((line.number, line.name, ids)),
            _ => {}
        }
        found.is_some()
    })?;
    match found {
        None => Ok(None),
        Some((_, login, Some((uid, gid)))) => Ok(Some((login, uid, gid))),
        Some((number, ..)) => fail!(FAILED, "--user: line % of /etc/passwd, of \"%\", is malformed", number, name),
    }
}

/// The id that `group` is, or that of the first entry of this name.
fn find_group(group: &[u8]) -> Result<u32, c_int> {
    if let Some(gid) = number(group) {
        return Ok(gid);
    }
    let mut found = None;
    each_entry(GROUP, b"", &mut |line| {
        if line.name.get() == Some(group) {
            found = Some((line.number, line.gid_of_group()));
        }
        found.is_some()
    })?;
    match found {
        Some((_, Some(gid))) => Ok(gid),
        Some((number, None)) => fail!(FAILED, "--user: line % of /etc/group, of \"%\", is malformed", number, group),
        None => fail!(FAILED, "--user: there is no group \"%\" in /etc/group", group),
    }
}

/// A text of at most so many bytes: of what is longer nothing is there.
#[derive(Clone, Copy)]
struct Text<const MOST: usize> {
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

    fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.length)
    }
}

/// What is needed of a line of either file, `passwd(5)` and `group(5)`.
struct Line {
    /// Counted from 1.
    number: u32,
    colons: usize,
    name: Text<NAME>,
    third: Text<10>,
    /// Of a group these are its members.
    fourth: Text<10>,
    /// The member that was looked for is one.
    member: bool,
    /// A byte that no line has: a NUL, or in the name a blank, a comma or a control character.
    bad: bool,
}

impl Line {
    const fn start(number: u32) -> Line {
        Line {
            number,
            colons: 0,
            name: Text::EMPTY,
            third: Text::EMPTY,
            fourth: Text::EMPTY,
            member: false,
            bad: false,
        }
    }

    /// Comments are none, nor are those of NIS, `+` and `-`.
    fn is_entry(&self) -> bool {
        !matches!(self.name.bytes.first(), None | Some(0 | b'#' | b'+' | b'-'))
    }

    /// The ids in the third and fourth field, if the line is well-formed: an id is digits and nothing else.
    fn ids(&self, colons: usize) -> Option<(u32, u32)> {
        if self.bad || self.colons < colons { None } else { number(self.third.get()?).zip(number(self.fourth.get()?)) }
    }

    fn gid_of_group(&self) -> Option<u32> {
        if self.bad || self.colons < 3 { None } else { number(self.third.get()?) }
    }
}

/// Calls `each` with the entries of `path`, until it returns true. A file that is not there has none.
fn each_entry(path: &CStr, member: &[u8], each: &mut dyn FnMut(&Line) -> bool) -> Result<(), c_int> {
    match read_entries(path, member, each) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => fail!(FAILED, "--user: cannot read %: %", path.to_bytes(), errno),
    }
}

fn read_entries(path: &CStr, member: &[u8], each: &mut dyn FnMut(&Line) -> bool) -> Result<(), Errno> {
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [0; 4096];
    let (mut line, mut token) = (Line::start(1), Text::<NAME>::EMPTY);
    loop {
        let length = match read(&file, &mut buffer) {
            Err(Errno::INTR) => continue,
            length => length?,
        };
        // The last line may have no end.
        let bytes = if length == 0 { b"\n" } else { buffer.get(..length).unwrap_or_default() };
        for &byte in bytes {
            if line.colons == 3 && matches!(byte, b',' | b':' | b'\n') {
                line.member |= token.get().is_some_and(|token| !member.is_empty() && token.trim_ascii() == member);
                token = Text::EMPTY;
            }
            match (byte, line.colons) {
                (b'\n', _) => {
                    if line.is_entry() && each(&line) {
                        return Ok(());
                    }
                    line = Line::start(line.number.saturating_add(1));
                }
                (b':', _) => line.colons += 1,
                (_, 0) => {
                    line.bad |= matches!(byte, 0..=b' ' | b',' | 127);
                    line.name.push(byte);
                }
                (_, 2) => line.third.push(byte),
                (_, 3) => {
                    line.bad |= byte == 0;
                    line.fourth.push(byte);
                    if byte != b',' {
                        token.push(byte);
                    }
                }
                _ => line.bad |= byte == 0,
            }
        }
        if length == 0 {
            return Ok(());
        }
    }
}
