//! Take the file system away from a process.
//!
//! An entry makes a directory, opens it, removes its name, and makes it the process's root: a root that is empty, that
//! nobody can name, and in which nothing can be made. What is open stays open; what is not is out of reach. Root does
//! it directly. On Linux everyone else does it in a new user namespace, whose capabilities are dropped again before
//! [`Jail::enter`] returns. Where no directory can be made, a read-only tmpfs that is mounted nowhere takes its place.
//!
//! ```no_run
//! # fn bind() -> std::io::Result<()> { Ok(()) }
//! # fn serve(_: ()) -> Result<(), Box<dyn core::error::Error>> { Ok(()) }
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! use autochroot::Jail;
//!
//! let listener = bind()?; // everything that needs a path comes first
//! # #[cfg(target_os = "linux")] {
//! let user = autochroot::User::find("www-data")?;
//! let _sealed = Jail::auto().enter_as(&user)?.seal()?; // "/" is empty, and the ways out are closed
//! # }
//! # #[cfg(not(target_os = "linux"))]
//! # let _jailed = Jail::auto().enter()?;
//! serve(listener)
//! # }
//! ```
//!
//! The module `guide` (Linux) tells the order in which a daemon does things, and what breaks in an empty root.
//!
//! # The system calls of an entry
//!
//! In order, as `strace` shows them; `tests/launcher/calls.rs` holds the entries with privilege, in a user namespace and to a detached root
//! against the kernel.
//!
//! | step | calls |
//! | --- | --- |
//! | [`Options`](Step::Options) | none |
//! | [`Threads`](Step::Threads) (Linux) | `getresuid`, `unshare(CLONE_VM)` |
//! | [`Unshare`](Step::Unshare) (Linux) | `unshare(CLONE_FS \| CLONE_FILES)` |
//! | [`Descriptors`](Step::Descriptors) | `statfs("/proc/self/fd")`, `stat("/proc/self/fd")`, an `fstat` for each number up to the last descriptor, `stat` |
//! | [`WorkingDirectory`](Step::WorkingDirectory) | `openat(".")`, to come back to after a refusal |
//! | [`Parent`](Step::Parent) | `openat`, `fstat` |
//! | [`Mkdir`](Step::Mkdir) | `getrandom`, `mkdirat` |
//! | [`OpenRoot`](Step::OpenRoot) | `openat`, `fstat` |
//! | [`Unlink`](Step::Unlink) | `unlinkat(AT_REMOVEDIR)` |
//! | [`VerifyUnlinked`](Step::VerifyUnlinked) | `fstat`, `mkdirat`, which must fail; under a umask that takes a part of its mode also `fchmod` |
//! | [`Fchdir`](Step::Fchdir) | `fchdir` |
//! | [`Chroot`](Step::Chroot) | `chroot(".")` |
//! | [`ChdirRoot`](Step::ChdirRoot) | `chdir("/")` |
//! | [`NoNewPrivs`](Step::NoNewPrivs) (Linux) | `prctl(PR_SET_NO_NEW_PRIVS)`, unless the real, effective and saved user ids are 0 |
//! | [`Verify`](Step::Verify) | `stat("/")`, after `NoNewPrivs` also `prctl(PR_GET_NO_NEW_PRIVS)` |
//! | | `close` of the three descriptors |
//!
//! A descriptor without a file type, an `eventfd` for example, takes one `io_uring_enter` more. Before Linux 6.2, or if the last
//! descriptor is not among twice as many numbers and 256, the descriptors are listed: `openat("/proc/self/fd")`, `fstatfs`,
//! `getdents64`, an `fstat` for each, `close`. If threads are allowed, all this is in `/proc/thread-self/fd`.
//!
//! With `std` and debug assertions, `std` adds an `fcntl` before each `close`, to see that the descriptor is open.
//!
//! Where `chroot` fails with `EPERM`, on Linux, and the caller has not forbidden it, these calls come next, and then `chroot` again:
//!
//! | step | calls |
//! | --- | --- |
//! | [`Proc`](Step::Proc) | `capget`, `getegid`, `openat("/proc/self")`, `fstatfs`, for others than uid 0 `prctl(PR_GET_DUMPABLE)` |
//! | [`NewUserNamespace`](Step::NewUserNamespace) | `unshare(CLONE_NEWUSER)` |
//! | [`OpenMaps`](Step::OpenMaps) | `openat` of `uid_map`, `setgroups` and `gid_map`; in a process that is not dumpable, if it [allows](Jail::allow_dumpable) that, between `prctl(PR_GET_DUMPABLE)`, `prctl(PR_SET_DUMPABLE)` and `prctl(PR_SET_DUMPABLE)` |
//! | [`MapUid`](Step::MapUid), [`DenySetgroups`](Step::DenySetgroups), [`MapGid`](Step::MapGid) | `write` each |
//! | [`DropNamespaceCapabilities`](Step::DropNamespaceCapabilities), after `Root` | `prctl(PR_SET_NO_NEW_PRIVS)`, `capset` |
//! | [`Keyring`](Step::Keyring) | `keyctl(KEYCTL_JOIN_SESSION_KEYRING)` |
//! | [`Verify`](Step::Verify) | also `capget`, `prctl(PR_GET_NO_NEW_PRIVS)`, `geteuid`, `getegid` |
//! | | `close` of four more descriptors |
//!
//! For a [`detached`](Jail::detached) root, `fsopen`, `fsconfig`, `fsmount`, `close` and `fstat` ([`Mount`](Step::Mount)) take
//! the place of `Parent` to `Unlinked`. Where `fsopen` fails with `EPERM`, the user namespace comes with a mount namespace, and is made
//! before `fsopen` is called once more.
//! For [files](Jail::files), [`Files`](Step::Files) follows `WorkingDirectory`: `stat` and `openat` of each source. `Mount` makes one
//! more call of `fsconfig`, and `prctl(PR_GET_DUMPABLE)` and `prctl(PR_SET_DUMPABLE)` before: until the files are copied, no other process
//! of the user can open the tmpfs through `/proc`. [`Fill`](Step::Fill) comes after it: `mkdirat` and two `fchmodat` for each directory; for each file `fstat`,
//! `openat`, `fchmod`, `prlimit64`, `pread` and `write` for each 8 KiB, `fstat`, two `close`; then `fchmodat`, two `fsconfig`, `fstatfs`, `prctl(PR_SET_DUMPABLE)`,
//! `close` and `fstat`. `Verify` also calls `statfs("/")`.
//! For [`failfs`](Jail::failfs), `fchroot` ([`Failfs`](Step::Failfs)) takes the place of `Parent` to `Fchdir`; then `fchroot`, without
//! privilege `prctl(PR_SET_NO_NEW_PRIVS)` and `fchroot` again, and `fchdir`. `Verify` looks at "/", "." and ".." with `stat` and
//! `openat`. If failfs follows in a list, `Proc` begins with an `fchroot` that changes nothing, and where there is one, looks at
//! `AppArmor`'s sysctl.
//! `Verify` also checks that `mkdir` fails with `EROFS`. For a [`directory`](Jail::directory), `openat`, `fstat` and `stat("/")`
//! do ([`Directory`](Step::Directory)), and what is demanded of it besides.
//!
//! # In a configuration file
//!
//! [`Jail::parse`] reads the word that an administrator writes, and [`Jail::check`] tries it, in a process of its own, when
//! the configuration is checked:
//!
//! ```
//! use autochroot::{Jail, Root};
//!
//! let configured = "auto"; // or "unlinked /run/lock", "detached", "/var/empty", "/"
//! let jail = Jail::try_from(configured)?.allow_threads();
//! match jail.check() {
//!     Ok(check) if check.is_jail_advisable() => println!("advice: chroot auto"),
//!     Ok(check) => println!("chroot {configured}: {:?}", check.root()),
//!     Err(error) => println!("chroot {configured}: {error}"),
//! }
//! # Ok::<(), autochroot::ParseError>(())
//! ```
//!
//! # Cargo features
//!
//! All are on by default; what is left out takes its code with it, and never a check.
//!
//! - `std`: `From<Error> for std::io::Error`, and `$TMPDIR` as the first parent that is [tried](Jail::unlinked). Without it the crate is
//!   `no_std`. Nothing is allocated in either case.
//! - `userns` (Linux): entry without privilege, in a user namespace.
//! - `detached` (Linux): that root, which `auto` tries first.
//! - `files` (Linux): files in a detached root, by [`Jail::files`].
//! - `landlock` (Linux): that protection of a seal. Without it [`Sealed::landlock`] is `None`, and to require it is an error.
//!
//! The seccomp filter of a seal has no feature: it is always there.
//!
//! Cargo builds a crate once, with the features that all its users name together. If another crate in the tree turns a feature
//! on, it is on for you too, and no check becomes weaker:
//!
//! - `std`: `$TMPDIR` is tried first. [`Jail::unlinked_in`] names a parent instead.
//! - `userns`: without privilege, `enter` no longer fails but creates a user namespace. To refuse that, turn the feature on
//!   yourself and use `UserNamespace::Never`.
//! - `detached`: `auto` tries a detached root first. [`Jail::unlinked`] does not.
//! - `landlock`: a seal adds that protection.
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub)]
#![cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    allow(
        dead_code,
        unreachable_pub,
        reason = "machine, errors and proof are the same on every Unix; only on Linux is all of them reached"
    )
)]
#![warn(clippy::undocumented_unsafe_blocks)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used))]

