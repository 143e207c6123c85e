//! Named files: their sources are opened before the jail, and copied into a detached root (Linux).
#![cfg_attr(not(feature = "files"), allow(dead_code, reason = "what is left out calls it"))]
#![allow(unsafe_code, reason = "descriptors of the caller's are read from")]

use core::ffi::CStr;

use linux_raw_sys::general::RLIMIT_FSIZE;
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, fchmod, fcntl_getfl, fstat, fstatfs, major,
    makedev, minor, mkdirat, mknodat, openat, statat, statfs,
};
use rustix::io::{Errno, pread, write};
use rustix::mount::{fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string};
use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, capabilities};

use crate::error::{Error, Fault, Residue, Step};
use crate::files::{
    Contents, Copier, Files, Filling, MOST_BYTES, MOST_TOGETHER, NamedFile, Source, Sources, Writable, check,
    is_repeated,
};
use crate::hints::explain::explain;
use crate::linux::proc::list;
use crate::linux::roots::detached;
use crate::linux::seal::privileges::restore_dumpable;
use crate::linux::syscall::soft_limit;
use crate::linux::user::maps::{Map, Of};
use crate::text::{c_str, digits};

/// The largest size of a page.
const PAGE: u32 = 1 << 16;

/// The minor numbers of the devices null, zero, full, random and urandom, whose major number is 1.
const DEVICES: [u32; 5] = [3, 5, 7, 8, 9];

/// The code that [`Jail::files`](crate::Jail::files) links.
pub(crate) static COPIER: Copier = Copier { open: open_all, mount, fill };

/// A source that was checked.
enum Kind {
    /// A regular file, its size, and whether it is executable.
    File(u32, bool),
    /// A device, and its minor number.
    Device(u32),
}

/// Opens and checks all sources, with the rights of the caller.
fn open_all(sources: &mut Sources, all: Files<'_>, number: &mut Option<i32>) -> Result<(), Fault> {
    let files = all.named;
    check(files, all.writable, number)?;
    sources.bytes = PAGE;
    for ((nth, file), place) in (0..).zip(files).zip(&mut sources.opened) {
        *number = Some(nth);
        if is_repeated(files, usize::try_from(nth).unwrap_or_default()) {
            continue;
        }
        let kind = match file.source {
            Source::Bytes(content) => Kind::File(bounded(content.len())?, file.executable),
            Source::Descriptor(fd) => {
                let fd = borrow(fd)?;
                let kind = kind(&fstat(fd)?)?;
                let flags = fcntl_getfl(fd)?;
                if let (Kind::File(..), true) = (&kind, flags.intersects(OFlags::PATH | OFlags::WRONLY)) {
                    return Err(Errno::BADF.into()); // it cannot be read
                }
                kind
            }
            Source::Path(path) => {
                let (opened, kind) = open(path)?;
                *place = Some(opened);
                kind
            }
        };
        let bytes = match kind {
            Kind::File(size, is_executable) => {
                sources.executables |= is_executable || file.executable;
                sources.open_ended |= size == 0;
                size.next_multiple_of(PAGE)
            }
            Kind::Device(_) => {
                let held = capabilities(None)?.effective;
                if sources.in_user_namespace
                    || !Map::read(Of::Users).is_whole()
                    || !held.contains(CapabilitySet::MKNOD | CapabilitySet::SYS_ADMIN)
                {
                    return Err(Fault::NoDevice);
                }
                sources.devices = true;
                0
            }
        };
        let together = sources.bytes.checked_add(bytes).filter(|&bytes| bytes <= MOST_TOGETHER);
        sources.bytes = together.ok_or(Fault::LargeFiles)?;
    }
    *number = None;
    Ok(())
}

