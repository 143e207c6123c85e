//! The Cargo features of this build, and the systems that have them.

/// The system is Linux or Android, which the constants below require.
pub(crate) const LINUX: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// A detached root.
pub(crate) const DETACHED: bool = LINUX && cfg!(feature = "detached");

/// Files in a detached root.
pub(crate) const FILES: bool = DETACHED && cfg!(feature = "files");

/// The kernel's own empty root.
pub(crate) const FAILFS: bool = LINUX && cfg!(feature = "failfs");

/// The cause of an error, and the remedy.
pub(crate) const HINTS: bool = LINUX && cfg!(feature = "hints");

/// Entry without privilege, in a user namespace.
pub(crate) const USERNS: bool = LINUX && cfg!(feature = "userns");

/// A process that has set `no_new_privs` may chroot, if the administrator allows it.
pub(crate) const CHROOT_AFTER_NO_NEW_PRIVS: bool = cfg!(target_os = "freebsd");
