//! What each step asks of the system: the one door to it.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, chmodat, fchmod, fstat, mkdirat, openat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::{Resource, Uid, chdir, chroot, fchdir, geteuid, getrlimit};

use crate::error::{Fault, Step};
use crate::jail::Plan;
use crate::machine::{Now, State};

#[cfg(any(target_os = "linux", target_os = "android"))]
mod landlock;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) mod privileges;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod unix;

#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as os;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use unix as os;

/// Where the directory is made if the caller names no parent. What is usually a tmpfs comes first: making and removing
/// a directory is several times cheaper there than on a disk. "/" is for an initramfs that has nothing else.
pub(crate) const PARENTS: [&str; 5] = ["/dev/shm", "/run", "/tmp", "/var/tmp", "/"];

/// For all to read and search: after a later `setuid`, a lookup in the root says `ENOENT` and not `EACCES`.
const MODE: Mode = Mode::from_raw_mode(0o555);

const NAME: &[u8] = b"autochroot-";

/// The system, and what an entry holds of it; dropped, it closes every descriptor that it opened.
pub(crate) struct System<'a> {
    pub(crate) plan: Plan,
    pub(crate) directories: OpenDirectories,
    named_parent: Option<&'a [u8]>,
    tried: [Option<Fault>; PARENTS.len()],
    uid: Uid,
    cwd: Option<OwnedFd>,
    parent: Option<OwnedFd>,
    name: [u8; NAME.len() + 16],
    directory: Option<OwnedFd>,
    pub(crate) root: Root,
    maps: os::Maps,
}

/// What tells one directory from all others, as long as it is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Root {
    device: u64,
    inode: u64,
}

impl Root {
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "the types differ from system to system")]
    const fn of(stat: &Stat) -> Root {
        Root { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
    }
}

impl<'a> System<'a> {
    pub(crate) fn new(plan: Plan, named_parent: Option<&'a [u8]>) -> Self {
        System {
            plan,
            directories: OpenDirectories::NotChecked,
            named_parent,
            tried: [None; PARENTS.len()],
            uid: geteuid(),
            cwd: None,
            parent: None,
            name: [0; NAME.len() + 16],
            directory: None,
            root: Root::default(),
            maps: os::Maps::default(),
        }
    }

    /// How many parents there are to try.
    pub(crate) const fn parents(&self) -> usize {
        if self.named_parent.is_some() { 1 } else { PARENTS.len() }
    }

    /// Why the parents of the list that were tried would not do.
    pub(crate) const fn tried(&self) -> [Option<Fault>; PARENTS.len()] {
        self.tried
    }

    /// The name of the parent with this index, if it is not the caller's.
    pub(crate) fn parent_of_the_list(&self, index: usize) -> Option<&'static str> {
        if self.named_parent.is_some() { None } else { PARENTS.get(index).copied() }
    }

    /// Do what `state` asks for.
    pub(crate) fn ask(&mut self, state: &State) -> Result<(), Fault> {
        let outcome = match state.now {
            Now::Do(Step::OpenDirectories) => self.see_no_open_directory(),
            Now::Do(Step::WorkingDirectory) => self.save_cwd(),
            Now::Do(Step::Parent) => self.open_parent(state.parent),
            Now::Do(Step::Make) => self.make(),
            Now::Do(Step::Open) => self.open(),
            Now::Do(Step::Unlink) | Now::Discard => self.unlink(),
            Now::Do(Step::Unlinked) => self.see_unlinked(),
            Now::Do(Step::Enter) => Ok(fchdir(held(self.directory.as_ref())?)?),
            Now::Do(Step::Chroot) => Ok(chroot(c".")?),
            Now::Do(Step::Root) => Ok(chdir(c"/")?),
            Now::Do(Step::Verify) => self.verify(state),
            Now::Do(step) => self.ask_os(step),
            Now::Return => Ok(fchdir(held(self.cwd.as_ref())?)?),
            Now::Inside | Now::Refused => Ok(()),
        };
        if let (Now::Do(Step::Parent | Step::Make | Step::Unlinked), Err(fault), None) =
            (state.now, outcome, self.named_parent)
        {
            if let Some(tried) = self.tried.get_mut(state.parent) {
                *tried = Some(fault);
            }
        }
        outcome
    }

    /// A working directory that may not be searched can neither be opened nor returned to. It is no reason to refuse:
    /// only if the entry fails later is it missed, and the error says so.
    fn save_cwd(&mut self) -> Result<(), Fault> {
        match openat(CWD, c".", os::SEARCH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(cwd) => self.cwd = Some(cwd),
            Err(Errno::ACCESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    fn open_parent(&mut self, index: usize) -> Result<(), Fault> {
        let path = self.named_parent.or(PARENTS.get(index).map(|path| path.as_bytes())).unwrap_or_default();
        if path.is_empty() {
            return Err(Errno::NOENT.into());
        }
        if !path.starts_with(b"/") {
            return Err(Fault::Relative);
        }
        let parent = openat(CWD, path, os::SEARCH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mode = Mode::from_raw_mode(fstat(&parent)?.st_mode);
        if mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX) {
            return Err(Fault::NotSticky);
        }
        self.parent = Some(parent);
        Ok(())
    }

    fn make(&mut self) -> Result<(), Fault> {
        self.draw_name(os::random()?);
        Ok(mkdirat(held(self.parent.as_ref())?, &self.name[..], MODE)?)
    }

    /// The name is secret only so that nobody can take it first: the directory is new, or `mkdirat` fails.
    fn draw_name(&mut self, random: u64) {
        let (start, digits) = self.name.split_at_mut(NAME.len());
        start.copy_from_slice(NAME);
        for (n, digit) in digits.iter_mut().enumerate() {
            *digit = b'a' + ((random >> (4 * n)) & 15) as u8;
        }
    }

    fn open(&mut self) -> Result<(), Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = openat(held(self.parent.as_ref())?, &self.name[..], flags, Mode::empty())?;
        let stat = fstat(&directory)?;
        if stat.st_uid != self.uid.as_raw() {
            return Err(Fault::NotOurs);
        }
        if !Mode::from_raw_mode(stat.st_mode).contains(MODE) {
            fchmod(&directory, MODE)?; // the umask took a part of it
        }
        self.root = Root::of(&stat);
        self.directory = Some(directory);
        Ok(())
    }

    fn unlink(&mut self) -> Result<(), Fault> {
        Ok(unlinkat(held(self.parent.as_ref())?, &self.name[..], AtFlags::REMOVEDIR)?)
    }

    /// That `unlinkat` removed *this* directory, and not one that took its place: nothing can be made in it any more.
    /// That is so for good, and is asked before anything in the process has changed.
    fn see_unlinked(&mut self) -> Result<(), Fault> {
        let directory = held(self.directory.as_ref())?;
        let alive = !os::has_no_links(&fstat(directory)?);
        match mkdirat(directory, &self.name[..], MODE) {
            Err(Errno::NOENT) if !alive => Ok(()),
            Ok(()) => unlinkat(directory, &self.name[..], AtFlags::REMOVEDIR)
                .map_or(Err(Fault::Alive), |()| Err(Fault::Alive)),
            Err(_) => Err(Fault::Alive),
        }
    }

    /// That "/" is the directory whose name was removed, and that nothing was gained or lost on the way to it.
    fn verify(&self, state: &State) -> Result<(), Fault> {
        self.root.is_at(c"/")?;
        if state.has.user_namespace { self.verify_user_namespace() } else { Ok(()) }
    }

    fn see_no_open_directory(&mut self) -> Result<(), Fault> {
        self.directories = os::see_no_open_directory()?;
        Ok(())
    }
}

/// What is known of open directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenDirectories {
    /// Nothing: the caller allowed them.
    NotChecked,
    /// There were none.
    None,
    /// There were none among the descriptors below this number, the limit of open descriptors or
    /// 65536. Without `/proc`, and
    /// elsewhere than on Linux, that is all that can be asked: a process may have lowered the limit before.
    NoneBelow(i32),
}