fn mount(sources: &mut Sources) -> Result<(), Fault> {
    let dumpable = dumpable_behavior()? == DumpableBehavior::Dumpable;
    if dumpable {
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    let bytes = if sources.open_ended { MOST_TOGETHER } else { sources.bytes };
    let mounted = detached::mount_to_fill(bytes, sources.devices, sources.executables);
    if let (true, Err(_)) = (dumpable, &mounted) {
        restore_dumpable(DumpableBehavior::Dumpable, &mut sources.changed_dumpable)?;
    }
    let (tmpfs, root) = mounted?;
    sources.filling = Some(Filling { tmpfs, root, dumpable });
    Ok(())
}

fn fill(sources: &mut Sources, files: Files<'_>, number: &mut Option<i32>) -> Result<(OwnedFd, Contents), Fault> {
    let Some(Filling { tmpfs, root, dumpable }) = sources.filling.take() else { return Err(Errno::BADF.into()) };
    let filled = copy_all(sources, &tmpfs, root.as_fd(), files, number);
    if dumpable {
        restore_dumpable(DumpableBehavior::Dumpable, &mut sources.changed_dumpable)?;
    }
    let (devices, executables) = (sources.devices, sources.executables);
    Ok((root, Contents { inodes: filled?, devices, executables, writable: files.writable.is_some() }))
}

/// Copies the files, makes the file system read-only, checks that it holds nothing else, and
/// returns the number of its inodes.
fn copy_all(
    sources: &Sources,
    tmpfs: &OwnedFd,
    root: BorrowedFd<'_>,
    all: Files<'_>,
    number: &mut Option<i32>,
) -> Result<u32, Fault> {
    let files = all.named;
    let mut count = 0;
    each_directory(files, &mut |nth, directory| {
        *number = i32::try_from(nth).ok();
        count += 1;
        mkdirat(root, directory, Mode::RWXU)?;
        // The umask may have removed a part of the mode.
        Ok(chmodat(root, directory, Mode::RWXU, AtFlags::empty())?)
    })?;
    for ((nth, file), opened) in (0..).zip(files).zip(&sources.opened) {
        *number = Some(nth);
        if is_repeated(files, usize::try_from(nth).unwrap_or_default()) {
            continue;
        }
        count += 1;
        let mut buffer = [0; 256];
        let path = relative(file.path, file.path.len(), &mut buffer)?;
        match (file.source, opened) {
            (Source::Bytes(content), _) => write_whole(&create(root, path, file.executable)?, content, 0)?,
            (Source::Descriptor(fd), _) => copy(borrow(fd)?, root, path, file.executable)?,
            (Source::Path(_), Some(opened)) => copy(opened.as_fd(), root, path, file.executable)?,
            (Source::Path(_), None) => return Err(Errno::BADF.into()),
        }
    }
    *number = None;
    let mode = Mode::from_raw_mode(0o555);
    each_directory(files, &mut |_, directory| Ok(chmodat(root, directory, mode, AtFlags::empty())?))?;
    let mut there = entries(root, c".")?;
    each_directory(files, &mut |_, directory| {
        there += entries(root, directory)?;
        Ok(())
    })?;
    if there != count {
        return Err(Fault::OtherFiles);
    }
    match all.writable {
        Some(writable) => make_writable(tmpfs, root, writable)?,
        None => fsconfig_set_flag(tmpfs, c"ro")?,
    }
    chmodat(root, c".", mode, AtFlags::empty())?;
    fsconfig_reconfigure(tmpfs)?;
    Ok(inodes(&fstatfs(root)?))
}

/// Makes the directory that can be written, and sets the limits of the file system: what it holds
/// now, and the room that the caller wants.
fn make_writable(tmpfs: &OwnedFd, root: BorrowedFd<'_>, writable: Writable<'_>) -> Result<(), Fault> {
    const ROOM: u64 = 16;
    let path = writable.path();
    // Until all are there, the owner may write to each: root may lack CAP_DAC_OVERRIDE.
    for is_new in [true, false] {
        for end in (1..path.len()).filter(|end| path.get(*end) == Some(&b'/')).chain([path.len()]) {
            let mut buffer = [0; 256];
            let directory = relative(path, end, &mut buffer)?;
            match if is_new { mkdirat(root, directory, Mode::RWXU) } else { Ok(()) } {
                Err(Errno::EXIST) if end < path.len() => {} // a file is in it
                made => made?,
            }
            let mode = Mode::from_raw_mode(match writable.path {
                _ if is_new => 0o700,
                _ if end < path.len() => 0o555,
                Some(_) => 0o700,
                None => 0o1777,
            });
            chmodat(root, directory, mode, AtFlags::empty())?;
            if let (Some((uid, gid)), Some(_), false, true) = (writable.owner, writable.path, is_new, end == path.len())
            {
                chownat(root, directory, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::empty())?;
            }
        }
    }
    let used = fstatfs(root)?;
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "the types differ")]
    let bytes = (used.f_blocks as u64 - used.f_bfree as u64) * used.f_bsize as u64;
    let size = u32::try_from((bytes + writable.bytes).div_ceil(1024)).unwrap_or(u32::MAX);
    let mut text = [b'k'; 12];
    text[..11].copy_from_slice(&digits(size));
    fsconfig_set_string(tmpfs, c"size", c_str(text.trim_ascii_start(), &mut [0; 13])?)?;
    let files = u64::from(inodes(&used)) + ROOM + writable.bytes / 4096;
    let files = digits(u32::try_from(files).unwrap_or(u32::MAX));
    Ok(fsconfig_set_string(tmpfs, c"nr_inodes", c_str(files.trim_ascii_start(), &mut [0; 12])?)?)
}

