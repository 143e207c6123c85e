//! Makes every call of every plan fail with every errno, and a later call with one of seven faults.
//! Visits every state that can be reached.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use super::*;

/// What the man pages of our calls list, taken together, `ENOSYS`, and one that nobody knows.
const ERRNOS: [Errno; 35] = [
    Errno::PERM,
    Errno::NOENT,
    Errno::INTR,
    Errno::IO,
    Errno::BADF,
    Errno::AGAIN,
    Errno::NOMEM,
    Errno::ACCESS,
    Errno::FAULT,
    Errno::BUSY,
    Errno::EXIST,
    Errno::NODEV,
    Errno::NOTDIR,
    Errno::ISDIR,
    Errno::INVAL,
    Errno::NFILE,
    Errno::MFILE,
    Errno::TXTBSY,
    Errno::FBIG,
    Errno::NOSPC,
    Errno::ROFS,
    Errno::MLINK,
    Errno::PIPE,
    Errno::NAMETOOLONG,
    Errno::NOSYS,
    Errno::NOTEMPTY,
    Errno::LOOP,
    Errno::OVERFLOW,
    Errno::USERS,
    Errno::OPNOTSUPP,
    Errno::STALE,
    Errno::DQUOT,
    Errno::XDEV,
    Errno::SRCH,
    Errno::from_raw_os_error(999),
];

/// Answers of our own, which are not errnos.
const ANSWERS: [Fault; 5] =
    [Fault::OtherOwner, Fault::StillLinked, Fault::NotTheRoot, Fault::Capabilities, Fault::OpenDirectory];

fn faults() -> impl Iterator<Item = Fault> {
    ERRNOS.into_iter().map(Fault::of).chain(ANSWERS)
}

/// Returns the faults that the machine treats in different ways.
fn second_faults() -> [Fault; 7] {
    [PERM, IO, Fault::StillLinked]
        .into_iter()
        .chain([Errno::INTR, Errno::EXIST, Errno::NOTEMPTY, Errno::NOENT].map(Fault::of))
        .collect::<Vec<_>>()
        .try_into()
        .unwrap()
}

/// Returns plans with every option that the machine looks at, for each root and for two lists.
fn plans() -> Vec<Plan> {
    let mut plans = vec![Plan { roots: Roots::one(Root::Unjailed), ..AS_ROOT }];
    let made = [Root::Unlinked, Root::Detached, Root::Failfs];
    let one = made.into_iter().chain([Root::Directory]).map(Roots::one);
    let lists = [
        Roots::one(Root::Detached).or(Root::Unlinked).unwrap().or(Root::Failfs).unwrap(),
        Roots::one(Root::Unlinked).or(Root::Failfs).unwrap(),
    ];
    for roots in one.chain(lists) {
        for user_namespace in [UserNamespace::Auto, UserNamespace::Never, UserNamespace::Always] {
            for id_map in [IdMap::Identity, IdMap::None] {
                let no_new_privs_helps = user_namespace == UserNamespace::Never && id_map == IdMap::None;
                for (threads, directories) in [(false, false), (false, true), (true, false), (true, true)] {
                    if !roots.is_one() && (threads, directories) != (false, true) {
                        continue; // what comes before the first root is the same
                    }
                    // Files come before the mount and after it.
                    let files = roots == Roots::one(Root::Detached) && (threads, directories) == (false, true);
                    let more = [(false, false), (true, false), (false, true), (true, true)];
                    plans.extend(more.into_iter().take(if files { 4 } else { 1 }).map(|(files, user_first)| Plan {
                        roots,
                        files,
                        user_first,
                        threads,
                        directories,
                        user_namespace,
                        id_map,
                        no_new_privs_helps, // FreeBSD's shape
                        ..AS_ROOT
                    }));
                }
            }
        }
    }
    plans
}

