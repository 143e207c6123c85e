//! The new user namespace of an entry without privilege: its id maps, and the capabilities that it
//! gives (Linux).

use core::ffi::CStr;

use linux_raw_sys::general::{__NR_statmount, mnt_id_req};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatVfsMountFlags, StatxFlags, fstatvfs, openat, statx};
use rustix::io::{Errno, write};
use rustix::process::{DumpableBehavior, Uid, dumpable_behavior, getegid, geteuid, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use crate::capabilities::Capabilities;
use crate::error::Fault;
use crate::features::FAILFS;
use crate::jail::{IdMap, Plan, UserNamespace};
use crate::linux::apparmor::restricts_this_process;
use crate::linux::proc::number_in;
use crate::linux::roots::checks::PATH_DIRECTORY;
use crate::linux::roots::failfs;
use crate::linux::seal::privileges::{
    empty_bounding_set, lock_securebits, restore_dumpable, set_no_new_privs, verify_no_new_privs,
};
use crate::linux::syscall::call;
use crate::linux::unshare::{Share, unshare};
use crate::opened::opened;
use crate::root::Root;
use crate::text::digits;

const NOTHING: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};

/// The effective ids, and the files by which they are mapped.
pub(crate) struct IdMaps {
    uid: Uid,
    gid: u32,
    no_setfcap: bool,
    proc: Option<OwnedFd>,
    uid_map: Option<OwnedFd>,
    setgroups: Option<OwnedFd>,
    gid_map: Option<OwnedFd>,
}

impl IdMaps {
    pub(crate) const fn new(uid: Uid) -> Self {
        IdMaps { uid, gid: 0, no_setfcap: false, proc: None, uid_map: None, setgroups: None, gid_map: None }
    }

    /// Opens `/proc/self` before the user namespace is created, so that obstacles to the id maps
    /// are found while everything can be undone.
    ///
    /// Fails if a user namespace would not help:
    ///
    /// - The process holds the capability that the failing call requires, so something else refused
    ///   the call. In a list, `CAP_SYS_CHROOT` is enough, because another root may need no mount.
    /// - `AppArmor` would remove the capabilities of the user namespace, and failfs, which needs
    ///   none, follows in the list.
    pub(crate) fn open_proc(&mut self, plan: Plan, root: Root, to_mount: bool) -> Result<(), Fault> {
        let held = capabilities(None)?.effective;
        let needed = if to_mount && plan.roots.is_one() { CapabilitySet::SYS_ADMIN } else { CapabilitySet::SYS_CHROOT };
        if plan.user_namespace != UserNamespace::Always {
            if held.contains(needed) {
                return Err(Fault::MayChroot);
            }
            if FAILFS && no_new_privs_will_do(plan, root) && failfs::find().is_ok() && restricts_this_process() {
                return Err(Fault::Restricted);
            }
        }
        if to_mount && plan.files && plan.id_map == IdMap::None {
            return Err(Fault::FilesWithoutIds);
        }
        self.gid = getegid().as_raw();
        self.no_setfcap = self.uid.is_root() && !held.contains(CapabilitySet::SETFCAP);
        if plan.id_map == IdMap::Identity {
            let proc = openat(CWD, c"/proc/self", PATH_DIRECTORY, Mode::empty())?;
            if fstatvfs(&proc)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
                return Err(Errno::ROFS.into());
            }
            self.proc = Some(proc);
            if !plan.dumpable && !self.uid.is_root() && dumpable_behavior()? != DumpableBehavior::Dumpable {
                return Err(Fault::NotDumpable);
            }
        }
        Ok(())
    }

    /// Opens the three files. They belong to root if the process is not dumpable. If the caller
    /// allows it, the process is made dumpable until they are open.
    pub(crate) fn open(&mut self, plan: Plan, changed_dumpable: &mut bool) -> Result<(), Fault> {
        match self.open_all() {
            Err(Errno::ACCESS) if plan.dumpable && dumpable_behavior()? != DumpableBehavior::Dumpable => {
                set_dumpable_behavior(DumpableBehavior::Dumpable)?;
                let opened = self.open_all();
                restore_dumpable(DumpableBehavior::NotDumpable, changed_dumpable)?;
                Ok(opened?)
            }
            opened => Ok(opened?),
        }
    }

    fn open_all(&mut self) -> Result<(), Errno> {
        let proc = opened(&self.proc);
        let open = |file: &CStr| openat(proc, file, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map(Some);
        let files = (open(c"uid_map")?, open(c"setgroups")?, open(c"gid_map")?);
        (self.uid_map, self.setgroups, self.gid_map) = files;
        Ok(())
    }

    pub(crate) fn map_uid(&self) -> Result<(), Fault> {
        match write_map(opened(&self.uid_map), self.uid.as_raw()) {
            Err(Fault::PERM) if self.no_setfcap => Err(Fault::NoSetfcap),
            written => written,
        }
    }

    pub(crate) fn deny_setgroups(&self) -> Result<(), Fault> {
        write_whole(opened(&self.setgroups), b"deny")
    }

    pub(crate) fn map_gid(&self) -> Result<(), Fault> {
        write_map(opened(&self.gid_map), self.gid)
    }

    /// Checks that no capability is held, `no_new_privs` is set, and the ids are the same.
    pub(crate) fn verify(&self, plan: Plan) -> Result<(), Fault> {
        let now = capabilities(None)?;
        if !(now.effective | now.permitted | now.inheritable).is_empty() {
            return Err(Fault::Capabilities);
        }
        verify_no_new_privs()?;
        if plan.id_map == IdMap::Identity && (geteuid(), getegid().as_raw()) != (self.uid, self.gid) {
            return Err(Fault::Ids);
        }
        Ok(())
    }
}