/// Returns how many entries a directory has.
fn entries(root: BorrowedFd<'_>, directory: &CStr) -> Result<u32, Fault> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut count = 0;
    list(&openat(root, directory, flags, Mode::empty())?, &mut |_| {
        count += 1;
        Ok(())
    })?;
    Ok(count)
}

/// Opens a file for the launcher, which does that before it becomes another user.
///
/// # Errors
///
/// The errors of [`Step::Files`].
pub fn open_source(path: &[u8]) -> Result<OwnedFd, Error> {
    open(path).map(|(opened, _)| opened).map_err(|fault| explain(Error::inside(Step::Files, fault, Residue::default())))
}

/// Opens a file to copy it, or a device to find out which it is.
///
/// # Errors
///
/// It is neither, or cannot be opened.
fn open(path: &[u8]) -> Result<(OwnedFd, Kind), Fault> {
    let mut buffer = [0; 4096];
    let path = c_str(path, &mut buffer)?;
    // Opening a FIFO or a device can have effects.
    let stat = match statat(CWD, path, AtFlags::empty()) {
        Err(Errno::NOENT) if statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_ok() => return Err(Fault::Dangling),
        stat => stat?,
    };
    let kind = kind(&stat)?;
    let flags = match kind {
        Kind::File(..) => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
        Kind::Device(_) => OFlags::PATH,
    };
    Ok((openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())?, kind))
}

/// Borrows a descriptor of the caller.
fn borrow(fd: i32) -> Result<BorrowedFd<'static>, Errno> {
    if fd < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: it is not -1. If it is not open, each call fails with EBADF.
    Ok(unsafe { BorrowedFd::borrow_raw(fd) })
}

fn kind(stat: &Stat) -> Result<Kind, Fault> {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let is_executable = Mode::from_raw_mode(stat.st_mode).intersects(Mode::XUSR | Mode::XGRP | Mode::XOTH);
            Ok(Kind::File(bounded(usize::try_from(stat.st_size).unwrap_or(usize::MAX))?, is_executable))
        }
        FileType::CharacterDevice if major(stat.st_rdev) == 1 && DEVICES.contains(&minor(stat.st_rdev)) => {
            Ok(Kind::Device(minor(stat.st_rdev)))
        }
        _ => Err(Fault::NotAFile),
    }
}

fn bounded(size: usize) -> Result<u32, Fault> {
    u32::try_from(size).ok().filter(|&size| size <= MOST_BYTES).ok_or(Fault::LargeFile)
}

