//! What only Linux lets a caller choose of a jail.

#[cfg(feature = "files")]
use super::files::COPIER;
#[cfg(feature = "files")]
use crate::files::{Files, NamedFile};
use crate::jail::Jail;
use crate::jail::Roots;
#[cfg(feature = "userns")]
use crate::jail::{IdMap, UserNamespace};
use crate::root::Root;

/// Linux only.
impl Jail<'_> {
    /// A read-only tmpfs that is mounted nowhere: empty, without a name at any instant, `EROFS` for whatever would be made
    /// in it. Needs no parent. In a user namespace it takes a mount namespace too. Before Linux 7.1 that is a copy, whose cost grows with
    /// the number of mounts.
    ///
    /// # Source
    ///
    /// [`fsopen(2)`](https://man7.org/linux/man-pages/man2/fsopen.2.html),
    /// [`fsmount(2)`](https://man7.org/linux/man-pages/man2/fsmount.2.html)
    #[cfg(feature = "detached")]
    pub const fn detached() -> Self {
        Jail::of(Roots::one(Root::Detached))
    }

    /// The empty root of the kernel itself (Linux 7.3): every path fails with `EOPNOTSUPP`, also "/", "." and "..".
    ///
    /// Needs neither a parent nor a user namespace. Without `CAP_SYS_CHROOT` it sets `no_new_privs`, which cannot be undone: if the entry
    /// then fails, the error says that it is set. A resolver that looks for `/etc/resolv.conf` may fail at once, as musl's does: it
    /// takes only `ENOENT`, `ENOTDIR` and `EACCES` for "there is none".
    ///
    /// # Source
    ///
    /// `fchroot` and `FD_FAILFS_ROOT` of Linux 7.3, `include/uapi/linux/fcntl.h`
    pub const fn failfs() -> Self {
        Jail::of(Roots::one(Root::Failfs))
    }

    /// Whether to enter through a new user namespace. [`UserNamespace::Auto`] unless said.
    #[cfg(feature = "userns")]
    pub const fn user_namespace(mut self, user_namespace: UserNamespace) -> Self {
        self.plan.user_namespace = user_namespace;
        self
    }

    /// Which ids the process has in a new user namespace. [`IdMap::Identity`] unless said.
    #[cfg(feature = "userns")]
    pub const fn id_map(mut self, id_map: IdMap) -> Self {
        self.plan.id_map = id_map;
        self
    }

    /// Lets a process that is not dumpable open its id maps, which belong to root otherwise: for that moment it is dumpable, and other
    /// processes of its user can open its memory in `/proc` and trace it, for as long as they like. For a process that holds no secret.
    ///
    /// A process is not dumpable after a `setuid`, with file capabilities, and if its program cannot be read. Without this,
    /// [`enter`](Jail::enter) refuses such a process at [`Step::Proc`](crate::Step::Proc), before anything has changed; it can enter
    /// before the `setuid`, or go without id maps.
    #[cfg(feature = "userns")]
    pub const fn allow_dumpable(mut self) -> Self {
        self.plan.dumpable = true;
        self
    }

    /// In a user namespace, empty the bounding set and lock the securebits, for [`Jailed::seal`](crate::Jailed::seal) to find them so.
    ///
    /// That takes a capability of the user namespace, which is gone when [`enter`](Jail::enter) returns. Nothing that
    /// is known depends on it: without a capability held and with `no_new_privs`, which `enter` sets in a user namespace, no
    /// `execve` gives one. It costs a system call for each capability that the kernel knows (41 on Linux 6.18) and three more, half
    /// as much time as all the rest.
    #[cfg(feature = "userns")]
    pub const fn empty_bounding_set(mut self) -> Self {
        self.plan.bounding_set = true;
        self
    }
}

/// Linux only.
#[cfg(feature = "files")]
impl<'a> Jail<'a> {
    /// Puts these files, and nothing else, into a [`detached`](Jail::detached) root: for a program that needs a few, such as
    /// `/etc/resolv.conf`. Of a list with a detached root, as [`auto`](Jail::auto) is, that root alone remains.
    ///
    /// The sources are opened first, with the rights that the process has then, and copied from the descriptors: changes made later
    /// are not seen inside. Files that were given before are replaced. The files are 0444 in directories that are 0555, whatever the sources were, and the file system is made
    /// read-only before it is entered. A [`Seal`](crate::Seal) lets them be read and listed; devices can be written to.
    ///
    /// At most 32 files of at most 16 MiB. A path is absolute, of at most 255 bytes, without empty names, "." and "..".
    ///
    /// # Cost
    ///
    /// Ten system calls; eleven for each file of up to 8 KiB, and three for each directory. They are listed on the [crate page](crate).
    ///
    /// # Errors
    ///
    /// [`enter`](Jail::enter) then also fails with:
    ///
    /// - [`Step::Options`](crate::Step::Options): the root is not detached.
    /// - [`Step::Files`](crate::Step::Files): a path is invalid, or a source cannot be opened, is neither a file nor one of the devices,
    ///   or too large. [`Error::file`](crate::Error::file) tells which. Nothing has changed.
    /// - [`Step::Proc`](crate::Step::Proc): without [`IdMap::Identity`] no file can be made in a user namespace.
    /// - [`Step::Fill`](crate::Step::Fill): a file cannot be copied, or has changed meanwhile. In a user namespace
    ///   [`Error::is_partial`](crate::Error::is_partial) is true.
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
        jail.plan.files = !files.is_empty();
        jail.files = None;
        if jail.plan.files {
            if jail.plan.roots.has(Root::Detached) {
                jail.plan.roots = Roots::one(Root::Detached);
            }
            jail.files = Some(Files { named: files, copier: &COPIER });
        }
        jail
    }
}
