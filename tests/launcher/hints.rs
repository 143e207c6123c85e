//! Each hint is followed literally: a state is made in which the launcher is refused, the hint is
//! read, what it says is done, and the same command succeeds.
//!
//! These are not followed here, because they need another kernel, another boot or another machine:
//! `Seccomp`, `SeccompPerhaps` (the filter is this test's own), `NoUserNamespaces`, `NoUsers`,
//! `NoSeccomp`, `NoLandlock`, `LandlockDisabled`, `NoDetachedMount`, `NoFailfs` (another kernel:
//! `tests/kernel.rs` boots them), `AppArmor`, `AppArmorProfile` (`tests/kernel.rs`), `SeLinux`,
//! `UnprivilegedUsernsClone` (`tests/kernel.rs`), `Emulator`. `Threads`, `SharedMemory`,
//! `OpenDirectory`, `OpenRing` and `NotDumpable` are about the caller's code: `tests/library`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::*;
use crate::{autochroot, text};

/// What a launch prints on standard error, and whether PROGRAM ran.
fn told(output: &Output) -> (&str, bool) {
    (text(&output.stderr), output.status.success())
}

/// Refused in the state that `prepare` makes in the child, with a hint that has `part` in it; after
/// what the hint says is done, which is `follow` instead of `prepare` and other options, it runs.
fn follows(user: User, part: &str, (prepare, options): (fn(), &[&str]), (follow, better): (fn(), &[&str])) {
    let launch = |prepare: fn(), options: &[&str]| {
        let mut command = autochroot(user);
        // SAFETY: it is the child's.
        unsafe {
            command.pre_exec(move || {
                prepare();
                Ok(())
            });
        }
        command.args(options).arg(payload()).output().unwrap()
    };
    let refused = launch(prepare, options);
    let (line, ran) = told(&refused);
    let hint = line.split_once("\n  hint: ").unwrap_or_else(|| panic!("no hint: {refused:?}")).1;
    assert!(hint.contains(part) && !ran, "{refused:?}");
    let done = launch(follow, better);
    assert_eq!(told(&done), ("", true), "after {hint}: {done:?}");
}

fn nothing() {}

fn drop_sys_admin() {
    use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};
    remove_capability_from_bounding_set(CapabilitySet::SYS_ADMIN).unwrap();
    let mut sets = rustix::thread::capabilities(None).unwrap();
    (sets.effective, sets.permitted, sets.inheritable) =
        (sets.effective - CapabilitySet::SYS_ADMIN, sets.permitted - CapabilitySet::SYS_ADMIN, CapabilitySet::empty());
    rustix::thread::set_capabilities(None, sets).unwrap();
}

#[test]
fn a_hint_for_an_ordinary_user_helps_when_it_is_followed() {
    own_process!();
    let user = plain();
    for (part, state, remedy) in [
        // "raise it (ulimit -n)"
        (
            "the limit of open files is reached: raise it",
            (limit_descriptors as fn(), &["-f/etc/passwd", "-f/etc/group"][..]),
            (nothing as fn(), &["-f/etc/passwd", "-f/etc/group"][..]),
        ),
        // "raise it (ulimit -f)"
        (
            "larger than the limit of file sizes: raise it",
            (limit_size, &["-f/etc/passwd"]),
            (nothing, &["-f/etc/passwd"]),
        ),
        // "allow user namespaces"
        (
            "allow user namespaces",
            (nothing, &["--userns=never", "-runlinked"]),
            (nothing, &["--userns=auto", "-runlinked"]),
        ),
        // "name a directory that can be written"
        (
            "name a directory that can be written",
            (nothing, &["-runlinked", "-p/nonexistent"]),
            (nothing, &["-runlinked", "-p/tmp"]),
        ),
        ("or use the root \"detached\"", (nothing, &["-runlinked", "-p/nonexistent"]), (nothing, &["-rdetached"])),
        ("use auto or detached", (nothing, &["-f/etc/passwd", "-runlinked"]), (nothing, &["-f/etc/passwd"])),
        ("or a directory that has it", (nothing, &["-f/etc/passwd", "-r/usr"]), (nothing, &["-r/usr"])),
        ("--file FILE=/PATH", (nothing, &["-fetc/passwd"]), (nothing, &["-fetc/passwd=/PATH"])),
        (
            "give another path: --file FILE=/PATH",
            (nothing, &["--writable=1M=/etc", "-f/etc/passwd"]),
            (nothing, &["--writable=1M=/etc", "-f/etc/passwd=/PATH"]),
        ),
        (
            "--writable SIZE=/PATH",
            (nothing, &["--writable=1M=/etc", "-f/etc/passwd"]),
            (nothing, &["--writable=1M=/PATH", "-f/etc/passwd"]),
        ),
    ] {
        follows(user, part, state, remedy);
    }
}

