//! Becoming another user in the jail (Linux).

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{
    Gid as RawGid, Pid, Signal, Uid as RawUid, getegid, geteuid, getgid, getpid, getppid, getuid, kill_process,
    parent_process_death_signal, set_parent_process_death_signal,
};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, capabilities_secure_bits, set_capabilities_secure_bits,
    set_keep_capabilities, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::capabilities::Capabilities;
use crate::error::{Fault, Residue, Step, actions};
use crate::linux::seal::keyring;
use crate::linux::seal::privileges::{
    check_can_be_ambient, check_held, empty_bounding_set, held_capabilities, hold_only, lock_securebits,
    may_set_privileges, raise_ambient, use_permitted,
};
use crate::linux::threads::still_alone;
use crate::linux::user::groups::groups_are;
use crate::linux::user::ids::{Gid, Uid, User};
use crate::linux::user::way::Way;
use crate::protection::SessionKeyring;

/// Not a valid id: to the system calls it means "leave it as it is".
const NO_ID: u32 = u32::MAX;
const NGROUPS_MAX: usize = 65536;

/// The securebits with which the capabilities survive a change of the user id.
const HOLDS: CapabilitiesSecureBits = CapabilitiesSecureBits::KEEP_CAPS.union(CapabilitiesSecureBits::NO_SETUID_FIXUP);

actions! {
    /// A step of becoming another user.
    enum Become {
        Threads => Threads,
        Ids => CheckIds,
        Keep => CheckCapabilities,
        SetGroups => SetGroups,
        SetGid => SetGid,
        /// Keeps the capabilities through `SetUid`, for the steps after it.
        HoldCapabilities => HoldCapabilities,
        SetUid => SetUid,
        /// Makes the capabilities effective again: `setresuid` has cleared the effective set.
        UseCapabilities => HoldCapabilities,
        BoundingSet => BoundingSet,
        Ambient => Ambient,
        Securebits => Securebits,
        Keyring => Keyring,
        DropCapabilities => DropCapabilities,
        DeathSignal => DeathSignal,
        Verify => Verify,
    }
}

const _: () = {
    let way = Way { ids: true, groups: true };
    assert!(Become::are_all_in(RunAs::CHECKS, RunAs::changes(false, 1, way)), "a step is never made");
};

/// The state of the process that becomes another user.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    pub(crate) in_user_namespace: bool,
    pub(crate) ids_kept: bool,
    pub(crate) keyring: SessionKeyring,
    /// `/proc/self/stat` and its process, to find threads where a filter refuses `unshare`.
    pub(crate) stat: Option<&'a (Pid, OwnedFd)>,
}

/// A change to a user, in progress.
pub(crate) struct RunAs<'a> {
    before: Before<'a>,
    user: &'a User<'a>,
    way: Way,
    keep: Capabilities,
    /// The parent-death signal, which the change of ids clears, and the parent.
    death: (Option<Signal>, Option<Pid>),
    /// The securebits before they were changed to hold the capabilities.
    securebits: CapabilitiesSecureBits,
    /// `CAP_SETPCAP` is held.
    may_set_privileges: bool,
    pub(crate) keyring: SessionKeyring,
}

impl<'a> RunAs<'a> {
    /// The checks, which change nothing.
    pub(crate) const CHECKS: &'static [Become] = &[Become::Threads, Become::Ids, Become::Keep];

