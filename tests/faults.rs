//! Whatever fails, when, and however often: no half-jail is taken for a jail, nothing is left behind, the error says what.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "calls that std does not have")]

#[macro_use]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Output, Stdio};

use autochroot::{Jail, Root, Step};
use common::*;

/// The launcher under `strace`, as `user`. What it runs says what it sees and holds.
fn traced(user: User, root: &str, log: &Path, options: &[&str]) -> Option<Output> {
    let mut strace = command(Path::new("strace"));
    strace.arg("-f").arg("-o").arg(log).args(options).arg(launcher());
    strace.arg(format!("--root={root}")).arg(payload()).args(["has=/etc/passwd", "capabilities"]);
    if let (User::Plain(id), true) = (user, is_root()) {
        strace.uid(id).gid(id);
    }
    match strace.current_dir("/").stdin(Stdio::null()).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skipped("no strace");
            None
        }
        output => Some(output.unwrap()),
    }
}

/// Every system call of the launcher's own, from its first to the `execveat`, as its name and how often it was made before:
/// the C library's at the start are not ours to fail.
fn own_calls(user: User, root: &str) -> Option<Vec<(String, usize)>> {
    let log = Scratch::new();
    let log = log.0.join("log");
    let output = traced(user, root, &log, &[])?;
    assert!(output.status.success(), "{output:?}");
    let trace = fs::read_to_string(&log).unwrap();
    let names = trace.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0));
    let mut made = BTreeMap::new();
    let mut calls = Vec::new();
    let mut ours = false;
    for name in names.skip_while(|name| *name == "execve") {
        let count = made.entry(name).or_insert(0);
        *count += 1;
        ours |= name == "close_range";
        if ours {
            calls.push((name.to_owned(), *count));
        }
        if name == "execveat" {
            break;
        }
    }
    // Of the many that ask for one capability each, the first and the last.
    let prctls: Vec<_> = calls.iter().filter(|(name, _)| name == "prctl").map(|(_, nth)| *nth).collect();
    let middle = prctls.get(3..prctls.len().saturating_sub(6)).unwrap_or_default();
    calls.retain(|(name, nth)| name != "prctl" || !middle.contains(nth));
    Some(calls)
}

fn ways() -> Vec<(User, &'static str)> {
    users()
        .into_iter()
        .filter(|user| *user != NOBODY || !is_root())
        .flat_map(|user| [(user, "unlinked"), (user, "detached")])
        .collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Directories of ours that are left in a parent: each has to be empty.
fn left_in(parent: &Scratch) -> usize {
    parent.entries().iter().filter(|path| fs::read_dir(path).unwrap().next().is_none()).count()
}

#[test]
fn each_system_call_that_fails_is_an_error_or_does_not_matter() {
    let mut injected = 0;
    for (user, kind) in ways() {
        let (parent, logs) = (Scratch::new(), Scratch::new());
        let root = if kind == "unlinked" { format!("unlinked {}", parent.0.display()) } else { kind.to_owned() };
        let Some(calls) = own_calls(user, &root) else { return };
        // The ids can always be had, and rustix asserts in a debug build that `close` does not fail.
        for (name, nth) in
            calls.iter().filter(|(name, _)| !matches!(&**name, "geteuid" | "getegid" | "getpid" | "close"))
        {
            for errno in ["EIO", "EPERM", "EINTR"] {
                if (&**name, errno) == ("close_range", "EPERM") {
                    continue; // a million calls take its place; tests/launcher.rs makes them
                }
                let inject = format!("inject={name}:error={errno}:when={nth}");
                let output = traced(user, &root, &logs.0.join("log"), &["-e", &inject]).unwrap();
                let (said, told) = (text(&output.stdout), text(&output.stderr));
                match output.status.code() {
                    Some(0) => {
                        assert!(
                            said.ends_with("has=/etc/passwd: false\n[0, 0, 0]\n"),
                            "{user:?} {kind} {inject}: {output:?}"
                        );
                    }
                    Some(125 | 126) => assert!(
                        told.starts_with("autochroot: ") && said.is_empty(),
                        "{user:?} {kind} {inject}: {output:?}"
                    ),
                    _ => panic!("{user:?} {kind} {inject}: {output:?}"),
                }
                assert_eq!(parent.entries(), [] as [&Path; 0], "{user:?} {kind} {inject}: {output:?}");
                injected += 1;
            }
        }
    }
    println!("{injected} failing system calls");
}

#[test]
fn a_kill_at_any_call_leaves_one_empty_directory_at_the_most() {
    let mut kills = 0;
    for (user, kind) in ways() {
        let (parent, logs) = (Scratch::new(), Scratch::new());
        let root = if kind == "unlinked" { format!("unlinked {}", parent.0.display()) } else { kind.to_owned() };
        let Some(calls) = own_calls(user, &root) else { return };
        let index = |name: &str| calls.iter().position(|(call, _)| call == name).unwrap_or(0);
        for (n, (name, nth)) in calls.iter().enumerate() {
            let inject = format!("inject={name}:signal=KILL:when={nth}");
            let output = traced(user, &root, &logs.0.join("log"), &["-e", &inject]).unwrap();
            assert!(!output.status.success() && output.stdout.is_empty(), "{inject}: {output:?}");
            let left = left_in(&parent);
            assert_eq!(left, parent.entries().len());
            // The signal comes before the call is made.
            let has_a_name = kind == "unlinked" && (index("mkdirat") + 1..=index("unlinkat")).contains(&n);
            assert_eq!(left, usize::from(has_a_name), "{user:?} {kind} {inject}");
            parent.entries().iter().for_each(|path| fs::remove_dir(path).unwrap());
            kills += 1;
        }
    }
    println!("{kills} kills");
}

/// In a fork, enter, and tell by its exit status what came of it: 0 a jail, 1 a clean error, anything else is wrong.
fn enter_in_a_fork(jail: Jail<'_>) -> libc::pid_t {
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let status = match jail.enter() {
            Ok(jailed) => {
                let root = fs::metadata("/").unwrap();
                let empty = fs::read_dir("/").unwrap().next().is_none() && fs::metadata("/etc").is_err();
                let dead = root.nlink() == 0 && fs::create_dir("/x").is_err();
                if jailed.root() == Root::Unlinked && empty && dead && jailed.verify().is_ok() { 0 } else { 2 }
            }
            Err(error) => match error.step() {
                Step::Make | Step::Open | Step::Unlink | Step::Unlinked => 1,
                _ => 3,
            },
        };
        unsafe { libc::_exit(status) };
    }
    pid
}

