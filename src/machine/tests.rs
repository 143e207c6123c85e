//! The machine on a system that fails where a test wants, and that reports at the end what was
//! left.

use rustix::io::Errno;

use super::*;
use crate::root::Roots;

mod every;

const AS_ROOT: Plan = Plan {
    roots: Roots::one(Root::Unlinked),
    files: false,
    user_first: false,
    demands: crate::jail::Demands { empty: false, owner: false, unwritable: false, safe_path: false },
    threads: false,
    directories: true,
    bounding_set: false,
    user_namespace: UserNamespace::Auto,
    id_map: IdMap::Identity,
    dumpable: false,
    no_new_privs_helps: false,
};
const PERM: Fault = Fault::of(Errno::PERM);
const IO: Fault = Fault::of(Errno::IO);

/// A model of the system. It derives what an entry changes from the calls alone, not from what the
/// machine reports.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
struct World {
    /// The directory that was made last has its name in the parent.
    named: bool,
    /// Earlier ones that are still somewhere: moved, or filled and not removed.
    elsewhere: usize,
    cwd: bool,
    user_namespace: bool,
    capabilities: bool,
    root: bool,
    no_new_privs: bool,
    user: bool,
    mount_namespace: bool,
    /// The process is root of a user namespace that does not own the mount namespace.
    foreign_mounts: bool,
    asked: Vec<Action>,
    may_chroot: bool,
    sets_no_new_privs: bool,
    /// These calls, counted from 0, fail.
    faults: Vec<(usize, Fault)>,
}

impl World {
    fn perform(&mut self, state: &State) -> Result<(), Fault> {
        let call = self.asked.len();
        assert!(call < 1000, "no end");
        self.asked.push(state.now);
        if let Some(&(_, fault)) = self.faults.iter().find(|(failing, _)| *failing == call) {
            self.somebody_did(state.now, fault);
            return Err(fault);
        }
        match state.now {
            Mkdir => {
                self.elsewhere += usize::from(self.named);
                self.named = true;
            }
            OpenRoot => assert!(self.named),
            Unlink | Discard => {
                assert!(self.named);
                self.named = false;
            }
            Fchdir | ChdirRoot => self.cwd = true,
            Return => self.cwd = false,
            Mount | Chroot | NewMountNamespace if !self.may_chroot => return Err(PERM),
            Mount if self.foreign_mounts && !self.user_namespace => return Err(Fault::PERM),
            Chroot => self.root = true,
            NewUserNamespace => (self.user_namespace, self.capabilities, self.may_chroot) = (true, true, true),
            DropNamespaceCapabilities => self.capabilities = false,
            Become => self.user = true,
            NewMountNamespace => (self.mount_namespace, self.foreign_mounts) = (true, false),
            Proc if self.foreign_mounts || self.mount_namespace => return Err(Fault::MayChroot),
            NoNewPrivs => (self.no_new_privs, self.may_chroot) = (true, true),
            Threads | Unshare | Descriptors | WorkingDirectory | Parent | VerifyUnlinked | Files | Mount | Fill
            | Failfs | Directory | Proc | OpenMaps | MapUid | DenySetgroups | MapGid | Keyring | Verify => {}
            Inside | Refused => panic!("nothing is asked at the end"),
        }
        Ok(())
    }

    /// Does what somebody else must have done for a call to fail like that.
    fn somebody_did(&mut self, action: Action, fault: Fault) {
        let moved = match (action, fault) {
            (VerifyUnlinked, Fault::StillLinked) => true,
            (OpenRoot | Unlink, fault) => {
                matches!(fault.errno(), Some(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::MLINK))
            }
            _ => false,
        };
        if moved {
            self.named = false;
            self.elsewhere += 1;
        }
    }

    fn directories(&self) -> bool {
        self.named || self.elsewhere > 0
    }

    /// Returns whether the machine reports everything that is left, and nothing else.
    fn agrees(&self, has: Residue) -> bool {
        let told = [has.cwd, has.user_namespace, has.capabilities, has.root, has.no_new_privs, has.user];
        let left = [self.cwd, self.user_namespace, self.capabilities, self.root, self.no_new_privs, self.user];
        told == left
            && has.mount_namespace == self.mount_namespace
            && (has.directory || has.left) == self.directories()
            && !has.privileges
    }

