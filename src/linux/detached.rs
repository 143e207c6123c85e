//! The detached root: a tmpfs that is mounted nowhere (Linux).

use core::ffi::CStr;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};

use crate::error::Fault;
use crate::text::digits;

/// Mounts a tmpfs nowhere: its descriptor is the only way to it, and the root directory after that.
pub(crate) fn mount() -> Result<OwnedFd, Fault> {
    let tmpfs = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&tmpfs)?;
    Ok(fsmount(
        &tmpfs,
        FsMountFlags::FSMOUNT_CLOEXEC,
        RESTRICTED | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_RDONLY,
    )?)
}

const RESTRICTED: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// What a tmpfs with files is to hold.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) bytes: u32,
    pub(super) inodes: u32,
    pub(super) devices: bool,
}

/// The same, to be filled: it can be written to until the first descriptor that is returned makes it read-only. The second is of its
/// root.
pub(super) fn mount_to_fill(limits: Limits) -> Result<(OwnedFd, OwnedFd), Fault> {
    let tmpfs = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&tmpfs, c"mode", c"700")?;
    for (key, number) in [(c"size", limits.bytes), (c"nr_inodes", limits.inodes)] {
        let mut text = [0; 12];
        text.iter_mut().zip(digits(number).trim_ascii_start()).for_each(|(place, digit)| *place = *digit);
        fsconfig_set_string(&tmpfs, key, CStr::from_bytes_until_nul(&text).map_err(|_| Errno::INVAL)?)?;
    }
    fsconfig_create(&tmpfs)?;
    let devices = if limits.devices { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_NODEV };
    let root = fsmount(&tmpfs, FsMountFlags::FSMOUNT_CLOEXEC, RESTRICTED | devices)?;
    Ok((tmpfs, root))
}
