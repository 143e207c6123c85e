//! Proof of entry, and what it can say.

use crate::jail::{IdMap, Plan};
use crate::machine::State;

/// Proof that the process is in a jail: only [`Jail::enter`](crate::Jail::enter) makes one.
#[derive(Debug)]
pub struct Jailed {
    user_namespace: bool,
    ids_kept: bool,
    parent: Option<&'static str>,
}

/// By what right a jail was entered (Linux).
#[cfg(any(target_os = "linux", target_os = "android"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entered {
    /// The process could `chroot`: as root, or by `CAP_SYS_CHROOT`. It keeps the capabilities that it had.
    Privilege,
    /// A new user namespace let it. It holds no capability.
    UserNamespace,
}

impl Jailed {
    pub(crate) fn new(plan: Plan, end: &State, parent: Option<&&'static str>) -> Jailed {
        let user_namespace = end.has.user_namespace;
        Jailed { user_namespace, ids_kept: !user_namespace || plan.id_map == IdMap::Identity, parent: parent.copied() }
    }

    /// The directory in which the root was made, if the caller named none. Costs no system call.
    #[must_use]
    pub const fn parent(&self) -> Option<&'static str> {
        self.parent
    }
}

/// Linux only.
#[cfg(any(target_os = "linux", target_os = "android"))]
impl Jailed {
    /// By what right the jail was entered. Costs no system call.
    #[must_use]
    pub const fn entered(&self) -> Entered {
        if self.user_namespace { Entered::UserNamespace } else { Entered::Privilege }
    }

    /// Whether `geteuid()` and `getegid()` say what they said before. Costs no system call.
    #[must_use]
    pub const fn ids_kept(&self) -> bool {
        self.ids_kept
    }
}
