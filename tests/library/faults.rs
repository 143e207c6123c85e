//! Whatever fails, when, and however often: no half-jail is taken for a jail, nothing is left
//! behind, the error says what.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use crate::common::*;
use autochroot::{Jail, Jailed, NamedFile, Root, Step, UserNamespace};

/// What is run under `strace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Subject {
    /// The launcher; what it runs says what it sees and holds.
    Launcher,
    /// This program, in which [`BEFORE_MAIN`] enters, becomes a user and seals, and judges itself
    /// what came of it.
    Library,
}

/// A subject under `strace`, as `user`.
fn traced(subject: Subject, user: User, root: &str, log: &Path, options: &[&str]) -> Option<Output> {
    let mut strace = command(Path::new("strace"));
    strace.arg("-f").arg("-o").arg(log).args(options);
    match subject {
        Subject::Launcher => strace
            .arg(launcher())
            .args(match root {
                "files" => ["--file=/etc/passwd=/named/passwd", "--file=/proc/version=/v"],
                _ => ["--root", root],
            })
            .arg(payload())
            .args(["has=/etc/passwd", "capabilities"]),
        Subject::Library => strace.arg(myself()).env(TASK, format!("once {root}")),
    };
    run_as(strace, user)
}

/// Runs it as `user`, in "/", without input.
fn run_as(mut strace: Command, user: User) -> Option<Output> {
    start_as(&mut strace, user);
    match strace.current_dir("/").stdin(Stdio::null()).output() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            skipped("no strace");
            None
        }
        output => Some(output.unwrap()),
    }
}

/// Every system call of the subject's own, as its name and how often it was made before: those of
/// the C library at the start, and those by which the subject judges itself, are not ours to fail.
fn own_calls(subject: Subject, user: User, root: &str) -> Option<Vec<(String, usize)>> {
    let log = Scratch::new();
    let log = log.0.join("log");
    let output = traced(subject, user, root, &log, &[])?;
    assert!(output.status.success(), "{output:?}");
    let trace = fs::read_to_string(&log).unwrap();
    let names = trace.lines().filter_map(|line| Some(line.split_once(' ')?.1.trim_start().split_once('(')?.0));
    let (first, last) = match subject {
        Subject::Launcher => ("close_range", "execveat"),
        Subject::Library => ("getppid", "getppid"),
    };
    let mut made = BTreeMap::new();
    let mut calls = Vec::new();
    for name in names.skip_while(|name| *name == "execve") {
        let count = made.entry(name).or_insert(0);
        *count += 1;
        if !calls.is_empty() || name == first {
            calls.push((name.to_owned(), *count));
        }
        if calls.len() > 1 && name == last {
            break;
        }
    }
    assert_eq!(calls.last().unwrap().0, last);
    calls.retain(|(name, _)| name != "getppid");
    // Of the many that ask for one capability each, the first and the last.
    let prctls: Vec<_> = calls.iter().filter(|(name, _)| name == "prctl").map(|(_, nth)| *nth).collect();
    let middle = prctls.get(3..prctls.len().saturating_sub(6)).unwrap_or_default();
    calls.retain(|(name, nth)| name != "prctl" || !middle.contains(nth));
    Some(calls)
}

/// For this program: what to do instead of running tests.
const TASK: &str = "AUTOCHROOT_TEST_TASK";

/// Called before `main`, where there is one thread, as the library wants it.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn before_main() {
        let Some(task) = std::env::var_os(TASK) else { return };
        let status = match task.to_str().unwrap().split_once(' ') {
            Some(("once", root)) => once(jail(root)),
            Some((number, root)) => many(number.parse().unwrap(), jail(root)),
            None => 99,
        };
        unsafe { libc::_exit(status) };
    }
    before_main
};

/// This program, where every user can reach it.
fn myself() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| reachable(&std::env::current_exe().unwrap()))
}

/// What a refusal leaves as it was.
fn what_a_process_is() -> impl PartialEq + std::fmt::Debug {
    let (cwd, root) = (fs::metadata(".").unwrap(), fs::metadata("/").unwrap());
    let ids = unsafe { [libc::getuid(), libc::geteuid(), libc::getgid(), libc::getegid()] };
    let namespace = fs::read_link("/proc/self/ns/user").unwrap();
    let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
    ([cwd.dev(), cwd.ino(), root.dev(), root.ino()], ids, namespace, held(), open_fds(), dumpable)
}

const FILES: &[NamedFile] =
    &[NamedFile::copy(b"/etc/passwd", b"/named/passwd"), NamedFile::write(b"content", b"/named/bytes")];