fn limit_descriptors() {
    let limit = libc::rlimit { rlim_cur: 6, rlim_max: 6 };
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
}

fn limit_size() {
    let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
}

#[test]
fn a_hint_that_says_root_helps_as_root() {
    own_process!();
    root_only!();
    // "start as root, with --user", and "--root DIR with the device"
    let refused = autochroot(SOMEBODY).args(["-f/dev/null"]).arg(payload()).output().unwrap();
    assert!(text(&refused.stderr).contains("hint: start as root, with --user"), "{refused:?}");
    let user = format!("-u{0}:{0}", 12345);
    let done = autochroot(User::Root).args([&user, "-f/dev/null"]).arg(payload()).output().unwrap();
    assert_eq!(told(&done), ("", true));
    // Root without a capability: "start as root, and allow it"
    for (part, options) in [
        ("missing: CAP_SYS_ADMIN", &["-u7:8", "-f/etc/passwd", "--userns=never"][..]),
        ("missing: CAP_SYS_ADMIN", &["-f/etc/passwd", "--userns=never"]),
    ] {
        follows(User::Root, part, (drop_sys_admin, options), (nothing, options));
    }
    // "start it without (systemd: SecureBits=)"
    fn securebits() {
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, 64) }, 0);
    }
    let keeping = &["-u7:8", "--caps=net_bind_service"];
    follows(User::Root, "the securebits were set or locked", (securebits, keeping), (nothing, keeping));
    // In a mount namespace of its own: "mount /proc"
    as_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/proc"), 0, "");
        let launch = |options: &[&str]| {
            let mut command = Command::new(launcher());
            start_as(&mut command, SOMEBODY);
            command.args(options).arg(payload()).output().unwrap()
        };
        let refused = launch(&[]);
        assert!(text(&refused.stderr).contains("hint: mount /proc, or go without id maps"), "{refused:?}");
        assert_eq!(told(&launch(&["--id-map", "none"])), ("", true));
        let proc = unsafe { libc::mount(c"proc".as_ptr(), c"/proc".as_ptr(), c"proc".as_ptr(), 0, std::ptr::null()) };
        if proc == 0 {
            assert_eq!(told(&launch(&[])), ("", true));
        }
    });
    // In a user namespace of its own: "raise the sysctl, which is 0"
    as_user(User::Root, || {
        unsafe { assert_eq!(libc::unshare(libc::CLONE_NEWUSER), 0) };
        fs::write("/proc/self/uid_map", "0 0 1").unwrap();
        fs::write("/proc/self/setgroups", "deny").unwrap();
        fs::write("/proc/self/gid_map", "0 0 1").unwrap();
        let always =
            || Command::new(launcher()).args(["--userns=always", "-runlinked"]).arg(payload()).output().unwrap();
        fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
        let refused = always();
        assert!(
            text(&refused.stderr).contains("hint: raise the sysctl user.max_user_namespaces, which is 0"),
            "{refused:?}"
        );
        fs::write("/proc/sys/user/max_user_namespaces", "100").unwrap();
        assert_eq!(told(&always()), ("", true));
    });
    // "map it in uid_map and gid_map"
    as_user(User::Root, || {
        unsafe { assert_eq!(libc::unshare(libc::CLONE_NEWUSER), 0) };
        let as_root = || Command::new(launcher()).args(["-u0:0", "-r/"]).arg(payload()).output().unwrap();
        let refused = as_root();
        assert!(
            text(&refused.stderr).contains("hint: the id is not mapped in this user namespace: map it"),
            "{refused:?}"
        );
        fs::write("/proc/self/uid_map", "0 0 1").unwrap();
        fs::write("/proc/self/setgroups", "deny").unwrap();
        fs::write("/proc/self/gid_map", "0 0 1").unwrap();
        assert_eq!(told(&as_root()), ("", true));
    });
}