/// Enters a world in which these calls fail, and checks the outcome. Returns the actions performed.
fn judged(plan: Plan, may_chroot: bool, parents: usize, faults: &[(usize, Fault)]) -> Vec<Action> {
    let mut world = world(may_chroot, faults);
    let end = world.enter(plan, parents);
    let failed = |world: &World, back: Action| faults.iter().any(|(n, _)| world.asked.get(*n) == Some(&back));
    let case = || format!("{plan:?}, may chroot: {may_chroot}, faults: {faults:?}, asked: {:?}", world.asked);
    assert!(world.agrees(end.has), "it says {:?}, but: {}", end.has, case());
    match end.refused {
        None => {
            assert_eq!(end.now, Inside, "{}", case());
            if plan.roots.first() != Root::Unjailed {
                assert_eq!(world.asked.last(), Some(&Verify), "{}", case());
                assert!(world.root && world.cwd && !world.capabilities, "{}", case());
                assert!(!world.named || failed(&world, Discard), "{}", case());
            }
        }
        Some((step, fault)) => {
            assert_eq!(end.now, Refused, "{}", case());
            let call = |n: usize| world.asked.get(n) == Some(&step);
            let injected = faults.iter().any(|(n, injected)| call(*n) && *injected == fault);
            assert!(injected || !may_chroot && fault == PERM && matches!(step, Chroot | Mount | Proc), "{}", case());
            assert!(!world.named || failed(&world, Discard), "{}", case());
            assert!(!world.cwd || world.root || failed(&world, Return), "{}", case());
            assert!(!world.capabilities || failed(&world, DropNamespaceCapabilities), "{}", case());
            assert_eq!(end.has.any(), !world.agrees(Residue::default()), "{}", case());
        }
    }
    world.asked
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes")]
fn any_call_fails_with_any_errno_and_another_after_it() {
    let (mut one, mut two) = (0, 0);
    for plan in plans() {
        for may_chroot in [true, false] {
            for n in 0..judged(plan, may_chroot, 2, &[]).len() {
                for fault in faults() {
                    let asked = judged(plan, may_chroot, 2, &[(n, fault)]).len();
                    one += 1;
                    for later in n + 1..asked {
                        for second in second_faults() {
                            judged(plan, may_chroot, 2, &[(n, fault), (later, second)]);
                            two += 1;
                        }
                    }
                }
            }
        }
    }
    println!("figure: {one} entries with one failing call, {two} with two");
    assert!(one > 10_000 && two > 1_000_000);
}

/// Answers that lead elsewhere than an errno.
const OTHERS: [Fault; 3] = [Fault::OtherOwner, Fault::MayChroot, Fault::Restricted];

/// One way from a state to the next.
struct Transition<'a> {
    key: &'a str,
    from: State,
    outcome: Result<(), Fault>,
    to: State,
}

