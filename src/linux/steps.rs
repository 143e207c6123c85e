//! How `run_as` and `seal` go: checks, then changes (Linux).

use crate::error::Fault;

/// A step that failed, the reason, and the changes that were made before.
pub(crate) type Failure<'s, S> = (S, Fault, &'s [S]);

/// Runs all checks, then all changes, and stops at the first failure.
pub(crate) fn run_steps<'s, S: Copy>(
    checks: &[S],
    changes: &'s [S],
    mut perform: impl FnMut(S) -> Result<(), Fault>,
) -> Result<(), Failure<'s, S>> {
    checks.iter().try_for_each(|&step| perform(step).map_err(|fault| (step, fault, [].as_slice())))?;
    let mut steps = changes.iter().enumerate();
    steps.try_for_each(|(n, &step)| perform(step).map_err(|fault| (step, fault, changes.get(..n).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::super::{RunAs, Sealing, Way};
    use super::*;
    use crate::error::Step;

    #[test]
    fn a_straight_way_stops_at_the_first_failure_and_says_whether_anything_changed() {
        let mut count = 0;
        for (in_user_namespace, uid) in [(false, 0), (false, 1), (true, 1)] {
            for (ids, groups) in [(false, false), (false, true), (true, false), (true, true)] {
                let changes = RunAs::changes(in_user_namespace, uid, Way { ids, groups });
                count += walks(RunAs::CHECKS, changes);
            }
        }
        count += walks(Sealing::CHECKS, Sealing::CHANGES);
        println!("figure: {count} failing steps of run_as and seal");
    }

    /// Every step fails with every fault; returns how many that were.
    fn walks<S: Copy + PartialEq + std::fmt::Debug + Into<Step>>(checks: &[S], changes: &[S]) -> usize {
        let all = [checks, changes].concat();
        assert_eq!((all[0].into(), all[all.len() - 1].into()), (Step::Threads, Step::Verify));
        let mut count = 0;
        for (n, &failing) in all.iter().enumerate() {
            for fault in [Fault::PERM, Fault::of(Errno::NOSYS), Fault::StillLinked, Fault::Capabilities] {
                let mut asked = vec![];
                let end = run_steps(checks, changes, |step| {
                    asked.push(step);
                    if step == failing { Err(fault) } else { Ok(()) }
                });
                assert_eq!(end, Err((failing, fault, &changes[..n.saturating_sub(checks.len())])));
                assert_eq!(asked, all[..=n]);
                count += 1;
            }
        }
        assert_eq!(run_steps(checks, changes, |_| Ok(())), Ok(()));
        count
    }
}