/// The line that a dynamically linked program needs, as it stands there.
#[test]
fn the_line_for_a_dynamically_linked_program_runs_it() {
    own_process!();
    let ldd = Command::new("ldd").arg("/bin/ls").output();
    if !ldd.is_ok_and(|ldd| ldd.status.success()) {
        return skipped("no ldd, or /bin/ls is static");
    }
    let bin = launcher().parent().unwrap().to_str().unwrap();
    for user in users() {
        let scratch = Scratch::new();
        let elsewhere = scratch.0.join("my $ls");
        fs::copy("/bin/ls", &elsewhere).unwrap();
        for program in ["/bin/ls", "ls", elsewhere.to_str().unwrap()] {
            let refused = autochroot(user).arg(program).output().unwrap();
            let told = text(&refused.stderr);
            assert_eq!(refused.status.code(), Some(126), "{told}");
            let line = told.split_once("copy the loader and the libraries: ").unwrap().1;
            let mut shell = Command::new("/bin/sh");
            start_as(&mut shell, user);
            let path = format!("{bin}:{}", std::env::var("PATH").unwrap_or_default());
            let output = shell.args(["-c", line]).env("PATH", path).current_dir("/").output().unwrap();
            assert!(output.status.success(), "{user:?} {program}: {output:?}");
            // It lists the root: what was copied.
            assert!(text(&output.stdout).lines().any(|name| name == "lib64" || name == "lib"), "{output:?}");
        }
    }
}

/// With a directory as the root the libraries belong there. The user need not be able to search it to be
/// checked, but then finds nothing in it.
#[test]
fn the_line_for_a_directory_copies_the_libraries_into_it() {
    own_process!();
    root_only!();
    let ldd = Command::new("ldd").arg("/bin/ls").output();
    if !ldd.is_ok_and(|ldd| ldd.status.success()) {
        return skipped("no ldd, or /bin/ls is static");
    }
    let scratch = Scratch::new();
    let root = scratch.0.join("a root");
    fs::create_dir(&root).unwrap();
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
    let option = format!("--root={}", root.display());
    let launch = |check: Option<&str>| autochroot(User::Root).args(check).args([&option, "-u7:8", "/bin/ls"]).output();
    let refused = launch(None).unwrap();
    let line = text(&refused.stderr).split_once("copy the loader and the libraries: ").unwrap().1;
    let copied = Command::new("/bin/sh").args(["-c", line]).output().unwrap();
    assert!(copied.status.success(), "{line}: {copied:?}");
    assert!(launch(None).unwrap().status.success());
    assert!(text(&launch(Some("--check")).unwrap().stdout).starts_with("program: yes\n"));
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
    let output = launch(Some("--check")).unwrap();
    assert!(text(&output.stdout).ends_with("\njailed: yes\n"), "{output:?}");
    let static_one = [&option, "-u7:8", payload().to_str().unwrap()];
    let output = autochroot(User::Root).arg("--check").args(static_one).output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""), "{output:?}");
    assert!(autochroot(User::Root).arg("-v").args(static_one).output().unwrap().status.success());
}

