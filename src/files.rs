//! The files of a detached root, and the check of their paths.
#![cfg_attr(
    not(feature = "files"),
    allow(dead_code, unreachable_pub, reason = "the jail knows them, the API does not")
)]

#[cfg(feature = "std")]
use std::os::fd::{AsRawFd as _, BorrowedFd};
#[cfg(feature = "std")]
use std::os::unix::ffi::OsStrExt as _;
#[cfg(feature = "std")]
use std::path::Path;

use rustix::fd::OwnedFd;

use crate::error::Fault;
use crate::features::FILES;

/// The most bytes that a file can have: 64 MiB.
pub(crate) const MOST_BYTES: u32 = 64 << 20;

/// The most bytes that all files can have: 1 GiB.
pub(crate) const MOST_TOGETHER: u32 = 1 << 30;

/// The most bytes that a path in the root can have.
const MOST_PATH: usize = 255;

/// A file of a detached root, for [`Jail::files`](crate::Jail::files) (Linux).
///
/// ```
/// # #[cfg(all(feature = "files", target_os = "linux"))] {
/// use autochroot::NamedFile;
///
/// const FILES: [NamedFile<'static>; 2] = [
///     NamedFile::copy(b"/etc/resolv.conf", b"/etc/resolv.conf"),
///     NamedFile::write(b"appliance\n", b"/etc/hostname"),
/// ];
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "a NamedFile does nothing by itself"]
pub struct NamedFile<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) source: Source<'a>,
    /// Executable in any case. If false, a copy is executable if its source is.
    pub(crate) executable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source<'a> {
    Path(&'a [u8]),
    Bytes(&'a [u8]),
    Descriptor(i32),
}

impl<'a> NamedFile<'a> {
    /// The most files that a root can have.
    pub const MOST: usize = 128;

    /// Copies the file at the path `source`, which is opened before the jail, to `path` in the
    /// root. Symbolic links are followed. If the source has an execute bit, the copy is executable,
    /// and the seal of a library then allows `execve` (`Sealed::refuses_execute` reports it). For
    /// data use [`write`](NamedFile::write), or remove the bit.
    ///
    /// The devices `null`, `zero`, `full`, `random` and `urandom` become devices. That requires
    /// `CAP_MKNOD` and `CAP_SYS_ADMIN`.
    pub const fn copy(source: &'a [u8], path: &'a [u8]) -> Self {
        NamedFile { path, source: Source::Path(source), executable: false }
    }

    /// Calls [`copy`](NamedFile::copy) with a `&str`, `Path`, `OsStr` or `String`. The path in the
    /// root is the same.
    #[cfg(feature = "std")]
    pub fn copy_path<P: AsRef<Path> + ?Sized>(source: &'a P) -> Self {
        let source = source.as_ref().as_os_str().as_bytes();
        Self::copy(source, source)
    }

    /// Writes `content` to `path` in the root. [`executable`](NamedFile::executable) makes the file
    /// executable.
    pub const fn write(content: &'a [u8], path: &'a [u8]) -> Self {
        NamedFile { path, source: Source::Bytes(content), executable: false }
    }

    /// Copies the file that this descriptor is open on, from its beginning, to `path` in the root.
    /// The descriptor stays open, and its offset stays the same. An execute bit counts as with
    /// [`copy`](NamedFile::copy). For a device, a descriptor opened
    /// with `O_PATH` suffices.
    #[cfg(feature = "std")]
    pub fn descriptor(fd: BorrowedFd<'a>, path: &'a [u8]) -> Self {
        Self::raw_descriptor(fd.as_raw_fd(), path)
    }

    /// Works like [`descriptor`](NamedFile::descriptor), without `std`. A descriptor that is not
    /// open is an error of [`Step::Files`](crate::Step::Files).
    pub const fn raw_descriptor(fd: i32, path: &'a [u8]) -> Self {
        NamedFile { path, source: Source::Descriptor(fd), executable: false }
    }

    /// Makes the file executable in the root, also if its source is not.
    pub const fn executable(mut self) -> Self {
        self.executable = true;
        self
    }
}

/// The files of a jail, and pointers to the functions that copy them, so that a program without
/// files is linked without that code, which is 11 KB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Files<'a> {
    pub(crate) named: &'a [NamedFile<'a>],
    pub(crate) writable: Option<Writable<'a>>,
    pub(crate) copier: &'static Copier,
}

