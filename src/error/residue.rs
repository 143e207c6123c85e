//! What a refusal may leave behind.

/// Defines what an entry may leave, each with the text that names it.
macro_rules! residues {
    ($($(#[$doc:meta])* $name:ident => $text:literal,)*) => {
        /// The changes of an entry that are not undone.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[allow(clippy::struct_excessive_bools, reason = "independent facts")]
        pub(crate) struct Residue {
            $($(#[$doc])* pub(crate) $name: bool,)*
        }

        impl Residue {
            pub(crate) const fn any(self) -> bool {
                false $(|| self.$name)*
            }

            pub(super) fn texts(self) -> impl Iterator<Item = &'static str> {
                const TEXTS: &str = concat!($($text, "\0"),*);
                [$(self.$name),*].into_iter().zip(TEXTS.split('\0')).filter_map(|(remains, text)| remains.then_some(text))
            }
        }
    };
}

residues! {
    /// A directory of ours has a name in the parent.
    directory => "the new directory is still there",
    /// A directory of ours that somebody moved or filled could not be removed, and another was made
    /// in its place.
    left => "a directory that somebody moved or filled may be left",
    cwd => "the working directory has changed",
    user_namespace => "the process is in the new user namespace",
    mount_namespace => "the process is in a new mount namespace",
    /// The process is also in an empty mount namespace, with another root and working directory.
    mounts => "and in an empty mount namespace, with another root",
    /// The process holds the capabilities that the user namespace gave.
    capabilities => "and holds its capabilities",
    no_new_privs => "no_new_privs is set",
    root => "the process has the new root",
    /// The supplementary groups are those of the user.
    groups => "the supplementary groups have changed",
    /// The real, effective and saved group ids are those of the user.
    gid => "the group id has changed",
    /// The process is the user that it was to become.
    user => "the process is that user",
    /// `PR_SET_KEEPCAPS` or the securebit `NO_SETUID_FIXUP` could not be put back.
    keep_caps => "the next change of the user id keeps the capabilities",
    /// Capabilities that the user should not have could not be dropped.
    held => "capabilities are still held",
    securebits => "the securebits are locked",
    /// The process is dumpable and was not, or the other way round.
    dumpable => "whether the process is dumpable has changed",
    /// Other privileges were given up in the jail.
    privileges => "a part of the privileges is gone",
    /// Groups or ids were changed, and then a step failed.
    half => "the process is neither user: end it",
}
