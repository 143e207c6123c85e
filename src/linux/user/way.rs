//! Decides how the process becomes a user, before anything changes (Linux).

use rustix::process::{Gid as RawGid, Uid as RawUid};
use rustix::thread::{CapabilitySet, capabilities, set_thread_res_gid, set_thread_res_uid};

use crate::error::{Error, Fault, Residue, Step};
use crate::hints::cause::Cause;
use crate::hints::explain::{explain, missing_of};
use crate::linux::syscall::{group_ids, user_ids};
use crate::linux::user::groups::with_both;
use crate::linux::user::ids::{Gid, User};
use crate::linux::user::maps::{Map, Mapped, Of, denies_setgroups};

/// What has to be set for the process to become the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// Set the user and group ids. If false, they are those of the user already.
    pub(crate) ids: bool,
    /// Set the supplementary groups. If false, the process is in groups of the user only.
    pub(crate) groups: bool,
}

impl Way {
    /// Returns what has to be set, or fails if the process cannot become the user.
    ///
    /// A process that has the ids of the user may lack groups of the user. It must leave all groups
    /// that the user is not in.
    pub(crate) fn find(user: &User<'_>) -> Result<Way, Error> {
        let (uids, gids) = (user_ids(), group_ids());
        let (uid, gid) = (user.uid().as_raw(), user.gid().as_raw());
        let held = capabilities(None).map_err(|errno| explain(refused(Fault::of(errno), None)))?.effective;
        let missing = |needed: CapabilitySet| missing_of(needed - held);
        let (mut other, mut lacks) = (None, false);
        let gid_map = Map::read(Of::Groups);
        with_both(user.groups(), &mut |own, users| (other, lacks) = compare(own, user.gid(), users, &gid_map))
            .map_err(|errno| explain(refused(Fault::of(errno), None)))?;
        // An id that is not mapped shows as the overflow id, so the process may be somebody else.
        // With privilege, the ids are set in any case. Without it, trying to set them shows whose
        // they are.
        let known = [Map::read(Of::Users).has(uid), gid_map.has(gid)];
        let is_unsure = known.contains(&Mapped::Unknown);
        let missing_to_set = if is_unsure { missing(CapabilitySet::SETUID | CapabilitySet::SETGID) } else { None };
        let ids = uids != [uid; 3] || gids != [gid; 3] || is_unsure && missing_to_set.is_none();
        let groups = other.is_some() || ids && lacks;
        let mut needed = CapabilitySet::empty();
        needed.set(CapabilitySet::SETUID, !uids.contains(&uid));
        needed.set(CapabilitySet::SETGID, !gids.contains(&gid) || groups);
        let is_unmapped = |one: &Gid| gid_map.has(one.as_raw()) == Mapped::No;
        let (fault, cause) = if known.contains(&Mapped::No) {
            (Fault::UnmappedId, Cause::UnmappedUser)
        } else if let Some(cause) = missing(needed) {
            (Fault::NotPrivileged, cause)
        } else if (ids || groups) && user.groups().iter().any(is_unmapped) {
            (Fault::UnmappedId, Cause::UnmappedUser)
        } else if groups && denies_setgroups() {
            (Fault::SetgroupsDenied, Cause::SetgroupsDenied)
        } else if let Some(cause) = missing_to_set.filter(|_| !ids && !has_ids(uid, gid)) {
            (Fault::NotPrivileged, cause)
        } else {
            return Ok(Way { ids, groups });
        };
        let refused = refused(fault, Some(cause));
        match other {
            #[allow(clippy::cast_possible_wrap, reason = "it is displayed as the number that it was")]
            Some(other) if !ids => Err(Error { fault: Fault::OtherGroup, number: Some(other as i32), ..refused }),
            _ => Err(refused),
        }
    }
}

fn refused(fault: Fault, cause: Option<Cause>) -> Error {
    Error { cause, ..Error::inside(Step::CheckIds, fault, Residue::default()) }
}

/// Returns a group of the process that the user is not in, and whether the process lacks a group of
/// the user. Both lists are sorted.
fn compare(own: &[Gid], gid: Gid, users: &[Gid], map: &Map) -> (Option<u32>, bool) {
    let has = |list: &[Gid], one: &Gid| list.binary_search(one).is_ok();
    let is_other = |one: &&Gid| **one != gid && !has(users, one) || map.hides(one.as_raw());
    let other = own.iter().find(is_other).map(|one| one.as_raw());
    (other, users.iter().any(|one| !has(own, one)))
}

/// Tries to set the ids that the process seems to have. Without privilege that succeeds only if the
/// real, effective or saved id is really this id. Afterwards all three are this id.
fn has_ids(uid: u32, gid: u32) -> bool {
    let (uid, gid) = (RawUid::from_raw(uid), RawGid::from_raw(gid));
    set_thread_res_gid(gid, gid, gid).is_ok() && set_thread_res_uid(uid, uid, uid).is_ok()
}
