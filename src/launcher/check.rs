//! `--check`: what is found in the jail, read back from the kernel.

use core::ffi::c_int;

use autochroot::{OpenDirectories, Root};

use crate::{Inside, Stream, fail, print};

/// The entry was refused, and the reason was printed.
pub(crate) fn refused(_: c_int) -> c_int {
    let status = print(format_args!("jailed: no\n"));
    if status == 0 { 1 } else { status }
}

/// Print `key: value` lines, the last of which says that the jail holds.
pub(crate) fn report(inside: &Inside, parent: Option<&[u8]>) -> c_int {
    let jailed = inside.jailed();
    let parent = parent.or(jailed.parent().map(str::as_bytes)).unwrap_or_default();
    let root = jailed.root();
    let ours = matches!(root, Root::Unlinked | Root::Detached);
    let findings = match jailed.verify() {
        Ok(findings) => findings,
        Err(error) => {
            print(format_args!("jailed: no\n"));
            fail!(1, "{error}");
        }
    };
    let status = print(format_args!(
        "root: {}\nparent: {}\nempty: {}\nwritable: {}\nmode: {}\nopen-directories: {}\n{}jailed: {}\n",
        match root {
            Root::Unlinked => "unlinked",
            Root::Detached => "detached",
            Root::Directory => "directory",
            _ => "unjailed",
        },
        if root == Root::Unlinked { parent } else { b"none" }.escape_ascii(),
        if ours { "yes" } else { "not asked" },
        match findings.takes_nameless_files() {
            _ if !ours => "not asked",
            true => "nameless files",
            false => "no",
        },
        if findings.mode_can_change() { "changeable" } else { "fixed" },
        match jailed.open_directories() {
            // The jail was told not to look: all that PROGRAM would keep has been looked at.
            OpenDirectories::None | OpenDirectories::NotChecked => "none",
            OpenDirectories::NoneBelow(_) => "none below the limit of descriptors",
        },
        os::privileges(inside),
        if root == Root::Unjailed { "no" } else { "yes" },
    ));
    if status == 0 { c_int::from(root == Root::Unjailed) } else { status }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod os {
    use core::fmt;

    use autochroot::{Capabilities, Entered, Root, Sealed};
    use rustix::thread::{capabilities, no_new_privs};

    use crate::Inside;
    use crate::errno::Named;

    /// What the process may do, as `key: value` lines.
    pub(super) const fn privileges(inside: &Inside) -> impl fmt::Display {
        Privileges(inside)
    }

    struct Privileges<'i>(&'i Inside);

    impl fmt::Display for Privileges<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let sealed = match self.0 {
                Inside::Jailed(_) => None,
                Inside::Sealed(sealed) => Some(sealed),
            };
            let jailed = self.0.jailed();
            let entered = match jailed.entered() {
                _ if jailed.root() == Root::Unjailed => "no",
                Entered::UserNamespace => "user namespace",
                _ => "privilege",
            };
            let identity = if jailed.ids_kept() { "kept" } else { "overflow" };
            write!(f, "entered: {entered}\nidentity: {identity}\ncapabilities: ")?;
            match capabilities(None).map(|sets| (sets.effective | sets.permitted | sets.inheritable).bits()) {
                Ok(held) => writeln!(f, "{}", Capabilities::from_bits(held))?,
                Err(errno) => writeln!(f, "unknown, {}", Named(errno))?,
            }
            writeln!(f, "no-new-privs: {}", if no_new_privs().is_ok_and(|set| set) { "yes" } else { "no" })?;
            let is = |so: Option<bool>, yes, no| if so == Some(true) { yes } else { no };
            writeln!(f, "bounding-set: {}", is(sealed.map(Sealed::bounding_set_empty), "empty", "not emptied"))?;
            writeln!(f, "securebits: {}", is(sealed.map(Sealed::securebits_locked), "locked", "not locked"))?;
            match sealed.and_then(Sealed::landlock) {
                Some(abi) => writeln!(f, "landlock: ABI {abi}")?,
                None => f.write_str("landlock: no\n")?,
            }
            f.write_str("threads: 1\n")
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod os {
    use crate::Inside;

    /// There is but one way to enter.
    pub(super) const fn privileges(_: &Inside) -> &'static str {
        "entered: privilege\n"
    }
}