    /// The changes after the checks. In a user namespace no groups can be set. Uid 0 keeps its
    /// capabilities.
    pub(crate) const fn changes(in_user_namespace: bool, uid: u32, way: Way) -> &'static [Become] {
        use Become::{
            Ambient, BoundingSet, DeathSignal, DropCapabilities, HoldCapabilities, Keyring, Securebits, SetGid,
            SetGroups, SetUid, UseCapabilities, Verify,
        };
        let all: &[Become] = match (in_user_namespace, uid, way) {
            (_, _, Way { ids: false, groups: false }) if in_user_namespace || uid == 0 => &[Verify],
            (true, _, _) => &[SetGid, SetUid, DeathSignal, Verify],
            (false, 0, _) => &[SetGroups, SetGid, SetUid, DeathSignal, Verify],
            (false, _, Way { ids: false, groups: false }) => {
                &[BoundingSet, Ambient, Securebits, Keyring, DropCapabilities, Verify]
            }
            // What cannot be undone comes after SetUid, which may fail.
            (false, _, _) => &[
                SetGroups,
                SetGid,
                HoldCapabilities,
                SetUid,
                UseCapabilities,
                BoundingSet,
                Ambient,
                Securebits,
                Keyring,
                DropCapabilities,
                DeathSignal,
                Verify,
            ],
        };
        match all {
            [SetGroups, others @ ..] if !way.groups => others,
            all => all,
        }
    }

    pub(crate) const fn new(before: Before<'a>, user: &'a User<'a>, way: Way, keep: Capabilities) -> Self {
        let securebits = CapabilitiesSecureBits::empty();
        RunAs {
            before,
            user,
            way,
            keep,
            death: (None, None),
            securebits,
            may_set_privileges: false,
            keyring: before.keyring,
        }
    }

    pub(crate) fn perform(&mut self, step: Become) -> Result<(), Fault> {
        match step {
            Become::Threads => still_alone(self.before.stat),
            Become::Ids => self.check(),
            Become::Keep => check_kept(self.keep, self.way.ids && !self.before.in_user_namespace),
            Become::SetGroups => Ok(set_thread_groups(gids(self.user.groups()))?),
            Become::SetGid => {
                let gid = RawGid::from_raw(self.user.gid().as_raw());
                Ok(set_thread_res_gid(gid, gid, gid)?)
            }
            Become::BoundingSet if self.may_set_privileges => empty_bounding_set(self.keep),
            Become::BoundingSet => Ok(()), // it stays as it is, and a later seal reports that
            Become::Ambient => raise_ambient(self.keep),
            Become::Securebits if self.may_set_privileges => lock_securebits(),
            Become::Securebits => Ok(Self::hold_no_more()?),
            Become::Keyring => {
                self.keyring = keyring::join();
                Ok(())
            }
            Become::HoldCapabilities => self.hold_capabilities(),
            Become::SetUid => {
                let uid = RawUid::from_raw(self.user.uid().as_raw());
                Ok(set_thread_res_uid(uid, uid, uid)?)
            }
            Become::UseCapabilities => {
                self.may_set_privileges = use_permitted()?;
                Ok(())
            }
            Become::DropCapabilities => Ok(hold_only(self.keep, self.keep)?),
            Become::DeathSignal => self.restore_death_signal(),
            Become::Verify => self.verify(),
        }
    }

    fn check(&mut self) -> Result<(), Fault> {
        let (uid, gid, groups) = (self.user.uid().as_raw(), self.user.gid().as_raw(), self.user.groups());
        check_arguments(self.user, self.keep)?;
        self.may_set_privileges = may_set_privileges()?;
        let own = (geteuid().as_raw(), getegid().as_raw()) == (uid, gid) && self.before.ids_kept;
        let sets_groups = self.way.groups && groups.iter().any(|one| *one != self.user.gid());
        if self.before.in_user_namespace && (!own || sets_groups) {
            return Err(Fault::NotOwnId);
        }
        if let Some(signal) = parent_process_death_signal()? {
            self.death = (Some(signal), getppid());
        }
        Ok(())
    }

    /// Has the kernel keep the permitted capabilities when the user id changes. Where `KEEP_CAPS`
    /// is locked off, another securebit does the same.
    fn hold_capabilities(&mut self) -> Result<(), Fault> {
        self.securebits = capabilities_secure_bits()?;
        match set_keep_capabilities(true) {
            Err(Errno::PERM) if self.securebits.intersects(HOLDS) => Ok(()),
            Err(Errno::PERM) => {
                match set_capabilities_secure_bits(self.securebits | CapabilitiesSecureBits::NO_SETUID_FIXUP) {
                    Err(Errno::PERM) if self.keep.is_empty() => Ok(()), // then setresuid drops all of them
                    done => Ok(done?),
                }
            }
            done => Ok(done?),
        }
    }

    /// Clears `KEEP_CAPS`, which `hold_capabilities` has set. Without `CAP_SETPCAP` the other
    /// securebits stay as they are.
    fn hold_no_more() -> Result<(), Errno> {
        match set_keep_capabilities(false) {
            Err(Errno::PERM) => Ok(()), // it is locked
            done => done,
        }
    }

    /// Undoes what it can of these changes, and returns what they and the failed step leave. A
    /// process that has changed its user must not keep the capabilities of root.
    pub(crate) fn remains(&self, changes: &[Become], failed: Become, mut remains: Residue) -> Residue {
        let made = |change: Become| changes.contains(&change);
        remains.groups = made(Become::SetGroups);
        remains.gid = made(Become::SetGid);
        remains.user = made(Become::SetUid);
        remains.securebits = made(Become::Securebits);
        // Some of the capabilities may be gone from the bounding set before the call that failed.
        remains.privileges = made(Become::BoundingSet) || failed == Become::BoundingSet || made(Become::Keyring);
        remains.half = remains.user || remains.groups || remains.gid;
        if !made(Become::HoldCapabilities) {
            return remains;
        }
        if !remains.securebits {
            let before = self.securebits;
            remains.keep_caps = set_keep_capabilities(before.contains(CapabilitiesSecureBits::KEEP_CAPS)).is_err()
                && capabilities_secure_bits() != Ok(before)
                && set_capabilities_secure_bits(before).is_err();
        }
        if remains.user {
            remains.held = hold_only(Capabilities::NONE, Capabilities::NONE).is_err();
            remains.privileges = true;
        }
        remains
    }

    /// Sets the parent-death signal again. If the parent ended meanwhile, the signal is sent now.
    fn restore_death_signal(&self) -> Result<(), Fault> {
        let (Some(signal), parent) = self.death else { return Ok(()) };
        set_parent_process_death_signal(Some(signal))?;
        if getppid() != parent {
            kill_process(getpid(), signal)?;
        }
        Ok(())
    }

    /// Checks that ids, groups and capabilities are as asked for, and that the process cannot
    /// become root again, unless a capability that is kept allows it.
    fn verify(&self) -> Result<(), Fault> {
        let ids = [getuid().as_raw(), geteuid().as_raw(), getgid().as_raw(), getegid().as_raw()];
        let (uid, gid) = (self.user.uid().as_raw(), self.user.gid().as_raw());
        if ids != [uid, uid, gid, gid] {
            return Err(Fault::Ids);
        }
        // Groups that a user namespace does not map show as the overflow id, so they cannot be
        // verified there.
        if !self.before.in_user_namespace && self.way.groups && !groups_are(self.user.groups())? {
            return Err(Fault::Groups);
        }
        if uid == 0 {
            return Ok(());
        }
        if held_capabilities()? != self.keep {
            return Err(Fault::Capabilities);
        }
        let opens = |capability: CapabilitySet| self.keep.contains(Capabilities::from_bits(capability.bits()));
        if !opens(CapabilitySet::SETUID) && set_thread_res_uid(None, RawUid::ROOT, None).is_ok()
            || !opens(CapabilitySet::SETGID) && gid != 0 && set_thread_res_gid(None, RawGid::ROOT, None).is_ok()
        {
            return Err(Fault::Reversible);
        }
        Ok(())
    }
}