    /// Enters this world, and returns the last state.
    fn enter(&mut self, plan: Plan, parents: usize) -> State {
        State::start(plan, parents, self.sets_no_new_privs).run(plan, |state| self.perform(state))
    }
}

fn world(may_chroot: bool, faults: &[(usize, Fault)]) -> World {
    World { may_chroot, faults: faults.to_vec(), ..World::default() }
}

/// The kinds of root that are entered. Together they lead the machine through all steps.
const ROOTS: [Root; 4] = [Root::Unlinked, Root::Detached, Root::Failfs, Root::Directory];

/// Returns every plan that leads inside, with and without privilege, and its actions.
fn ways_in() -> impl Iterator<Item = (Plan, bool, Vec<Action>)> {
    let plans = ROOTS.into_iter().flat_map(|root| {
        [UserNamespace::Auto, UserNamespace::Never, UserNamespace::Always].into_iter().flat_map(move |user_namespace| {
            [IdMap::Identity, IdMap::None].into_iter().flat_map(move |id_map| {
                [false, true].into_iter().map(move |threads| Plan {
                    roots: Roots::one(root),
                    threads,
                    user_namespace,
                    id_map,
                    directories: threads,
                    ..AS_ROOT
                })
            })
        })
    });
    plans.flat_map(|plan| [true, false].map(|may_chroot| (plan, may_chroot))).filter_map(|(plan, may_chroot)| {
        let mut world = world(may_chroot, &[]);
        (world.enter(plan, 1).now == Inside).then_some((plan, may_chroot, world.asked))
    })
}

#[test]
fn a_privileged_entry_takes_the_short_way() {
    let mut world = world(true, &[]);
    assert_eq!(world.enter(AS_ROOT, 5).now, Inside);
    assert_eq!(
        world.asked,
        [
            Threads,
            Unshare,
            WorkingDirectory,
            Parent,
            Mkdir,
            OpenRoot,
            Unlink,
            VerifyUnlinked,
            Fchdir,
            Chroot,
            ChdirRoot,
            Verify
        ]
    );
}

#[test]
fn an_unprivileged_entry_takes_the_detour_and_sheds_what_it_gained() {
    let mut world = world(false, &[]);
    let end = world.enter(AS_ROOT, 5);
    assert_eq!(
        world.asked[9..],
        [
            Chroot,
            Proc,
            NewUserNamespace,
            OpenMaps,
            MapUid,
            DenySetgroups,
            MapGid,
            Chroot,
            ChdirRoot,
            DropNamespaceCapabilities,
            Keyring,
            Verify
        ]
    );
    assert_eq!(
        (end.now, end.has),
        (Inside, Residue { cwd: true, user_namespace: true, root: true, ..Residue::default() })
    );
}

#[test]
fn without_privilege_and_user_namespace_only_failfs_is_entered() {
    let mut ways: Vec<_> = ways_in().map(|(plan, may_chroot, _)| (plan, may_chroot)).collect();
    assert_eq!(ways.len(), 3 * (4 * 2 + 4 + 4 * 2) + 3 * 4 * 2);
    ways.retain(|(plan, may_chroot)| plan.user_namespace == UserNamespace::Never && !may_chroot);
    assert!(ways.iter().all(|(plan, _)| plan.roots.first() == Root::Failfs), "{ways:?}");
}

#[test]
fn every_call_that_fails_ends_the_entry_at_its_step_with_all_undone_that_can_be() {
    let mut count = 0;
    for (plan, may_chroot, calls) in ways_in() {
        for (n, call) in calls.iter().enumerate() {
            let mut world = world(may_chroot, &[(n, IO)]);
            let end = world.enter(plan, 1);
            assert_eq!((end.now, end.refused), (Refused, Some((*call, IO))), "{plan:?} {n}");
            assert!(world.agrees(end.has), "what it says is left is left: {plan:?} {n}");
            assert!(!world.directories() && !world.capabilities, "{plan:?} {n}");
            assert!(!world.cwd || world.root, "{plan:?} {n}");
            assert_eq!(world.user_namespace, calls[..n].contains(&NewUserNamespace));
            count += 1;
        }
    }
    println!("figure: {count} calls fail, each at its step");
}

