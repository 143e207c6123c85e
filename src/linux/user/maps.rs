//! The ids that are mapped in the user namespace that the process is in.

use core::ffi::CStr;

use crate::linux::proc::{number_in, text as read};
use crate::text::number;

/// The kind of ids that a map is for.
#[derive(Clone, Copy)]
pub(crate) enum Of {
    Users,
    Groups,
}

/// Describes whether an id that the process shows is really this id. An id that is not mapped shows
/// as the overflow id, which is a sysctl.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapped {
    Yes,
    /// No line of the map covers the id.
    No,
    /// It may be another id that is not mapped, or `/proc` does not show the map.
    Unknown,
}

/// An id map, as `/proc/self` shows it.
pub(crate) struct Map {
    text: [u8; 1024],
    /// `None` if it cannot be read or is longer.
    length: Option<usize>,
    overflow: Option<u32>,
}

impl Map {
    pub(crate) fn read(of: Of) -> Map {
        let (map, overflow): (_, &CStr) = match of {
            Of::Users => (c"/proc/self/uid_map", c"/proc/sys/kernel/overflowuid"),
            Of::Groups => (c"/proc/self/gid_map", c"/proc/sys/kernel/overflowgid"),
        };
        let mut text = [0; 1024];
        let length = read(map, &mut text).map(<[u8]>::len).filter(|&length| length < text.len());
        let map = Map { text, length, overflow: Some(u32::MAX) };
        if map.length.is_some() && map.is_whole() { map } else { Map { overflow: number_in(overflow), ..map } }
    }

    /// Returns whether all ids are mapped, as in the first user namespace, or the map is not known.
    pub(crate) fn is_whole(&self) -> bool {
        self.length.and_then(|length| self.text.get(..length)).is_none_or(|map| lines(map).eq([(0, u32::MAX)]))
    }

    /// Returns whether an id that the process shows is really this id.
    pub(crate) fn has(&self, id: u32) -> Mapped {
        let Some(map) = self.length.and_then(|length| self.text.get(..length)) else { return Mapped::Unknown };
        if !lines(map).any(|(first, count)| id.checked_sub(first).is_some_and(|nth| nth < count)) {
            Mapped::No
        } else if self.overflow.is_some_and(|overflow| overflow != id) {
            Mapped::Yes
        } else {
            Mapped::Unknown
        }
    }

    /// Returns whether a group that the process shows may be another one. Without `/proc` the
    /// overflow id is taken to be 65534.
    pub(crate) fn hides(&self, gid: u32) -> bool {
        match self.has(gid) {
            Mapped::Yes => false,
            Mapped::No => true,
            Mapped::Unknown => gid == self.overflow.unwrap_or(65534),
        }
    }
}

/// Returns the first id in this user namespace and the number of ids, of each line of a map.
fn lines(map: &[u8]) -> impl Iterator<Item = (u32, u32)> {
    map.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut numbers = line.split(u8::is_ascii_whitespace).filter_map(number);
        Some((numbers.next()?, numbers.nth(1)?))
    })
}

/// Returns whether the user id or the group id is certainly not mapped.
pub(crate) fn is_unmapped(uid: u32, gid: u32) -> bool {
    Map::read(Of::Users).has(uid) == Mapped::No || Map::read(Of::Groups).has(gid) == Mapped::No
}

/// Returns whether the user namespace that the process is in denies `setgroups`.
pub(crate) fn denies_setgroups() -> bool {
    read(c"/proc/self/setgroups", &mut [0; 8]).is_some_and(|text| text.starts_with(b"deny"))
}
