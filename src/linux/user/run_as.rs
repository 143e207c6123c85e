//! Becoming another user in the jail (Linux).

use rustix::fd::OwnedFd;
use rustix::process::{
    Gid as RawGid, Pid, Signal, Uid as RawUid, getegid, geteuid, getgid, getpid, getppid, getuid, kill_process,
    parent_process_death_signal, set_parent_process_death_signal,
};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, capabilities_secure_bits, set_keep_capabilities, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};

use crate::capabilities::Capabilities;
use crate::error::{Fault, Step, actions};
use crate::linux::seal::keyring;
use crate::linux::seal::privileges::{
    check_held, empty_bounding_set_if_allowed, held_capabilities, hold_only, lock_securebits_if_allowed, raise_ambient,
};
use crate::linux::threads::still_alone;
use crate::linux::user::groups::groups_are;
use crate::linux::user::ids::{Gid, Uid, User};
use crate::linux::user::way::Way;
use crate::protection::SessionKeyring;

/// Not a valid id: to the system calls it means "leave it as it is".
const NO_ID: u32 = u32::MAX;
const NGROUPS_MAX: usize = 65536;

actions! {
    /// A step of becoming another user.
    enum Become {
        Threads => Threads,
        Ids => CheckIds,
        Keep => CheckCapabilities,
        SetGroups => SetGroups,
        SetGid => SetGid,
        BoundingSet => BoundingSet,
        Ambient => Ambient,
        Securebits => Securebits,
        Keyring => Keyring,
        SetUid => SetUid,
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

/// Becoming a user.
pub(crate) struct RunAs<'a> {
    before: Before<'a>,
    user: &'a User<'a>,
    way: Way,
    keep: Capabilities,
    /// The parent-death signal, which the change of ids clears, and the parent.
    death: (Option<Signal>, Option<Pid>),
    pub(crate) keyring: SessionKeyring,
}

impl<'a> RunAs<'a> {
    /// The checks, which change nothing.
    pub(crate) const CHECKS: &'static [Become] = &[Become::Threads, Become::Ids, Become::Keep];

    /// The changes after the checks. In a user namespace no groups can be set. Uid 0 keeps its
    /// capabilities.
    pub(crate) const fn changes(in_user_namespace: bool, uid: u32, way: Way) -> &'static [Become] {
        use Become::{
            Ambient, BoundingSet, DeathSignal, DropCapabilities, Keyring, Securebits, SetGid, SetGroups, SetUid, Verify,
        };
        let all: &[Become] = match (in_user_namespace, uid, way) {
            (_, _, Way { ids: false, groups: false }) if in_user_namespace || uid == 0 => &[Verify],
            (true, _, _) => &[SetGid, SetUid, DeathSignal, Verify],
            (false, 0, _) => &[SetGroups, SetGid, SetUid, DeathSignal, Verify],
            (false, _, Way { ids: false, groups: false }) => {
                &[BoundingSet, Ambient, Securebits, Keyring, DropCapabilities, Verify]
            }
            (false, _, _) => &[
                SetGroups,
                SetGid,
                BoundingSet,
                Ambient,
                Securebits,
                Keyring,
                SetUid,
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
        RunAs { before, user, way, keep, death: (None, None), keyring: before.keyring }
    }

    pub(crate) fn perform(&mut self, step: Become) -> Result<(), Fault> {
        match step {
            Become::Threads => still_alone(self.before.stat),
            Become::Ids => self.check(),
            Become::Keep => check_held(self.keep),
            Become::SetGroups => Ok(set_thread_groups(gids(self.user.groups()))?),
            Become::SetGid => {
                let gid = RawGid::from_raw(self.user.gid().as_raw());
                Ok(set_thread_res_gid(gid, gid, gid)?)
            }
            Become::BoundingSet => empty_bounding_set_if_allowed(self.keep),
            Become::Ambient => raise_ambient(self.keep),
            Become::Securebits => lock_securebits_if_allowed(),
            Become::Keyring => {
                self.keyring = keyring::join();
                Ok(())
            }
            Become::SetUid => self.set_uid(),
            Become::DropCapabilities => {
                hold_only(self.keep, self.keep)?;
                raise_ambient(self.keep) // without the securebits, setresuid took them
            }
            Become::DeathSignal => self.restore_death_signal(),
            Become::Verify => self.verify(),
        }
    }

    fn check(&mut self) -> Result<(), Fault> {
        let (uid, gid, groups) = (self.user.uid().as_raw(), self.user.gid().as_raw(), self.user.groups());
        check_arguments(self.user, self.keep)?;
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

    /// Sets the user id. If the securebits are set, the capabilities survive until the next step.
    /// Otherwise `PR_SET_KEEPCAPS` is needed, unless nothing is kept.
    fn set_uid(&self) -> Result<(), Fault> {
        let uid = RawUid::from_raw(self.user.uid().as_raw());
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
