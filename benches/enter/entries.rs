//! What an entry and the launcher cost, as ratios of one run: `cargo bench`.
//!
//! Each entry has a fresh fork, and all kinds take turns, so that what disturbs one disturbs all. The hand-written C that they
//! are measured against is `benches/c.c`, compiled by `cc` if there is one.
#![allow(missing_docs, unsafe_code, reason = "a program; fork and what goes with it")]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(target_os = "linux")]
mod linux {
    use std::ffi::CString;
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::time::Instant;

    use autochroot::Jail;

    const TMPFS: &str = "/dev/shm";
    const DISK: &str = "/var/tmp";

    /// A function of `c.c`.
    type Entry = unsafe extern "C" fn(*const libc::c_char) -> libc::c_int;

    pub fn main() {
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let cpus = std::thread::available_parallelism().unwrap();
        println!(
            "Linux {}, {cpus} processors. Medians; in parentheses, between which eight of ten lie.\n",
            kernel.trim()
        );
        let users = if rustix::process::geteuid().is_root() { vec![0, 65534] } else { vec![u32::MAX] };
        let scratch = std::env::temp_dir().join(format!("autochroot-bench-{}", std::process::id()));
        std::fs::create_dir(&scratch).unwrap();
        std::fs::set_permissions(&scratch, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let c = c(&scratch);
        for uid in users {
            entries(uid, c);
            launchers(uid, &scratch);
        }
        std::fs::remove_dir_all(scratch).unwrap();
    }

    /// What is measured, and beside which other row.
    struct Row<'r> {
        name: String,
        beside: usize,
        run: Box<dyn Fn() -> u32 + 'r>,
    }

