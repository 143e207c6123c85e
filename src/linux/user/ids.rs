//! Users: their ids and groups, found by name (Linux).

use core::fmt;

use rustix::io::Errno;

use crate::linux::user::accounts::{Accounts, Line, NAME, Text};
use crate::text::{Named, debug_is_display, decimal, number, write_all};

/// Ids, each of its own type: a group id cannot be passed as a user id.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(u32);

        impl $name {
            /// The id 0.
            pub const ROOT: $name = $name(0);

            /// Returns the id with this number. 4294967295 is not a valid id: [`Jail::enter_as`](crate::Jail::enter_as) refuses it.
            #[must_use]
            pub const fn from_raw(number: u32) -> $name {
                $name(number)
            }

            /// Returns the number.
            #[must_use]
            pub const fn as_raw(self) -> u32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                decimal(f, self.0)
            }
        }
    )*};
}

ids! {
    /// A user id (Linux).
    Uid
    /// A group id (Linux).
    Gid
}

/// The number of groups that a [`User`] has room for by itself.
const ROOM: usize = 64;

/// A user for a process to become: a user id, a group id and supplementary groups (Linux).
///
/// ```
/// # #[cfg(target_os = "linux")]
/// # if autochroot::User::find("www-data").is_ok() {
/// use autochroot::{Gid, Uid, User};
///
/// let by_name = User::find("www-data")?; // reads /etc/passwd and /etc/group
/// let by_id = User::new(Uid::from_raw(33), Gid::from_raw(33), &[]);
/// # }
/// # Ok::<(), autochroot::UserError>(())
/// ```
#[derive(Clone, Copy)]
pub struct User<'g> {
    uid: Uid,
    gid: Gid,
    groups: Groups<'g>,
}

#[derive(Clone, Copy)]
#[allow(clippy::large_enum_variant, reason = "there is no allocation, and one User in a program")]
enum Groups<'g> {
    Here([Gid; ROOM], usize),
    Elsewhere(&'g [Gid]),
}

impl User<'static> {
    /// Finds a user: `www-data`, `33`, `www-data:adm` or `33:33`.
    ///
    /// - Digits are an id. Anything else is a name of `/etc/passwd` or `/etc/group`.
    /// - Without a group, the user gets the group of `/etc/passwd` and all supplementary groups of
    ///   `/etc/group`, as from `initgroups(3)`. A malformed line gives no group.
    /// - With a group, the user gets that one and no other. Ids with a group need not be in the
    ///   files.
    ///
    /// Only these two files are read. Users of LDAP, NIS or systemd-homed are not found: give their
    /// ids. Call this before the jail is entered.
    ///
    /// # Cost
    ///
    /// `openat`, `read` for each 4 KiB and `close` for each file. Allocates nothing. A user in more
    /// than 64 groups needs [`find_in`](User::find_in).
    ///
    /// # Errors
    ///
    /// [`UserError`]. A malformed line is an error only if it is the line of this user or group.
    ///
    /// # Source
    ///
    /// [`passwd(5)`](https://man7.org/linux/man-pages/man5/passwd.5.html),
    /// [`group(5)`](https://man7.org/linux/man-pages/man5/group.5.html)
    pub fn find(user: impl AsRef<[u8]>) -> Result<Self, UserError> {
        let mut room = [Gid::ROOT; ROOM];
        let (uid, gid, count) = find(user.as_ref(), &mut room)?;
        Ok(User { uid, gid, groups: Groups::Here(room, count) })
    }
}

impl<'g> User<'g> {
    /// Describes a user by ids. `groups` are the supplementary groups.
    #[must_use]
    pub const fn new(uid: Uid, gid: Gid, groups: &'g [Gid]) -> Self {
        User { uid, gid, groups: Groups::Elsewhere(groups) }
    }

    /// Finds a user like [`find`](User::find), and puts the groups into `room`. The kernel accepts
    /// up to 65536 groups.
    ///
    /// # Errors
    ///
    /// [`UserError`]
    pub fn find_in(user: impl AsRef<[u8]>, room: &'g mut [Gid]) -> Result<Self, UserError> {
        let (uid, gid, count) = find(user.as_ref(), room)?;
        Ok(User::new(uid, gid, room.get(..count).unwrap_or_default()))
    }

    /// Returns the user id.
    #[must_use]
    pub const fn uid(&self) -> Uid {
        self.uid
    }

    /// Returns the group id.
    #[must_use]
    pub const fn gid(&self) -> Gid {
        self.gid
    }

    /// Returns the supplementary groups.
    #[must_use]
    pub fn groups(&self) -> &[Gid] {
        match &self.groups {
            Groups::Here(room, count) => room.get(..*count).unwrap_or_default(),
            Groups::Elsewhere(groups) => groups,
        }
    }
}

impl fmt::Debug for User<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("uid", &self.uid).field("gid", &self.gid).field("groups", &self.groups()).finish()
    }
}

