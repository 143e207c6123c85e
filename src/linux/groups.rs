//! The supplementary groups of the process, of which there may be 65536 (Linux).
#![allow(unsafe_code, reason = "memory for a list of any length")]

use core::ptr;

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use super::syscall::supplementary_groups;
use super::user::Gid;

/// Calls `see` with the supplementary groups. Up to 64 are on the stack, more in memory mapped for
/// them. In a user namespace the list is not sorted by the ids that are seen there. Not part of the
/// API.
///
/// # Errors
///
/// The errors of `getgroups` and `mmap`.
pub fn with_groups(see: &mut dyn FnMut(&[u32])) -> Result<(), Errno> {
    let mut few = [0; 64];
    match supplementary_groups(&mut few) {
        Err(Errno::INVAL) => {} // there are more
        count => {
            see(few.get(..count?).unwrap_or_default());
            return Ok(());
        }
    }
    let count = supplementary_groups(&mut [])?;
    let length = count * size_of::<u32>();
    // SAFETY: a new mapping, which nothing else uses, aligned for any type and full of zeros.
    let (memory, list) = unsafe {
        let memory = mmap_anonymous(ptr::null_mut(), length, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)?;
        (memory, core::slice::from_raw_parts_mut(memory.cast::<u32>(), count))
    };
    let seen = supplementary_groups(list).map(|count| see(list.get(..count).unwrap_or_default()));
    // SAFETY: the mapping made above. No reference to it is used any more.
    unsafe { munmap(memory, length)? };
    seen
}

/// Returns whether the process has these supplementary groups and no others, in any order.
pub(super) fn groups_are(wanted: &[Gid]) -> Result<bool, Errno> {
    let mut are_the_same = false;
    with_groups(&mut |list| {
        are_the_same = list.len() == wanted.len()
            && wanted.iter().all(|gid| list.contains(&gid.as_raw()))
            && list.iter().all(|gid| wanted.contains(&Gid::from_raw(*gid)));
    })?;
    Ok(are_the_same)
}
