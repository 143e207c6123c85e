//! The system calls of an entry, as `strace` sees the launcher make them: those of `src/audit.md`,
//! in that order, and none besides. On `x86_64`: elsewhere some have other names.

use std::path::Path;

use crate::common::*;

/// From `getresuid`, the first call of an entry, to the last `close`.
fn trace(user: User, args: &[&str]) -> Option<Vec<String>> {
    Some(trace_in_two(user, args)?.0)
}

/// An entry, and what comes after it.
fn trace_in_two(user: User, args: &[&str]) -> Option<(Vec<String>, Vec<String>)> {
    let mut calls = trace_all(user, args)?;
    calls.drain(..calls.iter().position(|call| call.starts_with("getresuid(")).unwrap());
    let end = calls.iter().rposition(|call| call == "chdir(\"/\")").unwrap();
    let end = end + calls[end..].iter().position(|call| call == "close(3)").unwrap();
    let closes = calls[end..].iter().take_while(|call| call.starts_with("close(")).count();
    let after = calls.split_off(end + closes);
    Some((calls, after))
}

fn trace_all(user: User, args: &[&str]) -> Option<Vec<String>> {
    let log = Scratch::new();
    let mut strace = command(Path::new("strace"));
    strace.args(["-f", "-s64", "-o"]).arg(log.0.join("log")).arg(launcher()).args(args).current_dir("/");
    start_as(&mut strace, user);
    let output = match strace.output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skipped("no strace");
            return None;
        }
        output => output.unwrap(),
    };
    assert!(output.status.code().is_some_and(|status| status < 2), "{output:?}");
    let log = std::fs::read_to_string(log.0.join("log")).unwrap();
    let calls = log.lines().map(|line| brief(line.split_once(' ').unwrap().1.trim_start()));
    // With debug assertions, std asks of each descriptor that it closes whether it is open.
    Some(calls.filter(|call| !(cfg!(debug_assertions) && call.ends_with(", F_GETFD)"))).collect())
}

/// Without the answer, the random name and what differs from machine to machine.
fn brief(line: &str) -> String {
    let call = line.rsplit_once(" = ").map_or(line, |(call, _)| call.trim_end());
    let (name, args) = call.split_once('(').unwrap_or((call, ")"));
    let args = match name {
        "getrandom" | "getresuid" => "…)".into(),
        "fstat" | "newfstatat" | "statfs" | "fstatfs" => args.split(", {").next().unwrap().to_owned() + ")",
        "capget" | "capset" => args.split_once("}, ").map_or("…)", |(_, sets)| sets).to_owned(),
        _ => match args.split_once("autochroot-") {
            Some((before, after)) => format!("{before}…{}", &after[16..]),
            None => args.into(),
        },
    };
    format!("{name}({args}").replace("O_LARGEFILE|", "")
}

const HELD: &str = "O_RDONLY|O_CLOEXEC|O_PATH|O_DIRECTORY";

fn to_the_chroot() -> Vec<String> {
    vec![
        "getresuid(…)".into(),
        "unshare(CLONE_VM)".into(),
        "unshare(CLONE_FS|CLONE_FILES)".into(),
        "io_uring_enter(0, 0, 0, IORING_ENTER_REGISTERED_RING, NULL, 0)".into(),
        "statfs(\"/proc/self/fd\")".into(),
        "newfstatat(AT_FDCWD, \"/proc/self/fd\")".into(),
        "fstat(0)".into(),
        "fstat(1)".into(),
        "fstat(2)".into(),
        "newfstatat(AT_FDCWD, \"/proc/self/fd\")".into(),
        format!("openat(AT_FDCWD, \".\", {HELD})"),
        format!("openat(AT_FDCWD, \"/dev/shm\", {HELD})"),
        "fstat(4)".into(),
        "getrandom(…)".into(),
        "mkdirat(4, \"…\", 0555)".into(),
        "openat(4, \"…\", O_RDONLY|O_NOFOLLOW|O_CLOEXEC|O_DIRECTORY)".into(),
        "fstat(5)".into(),
        "unlinkat(4, \"…\", AT_REMOVEDIR)".into(),
        "fstat(5)".into(),
        "mkdirat(5, \"…\", 0555)".into(),
        "fchdir(5)".into(),
        "chroot(\".\")".into(),
    ]
}

