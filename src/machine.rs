//! The state machine of an entry: which step comes next, given the outcome of the last one.
//!
//! It makes no system call. [`State::run`] passes each state to `perform` and the outcome to
//! [`State::next`], until the entry is `Inside` or `Refused`.

use crate::error::{Attempt, Fault, Residue, Step, actions};
use crate::features::FILES;
use crate::jail::{Entered, IdMap, Plan, UserNamespace};
use crate::root::Root;

actions! {
    /// The next action. Every match on an action lists all of them, so that the compiler finds each
    /// place that a new one needs.
    enum Action {
        // The steps on the way in.
        Threads => Threads,
        Unshare => Unshare,
        /// Before the entry opens descriptors of its own.
        Descriptors => Descriptors,
        WorkingDirectory => WorkingDirectory,
        Parent => Parent,
        Mkdir => Mkdir,
        OpenRoot => OpenRoot,
        Unlink => Unlink,
        VerifyUnlinked => VerifyUnlinked,
        Files => Files,
        /// Becomes the user, if that comes first. All that can be checked is checked before.
        Become => SetUid,
        Mount => Mount,
        NewMountNamespace => NewMountNamespace,
        Fill => Fill,
        Failfs => Failfs,
        Directory => Directory,
        /// So that `chroot(".")` takes the directory that was checked, and looks up no path.
        Fchdir => Fchdir,
        Chroot => Chroot,
        /// It cannot be undone, so it comes as late as possible.
        NoNewPrivs => NoNewPrivs,
        /// There is no `/proc` in the new root, so it is opened before.
        Proc => Proc,
        NewUserNamespace => NewUserNamespace,
        OpenMaps => OpenMaps,
        MapUid => MapUid,
        /// Without it, the kernel lets no ordinary user write `gid_map`.
        DenySetgroups => DenySetgroups,
        MapGid => MapGid,
        /// Until then the working directory can lead out of the root.
        ChdirRoot => ChdirRoot,
        /// Also taken on the way back.
        DropNamespaceCapabilities => DropNamespaceCapabilities,
        Keyring => Keyring,
        Verify => Verify,
        // The way back.
        /// Undoes `Mkdir`: removes the directory, which still has its name. Also taken before another one
        /// is made.
        Discard => Unlink,
        /// Undoes `Fchdir`: goes back to the working directory.
        Return => WorkingDirectory,
        // The ends.
        /// The jail is entered and verified.
        Inside => Verify,
        /// The jail is not entered, and everything that can be undone is undone.
        Refused => Verify,
    }
}

use Action::{
    Become, ChdirRoot, Chroot, DenySetgroups, Descriptors, Directory, Discard, DropNamespaceCapabilities, Failfs,
    Fchdir, Files, Fill, Inside, Keyring, MapGid, MapUid, Mkdir, Mount, NewMountNamespace, NewUserNamespace,
    NoNewPrivs, OpenMaps, OpenRoot, Parent, Proc, Refused, Return, Threads, Unlink, Unshare, Verify, VerifyUnlinked,
    WorkingDirectory,
};

/// What is tried after everything is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// Another name in the same parent.
    Name,
    Parent,
    Root,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) now: Action,
    pub(crate) has: Residue,
    /// The index of the parent that is in use.
    pub(crate) parent: usize,
    /// The number of parents.
    parents: usize,
    /// The kind of root that is being made: the first of the list, then the next one.
    pub(crate) root: Root,
    /// The kinds that were given up.
    pub(crate) attempts: [Option<Attempt>; 2],
    /// How the root is entered.
    pub(crate) entered: Entered,
    /// The tmpfs is mounted.
    mounted: bool,
    /// An entry by privilege sets `no_new_privs`.
    sets_no_new_privs: bool,
    /// How many more names may be tried in this parent.
    names: u8,
    /// How many more calls may be interrupted.
    interruptions: u8,
    again: Option<Again>,
    /// The reason of the refusal, which is set at the failure and kept on the way back.
    pub(crate) refused: Option<(Action, Fault)>,
}

/// How many names are tried in a parent.
const NAMES: u8 = 16;

impl State {
    /// Returns the first state. With `sets_no_new_privs`, an entry by privilege has to set
    /// `no_new_privs`. Without a jail the first state is also the last.
    pub(crate) fn start(plan: Plan, parents: usize, sets_no_new_privs: bool) -> State {
        let root = plan.roots.first();
        let now = match root {
            Root::Unjailed => Inside,
            Root::Unlinked | Root::Detached | Root::Failfs | Root::Directory if plan.threads => after_threads(plan),
            Root::Unlinked | Root::Detached | Root::Failfs | Root::Directory => Threads,
        };
        State {
            now,
            has: Residue::default(),
            parent: 0,
            parents,
            root,
            attempts: [None; 2],
            entered: if let Root::Unjailed = plan.roots.first() { Entered::Unjailed } else { Entered::Privilege },
            mounted: false,
            sets_no_new_privs,
            names: NAMES,
            interruptions: 16,
            again: None,
            refused: None,
        }
    }

