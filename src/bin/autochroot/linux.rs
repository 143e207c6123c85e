//! What only Linux has: user namespaces, capabilities, other users, the seal, and calls that need
//! them.
#![allow(unsafe_code, reason = "descriptors that others have opened, and close_range")]

use core::ffi::{CStr, c_int, c_uint};
use core::mem::MaybeUninit;
use core::{ptr, slice};

use autochroot::for_the_launcher::{
    bounding_set, is_procfs, securebits_are_locked, syscall, user_and_group, with_groups,
};
use autochroot::{
    Capabilities, Cause, Error, Gid, Jail, Jailed, OpenDirectories, Protection, Seal, Sealed, SessionKeyring, Uid,
    UserError,
};
#[cfg(feature = "userns")]
use autochroot::{IdMap, UserNamespace};
use linux_raw_sys::general::{__NR_close_range, __NR_fcntl, F_GETOWN_EX, F_OWNER_PGRP};
use rustix::fd::{AsRawFd as _, OwnedFd};
use rustix::fs::{
    CWD, FileType, MemfdFlags, Mode, OFlags, RawDir, ResolveFlags, StatVfsMountFlags, fgetxattr, fstat, fstatfs,
    fstatvfs, memfd_create, openat, openat2,
};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use rustix::process::{geteuid, getpid};
use rustix::thread::{CapabilitySet, capabilities, capability_is_in_ambient_set, no_new_privs};

use crate::fds::descriptor;
use crate::options::Options;
use crate::output::{Shown, Stream, fail};
use crate::{FAILED, Part};

pub(crate) use crate::trial::try_to_execute;

pub(crate) type User = autochroot::User<'static>;

/// The options that only Linux has are available.
pub(crate) const LINUX: bool = true;

/// `/dev/null`.
pub(crate) const NULL_DEVICE: Option<(u32, u32)> = Some((1, 3));

/// A jail, which is sealed except with `--no-seal`.
pub(crate) enum Inside {
    Jailed(Jailed),
    Sealed(Sealed),
}

impl Inside {
    pub(crate) const fn jailed(&self) -> &Jailed {
        match self {
            Inside::Jailed(jailed) => jailed,
            Inside::Sealed(sealed) => sealed.jailed(),
        }
    }
}

