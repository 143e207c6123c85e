//! The state machine of an entry: which step comes next, given what the last one said.
//!
//! It is pure: it makes no system call. [`State::run`] hands each state to `perform` and feeds the outcome to
//! [`State::next`], until the entry is `Inside` or `Refused`.

use crate::error::{Fault, Residue, Step};
use crate::jail::{IdMap, Plan, Root, UserNamespace};

/// What to do next. Every match on an action lists all of them, so that the compiler names the places a new one needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    // The steps on the way in.
    Threads,
    Unshare,
    Descriptors,
    WorkingDirectory,
    Parent,
    Mkdir,
    OpenRoot,
    Unlink,
    VerifyUnlinked,
    Mount,
    Directory,
    Fchdir,
    Chroot,
    NoNewPrivs,
    Proc,
    NewUserNamespace,
    OpenMaps,
    MapUid,
    DenySetgroups,
    MapGid,
    ChdirRoot,
    /// Also taken on the way back.
    DropNamespaceCapabilities,
    Keyring,
    Verify,
    // The way back.
    /// Undo `Mkdir`: remove the directory, which still has its name. Also taken before another one is made.
    Discard,
    /// Undo `Fchdir`: go back to the working directory.
    Return,
    // The ends.
    /// The jail is entered and verified.
    Inside,
    /// It is not, and what can be undone is undone.
    Refused,
}

impl Action {
    /// The step that an error names.
    pub(crate) const fn step(self) -> Step {
        match self {
            Threads => Step::Threads,
            Unshare => Step::Unshare,
            Descriptors => Step::Descriptors,
            WorkingDirectory | Return => Step::WorkingDirectory,
            Parent => Step::Parent,
            Mkdir => Step::Mkdir,
            OpenRoot => Step::OpenRoot,
            Unlink | Discard => Step::Unlink,
            VerifyUnlinked => Step::VerifyUnlinked,
            Mount => Step::Mount,
            Directory => Step::Directory,
            Fchdir => Step::Fchdir,
            Chroot => Step::Chroot,
            NoNewPrivs => Step::NoNewPrivs,
            Proc => Step::Proc,
            NewUserNamespace => Step::NewUserNamespace,
            OpenMaps => Step::OpenMaps,
            MapUid => Step::MapUid,
            DenySetgroups => Step::DenySetgroups,
            MapGid => Step::MapGid,
            ChdirRoot => Step::ChdirRoot,
            DropNamespaceCapabilities => Step::DropNamespaceCapabilities,
            Keyring => Step::Keyring,
            Verify | Inside | Refused => Step::Verify,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) now: Action,
    pub(crate) has: Residue,
    /// The index of the parent that is in use.
    pub(crate) parent: usize,
    /// One more than the last.
    parents: usize,
    /// Which kind of root is being made: with `auto` first one, then the other.
    pub(crate) root: Root,
    /// The tmpfs is there.
    mounted: bool,
    /// An entry by privilege sets `no_new_privs`.
    sets_no_new_privs: bool,
    /// How many more names may be tried.
    names: u8,
    /// How many more calls may be interrupted.
    interruptions: u8,
    /// Why the entry is refused: set at the failure, so there all the way back.
    pub(crate) refused: Option<(Action, Fault)>,
}

use Action::{
    ChdirRoot, Chroot, DenySetgroups, Descriptors, Directory, Discard, DropNamespaceCapabilities, Fchdir, Inside,
    Keyring, MapGid, MapUid, Mkdir, Mount, NewUserNamespace, NoNewPrivs, OpenMaps, OpenRoot, Parent, Proc, Refused,
    Return, Threads, Unlink, Unshare, Verify, VerifyUnlinked, WorkingDirectory,
};

impl State {
    /// The first state, where there are so many parents to try and an entry by privilege has to set `no_new_privs` or not. Without a jail
    /// it is also the last.
    pub(crate) fn start(plan: Plan, parents: usize, sets_no_new_privs: bool) -> State {
        let now = match plan.root {
            Root::Unjailed => Inside,
            Root::Unlinked | Root::Detached | Root::Directory if plan.threads => after_threads(plan),
            Root::Unlinked | Root::Detached | Root::Directory => Threads,
        };
        State {
            now,
            has: Residue::default(),
            parent: 0,
            parents,
            root: plan.root,
            mounted: false,
            sets_no_new_privs,
            names: 16,
            interruptions: 16,
            refused: None,
        }
    }

    /// From this state to the last. The plan is beside the state and not in it, so that where it is known at compile time, what it
    /// leaves out is left out of the program: 2 KB.
    pub(crate) fn run(mut self, plan: Plan, mut perform: impl FnMut(&State) -> Result<(), Fault>) -> State {
        while !matches!(self.now, Inside | Refused) {
            self = self.next(plan, perform(&self));
        }
        self
    }

