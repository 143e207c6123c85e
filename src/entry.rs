//! The system calls of each step of an entry.

use core::ffi::CStr;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, fchmod, fstat, mkdirat, openat, statat, unlinkat};
use rustix::io::Errno;
use rustix::process::{Pid, Uid, chdir, chroot, fchdir};

use crate::error::{Error, Fault};
use crate::features::{DETACHED, FAILFS, FILES, USERNS};
use crate::files::{Files, Sources};
use crate::jail::{BecomeUser, Jail, Plan};
use crate::machine::{Action, State};
use crate::opened::opened;
use crate::os::{self, PATH_DIRECTORY};
use crate::parents::{PARENTS, TMPDIR, listed, parent};
use crate::protection::SessionKeyring;
use crate::root::Root;
use descriptors::Descriptors;
use path::{absolute, open_path, terminated};
use root::MODE;

mod descriptors;
mod directory;
mod path;
mod root;

pub use descriptors::{LeadsTo, OpenDirectories, leads_to};
pub(crate) use root::RootId;
pub use root::RootMutability;

/// The name of the new directory: random letters take the place of the dots. It ends with a NUL,
/// for the system calls.
const NAME: [u8; 28] = *b"autochroot-................\0";

/// The descriptors and facts of an entry. Dropping it closes every descriptor that it opened.
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Entry {
    /// The error of becoming the user.
    pub(crate) error: Option<Error>,
    pub(crate) descriptors: Descriptors,
    /// `/proc/self/stat` and its process, to find threads where a filter refuses `unshare`.
    pub(crate) stat: Option<(Pid, OwnedFd)>,
    /// No other process shares the root, the working directory or the descriptors.
    pub(crate) unshared: bool,
    pub(crate) keyring: SessionKeyring,
    /// Why each parent that was tried failed.
    pub(crate) tried: [Option<Fault>; PARENTS],
    uid: Uid,
    /// An entry by privilege has to set `no_new_privs`.
    pub(crate) sets_no_new_privs: bool,
    cwd: Option<OwnedFd>,
    parent: Option<OwnedFd>,
    name: [u8; NAME.len()],
    directory: Option<OwnedFd>,
    pub(crate) sources: Sources,
    /// The umask removed a part of the mode of the directory.
    umasked: bool,
    /// The descriptor, or the component of a path, at which a step failed.
    pub(crate) number: Option<i32>,
    pub(crate) place: RootId,
    maps: os::IdMaps,
    /// The user namespace came with an empty mount namespace, in which the process has another
    /// root.
    pub(crate) root_moved: bool,
}