/// The jail of one of the [`ways`].
fn jail(root: &str) -> Jail<'_> {
    if root == "files" { Jail::detached().files(FILES) } else { Jail::try_from(root).unwrap() }
}

/// Does what a daemon does, between two calls that mark it in the trace. Returns 0 in a jail, 1
/// after an error that is true.
fn once(jail: Jail<'_>) -> i32 {
    let (before, powers) = (what_a_process_is(), held());
    let (uid, gid) = if is_root() { (12345, 12345) } else { unsafe { (libc::geteuid(), libc::getegid()) } };
    let mark = || assert!(unsafe { libc::getppid() } > 0);
    mark();
    let sealed = jail.enter().and_then(|jailed| jailed.run_as(&account(uid, gid, &[]))).and_then(Jailed::seal);
    mark();
    match sealed {
        Ok(sealed) => {
            let ids = unsafe { [libc::getuid(), libc::getgid()] } == [uid, gid];
            let closed = fs::metadata("/etc").is_err() && fs::create_dir("/x").is_err();
            println!("jailed");
            if ids && closed && held() == 0 && sealed.jailed().verify().is_ok() { 0 } else { 2 }
        }
        Err(error) => {
            println!("{error}");
            if error.is_partial() {
                if held() & !powers == 0 { 1 } else { 3 }
            } else if what_a_process_is() == before {
                1
            } else {
                4
            }
        }
    }
}

/// Enters as many times, each in a fork, and says how often there was a jail and how often a clean
/// error.
fn many(entries: usize, jail: Jail<'_>) -> i32 {
    let mut outcomes = [0; 2];
    for _ in 0..entries {
        match exit_status(enter_in_a_fork(jail)) {
            status @ (0 | 1) => outcomes[usize::try_from(status).unwrap()] += 1,
            status => return status,
        }
    }
    println!("{} {}", outcomes[0], outcomes[1]);
    0
}

fn ways() -> Vec<(User, &'static str)> {
    users()
        .into_iter()
        .filter(|user| *user != NOBODY || !is_root())
        .flat_map(|user| [(user, "unlinked"), (user, "detached"), (user, "files")])
        .collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Directories of ours that are left in a parent: each has to be empty.
fn left_in(parent: &Scratch) -> usize {
    parent.entries().iter().filter(|path| fs::read_dir(path).unwrap().next().is_none()).count()
}

fn root_in(kind: &str, parent: &Scratch) -> String {
    if kind == "unlinked" { format!("unlinked {}", parent.0.display()) } else { kind.to_owned() }
}

/// Fails each call of `subject` once with each of several errnos, or with one of them if the trial
/// is not long, and has `judge` say whether what came of it will do.
fn fail_each_call(subject: Subject, judge: impl Fn(&Output) -> bool) {
    const SEED: u64 = 0x2545_f491_4f6c_dd1d;
    let mut injected = 0;
    let mut random = Random(SEED);
    for (user, kind) in ways() {
        let (parent, logs) = (Scratch::new(), Scratch::new());
        let root = root_in(kind, &parent);
        let Some(calls) = own_calls(subject, user, &root) else { return };
        // The ids can always be had, and rustix asserts in a debug build that `close` does not
        // fail.
        let mut never_fail = vec!["geteuid", "getresuid", "getegid", "getuid", "getgid", "getpid", "close"];
        if cfg!(target_arch = "x86") {
            never_fail.push("capget"); // strace counts those of the 64-bit payload anew
        }
        for (name, nth) in calls.iter().filter(|(name, _)| !never_fail.contains(&name.trim_end_matches("32"))) {
            let errnos = ["EIO", "EPERM", "EINTR"];
            let one = random.below(errnos.len());
            let some = if is_long() { &errnos[..] } else { &errnos[one..=one] };
            for errno in some.iter().copied().chain(["EBUSY"]) {
                if (&**name, errno) == ("close_range", "EPERM") || errno == "EBUSY" && name != "unlinkat" {
                    continue; // a million calls take the place of close_range; tests/launcher makes them
                }
                let inject = format!("inject={name}:error={errno}:when={nth}");
                let output = traced(subject, user, &root, &logs.0.join("log"), &["-e", &inject]).unwrap();
                assert!(judge(&output), "{user:?} {kind} {inject}: {output:?}");
                assert!(errno != "EBUSY" || !output.status.success(), "{output:?}");
                assert_eq!(parent.entries(), [] as [&Path; 0], "{user:?} {kind} {inject}: {output:?}");
                injected += 1;
            }
        }
    }
    println!("figure: {injected} failing system calls of the {subject:?}, seed {SEED:#x}{}", length());
}

#[test]
fn each_system_call_of_the_launcher_that_fails_is_an_error_or_does_not_matter() {
    own_process!();
    fail_each_call(Subject::Launcher, |output| match output.status.code() {
        Some(0) => text(&output.stdout).ends_with("has=/etc/passwd: false\n[0, 0, 0]\n"),
        Some(125 | 126) => text(&output.stderr).starts_with("autochroot: ") && output.stdout.is_empty(),
        _ => false,
    });
}

#[test]
fn each_system_call_of_a_daemon_that_fails_is_an_error_or_does_not_matter() {
    own_process!();
    fail_each_call(Subject::Library, |output| match output.status.code() {
        Some(0) => text(&output.stdout) == "jailed\n",
        Some(1) => text(&output.stdout).starts_with("cannot "),
        _ => false,
    });
}

#[test]
fn a_kill_at_any_call_leaves_one_empty_directory_at_the_most() {
    own_process!();
    let mut kills = 0;
    for (user, kind) in ways() {
        let (parent, logs) = (Scratch::new(), Scratch::new());
        let root = root_in(kind, &parent);
        let Some(calls) = own_calls(Subject::Launcher, user, &root) else { return };
        let index = |name: &str| calls.iter().position(|(call, _)| call == name).unwrap_or(0);
        for (n, (name, nth)) in calls.iter().enumerate() {
            let inject = format!("inject={name}:signal=KILL:when={nth}");
            let output = traced(Subject::Launcher, user, &root, &logs.0.join("log"), &["-e", &inject]).unwrap();
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
    println!("figure: {kills} kills");
}

/// In a fork, enter, and tell by its exit status what came of it: 0 a jail, 1 a clean error,
/// anything else is wrong.
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
                Step::Mkdir | Step::OpenRoot | Step::Unlink | Step::VerifyUnlinked => 1,
                _ => 3,
            },
        };
        unsafe { libc::_exit(status) };
    }
    pid
}

