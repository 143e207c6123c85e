//! The state machine of an entry: which step comes next, given what the last one said.
//!
//! It is pure: it makes no system call. [`State::run`] hands each state to `ask` and feeds the outcome to
//! [`State::next`], until the entry is `Inside` or `Refused`.

use rustix::io::Errno;

use crate::error::{Fault, Step};
use crate::jail::{IdMap, Plan, Root, UserNamespace};

/// What is asked of the system now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Now {
    /// A step on the way in; of these only `Shed` is also taken on the way back.
    Do(Step),
    /// Undo `Make`: remove the directory, which still has its name.
    Discard,
    /// Undo `Enter`: go back to the working directory.
    Return,
    /// The end: the jail is entered and verified.
    Inside,
    /// The end: it is not, and what can be undone is undone.
    Refused,
}

/// What the entry has changed so far and not undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Traces {
    /// A directory of ours has a name in the parent.
    pub(crate) directory: bool,
    /// The working directory is another.
    pub(crate) cwd: bool,
    /// The process is in a new user namespace.
    pub(crate) user_namespace: bool,
    /// And holds the capabilities that it gave.
    pub(crate) capabilities: bool,
    /// The root directory is another.
    pub(crate) root: bool,
    /// A directory of ours that somebody moved or filled could not be removed, and another was made in its place.
    pub(crate) left: bool,
    /// Later, in the jail: ids or capabilities are others.
    pub(crate) privileges: bool,
    /// No program that it executes gains a privilege any more.
    pub(crate) no_new_privs: bool,
}

impl Traces {
    pub(crate) const fn any(self) -> bool {
        self.directory
            || self.cwd
            || self.user_namespace
            || self.capabilities
            || self.root
            || self.left
            || self.privileges
            || self.no_new_privs
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) now: Now,
    pub(crate) has: Traces,
    /// The index of the parent that is in use.
    pub(crate) parent: usize,
    /// One more than the last.
    parents: usize,
    /// Which kind of root is being made: with `auto` first one, then the other.
    pub(crate) root: Root,
    /// The tmpfs is there.
    mounted: bool,
    /// How often an interrupted call or another name may still be tried.
    tries: u8,
    /// Why the entry is refused: there from the failure on, so all the way back.
    pub(crate) refused: Option<(Step, Fault)>,
}

use Now::{Discard, Do, Inside, Refused, Return};
use Step::{
    Chroot, DenySetgroups, Directory, Enter, Make, MapGid, MapUid, Mount, NewUserNamespace, NoNewPrivs, Open,
    OpenDirectories, Parent, Proc, Shed, Threads, Unlink, Unlinked, Verify, WorkingDirectory,
};

impl State {
    /// The first state, where there are so many parents to try. Without a jail it is also the last.
    #[inline(never)] // or it adds 200 bytes
    pub(crate) fn start(plan: Plan, parents: usize) -> State {
        let checks = if plan.directories { WorkingDirectory } else { OpenDirectories };
        let now = match plan.root {
            Root::Unjailed => Inside,
            _ if plan.threads => Do(checks),
            _ => Do(Threads),
        };
        State {
            now,
            has: Traces::default(),
            parent: 0,
            parents,
            root: plan.root,
            mounted: false,
            tries: 16,
            refused: None,
        }
    }

    /// From this state to the last. The plan is beside the state and not in it, so that where it is known at compile time, what it
    /// leaves out is left out of the program: 2 KB.
    pub(crate) fn run(mut self, plan: Plan, mut ask: impl FnMut(&State) -> Result<(), Fault>) -> State {
        while !matches!(self.now, Inside | Refused) {
            self = self.next(plan, ask(&self));
        }
        self
    }