/// Checks that these capabilities are held and can be kept, also by a process that changes its user
/// id.
pub(crate) fn check_kept(keep: Capabilities, changes_id: bool) -> Result<(), Fault> {
    const LOCKED: CapabilitiesSecureBits =
        CapabilitiesSecureBits::KEEP_CAPS_LOCKED.union(CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED);
    check_held(keep)?;
    check_can_be_ambient(keep)?;
    if keep.is_empty() || !changes_id {
        return Ok(());
    }
    let now = capabilities_secure_bits()?;
    let is_refused = !now.intersects(HOLDS)
        && now.contains(CapabilitiesSecureBits::KEEP_CAPS_LOCKED)
        && (now.contains(LOCKED) || !may_set_privileges()?);
    if is_refused { Err(Fault::Securebits) } else { Ok(()) }
}

/// Makes the checks that need no system call.
pub(crate) fn check_arguments(user: &User<'_>, keep: Capabilities) -> Result<(), Fault> {
    if user.uid().as_raw() == NO_ID || user.gid().as_raw() == NO_ID || user.groups().contains(&Gid::from_raw(NO_ID)) {
        Err(Fault::NoSuchId)
    } else if user.uid() == Uid::ROOT && keep != Capabilities::NONE {
        Err(Fault::RootKeepsAll)
    } else if user.groups().len() > NGROUPS_MAX {
        Err(Fault::TooManyGroups)
    } else {
        Ok(())
    }
}

#[allow(unsafe_code, reason = "core has no safe cast of a slice")]
const fn gids(groups: &[Gid]) -> &[RawGid] {
    const { assert!(size_of::<RawGid>() == size_of::<Gid>() && align_of::<RawGid>() == align_of::<Gid>()) };
    // SAFETY: both are transparent wrappers of the `u32` that a group id is on Linux.
    unsafe { core::slice::from_raw_parts(groups.as_ptr().cast(), groups.len()) }
}
