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
                [$((self.$name, $text)),*].into_iter().filter_map(|(remains, text)| remains.then_some(text))
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
    /// The working directory has changed.
    cwd => "the working directory has changed",
    /// The process is in a new user namespace.
    user_namespace => "the process is in the new user namespace",
    /// The process is also in an empty mount namespace, with another root and working directory.
    mounts => "and in an empty mount namespace, with another root",
    /// The process holds the capabilities that the user namespace gave.
    capabilities => "and holds its capabilities",
    /// `no_new_privs` is set.
    no_new_privs => "no_new_privs is set",
    /// The root directory has changed.
    root => "the process has the new root",
    /// Ids or capabilities were changed in the jail.
    privileges => "a part of the privileges is gone",
    /// The process is the user that it was to become.
    user => "the process is that user",
}
