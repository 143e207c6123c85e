//! The seal: what a process in the jail gives up for good (Linux).

use core::marker::PhantomData;
#[cfg(feature = "std")]
use std::os::fd::BorrowedFd;

use rustix::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::Pid;

use crate::capabilities::Capabilities;
use crate::error::{Fault, Residue, Step, actions};
use crate::files::Contents;
use crate::hints::explain::filtered;
use crate::linux::seal::keyring;
use crate::linux::seal::privileges::{
    bounding_set_is_empty, check_can_be_ambient, check_held, empty_bounding_set, held_capabilities, hold_only,
    lock_securebits, may_set_privileges, raise_ambient, securebits_are_locked, securebits_are_locked_otherwise,
    set_no_new_privs, verify_no_new_privs,
};
use crate::linux::seal::{landlock, seccomp};
use crate::linux::threads::still_alone;
use crate::protection::{InForce, Protection, SessionKeyring};
use crate::root::Root;

/// What a [seal](crate::Jailed::seal_with) leaves to the process, and what it requires (Linux).
///
/// By default a seal leaves only the capabilities that
/// [`run_as_keeping`](crate::Jailed::run_as_keeping) or
/// [`enter_as_keeping`](crate::Jail::enter_as_keeping) kept, and requires nothing.
///
/// ```standalone_crate
/// # #[cfg(target_os = "linux")]
/// # if cfg!(all(feature = "landlock", feature = "hints")) && autochroot::Protection::Landlock.cause().is_none() {
/// use autochroot::{Jail, Protection, Seal};
///
/// let seal = Seal::new().require(Protection::Seccomp).require(Protection::Landlock);
/// let _sealed = Jail::auto().enter()?.seal_with(seal)?;
/// # }
/// # Ok::<(), autochroot::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "a Seal does nothing by itself"]
pub struct Seal<'fd> {
    /// The capabilities to keep. `None`: those that `run_as` kept.
    pub(crate) keep: Option<Capabilities>,
    pub(crate) execute: Option<i32>,
    pub(crate) rings: bool,
    pub(crate) log: bool,
    /// Installs the second filter. A pointer, so that programs that never call `no_connect` are
    /// linked without that filter, which is 700 bytes.
    no_connect: Option<fn() -> Result<bool, Fault>>,
    /// A bit for each protection.
    required: u8,
    descriptor: PhantomData<&'fd ()>,
}

impl Seal<'_> {
    /// Returns the default.
    pub const fn new() -> Self {
        Seal {
            keep: None,
            execute: None,
            rings: false,
            log: false,
            no_connect: None,
            required: 0,
            descriptor: PhantomData,
        }
    }

    /// Keeps these capabilities and no others. `run_as` and `enter_as` have already dropped those
    /// that they were not to keep, so this only helps after [`enter`](crate::Jail::enter). With
    /// [`allow_execute`](Seal::allow_execute) the program keeps them too.
    pub const fn keep(mut self, capabilities: Capabilities) -> Self {
        self.keep = Some(capabilities);
        self
    }

    /// Works like [`allow_execute`](Seal::allow_execute), without `std`. The descriptor must be
    /// open until the seal is made. A closed one is an error of
    /// [`Step::Ruleset`](crate::Step::Ruleset).
    pub const fn allow_execute_raw(mut self, fd: i32) -> Self {
        self.execute = Some(fd);
        self
    }

    /// Allows `io_uring`, for a program whose runtime is built on it. The filter does not see the
    /// operations that the kernel does in a ring.
    pub const fn allow_io_uring(mut self) -> Self {
        self.rings = true;
        self
    }

    /// Makes the kernel write to the audit log what Landlock refuses to a program that is executed
    /// later. Requires Linux 6.15: on older kernels the seal fails before anything has changed.
    pub const fn log_denials(mut self) -> Self {
        self.log = true;
        self
    }

    /// Refuses new sockets and outgoing connections, by a second filter. These calls fail with
    /// `EPERM`:
    ///
    /// - `socket` and `connect`;
    /// - `socketpair`, except for Unix sockets of the types stream and seqpacket;
    /// - `sendto`, `sendmsg` and `sendmmsg` with `MSG_FASTOPEN`, which connects.
    ///
    /// Otherwise an accepted or a listening socket could be connected anew. Sockets that are
    /// already open, received or accepted still listen, accept, read and write. An open UDP or SCTP
    /// socket still sends anywhere. On 32-bit x86, `socketcall` with `MSG_FASTOPEN` stays open,
    /// because its arguments are in memory.
    ///
    /// A program that resolves a name fails at once: in glibc with `EAI_AGAIN`, in musl with
    /// `EAI_SYSTEM` and `EPERM`, in Go with "socket: operation not permitted".
    ///
    /// The seal fails if the filter cannot be installed, and together with
    /// [`allow_io_uring`](Seal::allow_io_uring).
    pub const fn no_connect(mut self) -> Self {
        self.no_connect = Some(seccomp::install_no_connect);
        self
    }

    /// Makes it an error if this protection cannot be put in force. If possible, the error comes
    /// before anything has changed. In a user namespace the bounding set and the securebits need
    /// [`Jail::empty_bounding_set`](crate::Jail::empty_bounding_set).
    pub const fn require(mut self, protection: Protection) -> Self {
        self.required |= 1 << protection as u8;
        self
    }

    fn required(self) -> impl Iterator<Item = Protection> {
        Protection::ALL.into_iter().filter(move |protection| self.required & 1 << *protection as u8 != 0)
    }
}