fn exit_status(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "{status:#x}");
    libc::WEXITSTATUS(status)
}

/// Rename, replace or fill whatever appears in `parent`, for ever.
fn race(parent: &Path) -> ! {
    let elsewhere = parent.join("elsewhere");
    let mut turn = 0_u32;
    loop {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"autochroot-")) {
                continue;
            }
            turn += 1;
            match turn % 4 {
                0 => drop(fs::create_dir(path.join("filled"))),
                1 => drop(fs::rename(&path, elsewhere.join(turn.to_string()))),
                2 => {
                    let _ = fs::rename(&path, elsewhere.join(turn.to_string())).and_then(|()| symlink("/", &path));
                }
                _ => {
                    let _ = fs::rename(&path, elsewhere.join(turn.to_string())).and_then(|()| fs::create_dir(&path));
                    let _ = fs::set_permissions(&path, fs::Permissions::from_mode(0o755));
                }
            }
        }
    }
}

/// `entries` entries as `user` into a parent of this mode and group, with a racer of the uid `racer`.
fn entries_in_a_race(user: User, racer: u32, mode: u32, group: u32, entries: u32) -> [u32; 2] {
    let parent = Scratch::new();
    fs::create_dir(parent.0.join("elsewhere")).unwrap();
    fs::set_permissions(parent.0.join("elsewhere"), fs::Permissions::from_mode(0o777)).unwrap();
    if is_root() {
        let owner = if let User::Plain(id) = user { id } else { 0 };
        std::os::unix::fs::chown(&parent.0, Some(owner), Some(group)).unwrap();
    }
    fs::set_permissions(&parent.0, fs::Permissions::from_mode(mode)).unwrap();
    let said = ask_user(if is_root() { User::Root } else { user }, || {
        let racer_pid = unsafe { libc::fork() };
        if racer_pid == 0 {
            if is_root() {
                unsafe { assert_eq!(libc::setresgid(group, group, group) | libc::setresuid(racer, racer, racer), 0) };
            }
            race(&parent.0);
        }
        if let (User::Plain(id), true) = (user, is_root()) {
            unsafe {
                assert_eq!(
                    libc::setgroups(0, std::ptr::null()) | libc::setresgid(id, id, id) | libc::setresuid(id, id, id),
                    0
                );
                libc::prctl(libc::PR_SET_DUMPABLE, 1);
            }
        }
        let mut outcomes = [0_u32; 2];
        for n in 0..entries {
            let status = exit_status(enter_in_a_fork(Jail::unlinked().parent(parent.bytes())));
            assert!(status < 2, "entry {n}: status {status}");
            outcomes[usize::try_from(status).unwrap()] += 1;
        }
        unsafe {
            libc::kill(racer_pid, libc::SIGKILL);
            libc::waitpid(racer_pid, std::ptr::null_mut(), 0);
        }
        format!("{} {}", outcomes[0], outcomes[1])
    });
    let mut counts = said.split(' ').map(|count| count.parse().unwrap());
    [counts.next().unwrap(), counts.next().unwrap()]
}

