//! Decides how the process becomes a user, before anything changes (Linux).

use rustix::thread::CapabilitySet;

use super::cause::{denies_setgroups, is_unmapped, missing};
use super::groups::with_groups;
use super::syscall::{group_ids, user_ids};
use super::user::{Gid, User};
use crate::cause::Cause;
use crate::error::{Error, Fault, Residue, Step};

/// How the process becomes the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Way {
    /// The process has these ids already.
    pub(crate) is_user: bool,
    /// The supplementary groups have to be set. Otherwise they are the user's already, or some of them.
    pub(crate) set_groups: bool,
}

impl Way {
    /// Returns the error if the process cannot become the user.
    ///
    /// A process that is the user already may lack groups. One that has groups which the user is not in must leave them.
    pub(crate) fn find(user: &User<'_>) -> Result<Way, Error> {
        let (uids, gids) = (user_ids(), group_ids());
        let (uid, gid) = (user.uid().as_raw(), user.gid().as_raw());
        let is_user = uids == [uid; 3] && gids == [gid; 3];
        let (other, lacks) =
            with_groups(|list| compare(list, gid, user.groups())).map_err(|errno| refused(Fault::of(errno), None))?;
        let set_groups = other.is_some() || lacks;
        let mut needed = CapabilitySet::empty();
        needed.set(CapabilitySet::SETUID, !uids.contains(&uid));
        needed.set(CapabilitySet::SETGID, !gids.contains(&gid) || set_groups);
        let why_not = if let Some(cause) = missing(needed) {
            Some((Fault::NotPrivileged, cause))
        } else if is_user && !set_groups {
            None
        } else if is_unmapped(uid, gid, user.groups()) {
            Some((Fault::UnmappedId, Cause::UnmappedUser))
        } else {
            (set_groups && denies_setgroups()).then_some((Fault::SetgroupsDenied, Cause::SetgroupsDenied))
        };
        match (why_not, other) {
            (None, _) => Ok(Way { is_user, set_groups }),
            (Some(_), None) if is_user => Ok(Way { is_user, set_groups: false }),
            (Some((_, cause)), Some(other)) if is_user => {
                #[allow(clippy::cast_possible_wrap, reason = "it is displayed as the number that it was")]
                let number = Some(other as i32);
                Err(Error { number, ..refused(Fault::OtherGroup, Some(cause)) })
            }
            (Some((fault, cause)), _) => Err(refused(fault, Some(cause))),
        }
    }
}

fn refused(fault: Fault, cause: Option<Cause>) -> Error {
    Error { cause, ..Error::inside(Step::CheckIds, fault, Residue::default()) }
}

/// Returns a group of the process that the user is not in, and whether the process lacks a group of the user.
fn compare(list: &[u32], gid: u32, groups: &[Gid]) -> (Option<u32>, bool) {
    let other = list.iter().copied().find(|one| *one != gid && !groups.contains(&Gid::from_raw(*one)));
    let lacks = groups.iter().map(|one| one.as_raw()).any(|one| list.binary_search(&one).is_err());
    (other, lacks)
}