/// PROGRAM is looked up outside the directory that becomes the root.
#[test]
fn a_program_of_the_new_root_is_named_by_its_path_outside() {
    own_process!();
    let scratch = Scratch::new();
    let path = scratch.0.join("program");
    fs::copy(payload(), &path).unwrap();
    let directory = scratch.0.to_str().unwrap();
    let launch = |program: &str| autochroot(plain()).args(["-r", directory, program]).output().unwrap();
    let refused = launch("/program");
    let hint = format!("autochroot: /program: not found\n  hint: give its path outside: {directory}/program\n");
    assert_eq!((text(&refused.stderr), refused.status.code()), (&*hint, Some(127)));
    assert_eq!(told(&launch(path.to_str().unwrap())), ("", true));
    // No path outside leads to what these lead to inside: links are followed in another root there.
    std::os::unix::fs::symlink("/program", scratch.0.join("link")).unwrap();
    std::os::unix::fs::symlink("/bin/sh", scratch.0.join("sh")).unwrap();
    fs::create_dir(scratch.0.join("directory")).unwrap();
    for program in ["/none", "/link", "/sh", "/directory", "/../../program"] {
        assert_eq!(told(&launch(program)), (&*format!("autochroot: {program}: not found\n"), false));
    }
}

/// The same of a directory that is to be the root.
#[test]
fn a_directory_that_only_root_may_search_is_opened_to_the_user() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    let set = |mode| fs::set_permissions(&scratch.0, fs::Permissions::from_mode(mode)).unwrap();
    let launch =
        |user, more: &[&str]| autochroot(user).args(more).arg("-r").arg(&scratch.0).arg(payload()).output().unwrap();
    set(0o700);
    let below = scratch.0.join("below");
    fs::create_dir(&below).unwrap();
    fs::set_permissions(&below, fs::Permissions::from_mode(0o1777)).unwrap();
    for option in ["-r", "-p"] {
        let output = autochroot(SOMEBODY).arg(option).arg(&below).arg(payload()).output().unwrap();
        assert!(text(&output.stderr).contains("\n  hint: start as root (--user, enter_as), or let"), "{output:?}");
    }
    let refused = launch(SOMEBODY, &[]);
    let hint = "\n  hint: let that user search it (chmod o+x)\n";
    assert!(text(&refused.stderr).ends_with(hint) && refused.status.code() == Some(125), "{refused:?}");
    set(0o701);
    assert_eq!(told(&launch(SOMEBODY, &[])), ("", true));
}

/// And outside the root that its copy will be in.
#[test]
fn a_program_that_is_copied_is_named_by_its_source() {
    own_process!();
    let source = payload().to_str().unwrap();
    let option = format!("--file={source}=/program");
    let refused = autochroot(plain()).args([&option, "/program"]).output().unwrap();
    let hint = format!("autochroot: /program: not found\n  hint: give its path outside: {source}\n");
    assert_eq!((text(&refused.stderr), refused.status.code()), (&*hint, Some(127)));
    assert_eq!(told(&autochroot(plain()).args([&option, source]).output().unwrap()), ("", true));
}

/// Both remedies of a file that whoever starts the launcher may not read.
#[test]
fn a_file_that_only_root_may_read_is_given_by_root_or_made_readable() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    let file = scratch.0.join("key.pem");
    fs::write(&file, "key").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).unwrap();
    let option = format!("-f{}=/key.pem", file.display());
    let launch = |user, more: &[&str]| {
        let mut command = autochroot(user);
        command.args(more).args([&option, payload().to_str().unwrap(), "cat=/key.pem"]).output().unwrap()
    };
    let refused = launch(plain(), &[]);
    let hint = "hint: start as root (--user, enter_as), or let that user read or search it\n";
    assert!(text(&refused.stderr).ends_with(hint) && refused.status.code() == Some(125), "{refused:?}");
    assert!(text(&launch(User::Root, &["--user", "7:8"]).stdout).ends_with("key"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(text(&launch(plain(), &[]).stdout).ends_with("key"));
}
