//! The detached root: a tmpfs that is mounted nowhere (Linux).

use rustix::fd::OwnedFd;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen};

use crate::error::Fault;
use crate::text::{c_str, digits};

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

/// The same, to be filled with so many bytes: it can be written to until the first descriptor that
/// is returned makes it read-only. The second is of its root.
pub(super) fn mount_to_fill(bytes: u32, devices: bool) -> Result<(OwnedFd, OwnedFd), Fault> {
    let tmpfs = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&tmpfs, c"size", c_str(digits(bytes).trim_ascii_start(), &mut [0; 12])?)?;
    fsconfig_create(&tmpfs)?;
    let devices = if devices { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_NODEV };
    let root = fsmount(&tmpfs, FsMountFlags::FSMOUNT_CLOEXEC, RESTRICTED | devices)?;
    Ok((tmpfs, root))
}
