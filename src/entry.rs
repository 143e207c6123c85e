//! What each step asks of the system: the one door to it.

use core::ffi::CStr;

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{ABS, AtFlags, CWD, Mode, OFlags, fchmod, fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::{Pid, Uid, chdir, chroot, fchdir};

use crate::error::Fault;
use crate::features::{DETACHED, FILES, LINUX, USERNS};
use crate::files::{Files, Sources};
use crate::jail::{Jail, Plan};
use crate::machine::{Action, State};
use crate::os::{self, HELD};
use crate::parents::{PARENTS, TMPDIR, listed, parent};
use crate::protection::SessionKeyring;
use crate::root::Root;
use descriptors::Descriptors;
use path::{absolute, hold, terminated};
use root::MODE;

mod descriptors;
mod directory;
mod path;
mod root;

pub use descriptors::{LeadsTo, OpenDirectories, leads_to};
pub(crate) use root::RootId;
pub use root::RootMutability;

/// That of the directory in the parent, with places for random letters, and as the system calls want it.
const NAME: [u8; 28] = *b"autochroot-................\0";

/// The system, and what an entry holds of it; dropped, it closes every descriptor that it opened.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Entry {
    pub(crate) descriptors: Descriptors,
    /// Tells of threads where `unshare` does not.
    pub(crate) stat: Option<(Pid, OwnedFd)>,
    /// No other process shares the root, the working directory or the descriptors.
    pub(crate) unshared: bool,
    pub(crate) keyring: SessionKeyring,
    tried: [Option<Fault>; PARENTS],
    uid: Uid,
    /// An entry by privilege has to set `no_new_privs`.
    pub(crate) sets_no_new_privs: bool,
    cwd: Option<OwnedFd>,
    parent: Option<OwnedFd>,
    name: [u8; NAME.len()],
    directory: Option<OwnedFd>,
    sources: Sources,
    /// The umask took a part of its mode.
    umasked: bool,
    /// The descriptor, or the component of a path, at which a step failed.
    pub(crate) number: Option<i32>,
    pub(crate) place: RootId,
    maps: os::IdMaps,
    /// The user namespace came with an empty mount namespace, in which the root is another.
    pub(crate) root_moved: bool,
}

impl Entry {
    pub(crate) fn new(jail: Jail<'_>) -> Self {
        // Nobody asks without a jail.
        let (uid, sets_no_new_privs) = if jail.root() == Root::Unjailed { (Uid::ROOT, false) } else { os::user() };
        Entry {
            descriptors: Descriptors::NOT_CHECKED,
            stat: None,
            unshared: false,
            keyring: SessionKeyring::Inherited,
            tried: [None; PARENTS],
            uid,
            sets_no_new_privs,
            cwd: None,
            parent: None,
            name: NAME,
            directory: None,
            sources: Sources::new(),
            umasked: false,
            number: None,
            place: RootId::ANYWHERE,
            maps: os::IdMaps::new(uid),
            root_moved: false,
        }
    }

    /// Why the parents of the list that were tried would not do.
    pub(crate) const fn tried(&self) -> [Option<Fault>; PARENTS] {
        self.tried
    }