/// A directory of the root that can be written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Writable<'a> {
    /// The bytes that are free after the files.
    pub(crate) bytes: u64,
    /// `None`: `/tmp`, for everyone.
    pub(crate) path: Option<&'a [u8]>,
    /// The user and group that get a directory with a path. `None`: those of the process.
    pub(crate) owner: Option<(u32, u32)>,
}

impl<'a> Writable<'a> {
    pub(crate) fn path(&self) -> &'a [u8] {
        self.path.unwrap_or(b"/tmp")
    }
}

/// A step that reads the files.
type Call<T> = fn(&mut Sources, Files<'_>, &mut Option<i32>) -> Result<T, Fault>;

/// The functions of the steps. If `open` or `fill` fails at a file, its last argument gets the
/// number of the file, counted from 0.
#[derive(Debug)]
pub(crate) struct Copier {
    /// Opens and checks all sources.
    pub(crate) open: Call<()>,
    /// Mounts the tmpfs, with the size of the files. From here to the end of `fill` the process is
    /// not dumpable: otherwise other processes of its user could open the tmpfs through `/proc`,
    /// and put files into it.
    pub(crate) mount: fn(&mut Sources) -> Result<(), Fault>,
    /// Copies the files, which are 0444 or 0555 in directories that are 0555, and makes the file
    /// system read-only, unless a directory of it can be written. Returns its root.
    pub(crate) fill: Call<(OwnedFd, Contents)>,
}

/// The files to read, and the tmpfs to fill.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Sources {
    pub(crate) opened: [Option<OwnedFd>; MOST_OPENED],
    /// The size of the tmpfs.
    pub(crate) bytes: u32,
    pub(crate) devices: bool,
    pub(crate) executables: bool,
    /// A file shows no size, as in procfs. Then the tmpfs gets the most that all files may have
    /// together.
    pub(crate) open_ended: bool,
    /// The root will be made in a user namespace, where no device can be made.
    pub(crate) in_user_namespace: bool,
    pub(crate) filling: Option<Filling>,
    /// Whether the process is dumpable has changed, and could not be changed back.
    pub(crate) changed_dumpable: bool,
}

/// The most sources that are opened: none in a build without files.
const MOST_OPENED: usize = if FILES { NamedFile::MOST } else { 0 };

/// A tmpfs that can still be written to.
pub(crate) struct Filling {
    pub(crate) tmpfs: OwnedFd,
    pub(crate) root: OwnedFd,
    /// The process was dumpable, and becomes so again.
    pub(crate) dumpable: bool,
}

impl Sources {
    pub(crate) const fn new() -> Self {
        Sources {
            opened: [const { None }; MOST_OPENED],
            bytes: 0,
            devices: false,
            executables: false,
            open_ended: false,
            in_user_namespace: false,
            filling: None,
            changed_dumpable: false,
        }
    }
}

/// The contents of a root with files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// How many inodes the file system counts.
    pub(crate) inodes: u32,
    /// Some of the files are devices.
    pub(crate) devices: bool,
    /// Some of the files are executable.
    pub(crate) executables: bool,
    /// A directory can be written.
    pub(crate) writable: bool,
}

/// Returns whether an earlier file is the same source at the same path: then this one is left out.
pub(crate) fn is_repeated(files: &[NamedFile<'_>], nth: usize) -> bool {
    let is_it = |file: &NamedFile<'_>| {
        files.iter().take(nth).any(|earlier| (earlier.path, earlier.source) == (file.path, file.source))
    };
    files.get(nth).is_some_and(is_it)
}

