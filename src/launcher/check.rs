//! `--check`: what is found in the jail, read back from the kernel.

use core::ffi::c_int;

use autochroot::Jailed;
use rustix::fs::{CWD, Mode, mkdirat};

use crate::print;

/// Print `key: value` lines, the last of which says whether the jail holds.
pub(crate) fn report(jailed: &Jailed, parent: Option<&[u8]>) -> c_int {
    let parent = parent.or(jailed.parent().map(str::as_bytes)).unwrap_or_default();
    let empty = os::is_empty();
    let writable = mkdirat(CWD, c"/autochroot", Mode::RWXU).is_ok();
    let holds = empty && !writable;
    let status = print(format_args!(
        "root: unlinked\nparent: {}\nempty: {}\nwritable: {}\n{}jailed: {}\n",
        parent.escape_ascii(),
        yes(empty),
        yes(writable),
        os::privileges(jailed),
        yes(holds),
    ));
    if status == 0 { c_int::from(!holds) } else { status }
}

const fn yes(it_is: bool) -> &'static str {
    if it_is { "yes" } else { "no" }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod os {
    use core::fmt;
    use core::mem::MaybeUninit;

    use autochroot::{Entered, Jailed};
    use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
    use rustix::io::Errno;
    use rustix::thread::{capabilities, no_new_privs};

    use super::yes;
    use crate::errno::Named;

    /// A removed directory has no entries at all, not even "." and "..": `getdents` says `ENOENT`.
    pub(super) fn is_empty() -> bool {
        let Ok(root) = openat(CWD, c"/", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) else {
            return false;
        };
        let mut buffer = [MaybeUninit::uninit(); 512];
        let mut entries = RawDir::new(root, &mut buffer);
        loop {
            match entries.next() {
                None | Some(Err(Errno::NOENT)) => return true,
                Some(Ok(entry)) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Some(_) => return false,
            }
        }
    }

    /// What the process may do, as `key: value` lines.
    pub(super) const fn privileges(jailed: &Jailed) -> impl fmt::Display {
        Privileges(jailed)
    }

    struct Privileges<'j>(&'j Jailed);

    impl fmt::Display for Privileges<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let entered = match self.0.entered() {
                Entered::UserNamespace => "user namespace",
                _ => "privilege",
            };
            let identity = if self.0.ids_kept() { "kept" } else { "overflow" };
            write!(f, "entered: {entered}\nidentity: {identity}\ncapabilities: ")?;
            match capabilities(None).map(|sets| (sets.effective | sets.permitted | sets.inheritable).bits()) {
                Ok(0) => f.write_str("none")?,
                Ok(held) => write!(f, "{held:#x}")?,
                Err(errno) => write!(f, "unknown, {}", Named(errno))?,
            }
            writeln!(f, "\nno-new-privs: {}", no_new_privs().map_or("unknown", yes))
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod os {
    use autochroot::Jailed;

    pub(super) fn is_empty() -> bool {
        std::fs::read_dir("/").is_ok_and(|mut entries| entries.next().is_none())
    }

    /// There is but one way to enter.
    pub(super) const fn privileges(_: &Jailed) -> &'static str {
        "entered: privilege\n"
    }
}