/// Calls `see` with every transition that can be reached, and checks that every path ends. Returns
/// the number of states.
fn each_transition(see: &mut dyn FnMut(&Transition<'_>)) -> usize {
    /// Stores for each state whether every path from it is known to end.
    type Known = HashMap<String, bool>;
    fn walk(plan: Plan, from: State, known: &mut Known, see: &mut dyn FnMut(&Transition<'_>)) {
        // The reason of a refusal does not change where the machine goes.
        let refused = from.refused.map(|_| (Verify, IO));
        let attempts = from.attempts.map(|attempt| attempt.map(|(root, ..)| (root, Verify.into(), IO)));
        let key = format!("{plan:?} {:?}", State { attempts, refused, ..from });
        match known.get(&key) {
            Some(ends) => return assert!(ends, "a circle at {key}"),
            None => known.insert(key.clone(), matches!(from.now, Inside | Refused)),
        };
        if matches!(from.now, Inside | Refused) {
            assert_eq!(from.now == Refused, from.refused.is_some(), "{key}");
            return;
        }
        for outcome in [Ok(())].into_iter().chain(second_faults().map(Err)).chain(OTHERS.map(Err)) {
            let mut to = from;
            to.next(plan, outcome);
            see(&Transition { key: &key, from, outcome, to });
            walk(plan, to, known, see);
        }
        known.insert(key, true);
    }
    let mut known = Known::new();
    let plans = plans().into_iter().filter(|plan| plan.roots.first() != Root::Unjailed);
    for (plan, sets_no_new_privs) in plans.flat_map(|plan| [(plan, false), (plan, true)]) {
        // A few tries are as good as sixteen.
        let start = State { names: 2, interruptions: 1, ..State::start(plan, 2, sets_no_new_privs) };
        walk(plan, start, &mut known, see);
    }
    known.len()
}

#[test]
#[cfg_attr(miri, ignore = "takes minutes")]
fn every_state_has_a_successor_for_every_outcome_and_every_path_ends() {
    let mut count = 0;
    let states = each_transition(&mut |Transition { key, from, outcome, to }| {
        count += 1;
        if to.now == Inside {
            assert_eq!((from.now, *outcome), (Verify, Ok(())), "{key}");
            assert!(to.has.root && !to.has.capabilities && !to.has.directory, "{key}");
        }
        assert!(!to.has.root || from.has.root || (from.now, *outcome) == (Chroot, Ok(())), "{key}");
        assert!(from.refused.is_none() || to.refused == from.refused, "{key}: the first reason stays");
    });
    println!("figure: {states} states, {count} transitions");
    assert!(states > 1000);
}

/// `src/audit.md` shows the machine as it is: for each action, where it leads.
#[test]
#[cfg_attr(miri, ignore = "takes minutes")]
fn the_picture_of_the_machine_is_true() {
    const AUDIT: &str = include_str!("../../audit.md");
    if !(FILES && crate::features::FAILFS && crate::features::USERNS) {
        return; // the picture shows everything
    }
    let name = |outcome: Result<(), Fault>| match outcome {
        Ok(()) => "ok".to_owned(),
        Err(IO) => "any other error".to_owned(),
        Err(fault) if fault.is_moved() => "ENOENT, ENOTDIR, ELOOP, EMLINK".to_owned(),
        Err(Fault::MayChroot) => "another cause".to_owned(),
        Err(Fault::Restricted) => "AppArmor".to_owned(),
        Err(fault) => match fault.errno() {
            Some(errno) => crate::text::Named(errno).to_string().split(' ').next().unwrap().to_owned(),
            None if fault == Fault::StillLinked => "still linked".to_owned(),
            None => "other owner".to_owned(),
        },
    };
    // In the order of the way in: where each outcome of an action leads.
    let mut leads: Vec<(Action, BTreeMap<String, BTreeSet<String>>)> = vec![];
    each_transition(&mut |Transition { from, outcome, to, .. }| {
        let at = leads.iter().position(|(action, _)| *action == from.now).unwrap_or_else(|| {
            leads.push((from.now, BTreeMap::new()));
            leads.len() - 1
        });
        leads[at].1.entry(name(*outcome)).or_default().insert(format!("{:?}", to.now));
    });
    leads.sort_by_key(|(action, _)| *action as u8);
    let mut picture = String::new();
    for (action, outcomes) in &leads {
        let mut before = format!("{action:?}");
        let other = &outcomes["any other error"];
        let ends = ["ok", "EINTR", "any other error"].map(str::to_owned);
        let special = outcomes.iter().filter(|(name, to)| !ends.contains(name) && *to != other);
        for (name, to) in outcomes.get_key_value("ok").into_iter().chain(special).chain([(&ends[2], other)]) {
            let to: Vec<_> = to.iter().map(String::as_str).collect();
            writeln!(picture, "{before:26}{name}: {}", to.join(", ")).unwrap();
            before.clear();
        }
    }
    assert!(AUDIT.contains(&picture), "src/audit.md has to show this:\n{picture}");
}