mod capabilities;
mod cause;
mod check;
mod enter;
mod entry;
mod error;
mod features;
mod files;
mod jail;
mod jailed;
#[doc(hidden)]
pub mod libc;
mod machine;
mod parents;
mod parse;
mod protection;
mod root;
#[doc(hidden)]
pub mod text;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as os;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod unix;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use unix as os;

pub use check::Check;
/// For the launcher alone.
#[doc(hidden)]
pub use entry::{LeadsTo, leads_to};
pub use entry::{OpenDirectories, RootMutability};
/// For the launcher alone.
#[doc(hidden)]
pub use error::Failure;
pub use error::{Error, Step};
#[cfg(all(feature = "files", any(target_os = "linux", target_os = "android")))]
pub use files::NamedFile;
pub use jail::{Demands, Jail};
#[cfg(all(feature = "userns", any(target_os = "linux", target_os = "android")))]
pub use jail::{IdMap, UserNamespace};
pub use jailed::Jailed;
/// For the launcher alone.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[doc(hidden)]
pub use linux::{open_source, securebits_are_locked, syscall};
pub use parse::ParseError;
pub use root::Root;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use {
    capabilities::{Capabilities, UnknownCapability},
    cause::{Cause, ThreadNames},
    jail::Entered,
    jailed::linux::Sealed,
    linux::{Gid, Seal, Uid, User, UserError},
    protection::{Protection, SessionKeyring},
};

// Its programs are written with std.
#[cfg(all(doc, any(not(doctest), feature = "std"), any(target_os = "linux", target_os = "android")))]
#[doc = include_str!("guide.md")]
pub mod guide {}