/// Rename, replace or fill whatever appears in `parent`, for ever.
fn race(parent: &Path) -> ! {
    let mut turn = 0_u32;
    loop {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"autochroot-")) {
                continue;
            }
            turn += 1;
            // Under another name in the same directory: to move it elsewhere one has to be allowed
            // to write to it.
            let away = parent.join(format!("moved-{}", turn % 32));
            let _ = fs::remove_dir_all(&away);
            let moved = || fs::rename(&path, &away);
            let writable = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o755));
            let _ = match turn % 4 {
                0 => writable(&path).and_then(|()| fs::create_dir(path.join("filled"))),
                1 => moved(),
                2 => moved().and_then(|()| symlink("/", &path)),
                _ => moved().and_then(|()| fs::create_dir(&path)).and_then(|()| writable(&path)),
            };
        }
    }
}

/// The user that enters, the uid that races, the mode and the group of the parent: of the same uid,
/// in a sticky parent and in one of its own; a foreign one against root, where its group may write.
fn races() -> Vec<(User, u32, u32, u32)> {
    let own = if let User::Plain(id) = plain() { id } else { 0 };
    let mut races = vec![(plain(), own, 0o1777, own), (plain(), own, 0o755, own)];
    if is_root() {
        races.extend([(User::Root, 12345, 0o775, 12345), (User::Root, 12345, 0o1777, 12345)]);
    }
    races
}

fn racing_parent(user: User, mode: u32, group: u32) -> Scratch {
    let parent = Scratch::new();
    if is_root() {
        let owner = if let User::Plain(id) = user { id } else { 0 };
        std::os::unix::fs::chown(&parent.0, Some(owner), Some(group)).unwrap();
    }
    fs::set_permissions(&parent.0, fs::Permissions::from_mode(mode)).unwrap();
    parent
}

/// A process that races until this is dropped.
struct Racer(libc::pid_t);

impl Racer {
    fn start(racer: u32, group: u32, parent: &Path) -> Racer {
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            close_all_but([2, 2]);
            if is_root() {
                unsafe { assert_eq!(libc::setresgid(group, group, group) | libc::setresuid(racer, racer, racer), 0) };
            }
            race(parent);
        }
        Racer(pid)
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        unsafe {
            libc::kill(self.0, libc::SIGKILL);
            libc::waitpid(self.0, std::ptr::null_mut(), 0);
        }
    }
}

