//! The directory that is the root, and the checks that it is what it should be.

use core::ffi::CStr;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, mkdirat, openat, statat, unlinkat};

use crate::error::Fault;
use crate::features::FAILFS;
use crate::files::Contents;
use crate::os;
use crate::root::Root;

/// Everyone may read and search: after a later `setuid`, a lookup in the root fails with `ENOENT`
/// and not with `EACCES`.
pub(super) const MODE: Mode = Mode::from_raw_mode(0o555);

/// Identifies the root: its kind, and the numbers that no other directory has while it is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RootId {
    pub(crate) root: Root,
    device: u64,
    inode: u64,
    /// The files that it was given, if it is not empty.
    pub(crate) contents: Option<Contents>,
}

impl RootId {
    /// The root of a process without a jail.
    pub(super) const ANYWHERE: RootId = RootId { root: Root::Unjailed, device: 0, inode: 0, contents: None };

    /// The root of failfs, of which there is only one.
    pub(super) const FAILFS: RootId = RootId { root: Root::Failfs, device: 0, inode: 0, contents: None };

    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "the types differ from system to system")]
    pub(super) const fn of(root: Root, stat: &Stat) -> RootId {
        RootId { root, device: stat.st_dev as u64, inode: stat.st_ino as u64, contents: None }
    }

    /// Returns the same root with these contents.
    pub(super) const fn with(self, contents: Option<Contents>) -> RootId {
        RootId { contents, ..self }
    }

    /// Returns whether a directory of the root can be written.
    pub(super) const fn is_writable(self) -> bool {
        matches!(self.contents, Some(Contents { writable: true, .. }))
    }

    /// Checks that `path` is this root, and that an unlinked root has no name.
    pub(super) fn is_at(self, path: &CStr) -> Result<Stat, Fault> {
        let stat = statat(CWD, path, AtFlags::empty())?;
        let unnamed = match self.root {
            Root::Unlinked => os::has_no_links(&stat),
            Root::Detached | Root::Directory | Root::Failfs | Root::Unjailed => true,
        };
        if RootId::of(self.root, &stat).with(self.contents) == self && unnamed {
            Ok(stat)
        } else {
            Err(Fault::NotTheRoot)
        }
    }

    /// Makes the checks of [`Jailed::verify`](crate::Jailed::verify), which change nothing in a
    /// directory of the caller.
    pub(crate) fn verify(self) -> Result<RootMutability, Fault> {
        let untouched = RootMutability { nameless_files: true, mode: true };
        let read_only = match self.root {
            Root::Unjailed => return Ok(untouched),
            Root::Directory => {
                self.is_at(c"/")?;
                // A user that may not search the directory reaches nothing beneath it.
                return match self.is_at(c"/..") {
                    Ok(_) | Err(Fault::ACCESS) => Ok(untouched),
                    Err(fault) => Err(fault),
                };
            }
            Root::Failfs if FAILFS => {
                os::verify_failfs()?;
                return Ok(RootMutability { nameless_files: false, mode: false });
            }
            Root::Unlinked | Root::Failfs => false,
            Root::Detached => true,
        };
        let root = self.is_at(c"/")?;
        self.is_at(c"/..")?;
        self.is_at(c".")?;
        if self.is_writable() {
            return Ok(untouched);
        }
        let name = c"/autochroot";
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        if mkdirat(CWD, name, MODE).is_ok() {
            let _ = unlinkat(CWD, name, AtFlags::REMOVEDIR);
            return Err(Fault::StillLinked);
        }
        if openat(CWD, name, flags, Mode::RUSR).is_ok() {
            let _ = unlinkat(CWD, name, AtFlags::empty());
            return Err(Fault::StillLinked);
        }
        match self.contents {
            Some(contents) => os::check_inodes(contents.inodes)?,
            None => os::check_root_is_empty()?,
        }
        let nameless_files = os::takes_nameless_files();
        if read_only && nameless_files {
            return Err(Fault::StillLinked);
        }
        Ok(RootMutability {
            nameless_files,
            // Trying it would change the times of the root.
            mode: !read_only && os::may_change_mode(&root),
        })
    }
}

/// The changes to the root that are still possible, from [`Jailed::verify`](crate::Jailed::verify).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RootMutability {
    nameless_files: bool,
    mode: bool,
}

impl RootMutability {
    /// Returns whether nameless files can be created in the root, by `open(2)` with `O_TMPFILE`.
    /// They take memory or disk space until they are closed. On a tmpfs, a process that keeps
    /// root's capabilities can create them. An ordinary user can after a `chmod`.
    ///
    /// Always true, without a check, in these cases: the caller named the directory, a directory of
    /// the root is writable, or there is no jail.
    #[must_use]
    pub const fn takes_nameless_files(&self) -> bool {
        self.nameless_files
    }

    /// Returns whether the mode, times and extended attributes of the root can be changed, for
    /// example by its owner. Always true, without a check, in the cases of
    /// [`takes_nameless_files`](RootMutability::takes_nameless_files).
    #[must_use]
    pub const fn mode_can_change(&self) -> bool {
        self.mode
    }
}
