//! The entry: runs the state machine, and makes the error.

#[cfg(doc)]
use crate::Step;
use crate::entry::Entry;
use crate::error::{Error, Fault};
use crate::jail::Jail;
use crate::jailed::Jailed;
use crate::machine::{Action, State};
use crate::os;
use crate::parents::PARENTS;

impl Jail<'_> {
    /// Enters the jail. Afterwards "/" is the chosen root, and it is the working directory. Enter
    /// once: from inside a jail only a process with `CAP_SYS_CHROOT` can enter again.
    ///
    /// - Open descriptors stay open.
    /// - `no_new_privs` is set for good, unless the real, effective and saved user ids are all 0.
    ///   Without it a set-id program could load a library that somebody put into the new root.
    /// - A process that entered through a user namespace has an empty session keyring, if the
    ///   kernel allows it (`Jailed::session_keyring`).
    ///
    /// # Cost
    ///
    /// With the default root 20 system calls with privilege, 46 in a user namespace, and one for
    /// each number up to the last descriptor. An unlinked root takes 24 and 48, with `$TMPDIR`
    /// four more. `Jail::allow_dumpable` saves one in a user namespace. The module `audit` lists them. Allocates nothing.
    ///
    /// # Requirements
    ///
    /// - One thread, and memory that no other process shares. If a thread was just joined, which
    ///   the kernel still counts, `enter` waits for at most 50 ms.
    /// - No descriptor that is open on a directory or an `io_uring`.
    /// - For [`unlinked`](Jail::unlinked), a parent that can be written, and a umask that leaves
    ///   the owner the right to read and search.
    /// - For `Jail::detached`, Linux 5.2, and `CAP_SYS_ADMIN` or a user namespace. Root
    ///   of a user namespace gets a new mount namespace, which cannot be left, if the capability
    ///   does not count in the current one.
    /// - `CAP_SYS_CHROOT` (elsewhere than on Linux: root), or on Linux the right to create user
    ///   namespaces.
    /// - For a user namespace, `/proc`, unless the map is `IdMap::None`. With a map the process
    ///   must be dumpable, or allow being made dumpable for a moment (`Jail::allow_dumpable`). Uid 0
    ///   also needs `CAP_SETFCAP` (Linux 5.12).
    ///
    /// If another process shares the root, the working directory or the table of descriptors
    /// (`clone` with `CLONE_FS` or `CLONE_FILES`), this process gets its own, and the other process
    /// stays outside. An error neither undoes nor reports this change: only the other process
    /// notices it.
    ///
    /// # Errors
    ///
    /// [`Step::Options`]: an option does not go with the root.
    ///
    /// All others: the step failed. `enter` has undone what it did: the working directory is the
    /// same, and nothing is left in the parent. If something could not be undone,
    /// [`Error::is_partial`] is true, and the text names what remains.
    ///
    /// # Source
    ///
    /// [`chroot(2)`](https://man7.org/linux/man-pages/man2/chroot.2.html),
    /// [`user_namespaces(7)`](https://man7.org/linux/man-pages/man7/user_namespaces.7.html)
    pub fn enter(self) -> Result<Jailed, Error> {
        self.check_options()?;
        let mut system = Entry::new(self);
        let parents = if self.path.is_some() { 1 } else { PARENTS };
        let end = State::start(self.plan, parents, system.sets_no_new_privs)
            .run(self.plan, |state| system.perform(self, state));
        if end.now == Action::Inside {
            return Ok(Jailed::new(self, &mut system, &end));
        }
        if let Some(error) = system.error {
            return Err(error);
        }
        let (action, fault) = end.refused.unwrap_or((end.now, Fault::NotTheRoot)); // a refusal has a reason
        let last = (end.root, action.into(), fault);
        let [first, second] = end.attempts;
        // If a user namespace remains, the last root created it: the error is about that root.
        let (_, step, fault) = first.filter(|_| !end.has.user_namespace).unwrap_or(last);
        let attempts = if first.is_some() { [first, second, Some(last)] } else { [None; 3] };
        let mut traces = end.has;
        traces.cwd |= traces.user;
        traces.mounts = system.root_moved && !traces.root;
        traces.dumpable = system.sources.changed_dumpable;
        let (number, tried) = (system.number, system.tried);
        Err(os::explain(Error { step, fault, number, traces, tried, attempts, cause: None }))
    }
}
