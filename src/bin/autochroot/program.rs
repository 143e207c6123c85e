//! PROGRAM: found and opened before the jail, executed in it.

use core::ffi::CStr;

use rustix::fd::OwnedFd;
use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, fstat, openat};
use rustix::io::{Errno, pread};

use crate::os::open_to_execute;

/// Where a name without a slash is looked up if there is no PATH.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// By the effective ids, which Android does not offer; they are the real ones of a launcher that is not set-id.
#[cfg(not(target_os = "android"))]
const EFFECTIVE: AtFlags = AtFlags::EACCESS;
#[cfg(target_os = "android")]
const EFFECTIVE: AtFlags = AtFlags::empty();

/// Why PROGRAM cannot be run.
pub(crate) enum Unfit {
    Errno(Errno),
    Because(&'static str),
}

/// Open the program `name`, which without a slash is looked up in `path`, as a shell does: what is there but cannot be run
/// is only an error if nothing better comes after it, and a directory that may not be searched holds nothing.
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

fn join<'b>(directory: &[u8], name: &CStr, buffer: &'b mut [u8]) -> Option<&'b CStr> {
    let mut length = 0;
    for part in [directory, b"/", name.to_bytes_with_nul()] {
        buffer.get_mut(length..length + part.len())?.copy_from_slice(part);
        length += part.len();
    }
    CStr::from_bytes_with_nul(buffer.get(..length)?).ok()
}

/// Neither a FIFO nor a terminal may hold us up or become ours.
fn open_file(path: &CStr) -> Result<OwnedFd, Unfit> {
    let flags = OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match openat(CWD, path, OFlags::RDONLY | flags, Mode::empty()) {
        // It may still be executed.
        Err(Errno::ACCESS) => open_to_execute(path),
        opened => opened,
    }
    .map_err(Unfit::Errno)?;
    let stat = fstat(&file).map_err(Unfit::Errno)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile if accessat(CWD, path, Access::EXEC_OK, EFFECTIVE) == Err(Errno::ACCESS) => {
            Err(Unfit::Because("is not executable"))
        }
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(Unfit::Because("is a directory")),
        _ => Err(Unfit::Because("is not a file")),
    }
}

/// What the file of a program holds.
pub(crate) enum Content {
    Script,
    /// An ELF file that names an interpreter, which is its dynamic loader.
    Dynamic,
    /// An ELF file that names none.
    Static,
    Other,
    /// The file may be executed but not read.
    Unreadable,
}

/// Reads what the kernel goes by: the first bytes, and the program headers of an ELF file, as `elf(5)` describes them.
pub(crate) fn content(program: &OwnedFd) -> Content {
    const PT_INTERP: u32 = 3;
    let mut header = [0; 64];
    if pread(program, &mut header, 0).is_err() {
        return Content::Unreadable;
    }
    if header.starts_with(b"#!") {
        return Content::Script;
    }
    if !header.starts_with(b"\x7fELF") {
        return Content::Other;
    }
    // Where the program headers are, how long each is, and how many there are.
    let (offset, size, count) = if header.get(4) == Some(&2) {
        (field(&header, 32, 8), field(&header, 54, 2), field(&header, 56, 2))
    } else {
        (field(&header, 28, 4), field(&header, 42, 2), field(&header, 44, 2))
    };
    let mut kind = [0; 4];
    let is_interpreter = |nth| {
        pread(program, &mut kind, offset.wrapping_add(nth * size)).is_ok() && u32::from_ne_bytes(kind) == PT_INTERP
    };
    if (0..count).any(is_interpreter) { Content::Dynamic } else { Content::Static }
}

/// A number in a header, in the byte order of this machine.
fn field(header: &[u8], at: usize, length: usize) -> u64 {
    let bytes = header.get(at..at + length).unwrap_or_default();
    let append = |number, byte: &u8| number << 8 | u64::from(*byte);
    if cfg!(target_endian = "big") { bytes.iter().fold(0, append) } else { bytes.iter().rev().fold(0, append) }
}
