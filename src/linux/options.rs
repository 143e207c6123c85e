//! The options of a jail that only Linux has.

#[cfg(feature = "files")]
use crate::files::{Files, NamedFile, Writable};
use crate::jail::Jail;
#[cfg(feature = "userns")]
use crate::jail::{IdMap, UserNamespace};
#[cfg(feature = "files")]
use crate::linux::roots::files::COPIER;
#[cfg(any(feature = "detached", feature = "failfs"))]
use crate::root::{Root, Roots};

/// Linux only.
impl Jail<'_> {
    /// Describes a read-only tmpfs that is mounted nowhere. It is empty and never has a name, and
    /// creating files fails with `EROFS`.
    ///
    /// It needs no parent. In a user namespace it needs a mount namespace too. Before Linux 7.1
    /// that is a copy, whose cost grows with the number of mounts.
    ///
    /// # Source
    ///
    /// [`fsopen(2)`](https://man7.org/linux/man-pages/man2/fsopen.2.html),
    /// [`fsmount(2)`](https://man7.org/linux/man-pages/man2/fsmount.2.html)
    #[cfg(feature = "detached")]
    pub const fn detached() -> Self {
        Jail::of(Roots::one(Root::Detached))
    }

    /// Describes the empty root of the kernel itself (Linux 7.3): every path fails with
    /// `EOPNOTSUPP`, also "/", "." and "..".
    ///
    /// It needs neither a parent nor a user namespace. Without `CAP_SYS_CHROOT` it sets
    /// `no_new_privs`, which cannot be undone: if the entry fails later, the error names it. musl's
    /// resolver fails at once in this root, because it only takes `ENOENT`, `ENOTDIR` and
    /// `EACCES` for "there is no /etc/resolv.conf".
    ///
    /// # Source
    ///
    /// `fchroot` and `FD_FAILFS_ROOT` of Linux 7.3, `include/uapi/linux/fcntl.h`
    #[cfg(feature = "failfs")]
    pub const fn failfs() -> Self {
        Jail::of(Roots::one(Root::Failfs))
    }

    /// Sets when to enter through a new user namespace. The default is [`UserNamespace::Auto`].
    #[cfg(feature = "userns")]
    pub const fn user_namespace(mut self, user_namespace: UserNamespace) -> Self {
        self.plan.user_namespace = user_namespace;
        self
    }

    /// Sets the ids that the process has in a new user namespace. The default is
    /// [`IdMap::Identity`].
    #[cfg(feature = "userns")]
    pub const fn id_map(mut self, id_map: IdMap) -> Self {
        self.plan.id_map = id_map;
        self
    }

    /// Makes the process dumpable while it opens its id maps. The id maps of a process that is not
    /// dumpable belong to root.
    ///
    /// In that moment other processes of its user can open its memory in `/proc` and start to trace
    /// it. Use it in a process that holds no secret.
    ///
    /// A process is not dumpable after a `setuid`, with file capabilities, and if its program
    /// cannot be read. Without this option [`enter`](Jail::enter) refuses such a process at
    /// [`Step::Proc`](crate::Step::Proc), before anything has changed. Alternatives: enter
    /// before the `setuid`, or use [`IdMap::None`].
    #[cfg(feature = "userns")]
    pub const fn allow_dumpable(mut self) -> Self {
        self.plan.dumpable = true;
        self
    }

    /// Empties the bounding set and locks the securebits in a user namespace, so that a
    /// [seal](crate::Jailed::seal) reports them.
    ///
    /// This requires a capability of the user namespace, which is dropped before
    /// [`enter`](Jail::enter) returns. No known attack depends on it: the process holds no
    /// capability, and with `no_new_privs`, which `enter` sets in a user namespace, no `execve`
    /// gives one.
    ///
    /// # Cost
    ///
    /// Three system calls, and one for each capability that the kernel knows (41 on Linux 6.18):
    /// half of the time of the entry.
    #[cfg(feature = "userns")]
    pub const fn empty_bounding_set(mut self) -> Self {
        self.plan.bounding_set = true;
        self
    }
}

