//! The detached root: a tmpfs that is mounted nowhere (Linux).

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
};

use crate::error::Fault;
use crate::text::{c_str, digits};

/// Mounts a tmpfs nowhere. Only its descriptor leads to it, and later the root directory.
pub(crate) fn mount() -> Result<OwnedFd, Fault> {
    let tmpfs = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&tmpfs)?;
    Ok(fsmount(
        &tmpfs,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NOEXEC
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_RDONLY,
    )?)
}

/// Mounts a tmpfs nowhere that can be filled with this many bytes. Returns the descriptor that
/// makes it read-only, and the descriptor of its root.
pub(crate) fn mount_to_fill(bytes: u32, devices: bool, executables: bool) -> Result<(OwnedFd, OwnedFd), Fault> {
    let tmpfs = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&tmpfs, c"size", c_str(digits(bytes).trim_ascii_start(), &mut [0; 12])?)?;
    // Keeps secrets from being swapped to disk. Requires Linux 6.4, and is refused in a user
    // namespace.
    match fsconfig_set_flag(&tmpfs, c"noswap") {
        Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ACCESS | Errno::NOSYS) => {}
        Err(errno) => return Err(errno.into()),
    }
    fsconfig_create(&tmpfs)?;
    let mut restricted = MountAttrFlags::MOUNT_ATTR_NOSUID;
    restricted.set(MountAttrFlags::MOUNT_ATTR_NODEV, !devices);
    restricted.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, !executables);
    let root = fsmount(&tmpfs, FsMountFlags::FSMOUNT_CLOEXEC, restricted)?;
    Ok((tmpfs, root))
}
