//! The launcher, compared with what else starts a program with less: from before the fork to the program's end.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::entries::name;
use crate::fork::{User, become_user, is_root};
use crate::table::{Row, group, row};

/// A launch: what it is called, the program and its arguments.
type Launch = (String, Vec<String>);

fn launch(name: &str, args: &[&str]) -> Launch {
    (name.to_owned(), args.iter().map(|&arg| arg.to_owned()).collect())
}

/// Compiles a static program. `None`: this compiler is missing.
fn compile(compiler: &str, program: &Path) -> Option<String> {
    let source = program.with_extension("c");
    std::fs::write(&source, "int main(void) { return 0; }").unwrap();
    let compile = || Command::new(compiler).args(["-Os", "-static", "-s", "-o"]).args([program, &source]).status();
    (program.exists() || compile().is_ok_and(|status| status.success())).then(|| program.to_str().unwrap().to_owned())
}

/// Returns the small static launcher.
fn small() -> Option<String> {
    let path = std::env::var("AUTOCHROOT_STATIC").ok()?;
    let whole = std::fs::canonicalize(&path).unwrap_or_else(|error| panic!("AUTOCHROOT_STATIC={path}: {error}"));
    Some(whole.into_os_string().into_string().unwrap())
}

/// Finds the program of somebody else in `AUTOCHROOT_PEERS`, or as Debian ships it.
fn peer(name: &str) -> Option<(String, &'static str)> {
    let own = std::env::var_os("AUTOCHROOT_PEERS").map(|directory| PathBuf::from(directory).join(name));
    if let Some(own) = own.filter(|own| own.exists()) {
        return Some((own.to_str().unwrap().to_owned(), "built here"));
    }
    let found = std::env::split_paths(&std::env::var_os("PATH")?).find(|directory| directory.join(name).exists())?;
    Some((found.join(name).to_str().unwrap().to_owned(), "Debian's"))
}

pub fn launchers(user: User, scratch: &Path) {
    let Some(small) = small() else {
        return println!("| AUTOCHROOT_STATIC is not set: the launcher is not measured. | | | |");
    };
    let Some(program) = compile("musl-gcc", &scratch.join("program")) else {
        return println!("| There is no musl-gcc: the launcher is not measured. | | | |");
    };
    let (program, root) = (&*program, scratch.to_str().unwrap());
    let mut launches = vec![
        launch("a static musl program alone", &[program]),
        launch("autochroot", &[&small, program]),
        launch("autochroot, `--root unlinked`", &[&small, "-runlinked", program]),
        launch("autochroot, `--no-seal`", &[&small, "--no-seal", "-q", program]),
        launch("autochroot, `--root / --no-seal`: itself alone", &[&small, "-r/", "--no-seal", "-q", program]),
        launch("autochroot with std and glibc", &[env!("CARGO_BIN_EXE_autochroot"), program]),
    ];
    if user == Some(0) {
        launches.insert(2, launch("autochroot, `-u 65534:65534`", &[&small, "-u65534:65534", program]));
    }
    let ids = ["--reuid", "65534", "--regid", "65534", "--clear-groups", program];
    let minijail = ["-T", "static", "-u", "65534", "-g", "65534", "-C", root, "--", "/program"];
    // The name, what it does, which is less, and the arguments. Only root can use the first ones.
    let of_root: [(&str, &str, &[&str]); 6] = [
        ("setpriv", "ids", &ids),
        ("su-exec", "ids", &["65534:65534", program]),
        ("chpst", "ids", &["-u", ":65534:65534", program]),
        ("minijail0", "ids, a directory that is kept", &minijail),
        ("chroot", "a directory that is kept", &[root, "/program"]),
        ("busybox", "a directory that is kept", &["chroot", root, "/program"]),
    ];
    let bwrap = ["--ro-bind", program, "/program", "--unshare-user", "--cap-drop", "ALL", "/program"];
    let of_all: [(&str, &str, &[&str]); 2] = [
        ("unshare", "a directory that is kept, all capabilities", &["-r", "--root", root, "/program"]),
        ("bwrap", "what is bound, no filter", &bwrap),
    ];
    let mut missing = vec![];
    for (name, what, args) in of_root.iter().filter(|_| user == Some(0)).chain(&of_all) {
        let found =
            peer(name).map(|(path, whose)| launch(&format!("{name} ({whose}): {what}"), &[&[&*path], *args].concat()));
        match found.filter(|(_, args)| start(user, args).is_some()) {
            Some(launch) => launches.push(launch),
            None => missing.push(*name),
        }
    }
    rows(&format!("a launch, {}", name(user)), user, &launches);
    if !missing.is_empty() {
        println!("| missing, or does not run here: {} | | | |", missing.join(", "));
    }
    if let Some(glibc) = compile("cc", &scratch.join("glibc")) {
        let launches = [launch("a static glibc program alone", &[&glibc]), launch("autochroot", &[&small, &glibc])];
        rows(&format!("a launch of a glibc program, {}", name(user)), user, &launches);
    }
    dynamic(user, &small);
}

