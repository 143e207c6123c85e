//! The protections of a seal, by name (Linux).

use core::fmt;

use rustix::io::Errno;

use crate::text::Named;

/// A protection of a seal, if the kernel and the privilege allow it (Linux).
///
/// The names are those of the launcher's option `--require`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// `bounding-set`: no program that is executed gains a capability that is not kept. Requires
    /// `CAP_SETPCAP`, or in a user namespace `Jail::empty_bounding_set`.
    BoundingSet,
    /// `securebits`: uid 0 is an ordinary user, for good. Requires the same.
    Securebits,
    /// `landlock`: no access to file systems; from ABI 6 on no signals and abstract sockets to
    /// processes outside. Requires Linux 5.13.
    Landlock,
    /// `seccomp`: no system call that leads out in other ways. Requires Linux 4.14.
    Seccomp,
    /// `keyring`: the keys of whoever started the process are out of reach.
    Keyring,
}

impl Protection {
    /// All protections.
    pub const ALL: [Protection; 5] = [
        Protection::BoundingSet,
        Protection::Securebits,
        Protection::Landlock,
        Protection::Seccomp,
        Protection::Keyring,
    ];

    // The last one has the highest number.
    const COMPLETE: () = assert!(Protection::ALL.len() == Protection::Keyring as usize + 1);

    /// Returns the protection of this name.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Protection> {
        let () = Protection::COMPLETE;
        Protection::ALL.into_iter().find(|protection| protection.name().as_bytes() == name)
    }

    /// Returns the name, for example `seccomp`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Protection::BoundingSet => "bounding-set",
            Protection::Securebits => "securebits",
            Protection::Landlock => "landlock",
            Protection::Seccomp => "seccomp",
            Protection::Keyring => "keyring",
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The session keyring that a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SessionKeyring {
    /// An empty keyring of its own: the keys of whoever started the process cannot be found, read
    /// or cleared.
    Own,
    /// The keyring of whoever started the process. An entry by privilege keeps it until `run_as` or
    /// `seal`.
    Inherited,
    /// The keyring of whoever started the process, because the kernel refused a new one with this
    /// errno. `ENOSYS`: the kernel has no keys. `EDQUOT`: a user may have 200. `EPERM`: a seccomp
    /// filter refuses it, as Docker's does.
    Refused(i32),
}

impl fmt::Display for SessionKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionKeyring::Own => f.write_str("own"),
            SessionKeyring::Inherited => f.write_str("inherited"),
            SessionKeyring::Refused(errno) => {
                f.write_str("inherited, another one was refused: ")?;
                Named(Errno::from_raw_os_error(*errno)).fmt(f)
            }
        }
    }
}

/// The protections that a seal has put in force. `no_new_privs` always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct InForce {
    pub(crate) bounding_set: bool,
    pub(crate) securebits: bool,
    pub(crate) landlock: Option<i32>,
    pub(crate) seccomp: bool,
    pub(crate) keyring: SessionKeyring,
    /// A protection is missing, and a filter was in force before the seal's own.
    pub(crate) outer_filter: bool,
    /// `CAP_SETPCAP` was held before the seal dropped it.
    pub(crate) may_set_privileges: bool,
    /// No socket can be made or connected.
    pub(crate) no_connect: bool,
    /// Nothing can be executed.
    pub(crate) no_execute: bool,
}

impl InForce {
    pub(crate) const fn nothing(keyring: SessionKeyring) -> InForce {
        InForce {
            bounding_set: false,
            securebits: false,
            landlock: None,
            seccomp: false,
            keyring,
            outer_filter: false,
            may_set_privileges: false,
            no_connect: false,
            no_execute: false,
        }
    }

    pub(crate) const fn has(&self, protection: Protection) -> bool {
        match protection {
            Protection::BoundingSet => self.bounding_set,
            Protection::Securebits => self.securebits,
            Protection::Landlock => self.landlock.is_some(),
            Protection::Seccomp => self.seccomp,
            Protection::Keyring => matches!(self.keyring, SessionKeyring::Own),
        }
    }
}