    /// The whole machine: the state that follows, given the outcome of what this one asked for.
    #[rustfmt::skip]
    fn next(mut self, plan: Plan, outcome: Result<(), Fault>) -> State {
        let again = self.tries > 0;
        let always = plan.user_namespace == UserNamespace::Always;
        let back_to = if self.wants_mount() { Mount } else { Chroot };
        self.now = match (self.now, outcome) {
            // The way in.
            (Do(Threads), Ok(()))          => Do(if plan.directories { WorkingDirectory } else { OpenDirectories }),
            (Do(OpenDirectories), Ok(()))  => Do(WorkingDirectory),
            (Do(WorkingDirectory), Ok(())) => Do(match self.root { Root::Detached => Mount, Root::Directory => Directory, _ => Parent }),
            (Do(Parent), Ok(()))           => Do(Make),
            (Do(Make), Ok(()))             => { self.has.directory = true; Do(Open) }
            (Do(Open), Ok(()))             => Do(Unlink),
            (Do(Unlink), Ok(()))           => { self.has.directory = false; Do(Unlinked) }
            (Do(Unlinked | Directory), Ok(())) => Do(Enter),
            (Do(Mount), Ok(()))            => { self.mounted = true; Do(Enter) }
            (Do(Enter), Ok(()))            => { self.has.cwd = true; Do(if always && !self.has.user_namespace { Proc } else { Chroot }) }
            (Do(Chroot), Ok(()))           => { self.has.root = true; Do(Step::Root) }
            (Do(Step::Root), Ok(()))       => Do(if self.has.user_namespace { Shed } else { Verify }),
            (Do(Verify), Ok(()))           => Inside,

            // The detour where chroot is not permitted, or to mount.
            (Do(Chroot | Mount), Err(Fault(Errno::PERM)))
                if plan.user_namespace != UserNamespace::Never && !self.has.user_namespace => Do(Proc),
            (Do(Chroot), Err(Fault(Errno::PERM)))
                if plan.no_new_privs_helps && !self.has.no_new_privs => Do(NoNewPrivs),
            (Do(NoNewPrivs), Ok(()))       => { self.has.no_new_privs = true; Do(Chroot) }
            (Do(Proc), Ok(()))             => Do(NewUserNamespace),
            (Do(NewUserNamespace), Ok(())) => {
                (self.has.user_namespace, self.has.capabilities) = (true, true);
                Do(if plan.id_map == IdMap::Identity { MapUid } else { back_to })
            }
            (Do(MapUid), Ok(()))           => Do(DenySetgroups),
            (Do(DenySetgroups), Ok(()))    => Do(MapGid),
            (Do(MapGid), Ok(()))           => Do(back_to),
            (Do(Shed), Ok(())) if self.refused.is_none() => { self.has.capabilities = false; Do(Verify) }

            // Once more: an interrupted call, a name that is taken, a directory that somebody got at, the next parent.
            (Do(step), Err(Fault(Errno::INTR))) if again                  => self.again(Do(step)),
            (Do(Open | Unlink), Err(fault)) if again && fault.is_a_swap() => self.again(Discard),
            (Do(Make), Err(Fault(Errno::EXIST))) if again                 => self.again(Do(Make)),
            (Do(Unlinked), Err(Fault::ALIVE)) if again                    => { self.has.left = true; self.again(Do(Make)) }
            (Discard, done) if self.refused.is_none() => {
                self.has.left |= done.is_err();
                self.has.directory = false;
                Do(Make)
            }
            (Do(Parent | Make | Unlinked), Err(_)) if self.parent + 1 < self.parents => { self.parent += 1; Do(Parent) }
            (Do(Parent | Make | Unlinked), Err(_)) if plan.detached_if_no_parent && self.root == Root::Unlinked
                                           => { self.root = Root::Detached; Do(Mount) }

            // The way back.
            (Do(step), Err(fault)) if self.refused.is_none() => { self.refused = Some((step, fault)); self.back() }
            (Discard, done)                => { self.has.directory = done.is_err(); self.back() }
            (Return, done)                 => { self.has.cwd = done.is_err(); self.back() }
            (Do(_), done)                  => { self.has.capabilities = done.is_err(); Refused }
            (end @ (Inside | Refused), _)  => end,
        };
        self
    }

    /// Whether a tmpfs is to be mounted and is not yet.
    pub(crate) const fn wants_mount(&self) -> bool {
        matches!(self.root, Root::Detached) && !self.mounted
    }

    /// The next thing that can be undone. A new root can not: then the process stays in it.
    const fn back(&self) -> Now {
        match self.now {
            Do(_) if self.has.directory => Discard,
            Do(_) | Discard if self.has.cwd && !self.has.root => Return,
            _ if self.has.capabilities => Do(Shed),
            _ => Refused,
        }
    }

    const fn again(&mut self, now: Now) -> Now {
        self.tries -= 1;
        now
    }
}

/// A straight way, on which there is no way back: all checks, then all changes, until one step fails. Of that one it also
/// tells whether a change was made before it.
pub(crate) fn walk(
    checks: &[Step],
    changes: &[Step],
    mut ask: impl FnMut(Step) -> Result<(), Fault>,
) -> Result<(), (Step, Fault, bool)> {
    let mut steps = checks.iter().chain(changes).enumerate();
    steps.try_for_each(|(n, &step)| ask(step).map_err(|fault| (step, fault, n > checks.len())))
}

#[cfg(test)]
mod tests;