/// The reason why a user was not found (Linux). The error does not contain the name: add it to your
/// message.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UserError {
    /// The text is neither `USER` nor `USER:GROUP`.
    Syntax,
    /// No line of `/etc/passwd` has this name.
    NoUser,
    /// No line of `/etc/group` has this name.
    NoGroup,
    /// No line of `/etc/passwd` has this user id, so a group must be given too.
    NeedsGroup,
    /// The number is more than 4294967294, which is the largest id.
    InvalidId,
    /// The user is in more groups than there is room for.
    TooManyGroups {
        /// The number of groups that there is room for.
        room: usize,
    },
    /// The line of this user or group is malformed.
    Malformed {
        /// `/etc/passwd` or `/etc/group`.
        file: &'static str,
        /// The number of the line, counted from 1.
        line: u32,
    },
    /// The file cannot be read.
    Unreadable {
        /// `/etc/passwd` or `/etc/group`.
        file: &'static str,
        /// The errno of the call that failed.
        errno: i32,
    },
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            UserError::Syntax => f.write_str("not USER or USER:GROUP"),
            UserError::NoUser => f.write_str("no such user in /etc/passwd (for LDAP give ids, as in 33:33)"),
            UserError::NoGroup => f.write_str("no such group in /etc/group"),
            UserError::NeedsGroup => f.write_str("no such user id in /etc/passwd: give a group too, as in 33:33"),
            UserError::InvalidId => f.write_str("not a valid id: ids are 0 to 4294967294"),
            UserError::TooManyGroups { room } => {
                f.write_str("the user is in more than ")?;
                decimal(f, u32::try_from(room).unwrap_or(u32::MAX))?;
                f.write_str(" groups: give one, as in USER:GROUP")
            }
            UserError::Malformed { file, line } => {
                f.write_str("line ")?;
                decimal(f, line)?;
                write_all(f, &[" of ", file, " is malformed"])
            }
            UserError::Unreadable { file, errno } => {
                write_all(f, &["cannot read ", file, ": "])?;
                Named(Errno::from_raw_os_error(errno)).fmt(f)
            }
        }
    }
}

debug_is_display!(UserError);

impl core::error::Error for UserError {}

#[cfg(feature = "std")]
impl From<UserError> for std::io::Error {
    fn from(error: UserError) -> Self {
        use std::io::ErrorKind;
        let kind = match error {
            UserError::NoUser | UserError::NoGroup | UserError::NeedsGroup => ErrorKind::NotFound,
            UserError::Syntax | UserError::InvalidId | UserError::TooManyGroups { .. } => ErrorKind::InvalidInput,
            UserError::Malformed { .. } => ErrorKind::InvalidData,
            UserError::Unreadable { errno, .. } => std::io::Error::from_raw_os_error(errno).kind(),
        };
        std::io::Error::new(kind, error)
    }
}

/// Splits `USER[:GROUP]`, and refuses what no account file can make valid. The launcher calls it
/// before it looks at the machine.
///
/// # Errors
///
/// [`UserError::Syntax`], [`UserError::InvalidId`]
pub fn user_and_group(text: &[u8]) -> Result<(&[u8], Option<&[u8]>), UserError> {
    let (name, group) = match text.iter().position(|&byte| byte == b':') {
        Some(colon) => (text.get(..colon).unwrap_or_default(), text.get(colon + 1..)),
        None => (text, None),
    };
    if name.is_empty() || group.is_some_and(<[u8]>::is_empty) {
        return Err(UserError::Syntax);
    }
    // A number is an id, and never a name.
    let is_invalid =
        |word: &[u8]| word.iter().all(u8::is_ascii_digit) && number(word).is_none_or(|number| number == u32::MAX);
    if is_invalid(name) || group.is_some_and(is_invalid) { Err(UserError::InvalidId) } else { Ok((name, group)) }
}

/// Finds the user id, the group id and the supplementary groups, and returns how many groups it put
/// into `room`.
fn find(text: &[u8], room: &mut [Gid]) -> Result<(Uid, Gid, usize), UserError> {
    let (name, group) = user_and_group(text)?;
    let id = number(name);
    let login = if id.is_some() && group.is_some() { None } else { find_login(name, id)? };
    let uid = match (id, &login) {
        (Some(uid), _) => uid,
        (None, Some(login)) => login.uid,
        (None, None) => return Err(UserError::NoUser),
    };
    let gid = match (group, &login) {
        (Some(group), _) => find_group(group)?,
        (None, Some(login)) => login.gid,
        (None, None) => return Err(UserError::NeedsGroup),
    };
    if uid == u32::MAX || gid == u32::MAX {
        return Err(UserError::InvalidId);
    }
    let mut found = Found { room, count: 0 };
    let mut fits = found.add(Gid(gid));
    if let (None, Some(member)) = (group, login.as_ref().and_then(|login| login.name.get())) {
        each(Accounts::Group, member, &mut |line| {
            if let (true, Some(gid)) = (line.has_member, line.group()) {
                fits = found.add(Gid(gid));
            }
            !fits
        })?;
    }
    if fits { Ok((Uid(uid), Gid(gid), found.count)) } else { Err(UserError::TooManyGroups { room: found.room.len() }) }
}

