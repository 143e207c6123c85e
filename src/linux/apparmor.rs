//! `AppArmor`'s restriction of user namespaces, as Ubuntu has it (Linux).

use crate::linux::proc::{number_in, text};

/// Returns whether the sysctl restricts user namespaces to processes whose profile allows them.
pub(crate) fn restricts_user_namespaces() -> bool {
    number_in(c"/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1)
}

/// Returns whether a profile is enforced on this process.
pub(crate) fn confines_this_process() -> bool {
    text(c"/proc/self/attr/current", &mut [0; 256]).is_some_and(|name| name.trim_ascii_end().ends_with(b" (enforce)"))
}

/// Returns whether user namespaces are restricted, and this process has no profile that could allow
/// them.
pub(crate) fn restricts_this_process() -> bool {
    restricts_user_namespaces()
        && text(c"/proc/self/attr/current", &mut [0; 32]).is_some_and(|name| name.starts_with(b"unconfined"))
}
