//! `--user`: found in `/etc/passwd` and `/etc/group` before the jail, in which they are not.

use core::ffi::{CStr, c_int};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, read};
use rustix::process::{Gid, Uid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, set_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::FAILED;
use crate::output::fail;
use crate::text::number;

const PASSWD: &CStr = c"/etc/passwd";
const GROUP: &CStr = c"/etc/group";

/// More groups than this are refused; a line of either file that is longer than [`LINE`] is too.
const GROUPS: usize = 256;
const LINE: usize = 1 << 14;

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
        let (id, group_id) = (number(name), group.and_then(number));
        let mut user = User { uid: 0, gid: 0, groups: [0; GROUPS], count: 0 };
        let mut login = [0; 256];
        if let (Some(uid), Some(gid)) = (id, group_id) {
            (user.uid, user.gid) = (uid, gid);
        } else {
            let mut found = false;
            each_line(PASSWD, &mut |line| {
                let mut fields = line.split(|&byte| byte == b':');
                let (Some(entry), _, Some(uid), Some(gid)) =
                    (fields.next(), fields.next(), fields.next().and_then(number), fields.next().and_then(number))
                else {
                    return;
                };
                if !found && id.map_or(entry == name, |id| id == uid) {
                    if let Some(login) = login.get_mut(..entry.len()) {
                        login.copy_from_slice(entry);
                        (user.uid, user.gid, user.count, found) = (uid, gid, entry.len(), true);
                    }
                }
            })?;
            if !found {
                match (id, group) {
                    (None, _) => fail!(FAILED, "--user: there is no user \"", name, "\" in /etc/passwd"),
                    (Some(_), None) => {
                        fail!(FAILED, "--user: ", name, " is not in /etc/passwd: name a group, as in ", name, ":", name)
                    }
                    (Some(uid), _) => user.uid = uid,
                }
            }
        }
        let login = login.get(..core::mem::take(&mut user.count)).unwrap_or_default();
        if let Some(gid) = group_id {
            user.gid = gid;
        } else if let Some(group) = group {
            let mut found = None;
            each_line(GROUP, &mut |line| {
                let mut fields = line.split(|&byte| byte == b':');
                if found.is_none() && fields.next() == Some(group) {
                    found = fields.nth(1).and_then(number);
                }
            })?;
            match found {
                Some(gid) => user.gid = gid,
                None => fail!(FAILED, "--user: there is no group \"", group, "\" in /etc/group"),
            }
        }
        let mut fits = user.add(user.gid);
        if group.is_none() {
            each_line(GROUP, &mut |line| {
                let mut fields = line.split(|&byte| byte == b':');
                if let (Some(gid), Some(members)) = (fields.nth(2).and_then(number), fields.next()) {
                    if members.split(|&byte| byte == b',').any(|member| member == login) {
                        fits &= user.add(gid);
                    }
                }
            })?;
        }
        if !fits {
            fail!(FAILED, "--user: ", name, " is in more than 256 groups");
        }
        if user.uid == u32::MAX || user.gid == u32::MAX {
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

    /// Become that user now, and hold nothing.
    #[cfg_attr(not(feature = "userns"), allow(dead_code))]
    pub(crate) fn become_now(&self) -> Result<(), c_int> {
        let mut groups = [Gid::ROOT; GROUPS];
        for (group, gid) in groups.iter_mut().zip(self.groups()) {
            *group = Gid::from_raw(*gid);
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let nothing = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        let done = set_thread_groups(groups.get(..self.count).unwrap_or_default())
            .and_then(|()| set_thread_res_gid(gid, gid, gid))
            .and_then(|()| set_thread_res_uid(uid, uid, uid))
            .and_then(|()| set_capabilities(None, nothing));
        match done {
            Ok(()) => Ok(()),
            Err(errno) => fail!(FAILED, "cannot become that user: ", errno),
        }
    }
}

/// Hand over every line of `path`, without its end. A file that is not there has none.
fn each_line(path: &CStr, each: &mut dyn FnMut(&[u8])) -> Result<(), c_int> {
    match read_lines(path, each) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => fail!(FAILED, "--user: cannot read ", path.to_bytes(), ": ", errno),
    }
}

fn read_lines(path: &CStr, each: &mut dyn FnMut(&[u8])) -> Result<(), Errno> {
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [0; LINE];
    let mut length = 0;
    loop {
        let more = read(&file, buffer.get_mut(length..).unwrap_or_default())?;
        length += more;
        let read = buffer.get(..length).unwrap_or_default();
        let mut done = 0;
        for line in read.split_inclusive(|&byte| byte == b'\n') {
            match line.split_last() {
                Some((b'\n', line)) => each(line),
                _ if more == 0 => each(line),
                _ => break,
            }
            done += line.len();
        }
        if more == 0 {
            return Ok(());
        }
        if done == 0 && length == LINE {
            return Err(Errno::OVERFLOW);
        }
        buffer.copy_within(done..length, 0);
        length -= done;
    }
}