impl Entry {
    pub(crate) fn new(jail: Jail<'_>) -> Self {
        // Without a jail the ids are not used.
        let (uid, sets_no_new_privs) = if jail.root().is_jail() { os::user() } else { (Uid::ROOT, false) };
        Entry {
            error: None,
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

    /// Returns the name of the parent with this index, if the root was made in a parent of the
    /// list.
    pub(crate) fn parent_of_the_list(&self, jail: Jail<'_>, index: usize) -> Option<&'static str> {
        if jail.path.is_none() && self.place.root.facts().has_parent { Some(parent(index)) } else { None }
    }

    /// Makes the system calls of the state.
    pub(crate) fn perform(&mut self, jail: Jail<'_>, state: &State) -> Result<(), Fault> {
        let plan = jail.plan;
        let outcome = match state.now {
            Action::Descriptors => self.descriptors.check(plan.threads, &mut self.number),
            Action::WorkingDirectory => self.save_cwd(),
            Action::Parent => self.open_parent(jail, state.parent),
            Action::Mkdir => self.make(),
            Action::OpenRoot => self.open(),
            Action::Unlink | Action::Discard => self.unlink(),
            Action::VerifyUnlinked => self.check_unlinked(),
            // The guard never fails. It lets the linker leave out the code for directories, 900
            // bytes, in a program that names none.
            Action::Directory if jail.root() == Root::Directory => self.open_directory(jail),
            Action::Fchdir => Ok(fchdir(opened(&self.directory))?),
            Action::Failfs if FAILFS => os::find_failfs().map(|()| self.place = RootId::FAILFS),
            Action::Chroot => match state.root {
                Root::Failfs if FAILFS => os::enter_failfs(),
                Root::Unlinked | Root::Detached | Root::Failfs | Root::Directory | Root::Unjailed => Ok(chroot(c".")?),
            },
            Action::ChdirRoot => match state.root {
                Root::Failfs if FAILFS => os::change_to_failfs(),
                Root::Unlinked | Root::Detached | Root::Failfs | Root::Directory | Root::Unjailed => Ok(chdir(c"/")?),
            },
            Action::Verify => self.verify(plan, state),
            Action::Return => Ok(fchdir(opened(&self.cwd))?),
            Action::Threads => os::only_thread().map(|stat| self.stat = stat),
            Action::Unshare => os::unshare_root_and_descriptors().map(|alone| self.unshared = alone),
            Action::NoNewPrivs => Ok(os::set_no_new_privs()?),
            // Only Linux has these actions, and a build may leave them out. Then no state leads to
            // them.
            Action::Files if FILES => {
                let files = jail.files.ok_or(Errno::NOSYS)?;
                self.sources.in_user_namespace = plan.user_first;
                (files.copier.open)(&mut self.sources, files, &mut self.number)
            }
            Action::Become => self.become_user(jail),
            Action::NewMountNamespace if DETACHED => Ok(os::new_mount_namespace()?),
            Action::Mount if FILES && plan.files => {
                let Files { copier, .. } = jail.files.ok_or(Errno::NOSYS)?;
                (copier.mount)(&mut self.sources)
            }
            Action::Mount if DETACHED => self.mount(),
            Action::Fill if FILES => self.fill(jail),
            Action::Proc if USERNS => self.maps.open_proc(plan, state.root, state.wants_mount()),
            Action::NewUserNamespace if USERNS => {
                os::new_user_namespace(state.wants_mount()).map(|moved| self.root_moved = moved)
            }
            Action::OpenMaps if USERNS => self.maps.open(plan, &mut self.sources.changed_dumpable),
            Action::MapUid if USERNS => self.maps.map_uid(),
            Action::DenySetgroups if USERNS => self.maps.deny_setgroups(),
            Action::MapGid if USERNS => self.maps.map_gid(),
            Action::DropNamespaceCapabilities if USERNS => os::drop_capabilities(plan, state.refused.is_some()),
            Action::Keyring if USERNS => {
                // If the kernel refuses another keyring, the entry goes on, and `Jailed` reports
                // it.
                self.keyring = os::join_keyring();
                Ok(())
            }
            Action::Directory
            | Action::Files
            | Action::Mount
            | Action::NewMountNamespace
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
                (self.tried.get_mut(state.parent), fault.is_of_parent(state.now.into()), fault == Fault::Unset)
            {
                *tried = Some(fault);
            }
        }
        outcome
    }

    fn mount(&mut self) -> Result<(), Fault> {
        let mount = os::mount()?;
        self.place = RootId::of(Root::Detached, &fstat(&mount)?);
        self.directory = Some(mount);
        Ok(())
    }

    fn fill(&mut self, jail: Jail<'_>) -> Result<(), Fault> {
        let files = jail.files.ok_or(Errno::NOSYS)?;
        let (root, contents) = (files.copier.fill)(&mut self.sources, files, &mut self.number)?;
        self.place = RootId::of(Root::Detached, &fstat(&root)?).with(Some(contents));
        self.directory = Some(root);
        Ok(())
    }

    /// Becomes the user, in "/": other processes of the user can look at this one, and must not
    /// find a working directory that was root's.
    fn become_user(&mut self, jail: Jail<'_>) -> Result<(), Fault> {
        let Some(BecomeUser(become_user)) = jail.become_user else { return Ok(()) };
        chdir(c"/")?;
        self.cwd = None;
        if let Err(mut error) = become_user() {
            error.traces.cwd = true;
            self.error = Some(error);
            return Err(error.fault);
        }
        let (uid, _) = os::user();
        (self.uid, self.maps) = (uid, os::IdMaps::new(uid));
        // If this fails, a refusal does not go back to "/". In either case the error names the
        // change of the working directory.
        let _ = self.save_cwd();
        Ok(())
    }

    /// Opens the working directory, to return to it after a failure. A directory that may not be
    /// searched cannot be opened. The entry goes on then; if it fails later, the error
    /// names the change of the working directory.
    fn save_cwd(&mut self) -> Result<(), Fault> {
        match openat(CWD, c".", PATH_DIRECTORY, Mode::empty()) {
            Ok(cwd) => self.cwd = Some(cwd),
            Err(Errno::ACCESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(())
    }

    /// Opens the parent. The names in the list end with a NUL, so a program that names no parent is
    /// linked without `open_path`.
    fn open_parent(&mut self, jail: Jail<'_>, index: usize) -> Result<(), Fault> {
        let parent = match (jail.path, index) {
            (Some([]), _) => return Err(Errno::NOENT.into()),
            (Some(path), _) => open_path(CWD, absolute(path)?, OFlags::empty())?,
            (None, TMPDIR) if jail.plan.threads => return Err(Fault::Unset),
            (None, TMPDIR) => os::open_tmpdir()?,
            (None, _) => openat(CWD, terminated(listed(index).as_bytes()), PATH_DIRECTORY, Mode::empty())?,
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
        Ok(mkdirat(opened(&self.parent), self.name(), MODE)?)
    }

    /// Makes a random name, so that nobody can take it first. The name need not be secret: if it is
    /// taken, `mkdirat` fails.
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
        let directory = match openat(opened(&self.parent), self.name(), flags, Mode::empty()) {
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

    /// Returns whether the umask removed the rights that opening the directory requires.
    fn is_umasked(&self) -> Result<bool, Errno> {
        let stat = statat(opened(&self.parent), self.name(), AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(!Mode::from_raw_mode(stat.st_mode).contains(Mode::RUSR | Mode::XUSR))
    }

    fn unlink(&mut self) -> Result<(), Fault> {
        Ok(unlinkat(opened(&self.parent), self.name(), AtFlags::REMOVEDIR)?)
    }

    /// Checks that `unlinkat` removed *this* directory, and not one that took its place: nothing
    /// can be created in it. An unlinked directory stays unlinked, so the check can run before
    /// anything in the process has changed.
    fn check_unlinked(&mut self) -> Result<(), Fault> {
        let directory = opened(&self.directory);
        let alive = !os::has_no_links(&fstat(directory)?);
        match mkdirat(directory, self.name(), MODE) {
            Err(Errno::NOENT) if !alive => {}
            made => {
                if made.is_ok() {
                    let _ = unlinkat(directory, self.name(), AtFlags::REMOVEDIR);
                }
                return Err(Fault::StillLinked);
            }
        }
        // Only now it is certain that this is our directory, and not one that took its place.
        if self.umasked { Ok(fchmod(directory, MODE)?) } else { Ok(()) }
    }

    /// Checks that "/" is the root that was made, and that ids and capabilities are as they should
    /// be.
    fn verify(&self, plan: Plan, state: &State) -> Result<(), Fault> {
        match self.place.root {
            Root::Failfs if FAILFS => os::verify_failfs()?,
            Root::Detached => {
                self.place.is_at(c"/")?;
                if self.place.is_writable() {
                    return self.verify_privilege(plan, state);
                }
                os::check_is_read_only()?;
                if let (true, Some(contents)) = (FILES, self.place.contents) {
                    os::check_inodes(contents.inodes)?;
                }
            }
            // That nothing can be created in an unlinked root was checked before, when everything
            // could be undone.
            Root::Unlinked | Root::Directory | Root::Failfs | Root::Unjailed => _ = self.place.is_at(c"/")?,
        }
        self.verify_privilege(plan, state)
    }

    /// Checks ids and capabilities in a user namespace, otherwise `no_new_privs`, if the entry has
    /// set it.
    fn verify_privilege(&self, plan: Plan, state: &State) -> Result<(), Fault> {
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