#[test]
fn a_failing_way_back_says_what_is_left() {
    for (plan, may_chroot, calls) in ways_in() {
        for (n, call) in calls.iter().enumerate() {
            let mut first = world(may_chroot, &[(n, IO)]);
            first.enter(plan, 1);
            for back in n + 1..first.asked.len() {
                let mut world = world(may_chroot, &[(n, IO), (back, PERM)]);
                let end = world.enter(plan, 1);
                assert_eq!(
                    (end.now, end.refused),
                    (Refused, Some((*call, IO))),
                    "the first failure is the one to report"
                );
                assert!(world.agrees(end.has));
                assert!(end.has.any());
            }
        }
    }
}

#[test]
fn chroot_is_only_tried_again_after_eperm_and_only_once() {
    for fault in [IO, Fault::of(Errno::ACCESS), Fault::of(Errno::NOSYS)] {
        let mut world = world(true, &[(9, fault)]);
        assert_eq!(world.enter(AS_ROOT, 1).refused, Some((Chroot, fault)));
    }
    let mut world = world(true, &[(9, PERM), (16, PERM)]);
    let end = world.enter(AS_ROOT, 1);
    assert_eq!(end.refused, Some((Chroot, PERM)));
    assert_eq!(end.has, Residue { user_namespace: true, ..Residue::default() });
}

#[test]
fn another_name_is_tried_a_few_times() {
    let taken = Fault::of(Errno::EXIST);
    let mut twice = world(true, &[(4, taken), (5, taken)]);
    assert_eq!(twice.enter(AS_ROOT, 1).now, Inside);
    let always: Vec<_> = (4..900).map(|call| (call, taken)).collect();
    let mut world = world(true, &always);
    assert_eq!(world.enter(AS_ROOT, 1).refused, Some((Mkdir, taken)));
    assert_eq!(world.asked.len(), 4 + 17);
}

