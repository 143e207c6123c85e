//! Named files: their sources are opened before the jail, and copied into a detached root (Linux).
#![cfg_attr(not(feature = "files"), allow(dead_code, reason = "what is left out calls it"))]
#![allow(unsafe_code, reason = "descriptors of the caller's are read from")]

use core::ffi::CStr;

use linux_raw_sys::general::RLIMIT_FSIZE;
use rustix::fd::{AsFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, chmodat, fchmod, fcntl_getfl, fstat, fstatfs, major, makedev, minor,
    mkdirat, mknodat, openat, statat, statfs,
};
use rustix::io::{Errno, pread, write};
use rustix::mount::{fsconfig_reconfigure, fsconfig_set_flag};
use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, capabilities};

use crate::error::{Error, Fault, Residue, Step};
use crate::files::{Contents, Copier, Filling, MOST_BYTES, NamedFile, Source, Sources, check};
use crate::hints::explain::explain;
use crate::linux::proc::list;
use crate::linux::roots::detached;
use crate::linux::syscall::soft_limit;
use crate::linux::user::maps::{Map, Of};
use crate::text::c_str;

/// The largest size of a page.
const PAGE: u32 = 1 << 16;

/// The minor numbers of the devices null, zero, full, random and urandom, whose major number is 1.
const DEVICES: [u32; 5] = [3, 5, 7, 8, 9];

/// The code that [`Jail::files`](crate::Jail::files) links.
pub(crate) static COPIER: Copier = Copier { open: open_all, mount, fill };

/// A source that was checked.
enum Kind {
    /// A regular file, and its size.
    File(u32),
    /// A device, and its minor number.
    Device(u32),
}

/// Opens and checks all sources, with the rights of the caller.
fn open_all(sources: &mut Sources, files: &[NamedFile<'_>], number: &mut Option<i32>) -> Result<(), Fault> {
    check(files).map_err(|(nth, fault)| {
        *number = i32::try_from(nth).ok();
        fault
    })?;
    sources.bytes = PAGE;
    for ((nth, file), place) in (0..).zip(files).zip(&mut sources.opened) {
        *number = Some(nth);
        let kind = match file.source {
            Source::Bytes(content) => Kind::File(bounded(content.len())?),
            Source::Descriptor(fd) => {
                let fd = borrow(fd)?;
                let kind = kind(&fstat(fd)?)?;
                let flags = fcntl_getfl(fd)?;
                if let (Kind::File(_), true) = (&kind, flags.intersects(OFlags::PATH | OFlags::WRONLY)) {
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
        sources.bytes += match kind {
            // The files of /proc have no size, and are read to their end.
            Kind::File(0) => MOST_BYTES,
            Kind::File(size) => size.next_multiple_of(PAGE),
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
    }
    *number = None;
    Ok(())
}

fn mount(sources: &mut Sources) -> Result<(), Fault> {
    let dumpable = dumpable_behavior()? == DumpableBehavior::Dumpable;
    if dumpable {
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    }
    let mounted = detached::mount_to_fill(sources.bytes, sources.devices);
    if let (true, Err(_)) = (dumpable, &mounted) {
        set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    }
    let (tmpfs, root) = mounted?;
    sources.filling = Some(Filling { tmpfs, root, dumpable });
    Ok(())
}

fn fill(
    sources: &mut Sources,
    files: &[NamedFile<'_>],
    number: &mut Option<i32>,
) -> Result<(OwnedFd, Contents), Fault> {
    let Some(Filling { tmpfs, root, dumpable }) = sources.filling.take() else { return Err(Errno::BADF.into()) };
    let filled = copy_all(sources, &tmpfs, root.as_fd(), files, number);
    if dumpable {
        set_dumpable_behavior(DumpableBehavior::Dumpable)?;
    }
    Ok((root, Contents { inodes: filled?, devices: sources.devices }))
}

/// Copies the files, makes the file system read-only, checks that it holds nothing else, and returns
/// the number of its inodes.
fn copy_all(
    sources: &Sources,
    tmpfs: &OwnedFd,
    root: BorrowedFd<'_>,
    files: &[NamedFile<'_>],
    number: &mut Option<i32>,
) -> Result<u32, Fault> {
    let mut count = 0;
    each_directory(files, &mut |nth, directory| {
        *number = i32::try_from(nth).ok();
        count += 1;
        mkdirat(root, directory, Mode::RWXU)?;
        // The umask may have taken a part of it.
        Ok(chmodat(root, directory, Mode::RWXU, AtFlags::empty())?)
    })?;
    for ((nth, file), opened) in (0..).zip(files).zip(&sources.opened) {
        *number = Some(nth);
        count += 1;
        let mut buffer = [0; 256];
        let path = relative(file.path, file.path.len(), &mut buffer)?;
        match (file.source, opened) {
            (Source::Bytes(content), _) => write_whole(&create(root, path)?, content, 0)?,
            (Source::Descriptor(fd), _) => copy(borrow(fd)?, root, path)?,
            (Source::Path(_), Some(opened)) => copy(opened.as_fd(), root, path)?,
            (Source::Path(_), None) => return Err(Errno::BADF.into()),
        }
    }
    *number = None;
    let mode = Mode::from_raw_mode(0o555);
    each_directory(files, &mut |_, directory| Ok(chmodat(root, directory, mode, AtFlags::empty())?))?;
    chmodat(root, c".", mode, AtFlags::empty())?;
    fsconfig_set_flag(tmpfs, c"ro")?;
    fsconfig_reconfigure(tmpfs)?;
    let mut there = entries(root, c".")?;
    each_directory(files, &mut |_, directory| {
        there += entries(root, directory)?;
        Ok(())
    })?;
    if there == count { Ok(inodes(&fstatfs(root)?)) } else { Err(Fault::OtherFiles) }
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

/// Checks the paths in the root, for the launcher.
///
/// # Errors
///
/// [`Step::Files`]
pub fn check_files(files: &[NamedFile<'_>]) -> Result<(), Error> {
    check(files).map_err(|(nth, fault)| {
        let error = Error::inside(Step::Files, fault, Residue::default());
        Error { number: i32::try_from(nth).ok(), ..error }
    })
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
        Kind::File(_) => OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY,
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
        FileType::RegularFile => Ok(Kind::File(bounded(usize::try_from(stat.st_size).unwrap_or(usize::MAX))?)),
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
fn copy(from: BorrowedFd<'_>, root: BorrowedFd<'_>, path: &CStr) -> Result<(), Fault> {
    let before = fstat(from)?;
    let size = match kind(&before)? {
        Kind::File(size) => size,
        Kind::Device(number) => {
            let mode = Mode::from_raw_mode(0o666);
            match mknodat(root, path, FileType::CharacterDevice, mode, makedev(1, number)) {
                Err(Errno::PERM) => return Err(Fault::NoDevice),
                done => done?,
            }
            return Ok(chmodat(root, path, mode, AtFlags::empty())?);
        }
    };
    let to = create(root, path)?;
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

/// Creates a file that everyone can read.
fn create(root: BorrowedFd<'_>, path: &CStr) -> Result<OwnedFd, Errno> {
    let mode = Mode::from_raw_mode(0o444);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = openat(root, path, flags, mode)?;
    // The umask may have taken a part of it.
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

/// The first bytes of an absolute path, without the slash at its beginning.
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