#[test]
fn nobody_wins_a_race_for_the_directory() {
    own_process!();
    for (user, racer, mode, group) in races() {
        let parent = racing_parent(user, mode, group);
        let _racer = Racer::start(racer, group, &parent.0);
        let mut entering = command(myself());
        entering.env(TASK, format!("2000 unlinked {}", parent.0.display()));
        let output = run_as(entering, user).unwrap();
        assert_eq!(output.status.code(), Some(0), "{user:?} {mode:o}: {output:?}");
        let said = text(&output.stdout).trim_end();
        println!("figure: {user:?} against uid {racer}, parent {mode:o}: {said} (jails, clean errors)");
    }
}

/// With a pause after each call that makes or removes, in which the racer comes first.
#[test]
fn nobody_wins_a_race_with_all_the_time_in_the_world() {
    own_process!();
    for (user, racer, mode, group) in races() {
        let parent = racing_parent(user, mode, group);
        let _racer = Racer::start(racer, group, &parent.0);
        let (mut jails, mut errors) = (0, 0);
        let entries = if is_long() { 200 } else { 60 };
        for pause in [
            "mkdirat:delay_exit=300",
            "openat:delay_enter=50",
            "unlinkat:delay_enter=300",
            "unlinkat:delay_exit=300",
            "fchdir:delay_enter=300",
        ] {
            let mut strace = command(Path::new("strace"));
            strace.args(["-f", "-o", "/dev/null", "-e", &format!("inject={pause}")]).arg(myself());
            strace.env(TASK, format!("{entries} unlinked {}", parent.0.display()));
            let Some(output) = run_as(strace, user) else { break };
            assert_eq!(output.status.code(), Some(0), "{user:?} {mode:o} {pause}: {output:?}");
            let (jailed, refused) = text(&output.stdout).trim_end().split_once(' ').unwrap();
            jails += jailed.parse::<u32>().unwrap();
            errors += refused.parse::<u32>().unwrap();
        }
        println!(
            "figure: {user:?} against uid {racer}, parent {mode:o}, pauses: {jails} jails, {errors} clean errors{}",
            length()
        );
    }
}

#[test]
fn many_at_once_do_not_get_in_each_others_way() {
    own_process!();
    for user in users() {
        let parent = Scratch::new();
        as_user(user, || {
            let workers: Vec<_> = (0..64)
                .map(|_| {
                    let pid = unsafe { libc::fork() };
                    if pid == 0 {
                        let jail = Jail::unlinked_in(parent.bytes());
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
    println!("figure: {} entries, 64 at once", 64 * 50 * users().len());
}

#[test]
fn without_descriptors_it_is_a_truthful_error() {
    own_process!();
    for limit in 3..16 {
        for user in users() {
            let parent = Scratch::new();
            as_user(user, || {
                let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
                let namespace = fs::read_link("/proc/self/ns/user").unwrap();
                assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
                let before = held();
                if let Err(error) = Jail::unlinked_in(parent.bytes()).enter() {
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

#[test]
fn a_limit_of_user_namespaces_that_is_reached_midway_is_a_clean_error() {
    own_process!();
    as_each_user(|_| {
        // A user namespace with a limit of its own, so that nobody else meets it.
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, 0);
        fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).unwrap();
        fs::write("/proc/self/setgroups", "deny").unwrap();
        fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")).unwrap();
        fs::write("/proc/sys/user/max_user_namespaces", "3").unwrap();
        let mut pids = vec![];
        for n in 0..6 {
            let mut pipe = [0; 2];
            assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                let before = what_a_process_is();
                let fits = match Jail::auto().user_namespace(UserNamespace::Always).enter() {
                    Ok(_) => n < 3,
                    Err(error) => {
                        let is = (n >= 3, error.step(), error.raw_os_error(), error.is_partial());
                        is == (true, Step::NewUserNamespace, Some(libc::ENOSPC), false) && what_a_process_is() == before
                    }
                };
                unsafe {
                    libc::write(pipe[1], [u8::from(fits)].as_ptr().cast(), 1);
                    libc::pause();
                }
            }
            let mut fits = [9];
            assert_eq!(unsafe { libc::read(pipe[0], fits.as_mut_ptr().cast(), 1) }, 1);
            assert_eq!(fits, [1], "entry {n}");
            pids.push(pid);
        }
        for pid in pids {
            unsafe {
                libc::kill(pid, libc::SIGKILL);
                libc::waitpid(pid, std::ptr::null_mut(), 0);
            }
        }
    });
}

extern "C" fn nothing(_: i32) {}

#[test]
fn no_file_may_grow_and_signals_arrive_all_the_time() {
    own_process!();
    as_each_user(|_| {
        let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const none) }, 0);
        let _ = Jail::auto().enter().unwrap();
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
