//! The supplementary groups of the process, of which there may be 65536 (Linux).
#![allow(unsafe_code, reason = "memory for a list of any length")]

use core::ptr;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::linux::syscall::supplementary_groups;
use crate::linux::user::ids::{Gid, sort};

/// Calls `see` with the supplementary groups, sorted. Not part of the API.
///
/// # Errors
///
/// The errors of `getgroups` and `mmap`.
pub fn with_groups(see: &mut dyn FnMut(&[Gid])) -> Result<(), Errno> {
    with_both(&[], &mut |own, _| see(own))
}

/// Calls `see` with the supplementary groups of the process, and with `others`, both sorted.
/// Searching an unsorted list for each entry of the other takes seconds where there are 65536.
pub(crate) fn with_both(others: &[Gid], see: &mut dyn FnMut(&[Gid], &[Gid])) -> Result<(), Errno> {
    match fill(&mut [Gid::ROOT; 128], others, see) {
        Err(Errno::INVAL) => {} // more in both lists together
        filled => return filled,
    }
    let count = supplementary_groups(&mut [])? + others.len();
    let length = count * size_of::<Gid>();
    // SAFETY: a new mapping, which nothing else uses, aligned for any type. Its zeros are valid
    // ids.
    let (memory, room) = unsafe {
        let memory = mmap_anonymous(ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?;
        (memory, core::slice::from_raw_parts_mut(memory.cast::<Gid>(), count))
    };
    let filled = fill(room, others, see);
    // SAFETY: the mapping made above. No reference to it is used any more.
    unsafe { munmap(memory, length)? };
    filled
}

/// Calls `see` with both lists, which it sorts in `room`. Fails with `EINVAL` if they do not fit.
fn fill(room: &mut [Gid], others: &[Gid], see: &mut dyn FnMut(&[Gid], &[Gid])) -> Result<(), Errno> {
    let (copy, own) = room.split_at_mut_checked(others.len()).ok_or(Errno::INVAL)?;
    copy.copy_from_slice(others);
    let count = supplementary_groups(own)?; // for an empty list this is the number, and no error
    let own = own.get_mut(..count).ok_or(Errno::INVAL)?;
    sort(copy);
    sort(own);
    see(own, copy);
    Ok(())
}

/// Returns whether the process has these supplementary groups and no others, in any order.
pub(crate) fn groups_are(wanted: &[Gid]) -> Result<bool, Errno> {
    let mut are_the_same = false;
    with_both(wanted, &mut |own, wanted| are_the_same = own == wanted)?;
    Ok(are_the_same)
}
