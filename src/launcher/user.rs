//! `--user`: found in `/etc/passwd` and `/etc/group` before the jail, in which they are not.

use core::ffi::{CStr, c_int};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, read};
use rustix::process::{getegid, geteuid, getgid, getuid};

use crate::FAILED;
use crate::libc::{GROUPS, supplementary_groups};
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
        if let (None, Some((login, _, _))) = (group, &login) {
            let mut gid = None;
            each_token(GROUP, &mut |column, token| match (column, gid) {
                (0, _) => gid = None,
                (2, _) => gid = number(token),
                (3, Some(gid)) if token == login.text() => fits &= user.add(gid),
                _ => {}
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

    /// Its ids are these already, and its groups too, in whatever order, the primary one among them or not.
    pub(crate) fn is_this_process(&self) -> bool {
        let mut groups = [0; GROUPS];
        let Some(groups) = supplementary_groups(&mut groups) else { return false };
        let uids = [getuid(), geteuid()].iter().all(|uid| uid.as_raw() == self.uid);
        let gids = [getgid(), getegid()].iter().all(|gid| gid.as_raw() == self.gid);
        let within = |some: &[u32], all: &[u32]| some.iter().all(|gid| *gid == self.gid || all.contains(gid));
        uids && gids && within(groups, self.groups()) && within(self.groups(), groups)
    }
}

/// The first entry of this name or id: its name, uid and gid. Those of NIS, `+` and `-`, are none.
fn find_login(name: &[u8], id: Option<u32>) -> Result<Option<(Name, u32, u32)>, c_int> {
    let (mut here, mut login, mut entry, mut found) = (false, Name::NONE, None, None);
    each_token(PASSWD, &mut |column, token| match column {
        0 => {
            entry = None;
            here = !matches!(token.first(), None | Some(b'+' | b'-')) && (id.is_some() || token == name);
            if here && found.is_none() {
                login = Name::of(token);
            }
        }
        2 => entry = number(token).filter(|uid| here && id.is_none_or(|id| id == *uid)),
        3 if found.is_none() => found = entry.zip(number(token)).map(|(uid, gid)| (login, uid, gid)),
        _ => {}
    })?;
    Ok(found)
}

/// The id that `group` is, or that of the first entry of this name.
fn find_group(group: &[u8]) -> Result<u32, c_int> {
    if let Some(gid) = number(group) {
        return Ok(gid);
    }
    let (mut here, mut found) = (false, None);
    each_token(GROUP, &mut |column, token| match column {
        0 => here = found.is_none() && token == group,
        2 if here => found = number(token),
        _ => {}
    })?;
    match found {
        Some(gid) => Ok(gid),
        None => fail!(FAILED, "--user: there is no group \"%\" in /etc/group", group),
    }
}

#[derive(Clone, Copy)]
struct Name([u8; NAME], usize);

impl Name {
    const NONE: Name = Name([0; NAME], 0);

    fn of(text: &[u8]) -> Name {
        let mut name = Name::NONE;
        for byte in text {
            name.push(*byte);
        }
        name
    }

    /// Of what is too long, nothing that could be a name is left.
    fn push(&mut self, byte: u8) {
        match self.0.get_mut(self.1) {
            Some(place) => (*place, self.1) = (byte, self.1 + 1),
            None => self.0 = [b':'; NAME],
        }
    }

    fn text(&self) -> &[u8] {
        self.0.get(..self.1).unwrap_or_default().trim_ascii()
    }
}

/// Hand over every token of `path` with the number of colons before it in its line: what stands between colons, commas and line
/// ends. A file that is not there has none.
fn each_token(path: &CStr, each: &mut dyn FnMut(usize, &[u8])) -> Result<(), c_int> {
    match read_tokens(path, each) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => fail!(FAILED, "--user: cannot read %: %", path.to_bytes(), errno),
    }
}

fn read_tokens(path: &CStr, each: &mut dyn FnMut(usize, &[u8])) -> Result<(), Errno> {
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [0; 4096];
    let (mut column, mut token) = (0, Name::NONE);
    loop {
        let length = read(&file, &mut buffer)?;
        let bytes = if length == 0 { b"\n" } else { buffer.get(..length).unwrap_or_default() };
        for &byte in bytes {
            if !matches!(byte, b':' | b',' | b'\n') {
                token.push(byte);
                continue;
            }
            each(column, token.text());
            token = Name::NONE;
            match byte {
                b':' => column += 1,
                b'\n' => column = 0,
                _ => {}
            }
        }
        if length == 0 {
            return Ok(());
        }
    }
}
