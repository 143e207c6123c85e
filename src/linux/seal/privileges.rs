//! Capability sets, the bounding set and securebits (Linux).
//!
//! The calls change one thread. The callers check first that there is only one.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Uid, set_dumpable_behavior};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, capabilities, capabilities_secure_bits,
    capability_is_in_ambient_set, capability_is_in_bounding_set, configure_capability_in_ambient_set, no_new_privs,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
};

use crate::capabilities::Capabilities;
use crate::error::Fault;
use crate::linux::syscall::user_ids;

/// `NOROOT`, `NO_SETUID_FIXUP`, `NO_CAP_AMBIENT_RAISE`, and all four locks. `KEEP_CAPS` stays 0.
const SECUREBITS: u32 = 0b1110_1111;

/// The four bits that are not locks, `KEEP_CAPS` included.
const SECUREBITS_SET: u32 = 0b0101_0101;

/// Returns the effective and permitted capabilities.
pub(crate) fn held_capabilities() -> Result<Capabilities, Errno> {
    let now = capabilities(None)?;
    Ok(Capabilities::from_bits((now.effective | now.permitted).bits()))
}

/// Checks that these capabilities are permitted, and in the bounding set, without which a program
/// cannot get them.
pub(crate) fn check_held(keep: Capabilities) -> Result<(), Fault> {
    if keep == Capabilities::NONE {
        return Ok(());
    }
    let permitted = capabilities(None)?.permitted;
    let lacks = |number: &u8| {
        let one = CapabilitySet::from_bits_retain(1 << number);
        !permitted.contains(one) || capability_is_in_bounding_set(one) != Ok(true)
    };
    match (0..64).filter(|number| keep.bits() & 1 << number != 0).find(lacks) {
        Some(number) => Err(Fault::not_held(number)),
        None => Ok(()),
    }
}

/// Checks that these capabilities can be made ambient, without which a program cannot get them.
pub(crate) fn check_can_be_ambient(keep: Capabilities) -> Result<(), Fault> {
    let lacks = |one: &Capabilities| keep.contains(*one) && capability_is_in_ambient_set(set(*one)) != Ok(true);
    let bits = if keep.is_empty() { CapabilitiesSecureBits::empty() } else { capabilities_secure_bits()? };
    let is_refused =
        bits.contains(CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE) && every_capability().any(|one| lacks(&one));
    if is_refused { Err(Fault::Securebits) } else { Ok(()) }
}

/// Returns whether a securebit that should be set is locked off, or the other way round.
pub(crate) fn securebits_are_locked_otherwise() -> Result<bool, Errno> {
    let now = capabilities_secure_bits()?.bits();
    Ok((now >> 1) & SECUREBITS_SET & (now ^ SECUREBITS) != 0)
}

/// Returns which of these capabilities are not effective.
pub(crate) fn not_effective(needed: Capabilities) -> Capabilities {
    needed - capabilities(None).map_or(Capabilities::NONE, |now| Capabilities::from_bits(now.effective.bits()))
}

/// Returns whether `CAP_SETPCAP` is held, which changing the bounding set and the securebits
/// requires.
pub(crate) fn may_set_privileges() -> Result<bool, Errno> {
    Ok(capabilities(None)?.effective.contains(CapabilitySet::SETPCAP))
}

pub(crate) fn hold_only(keep: Capabilities, inheritable: Capabilities) -> Result<(), Errno> {
    let keep = set(keep);
    set_capabilities(None, CapabilitySets { effective: keep, permitted: keep, inheritable: set(inheritable) })
}

/// Makes the permitted capabilities effective. Returns whether `CAP_SETPCAP` is among them.
pub(crate) fn use_permitted() -> Result<bool, Errno> {
    let now = capabilities(None)?;
    set_capabilities(None, CapabilitySets { effective: now.permitted, ..now })?;
    Ok(now.permitted.contains(CapabilitySet::SETPCAP))
}

