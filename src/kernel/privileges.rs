//! What a process in the jail gives away for good: its user, its capabilities, all access (Linux).
//!
//! The calls are those for one thread, so each way begins with the check that there is but one.

use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, getegid, geteuid, getgid, getuid};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, capabilities_secure_bits,
    capability_is_in_ambient_set, capability_is_in_bounding_set, configure_capability_in_ambient_set, no_new_privs,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits, set_keep_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::landlock;
use super::threads::still_alone;
use crate::capabilities::Capabilities;
use crate::error::{Fault, Step};
use crate::jail::Root;
use crate::jailed::{Jailed, Seal};

/// What no id may be: to the system calls it means "leave it as it is".
const NO_ID: u32 = u32::MAX;
const NGROUPS_MAX: usize = 65536;

/// `NOROOT`, `NO_SETUID_FIXUP` and `NO_CAP_AMBIENT_RAISE`, not `KEEP_CAPS`, and the lock of each.
const SECUREBITS: u32 = 0b1110_1111;

/// To become another user.
pub(crate) struct RunAs<'a> {
    pub(crate) jailed: &'a Jailed,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: &'a [u32],
    pub(crate) keep: Capabilities,
}

impl RunAs<'_> {
    /// What must be so, and changes nothing.
    pub(crate) const CHECKS: &'static [Step] = &[Step::Threads, Step::Ids, Step::Keep];

    /// What is done then: in a user namespace there are no groups to set.
    pub(crate) const fn changes(in_user_namespace: bool, uid: u32) -> &'static [Step] {
        match (in_user_namespace, uid) {
            (true, _) => &[Step::SetGid, Step::SetUid, Step::Verify],
            (false, 0) => &[Step::SetGroups, Step::SetGid, Step::SetUid, Step::Verify],
            (false, _) => &[
                Step::SetGroups,
                Step::SetGid,
                Step::BoundingSet,
                Step::Ambient,
                Step::Securebits,
                Step::SetUid,
                Step::DropCapabilities,
                Step::Verify,
            ],
        }
    }

    pub(crate) fn ask(&self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Threads => still_alone(self.jailed.stat()),
            Step::Ids => self.check(),
            Step::Keep => held_of(self.keep),
            Step::SetGroups => Ok(set_thread_groups(gids(self.groups))?),
            Step::SetGid => {
                let gid = Gid::from_raw(self.gid);
                Ok(set_thread_res_gid(gid, gid, gid)?)
            }
            Step::BoundingSet => empty_bounding_set_if_allowed(self.keep),
            Step::Ambient => raise_ambient(self.keep),
            Step::Securebits => lock_securebits_if_allowed(),
            Step::SetUid => self.set_uid(),
            Step::DropCapabilities => {
                hold_only(self.keep, self.keep)?;
                raise_ambient(self.keep) // without the securebits, setresuid took them
            }
            Step::Verify => self.verify(),
            _ => Err(Errno::NOSYS.into()),
        }
    }

    fn check(&self) -> Result<(), Fault> {
        if self.uid == NO_ID || self.gid == NO_ID || self.groups.contains(&NO_ID) {
            return Err(Fault::NoSuchId);
        }
        if self.uid == 0 && self.keep != Capabilities::NONE {
            return Err(Fault::RootKeepsAll);
        }
        if self.groups.len() > NGROUPS_MAX {
            return Err(Fault::TooManyGroups);
        }
        let own = (geteuid().as_raw(), getegid().as_raw()) == (self.uid, self.gid) && self.jailed.ids_kept();
        if self.jailed.in_user_namespace() && !(own && self.groups.is_empty()) {
            return Err(Fault::NotOwnId);
        }
        Ok(())
    }

    /// With the securebits set, capabilities survive it until the next step. Without the privilege to set them, that has
    /// to be asked for, and is not where nothing is kept.
    fn set_uid(&self) -> Result<(), Fault> {
        let uid = Uid::from_raw(self.uid);
        let ask = self.keep != Capabilities::NONE
            && !capabilities_secure_bits()?.contains(CapabilitiesSecureBits::NO_SETUID_FIXUP);
        if ask {
            set_keep_capabilities(true)?;
        }
        set_thread_res_uid(uid, uid, uid)?;
        if ask {
            set_keep_capabilities(false)?;
        }
        Ok(())
    }

    /// The ids are the new ones, nothing is held but what is kept, and the way back to root is closed, unless a
    /// capability that is kept opens it.
    fn verify(&self) -> Result<(), Fault> {
        let ids = [getuid().as_raw(), geteuid().as_raw(), getgid().as_raw(), getegid().as_raw()];
        if ids != [self.uid, self.uid, self.gid, self.gid] {
            return Err(Fault::Ids);
        }
        if self.uid == 0 {
            return Ok(());
        }
        if held()? != self.keep {
            return Err(Fault::Capabilities);
        }
        let opens = |capability: CapabilitySet| self.keep.contains(Capabilities::from_bits(capability.bits()));
        if !opens(CapabilitySet::SETUID) && set_thread_res_uid(None, Uid::ROOT, None).is_ok()
            || !opens(CapabilitySet::SETGID) && self.gid != 0 && set_thread_res_gid(None, Gid::ROOT, None).is_ok()
        {
            return Err(Fault::Reversible);
        }
        Ok(())
    }
}