/// Without a list of the descriptors: ask for each number that a descriptor can have.
fn see_no_open_directory_below_the_limit() -> Result<OpenDirectories, Fault> {
    const MOST: i32 = 1 << 16;
    let limit =
        getrlimit(Resource::Nofile).current.and_then(|limit| i32::try_from(limit).ok()).unwrap_or(MOST).min(MOST);
    (0..limit).try_for_each(is_no_directory).map(|()| OpenDirectories::NoneBelow(limit))
}

/// That this is not a descriptor of a directory; it may be none at all. `O_PATH` and mounts are seen too.
#[allow(unsafe_code, reason = "a descriptor that is not ours is looked at")]
fn is_no_directory(fd: i32) -> Result<(), Fault> {
    // SAFETY: it is borrowed for this one call, which finds out whether it is open.
    match fstat(unsafe { BorrowedFd::borrow_raw(fd) }) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Err(Fault::OpenDirectory(fd)),
        Ok(_) | Err(Errno::BADF) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

impl Root {
    /// That `path` is this directory, and that it has no name.
    fn is_at(self, path: &CStr) -> Result<(), Fault> {
        let stat = statat(CWD, path, AtFlags::empty())?;
        if Root::of(&stat) == self && os::has_no_links(&stat) { Ok(()) } else { Err(Fault::NotTheRoot) }
    }

    /// The checks of [`Jailed::verify`](crate::Jailed::verify).
    pub(crate) fn verify(self) -> Result<Findings, Fault> {
        for path in [c"/", c"/..", c"."] {
            self.is_at(path)?;
        }
        let name = c"/autochroot";
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        if mkdirat(CWD, name, MODE).is_ok() {
            let _ = unlinkat(CWD, name, AtFlags::REMOVEDIR);
            return Err(Fault::Alive);
        }
        if openat(CWD, name, flags, Mode::RUSR).is_ok() {
            let _ = unlinkat(CWD, name, AtFlags::empty());
            return Err(Fault::Alive);
        }
        os::see_empty()?;
        Ok(Findings {
            nameless_files: os::takes_nameless_files(),
            mode: chmodat(CWD, c"/", MODE, AtFlags::empty()).is_ok(),
        })
    }
}

/// What can still be done to the root of a jail that holds: see [`Jailed::verify`](crate::Jailed::verify).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Findings {
    nameless_files: bool,
    mode: bool,
}

impl Findings {
    /// Whether files without a name can be made in it, `open(2)` with `O_TMPFILE`: they take memory or disk space until
    /// they are closed. An ordinary user who made the root on a tmpfs can, after a `chmod`; so can a root that keeps its capabilities.
    #[must_use]
    pub const fn takes_nameless_files(&self) -> bool {
        self.nameless_files
    }

    /// Whether its mode, owner's times and extended attributes can be changed, as by its owner.
    #[must_use]
    pub const fn mode_can_change(&self) -> bool {
        self.mode
    }
}

/// A descriptor that an earlier step has left.
fn held(fd: Option<&OwnedFd>) -> Result<BorrowedFd<'_>, Errno> {
    fd.map(AsFd::as_fd).ok_or(Errno::BADF)
}