fn owned(calls: &[&str]) -> Vec<String> {
    calls.iter().map(|&call| call.to_owned()).collect()
}

/// How many an entry to the default root takes, except the one for each of the three descriptors; to
/// an unlinked root; `run_as` and `seal`, except those for each capability.
const DEFAULT_PRIVILEGED: usize = 20;
const DEFAULT_UNPRIVILEGED: usize = 46;
const PRIVILEGED: usize = 24;
const UNPRIVILEGED: usize = 48;
/// The launcher allows to be made dumpable, and does not ask whether it is.
const NOT_ASKED: usize = 1;
const RUN_AS: usize = 25;
const SEAL: usize = 21;
const SEAL_LATER: usize = 17;

/// The documents give the numbers that the tests below hold against the kernel.
#[test]
fn the_documents_give_the_same_numbers() {
    own_process!();
    // Line ends and the marks of comments are not of the text.
    let text = |source: &str| source.replace("///", " ").split_whitespace().collect::<Vec<_>>().join(" ");
    let enter = text(include_str!("../../src/enter.rs"));
    assert!(enter.contains(&format!(
        "{DEFAULT_PRIVILEGED} system calls with privilege, {DEFAULT_UNPRIVILEGED} in a user namespace, and one for each number"
    )));
    assert!(enter.contains(&format!("An unlinked root takes {PRIVILEGED} and {UNPRIVILEGED}")));
    let figures = text(include_str!("../../benches/README.md"));
    assert!(figures.contains(&format!(
        "{DEFAULT_PRIVILEGED} with privilege, {DEFAULT_UNPRIVILEGED} in a user namespace, and one"
    )));
    let readme = text(include_str!("../../README.md"));
    assert!(readme.contains(&format!("{DEFAULT_PRIVILEGED} system calls as root, {DEFAULT_UNPRIVILEGED} otherwise")));
    let inside = text(include_str!("../../src/jailed/linux.rs"));
    for part in [
        format!("{RUN_AS} system calls and one for each capability"),
        format!("After an entry by privilege: {SEAL} system calls, and two for each capability"),
        format!("After [`run_as`](Jailed::run_as): {SEAL_LATER}, and one for each capability."),
        format!("In a user namespace: {SEAL_LATER}."),
    ] {
        assert!(inside.contains(&part), "{part}");
    }
}

#[test]
fn a_privileged_entry_makes_the_documented_calls() {
    own_process!();
    root_only!();
    let Some(calls) = trace(User::Root, &["--check", "--no-seal", "--keep-fds=all", "-p", "/dev/shm"]) else { return };
    let inside = ["chdir(\"/\")", "newfstatat(AT_FDCWD, \"/\")", "close(3)", "close(4)", "close(5)"];
    let expected = [to_the_chroot(), owned(&inside)].concat();
    assert_eq!(calls, expected);
    assert_eq!(calls.len(), PRIVILEGED + 3);
}

