//! The kinds of root directory.

use core::fmt;

use crate::features::{DETACHED, FAILFS};

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

/// How the kinds of root differ. Code that depends on the kind reads these facts or matches on the
/// kind, so a new kind does not compile until each place handles it.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Facts {
    name: &'static str,
    /// This build has it.
    pub(crate) is_here: bool,
    /// It is another directory than the process had.
    is_jail: bool,
    /// It is made for the jail, and therefore empty. Only such kinds can be in a list.
    pub(crate) is_made: bool,
    /// It is made in a parent directory, which the caller may name.
    pub(crate) has_parent: bool,
    /// It is mounted, which requires `CAP_SYS_ADMIN`.
    pub(crate) is_mounted: bool,
    /// It can hold files.
    pub(crate) has_files: bool,
    /// It can be entered through a user namespace.
    pub(crate) takes_user_namespace: bool,
    /// A process without privilege can enter it once `no_new_privs` is set.
    pub(crate) takes_no_new_privs: bool,
}

impl Root {
    /// All kinds. Those that are made come first, in the order in which `auto` tries them.
    const ALL: [Root; 5] = [Root::Detached, Root::Unlinked, Root::Failfs, Root::Directory, Root::Unjailed];

    /// Returns the facts of this kind.
    #[rustfmt::skip]
    pub(crate) const fn facts(self) -> &'static Facts {
        match self {
            Root::Unlinked  => &Facts { name: "unlinked",  is_here: true,     is_jail: true,  is_made: true,  has_parent: true,  is_mounted: false, has_files: false, takes_user_namespace: true,  takes_no_new_privs: false },
            Root::Detached  => &Facts { name: "detached",  is_here: DETACHED, is_jail: true,  is_made: true,  has_parent: false, is_mounted: true,  has_files: true,  takes_user_namespace: true,  takes_no_new_privs: false },
            Root::Failfs    => &Facts { name: "failfs",    is_here: FAILFS,   is_jail: true,  is_made: true,  has_parent: false, is_mounted: false, has_files: false, takes_user_namespace: false, takes_no_new_privs: true },
            Root::Directory => &Facts { name: "directory", is_here: true,     is_jail: true,  is_made: false, has_parent: false, is_mounted: false, has_files: false, takes_user_namespace: true,  takes_no_new_privs: false },
            Root::Unjailed  => &Facts { name: "unjailed",  is_here: true,     is_jail: false, is_made: false, has_parent: false, is_mounted: false, has_files: false, takes_user_namespace: false, takes_no_new_privs: false },
        }
    }

    /// Returns the name: `unlinked`, `detached`, `failfs`, `directory`, `unjailed`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Returns whether this kind is a jail: whether it is another directory than the process had.
    #[must_use]
    pub const fn is_jail(self) -> bool {
        self.facts().is_jail
    }

    /// Returns whether this kind is made for the jail, and therefore empty. Only such kinds can be
    /// in a list.
    #[doc(hidden)]
    #[must_use]
    pub const fn is_made(self) -> bool {
        self.facts().is_made
    }

    /// Returns the kind that a list names by this word.
    pub(crate) fn made(word: &[u8]) -> Option<Root> {
        MADE.into_iter().find(|root| root.name().as_bytes() == word)
    }

    const fn is(self, other: Root) -> bool {
        self as u8 == other as u8
    }
}

/// The kinds that are made, in the order in which `auto` tries them.
const MADE: [Root; 3] = {
    let [first, second, third, others @ ..] = Root::ALL;
    assert!(Root::Unjailed as usize + 1 == Root::ALL.len(), "a kind is missing in Root::ALL");
    assert!(first.is_made() && second.is_made() && third.is_made());
    let mut others: &[Root] = &others;
    while let [other, rest @ ..] = others {
        assert!(!other.is_made(), "MADE has to be longer");
        others = rest;
    }
    [first, second, third]
};

/// The kinds of root to try, in this order, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roots {
    first: Root,
    then: [Option<Root>; MADE.len() - 1],
}

impl Roots {
    /// All kinds that this build has, the best first.
    pub(crate) const AUTO: Roots = {
        let mut roots = None;
        let mut kinds: &[Root] = &MADE;
        while let [kind, rest @ ..] = kinds {
            roots = match roots {
                _ if !kind.facts().is_here => roots,
                None => Some(Roots::one(*kind)),
                Some(roots) => Roots::or(roots, *kind),
            };
            kinds = rest;
        }
        roots.expect("unlinked is always there")
    };

    pub(crate) const fn one(first: Root) -> Roots {
        Roots { first, then: [None; MADE.len() - 1] }
    }

    pub(crate) const fn first(self) -> Root {
        self.first
    }

    /// Adds a kind at the end, unless it is there already. Returns `None` if this kind or the first
    /// kind cannot be in a list.
    pub(crate) const fn or(mut self, root: Root) -> Option<Roots> {
        if !self.first.is_made() || !root.is_made() {
            return None;
        }
        self.then = match self.then {
            same if self.has(root) => same,
            [None, _] => [Some(root), None],
            [second, _] => [second, Some(root)],
        };
        Some(self)
    }

    pub(crate) const fn or_all(self, others: Roots) -> Option<Roots> {
        let mut roots = self.or(others.first);
        let mut others: &[Option<Root>] = &others.then;
        while let (Some(all), [Some(other), rest @ ..]) = (roots, others) {
            roots = all.or(*other);
            others = rest;
        }
        roots
    }

    pub(crate) const fn has(self, root: Root) -> bool {
        let [second, third] = self.then;
        self.first.is(root)
            || matches!(second, Some(second) if second.is(root))
            || matches!(third, Some(third) if third.is(root))
    }

    pub(crate) const fn is_one(self) -> bool {
        self.then[0].is_none()
    }

    pub(crate) fn all(self) -> impl Iterator<Item = Root> {
        let [second, third] = self.then;
        [Some(self.first), second, third].into_iter().flatten()
    }

    /// Returns the kind after this one.
    pub(crate) fn after(self, root: Root) -> Option<Root> {
        match self.then {
            [next, _] if self.first == root => next,
            [Some(second), next] if second == root => next,
            _ => None,
        }
    }
}

impl fmt::Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
