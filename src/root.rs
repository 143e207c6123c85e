//! The kinds of root directory.

use core::fmt;

/// The kind of root directory that a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Root {
    /// A directory that was made, opened and removed.
    Unlinked,
    /// A read-only tmpfs that is mounted nowhere (Linux).
    Detached,
    /// The empty root of the kernel itself, in which every path fails with `EOPNOTSUPP` (Linux
    /// 7.3).
    Failfs,
    /// A directory that the caller names.
    Directory,
    /// The root that the process had before: no jail.
    Unjailed,
}

impl Root {
    /// Returns the name: `unlinked`, `detached`, `failfs`, `directory`, `unjailed`.
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

    /// Returns whether this kind is made for the jail, and therefore empty. Only such kinds can be
    /// in a list.
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