/// Linux only.
#[cfg(feature = "files")]
impl<'a> Jail<'a> {
    /// Puts copies of these files, and nothing else, into a [`detached`](Jail::detached) root.
    /// Example: `/etc/resolv.conf`.
    ///
    /// - A list with a detached root, such as [`auto`](Jail::auto), loses all other roots.
    /// - The sources are opened first, with the rights that the process has then. Later changes to
    ///   them are not seen inside.
    /// - Every user can read the copies: files have the mode 0444, executable ones 0555,
    ///   directories 0555. The root is read-only, except with [`writable`](Jail::writable).
    /// - A copy is executable if its source has an execute bit. A dynamically linked program runs
    ///   if its loader and libraries are among the files. The bit counts for `execve` alone: a
    ///   loader maps every file that it can read.
    /// - A process outside that may trace this one, for example a process of the same user, can
    ///   read the copies through `/proc/PID/root`, even if only root can read the source. Run each
    ///   service as a user of its own to keep others out.
    /// - The copies are not swapped to a disk, if the kernel can do that (Linux 6.4) and the
    ///   process does not enter through a user namespace.
    /// - A source that changes while it is copied is an error, as far as its size and times show: a
    ///   file that is written through `mmap` may be copied in a mixture.
    /// - In a [seal](crate::Seal) the files can be read and listed. Devices can also be written to.
    /// - At most 128 files of at most 64 MiB each, and 1 GiB together. The same source to the same
    ///   path twice is one file. A path is absolute, has at most 255 bytes, and no empty name, "."
    ///   or "..".
    /// - Files of an earlier call are replaced.
    ///
    /// # Cost
    ///
    /// Fourteen system calls, eleven for each file of up to 8 KiB, and seven for each directory.
    /// The module `audit` lists them.
    ///
    /// # Errors
    ///
    /// [`enter`](Jail::enter) then also fails with:
    ///
    /// - [`Step::Options`](crate::Step::Options): the root is not detached.
    /// - [`Step::Files`](crate::Step::Files): a path is invalid, or a source cannot be opened, is
    ///   neither a file nor one of the devices, or too large. [`Error::file`](crate::Error::file)
    ///   returns which. Nothing has changed.
    /// - [`Step::Proc`](crate::Step::Proc): without [`IdMap::Identity`] no file can be made in a
    ///   user namespace.
    /// - [`Step::Fill`](crate::Step::Fill): a file cannot be copied, or it changed meanwhile. In a
    ///   user namespace [`Error::is_partial`](crate::Error::is_partial) is true.
    ///
    /// # Source
    ///
    /// [`fsconfig(2)`](https://man7.org/linux/man-pages/man2/fsconfig.2.html),
    /// [`tmpfs(5)`](https://man7.org/linux/man-pages/man5/tmpfs.5.html)
    pub const fn files<'b>(self, files: &'b [NamedFile<'b>]) -> Jail<'b>
    where
        'a: 'b,
    {
        let mut jail: Jail<'b> = self;
        let writable = match jail.files {
            Some(Files { writable, .. }) => writable,
            None => None,
        };
        jail.files = Some(Files { named: files, writable, copier: &COPIER });
        jail.with_files()
    }

    /// Gives a [`detached`](Jail::detached) root the directory `/tmp`, which everyone can write to.
    /// `bytes` are free after the files. There is one such directory: a later call replaces it.
    ///
    /// - A list with a detached root, such as [`auto`](Jail::auto), loses all other roots.
    /// - The directory is a part of the tmpfs that is the root: it counts for the memory of the
    ///   process' control group, and is gone with the last process and descriptor that holds it.
    /// - There is room for a file for each 4 KiB. Set-id programs give nothing there, and devices
    ///   cannot be used unless [`files`](Jail::files) has some.
    /// - In a [seal](crate::Seal) with Landlock, `execve` refuses everything beneath the directory,
    ///   no device can be made there, and the content of all other files stays as it is. A loader
    ///   among the files can still map what is in the directory.
    /// - A process that owns the files can change their modes, times and attributes. It owns them
    ///   unless [`enter_as`](Jail::enter_as) changes the user.
    /// - Without Landlock only the modes protect the other files: a process that owns an executable
    ///   file could replace it.
    /// - Before Linux 6.2 (version 3 of Landlock) the filter refuses `truncate` by path.
    /// - With version 1 of Landlock (before Linux 5.19), renaming from one directory to another
    ///   fails with `EXDEV`.
    ///
    /// # Errors
    ///
    /// [`enter`](Jail::enter) fails at [`Step::Files`](crate::Step::Files) if the size is 0 or more
    /// than 1 TiB, and as with [`files`](Jail::files).
    pub const fn writable(self, bytes: u64) -> Self {
        self.with_writable(bytes, None)
    }

    /// Works like [`writable`](Jail::writable), with the directory `path` instead of `/tmp`. Only
    /// the user that the process is after [`enter`](Jail::enter) or [`enter_as`](Jail::enter_as)
    /// can use the directory. If `enter_as` changes the user after the entry, that requires
    /// `CAP_CHOWN`.
    pub const fn writable_at(self, bytes: u64, path: &'a [u8]) -> Self {
        self.with_writable(bytes, Some(path))
    }

    const fn with_writable(mut self, bytes: u64, path: Option<&'a [u8]>) -> Self {
        let named: &'a [NamedFile<'a>] = match self.files {
            Some(Files { named, .. }) => named,
            None => &[],
        };
        self.files = Some(Files { named, writable: Some(Writable { bytes, path, owner: None }), copier: &COPIER });
        self.with_files()
    }

    /// Chooses the root that can hold what was asked for.
    const fn with_files(mut self) -> Self {
        self.plan.files = match self.files {
            Some(Files { named, writable, .. }) => !named.is_empty() || writable.is_some(),
            None => false,
        };
        if !self.plan.files {
            self.files = None;
        } else if self.plan.roots.has(Root::Detached) {
            self.plan.roots = Roots::one(Root::Detached);
        }
        self
    }
}