/// Methods that take descriptors of `std`.
#[cfg(feature = "std")]
impl<'fd> Seal<'fd> {
    /// Allows the process to execute the program that this descriptor is open on. A descriptor
    /// opened with `O_PATH` suffices.
    ///
    /// Landlock refuses to execute other files of a mounted file system, but it does not see a
    /// `memfd_create`: the process can execute what it writes there. Only a seal that allows no
    /// execution refuses `execve` and `execveat` altogether.
    pub fn allow_execute(self, fd: BorrowedFd<'fd>) -> Self {
        self.allow_execute_raw(fd.as_raw_fd())
    }
}

actions! {
    /// A step of a seal.
    enum Give {
        Threads => Threads,
        Keep => CheckCapabilities,
        Ruleset => Ruleset,
        Require => Require,
        /// Landlock and the filter require it.
        NoNewPrivs => NoNewPrivs,
        /// It requires `CAP_SETPCAP`, so it comes before the capabilities are dropped.
        BoundingSet => BoundingSet,
        /// A securebit that is locked next forbids it.
        Ambient => Ambient,
        /// It requires `CAP_SETPCAP` too.
        Securebits => Securebits,
        DropCapabilities => DropCapabilities,
        Keyring => Keyring,
        Restrict => Restrict,
        Filter => Filter,
        Verify => Verify,
    }
}

const _: () = assert!(Give::are_all_in(Sealing::CHECKS, Sealing::CHANGES), "a layer is never given");

/// A seal that is being made.
pub(crate) struct Sealing<'s> {
    seal: Seal<'s>,
    keep: Capabilities,
    root: Root,
    contents: Option<Contents>,
    stat: Option<&'s (Pid, OwnedFd)>,
    abi: Option<i32>,
    ruleset: Option<OwnedFd>,
    pub(crate) in_force: InForce,
}

impl<'s> Sealing<'s> {
    /// The checks, which change nothing.
    pub(crate) const CHECKS: &'static [Give] = &[Give::Threads, Give::Keep, Give::Ruleset, Give::Require];

