//! What only Linux has: user namespaces, their id maps and capabilities.

mod keyring;
mod landlock;
mod privileges;
mod proc;
pub(crate) mod run_as;
pub(crate) mod seal;
mod seccomp;
mod threads;

pub(crate) use crate::protection::SessionKeyring;
pub(crate) use threads::{another_thread_lives, only_thread, unshare_is_filtered};

use core::ffi::CStr;
use core::mem::MaybeUninit;

use linux_raw_sys::general::__NR_io_uring_enter;
use rustix::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, RawDir, Stat, fstat, openat, readlinkat_raw, stat, statfs};
use rustix::io::{Errno, write};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::{
    DumpableBehavior, Uid, dumpable_behavior, getegid, geteuid, getgid, getuid, set_dumpable_behavior,
};
use rustix::rand::{GetRandomFlags, getrandom};
use rustix::thread::{
    CapabilitySet, CapabilitySets, UnshareFlags, capabilities, capability_is_in_bounding_set, no_new_privs,
    set_capabilities, unshare_unsafe,
};

use super::descriptors::LeadsTo;
use super::libc::{call, is_secure_execution, user_ids, variable};
use super::{Entry, HELD, OpenDirectories, RootId, absolute, held};
use crate::capabilities::Capabilities;
use crate::error::Fault;
use crate::jail::{IdMap, Plan, Root};
use crate::text::number;
use privileges::{empty_bounding_set, lock_securebits};
use threads::unshare_root_and_descriptors;

/// To hold a directory for `fchdir` and the `…at` calls: needs no permission to read it.
pub(super) const SEARCH: OFlags = OFlags::PATH;

/// What this build has.
pub(super) const DETACHED: bool = cfg!(feature = "detached");
pub(super) const USERNS: bool = cfg!(feature = "userns");

const NOTHING: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// What the id maps take.
#[derive(Default)]
pub(super) struct IdMaps {
    gid: u32,
    no_setfcap: bool,
    proc: Option<OwnedFd>,
    uid_map: Option<OwnedFd>,
    setgroups: Option<OwnedFd>,
    gid_map: Option<OwnedFd>,
}

/// `GRND_INSECURE` (Linux 5.6) does not wait for the entropy pool, so that an `/init` is not held up.
pub(super) fn fill_with_random(bytes: &mut [u8]) -> Result<(), Errno> {
    let length = getrandom(&mut *bytes, GetRandomFlags::INSECURE)
        .or_else(|_| getrandom(&mut *bytes, GetRandomFlags::NONBLOCK))?;
    if length == bytes.len() { Ok(()) } else { Err(Errno::IO) }
}

/// The directory that the environment names. Whoever starts a program that has more privilege does not choose it.
#[allow(unsafe_code, reason = "std allocates for the value, and its lock may be held in a fork")]
pub(super) fn open_tmpdir() -> Result<OwnedFd, Fault> {
    if !cfg!(feature = "std") || is_secure_execution() || getuid() != geteuid() || getgid() != getegid() {
        return Err(Fault::Unset);
    }
    // SAFETY: nobody changes the environment meanwhile: other threads are ruled out by now, and who forks while one of them may do
    // so must not do more in the fork than that allows.
    let Some(tmpdir) = (unsafe { variable(c"TMPDIR") }) else { return Err(Fault::Unset) };
    absolute(tmpdir.to_bytes())?;
    Ok(openat(CWD, tmpdir, HELD, Mode::empty())?)
}

/// Checks that `no_new_privs` is in force.
pub(super) fn verify_no_new_privs() -> Result<(), Fault> {
    if no_new_privs()? { Ok(()) } else { Err(Fault::NoNewPrivs) }
}

/// Maps an id onto itself. The kernel passes over the spaces before a number.
fn write_map(file: BorrowedFd<'_>, id: u32) -> Result<(), Fault> {
    let number = digits(id);
    write_whole(file, [number, number, *b"          1"].as_flattened())
}

fn write_whole(file: BorrowedFd<'_>, content: &[u8]) -> Result<(), Fault> {
    if write(file, content)? == content.len() { Ok(()) } else { Err(Errno::IO.into()) }
}