    fn row<'r>(name: impl Into<String>, beside: usize, run: impl Fn() -> u32 + 'r) -> Row<'r> {
        Row { name: name.into(), beside, run: Box::new(run) }
    }

    /// Each row in turn, as often; the ratio is that of the medians.
    fn table(title: &str, rounds: usize, rows: &[Row]) {
        let mut times: Vec<Vec<u32>> = rows.iter().map(|_| Vec::with_capacity(rounds)).collect();
        for _ in 0..rounds {
            for (row, times) in rows.iter().zip(&mut times) {
                times.push((row.run)());
            }
        }
        for times in &mut times {
            times.sort_unstable();
        }
        let at = |row: usize, percent: usize| f64::from(times[row][rounds * percent / 100]) / 1000.0;
        println!("| {title} | us | times | what |\n| --- | --- | --- | --- |");
        for (n, row) in rows.iter().enumerate() {
            let (low, median, high) = (at(n, 10), at(n, 50), at(n, 90));
            let ratio = median / at(row.beside, 50);
            println!("| {} | {median:.0} ({low:.0} to {high:.0}) | {ratio:.2} | {} |", row.name, rows[row.beside].name);
        }
        println!();
    }

    /// Compile `c.c`, and look its functions up.
    fn c(scratch: &Path) -> Option<[Entry; 3]> {
        let library = scratch.join("c.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/c.c");
        let compiled = Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).args([&library, &source]).status();
        if !compiled.is_ok_and(|status| status.success()) {
            println!("There is no C compiler: the rows of C are missing.\n");
            return None;
        }
        let path = CString::new(library.to_str().unwrap()).unwrap();
        // SAFETY: the functions of `c.c` have this type, and the library stays.
        unsafe {
            let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
            assert!(!library.is_null());
            Some([c"same", c"fewest", c"haproxy"].map(|name| {
                let function = libc::dlsym(library, name.as_ptr());
                assert!(!function.is_null());
                std::mem::transmute::<*mut libc::c_void, Entry>(function)
            }))
        }
    }

    fn entries(uid: u32, c: Option<[Entry; 3]>) {
        let user = if uid == 0 { "root" } else { "another user" };
        let unlinked = |parent: &'static str| Jail::unlinked().parent(parent.as_bytes());
        let rust = |jail: Jail<'static>| {
            move || in_a_fork(uid, 0, || jail.enter().map(drop).map_err(|error| error.to_string()))
        };
        let mut rows = vec![
            row("enter, parent on a tmpfs", 0, rust(unlinked(TMPFS))),
            row("enter, parent in /var/tmp", 0, rust(unlinked(DISK))),
            row("enter, detached", 0, rust(Jail::detached())),
            row("enter, without an audit of descriptors", 0, rust(unlinked(TMPFS).allow_open_directories())),
            row("enter and seal", 0, move || {
                in_a_fork(uid, 0, || {
                    unlinked(TMPFS).enter().and_then(autochroot::Jailed::seal).map(drop).map_err(|e| e.to_string())
                })
            }),
        ];
        if uid == 0 {
            rows.push(row("enter and run_as", 0, move || {
                in_a_fork(uid, 0, || {
                    unlinked(TMPFS)
                        .enter()
                        .and_then(|jailed| jailed.run_as(7, 7, &[]))
                        .map(drop)
                        .map_err(|e| e.to_string())
                })
            }));
        } else {
            let jail = unlinked(TMPFS).id_map(autochroot::IdMap::None);
            rows.push(row("enter, without id maps", 0, rust(jail)));
        }
        if let Some([same, fewest, haproxy]) = c {
            let by_hand = |entry: Entry, parent: &'static str| {
                move || {
                    let parent = CString::new(parent).unwrap();
                    // SAFETY: the path is a C string.
                    in_a_fork(uid, 0, || match unsafe { entry(parent.as_ptr()) } {
                        0 => Ok(()),
                        step => Err(format!("C, step {step}: {}", std::io::Error::last_os_error())),
                    })
                }
            };
            let first = rows.len();
            rows.push(row("C: the same calls, tmpfs", 0, by_hand(same, TMPFS)));
            rows.push(row("C: the fewest calls, tmpfs", 0, by_hand(fewest, TMPFS)));
            rows.push(row("C: HAProxy's calls, /tmp", 0, by_hand(haproxy, "/tmp")));
            rows[0].beside = first;
            rows[1].beside = first + 2;
        }
        table(&format!("an entry, as {user}"), 1000, &rows);
        if uid == 0 {
            let most = u32::try_from(raise_limit().min(100_100)).unwrap() - 100;
            let audits = [0, 10, 1000, most].map(|files| {
                row(format!("enter with {files} more descriptors"), 0, move || {
                    in_a_fork(uid, files, || unlinked(TMPFS).enter().map(drop).map_err(|error| error.to_string()))
                })
            });
            table("the audit, as root", 20, &audits);
        }
    }

    /// Open as many descriptors as may be; how many that is.
    fn raise_limit() -> u64 {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the limit is valid for both calls.
        unsafe {
            assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
            limit.rlim_cur = limit.rlim_max;
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        }
        limit.rlim_max
    }

    /// How long `action` takes in a fork, as this user, with so many more descriptors open. In nanoseconds.
    fn in_a_fork(uid: u32, files: u32, action: impl FnOnce() -> Result<(), String>) -> u32 {
        let mut pipe = [0; 2];
        let mut time = 0_u32;
        // SAFETY: this process has one thread; the descriptors are its own.
        unsafe {
            assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
            let pid = libc::fork();
            if pid == 0 {
                raise_limit();
                for _ in 0..files {
                    assert!(libc::dup(0) > 0);
                }
                if uid != 0 && uid != u32::MAX {
                    assert_eq!(libc::setgroups(0, std::ptr::null()) | libc::setresgid(uid, uid, uid), 0);
                    assert_eq!(libc::setresuid(uid, uid, uid) | libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
                }
                let start = Instant::now();
                let done = action();
                let time = u32::try_from(start.elapsed().as_nanos()).unwrap();
                if let Err(error) = done {
                    eprintln!("{error}");
                    libc::_exit(1);
                }
                libc::write(pipe[1], (&raw const time).cast(), 4);
                libc::_exit(0);
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
            assert_eq!(status, 0, "refused");
            assert_eq!(libc::read(pipe[0], (&raw mut time).cast(), 4), 4);
            libc::close(pipe[0]);
            libc::close(pipe[1]);
        }
        time
    }

    /// The launcher beside what else starts a program in another root: from before the fork to the program's end.
    fn launchers(uid: u32, scratch: &Path) {
        let program = scratch.join("program");
        if uid == 0 || uid == u32::MAX {
            std::fs::write(scratch.join("program.c"), "int main(void) { return 0; }").unwrap();
            let source = scratch.join("program.c");
            let compiled = Command::new("cc").args(["-Os", "-static", "-s", "-o"]).args([&program, &source]).status();
            if !compiled.is_ok_and(|status| status.success()) {
                return println!("There is no C compiler: the launcher is not measured.");
            }
        }
        let root = scratch.to_str().unwrap();
        let small = std::env::var("AUTOCHROOT_STATIC").ok();
        let program = program.to_str().unwrap();
        let mut commands: Vec<(&str, Vec<&str>)> = vec![("the program alone", vec![program])];
        if let Some(small) = &small {
            commands.push(("autochroot (cargo small)", vec![small, program]));
            commands.push(("autochroot (cargo small), detached", vec![small, "-rdetached", program]));
            commands.push(("autochroot (cargo small), --no-seal", vec![small, "--no-seal", program]));
        }
        commands.push(("autochroot", vec![env!("CARGO_BIN_EXE_autochroot"), program]));
        if uid == 0 {
            commands.push(("chroot (coreutils)", vec!["chroot", root, "/program"]));
            commands.push(("busybox chroot", vec!["busybox", "chroot", root, "/program"]));
        }
        commands.push(("unshare -r --root", vec!["unshare", "-r", "--root", root, "/program"]));
        commands.push(("bwrap", vec!["bwrap", "--ro-bind", program, "/program", "--unshare-user", "/program"]));
        commands.retain(|(_, args)| start(uid, args).is_some());
        let rows: Vec<_> =
            commands.iter().map(|(name, args)| row(*name, 0, move || start(uid, args).unwrap())).collect();
        let user = if uid == 0 { "root" } else { "another user" };
        table(&format!("a launch, as {user}"), 300, &rows);
    }

    /// How long it takes, in nanoseconds; `None` if it fails or is not there.
    fn start(uid: u32, args: &[&str]) -> Option<u32> {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new(args[0]);
        command.args(&args[1..]).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if uid != 0 && uid != u32::MAX {
            command.uid(uid).gid(uid);
        }
        let start = Instant::now();
        let status = command.status().ok()?;
        status.success().then(|| u32::try_from(start.elapsed().as_nanos()).unwrap())
    }
}