    /// Goes from this state to the last.
    pub(crate) fn run(mut self, plan: Plan, mut perform: impl FnMut(&State) -> Result<(), Fault>) -> State {
        while !matches!(self.now, Inside | Refused) {
            let outcome = perform(&self);
            self.next(plan, outcome);
        }
        self
    }

    /// Goes to the next state, given the outcome of this one. This is the whole machine.
    #[rustfmt::skip]
    fn next(&mut self, plan: Plan, outcome: Result<(), Fault>) {
        let in_namespace = self.has.user_namespace;
        let detour = plan.user_namespace != UserNamespace::Never && !in_namespace && self.root.facts().takes_user_namespace;
        let fresh = !in_namespace && !self.has.mount_namespace;
        let always = plan.user_namespace == UserNamespace::Always;
        let files = FILES && plan.files;
        let back_to = if self.wants_mount() { Mount } else { Chroot };
        self.now = match (self.now, outcome) {
            // The way in: one line for each action.
            (Threads, Ok(()))                           => Unshare,
            (Unshare, Ok(()))                           => after_threads(plan),
            (Descriptors, Ok(()))                       => WorkingDirectory,
            (WorkingDirectory, Ok(())) if files         => Files,
            (WorkingDirectory | Files, Ok(())) if plan.user_first => Become,
            (WorkingDirectory | Files, Ok(()))          => self.first_of_root(),
            (Become, Ok(()))                            => { self.has.user = true; self.first_of_root() }
            (Parent, Ok(()))                            => Mkdir,
            (Mkdir, Ok(()))                             => { self.has.directory = true; OpenRoot }
            (OpenRoot, Ok(()))                          => Unlink,
            (Unlink, Ok(()))                            => { self.has.directory = false; VerifyUnlinked }
            (VerifyUnlinked | Fill | Directory, Ok(())) => Fchdir,
            (Mount, Ok(()))                             => { self.mounted = true; if files { Fill } else { Fchdir } }
            (NewMountNamespace, Ok(()))                 => { self.has.mount_namespace = true; Mount }
            (Failfs, Ok(()))                            => Chroot,
            (Fchdir, Ok(()))                            => { self.has.cwd = true; if always && !in_namespace { Proc } else { Chroot } }
            (Chroot, Ok(()))                            => { self.has.root = true; ChdirRoot }
            (NoNewPrivs, Ok(()))                        => { self.has.no_new_privs = true; if self.has.root { Verify } else { self.entered = Entered::NoNewPrivs; Chroot } }
            (Proc, Ok(()))                              => NewUserNamespace,
            (NewUserNamespace, Ok(()))                  => {
                (self.has.user_namespace, self.has.capabilities, self.entered) = (true, true, Entered::UserNamespace);
                if plan.id_map == IdMap::Identity { OpenMaps } else { back_to }
            }
            (OpenMaps, Ok(()))                          => MapUid,
            (MapUid, Ok(()))                            => DenySetgroups,
            (DenySetgroups, Ok(()))                     => MapGid,
            (MapGid, Ok(()))                            => back_to,
            (ChdirRoot, Ok(()))                         => {
                self.has.cwd = true;
                if in_namespace { DropNamespaceCapabilities } else if self.sets_no_new_privs && !self.has.no_new_privs { NoNewPrivs } else { Verify }
            }
            (DropNamespaceCapabilities, Ok(()))         => { self.has.capabilities = false; if self.refused.is_none() { Keyring } else { Refused } }
            (Keyring, Ok(()))                           => Verify,
            (Verify, Ok(()))                            => Inside,

            // The detour through a user namespace, if chroot or mounting is not permitted. It is not made where it would not help.
            (Chroot | Mount, Err(Fault::PERM)) if detour => Proc,
            (Chroot, Err(Fault::PERM)) if self.no_new_privs_helps(plan) && !self.has.no_new_privs => NoNewPrivs,
            // Root of a user namespace may mount only in a mount namespace of its own.
            (Proc, Err(Fault::MayChroot)) if fresh && self.wants_mount() => NewMountNamespace,
            (Mount, Err(Fault::PERM)) if fresh => NewMountNamespace,
            (Proc, Err(Fault::MayChroot)) => self.again(plan, Again::Root, back_to, Fault::PERM),
            (Proc, Err(Fault::Restricted)) => self.again(plan, Again::Root, NewUserNamespace, Fault::Restricted),

            // Another try: an interrupted call, except while files are copied; a name that is taken; a directory that somebody changed.
            (action, Err(Fault::INTR)) if self.interruptions > 0 && action != Fill => { self.interruptions -= 1; action }
            (NewMountNamespace, Err(_)) => self.again(plan, Again::Root, Mount, Fault::PERM),
            (action @ (OpenRoot | Unlink), Err(fault)) if fault.is_moved() => {
                (self.has.directory, self.has.left) = (false, true);
                self.again(plan, Again::Name, action, fault)
            }
            (VerifyUnlinked, Err(Fault::StillLinked)) => { self.has.left = true; self.again(plan, Again::Name, VerifyUnlinked, Fault::StillLinked) }
            (Unlink, Err(fault)) if fault.is_filled() => self.again(plan, Again::Name, Unlink, fault),
            (Mkdir, Err(Fault::EXIST)) => self.again(plan, Again::Name, Mkdir, Fault::EXIST),
            (OpenRoot, Err(Fault::OtherOwner)) => self.again(plan, Again::Name, OpenRoot, Fault::OtherOwner),
            (action @ (Parent | Mkdir | VerifyUnlinked), Err(fault)) => self.again(plan, Again::Parent, action, fault),

            // The way back, after which another root is tried or the entry is refused.
            (Discard, done) => {
                self.has.left |= done.is_err() && self.again.is_some();
                self.has.directory = done.is_err() && self.again.is_none();
                self.back()
            }
            (Return, done) => { self.has.cwd = done.is_err(); self.back() }
            (DropNamespaceCapabilities, Err(_)) if self.refused.is_some() => Refused,
            (end @ (Inside | Refused), _) => end,

            // Any other failure on the way in ends the entry, unless it is about this kind of root alone.
            (action @ (OpenRoot | Unlink | Mount | Failfs | Fchdir | Chroot | Proc | NewUserNamespace), Err(fault)) => self.again(plan, Again::Root, action, fault),
            (action @ (Threads | Unshare | Descriptors | WorkingDirectory | Files | Become | Fill | Directory | NoNewPrivs | OpenMaps | MapUid | DenySetgroups | MapGid | ChdirRoot | DropNamespaceCapabilities | Keyring | Verify), Err(fault)) => self.refuse(action, fault),
        };
    }

