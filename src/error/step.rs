//! The steps that an error names.

/// Defines the steps with their texts, which follow "cannot".
macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// The step of an entry that was refused.
        ///
        /// The module `audit` (Linux) has the system calls of each step.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Step { $($(#[$doc])* $name),* }

        impl Step {
            pub(super) fn action(self) -> &'static str {
                const TEXTS: &str = concat!($($text, "\0"),*);
                TEXTS.split('\0').nth(self as usize).unwrap_or_default()
            }
        }
    };
}

steps! {
    /// Checks that the options go with the root. This comes first, and costs no system call.
    Options => "use these options",
    /// Linux: checks that there is no other thread, [`unshare(2)`](https://man7.org/linux/man-pages/man2/unshare.2.html).
    Threads => "rule out other threads",
    /// Linux: stops sharing the root, the working directory and the descriptors with another
    /// process, [`unshare(2)`](https://man7.org/linux/man-pages/man2/unshare.2.html).
    Unshare => "unshare the root and the descriptors",
    /// Checks that no descriptor is open on a directory or an `io_uring`.
    Descriptors => "accept the open descriptors",
    /// Opens the working directory, to come back to it after a refusal.
    WorkingDirectory => "save the working directory",
    /// Opens and checks the directory in which the root is made.
    Parent => "use the parent directory",
    /// Makes the directory, [`mkdirat(2)`](https://man7.org/linux/man-pages/man2/mkdirat.2.html).
    Mkdir => "create a directory in the parent directory",
    /// Opens the directory, and checks that it is the one that was made.
    OpenRoot => "open the new directory",
    /// Removes the name of the directory, [`unlinkat(2)`](https://man7.org/linux/man-pages/man2/unlinkat.2.html).
    Unlink => "remove the new directory's name",
    /// Checks that the directory has no name, and that nothing can be created in it.
    VerifyUnlinked => "see the new directory unlinked",
    /// Linux: mounts a tmpfs nowhere, [`fsopen(2)`](https://man7.org/linux/man-pages/man2/fsopen.2.html).
    Mount => "mount a detached tmpfs",
    /// Linux: creates a mount namespace, because `CAP_SYS_ADMIN` does not count in the current one,
    /// [`mount_namespaces(7)`](https://man7.org/linux/man-pages/man7/mount_namespaces.7.html).
    NewMountNamespace => "create a mount namespace",
    /// Opens and checks the files for the root.
    Files => "open the files for the root",
    /// Copies the files into the root, and makes it read-only, except a directory that can be written.
    Fill => "fill the root",
    /// Linux: checks that the kernel has failfs, by an `fchroot` that changes nothing.
    Failfs => "use failfs",
    /// Opens and checks the directory that becomes the root.
    Directory => "use the directory",
    /// Changes into the directory, [`fchdir(2)`](https://man7.org/linux/man-pages/man2/fchdir.2.html).
    Fchdir => "change into the directory",
    /// Makes the directory the root, [`chroot(2)`](https://man7.org/linux/man-pages/man2/chroot.2.html); for failfs, `fchroot`.
    Chroot => "chroot",
    /// Linux: opens `/proc/self`, for the id maps.
    Proc => "open /proc/self",
    /// Linux: creates a user namespace, [`user_namespaces(7)`](https://man7.org/linux/man-pages/man7/user_namespaces.7.html).
    NewUserNamespace => "create a user namespace",
    /// Linux: opens `uid_map`, `setgroups` and `gid_map`.
    OpenMaps => "open the id maps",
    /// Linux: writes `/proc/self/uid_map`.
    MapUid => "write uid_map",
    /// Linux: writes "deny" to `/proc/self/setgroups`.
    DenySetgroups => "write \"deny\" to setgroups",
    /// Linux: writes `/proc/self/gid_map`.
    MapGid => "write gid_map",
    /// Changes the working directory to the new "/".
    ChdirRoot => "change directory to the new root",
    /// Linux: drops the capabilities that the user namespace gave,
    /// [`capabilities(7)`](https://man7.org/linux/man-pages/man7/capabilities.7.html).
    DropNamespaceCapabilities => "drop the user namespace's capabilities",
    /// Linux: replaces the session keyring by an empty one, [`keyrings(7)`](https://man7.org/linux/man-pages/man7/keyrings.7.html).
    Keyring => "replace the session keyring",
    /// Checks the result: "/" is the directory that was made, nothing can be created in it, and ids
    /// and capabilities are as asked for.
    Verify => "verify the jail",
    /// Forks a process that tries to enter, for [`Jail::check`](crate::Jail::check).
    Fork => "try it in a process of its own",
    /// Linux: checks that the process can become the user.
    CheckIds => "become that user",
    /// Linux: [`setgroups(2)`](https://man7.org/linux/man-pages/man2/setgroups.2.html).
    SetGroups => "set the supplementary groups",
    /// Linux: [`setresgid(2)`](https://man7.org/linux/man-pages/man2/setresgid.2.html).
    SetGid => "set the group id",
    /// Linux: keeps the capabilities while the user id is set,
    /// [`PR_SET_KEEPCAPS(2const)`](https://man7.org/linux/man-pages/man2/PR_SET_KEEPCAPS.2const.html).
    HoldCapabilities => "hold the capabilities while the user id is set",
    /// Linux: [`setresuid(2)`](https://man7.org/linux/man-pages/man2/setresuid.2.html).
    SetUid => "set the user id",
    /// Linux: makes the ruleset, [`landlock(7)`](https://man7.org/linux/man-pages/man7/landlock.7.html).
    Ruleset => "make a Landlock ruleset",
    /// Linux: checks that the capabilities to keep are held.
    CheckCapabilities => "keep the capabilities",
    /// Linux: [`PR_SET_NO_NEW_PRIVS(2const)`](https://man7.org/linux/man-pages/man2/PR_SET_NO_NEW_PRIVS.2const.html).
    ///
    /// - In an entry, after `chroot`, unless the real, effective and saved user ids are all 0.
    /// - In an entry to failfs without privilege, once `chroot` has failed with `EPERM`.
    /// - In a seal.
    ///
    /// FreeBSD: [`procctl(2)`](https://man.freebsd.org/cgi/man.cgi?procctl(2)), once `chroot` has failed with `EPERM`.
    NoNewPrivs => "set no_new_privs",
    /// Linux: empties the bounding set.
    BoundingSet => "empty the bounding set",
    /// Linux: raises the ambient capabilities, which the next program keeps.
    Ambient => "raise the ambient capabilities",
    /// Linux: sets and locks the securebits.
    Securebits => "lock the securebits",
    /// Linux: drops all capabilities except the kept ones, [`capset(2)`](https://man7.org/linux/man-pages/man2/capset.2.html).
    DropCapabilities => "drop the capabilities",
    /// Linux: enforces the ruleset.
    Restrict => "enforce the Landlock ruleset",
    /// Linux: checks that the required protections can be put in force.
    Require => "put a required protection in force",
    /// Linux: installs the filter, [`seccomp(2)`](https://man7.org/linux/man-pages/man2/seccomp.2.html).
    Filter => "install the seccomp filter",
    /// Linux: sets the parent-death signal again, which a change of ids clears,
    /// [`PR_SET_PDEATHSIG(2const)`](https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html).
    DeathSignal => "set the parent-death signal",
}

/// Defines the actions of a part of the library, each with the step that an error names.
macro_rules! actions {
    ($(#[$doc:meta])* enum $name:ident { $($(#[$of:meta])* $action:ident => $step:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name { $($(#[$of])* $action),* }

        impl From<$name> for Step {
            fn from(action: $name) -> Step {
                match action { $($name::$action => Step::$step),* }
            }
        }

        #[allow(dead_code, reason = "for lists that have to be whole")]
        impl $name {
            /// Returns whether each action is in one of the lists, or in both.
            const fn are_all_in(one: &[$name], other: &[$name]) -> bool {
                true $(&& ($name::$action.is_in(one) || $name::$action.is_in(other)))*
            }

            const fn is_in(self, mut list: &[$name]) -> bool {
                while let [action, rest @ ..] = list {
                    if *action as u8 == self as u8 {
                        return true;
                    }
                    list = rest;
                }
                false
            }
        }
    };
}
pub(crate) use actions;
