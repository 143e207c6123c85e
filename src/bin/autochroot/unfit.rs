//! Why the kernel does not execute PROGRAM.

use autochroot::for_the_launcher::EM_CURRENT;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, fstat};
use rustix::io::{Errno, pread};
use rustix::process::{getegid, geteuid};

use crate::os;

pub(crate) const NOEXEC: (&str, &str) =
    ("is on a file system that is mounted noexec", "copy it elsewhere, or mount that file system without noexec");

/// Returns the reason and the remedy, after an `execveat` that failed with this errno, or `None` if
/// no more is known.
pub(crate) fn why(program: &OwnedFd, errno: Errno) -> Option<(&'static str, &'static str)> {
    const SCRIPT: (&str, &str) = (
        "is a script: scripts cannot be executed by descriptor",
        "run the interpreter, and give it the script with -f or on standard input",
    );
    Some(match (errno, content(program)) {
        (Errno::ACCESS, _) if os::is_noexec(program) => NOEXEC,
        (Errno::ACCESS, _) if may_not_execute(program) => ("may not be executed by that user", ""),
        (Errno::NOENT, Content::Script) => SCRIPT,
        (Errno::ACCESS, Content::Dynamic { .. }) => (
            "is not static: its dynamic loader cannot be executed in the jail",
            "the loader needs an execute bit, and that user the right to search the directories above it",
        ),
        (Errno::NOENT, Content::Dynamic { .. }) => ("is not static: its dynamic loader is not in the jail", ""),
        (Errno::NOEXEC, _) if is_foreign(program) => ("is for another processor", ""),
        // binfmt_misc may have an interpreter for it.
        (Errno::NOENT, Content::Static) if is_foreign(program) => return None,
        (Errno::NOENT, Content::Static) => (
            "cannot execute it: ENOENT (no such file or directory), although it is static",
            "before Linux 6.12, TOMOYO lets no program be executed by descriptor: leave it out of the boot parameter lsm=",
        ),
        // Only an interpreter of binfmt_misc can be missing here.
        (Errno::NOENT, Content::Other) => ("is run by an interpreter of binfmt_misc, which is not in the jail", ""),
        (Errno::NOENT, Content::Unreadable) => {
            ("is a script or not static: its interpreter or loader is not in the jail", "")
        }
        (Errno::NOEXEC, Content::Other) => ("is neither a program nor a script", ""),
        (Errno::NOEXEC, _) => ("is no program that this kernel can execute", ""),
        (Errno::PERM, _) if os::has_file_capabilities(program) => (
            "has file capabilities that it may not gain",
            "remove them from the file (setcap -r), and grant them with --caps",
        ),
        (Errno::AGAIN, _) => ("cannot be executed: that user has as many processes as RLIMIT_NPROC permits", ""),
        (Errno::NOMEM, _) => ("cannot be executed: there is not enough memory", ""),
        (Errno::TOOBIG, _) => ("cannot be executed: its arguments and the environment are too long", ""),
        (Errno::TXTBSY, _) => ("cannot be executed: a process has it open to write to it", ""),
        // musl looks for the descriptor in /proc then, and fails with EBADF.
        (Errno::NOSYS | Errno::BADF, _) => {
            ("cannot be executed: the kernel has no execveat (Linux 3.19), or a seccomp filter refuses it", "")
        }
        _ => return None,
    })
}

/// Returns whether the mode of the file denies execution to this user and group. Supplementary
/// groups are not checked.
fn may_not_execute(program: &OwnedFd) -> bool {
    fstat(program).is_ok_and(|stat| {
        let mode = Mode::from_raw_mode(stat.st_mode);
        let needed = if stat.st_uid == geteuid().as_raw() {
            Mode::XUSR
        } else if stat.st_gid == getegid().as_raw() {
            Mode::XGRP
        } else {
            Mode::XOTH
        };
        !mode.contains(needed)
    })
}

/// The kind of file that a program is.
enum Content {
    Script,
    /// An ELF file that names a dynamic loader. The fields give the place of the loader's path.
    Dynamic {
        offset: u64,
        length: u64,
    },
    /// An ELF file without a dynamic loader.
    Static,
    Other,
    /// The file may be executed but not read.
    Unreadable,
}

/// Reads what the kernel reads: the first bytes, and the program headers of an ELF file, see
/// `elf(5)`.
fn content(program: &OwnedFd) -> Content {
    const PT_INTERP: u64 = 3;
    const HEADER: usize = 64;
    // The program headers are usually in the first kilobyte.
    let mut start = [0; 1024];
    let Ok(length) = pread(program, &mut start, 0) else { return Content::Unreadable };
    let header = start.get(..length).unwrap_or_default();
    if header.starts_with(b"#!") {
        return Content::Script;
    }
    if !header.starts_with(b"\x7fELF") || length < HEADER {
        return Content::Other;
    }
    // Where the program headers are, how long each is, and how many there are.
    let (offset, size, count) = if header.get(4) == Some(&2) {
        (field(header, 32, 8), field(header, 54, 2), field(header, 56, 2))
    } else {
        (field(header, 28, 4), field(header, 42, 2), field(header, 44, 2))
    };
    let is_wide = header.get(4) == Some(&2);
    for nth in 0..count {
        let (mut read, at) = ([0; 56], offset.wrapping_add(nth * size));
        let known = usize::try_from(at).ok().and_then(|at| header.get(at..)?.get(..read.len()));
        let entry = known.unwrap_or_else(|| {
            let length = pread(program, &mut read, at).unwrap_or(0);
            read.get(..length).unwrap_or_default()
        });
        if entry.len() >= 32 && field(entry, 0, 4) == PT_INTERP {
            let (offset, length) = if is_wide {
                (field(entry, 8, 8), field(entry, 32, 8))
            } else {
                (field(entry, 4, 4), field(entry, 16, 4))
            };
            return Content::Dynamic { offset, length };
        }
    }
    Content::Static
}

/// Returns the path of the dynamic loader that a program names.
pub(crate) fn loader<'b>(program: &OwnedFd, buffer: &'b mut [u8; 256]) -> Option<&'b [u8]> {
    let Content::Dynamic { offset, length } = content(program) else { return None };
    let length = usize::try_from(length).ok().filter(|&length| length <= buffer.len())?;
    let place = buffer.get_mut(..length)?;
    if pread(program, &mut *place, offset) != Ok(length) {
        return None;
    }
    place.strip_suffix(b"\0")
}

/// Returns whether the file is an ELF file of another machine.
fn is_foreign(program: &OwnedFd) -> bool {
    let mut header = [0; 20];
    pread(program, &mut header, 0).is_ok_and(|length| length == header.len())
        && header.starts_with(b"\x7fELF")
        && EM_CURRENT.is_some_and(|own| field(&header, 18, 2) != u64::from(own))
}

/// Returns a number in a header, in the byte order of this machine.
fn field(header: &[u8], at: usize, length: usize) -> u64 {
    let bytes = header.get(at..at + length).unwrap_or_default();
    let append = |number, byte: &u8| number << 8 | u64::from(*byte);
    if cfg!(target_endian = "big") { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) }
}