/// To give away what is left.
pub(crate) struct Sealing<'a> {
    jailed: &'a Jailed,
    seal: Seal,
    abi: Option<i32>,
    ruleset: Option<OwnedFd>,
    pub(crate) in_force: Layers,
}

/// Which layers of a seal are in force; `no_new_privs` always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layers {
    pub(crate) bounding_set: bool,
    pub(crate) securebits: bool,
    pub(crate) landlock: Option<i32>,
}

impl<'a> Sealing<'a> {
    /// What must be so, and changes nothing.
    pub(crate) const CHECKS: &'static [Step] = &[Step::Threads, Step::Keep, Step::Ruleset];

    /// The first is one call, so that its failure changes nothing.
    pub(crate) const CHANGES: &'static [Step] = &[
        Step::NoNewPrivs,
        Step::BoundingSet,
        Step::Ambient,
        Step::Securebits,
        Step::DropCapabilities,
        Step::Restrict,
        Step::Verify,
    ];

    pub(crate) const fn new(jailed: &'a Jailed, seal: Seal) -> Self {
        let in_force = Layers { bounding_set: false, securebits: false, landlock: None };
        Sealing { jailed, seal, abi: None, ruleset: None, in_force }
    }

    pub(crate) fn ask(&mut self, step: Step) -> Result<(), Fault> {
        match step {
            Step::Threads => still_alone(self.jailed.stat()),
            Step::Keep => held_of(self.seal.keep),
            Step::Ruleset => self.make_ruleset(),
            Step::NoNewPrivs => Ok(set_no_new_privs(true)?),
            Step::BoundingSet => self.empty_bounding_set(),
            Step::Ambient => raise_ambient(self.through_exec()),
            Step::Securebits => lock_securebits_if_allowed(),
            Step::DropCapabilities => Ok(hold_only(self.seal.keep, self.through_exec())?),
            Step::Restrict => self.restrict(),
            Step::Verify => self.verify(),
            _ => Err(Errno::NOSYS.into()),
        }
    }

    /// What the program executed next is to hold: nothing, if none may be executed.
    const fn through_exec(&self) -> Capabilities {
        if self.seal.execute.is_some() { self.seal.keep } else { Capabilities::NONE }
    }

    /// Made before anything is changed, so that a kernel without it and a lack of descriptors are found in time.
    fn make_ruleset(&mut self) -> Result<(), Fault> {
        let Some(abi) = landlock::abi() else {
            return if self.seal.require_landlock { Err(Errno::OPNOTSUPP.into()) } else { Ok(()) };
        };
        let ruleset = landlock::deny_all(abi)?;
        // The files of a directory of the caller's, and of no jail at all, are there to be used.
        if matches!(self.jailed.root(), Root::Directory | Root::Unjailed) {
            let root = openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
            landlock::allow_beneath(&ruleset, root.as_raw_fd(), abi)?;
        }
        if let Some(program) = self.seal.execute {
            landlock::allow_execute(&ruleset, program)?;
        }
        (self.abi, self.ruleset) = (Some(abi), Some(ruleset));
        Ok(())
    }

    fn empty_bounding_set(&mut self) -> Result<(), Fault> {
        empty_bounding_set_if_allowed(self.seal.keep)?;
        self.in_force.bounding_set = bounding_set_is_empty(self.seal.keep)?;
        Ok(())
    }

    fn restrict(&mut self) -> Result<(), Fault> {
        if let Some(ruleset) = self.ruleset.take() {
            landlock::restrict_self(&ruleset)?;
            self.in_force.landlock = self.abi;
        }
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Fault> {
        if held()? != self.seal.keep {
            return Err(Fault::Capabilities);
        }
        if !no_new_privs()? {
            return Err(Fault::NoNewPrivs);
        }
        self.in_force.securebits = capabilities_secure_bits()?.bits() & 0xff == SECUREBITS;
        Ok(())
    }
}