/// Checks the options that only Linux has, and returns the jail with its options of user
/// namespaces.
pub(crate) fn jail(options: &Options, jail: Jail<'static>) -> Result<Jail<'static>, c_int> {
    let jail = with_user_namespace(options, jail)?;
    if options.no_seal && options.caps.is_given() {
        fail!(FAILED, "--caps is part of the seal: it does not go with --no-seal");
    }
    if options.no_seal && (options.require.is_given() || options.rings || options.log || options.no_connect) {
        fail!(
            FAILED,
            "--require, --allow-io-uring, --no-connect and --log-denials are about the seal: they do not go with --no-seal"
        );
    }
    if options.no_connect && options.rings {
        fail!(FAILED, "--no-connect does not go with --allow-io-uring, whose operations no filter sees");
    }
    if options.userns == Some(b"always") && options.caps.is_given() && !options.caps.is(b"none")? {
        fail!(FAILED, "--caps does not go with --userns always: in a user namespace nothing is kept");
    }
    if options.userns == Some(b"always") && options.root == Some(b"/") {
        fail!(FAILED, "--userns always does not go with --root /: there is no jail to enter");
    }
    if let Some(Err(error)) = options.user.map(user_and_group) {
        fail!(FAILED, "--user %: %", options.user.unwrap_or_default(), Shown(error));
    }
    kept_capabilities(options)?; // A bad name is an error now. `enter` finds out what "all" means.
    let _ = seal(options)?;
    Ok(jail)
}

#[cfg(feature = "userns")]
fn with_user_namespace(options: &Options, jail: Jail<'static>) -> Result<Jail<'static>, c_int> {
    let userns = match options.userns.unwrap_or(b"auto") {
        b"auto" => UserNamespace::Auto,
        b"never" => UserNamespace::Never,
        b"always" => UserNamespace::Always,
        word => fail!(FAILED, "--userns is auto, never or always, not \"%\"", word),
    };
    let id_map = match options.id_map.unwrap_or(b"identity") {
        b"identity" => IdMap::Identity,
        b"none" => IdMap::None,
        word => fail!(FAILED, "--id-map is identity or none, not \"%\"", word),
    };
    let jail = if options.no_seal { jail } else { jail.empty_bounding_set() };
    Ok(jail.user_namespace(userns).id_map(id_map).allow_dumpable()) // nothing secret is in here
}

#[cfg(not(feature = "userns"))]
#[allow(clippy::unnecessary_wraps, reason = "the other one fails")]
const fn with_user_namespace(_: &Options, jail: Jail<'static>) -> Result<Jail<'static>, c_int> {
    Ok(jail) // The parser has refused the options.
}

/// Returns the capabilities that PROGRAM keeps.
fn kept_capabilities(options: &Options) -> Result<Capabilities, c_int> {
    if options.caps.is(b"none")? {
        return Ok(Capabilities::NONE);
    }
    if options.caps.is(b"all")? {
        return Ok(permitted());
    }
    options.caps.parts().try_fold(Capabilities::NONE, |all, name| match Capabilities::named(name) {
        Some(one) => Ok(all | one),
        None => fail!(FAILED, "--caps: there is no capability \"%\"", name),
    })
}

fn permitted() -> Capabilities {
    capabilities(None).map_or(Capabilities::NONE, |sets| Capabilities::from_bits(sets.permitted.bits()))
}

/// Returns the seal of these options, except the capabilities to keep.
fn seal(options: &Options) -> Result<Seal<'static>, c_int> {
    let mut seal = Seal::new();
    if options.rings {
        seal = seal.allow_io_uring();
    }
    if options.log {
        seal = seal.log_denials();
    }
    if options.no_connect {
        seal = seal.no_connect();
    }
    for name in options.require.parts() {
        seal = match Protection::named(name) {
            Some(protection) => seal.require(protection),
            None => fail!(FAILED, "--require: there is no protection \"%\"", name),
        };
    }
    Ok(seal)
}

/// Finds the user of `--user`.
pub(crate) fn user(options: &Options) -> Result<Option<User>, c_int> {
    const NGROUPS_MAX: usize = 65536;
    let Some(text) = options.user else { return Ok(None) };
    // Most users are in a few groups.
    let found = match User::find(text) {
        Err(UserError::TooManyGroups { .. }) => match memory_for_groups(NGROUPS_MAX) {
            Ok(room) => User::find_in(text, room),
            Err(errno) => fail!(FAILED, "--user %: %", text, errno),
        },
        found => found,
    };
    match found {
        Ok(user) => Ok(Some(user)),
        Err(error) => fail!(FAILED, "--user %: %", text, Shown(error)),
    }
}

/// Returns memory that takes no page before it is used.
fn memory_for_groups(count: usize) -> Result<&'static mut [Gid], Errno> {
    const { assert!(size_of::<Gid>() == size_of::<u32>()) };
    let flags = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, which nothing else uses and which stays, aligned for any type. Zeros
    // are valid ids.
    unsafe {
        let memory = mmap_anonymous(ptr::null_mut(), count * size_of::<Gid>(), flags, MapFlags::PRIVATE)?;
        Ok(slice::from_raw_parts_mut(memory.cast(), count))
    }
}

/// Enters, becomes the user, and seals. `program` is the descriptor that may still be executed.
/// `refused` reports an error.
pub(crate) fn enter(
    options: &Options,
    jail: Jail<'_>,
    user: Option<&User>,
    program: Option<c_int>,
    refused: impl Fn(Part, Error) -> c_int,
) -> Result<Inside, c_int> {
    let caps = kept_capabilities(options)?;
    let jailed = match user {
        None => jail.check_kept(caps).and_then(|()| jail.enter()),
        // Root keeps all its capabilities until the seal.
        Some(user) if user.uid() == Uid::ROOT => jail.enter_as(user),
        Some(user) => jail.enter_as_keeping(user, caps),
    }
    .map_err(|error| refused(Part::Entry, error))?;
    let warns = !(options.quiet || options.check);
    if options.no_seal {
        if warns {
            warn_of_capabilities(&jailed);
        }
        return Ok(Inside::Jailed(jailed));
    }
    let mut seal = seal(options)?.keep(caps);
    if let Some(program) = program {
        seal = seal.allow_execute_raw(program);
    }
    let sealed = jailed.seal_with(seal).map_err(|error| refused(Part::Seal, error))?;
    if warns {
        warn(&sealed);
        warn_of_capabilities(sealed.jailed());
    }
    Ok(Inside::Sealed(sealed))
}

/// Warns of capabilities with which PROGRAM can undo the jail.
fn warn_of_capabilities(jailed: &Jailed) {
    let undo = permitted() & Capabilities::UNDO_A_JAIL;
    if jailed.root().is_jail() && !undo.is_empty() {
        let text = "autochroot: warning: PROGRAM keeps capabilities that can undo the jail: %\n";
        Stream::err().put(text, &[&Shown(undo)]).flush();
    }
}

/// Prints one line with the missing protections, if any. The session keyring does not count if the
/// filter is in force, or if the kernel has no keys.
fn warn(sealed: &Sealed) {
    let no_keys = sealed.session_keyring() == SessionKeyring::Refused(Errno::NOSYS.raw_os_error());
    let mut stream = Stream::err();
    let mut before = "autochroot: warning: not in force: ";
    let mut cause = None;
    for protection in Protection::ALL.into_iter().filter(|protection| !sealed.has(*protection)) {
        if protection == Protection::Keyring && (no_keys || sealed.has(Protection::Seccomp)) {
            continue;
        }
        stream.put("%%", &[&before, &protection.name()]);
        before = ", ";
        cause = if cfg!(feature = "hints") { cause.or(sealed.cause(protection)) } else { None };
    }
    if before == ", " {
        stream.put("\n", &[]);
        if let Some(cause) = cause {
            stream.put("  hint: %\n", &[&Shown(cause)]);
        }
        stream.flush();
    }
}

/// Returns whether these capabilities are effective.
fn holds(needed: CapabilitySet) -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// Returns whether this process may read every file, whatever the mode.
pub(crate) fn may_read_all() -> bool {
    holds(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH)
}

/// Returns whether the file is on a mount that forbids to execute.
pub(crate) fn is_noexec(program: &OwnedFd) -> bool {
    fstatvfs(program).is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOEXEC))
}