/// Raises the ambient capabilities, which an executed program keeps.
pub(crate) fn raise_ambient(keep: Capabilities) -> Result<(), Fault> {
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

/// Drops all but `keep` from the bounding set.
pub(crate) fn empty_bounding_set(keep: Capabilities) -> Result<(), Fault> {
    for one in every_capability().filter(|one| !keep.contains(*one)) {
        match remove_capability_from_bounding_set(set(one)) {
            Ok(()) => {}
            Err(Errno::INVAL) if one.bits() > NEWEST_EVERYWHERE.bits() => break, // the kernel knows no more
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// Sets and locks the securebits. A bit that is locked already, and other bits, stay as they are.
pub(crate) fn lock_securebits() -> Result<(), Fault> {
    const LOCKS: u32 = SECUREBITS_SET << 1;
    let now = capabilities_secure_bits()?.bits();
    let locked = (now >> 1) & SECUREBITS_SET;
    let bits = (SECUREBITS & SECUREBITS_SET & !locked) | (now & locked);
    let others = now & !(SECUREBITS_SET | LOCKS);
    Ok(set_capabilities_secure_bits(CapabilitiesSecureBits::from_bits_retain(others | bits | LOCKS))?)
}

/// Returns whether nothing but `keep` is in the bounding set.
pub(crate) fn bounding_set_is_empty(keep: Capabilities) -> Result<bool, Fault> {
    Ok((bounding_set()? - keep).is_empty())
}

/// Returns the bounding set. Not part of the API.
///
/// # Errors
///
/// The errors of `prctl`.
pub fn bounding_set() -> Result<Capabilities, Errno> {
    let mut bounding_set = Capabilities::NONE;
    for one in every_capability() {
        match capability_is_in_bounding_set(set(one)) {
            Ok(true) => bounding_set |= one,
            Ok(false) => {}
            Err(Errno::INVAL) if one.bits() > NEWEST_EVERYWHERE.bits() => break, // the kernel knows no more
            Err(errno) => return Err(errno),
        }
    }
    Ok(bounding_set)
}

/// The newest capability that every supported kernel knows. If a call does not know this one or a
/// lower one, a filter has answered.
const NEWEST_EVERYWHERE: Capabilities = Capabilities::AUDIT_READ;

fn every_capability() -> impl Iterator<Item = Capabilities> {
    (0..u64::BITS).map(|number| Capabilities::from_bits(1 << number))
}

const fn set(capabilities: Capabilities) -> CapabilitySet {
    CapabilitySet::from_bits_retain(capabilities.bits())
}

/// Returns whether the securebits are set and locked. Not part of the API.
///
/// # Errors
///
/// The errors of `prctl`.
pub fn securebits_are_locked() -> Result<bool, Errno> {
    Ok(capabilities_secure_bits()?.bits() & 0xff == SECUREBITS)
}

/// Returns the effective user id, and whether an entry by privilege has to set `no_new_privs`: true
/// unless the real, effective and saved ids are all root's. Without `no_new_privs`, a user who can
/// chroot could make a set-id program load another library.
pub(crate) fn user() -> (Uid, bool) {
    let [real, effective, saved] = user_ids();
    (Uid::from_raw(effective), [real, effective, saved] != [0; 3])
}

pub(crate) fn set_no_new_privs() -> Result<(), Errno> {
    rustix::thread::set_no_new_privs(true)
}

/// Makes the process dumpable or not, as it was before. Sets `changed` to whether that failed.
pub(crate) fn restore_dumpable(before: DumpableBehavior, changed: &mut bool) -> Result<(), Errno> {
    let restored = set_dumpable_behavior(before);
    *changed = restored.is_err();
    restored
}

/// Checks that `no_new_privs` is in force.
pub(crate) fn verify_no_new_privs() -> Result<(), Fault> {
    if no_new_privs()? { Ok(()) } else { Err(Fault::NoNewPrivs) }
}

/// Returns whether `CAP_SYS_CHROOT` is in the bounding set, so that the process can still gain it.
pub(crate) fn may_chroot_ever() -> bool {
    capability_is_in_bounding_set(CapabilitySet::SYS_CHROOT) == Ok(true)
}