#[test]
fn an_unprivileged_entry_makes_the_documented_calls() {
    own_process!();
    let Some(calls) = trace(plain(), &["--check", "--no-seal", "--keep-fds=all", "-p", "/dev/shm"]) else { return };
    let id = rustix::process::geteuid().as_raw();
    let id = if id == 0 { 12345 } else { id };
    let open = |file: &str| format!("openat(6, \"{file}\", O_WRONLY|O_CLOEXEC)");
    let write = |fd: u32, line: &str| format!("write({fd}, \"{line}\", {})", line.len());
    let line = format!("{id:>11}{id:>11}{:>11}", 1);
    let expected = [
        to_the_chroot(),
        owned(&["capget({effective=0, permitted=0, inheritable=0})", "getegid()"]),
        vec![format!("openat(AT_FDCWD, \"/proc/self\", {HELD})")],
        owned(&["fstatfs(6)", "unshare(CLONE_NEWUSER)"]),
        vec![open("uid_map"), open("setgroups"), open("gid_map"), write(7, &line), write(8, "deny"), write(9, &line)],
        owned(&["chroot(\".\")", "chdir(\"/\")", "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)"]),
        owned(&["capset({effective=0, permitted=0, inheritable=0})", "keyctl(KEYCTL_JOIN_SESSION_KEYRING, NULL)"]),
        owned(&[
            "newfstatat(AT_FDCWD, \"/\")",
            "capget({effective=0, permitted=0, inheritable=0})",
            "prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)",
            "geteuid()",
            "getegid()",
        ]),
        owned(&["close(3)", "close(4)", "close(5)", "close(6)", "close(7)", "close(8)", "close(9)"]),
    ]
    .concat();
    assert_eq!(calls, expected);
    assert_eq!(calls.len(), UNPRIVILEGED - NOT_ASKED + 3);
}

/// The default is a detached root.
#[test]
fn an_entry_to_the_default_root_takes_as_many_calls_as_documented() {
    own_process!();
    for user in users() {
        let Some(calls) = trace(user, &["--check", "--no-seal", "--keep-fds=all"]) else { return };
        let expected = if user == User::Root { DEFAULT_PRIVILEGED } else { DEFAULT_UNPRIVILEGED - NOT_ASKED };
        assert_eq!(calls.len(), expected + 3, "{user:?} {calls:#?}");
    }
}

/// Those that `Jailed::run_as` and `Jailed::seal` say they cost.
#[test]
fn run_as_and_seal_take_as_many_calls_as_documented() {
    own_process!();
    let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
    let capabilities = last.trim().parse::<usize>().unwrap() + 1;
    let mut ways = vec![(plain(), vec![], SEAL_LATER + capabilities)];
    if rustix::process::geteuid().is_root() {
        ways.push((User::Root, vec!["--user=7:7", "--no-seal"], RUN_AS + capabilities));
        ways.push((User::Root, vec![], SEAL + 2 * capabilities));
        ways.push((User::Root, vec!["--user=7:7"], RUN_AS + capabilities + SEAL_LATER + capabilities));
    }
    if landlock_abi().is_none() {
        return skipped("no Landlock");
    }
    for (user, mut args, expected) in ways {
        args.extend(["--check", "-p/dev/shm"]);
        let Some((_, after)) = trace_in_two(user, &args) else { return };
        // --check begins with "/", ".." and ".".
        let check = after.iter().position(|call| call == "newfstatat(AT_FDCWD, \"/..\")").unwrap() - 1;
        assert_eq!(check, expected, "{user:?} {args:?}: {:#?}", &after[..check]);
    }
}

/// What `Jail::enter_as` makes more than `enter` and `run_as`, before them.
#[test]
fn it_takes_as_many_calls_as_documented_to_find_out_who_the_process_is() {
    own_process!();
    let own = if rustix::process::geteuid().is_root() { 12345 } else { rustix::process::geteuid().as_raw() };
    let gid = if rustix::process::geteuid().is_root() { 12345 } else { rustix::process::getegid().as_raw() };
    let mut ways = vec![(plain(), format!("--user={own}:{gid}"), 11)];
    if rustix::process::geteuid().is_root() {
        ways.push((User::Root, "--user=7:7".to_owned(), 14));
    }
    for (user, option, expected) in ways {
        let Some(calls) = trace_all(user, &["--check", "--no-seal", "-p/dev/shm", &option]) else { return };
        let start = calls.iter().position(|call| call.starts_with("close_range(")).unwrap() + 1;
        let entry = calls.iter().position(|call| call == "unshare(CLONE_VM)").unwrap() - 1;
        assert_eq!(entry - start, expected, "{:#?}", &calls[start..entry]);
    }
}