/// Copies a source to a path below the root.
fn copy(from: BorrowedFd<'_>, root: BorrowedFd<'_>, path: &CStr, executable: bool) -> Result<(), Fault> {
    let before = fstat(from)?;
    let (size, executable) = match kind(&before)? {
        Kind::File(size, is_executable) => (size, executable || is_executable),
        Kind::Device(number) => {
            let mode = Mode::from_raw_mode(0o666);
            match mknodat(root, path, FileType::CharacterDevice, mode, makedev(1, number)) {
                Err(Errno::PERM) => return Err(Fault::NoDevice),
                done => done?,
            }
            return Ok(chmodat(root, path, mode, AtFlags::empty())?);
        }
    };
    let to = create(root, path, executable)?;
    let mut buffer = [0; 8192];
    let mut copied = 0;
    // A file without a size is read to its end. The files of /sys have a size, and end before it.
    while size == 0 || copied < size {
        let length = pread(from, &mut buffer, copied.into())?;
        if length == 0 {
            break;
        }
        // If there is no space, the file has grown since it was checked.
        write_whole(&to, buffer.get(..length).unwrap_or_default(), copied)
            .map_err(|fault| if fault == Fault::of(Errno::NOSPC) && size > 0 { Fault::Changed } else { fault })?;
        copied = bounded(copied as usize + length)?;
    }
    let after = fstat(from)?;
    let times = |stat: &Stat| (stat.st_mtime, stat.st_mtime_nsec, stat.st_ctime, stat.st_ctime_nsec);
    let is_same = before.st_size == after.st_size && times(&before) == times(&after);
    // The files of procfs and its like have no size, before and after.
    if is_same { Ok(()) } else { Err(Fault::Changed) }
}

/// Creates a file that everyone can read, and perhaps execute.
fn create(root: BorrowedFd<'_>, path: &CStr, executable: bool) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_raw_mode(if executable { 0o555 } else { 0o444 });
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(root, path, flags, mode)?;
    // The umask may have removed a part of the mode.
    fchmod(&file, mode)?;
    Ok(file)
}

/// Writes to the end of a file with this many bytes, but not beyond `RLIMIT_FSIZE`: the kernel
/// would send `SIGXFSZ`.
fn write_whole(to: &OwnedFd, mut content: &[u8], before: u32) -> Result<(), Fault> {
    let end = u64::from(before) + content.len() as u64;
    if end > soft_limit(RLIMIT_FSIZE)? {
        return Err(Errno::FBIG.into());
    }
    while !content.is_empty() {
        let written = write(to, content)?;
        content = content.get(written..).unwrap_or_default();
    }
    Ok(())
}

/// Calls `each` once with every directory on the way to the files, relative to the root. A
/// directory comes before its contents.
fn each_directory(
    files: &[NamedFile<'_>],
    each: &mut dyn FnMut(usize, &CStr) -> Result<(), Fault>,
) -> Result<(), Fault> {
    for (nth, file) in files.iter().enumerate() {
        for (end, _) in file.path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/') {
            let directory = file.path.get(..=end).unwrap_or_default();
            if !files.iter().take(nth).any(|earlier| earlier.path.starts_with(directory)) {
                let mut buffer = [0; 256];
                each(nth, relative(file.path, end, &mut buffer)?)?;
            }
        }
    }
    Ok(())
}

/// Returns the first bytes of an absolute path, without the slash at its beginning.
fn relative<'b>(path: &[u8], end: usize, buffer: &'b mut [u8; 256]) -> Result<&'b CStr, Errno> {
    c_str(path.get(1..end).unwrap_or_default(), buffer)
}

/// Checks that the root still has as many inodes. A tmpfs counts extended attributes too, and a
/// ramfs counts nothing.
pub(crate) fn check_inodes(count: u32) -> Result<(), Fault> {
    if inodes(&statfs(c"/")?) == count { Ok(()) } else { Err(Fault::OtherFiles) }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::unnecessary_cast,
    reason = "there are few, and the types differ"
)]
fn inodes(of: &rustix::fs::StatFs) -> u32 {
    (of.f_files as u64).wrapping_sub(of.f_ffree as u64) as u32
}