    /// Returns whether a tmpfs is to be mounted and is not yet.
    pub(crate) const fn wants_mount(&self) -> bool {
        self.root.facts().is_mounted && !self.mounted
    }

    /// Returns whether a process that has set `no_new_privs` may enter this root without privilege.
    const fn no_new_privs_helps(&self, plan: Plan) -> bool {
        self.root.facts().takes_no_new_privs || plan.no_new_privs_helps
    }

    const fn first_of_root(&mut self) -> Action {
        match self.root {
            Root::Unlinked => Parent,
            Root::Detached => Mount,
            Root::Failfs => Failfs,
            Root::Directory => Directory,
            Root::Unjailed => self.refuse(WorkingDirectory, Fault::NoJail),
        }
    }

    /// Notes what is tried next, and begins to undo: another name, otherwise another parent,
    /// otherwise another kind of root. A new user namespace cannot be left, so no other kind is
    /// tried there.
    fn again(&mut self, plan: Plan, again: Again, action: Action, fault: Fault) -> Action {
        if again == Again::Name && self.names > 0 {
            self.names -= 1;
            self.again = Some(Again::Name);
        } else if again != Again::Root && self.parent + 1 < self.parents {
            (self.parent, self.names) = (self.parent + 1, NAMES);
            self.again = Some(Again::Parent);
        } else if let (Some(root), false) = (plan.root_after(self.root), self.has.user_namespace) {
            let ([place @ None, _] | [_, place]) = &mut self.attempts;
            *place = Some((self.root, action.into(), fault));
            self.root = root;
            self.again = Some(Again::Root);
        } else {
            return self.refuse(action, fault);
        }
        self.back()
    }

    /// Notes the reason, and begins to undo.
    const fn refuse(&mut self, action: Action, fault: Fault) -> Action {
        self.refused = Some((action, fault));
        self.back()
    }

    /// Returns the next action that undoes something or, if nothing is left to undo, the action to
    /// try again. A new root cannot be undone.
    const fn back(&mut self) -> Action {
        let has = self.has;
        let returns = has.cwd && !has.root;
        match self.now {
            Discard if returns => return Return,
            Discard | Return => {}
            _ if has.directory => return Discard,
            _ if returns => return Return,
            _ => {}
        }
        match self.again.take() {
            Some(Again::Name) => Mkdir,
            Some(Again::Parent) => Parent,
            Some(Again::Root) => self.first_of_root(),
            None if has.capabilities => DropNamespaceCapabilities,
            None => Refused,
        }
    }
}

/// Returns the action after the check for threads.
const fn after_threads(plan: Plan) -> Action {
    if plan.directories { WorkingDirectory } else { Descriptors }
}

#[cfg(test)]
mod tests;