/// Returns whether the file of a program grants capabilities.
pub(crate) fn has_file_capabilities(program: &OwnedFd) -> bool {
    fgetxattr(program, c"security.capability", &mut [0_u8; 64][..]).is_ok()
}

/// Prints the cause and the remedy, where they are known.
pub(crate) fn hint(error: &Error, stream: &mut Stream) {
    if let Some(cause) = error.known_cause() {
        stream.put("  hint: %\n", &[&Shown(cause)]);
    }
}

/// Returns whether the launcher has capabilities from its own file. Ambient capabilities come from
/// whoever starts it.
pub(crate) fn has_capabilities_from_the_file() -> bool {
    let permitted = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted);
    let is_from_the_file = |one: u32| {
        let one = CapabilitySet::from_bits_retain(1 << one);
        permitted.contains(one) && capability_is_in_ambient_set(one) != Ok(true)
    };
    syscall::is_secure_execution() && !geteuid().is_root() && (0..u64::BITS).any(is_from_the_file)
}

/// Returns whether this path leads to a file with that directory as the root, or whether that
/// cannot be known (before Linux 5.6).
pub(crate) fn is_in(directory: &[u8], path: &[u8]) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let Ok(directory) = openat(CWD, directory, flags | OFlags::DIRECTORY, Mode::empty()) else { return true };
    let found = openat2(&directory, path, flags, Mode::empty(), ResolveFlags::IN_ROOT);
    !matches!(found, Err(Errno::NOENT | Errno::NOTDIR))
}

/// Returns whether the path leads to the same file beneath that directory as with that directory as the
/// root.
pub(crate) fn is_the_same_beneath(directory: &[u8], path: &[u8]) -> bool {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let Ok(directory) = openat(CWD, directory, flags | OFlags::DIRECTORY, Mode::empty()) else { return false };
    let seen = |how| openat2(&directory, path, flags, Mode::empty(), how).and_then(fstat);
    match (seen(ResolveFlags::IN_ROOT), seen(ResolveFlags::empty())) {
        (Ok(inside), Ok(outside)) => {
            (inside.st_dev, inside.st_ino) == (outside.st_dev, outside.st_ino)
                && FileType::from_raw_mode(inside.st_mode) == FileType::RegularFile
        }
        _ => false,
    }
}

/// Opens a program that may be executed and not read.
pub(crate) fn open_to_execute(path: &CStr) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Returns the process, or the process group, that the kernel signals for this descriptor, unless
/// it is this process.
pub(crate) fn foreign_owner(fd: c_int) -> Option<u32> {
    /// `struct f_owner_ex`.
    #[repr(C)]
    struct Owner {
        kind: c_uint,
        id: c_int,
    }
    let mut owner = Owner { kind: 0, id: 0 };
    let args = [fd.unsigned_abs() as usize, F_GETOWN_EX as usize, &raw mut owner as usize, 0];
    // SAFETY: the kernel writes a structure of this layout.
    let known = unsafe { syscall::call(__NR_fcntl, args) };
    let is_own = || (owner.id, owner.kind == F_OWNER_PGRP) == (getpid().as_raw_nonzero().get(), false);
    (known.is_ok() && owner.id != 0 && !is_own()).then_some(owner.id.unsigned_abs())
}

/// Opens a file that only occupies a descriptor number until PROGRAM is executed.
pub(crate) fn placeholder() -> Result<OwnedFd, Errno> {
    memfd_create(c"", MemfdFlags::CLOEXEC)
}

/// Closes the descriptors `first` to `last`.
pub(crate) fn close_range(first: c_uint, last: c_uint) -> Result<(), Errno> {
    // SAFETY: nothing here owns one of them.
    unsafe { syscall::call(__NR_close_range, [first as usize, last as usize, 0, 0]) }.map(drop)
}