/// The most bytes that can be free: 1 TiB.
const MOST_WRITABLE: u64 = 1 << 40;

/// Checks the paths in the root, and the size of the writable directory. `number` is the file at
/// fault.
pub(crate) fn check(
    files: &[NamedFile<'_>],
    writable: Option<Writable<'_>>,
    number: &mut Option<i32>,
) -> Result<(), Fault> {
    if let Some(writable) = writable {
        check_path(writable.path())?;
        if writable.bytes == 0 || writable.bytes > MOST_WRITABLE {
            return Err(Fault::Size);
        }
    }
    for (n, file) in files.iter().enumerate() {
        *number = i32::try_from(n).ok();
        let before = files.iter().take(n);
        let meets = |path: &[u8]| is_below(path, file.path) || is_below(file.path, path);
        if n == NamedFile::MOST {
            return Err(Fault::TooManyFiles);
        }
        check_path(file.path)?;
        if writable.is_some_and(|writable| writable.path() == file.path || meets(writable.path())) {
            return Err(Fault::WritableFile);
        }
        if is_repeated(files, n) {
            continue;
        }
        if before.clone().any(|other| other.path == file.path) {
            return Err(Fault::SamePath);
        }
        if before.clone().any(|other| meets(other.path)) {
            return Err(Fault::BelowAFile);
        }
    }
    *number = None;
    Ok(())
}

/// Checks that a path is absolute, and has plain names, each after one slash.
fn check_path(path: &[u8]) -> Result<(), Fault> {
    let Some(relative) = path.strip_prefix(b"/") else { return Err(Fault::RelativeInRoot) };
    if path.len() > MOST_PATH {
        return Err(Fault::LongPath);
    }
    let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..") && !name.contains(&0);
    if relative.split(|&byte| byte == b'/').all(is_name) { Ok(()) } else { Err(Fault::NoName) }
}

/// Returns whether the second path leads through the first.
fn is_below(file: &[u8], path: &[u8]) -> bool {
    path.strip_prefix(file).is_some_and(|rest| rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_are_no_file_of_a_root_are_refused() {
        // Sources that differ.
        let check = |paths: &[&str]| {
            let files = paths.iter().zip(0..).map(|(path, fd)| NamedFile::raw_descriptor(fd, path.as_bytes()));
            let mut number = None;
            check(&files.collect::<Vec<_>>(), None, &mut number).map_err(|fault| (number.unwrap(), fault))
        };
        assert_eq!(check(&["/a", "/b/c", "/b/d", "/ab", "/...", "/b/c.d"]), Ok(()));
        for path in ["", "a", "a/b", "./a"] {
            assert_eq!(check(&["/x", path]), Err((1, Fault::RelativeInRoot)), "{path}");
        }
        for path in ["/", "//", "/a/", "/a//b", "//a", "/.", "/..", "/a/../b", "/a/.", "/a\0b"] {
            assert_eq!(check(&["/x", path]), Err((1, Fault::NoName)), "{path}");
        }
        assert_eq!(check(&["/a", "/b", "/a"]), Err((2, Fault::SamePath)));
        assert_eq!(check(&["/a", "/a/b"]), Err((1, Fault::BelowAFile)));
        assert_eq!(check(&["/a/b/c", "/a/b"]), Err((1, Fault::BelowAFile)));
        let long = |length| format!("/{}", "a".repeat(length));
        assert_eq!(check(&[&long(254)]), Ok(()));
        assert_eq!(check(&[&long(255)]), Err((0, Fault::LongPath)));
        let many: Vec<String> = (0..129).map(|n| format!("/{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(check(&many[..128]), Ok(()));
        assert_eq!(check(&many), Err((128, Fault::TooManyFiles)));
    }
}
