//! The entry of a process that becomes another user (Linux).

use crate::capabilities::Capabilities;
use crate::check::Check;
use crate::error::{Error, Fault, Residue, Step};
use crate::hints::cause::Cause;
use crate::jail::{BecomeUser, IdMap, Jail, UserNamespace};
use crate::jailed::Jailed;
use crate::linux::{
    IdMaps, User, Way, check_arguments, check_held, check_kept, explain, known_to_fail, no_new_privs_will_do,
    not_effective, only_thread, user as user_now,
};

/// Linux only.
impl Jail<'_> {
    /// Enters the jail as this user: [`enter`](Jail::enter) and [`run_as`](Jailed::run_as), in the
    /// order that works.
    ///
    /// - A process that is the user already enters, and drops the capabilities that are not kept.
    ///   It may lack some of the user's groups.
    /// - A process with the privilege to enter and to become the user does both.
    /// - A process that can become the user, but needs a user namespace to enter, becomes the user
    ///   first: in a user namespace there are no other users.
    /// - Any other process gets an error, and nothing has changed.
    ///
    /// When this returns, the real, effective and saved ids are those of the user (with
    /// [`IdMap::None`] all ids show as 65534), the process is in no group that the user is not in,
    /// and unless the user is root it holds no capability. [`Jail::unjailed`] changes the user too.
    ///
    /// ```standalone_crate
    /// # #[cfg(target_os = "linux")]
    /// # if rustix::process::geteuid().is_root() && autochroot::User::find("www-data").is_ok() {
    /// use autochroot::{Jail, User};
    ///
    /// let user = User::find("www-data")?;
    /// let _sealed = Jail::auto().enter_as(&user)?.seal()?;
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Cost
    ///
    /// 14 system calls more than `enter` and `run_as`: three for the ids and groups, two for the
    /// capabilities, and nine to read `/proc/self/uid_map`, `gid_map` and `setgroups`. A process
    /// that is the user already and enters through a user namespace makes 11 more than `enter`. If
    /// the maps do not cover all ids, the overflow ids are read too, by six calls: an id that is
    /// not mapped shows as one of them.
    ///
    /// # Requirements
    ///
    /// The requirements of `enter`. To become another user, `CAP_SETUID` and `CAP_SETGID`. For a user
    /// with the group 65534, `/proc`: without it that group looks like one that is not mapped. A
    /// process that cannot enter with its own privilege becomes the user first, and is not dumpable
    /// then, so it also needs [`allow_dumpable`](Jail::allow_dumpable) or [`IdMap::None`]. Better,
    /// give it `CAP_SYS_CHROOT`, and for a detached root alone `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    ///
    /// [`Step::CheckIds`], before anything changes: a capability is missing, an id is not mapped in
    /// the user namespace around the process, `setgroups` is denied there, or the process is in a
    /// group that the user is not in. [`Step::Proc`], before anything changes: see
    /// the requirements.
    ///
    /// All others are those of `enter` and `run_as`. Where the user comes first, threads,
    /// descriptors, files, and whether a user namespace is possible, are checked before, and the
    /// sources of files are opened with the rights of the caller. An error that comes later leaves
    /// the process as the user, in "/". [`Error::is_partial`] is true then, and the text names the
    /// change.
    pub fn enter_as(self, user: &User<'_>) -> Result<Jailed, Error> {
        self.enter_as_keeping(user, Capabilities::NONE)
    }

    /// Enters as this user like [`enter_as`](Jail::enter_as), but keeps these capabilities. A later
    /// [`seal`](Jailed::seal) keeps them too.
    ///
    /// # Errors
    ///
    /// The errors of `enter_as`. [`Step::CheckCapabilities`], before anything changes: a capability
    /// is not held, or the entry needs a user namespace, in which none can be kept.
    pub fn enter_as_keeping(self, user: &User<'_>, keep: Capabilities) -> Result<Jailed, Error> {
        self.check_options()?;
        let refused = |step, fault, cause| Error { cause, ..Error::inside(step, fault, Residue::default()) };
        check_arguments(user, keep).map_err(|fault| refused(Step::CheckIds, fault, None))?;
        self.check_kept(keep)?;
        let way = Way::find(user)?;
        check_kept(keep, way.ids).map_err(|fault| explain(refused(Step::CheckCapabilities, fault, None)))?;
        let is_user = !way.ids && !way.groups;
        let needs_namespace = self.needs_namespace();
        let comes_first = needs_namespace && !is_user;
        if comes_first && self.plan.id_map == IdMap::Identity && !self.plan.dumpable {
            let cause = match self.plan.user_namespace {
                UserNamespace::Auto => Cause::MissingCapabilities(not_effective(self.needed())),
                UserNamespace::Never | UserNamespace::Always => Cause::NotDumpable,
            };
            return Err(refused(Step::Proc, Fault::NotDumpableThen, Some(cause)));
        }
        // If `enter` comes first, it makes this check itself.
        if comes_first || self.plan.threads {
            only_thread().map_err(|fault| explain(refused(Step::Threads, fault, None)))?;
        }
        if comes_first {
            self.check_namespace().map_err(|(step, fault)| explain(refused(step, fault, None)))?;
            let become_user = || Jail::unjailed().enter()?.become_user(user, way, keep).map(drop);
            let mut jail = self;
            jail.plan.user_first = true;
            jail.become_user = Some(BecomeUser(&become_user));
            return jail.enter();
        }
        let jailed = self.owned_by(user).enter()?;
        // In a user namespace there is nothing left to drop.
        if is_user && jailed.in_user_namespace() { Ok(jailed) } else { jailed.become_user(user, way, keep) }
    }

    /// Works like [`check`](Jail::check), but the child tries [`enter_as`](Jail::enter_as) with
    /// this user. It does not check that capabilities can be kept: `autochroot --check --user USER
    /// --caps NAME` does.
    ///
    /// # Errors
    ///
    /// The errors of `check` and of `enter_as`.
    pub fn check_as(self, user: &User<'_>) -> Result<Check, Error> {
        self.check_options()?;
        self.try_in_a_fork(false, || self.enter_as(user))
    }

    /// Gives the writable directory of the root to the user.
    fn owned_by(mut self, user: &User<'_>) -> Self {
        if let Some(writable) = self.files.as_mut().and_then(|files| files.writable.as_mut()) {
            writable.owner = Some((user.uid().as_raw(), user.gid().as_raw()));
        }
        self
    }

    /// Checks before the user changes that a user namespace with id maps is possible, as far as
    /// that is known before it is tried.
    fn check_namespace(&self) -> Result<(), (Step, Fault)> {
        let (uid, _) = user_now();
        match IdMaps::new(uid).open_proc(self.plan, self.root(), self.root().facts().is_mounted) {
            Ok(()) | Err(Fault::Restricted) => {}
            Err(fault) => return Err((Step::Proc, fault)),
        }
        match known_to_fail() {
            Err(errno) if !no_new_privs_will_do(self.plan, self.root()) => Err((Step::NewUserNamespace, errno.into())),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Checks before the entry that these capabilities can be kept. For the launcher.
    ///
    /// # Errors
    ///
    /// [`Step::CheckCapabilities`]
    #[doc(hidden)]
    pub fn check_kept(&self, keep: Capabilities) -> Result<(), Error> {
        let refused =
            |fault, cause| Error { cause, ..Error::inside(Step::CheckCapabilities, fault, Residue::default()) };
        if keep.is_empty() {
            return Ok(());
        }
        let is_namespace_needed = self.needs_namespace();
        // With these no user namespace would be needed. In a user namespace no capability is kept.
        let for_entry = match self.plan.user_namespace {
            UserNamespace::Auto if is_namespace_needed => not_effective(self.needed()),
            UserNamespace::Auto | UserNamespace::Never | UserNamespace::Always => Capabilities::NONE,
        };
        let cause = |missing: Capabilities| {
            let missing = missing | for_entry;
            Some(if missing.is_empty() { Cause::NothingKept } else { Cause::MissingCapabilities(missing) })
        };
        match check_held(keep) {
            Err(fault) => Err(match fault.capability_not_held() {
                Some(missing) => refused(fault, cause(missing)),
                None => explain(refused(fault, None)),
            }),
            Ok(()) if !is_namespace_needed => Ok(()),
            Ok(()) => Err(refused(Fault::NothingKept, cause(Capabilities::NONE))),
        }
    }

    /// Returns the capabilities that an entry without a user namespace requires.
    fn needed(&self) -> Capabilities {
        let mounts = self.root().facts().is_mounted && self.plan.roots.is_one();
        // In a list, a root without a mount may follow, for which CAP_SYS_CHROOT is enough.
        if mounts { Capabilities::SYS_CHROOT | Capabilities::SYS_ADMIN } else { Capabilities::SYS_CHROOT }
    }

    /// Returns whether the process enters through a user namespace.
    fn needs_namespace(&self) -> bool {
        match (self.root(), self.plan.user_namespace) {
            (_, UserNamespace::Never) => false,
            (root, _) if self.plan.roots.is_one() && !root.facts().takes_user_namespace => false,
            (_, UserNamespace::Always) => true,
            (_, UserNamespace::Auto) => !not_effective(self.needed()).is_empty(),
        }
    }
}
