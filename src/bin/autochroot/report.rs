//! `--check` and `--verbose`: what is found in the jail, read back from the kernel.

use core::ffi::c_int;

use autochroot::{OpenDirectories, Root};
use rustix::process::{getegid, geteuid};

use crate::output::{Shown, Stream, fail};
use crate::{FAILED, Ids, Inside};

/// The entry was refused with this exit status, and the reason was printed.
pub(crate) fn refused(status: c_int) -> c_int {
    if Stream::out().put("jailed: no\n", &[]).flush() { 1 } else { status }
}

/// Print `key: value` lines, the last of which says whether the process is in a jail; return whether it is.
pub(crate) fn report(inside: &Inside, before: Ids, parent: Option<&[u8]>, mut stream: Stream) -> Result<bool, c_int> {
    let jailed = inside.jailed();
    let parent = parent.or(jailed.parent().map(str::as_bytes)).unwrap_or_default();
    let root = jailed.root();
    let ours = matches!(root, Root::Unlinked | Root::Detached);
    let findings = match jailed.verify() {
        Ok(findings) => findings,
        Err(error) => {
            stream.put("jailed: no\n", &[]).flush();
            fail!(FAILED, "%", Shown(error));
        }
    };
    let now = (geteuid().as_raw(), getegid().as_raw());
    stream.line("root", &Shown(root));
    stream.line("parent", &if root == Root::Unlinked { parent } else { b"none" });
    stream.line("empty", &if ours { "yes" } else { "not asked" });
    let writable = match findings.takes_nameless_files() {
        _ if !ours => "not asked",
        true => "nameless files",
        false => "no",
    };
    stream.line("writable", &writable);
    stream.line("mode", &if findings.mode_can_change() { "changeable" } else { "fixed" });
    // The jail was told not to look if all that PROGRAM would keep has been looked at.
    match jailed.open_directories() {
        OpenDirectories::NotChecked if root != Root::Unjailed => stream.line("open-directories", &"none"),
        told => stream.line("open-directories", &Shown(told)),
    }
    if root == Root::Unjailed {
        stream.line("entered", &"no");
    } else {
        os::entered(jailed, &mut stream);
    }
    if !os::ids_kept(jailed) {
        stream.line("identity", &"overflow");
    } else if now == before {
        stream.line("identity", &"kept");
    } else {
        stream.put("identity: %:%\n", &[&now.0, &now.1]);
    }
    os::groups(&mut stream);
    os::privileges(inside, &mut stream);
    stream.line("jailed", &if root == Root::Unjailed { "no" } else { "yes" });
    if stream.flush() || stream.is_err() {
        Ok(root != Root::Unjailed)
    } else {
        fail!(FAILED, "cannot write to standard output")
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod os {
    use autochroot::{Capabilities, Jailed, Protection, Sealed};
    use rustix::thread::{
        CapabilitySet, capabilities, capabilities_secure_bits, capability_is_in_bounding_set, no_new_privs,
    };

    use super::{OpenDirectories, Root};
    use crate::Inside;
    use crate::libc::{GROUPS, supplementary_groups};
    use crate::output::{Shown, Stream};

    pub(super) fn entered(jailed: &Jailed, stream: &mut Stream) {
        stream.line("entered", &Shown(jailed.entered()));
    }

    fn bounding_set() -> Capabilities {
        let is_in = |bit: u64| capability_is_in_bounding_set(CapabilitySet::from_bits_retain(bit));
        let known = (0..u64::BITS).map(|number| 1 << number).map_while(|bit| Some((bit, is_in(bit).ok()?)));
        Capabilities::from_bits(known.filter(|(_, is_in)| *is_in).map(|(bit, _)| bit).sum())
    }

    /// Whether the ids mean what they say.
    pub(super) const fn ids_kept(jailed: &Jailed) -> bool {
        jailed.ids_kept()
    }

    /// Supplementary ones.
    pub(super) fn groups(stream: &mut Stream) {
        stream.put("groups:", &[]);
        let mut list = [0; GROUPS];
        let groups = supplementary_groups(&mut list);
        for group in groups.unwrap_or_default() {
            stream.put(" %", &[group]);
        }
        match groups {
            None => stream.put(" too many", &[]),
            Some([]) => stream.put(" none", &[]),
            Some(_) => stream,
        };
        stream.put("\n", &[]);
    }

    /// What the process may do.
    pub(super) fn privileges(inside: &Inside, stream: &mut Stream) {
        match capabilities(None) {
            Ok(sets) => {
                let held = Capabilities::from_bits((sets.effective | sets.permitted | sets.inheritable).bits());
                stream.line("capabilities", &Shown(held));
            }
            Err(errno) => stream.line("capabilities", &errno),
        }
        stream.line("no-new-privs", &if no_new_privs() == Ok(true) { "yes" } else { "no" });
        stream.line("bounding-set", &Shown(bounding_set()));
        let locked = capabilities_secure_bits().is_ok_and(|bits| bits.bits() & 0xff == 0b1110_1111);
        stream.line("securebits", &if locked { "locked" } else { "not locked" });
        let sealed = match inside {
            Inside::Jailed(_) => None,
            Inside::Sealed(sealed) => Some(sealed),
        };
        match sealed.and_then(Sealed::landlock) {
            Some(abi) => {
                stream.put("landlock: ABI %\n", &[&abi.unsigned_abs()]);
            }
            None => stream.line("landlock", &"no"),
        }
        let filtered = sealed.is_some_and(|sealed| sealed.has(Protection::Seccomp));
        stream.line("seccomp", &if filtered { "yes" } else { "no" });
        let keyring = sealed.map_or(inside.jailed().session_keyring(), Sealed::session_keyring);
        stream.line("keyring", &Shown(keyring));
        stream.line("threads", &"1");
        let jailed = inside.jailed();
        stream.line("shared", &if jailed.is_unshared() { "no" } else { "not checked" });
        // As for directories: the launcher has looked at what PROGRAM would keep, unless that is everything.
        let by_launcher = jailed.root() != Root::Unjailed && jailed.open_directories() == OpenDirectories::NotChecked;
        stream.line("io-uring", &if by_launcher || jailed.rings_checked() { "none" } else { "not checked" });
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod os {
    use autochroot::Jailed;

    use crate::Inside;
    use crate::output::Stream;

    /// There is but one way to enter.
    pub(super) fn entered(_: &Jailed, stream: &mut Stream) {
        stream.line("entered", &"privilege");
    }

    pub(super) const fn ids_kept(_: &Jailed) -> bool {
        true
    }

    pub(super) const fn groups(_: &mut Stream) {}

    pub(super) const fn privileges(_: &Inside, _: &mut Stream) {}
}