#[test]
fn each_capability_that_is_kept_takes_as_many_calls_as_documented() {
    own_process!();
    root_only!();
    let calls = |caps: &str| {
        let (_, after) = trace_in_two(User::Root, &["--check", "-p/dev/shm", "--user=7:7", caps])?;
        // The seal begins as `run_as` does.
        after.iter().skip(1).position(|call| call == "unshare(CLONE_VM)")
    };
    let Some(none) = calls("--caps=none") else { return };
    assert_eq!(calls("--caps=net_raw"), Some(none + 5 + 2));
    assert_eq!(calls("--caps=net_raw,chown"), Some(none + 5 + 2 * 2));
}

/// `Jailed::verify`, with which --check begins to tell: at most so many, and these first and last.
#[test]
fn the_jail_is_verified_in_as_many_calls_as_documented() {
    own_process!();
    for user in users() {
        for parent in ["-p/dev/shm", "-p/tmp"] {
            let Some((_, after)) = trace_in_two(user, &["--check", "--no-seal", parent]) else { return };
            assert_eq!(after[..2], ["newfstatat(AT_FDCWD, \"/\")", "newfstatat(AT_FDCWD, \"/..\")"], "{user:?}");
            // Whether the mode can be changed is not tried.
            assert!(!after.iter().any(|call| call.starts_with("fchmod")));
            let nameless = after.iter().position(|call| call.contains("O_TMPFILE")).unwrap();
            let last = nameless + after[nameless..].iter().position(|call| call == "geteuid()").unwrap();
            assert!(last < 12, "{user:?} {parent}: {:#?}", &after[..=last]);
        }
    }
}

#[test]
fn no_jail_is_no_call() {
    own_process!();
    for user in users() {
        let Some(calls) = trace_all(user, &["--check", "--no-seal", "--root=/"]) else { return };
        let own = calls.iter().position(|call| call.starts_with("close_range(")).unwrap();
        // The next calls are those that --check makes to print what it finds.
        assert_eq!(calls[own + 1..own + 3], ["geteuid()", "getegid()"], "{:?}", &calls[own..]);
        assert!(calls[own + 3].starts_with("getgroups("), "{:?}", &calls[own..]);
    }
}

/// As this user, whose id map belongs to root after the `setuid`: the process is dumpable while
/// three files are opened, once.
#[test]
fn the_launcher_is_dumpable_for_three_calls() {
    own_process!();
    root_only!();
    let Some(calls) = trace_all(User::Root, &["--check", "--user=12345:12345", "--userns=always"]) else { return };
    let start = calls.iter().position(|call| call == "prctl(PR_SET_DUMPABLE, SUID_DUMP_USER)").unwrap();
    assert!(calls[start + 1..start + 4].iter().all(|call| call.starts_with("openat(")), "{:?}", &calls[start..]);
    assert_eq!(calls[start + 4], "prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE)");
    assert!(!calls[start + 5..].iter().any(|call| call.contains("PR_SET_DUMPABLE")));
}

#[test]
fn a_detached_entry_makes_the_documented_calls() {
    own_process!();
    root_only!();
    let Some(calls) = trace(User::Root, &["--check", "--no-seal", "--keep-fds=all", "--root=detached"]) else { return };
    let start = calls.iter().position(|call| call.starts_with("fsopen(")).unwrap();
    let names: Vec<_> = calls[start..].iter().map(|call| call.split('(').next().unwrap()).collect();
    assert_eq!(
        names,
        [
            "fsopen",
            "fsconfig",
            "fsmount",
            "close",
            "fstat",
            "fchdir",
            "chroot",
            "chdir",
            "newfstatat",
            "openat",
            "close",
            "close"
        ]
    );
}
