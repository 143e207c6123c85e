//! PROGRAM: found and opened before the jail, executed in it.

use core::ffi::CStr;

use rustix::fd::OwnedFd;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, fstat, openat, statat};
use rustix::io::Errno;

use crate::os::{is_noexec, open_to_execute};
use crate::unfit;

/// Where a name without a slash is looked up if there is no PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// Checks access by the effective ids. Android has no such flag; the launcher is not set-id, so the
/// real ids are the same.
#[cfg(not(target_os = "android"))]
const EFFECTIVE: AtFlags = AtFlags::EACCESS;
#[cfg(target_os = "android")]
const EFFECTIVE: AtFlags = AtFlags::empty();

/// Why PROGRAM cannot be run.
pub(crate) enum Unfit {
    Errno(Errno),
    /// Why, and the remedy, which may be empty.
    Because(&'static str, &'static str),
}

/// Opens the program `name`. Without a slash it is looked up in `path`, as a shell does: a file
/// that cannot be run is only an error if no other follows, and a directory that may not be
/// searched counts as empty.
pub(crate) fn open(name: &CStr, path: Option<&[u8]>) -> Result<OwnedFd, Unfit> {
    if name.is_empty() || name.to_bytes().contains(&b'/') {
        return open_file(name);
    }
    let mut worst = Unfit::Errno(Errno::NOENT);
    for directory in path.unwrap_or(DEFAULT_PATH).split(|&byte| byte == b':') {
        let mut buffer = [0; 4096];
        let file = match join(if directory.is_empty() { b"." } else { directory }, name, &mut buffer) {
            Some(path) => open_file(path),
            None => Err(Unfit::Errno(Errno::NAMETOOLONG)),
        };
        match file {
            Ok(program) => return Ok(program),
            Err(Unfit::Errno(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS)) => {}
            Err(unfit) => worst = unfit,
        }
    }
    Err(worst)
}

/// Returns whether the name is that of a symbolic link.
pub(crate) fn is_link(name: &CStr) -> bool {
    let stat = statat(CWD, name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
}

fn join<'b>(directory: &[u8], name: &CStr, buffer: &'b mut [u8]) -> Option<&'b CStr> {
    let mut length = 0;
    for part in [directory, b"/", name.to_bytes_with_nul()] {
        buffer.get_mut(length..length + part.len())?.copy_from_slice(part);
        length += part.len();
    }
    CStr::from_bytes_with_nul(buffer.get(..length)?).ok()
}

/// Opens the file of a program. The flags keep a FIFO from blocking the launcher, and a terminal
/// from becoming its controlling terminal.
fn open_file(path: &CStr) -> Result<OwnedFd, Unfit> {
    let flags = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match openat(CWD, path, OFlags::RDONLY | flags, Mode::empty()) {
        // The file may be executed although it cannot be read.
        Err(Errno::ACCESS) => open_to_execute(path),
        opened => opened,
    }
    .map_err(Unfit::Errno)?;
    let stat = fstat(&file).map_err(Unfit::Errno)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if accessat(CWD, path, Access::EXEC_OK, EFFECTIVE) == Err(Errno::ACCESS) => {
            let (why, remedy) = if is_noexec(&file) { unfit::NOEXEC } else { ("is not executable", "") };
            Err(Unfit::Because(why, remedy))
        }
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(Unfit::Because("is a directory", "")),
        _ => Err(Unfit::Because("is not a file", "")),
    }
}