/// Returns whether a later kind of root in the list can be entered with `no_new_privs`.
pub(crate) fn no_new_privs_will_do(plan: Plan, root: Root) -> bool {
    plan.root_after(root).is_some_and(|next| next.facts().takes_no_new_privs || no_new_privs_will_do(plan, next))
}

/// Maps an id onto itself. The kernel skips spaces before a number.
fn write_map(file: BorrowedFd<'_>, id: u32) -> Result<(), Fault> {
    let number = digits(id);
    write_whole(file, [number, number, *b"          1"].as_flattened())
}

fn write_whole(file: BorrowedFd<'_>, content: &[u8]) -> Result<(), Fault> {
    if write(file, content)? == content.len() { Ok(()) } else { Err(Errno::IO.into()) }
}

/// Creates the user namespace, and for a tmpfs a mount namespace that belongs to it. Returns
/// whether the mount namespace is empty: then the root and the working directory of the process
/// have changed.
pub(crate) fn new(to_mount: bool) -> Result<bool, Fault> {
    if !to_mount {
        unshare(Share::UserNamespace)?;
        return Ok(false);
    }
    match unshare(Share::UserAndEmptyMountNamespace) {
        Ok(()) => Ok(true),
        Err(Errno::INVAL) => {
            unshare(Share::UserAndMountNamespace)?;
            Ok(false)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// Fails with the errno with which an ordinary user would fail to create a user namespace, if that
/// is known in advance.
pub(crate) fn known_to_fail() -> Result<(), Errno> {
    unshare(Share::Nothing)?;
    if number_in(c"/proc/sys/user/max_user_namespaces") == Some(0) {
        return Err(Errno::NOSPC);
    }
    let is_forbidden = is_chrooted() || number_in(c"/proc/sys/kernel/unprivileged_userns_clone") == Some(0);
    if is_forbidden { Err(Errno::PERM) } else { Ok(()) }
}

/// Returns whether the process is in a chroot, as far as that can be known: "/" is a directory
/// beneath a mount, the root of a mount that is not in the mount namespace (seen from Linux 6.8
/// on), or failfs.
pub(crate) fn is_chrooted() -> bool {
    const MOUNT_ROOT: u64 = 0x2000;
    const MNT_ID_UNIQUE: u32 = 0x4000; // linux/stat.h, STATX_MNT_ID_UNIQUE
    match statx(CWD, c"/", AtFlags::empty(), StatxFlags::from_bits_retain(MNT_ID_UNIQUE)) {
        Ok(root) => {
            root.stx_attributes_mask.bits() & !root.stx_attributes.bits() & MOUNT_ROOT != 0
                || root.stx_mask & MNT_ID_UNIQUE != 0 && is_elsewhere(root.stx_mnt_id)
        }
        Err(errno) => errno == Errno::OPNOTSUPP,
    }
}

/// Returns whether the mount with this id is not in the mount namespace of this process.
#[allow(unsafe_code, reason = "a call that rustix does not have")]
fn is_elsewhere(mount: u64) -> bool {
    let request = mnt_id_req { size: 24, spare: 0, mnt_id: mount, param: 0, mnt_ns_id: 0 };
    // SAFETY: the call reads the first 24 bytes of `request`, and has no room to write to.
    matches!(unsafe { call(__NR_statmount, [&raw const request as usize, 0, 0, 0]) }, Err(Errno::NOENT))
}

/// Creates a mount namespace that belongs to the user namespace that the process is in.
pub(crate) fn new_mount_namespace() -> Result<(), Errno> {
    unshare(Share::MountNamespace)
}

/// Drops the capabilities that the user namespace gave. While its bounding set is full, an `execve`
/// of a program with file capabilities, or of any program by uid 0, could give them back.
/// `no_new_privs` prevents both. After a refusal only the capabilities are dropped.
pub(crate) fn drop_capabilities(plan: Plan, is_refused: bool) -> Result<(), Fault> {
    if is_refused {
        return Ok(set_capabilities(None, NOTHING)?);
    }
    if plan.bounding_set {
        empty_bounding_set(Capabilities::NONE)?;
        lock_securebits()?;
    }
    set_no_new_privs()?;
    Ok(set_capabilities(None, NOTHING)?)
}