    /// The changes after the checks. The first change is one system call: if it fails, nothing has
    /// changed. The filter comes last: it refuses calls that the steps before it make.
    pub(crate) const CHANGES: &'static [Give] = &[
        Give::NoNewPrivs,
        Give::BoundingSet,
        Give::Ambient,
        Give::Securebits,
        Give::DropCapabilities,
        Give::Keyring,
        Give::Restrict,
        Give::Filter,
        Give::Verify,
    ];

    /// Prepares the seal of a process with this root, these files and this session keyring. `stat`
    /// is `/proc/self/stat`, to find threads where a filter refuses `unshare`.
    pub(crate) const fn new(
        seal: Seal<'s>,
        keep: Capabilities,
        root: Root,
        contents: Option<Contents>,
        keyring: SessionKeyring,
        stat: Option<&'s (Pid, OwnedFd)>,
    ) -> Self {
        Sealing { seal, keep, root, contents, stat, abi: None, ruleset: None, in_force: InForce::nothing(keyring) }
    }

    /// Returns what these changes leave after a failure.
    pub(crate) fn remains(changes: &[Give], remains: Residue) -> Residue {
        Residue { securebits: changes.contains(&Give::Securebits), privileges: !changes.is_empty(), ..remains }
    }

    pub(crate) fn perform(&mut self, step: Give) -> Result<(), Fault> {
        match step {
            Give::Threads => still_alone(self.stat),
            Give::Keep => {
                self.in_force.may_set_privileges = may_set_privileges()?;
                check_held(self.keep)?;
                check_can_be_ambient(self.through_exec())
            }
            Give::Ruleset => self.make_ruleset(),
            Give::Require => self.check_required(),
            Give::NoNewPrivs => Ok(set_no_new_privs()?),
            Give::BoundingSet if self.in_force.may_set_privileges => empty_bounding_set(self.keep),
            Give::Securebits if self.in_force.may_set_privileges => lock_securebits(),
            // Without CAP_SETPCAP they stay as they are, and `Sealed` reports that.
            Give::BoundingSet | Give::Securebits => Ok(()),
            Give::Ambient => raise_ambient(self.through_exec()),
            Give::DropCapabilities => Ok(hold_only(self.keep, self.through_exec())?),
            Give::Keyring => {
                if self.in_force.keyring != SessionKeyring::Own {
                    self.in_force.keyring = keyring::join();
                }
                Ok(())
            }
            Give::Restrict => self.restrict(),
            Give::Filter => self.install_filter(),
            Give::Verify => self.verify(),
        }
    }

    /// Returns the capabilities that the next program gets: none, unless the caller named the
    /// program.
    const fn through_exec(&self) -> Capabilities {
        if self.seal.execute.is_some() { self.keep } else { Capabilities::NONE }
    }

    /// Returns whether anything may be executed: a program that the caller named, executable files
    /// of the root, or, if the root was not made for the jail, anything in it.
    const fn may_execute(&self) -> bool {
        self.seal.execute.is_some()
            || !self.root.is_made()
            || matches!(self.contents, Some(Contents { executables: true, .. }))
    }

    /// Makes the ruleset before anything is changed, so that a lack of descriptors is found in
    /// time.
    fn make_ruleset(&mut self) -> Result<(), Fault> {
        let abi = landlock::abi();
        if self.seal.log && abi < Some(landlock::LOGS) {
            return Err(Fault::NoLog);
        }
        let Some(abi) = abi else { return Ok(()) };
        let ruleset = landlock::deny_all(abi)?;
        let open_root = || openat(CWD, c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
        let allowed = match self.root {
            Root::Unlinked | Root::Detached => {
                landlock::allow_contents(&ruleset, open_root()?.as_fd(), self.contents, abi)
            }
            // In failfs no path leads to a file.
            Root::Failfs => Ok(()),
            // The directory is there to be used.
            Root::Directory | Root::Unjailed => landlock::allow_beneath(&ruleset, open_root()?.as_raw_fd(), abi),
        };
        match allowed {
            // A filter refuses the rules, so there is no Landlock, as if the filter refused all of
            // it.
            Err(fault) if matches!(fault.errno(), Some(Errno::PERM | Errno::ACCESS | Errno::NOSYS)) => return Ok(()),
            allowed => allowed?,
        }
        if let Some(program) = self.seal.execute {
            landlock::allow_execute(&ruleset, program)?;
        }
        (self.abi, self.ruleset) = (Some(abi), Some(ruleset));
        Ok(())
    }

    /// Checks that the required protections can be put in force, before anything has changed.
    fn check_required(&self) -> Result<(), Fault> {
        if self.seal.no_connect.is_some() && self.seal.rings {
            return Err(Fault::RingsConnect);
        }
        if self.seal.no_connect.is_some() && !seccomp::is_available() {
            return Err(Fault::missing(Protection::Seccomp));
        }
        for protection in self.seal.required() {
            let can_be = match protection {
                Protection::BoundingSet => self.in_force.may_set_privileges || bounding_set_is_empty(self.keep)?,
                Protection::Securebits if self.in_force.may_set_privileges => !securebits_are_locked_otherwise()?,
                Protection::Securebits => securebits_are_locked()?,
                Protection::Landlock => self.ruleset.is_some(),
                Protection::Seccomp => seccomp::is_available(),
                Protection::Keyring => self.in_force.keyring == SessionKeyring::Own || keyring::is_available(),
            };
            if !can_be {
                return Err(Fault::missing(protection));
            }
        }
        Ok(())
    }

    fn restrict(&mut self) -> Result<(), Fault> {
        if let Some(ruleset) = self.ruleset.take() {
            landlock::restrict_self(&ruleset, self.seal.log)?;
            self.in_force.landlock = self.abi;
        }
        Ok(())
    }

    fn install_filter(&mut self) -> Result<(), Fault> {
        let was_filtered = self.in_force.landlock.is_none() && filtered();
        self.in_force.seccomp = seccomp::install(seccomp::Leave {
            rings: self.seal.rings,
            tracing: self.in_force.landlock.is_some(),
            user_namespaces: self.root.is_jail(),
            execution: self.may_execute(),
            truncation: self.abi >= Some(3) || !matches!(self.contents, Some(Contents { writable: true, .. })),
        })?;
        if let Some(install) = self.seal.no_connect {
            install()?.then_some(()).ok_or(Fault::NoFilter)?;
        }
        self.in_force.outer_filter = was_filtered || !self.in_force.seccomp && filtered();
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Fault> {
        if held_capabilities()? != self.keep {
            return Err(Fault::Capabilities);
        }
        verify_no_new_privs()?;
        if self.in_force.seccomp {
            seccomp::verify()?;
            self.in_force.no_execute = !self.may_execute();
        }
        if self.seal.no_connect.is_some() {
            seccomp::verify_no_connect()?;
            self.in_force.no_connect = true;
        }
        self.in_force.bounding_set = bounding_set_is_empty(self.keep)?;
        self.in_force.securebits = securebits_are_locked()?;
        match self.seal.required().find(|protection| !self.in_force.has(*protection)) {
            Some(missing) => Err(Fault::missing(missing)),
            None => Ok(()),
        }
    }
}