/// Closes descriptors one by one, where `close_range` is missing (before Linux 5.9) or a filter
/// refuses it. Fails without the list of `/proc`: descriptors may be open above the current limit.
pub(crate) fn close_one_by_one(first: c_int, keeps: &dyn Fn(c_int) -> bool) -> Result<(), c_int> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let list = openat(CWD, c"/proc/self/fd", flags, Mode::empty());
    let Some(list) = list.ok().filter(|list| fstatfs(list).is_ok_and(|file_system| is_procfs(&file_system))) else {
        fail!(FAILED, "cannot close the other descriptors: close_range is refused, and /proc does not list them")
    };
    let own = list.as_raw_fd();
    let mut buffer = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(&list, &mut buffer);
    while let Some(entry) = entries.next() {
        match entry.map(|entry| descriptor(entry.file_name().to_bytes())) {
            // SAFETY: nothing here owns it.
            Ok(Some(fd)) if fd >= first && fd != own && !keeps(fd) => unsafe { rustix::io::close(fd) },
            Ok(_) => {}
            Err(errno) => fail!(FAILED, "cannot close the other descriptors: %", errno),
        }
    }
    Ok(())
}

const NOT_CHECKED: &str = "not checked";

/// Prints how the jail was entered.
pub(crate) fn report_entered(jailed: &Jailed, stream: &mut Stream) {
    stream.line("entered", &Shown(jailed.entered()));
}

/// Returns whether the ids are the same as before the entry.
pub(crate) const fn ids_kept(jailed: &Jailed) -> bool {
    jailed.ids_kept()
}

/// Prints the supplementary groups.
pub(crate) fn report_groups(stream: &mut Stream) {
    stream.put("groups:", &[]);
    let shown = with_groups(&mut |groups| {
        for group in groups {
            stream.put(" %", &[&Shown(*group)]);
        }
        if groups.is_empty() {
            stream.put(" none", &[]);
        }
    });
    if let Err(errno) = shown {
        stream.put(" %", &[&errno]);
    }
    stream.put("\n", &[]);
}

/// Prints what the process may do.
pub(crate) fn report_privileges(inside: &Inside, stream: &mut Stream) {
    match capabilities(None) {
        Ok(sets) => {
            let held = Capabilities::from_bits((sets.effective | sets.permitted | sets.inheritable).bits());
            stream.line("capabilities", &Shown(held));
        }
        Err(errno) => stream.line("capabilities", &errno),
    }
    stream.line("no-new-privs", &if no_new_privs() == Ok(true) { "yes" } else { "no" });
    match bounding_set() {
        Ok(set) => stream.line("bounding-set", &Shown(set)),
        Err(errno) => stream.line("bounding-set", &errno),
    }
    let locked = securebits_are_locked() == Ok(true);
    stream.line("securebits", &if locked { "locked" } else { "not locked" });
    let sealed = match inside {
        Inside::Jailed(_) => None,
        Inside::Sealed(sealed) => Some(sealed),
    };
    match sealed.map(Sealed::landlock) {
        Some(Some(abi)) => _ = stream.put("landlock: ABI %\n", &[&abi.unsigned_abs()]),
        Some(None) => {
            let cause = match sealed.and_then(|sealed| sealed.cause(Protection::Landlock)) {
                Some(Cause::NoLandlock) => "no: not in this kernel",
                Some(Cause::LandlockDisabled) => "no: disabled at boot",
                Some(Cause::SeccompPerhaps) => "no: perhaps refused by a filter",
                _ => "no",
            };
            stream.line("landlock", &cause);
        }
        None => stream.line("landlock", &NOT_CHECKED),
    }
    let seccomp = match sealed.map(|sealed| sealed.has(Protection::Seccomp)) {
        Some(true) => "yes",
        Some(false) => "no",
        None => NOT_CHECKED,
    };
    stream.line("seccomp", &seccomp);
    if sealed.is_some_and(Sealed::refuses_connect) {
        stream.line("connect", &"refused");
    }
    let jailed = inside.jailed();
    let keyring = sealed.map_or(jailed.session_keyring(), Sealed::session_keyring);
    stream.line("keyring", &Shown(keyring));
    // Without a jail and a seal nothing is checked.
    let alone = sealed.is_some() || jailed.root().is_jail();
    stream.line("threads", &if alone { "1" } else { NOT_CHECKED });
    stream.line("shared", &if jailed.is_unshared() { "no" } else { NOT_CHECKED });
    // The launcher has checked the descriptors that PROGRAM keeps, unless it keeps all.
    let by_launcher = jailed.root().is_jail() && jailed.open_directories() == OpenDirectories::NotChecked;
    stream.line("io-uring", &if by_launcher || jailed.rings_checked() { "none" } else { NOT_CHECKED });
}
