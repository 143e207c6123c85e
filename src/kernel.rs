//! What each step asks of the system: the one door to it.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, fchmod, fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::{Uid, chdir, chroot, fchdir, geteuid};

use crate::error::{Fault, Step};
use crate::jail::Plan;
use crate::machine::{Now, State};

#[cfg(any(target_os = "linux", target_os = "android"))]
#[path = "kernel/linux.rs"]
mod os;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "kernel/unix.rs"]
mod os;

/// Where the directory is made if the caller names no parent. What is usually a tmpfs comes first: making and removing
/// a directory is several times cheaper there than on a disk. "/" is for an initramfs that has nothing else.
pub(crate) const PARENTS: [&str; 5] = ["/dev/shm", "/run", "/tmp", "/var/tmp", "/"];

/// For all to read and search: after a later `setuid`, a lookup in the root says `ENOENT` and not `EACCES`.
const MODE: Mode = Mode::from_raw_mode(0o555);

const NAME: &[u8] = b"autochroot-";

/// The system, and what an entry holds of it; dropped, it closes every descriptor that it opened.
pub(crate) struct System<'a> {
    plan: Plan,
    named_parent: Option<&'a [u8]>,
    tried: [Option<Fault>; PARENTS.len()],
    uid: Uid,
    cwd: Option<OwnedFd>,
    parent: Option<OwnedFd>,
    name: [u8; NAME.len() + 16],
    directory: Option<OwnedFd>,
    identity: Identity,
    maps: os::Maps,
}

/// What tells one directory from all others, as long as it is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    #[allow(clippy::cast_sign_loss, clippy::unnecessary_cast, reason = "the types differ from system to system")]
    const fn of(stat: &Stat) -> Identity {
        Identity { device: stat.st_dev as u64, inode: stat.st_ino as u64 }
    }
}

impl<'a> System<'a> {
    pub(crate) fn new(plan: Plan, named_parent: Option<&'a [u8]>) -> Self {
        System {
            plan,
            named_parent,
            tried: [None; PARENTS.len()],
            uid: geteuid(),
            cwd: None,
            parent: None,
            name: [0; NAME.len() + 16],
            directory: None,
            identity: Identity::default(),
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

    /// Do what `state` asks for.
    pub(crate) fn ask(&mut self, state: &State) -> Result<(), Fault> {
        let outcome = match state.now {
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
        let path = self.named_parent.or_else(|| PARENTS.get(index).map(|path| path.as_bytes())).unwrap_or_default();
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
        self.identity = Identity::of(&stat);
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
        let root = statat(CWD, c"/", AtFlags::empty())?;
        if Identity::of(&root) != self.identity || !os::has_no_links(&root) {
            return Err(Fault::NotTheRoot);
        }
        if state.has.user_namespace { self.verify_user_namespace() } else { Ok(()) }
    }
}

/// A descriptor that an earlier step has left.
fn held(fd: Option<&OwnedFd>) -> Result<BorrowedFd<'_>, Errno> {
    fd.map(AsFd::as_fd).ok_or(Errno::BADF)
}