#[test]
fn a_directory_that_somebody_got_at_is_given_up_and_another_made() {
    for (n, fault) in [
        (5, Fault::of(Errno::NOENT)),
        (5, Fault::of(Errno::LOOP)),
        (6, Fault::of(Errno::NOTEMPTY)),
        (6, Fault::of(Errno::NOENT)),
        (7, Fault::StillLinked),
    ] {
        let mut world = world(true, &[(n, fault)]);
        assert_eq!(world.enter(AS_ROOT, 1).now, Inside, "{fault:?}");
        let again = world.asked.iter().rposition(|call| *call == Mkdir).unwrap();
        // Only what still has its name is ours to remove.
        assert_eq!(world.asked[..again].contains(&Discard), fault == Fault::of(Errno::NOTEMPTY));
    }
    let mut refused = world(true, &[(6, Fault::of(Errno::BUSY))]);
    assert_eq!(refused.enter(AS_ROOT, 1).refused, Some((Unlink, Fault::of(Errno::BUSY))));
    assert!(refused.agrees(Residue::default()));
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes")]
fn an_interrupted_call_is_repeated_a_few_times() {
    let interrupted = Fault::of(Errno::INTR);
    for (plan, may_chroot, calls) in ways_in() {
        for n in 0..calls.len() {
            let mut once = world(may_chroot, &[(n, interrupted)]);
            assert_eq!(once.enter(plan, 1).now, Inside);
            let always: Vec<_> = (n..n + 100).map(|call| (call, interrupted)).collect();
            assert_eq!(world(may_chroot, &always).enter(plan, 1).now, Refused);
        }
    }
}

#[test]
fn the_next_parent_is_tried_until_there_is_none() {
    // A parent that cannot be opened, one in which nothing can be made, one whose directories
    // cannot be looked at.
    let faults = [(3, IO), (5, PERM), (10, IO)];
    let mut fourth = world(true, &faults);
    let end = fourth.enter(AS_ROOT, 4);
    assert_eq!((end.now, end.parent), (Inside, 3));
    let end = world(true, &faults).enter(AS_ROOT, 3);
    assert_eq!((end.now, end.refused), (Refused, Some((VerifyUnlinked, IO))));
    assert_eq!(end.has, Residue::default());
}

#[test]
fn a_detached_root_is_mounted_and_entered_in_that_order() {
    let plan = Plan { roots: Roots::one(Root::Detached), ..AS_ROOT };
    let mut privileged = world(true, &[]);
    assert_eq!(privileged.enter(plan, 1).now, Inside);
    assert_eq!(privileged.asked, [Threads, Unshare, WorkingDirectory, Mount, Fchdir, Chroot, ChdirRoot, Verify]);
    let mut unprivileged = world(false, &[]);
    assert_eq!(unprivileged.enter(plan, 1).now, Inside);
    assert_eq!(
        unprivileged.asked[3..],
        [
            Mount,
            Proc,
            NewUserNamespace,
            OpenMaps,
            MapUid,
            DenySetgroups,
            MapGid,
            Mount,
            Fchdir,
            Chroot,
            ChdirRoot,
            DropNamespaceCapabilities,
            Keyring,
            Verify
        ]
    );
    // A process that may mount but not chroot does not mount twice.
    let mut half = world(true, &[(5, PERM)]);
    assert_eq!(half.enter(plan, 1).now, Inside);
    assert_eq!(half.asked.iter().filter(|now| **now == Mount).count(), 1);
}

#[test]
fn files_are_opened_before_the_mount_and_copied_after_it() {
    if !FILES {
        return; // they are left out of this build
    }
    let with_files = Plan { roots: Roots::one(Root::Detached), files: true, ..AS_ROOT };
    let mut filled = world(true, &[]);
    assert_eq!(filled.enter(with_files, 1).refused, None);
    assert_eq!(filled.asked[2..], [WorkingDirectory, Files, Mount, Fill, Fchdir, Chroot, ChdirRoot, Verify]);
    let mut filled = world(false, &[]);
    assert_eq!(filled.enter(with_files, 1).refused, None);
    assert_eq!(filled.asked[3..7], [Files, Mount, Proc, NewUserNamespace]);
    assert_eq!(
        filled.asked[11..],
        [Mount, Fill, Fchdir, Chroot, ChdirRoot, DropNamespaceCapabilities, Keyring, Verify]
    );
}

#[test]
fn the_next_root_of_a_list_is_tried_once_all_is_undone() {
    let list = Roots::one(Root::Unlinked).or(Root::Detached).unwrap().or(Root::Failfs).unwrap();
    let plan = Plan { roots: list, ..AS_ROOT };
    let mut no_parent = world(true, &[(3, IO), (4, IO)]);
    let end = no_parent.enter(plan, 2);
    assert_eq!(
        (end.now, end.root, end.attempts),
        (Inside, Root::Detached, [Some((Root::Unlinked, Step::Parent, IO)), None])
    );
    assert_eq!(no_parent.asked[3..], [Parent, Parent, Mount, Fchdir, Chroot, ChdirRoot, Verify]);
    let mut no_mount = world(true, &[(6, IO), (8, IO)]);
    let end = no_mount.enter(plan, 2);
    assert_eq!((end.now, end.root), (Inside, Root::Failfs));
    assert_eq!(no_mount.asked[6..], [Unlink, Discard, Mount, Failfs, Chroot, ChdirRoot, Verify]);
    let end = world(true, &[(3, IO), (4, PERM), (5, IO), (6, IO)]).enter(plan, 2);
    assert_eq!((end.now, end.refused, end.has), (Refused, Some((Failfs, IO)), Residue::default()));
    assert_eq!(end.attempts, [Some((Root::Unlinked, Step::Parent, PERM)), Some((Root::Detached, Step::Mount, IO))]);
}

#[test]
fn a_list_goes_on_where_a_user_namespace_cannot_be_made_and_stops_once_it_is() {
    let plan = Plan { roots: Roots::one(Root::Detached).or(Root::Failfs).unwrap(), ..AS_ROOT };
    for (fault, step, told) in
        [(Fault::MayChroot, Mount, PERM), (Fault::Restricted, NewUserNamespace, Fault::Restricted), (IO, Proc, IO)]
    {
        let mut world = world(false, &[(4, fault)]);
        let end = world.enter(plan, 1);
        assert_eq!((end.now, end.root, end.entered), (Inside, Root::Failfs, Entered::NoNewPrivs));
        assert_eq!(end.attempts, [Some((Root::Detached, step.into(), told)), None]);
        let ways = if fault == Fault::MayChroot { &[Mount, Proc, NewMountNamespace][..] } else { &[Mount, Proc] };
        assert_eq!(world.asked[3..], [ways, &[Failfs, Chroot, NoNewPrivs, Chroot, ChdirRoot, Verify]].concat());
    }
    let end = world(false, &[(6, IO)]).enter(plan, 1);
    assert_eq!((end.refused, end.has.user_namespace), (Some((OpenMaps, IO)), true));
    let always = Plan { user_namespace: UserNamespace::Always, ..plan };
    assert_eq!(world(false, &[(4, IO)]).enter(always, 1).refused, Some((Proc, IO)), "failfs is passed over");
}

#[test]
fn root_of_a_user_namespace_mounts_in_a_mount_namespace_of_its_own() {
    for user_namespace in [UserNamespace::Auto, UserNamespace::Never] {
        let plan = Plan { roots: Roots::one(Root::Detached).or(Root::Unlinked).unwrap(), user_namespace, ..AS_ROOT };
        let foreign = |faults: &[(usize, Fault)]| World { foreign_mounts: true, ..world(true, faults) };
        let detour = usize::from(user_namespace == UserNamespace::Auto);
        let mut moves = foreign(&[]);
        let end = moves.enter(plan, 1);
        assert_eq!((end.now, end.root, end.entered), (Inside, Root::Detached, Entered::Privilege));
        assert_eq!(moves.asked[4 + detour..], [NewMountNamespace, Mount, Fchdir, Chroot, ChdirRoot, Verify]);
        // Without one, the next root is tried.
        let end = foreign(&[(4 + detour, PERM)]).enter(plan, 1);
        assert_eq!((end.now, end.root, end.has.mount_namespace), (Inside, Root::Unlinked, false));
        assert_eq!(end.attempts, [Some((Root::Detached, Step::Mount, PERM)), None]);
        // The mount namespace cannot be left, so a refusal reports it.
        let end = foreign(&[(5 + detour, PERM)]).enter(Plan { roots: Roots::one(Root::Detached), ..plan }, 1);
        assert_eq!((end.now, end.refused, end.has.mount_namespace), (Refused, Some((Mount, PERM)), true));
    }
}

#[test]
fn the_user_comes_first_after_all_that_can_be_checked() {
    let plan = Plan { roots: Roots::one(Root::Detached), files: FILES, user_first: true, ..AS_ROOT };
    let mut world = world(false, &[]);
    let end = world.enter(plan, 1);
    assert_eq!((end.now, end.has.user, end.entered), (Inside, true, Entered::UserNamespace));
    let place = world.asked.iter().position(|action| *action == Become).unwrap();
    let checks: &[Action] =
        if FILES { &[Threads, Unshare, WorkingDirectory, Files] } else { &[Threads, Unshare, WorkingDirectory] };
    assert_eq!(world.asked[..place], *checks);
    assert_eq!(world.asked[place + 1..][..2], [Mount, Proc]);
}

#[test]
fn a_parent_that_changes_owners_is_followed_by_the_next() {
    let squashed: Vec<_> = (0..17).map(|nth| (5 + 3 * nth, Fault::OtherOwner)).collect();
    let mut squashed = world(true, &squashed);
    let end = squashed.enter(AS_ROOT, 2);
    assert_eq!((end.now, end.parent, end.has.left), (Inside, 1, false));
    assert_eq!(squashed.asked[4..9], [Mkdir, OpenRoot, Discard, Mkdir, OpenRoot]);
}

/// FreeBSD enters this way, through the same machine.
#[test]
fn where_no_new_privs_helps_it_is_set_after_eperm_and_no_user_namespace_is_made() {
    let plan = Plan { no_new_privs_helps: true, user_namespace: UserNamespace::Never, ..AS_ROOT };
    let mut lets_in = world(false, &[]);
    let end = lets_in.enter(plan, 1);
    assert_eq!((end.now, end.has.no_new_privs), (Inside, true));
    assert_eq!(lets_in.asked[9..], [Chroot, NoNewPrivs, Chroot, ChdirRoot, Verify]);
    let mut refused = world(false, &[(11, PERM)]);
    let end = refused.enter(plan, 1);
    assert_eq!((end.now, end.refused), (Refused, Some((Chroot, PERM))));
    assert_eq!(end.has, Residue { no_new_privs: true, ..Residue::default() });
    let end = world(true, &[]).enter(plan, 1);
    assert_eq!((end.now, end.has.no_new_privs), (Inside, false));
}

/// On Linux, a process with privilege that is not root sets `no_new_privs` after chroot. In a user
/// namespace `DropNamespaceCapabilities` does it.
#[test]
fn whoever_is_not_root_for_good_sets_no_new_privs_in_the_new_root() {
    for root in ROOTS {
        let plan = Plan { roots: Roots::one(root), ..AS_ROOT };
        let mut privileged = World { sets_no_new_privs: true, ..world(true, &[]) };
        let end = privileged.enter(plan, 1);
        assert_eq!((end.now, end.has.no_new_privs), (Inside, true));
        assert!(privileged.asked.ends_with(&[Chroot, ChdirRoot, NoNewPrivs, Verify]));
        let last = privileged.asked.len() - 2;
        let mut fails = World { sets_no_new_privs: true, ..world(true, &[(last, IO)]) };
        let end = fails.enter(plan, 1);
        assert_eq!((end.now, end.refused), (Refused, Some((NoNewPrivs, IO))));
        assert!(fails.agrees(end.has));
        if root == Root::Failfs {
            continue;
        }
        let mut in_a_namespace = World { sets_no_new_privs: true, ..world(false, &[]) };
        assert_eq!(in_a_namespace.enter(plan, 1).now, Inside);
        assert!(!in_a_namespace.asked.contains(&NoNewPrivs));
    }
}

#[test]
fn unjailed_asks_for_nothing() {
    let mut world = world(false, &[]);
    assert_eq!(world.enter(Plan { roots: Roots::one(Root::Unjailed), ..AS_ROOT }, 1).now, Inside);
    assert!(world.asked.is_empty() && world.agrees(Residue::default()));
}

/// Tries each call that can show the loss, with one parent and with three.
#[test]
fn a_directory_that_is_left_behind_is_not_forgotten_when_no_name_may_be_tried_any_more() {
    for (step, fault) in [(Unlink, Fault::of(Errno::NOENT)), (VerifyUnlinked, Fault::StillLinked)] {
        for parents in [1, 3] {
            let mut always = World { may_chroot: true, ..World::default() };
            let end = State::start(AS_ROOT, parents, false).run(AS_ROOT, |state| {
                if state.now == step {
                    always.asked.push(state.now);
                    always.somebody_did(state.now, fault);
                    return Err(fault);
                }
                always.perform(state)
            });
            assert_eq!((end.now, end.refused), (Refused, Some((step, fault))));
            assert!(end.has.any() && always.agrees(end.has), "{step:?}: {:?}", end.has);
        }
    }
}

/// A signal at every call must not use up the names, nor somebody who takes names the
/// interruptions.
#[test]
fn interruptions_and_names_are_counted_apart() {
    let (taken, interrupted) = (Fault::of(Errno::EXIST), Fault::of(Errno::INTR));
    let mut both: Vec<_> = (4..20).map(|call| (call, interrupted)).collect();
    both.extend((20..36).map(|call| (call, taken)));
    assert_eq!(world(true, &both).enter(AS_ROOT, 1).now, Inside);
}

#[test]
fn a_directory_that_could_not_be_discarded_is_reported_when_the_entry_is_refused() {
    let not_empty = Fault::of(Errno::NOTEMPTY);
    let mut world = world(true, &[(6, not_empty), (7, not_empty), (13, IO)]);
    let end = world.enter(AS_ROOT, 1);
    assert_eq!((end.now, end.refused), (Refused, Some((Chroot, IO))));
    assert_eq!(end.has, Residue { left: true, ..Residue::default() });
    let end = self::world(true, &[(6, not_empty), (13, IO)]).enter(AS_ROOT, 1);
    assert_eq!(end.has, Residue::default(), "it was discarded");
    let end = self::world(true, &[(7, Fault::StillLinked), (13, IO)]).enter(AS_ROOT, 1);
    assert_eq!((end.refused, end.has.left), (Some((Chroot, IO)), true));
}