/// All that the process holds in any of its sets that matter to itself.
fn held() -> Result<Capabilities, Errno> {
    let now = capabilities(None)?;
    Ok(Capabilities::from_bits((now.effective | now.permitted).bits()))
}

/// That these are permitted, and in the bounding set, without which they cannot be handed over.
fn held_of(keep: Capabilities) -> Result<(), Fault> {
    if keep == Capabilities::NONE {
        return Ok(());
    }
    let permitted = capabilities(None)?.permitted;
    let lacks = |number: &u8| {
        let one = CapabilitySet::from_bits_retain(1 << number);
        !permitted.contains(one) || capability_is_in_bounding_set(one) != Ok(true)
    };
    match (0..64).filter(|number| keep.bits() & 1 << number != 0).find(lacks) {
        Some(number) => Err(Fault::NotHeld(number)),
        None => Ok(()),
    }
}

/// `CAP_SETPCAP`: to change the bounding set and the securebits.
fn may_set_privileges() -> Result<bool, Errno> {
    Ok(capabilities(None)?.effective.contains(CapabilitySet::SETPCAP))
}

fn hold_only(keep: Capabilities, inheritable: Capabilities) -> Result<(), Errno> {
    let keep = set(keep);
    set_capabilities(None, CapabilitySets { effective: keep, permitted: keep, inheritable: set(inheritable) })
}

/// Where `CAP_SETPCAP` is not held, the bounding set stays as it is, and [`Sealed`](crate::Sealed) says so.
fn empty_bounding_set_if_allowed(keep: Capabilities) -> Result<(), Fault> {
    if may_set_privileges()? { empty_bounding_set(keep) } else { Ok(()) }
}

/// So do the securebits.
fn lock_securebits_if_allowed() -> Result<(), Fault> {
    if may_set_privileges()? { lock_securebits() } else { Ok(()) }
}

/// Ambient capabilities are what a program without file capabilities keeps of its predecessor's.
fn raise_ambient(keep: Capabilities) -> Result<(), Fault> {
    if keep == Capabilities::NONE {
        return Ok(());
    }
    let now = capabilities(None)?;
    set_capabilities(None, CapabilitySets { inheritable: set(keep), ..now })?;
    for one in every_capability().filter(|one| keep.contains(*one)).map(set) {
        if !capability_is_in_ambient_set(one)? {
            configure_capability_in_ambient_set(one, true)?;
        }
    }
    Ok(())
}

/// Take all but `keep` out of the bounding set.
pub(super) fn empty_bounding_set(keep: Capabilities) -> Result<(), Fault> {
    for one in every_capability().filter(|one| !keep.contains(*one)) {
        match remove_capability_from_bounding_set(set(one)) {
            Ok(()) => {}
            Err(Errno::INVAL) => break, // the kernel knows no more
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Set and lock what can be: a bit that is locked already stays as it is, and bits that are not ours stay too.
pub(super) fn lock_securebits() -> Result<(), Fault> {
    const BITS: u32 = 0b0101_0101;
    const LOCKS: u32 = BITS << 1;
    let now = capabilities_secure_bits()?.bits();
    let locked = (now >> 1) & BITS;
    let bits = (SECUREBITS & BITS & !locked) | (now & locked);
    let others = now & !(BITS | LOCKS);
    Ok(set_capabilities_secure_bits(CapabilitiesSecureBits::from_bits_retain(others | bits | LOCKS))?)
}

fn bounding_set_is_empty(keep: Capabilities) -> Result<bool, Fault> {
    for one in every_capability().filter(|one| !keep.contains(*one)) {
        match capability_is_in_bounding_set(set(one)) {
            Ok(true) => return Ok(false),
            Ok(false) => {}
            Err(Errno::INVAL) => break, // the kernel knows no more
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(true)
}

fn every_capability() -> impl Iterator<Item = Capabilities> {
    (0..u64::BITS).map(|number| Capabilities::from_bits(1 << number))
}

const fn set(capabilities: Capabilities) -> CapabilitySet {
    CapabilitySet::from_bits_retain(capabilities.bits())
}

#[allow(unsafe_code, reason = "core has no safe cast of a slice")]
const fn gids(groups: &[u32]) -> &[Gid] {
    // SAFETY: `Gid` is a transparent wrapper of the `u32` that a gid is on Linux.
    unsafe { core::slice::from_raw_parts(groups.as_ptr().cast(), groups.len()) }
}
