//! `unshare(2)`, with the arguments that this crate uses (Linux).

use rustix::io::Errno;
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// What this crate unshares. None of it takes a descriptor away from a thread that uses it.
#[derive(Clone, Copy)]
pub(crate) enum Share {
    /// Nothing, which the kernel itself never refuses.
    Nothing,
    /// The memory: fails if anything shares it.
    Memory,
    RootAndDescriptors,
    UserNamespace,
    MountNamespace,
    UserAndMountNamespace,
    /// The mount namespace is empty, and not a copy of all mounts (Linux 7.1).
    UserAndEmptyMountNamespace,
}

/// Calls `unshare(2)`, which rustix has as an unsafe function only.
#[allow(unsafe_code, reason = "rustix has no safe one")]
pub(crate) fn unshare(share: Share) -> Result<(), Errno> {
    const CLONE_VM: u32 = 0x100; // linux/sched.h; rustix has no name for it
    const EMPTY_MNTNS: u32 = 0x0010_0000; // linux/sched.h, UNSHARE_EMPTY_MNTNS
    let flags = match share {
        Share::Nothing => UnshareFlags::empty(),
        Share::Memory => UnshareFlags::from_bits_retain(CLONE_VM),
        Share::RootAndDescriptors => UnshareFlags::FS | UnshareFlags::FILES,
        Share::MountNamespace => UnshareFlags::NEWNS,
        Share::UserNamespace => UnshareFlags::NEWUSER,
        Share::UserAndEmptyMountNamespace => UnshareFlags::NEWUSER | UnshareFlags::from_bits_retain(EMPTY_MNTNS),
        Share::UserAndMountNamespace => UnshareFlags::NEWUSER | UnshareFlags::NEWNS,
    };
    // SAFETY: what is unsafe is CLONE_FILES, by which a descriptor that one thread opens could be
    // unknown to another one. It is given only once the state machine has ruled out other threads.
    unsafe { unshare_unsafe(flags) }
}