    /// The name of the parent with this index, if the root is in one of the list.
    pub(crate) fn parent_of_the_list(&self, jail: Jail<'_>, index: usize) -> Option<&'static str> {
        if jail.path.is_none() && self.place.root == Root::Unlinked { Some(parent(index)) } else { None }
    }

    /// Does what `state` asks for.
    pub(crate) fn perform(&mut self, jail: Jail<'_>, state: &State) -> Result<(), Fault> {
        let plan = jail.plan;
        let outcome = match state.now {
            Action::Descriptors => self.descriptors.check(plan.threads, &mut self.number),
            Action::WorkingDirectory => self.save_cwd(),
            Action::Parent => self.open_parent(jail, state.parent),
            Action::Mkdir => self.make(),
            Action::OpenRoot => self.open(),
            Action::Unlink | Action::Discard => self.unlink(),
            Action::VerifyUnlinked => self.see_unlinked(),
            // The condition always holds. Without it, a program that names no directory would have this code too.
            Action::Directory if jail.root() == Root::Directory => self.open_directory(jail),
            Action::Fchdir => Ok(fchdir(held(&self.directory))?),
            Action::Failfs if LINUX => self.find_failfs(),
            Action::Chroot if LINUX && state.root == Root::Failfs => os::enter_failfs(),
            Action::Chroot => Ok(chroot(c".")?),
            Action::ChdirRoot if LINUX && state.root == Root::Failfs => os::change_to_failfs(),
            Action::ChdirRoot => Ok(chdir(c"/")?),
            Action::Verify => self.verify(plan, state),
            Action::Return => Ok(fchdir(held(&self.cwd))?),
            Action::Threads => self.see_no_thread(),
            Action::Unshare => self.unshare(),
            Action::NoNewPrivs => Ok(os::set_no_new_privs()?),
            // What only Linux has, and a build may leave out: nothing leads there then.
            Action::Files if FILES => {
                let Files { named, copier } = jail.files.ok_or(Errno::NOSYS)?;
                (copier.open)(&mut self.sources, named, &mut self.number)
            }
            Action::Mount if FILES && plan.files => {
                let Files { copier, .. } = jail.files.ok_or(Errno::NOSYS)?;
                (copier.mount)(&mut self.sources)
            }
            Action::Mount if DETACHED => self.mount(),
            Action::Fill if FILES => self.fill(jail),
            Action::Proc if USERNS => self.maps.open_proc(plan, state.root, state.wants_mount()),
            Action::NewUserNamespace if USERNS => self.new_user_namespace(state.wants_mount()),
            Action::OpenMaps if USERNS => self.maps.open(plan),
            Action::MapUid if USERNS => self.maps.map_uid(),
            Action::DenySetgroups if USERNS => self.maps.deny_setgroups(),
            Action::MapGid if USERNS => self.maps.map_gid(),
            Action::DropNamespaceCapabilities if USERNS => os::drop_capabilities(plan),
            Action::Keyring if USERNS => {
                // A kernel that refuses another keyring is no reason to refuse the entry: `Jailed` reports it.
                self.keyring = os::join_keyring();
                Ok(())
            }
            Action::Directory
            | Action::Files
            | Action::Mount
            | Action::Fill
            | Action::Failfs
            | Action::Proc
            | Action::NewUserNamespace
            | Action::OpenMaps
            | Action::MapUid
            | Action::DenySetgroups
            | Action::MapGid
            | Action::DropNamespaceCapabilities
            | Action::Keyring => Err(Errno::NOSYS.into()),
            Action::Inside | Action::Refused => Ok(()),
        };
        if let (Err(fault), None) = (outcome, jail.path) {
            if let (Some(tried), true, false) =
                (self.tried.get_mut(state.parent), fault.is_of_parent(state.now.step()), fault == Fault::Unset)
            {
                *tried = Some(fault);
            }
        }
        outcome
    }

    fn see_no_thread(&mut self) -> Result<(), Fault> {
        self.stat = os::only_thread()?;
        Ok(())
    }

    fn unshare(&mut self) -> Result<(), Fault> {
        self.unshared = os::unshare_root_and_descriptors()?;
        Ok(())
    }

    fn find_failfs(&mut self) -> Result<(), Fault> {
        os::find_failfs()?;
        self.place = RootId::FAILFS;
        Ok(())
    }

    fn new_user_namespace(&mut self, to_mount: bool) -> Result<(), Fault> {
        self.root_moved = os::new_user_namespace(to_mount)?;
        Ok(())
    }

    fn mount(&mut self) -> Result<(), Fault> {
        let mount = os::mount()?;
        self.place = RootId::of(Root::Detached, &fstat(&mount)?);
        self.directory = Some(mount);
        Ok(())
    }

    fn fill(&mut self, jail: Jail<'_>) -> Result<(), Fault> {
        let Files { named, copier } = jail.files.ok_or(Errno::NOSYS)?;
        let (root, contents) = (copier.fill)(&mut self.sources, named, &mut self.number)?;
        self.place = RootId::of(Root::Detached, &fstat(&root)?).with(Some(contents));
        self.directory = Some(root);
        Ok(())
    }

    /// A working directory that may not be searched can neither be opened nor returned to. It is no reason to refuse:
    /// only if the entry fails later is it missed, and the error says so.
    fn save_cwd(&mut self) -> Result<(), Fault> {
        match openat(CWD, c".", HELD, Mode::empty()) {
            Ok(cwd) => self.cwd = Some(cwd),
            Err(Errno::ACCESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// The list is of C strings, so that a program that names no parent does without the code of `hold`.
    fn open_parent(&mut self, jail: Jail<'_>, index: usize) -> Result<(), Fault> {
        let parent = match (jail.path, index) {
            (Some([]), _) => return Err(Errno::NOENT.into()),
            (Some(path), _) => hold(CWD, absolute(path)?, OFlags::empty())?,
            (None, TMPDIR) if jail.plan.threads => return Err(Fault::Unset),
            (None, TMPDIR) => os::open_tmpdir()?,
            (None, _) => openat(CWD, terminated(listed(index).as_bytes()), HELD, Mode::empty())?,
        };
        let mode = Mode::from_raw_mode(fstat(&parent)?.st_mode);
        if mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX) {
            return Err(Fault::NotSticky);
        }
        self.parent = Some(parent);
        Ok(())
    }

    fn make(&mut self) -> Result<(), Fault> {
        self.draw_name()?;
        Ok(mkdirat(held(&self.parent), self.name(), MODE)?)
    }

    /// The name is secret only so that nobody can take it first: the directory is new, or `mkdirat` fails.
    fn draw_name(&mut self) -> Result<(), Errno> {
        let letters = &mut self.name[11..27];
        os::fill_with_random(&mut *letters)?;
        for letter in letters {
            *letter = b'a' + (*letter & 15);
        }
        Ok(())
    }

    fn name(&self) -> &CStr {
        terminated(&self.name)
    }

    fn open(&mut self) -> Result<(), Fault> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = match openat(held(&self.parent), self.name(), flags, Mode::empty()) {
            Err(Errno::ACCESS) if self.is_umasked()? => return Err(Fault::Umask),
            opened => opened?,
        };
        let stat = fstat(&directory)?;
        if stat.st_uid != self.uid.as_raw() {
            return Err(Fault::OtherOwner);
        }
        self.umasked = !Mode::from_raw_mode(stat.st_mode).contains(MODE);
        self.place = RootId::of(Root::Unlinked, &stat);
        self.directory = Some(directory);
        Ok(())
    }

    /// Returns whether the umask took away what it takes to open the directory.
    fn is_umasked(&self) -> Result<bool, Errno> {
        let stat = statat(held(&self.parent), self.name(), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(!Mode::from_raw_mode(stat.st_mode).contains(Mode::RUSR | Mode::XUSR))
    }

    fn unlink(&mut self) -> Result<(), Fault> {
        Ok(unlinkat(held(&self.parent), self.name(), AtFlags::REMOVEDIR)?)
    }

    /// That `unlinkat` removed *this* directory, and not one that took its place: nothing can be made in it any more.
    /// That is so for good, and is asked before anything in the process has changed.
    fn see_unlinked(&mut self) -> Result<(), Fault> {
        let directory = held(&self.directory);
        let alive = !os::has_no_links(&fstat(directory)?);
        match mkdirat(directory, self.name(), MODE) {
            Err(Errno::NOENT) if !alive => {}
            made => {
                if made.is_ok() {
                    let _ = unlinkat(directory, self.name(), AtFlags::REMOVEDIR);
                }
                return Err(Fault::Alive);
            }
        }
        // Not before it is known to be ours, and nobody else's that took its place.
        if self.umasked { Ok(fchmod(directory, MODE)?) } else { Ok(()) }
    }

    /// That "/" is the directory whose name was removed, and that nothing was gained or lost on the way to it.
    fn verify(&self, plan: Plan, state: &State) -> Result<(), Fault> {
        match self.place.root {
            Root::Failfs => os::verify_failfs()?,
            Root::Detached => {
                self.place.is_at(c"/")?;
                if mkdirat(CWD, c"/autochroot", MODE) != Err(Errno::ROFS) {
                    return Err(Fault::Alive);
                }
                if let (true, Some(contents)) = (FILES, self.place.contents) {
                    os::see_inodes(contents.inodes)?;
                }
            }
            // That an unlinked one takes no entries was tried before, where all could be undone.
            Root::Unlinked | Root::Directory | Root::Unjailed => _ = self.place.is_at(c"/")?,
        }
        if USERNS && state.has.user_namespace {
            self.maps.verify(plan)
        } else if state.has.no_new_privs {
            os::verify_no_new_privs()
        } else {
            Ok(())
        }
    }

    fn open_directory(&mut self, jail: Jail<'_>) -> Result<(), Fault> {
        let path = jail.path.unwrap_or_default();
        let (directory, stat) = directory::open(path, jail.plan.demands, self.uid.as_raw(), &mut self.number)?;
        self.place = RootId::of(Root::Directory, &stat);
        self.directory = Some(directory);
        Ok(())
    }
}

/// A descriptor that an earlier step has left, or one with which every call is `EBADF`.
#[allow(clippy::ref_option, reason = "an Option<&OwnedFd> takes more code to make")]
fn held(fd: &Option<OwnedFd>) -> BorrowedFd<'_> {
    fd.as_ref().map_or(ABS, AsFd::as_fd)
}