/// Whether a descriptor without a file type is an `io_uring`: for all others, an `eventfd` for example, the call fails with
/// `EOPNOTSUPP`. It submits nothing and waits for nothing.
#[allow(unsafe_code, reason = "a call that rustix does not have")]
pub(super) fn is_a_ring(fd: i32) -> Result<LeadsTo, Errno> {
    // SAFETY: without an entry to submit and without flags, the call takes no pointer.
    match unsafe { call(__NR_io_uring_enter, [fd.unsigned_abs() as usize, 0, 0, 0]) } {
        Err(Errno::OPNOTSUPP) => Ok(LeadsTo::Neither),
        Err(Errno::BADF) => Err(Errno::BADF),
        // The kernel has no rings or a filter refuses the call: the name of the file tells too.
        Err(errno @ (Errno::NOSYS | Errno::PERM | Errno::ACCESS)) => Ok(match is_named_a_ring(fd) {
            Some(true) => LeadsTo::Ring,
            None if errno != Errno::NOSYS => LeadsTo::PerhapsARing,
            Some(false) | None => LeadsTo::Neither,
        }),
        Ok(_) | Err(_) => Ok(LeadsTo::Ring),
    }
}

fn is_named_a_ring(fd: i32) -> Option<bool> {
    let descriptors = proc::open_directory(CWD, c"/proc/thread-self/fd").ok()?;
    let mut name = [0; 12];
    for (place, digit) in name.iter_mut().zip(digits(fd.unsigned_abs()).trim_ascii_start()) {
        *place = *digit;
    }
    let mut target = [MaybeUninit::uninit(); 32];
    let (target, _) = readlinkat_raw(&descriptors, CStr::from_bytes_until_nul(&name).ok()?, &mut target).ok()?;
    Some(*target == *b"anon_inode:[io_uring]")
}

/// A number in eleven places, with spaces before it.
fn digits(number: u32) -> [u8; 11] {
    let (mut digits, mut rest) = ([b' '; 11], number);
    for place in digits.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    digits
}

/// A removed directory has no link left, on every file system that was tried.
pub(super) const fn has_no_links(stat: &Stat) -> bool {
    stat.st_nlink == 0
}

impl Entry {
    pub(super) fn see_no_thread(&mut self) -> Result<(), Fault> {
        self.stat = only_thread()?;
        Ok(())
    }

    pub(super) fn unshare(&mut self) -> Result<(), Fault> {
        self.unshared = unshare_root_and_descriptors()?;
        Ok(())
    }