    /// The whole machine: the state that follows, given the outcome of what this one asked for.
    #[rustfmt::skip]
    fn next(mut self, plan: Plan, outcome: Result<(), Fault>) -> State {
        let in_namespace = self.has.user_namespace;
        let detour = plan.user_namespace != UserNamespace::Never && !in_namespace;
        let always = plan.user_namespace == UserNamespace::Always;
        let back_to = if self.wants_mount() { Mount } else { Chroot };
        self.now = match (self.now, outcome) {
            // The way in: one line for what follows each action.
            (Threads, Ok(()))                           => Unshare,
            (Unshare, Ok(()))                           => after_threads(plan),
            (Descriptors, Ok(()))                       => WorkingDirectory,
            (WorkingDirectory, Ok(()))                  => match self.root { Root::Unlinked => Parent, Root::Detached => Mount, Root::Directory => Directory, Root::Unjailed => self.refuse(WorkingDirectory, Fault::NoJail) },
            (Parent, Ok(()))                            => Mkdir,
            (Mkdir, Ok(()))                             => { self.has.directory = true; OpenRoot }
            (OpenRoot, Ok(()))                          => Unlink,
            (Unlink, Ok(()))                            => { self.has.directory = false; VerifyUnlinked }
            (VerifyUnlinked | Directory, Ok(()))        => Fchdir,
            (Mount, Ok(()))                             => { self.mounted = true; Fchdir }
            (Fchdir, Ok(()))                            => { self.has.cwd = true; if always && !in_namespace { Proc } else { Chroot } }
            (Chroot, Ok(()))                            => { self.has.root = true; ChdirRoot }
            (NoNewPrivs, Ok(()))                        => { self.has.no_new_privs = true; if self.has.root { Verify } else { Chroot } }
            (Proc, Ok(()))                              => NewUserNamespace,
            (NewUserNamespace, Ok(()))                  => {
                (self.has.user_namespace, self.has.capabilities) = (true, true);
                if plan.id_map == IdMap::Identity { OpenMaps } else { back_to }
            }
            (OpenMaps, Ok(()))                          => MapUid,
            (MapUid, Ok(()))                            => DenySetgroups,
            (DenySetgroups, Ok(()))                     => MapGid,
            (MapGid, Ok(()))                            => back_to,
            (ChdirRoot, Ok(()))                 => if in_namespace { DropNamespaceCapabilities } else if self.sets_no_new_privs && !self.has.no_new_privs { NoNewPrivs } else { Verify },
            (DropNamespaceCapabilities, Ok(()))         => { self.has.capabilities = false; if self.refused.is_none() { Keyring } else { Refused } }
            (Keyring, Ok(()))                           => Verify,
            (Verify, Ok(()))                            => Inside,

            // The detour, where it is not permitted to chroot or to mount.
            (Chroot | Mount, Err(Fault::PERM)) if detour => Proc,
            (Chroot, Err(Fault::PERM)) if plan.no_new_privs_helps && !self.has.no_new_privs => NoNewPrivs,

            // Once more: an interrupted call, a name that is taken, a directory that somebody got at.
            (action, Err(Fault::INTR)) if self.interruptions > 0 => { self.interruptions -= 1; action }
            (OpenRoot | Unlink, Err(fault)) if fault.is_moved() => {
                (self.has.directory, self.has.left) = (false, true);
                self.another_name(Mkdir, fault)
            }
            (Unlink, Err(fault)) if fault.is_filled() => self.another_name(Discard, fault),
            (VerifyUnlinked, Err(Fault::Alive)) if self.names > 0 => { self.has.left = true; self.another_name(Mkdir, Fault::Alive) }
            (Mkdir, Err(fault @ Fault::EXIST)) if self.names > 0 => self.another_name(Mkdir, fault),
            (Discard, done) if self.refused.is_none() => {
                self.has.left |= done.is_err();
                self.has.directory = false;
                Mkdir
            }

            // The next parent, and where there is none, a root that needs none.
            (action @ (Parent | Mkdir | VerifyUnlinked), Err(fault)) => {
                self.has.left |= (action, fault) == (VerifyUnlinked, Fault::Alive);
                if self.parent + 1 < self.parents {
                    self.parent += 1;
                    Parent
                } else if plan.detached_if_no_parent && self.root == Root::Unlinked {
                    self.root = Root::Detached;
                    Mount
                } else {
                    self.refuse(action, fault)
                }
            }

            // The way back. Whatever else fails on the way in ends it.
            (Discard, done)            => { self.has.directory = done.is_err(); self.back() }
            (Return, done)             => { self.has.cwd = done.is_err(); self.back() }
            (DropNamespaceCapabilities, Err(_)) if self.refused.is_some() => Refused,
            (end @ (Inside | Refused), _) => end,
            (action, Err(fault))       => self.refuse(action, fault),
        };
        self
    }

    /// Whether a tmpfs is to be mounted and is not yet.
    pub(crate) const fn wants_mount(&self) -> bool {
        matches!(self.root, Root::Detached) && !self.mounted
    }

    /// Go on with another name, as often as that may be tried.
    const fn another_name(&mut self, next: Action, fault: Fault) -> Action {
        if self.names == 0 {
            return self.refuse(self.now, fault);
        }
        self.names -= 1;
        next
    }

    /// Note the reason, and begin to undo.
    const fn refuse(&mut self, action: Action, fault: Fault) -> Action {
        self.refused = Some((action, fault));
        self.back()
    }

    /// The next thing that can be undone. A new root cannot: then the process stays in it.
    const fn back(&self) -> Action {
        let has = self.has;
        match self.now {
            Discard if has.cwd && !has.root => Return,
            Discard | Return if has.capabilities => DropNamespaceCapabilities,
            Discard | Return => Refused,
            _ if has.directory => Discard,
            _ if has.cwd && !has.root => Return,
            _ if has.capabilities => DropNamespaceCapabilities,
            _ => Refused,
        }
    }
}

/// What comes once nothing else shares the process, or threads are allowed.
const fn after_threads(plan: Plan) -> Action {
    if plan.directories { WorkingDirectory } else { Descriptors }
}

#[cfg(test)]
mod tests;