#[test]
fn nobody_wins_a_race_for_the_directory() {
    let own = if let User::Plain(id) = plain() { id } else { 0 };
    // Of the same uid, in a sticky parent and in one of its own; a foreign one against root, where its group may write.
    let mut races = vec![(plain(), own, 0o1777, own), (plain(), own, 0o755, own)];
    if is_root() {
        races.extend([(User::Root, 12345, 0o775, 12345), (User::Root, 12345, 0o1777, 12345)]);
    }
    for (user, racer, mode, group) in races {
        let [jails, errors] = entries_in_a_race(user, racer, mode, group, 2000);
        println!("{user:?} against uid {racer}, parent {mode:o}: {jails} jails, {errors} clean errors");
    }
}

/// With a pause before and after each call, in which the racer always comes first.
#[test]
fn nobody_wins_a_race_with_all_the_time_in_the_world() {
    let (parent, logs) = (Scratch::new(), Scratch::new());
    fs::create_dir(parent.0.join("elsewhere")).unwrap();
    fs::set_permissions(parent.0.join("elsewhere"), fs::Permissions::from_mode(0o777)).unwrap();
    let user = plain();
    let racer = unsafe { libc::fork() };
    if racer == 0 {
        close_all_but([2, 2]);
        if let (User::Plain(id), true) = (user, is_root()) {
            unsafe { assert_eq!(libc::setresgid(id, id, id) | libc::setresuid(id, id, id), 0) };
        }
        race(&parent.0);
    }
    let mut outcomes = [0; 2];
    let root = format!("unlinked {}", parent.0.display());
    for pause in
        ["mkdirat:delay_exit=1000", "unlinkat:delay_enter=1000", "unlinkat:delay_exit=1000", "fchdir:delay_enter=1000"]
    {
        for _ in 0..20 {
            let inject = format!("inject={pause}");
            let Some(output) = traced(user, &root, &logs.0.join("log"), &["-e", &inject]) else { break };
            match output.status.code() {
                Some(0) => {
                    assert!(text(&output.stdout).ends_with("has=/etc/passwd: false\n[0, 0, 0]\n"), "{output:?}");
                    outcomes[0] += 1;
                }
                Some(125) => {
                    assert!(text(&output.stderr).starts_with("autochroot: cannot "), "{output:?}");
                    outcomes[1] += 1;
                }
                _ => panic!("{output:?}"),
            }
        }
    }
    unsafe {
        libc::kill(racer, libc::SIGKILL);
        libc::waitpid(racer, std::ptr::null_mut(), 0);
    }
    println!("{} jails, {} clean errors", outcomes[0], outcomes[1]);
}

#[test]
fn many_at_once_do_not_get_in_each_others_way() {
    for user in users() {
        let parent = Scratch::new();
        as_user(user, || {
            let workers: Vec<_> = (0..64)
                .map(|_| {
                    let pid = unsafe { libc::fork() };
                    if pid == 0 {
                        let jail = Jail::unlinked().parent(parent.bytes());
                        let failed = (0..50).filter(|_| exit_status(enter_in_a_fork(jail)) != 0).count();
                        unsafe { libc::_exit(i32::from(failed != 0)) };
                    }
                    pid
                })
                .collect();
            assert_eq!(workers.into_iter().filter(|pid| exit_status(*pid) != 0).count(), 0);
        });
        assert_eq!(parent.entries(), [] as [&Path; 0]);
    }
    println!("{} entries", 64 * 50 * users().len());
}

#[test]
fn without_descriptors_it_is_a_truthful_error() {
    for limit in 3..16 {
        for user in users() {
            let parent = Scratch::new();
            as_user(user, || {
                let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
                let namespace = fs::read_link("/proc/self/ns/user").unwrap();
                assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
                let before = held();
                if let Err(error) = Jail::auto().parent(parent.bytes()).enter() {
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE), "{error}");
                    assert_eq!(held() & !before, 0);
                    let moved = fs::read_link("/proc/self/ns/user").unwrap() != namespace;
                    assert_eq!(error.is_partial(), moved, "{error}");
                }
            });
            assert_eq!(parent.entries(), [] as [&Path; 0]);
        }
    }
}

extern "C" fn nothing(_: i32) {}

#[test]
fn no_file_may_grow_and_signals_arrive_all_the_time() {
    as_each_user(|_| {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const none) }, 0);
        Jail::auto().enter().unwrap();
    });
    as_each_user(|_| {
        let every = libc::timeval { tv_sec: 0, tv_usec: 20 };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize; // without SA_RESTART
            assert_eq!(libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut()), 0);
            assert_eq!(libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()), 0);
        }
        Jail::auto().enter().unwrap().seal().unwrap();
    });
}