    /// A tmpfs that is mounted nowhere: its descriptor is the only way to it, and the root directory after that.
    pub(super) fn mount(&mut self) -> Result<(), Fault> {
        let tmpfs = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
        fsconfig_create(&tmpfs)?;
        let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
            | MountAttrFlags::MOUNT_ATTR_NOSUID
            | MountAttrFlags::MOUNT_ATTR_NODEV
            | MountAttrFlags::MOUNT_ATTR_NOEXEC;
        let mount = fsmount(&tmpfs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
        self.place = RootId::of(Root::Detached, &fstat(&mount)?);
        self.directory = Some(mount);
        Ok(())
    }

    /// Opens `/proc/self` before the user namespace is made, so that what stands in the way of the id maps is found while everything can
    /// be undone.
    pub(super) fn open_proc(&mut self, plan: Plan) -> Result<(), Fault> {
        self.maps.gid = getegid().as_raw();
        self.maps.no_setfcap = self.uid.is_root() && !capabilities(None)?.effective.contains(CapabilitySet::SETFCAP);
        if plan.id_map == IdMap::Identity {
            self.maps.proc = Some(openat(CWD, c"/proc/self", HELD, Mode::empty())?);
            if !plan.dumpable && !self.uid.is_root() && dumpable_behavior()? != DumpableBehavior::Dumpable {
                return Err(Fault::NotDumpable);
            }
        }
        Ok(())
    }

    /// Opens the three files at once. If the process is not dumpable they belong to root: then, if the caller allows it, the process is
    /// dumpable until they are open, and no longer.
    pub(super) fn open_maps(&mut self, plan: Plan) -> Result<(), Fault> {
        match self.open_all_maps() {
            Err(Errno::ACCESS) if plan.dumpable && dumpable_behavior()? != DumpableBehavior::Dumpable => {
                set_dumpable_behavior(DumpableBehavior::Dumpable)?;
                let opened = self.open_all_maps();
                set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
                Ok(opened?)
            }
            opened => Ok(opened?),
        }
    }

    fn open_all_maps(&mut self) -> Result<(), Errno> {
        let proc = held(&self.maps.proc);
        let open = |file: &CStr| openat(proc, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map(Some);
        let files = (open(c"uid_map")?, open(c"setgroups")?, open(c"gid_map")?);
        (self.maps.uid_map, self.maps.setgroups, self.maps.gid_map) = files;
        Ok(())
    }

    pub(super) fn map_uid(&self) -> Result<(), Fault> {
        match write_map(held(&self.maps.uid_map), self.uid.as_raw()) {
            Err(Fault::PERM) if self.maps.no_setfcap => Err(Fault::NoSetfcap),
            written => written,
        }
    }

    pub(super) fn deny_setgroups(&self) -> Result<(), Fault> {
        write_whole(held(&self.maps.setgroups), b"deny")
    }

    pub(super) fn map_gid(&self) -> Result<(), Fault> {
        write_map(held(&self.maps.gid_map), self.maps.gid)
    }

    /// A kernel that refuses another keyring is no reason to refuse the entry: [`Jailed`](crate::Jailed) reports it.
    pub(super) fn join_keyring(&mut self) {
        self.keyring = keyring::join();
    }

    pub(super) fn verify_user_namespace(&self, plan: Plan) -> Result<(), Fault> {
        let now = capabilities(None)?;
        if !(now.effective | now.permitted | now.inheritable).is_empty() {
            return Err(Fault::Capabilities);
        }
        verify_no_new_privs()?;
        if plan.id_map == IdMap::Identity && (geteuid(), getegid().as_raw()) != (self.uid, self.maps.gid) {
            return Err(Fault::Ids);
        }
        Ok(())
    }

    /// Looks at every descriptor: at the first numbers until as many are found as `/proc` counts, or else at all that it lists.
    /// `/proc/self` is the first thread, which may have descriptors of its own.
    pub(super) fn see_no_open_directory(&mut self, threads: bool) -> Result<(), Fault> {
        (self.directories, self.rings_checked) = (OpenDirectories::None, true);
        let descriptors = if threads { c"/proc/thread-self/fd" } else { c"/proc/self/fd" };
        let is_proc = match statfs(descriptors) {
            Ok(proc) => proc.f_type == PROC_SUPER_MAGIC,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => false,
            Err(errno) => return Err(errno.into()),
        };
        if !is_proc {
            return self.see_no_open_directory_below_the_limit();
        }
        if self.see_as_many_as_there_are(descriptors)? {
            return Ok(());
        }
        let list = proc::open_directory(CWD, descriptors)?;
        let own = list.as_raw_fd();
        proc::list(&list, &mut |name| match number(name.to_bytes()).and_then(|fd| i32::try_from(fd).ok()) {
            Some(fd) if fd != own => self.is_no_directory(fd).map(drop),
            _ => Ok(()),
        })
    }

    /// From Linux 6.2 on the size of /proc/self/fd is the number of descriptors. Whether as many were found, and neither a signal
    /// handler nor a thread has opened or closed some meanwhile: not on an older kernel, and not if they are far apart.
    fn see_as_many_as_there_are(&mut self, descriptors: &CStr) -> Result<bool, Fault> {
        let count = || stat(descriptors).map_or(0, |proc| i32::try_from(proc.st_size).unwrap_or(0));
        let counted = count();
        if counted <= 0 {
            return Ok(false);
        }
        let mut more = counted;
        for fd in 0..counted.saturating_mul(2).saturating_add(256) {
            more -= i32::from(self.is_no_directory(fd)?);
            if more == 0 {
                return Ok(count() == counted);
            }
        }
        Ok(false)
    }
}

/// A tmpfs takes a mount namespace that belongs to the user namespace.
pub(super) fn new_user_namespace(to_mount: bool) -> Result<(), Fault> {
    Ok(unshare(if to_mount { Share::UserAndMountNamespace } else { Share::UserNamespace })?)
}

/// The effective user id, and whether an entry by privilege has to set `no_new_privs`: unless the real, effective and saved ids are all
/// root's. Who can chroot could otherwise have a set-id program load a library of his own.
pub(super) fn user() -> (Uid, bool) {
    let [real, effective, saved] = user_ids();
    (Uid::from_raw(effective), [real, effective, saved] != [0; 3])
}

pub(super) fn set_no_new_privs() -> Result<(), Errno> {
    rustix::thread::set_no_new_privs(true)
}

/// With the user namespace came a full bounding set, from which an `execve` would fill the other sets: that of a program
/// with file capabilities, or any that uid 0 makes. `no_new_privs` closes both, in one call.
pub(super) fn shed(plan: Plan) -> Result<(), Fault> {
    if plan.bounding_set {
        empty_bounding_set(Capabilities::NONE)?;
        lock_securebits()?;
    }
    set_no_new_privs()?;
    Ok(set_capabilities(None, NOTHING)?)
}

/// That "/" has no entries. What is sealed may not be listed at all.
pub(super) fn see_empty_root() -> Result<(), Fault> {
    match see_empty(CWD) {
        Err(Fault::ACCESS) => Ok(()),
        seen => seen,
    }
}

/// That a directory, or for `CWD` the root, has no entries. A removed directory has not even "." and "..", its
/// `getdents` says `ENOENT`.
pub(super) fn see_empty(directory: BorrowedFd<'_>) -> Result<(), Fault> {
    let path = if directory.as_raw_fd() == CWD.as_raw_fd() { c"/" } else { c"." };
    let list = openat(directory, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut buffer = [MaybeUninit::uninit(); 512];
    let mut entries = RawDir::new(list, &mut buffer);
    while let Some(entry) = entries.next() {
        match entry {
            Err(Errno::NOENT) => break,
            Ok(entry) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
            entry => return entry.map_or_else(|errno| Err(errno.into()), |_| Err(Fault::NotEmpty)),
        }
    }
    Ok(())
}

/// Whether this process may change the mode of what this is the status of: its owner may, and `CAP_FOWNER`.
pub(super) fn may_change_mode(stat: &Stat) -> bool {
    stat.st_uid == geteuid().as_raw()
        || capabilities(None).is_ok_and(|held| held.effective.contains(CapabilitySet::FOWNER))
}

pub(super) fn takes_nameless_files() -> bool {
    openat(CWD, c"/", OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR).is_ok()
}

/// Whether `CAP_SYS_CHROOT` can still be had: it is in the bounding set.
pub(crate) fn may_chroot_ever() -> bool {
    capability_is_in_bounding_set(CapabilitySet::SYS_CHROOT) == Ok(true)
}

/// What this crate unshares: none of it takes a descriptor away from a thread that uses it.
#[derive(Clone, Copy)]
pub(super) enum Share {
    /// Nothing, which the kernel itself never refuses.
    Nothing,
    /// The memory: fails if anything shares it.
    Memory,
    RootAndDescriptors,
    UserNamespace,
    UserAndMountNamespace,
}

/// `unshare(2)`, which rustix has as an unsafe function only.
#[allow(unsafe_code, reason = "rustix has no safe one")]
pub(super) fn unshare(share: Share) -> Result<(), Errno> {
    const CLONE_VM: u32 = 0x100; // linux/sched.h; rustix has no name for it
    let flags = match share {
        Share::Nothing => UnshareFlags::empty(),
        Share::Memory => UnshareFlags::from_bits_retain(CLONE_VM),
        Share::RootAndDescriptors => UnshareFlags::FS | UnshareFlags::FILES,
        Share::UserNamespace => UnshareFlags::NEWUSER,
        Share::UserAndMountNamespace => UnshareFlags::NEWUSER | UnshareFlags::NEWNS,
    };
    // SAFETY: what is unsafe is CLONE_FILES, by which a descriptor that one thread opens could be unknown to another one. It is given
    // only once the state machine has ruled out other threads.
    unsafe { unshare_unsafe(flags) }
}