fn each(file: Accounts, member: &[u8], each: &mut dyn FnMut(&Line) -> bool) -> Result<(), UserError> {
    let unreadable = |errno: Errno| UserError::Unreadable { file: file.name(), errno: errno.raw_os_error() };
    file.each(member, each).map_err(unreadable)
}

/// The groups that were found, sorted, and each once.
struct Found<'r> {
    room: &'r mut [Gid],
    count: usize,
}

impl Found<'_> {
    /// Adds a group. Returns false if there is no room.
    fn add(&mut self, gid: Gid) -> bool {
        if self.room.get(..self.count).unwrap_or_default().binary_search(&gid).is_ok() {
            return true;
        }
        let has_room = self.count < self.room.len();
        if has_room {
            insert(self.room, self.count, gid);
            self.count += 1;
        }
        has_room
    }
}

/// Sorts the list, in one pass if it is sorted already, as the kernel's lists are. `sort_unstable`
/// would make a program 3 KB larger.
pub(crate) fn sort(list: &mut [Gid]) {
    for sorted in 1..list.len() {
        if let Some(&gid) = list.get(sorted) {
            insert(list, sorted, gid);
        }
    }
}

/// Puts a group in its place among the first `count` of the list, which are sorted, and moves the
/// larger ones.
fn insert(list: &mut [Gid], count: usize, gid: Gid) {
    let place = list.get(..count).unwrap_or_default().partition_point(|one| *one <= gid);
    list.copy_within(place..count, place + 1);
    if let Some(place) = list.get_mut(place) {
        *place = gid;
    }
}

/// A line of `/etc/passwd`.
struct Login {
    name: Text<NAME>,
    uid: u32,
    gid: u32,
}

/// Returns the first line with this id or, without an id, with this name.
fn find_login(name: &[u8], id: Option<u32>) -> Result<Option<Login>, UserError> {
    let mut found = None;
    each(Accounts::Passwd, b"", &mut |line| {
        let is_it = match id {
            None => line.name.get() == Some(name),
            Some(id) => line.seeming_id() == Some(id),
        };
        if is_it {
            let login = line.login().map(|(uid, gid)| Login { name: line.name, uid, gid });
            found = Some(login.ok_or(UserError::Malformed { file: Accounts::Passwd.name(), line: line.number }));
        }
        is_it
    })?;
    found.transpose()
}

/// Returns the id that the text is, or the id in the first line with this name.
fn find_group(name: &[u8]) -> Result<u32, UserError> {
    if let Some(gid) = number(name) {
        return Ok(gid);
    }
    let mut found = Err(UserError::NoGroup);
    each(Accounts::Group, b"", &mut |line| {
        let is_it = line.name.get() == Some(name);
        if is_it {
            found = line.group().ok_or(UserError::Malformed { file: Accounts::Group.name(), line: line.number });
        }
        is_it
    })?;
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Adds these groups, and returns them and whether there was room.
    fn found(room: &mut [Gid], groups: impl Iterator<Item = u32>) -> (&[Gid], bool) {
        let mut found = Found { room, count: 0 };
        let fits = groups.fold(true, |fits, gid| fits & found.add(Gid(gid)));
        let count = found.count;
        (&room[..count], fits)
    }

    /// Up to as many as a process can have, in any order, and one of them twice.
    #[test]
    fn as_many_groups_are_found_as_there_is_room_for() {
        let most = if cfg!(miri) { 256 } else { 65_536 };
        let mut room = vec![Gid::ROOT; most as usize];
        let all: Vec<_> = (0..most).map(Gid).collect();
        assert_eq!(found(&mut room, 0..most), (&*all, true));
        assert_eq!(found(&mut room, (0..most).rev()), (&*all, true));
        assert_eq!(found(&mut room, (0..most).chain(0..most)), (&*all, true));
        assert_eq!(found(&mut room, (0..most).flat_map(|gid| [gid, gid])), (&*all, true));
        assert_eq!(found(&mut room, (0..most).map(|n| n.wrapping_mul(40_503) % most)), (&*all, true));
        assert!(!found(&mut room, 0..=most).1);
        assert_eq!(found(&mut [], 1..2), (&[][..], false));
    }

    #[test]
    fn groups_are_sorted_and_each_is_there_once() {
        for length in 0_usize..if cfg!(miri) { 5 } else { 7 } {
            for order in 0..4_u32.pow(length.try_into().unwrap()) {
                let groups: Vec<_> = (0..length).map(|nth| order / 4_u32.pow(nth.try_into().unwrap()) % 4).collect();
                let mut expected: Vec<_> = groups.iter().copied().map(Gid).collect();
                expected.sort_unstable();
                let mut sorted: Vec<_> = groups.iter().copied().map(Gid).collect();
                sort(&mut sorted);
                assert_eq!(sorted, expected);
                expected.dedup();
                let fits = expected.len() <= 3;
                let mut room = [Gid::ROOT; 3];
                let (groups, fit) = found(&mut room, groups.into_iter());
                assert!(fit == fits && (!fits || groups == expected), "{groups:?} {expected:?}");
            }
        }
    }
}
