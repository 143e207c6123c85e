//! The kinds of root directory.

use core::fmt;

/// What kind of root directory a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Root {
    /// A directory that was made, opened and removed.
    Unlinked,
    /// A read-only tmpfs that is mounted nowhere (Linux).
    Detached,
    /// The empty root of the kernel itself, in which every path fails with `EOPNOTSUPP` (Linux 7.3).
    Failfs,
    /// A directory of the caller's.
    Directory,
    /// The one that it had: no jail was wanted.
    Unjailed,
}

impl Root {
    /// Returns its name: `unlinked`, `detached`, `failfs`, `directory`, `unjailed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Root::Unlinked => "unlinked",
            Root::Detached => "detached",
            Root::Failfs => "failfs",
            Root::Directory => "directory",
            Root::Unjailed => "unjailed",
        }
    }

    /// Whether it is there for the jail alone, so that it is empty and takes nothing. Such kinds can be in a list.
    #[doc(hidden)]
    #[must_use]
    pub const fn is_made(self) -> bool {
        match self {
            Root::Unlinked | Root::Detached | Root::Failfs => true,
            Root::Directory | Root::Unjailed => false,
        }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
