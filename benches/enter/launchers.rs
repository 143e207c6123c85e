//! The launcher beside what else starts a program in another root: from before the fork to the
//! program's end.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::entries::name;
use crate::fork::{User, become_user, is_root};
use crate::table::{group, row};

pub fn launchers(user: User, scratch: &Path) {
    const EXEC: &str = "#include <unistd.h>\nint main(int n, char **args, char **all) { return n < 2 || execve(args[1], args + 1, all); }";
    let static_program = |name: &str, text: &str| {
        let (program, source) = (scratch.join(name), scratch.join("program.c"));
        std::fs::write(&source, text).unwrap();
        let compile = || Command::new("cc").args(["-Os", "-static", "-s", "-o"]).args([&program, &source]).status();
        let is_there = program.exists() || compile().is_ok_and(|status| status.success());
        is_there.then(|| program.to_str().unwrap().to_owned())
    };
    let (Some(program), Some(exec)) =
        (static_program("program", "int main(void) { return 0; }"), static_program("exec", EXEC))
    else {
        return println!("| There is no C compiler: the launcher is not measured. | | | |");
    };
    let program = &*program;
    let root = scratch.to_str().unwrap();
    let small = std::env::var("AUTOCHROOT_STATIC").ok().map(|path| {
        let whole = std::fs::canonicalize(&path).unwrap_or_else(|error| panic!("AUTOCHROOT_STATIC={path}: {error}"));
        whole.into_os_string().into_string().unwrap()
    });
    let mut commands: Vec<(&str, Vec<&str>)> =
        vec![("the program alone", vec![program]), ("a static C program that only executes it", vec![&exec, program])];
    if let Some(small) = &small {
        commands.push(("autochroot (cargo small)", vec![small, program]));
        commands.push(("autochroot (cargo small), detached", vec![small, "-rdetached", program]));
        commands.push(("autochroot (cargo small), --no-seal", vec![small, "--no-seal", program]));
        commands.push(("autochroot (cargo small), --root / --no-seal", vec![small, "-r/", "--no-seal", program]));
    }
    commands.push(("autochroot", vec![env!("CARGO_BIN_EXE_autochroot"), program]));
    if user == Some(0) {
        commands.push(("chroot (coreutils)", vec!["chroot", root, "/program"]));
        commands.push(("busybox chroot", vec!["busybox", "chroot", root, "/program"]));
    }
    commands.push(("unshare -r --root", vec!["unshare", "-r", "--root", root, "/program"]));
    commands.push(("bwrap", vec!["bwrap", "--ro-bind", program, "/program", "--unshare-user", "/program"]));
    commands.retain(|(_, args)| start(user, args).is_some());
    let rows: Vec<_> = commands
        .iter()
        .map(|(name, args)| {
            let peak = peak(user, args).map_or("?".to_owned(), |peak| peak.to_string());
            row(format!("{name}; at most {peak} KiB"), 0, move || start(user, args).unwrap())
        })
        .collect();
    group(&format!("a launch, {}", name(user)), 300, &rows);
}

/// The command, as `user`, with nothing to read and nowhere to write.
fn command(user: User, args: &[&str]) -> Command {
    let mut command = Command::new(args[0]);
    command.args(&args[1..]).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let (true, Some(id @ 1..)) = (is_root(), user) {
        command.uid(id).gid(id);
    }
    command
}

/// How long it takes, in nanoseconds; `None` if it fails or is not there.
fn start(user: User, args: &[&str]) -> Option<u32> {
    let mut command = command(user, args);
    let start = Instant::now();
    let status = command.status().ok()?;
    status.success().then(|| u32::try_from(start.elapsed().as_nanos()).unwrap())
}

/// The most memory that all its processes have at once, in KiB: stopped by `ptrace` at each system
/// call, they are asked for what is resident, pages of files that others use too among it.
/// `ru_maxrss` would tell that of this process.
fn peak(user: User, args: &[&str]) -> Option<u64> {
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
    let (mut resident, mut most, mut status) = (BTreeMap::new(), 0, 0);
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
                return Some(most);
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
            let signal = match libc::WSTOPSIG(status) {
                libc::SIGTRAP | libc::SIGSTOP => 0,
                signal if signal == libc::SIGTRAP | 0x80 => 0,
                signal => signal,
            };
            libc::ptrace(libc::PTRACE_SYSCALL, pid, 0, signal);
        }
    }
}