/// A dynamically linked program with its libraries, which are copied or bound.
fn dynamic(user: User, small: &str) {
    const PROGRAM: &str = "/usr/bin/curl";
    let Ok(ldd) = Command::new("ldd").arg(PROGRAM).output() else { return };
    let said = String::from_utf8(ldd.stdout).unwrap();
    let files: Vec<_> = said.split_whitespace().filter(|word| word.starts_with('/')).collect();
    if files.is_empty() {
        return println!("| There is no {PROGRAM}: files are not measured. | | | |");
    }
    let mut copied = vec![small];
    let mut bound = vec![];
    for file in &files {
        copied.extend(["-f", file]);
        bound.extend(["--ro-bind", file, file]);
    }
    copied.extend([PROGRAM, "--version"]);
    let mut launches =
        vec![launch("curl --version alone", &[PROGRAM, "--version"]), launch("autochroot, the files copied", &copied)];
    if let Some((path, _)) = peer("bwrap") {
        let rest = ["--ro-bind", PROGRAM, PROGRAM, "--unshare-user", "--cap-drop", "ALL", PROGRAM, "--version"];
        launches.push(launch("bwrap, the files bound", &[&[&*path], &bound[..], &rest].concat()));
    }
    launches.retain(|(_, args)| start(user, args).is_some());
    rows(&format!("a launch with {} files, {}", files.len(), name(user)), user, &launches);
}

/// Measures these launches, compared with the first.
fn rows(title: &str, user: User, launches: &[Launch]) {
    let rows: Vec<Row> = launches
        .iter()
        .map(|(name, args)| {
            let peak =
                peak(user, args).map_or("?".to_owned(), |(kib, faults)| format!("{kib} KiB, {faults} page faults"));
            row(format!("{name}; {peak}"), 0, move || start(user, args).unwrap())
        })
        .collect();
    group(title, 300, &rows);
}

/// The command, as `user`, with nothing to read and nowhere to write.
fn command(user: User, args: &[String]) -> Command {
    let mut command = Command::new(&args[0]);
    command.args(&args[1..]).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let (true, Some(id @ 1..)) = (is_root(), user) {
        command.uid(id).gid(id);
    }
    command
}

/// How long it takes, in nanoseconds; `None` if it fails or is not there.
fn start(user: User, args: &[String]) -> Option<u32> {
    let mut command = command(user, args);
    let start = Instant::now();
    let status = command.status().ok()?;
    status.success().then(|| u32::try_from(start.elapsed().as_nanos()).unwrap())
}

/// Returns the most memory that all its processes have at once, in KiB, and the page faults of the
/// first. It is stopped by `ptrace` at each system call, and what is resident is read, pages of
/// files that others use too among it. `ru_maxrss` would be that of this process.
fn peak(user: User, args: &[String]) -> Option<(u64, u64)> {
    let mut command = command(None, args);
    // SAFETY: between fork and exec only system calls are made.
    let child = unsafe {
        command.pre_exec(move || {
            become_user(user);
            match libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            }
        });
        command.spawn().ok()?
    };
    let first = libc::pid_t::try_from(child.id()).unwrap();
    let (mut resident, mut most, mut faults, mut status) = (BTreeMap::new(), 0, 0, 0);
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    // SAFETY: all of it is about processes that this one has started and traces.
    unsafe {
        loop {
            let pid = libc::waitpid(-1, &raw mut status, libc::__WALL);
            if pid < 0 {
                return Some((most, faults));
            }
            if !libc::WIFSTOPPED(status) {
                resident.remove(&pid);
                continue;
            }
            if pid == first && resident.is_empty() {
                libc::ptrace(libc::PTRACE_SETOPTIONS, pid, 0, options);
            }
            let said = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let kib =
                said.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
            resident.insert(pid, kib.unwrap_or(0_u64));
            most = most.max(resident.values().sum());
            if pid == first {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                let minor = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(7)?.parse().ok());
                faults = minor.unwrap_or(faults);
            }
            let signal = match libc::WSTOPSIG(status) {
                libc::SIGTRAP | libc::SIGSTOP => 0,
                signal if signal == libc::SIGTRAP | 0x80 => 0,
                signal => signal,
            };
            libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, signal);
        }
    }
}
