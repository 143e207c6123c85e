//! What the launcher's tests run in the jail: a static program that says what it sees. `rustc` alone compiles it.

#[path = "attacks.rs"]
mod attacks;

use std::io::{Read, Write};
use std::os::fd::FromRawFd;

use attacks::{ATTACKS, Outside, POWERFUL};

fn main() {
    let mut args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let name = args.next().unwrap();
    if name != "payload" {
        println!("name: {name}");
    }
    for arg in args {
        match arg.as_str() {
            "look" => {
                println!("pid: {}", std::process::id());
                println!("entries: {:?}", std::fs::read_dir("/").map(Iterator::count).map_err(|e| e.kind()));
                println!("mkdir: {:?}", std::fs::create_dir("/x").map_err(|e| e.kind()));
                println!("create: {:?}", std::fs::write("x", "").map_err(|e| e.kind()));
                println!("passwd: {:?}", std::fs::read("/etc/passwd").map_err(|e| e.kind()));
                println!("up: {:?}", std::fs::read("../../etc/passwd").map_err(|e| e.kind()));
            }
            "ids" => unsafe {
                let mut groups = [0; 64];
                let count = getgroups(64, groups.as_mut_ptr());
                println!("ids: {} {} {} {} {:?}", getuid(), geteuid(), getgid(), getegid(), &groups[..count as usize]);
            },
            "signals" => unsafe {
                let (mut blocked, mut action) = (0_u64, [0_usize; 32]);
                sigprocmask(0, std::ptr::null(), &mut blocked);
                sigaction(10, std::ptr::null(), &mut action);
                println!("blocked: {blocked:x}, SIGUSR1: {}", action[0]);
            },
            "env" => std::env::vars().for_each(|(name, value)| println!("{name}={value}")),
            "copy" => {
                let mut text = Vec::new();
                std::io::stdin().read_to_end(&mut text).unwrap();
                std::io::stdout().write_all(&text).unwrap();
            }
            "is-root" => std::process::exit(if unsafe { geteuid() } == 0 { POWERFUL } else { 0 }),
            "has-capabilities" => std::process::exit(if unsafe { has_capabilities() } { POWERFUL } else { 0 }),
            "capabilities" => println!("{:x?}", unsafe { capabilities() }),
            "accept" => {
                // As a service with socket activation: the listening socket is descriptor 3.
                println!("LISTEN_FDS={}", std::env::var("LISTEN_FDS").unwrap());
                let listener = unsafe { std::net::TcpListener::from_raw_fd(3) };
                let (mut client, _) = listener.accept().unwrap();
                let mut text = String::new();
                client.read_to_string(&mut text).unwrap();
                client.write_all(text.to_uppercase().as_bytes()).unwrap();
            }
            "backtrace" => print!("{}", std::backtrace::Backtrace::force_capture()),
            "zone" => unsafe {
                let mut time = [0_i64; 8];
                localtime_r(&0, time.as_mut_ptr());
                // struct tm has nine ints, and then the seconds east of Greenwich.
                println!("zone: {}", time[5]);
            },
            arg if arg.starts_with("cat=") => print!("{}", std::fs::read_to_string(&arg["cat=".len()..]).unwrap()),
            arg if arg.starts_with("resolve=") => {
                let addresses = std::net::ToSocketAddrs::to_socket_addrs(&(&arg["resolve=".len()..], 80));
                println!("{arg}: {:?}", addresses.map(|mut all| all.next()).map_err(|error| error.to_string()));
            }
            arg if arg.starts_with("serve=") => serve(&arg["serve=".len()..]),
            "fds" => println!("fds: {:?}", (0..300).filter(|fd| unsafe { fcntl(*fd, 1) } >= 0).collect::<Vec<_>>()),
            "open-fds" => println!("open: {}", (0..2_000_000).filter(|fd| unsafe { fcntl(*fd, 1) } >= 0).count()),
            "death-signal" => unsafe {
                let mut signal = 0;
                prctl(2, &raw mut signal);
                println!("death signal: {signal}");
            },
            // Exits with a bit for each standard descriptor that is /dev/null.
            "null-exit" => std::process::exit((0..3).filter(|fd| is_null(*fd)).map(|fd| 1 << fd).sum()),
            "abort" => std::process::abort(),
            "stop" => unsafe {
                println!("traced: {}", ptrace(0, 0, 0, 0) == 0); // PTRACE_TRACEME
                raise(if cfg!(target_arch = "mips") { 23 } else { 19 }); // SIGSTOP
            },
            arg if arg.starts_with("has=") => println!("{arg}: {}", std::path::Path::new(&arg["has=".len()..]).exists()),
            arg if arg.starts_with("attack=") => attack(&arg["attack=".len()..]),
            arg => match arg.strip_prefix("exit=") {
                Some(status) => std::process::exit(status.parse().unwrap_or(0)),
                None => println!("arg: {arg}"),
            },
        }
    }
}

/// Returns whether it is the device 1:3.
fn is_null(fd: i32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let file = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(fd) });
    file.metadata().is_ok_and(|stat| stat.mode() & 0o170_000 == 0o020_000 && stat.rdev() == 0x103)
}

/// As a service that binds itself, inside: say so, and answer one client.
fn serve(address: &str) {
    let listener = std::net::TcpListener::bind(address).unwrap();
    println!("bound {}", listener.local_addr().unwrap());
    let (mut client, _) = listener.accept().unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    client.write_all(text.to_uppercase().as_bytes()).unwrap();
}

unsafe extern "C" {
    fn getuid() -> u32;
    fn getgid() -> u32;
    fn getegid() -> u32;
    fn getgroups(size: i32, list: *mut u32) -> i32;
    fn sigprocmask(how: i32, set: *const u64, old: *mut u64) -> i32;
    fn sigaction(signal: i32, new: *const [usize; 32], old: *mut [usize; 32]) -> i32;
    fn geteuid() -> u32;
    fn localtime_r(time: *const i64, parts: *mut i64) -> *mut i64;
    fn prctl(option: i32, ...) -> i32;
    fn ptrace(request: i32, ...) -> isize;
    fn raise(signal: i32) -> i32;
    fn fcntl(fd: i32, command: i32, ...) -> i32;
    fn capget(header: *mut [u32; 2], data: *mut [u32; 6]) -> i32;
}

/// Effective, permitted and inheritable.
unsafe fn capabilities() -> [u64; 3] {
    let mut data = [0; 6];
    assert_eq!(unsafe { capget(&mut [0x2008_0522, 0], &mut data) }, 0);
    [0, 1, 2].map(|n| u64::from(data[n]) | u64::from(data[n + 3]) << 32)
}

unsafe fn has_capabilities() -> bool {
    let [effective, permitted, _] = unsafe { capabilities() };
    effective | permitted != 0
}

/// Makes the attack `NAME,DIRECTORY,PATH,SOCKET,PID,LISTENER,PROGRAM,CAPABLE,OWNER,USER,MOUNT`,
/// USER and MOUNT in hexadecimal digits. The launcher passes no directory on: DIRECTORY and PATH
/// are the numbers that they had outside.
fn attack(args: &str) {
    let args: Vec<_> = args.split(',').collect();
    let [name, directory, path, socket, pid, listener, program, capable, owner, user, mount] = args[..] else {
        panic!("{args:?}")
    };
    let bytes = |digits: &str| {
        (0..digits.len() / 2).map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16).unwrap()).collect()
    };
    let outside = Outside {
        directory: directory.parse().unwrap(),
        path: path.parse().unwrap(),
        socket: unsafe { std::os::unix::net::UnixStream::from_raw_fd(socket.parse().unwrap()) },
        pid: pid.parse().unwrap(),
        listener: listener.into(),
        owned: -1,
        peer: -1,
        alive: -1,
        handle: Vec::new(),
        owner: owner.parse().unwrap(),
        user_namespace: bytes(user),
        mount_namespace: bytes(mount),
        program: program.parse().unwrap(),
        capable: capable.parse().unwrap(),
    };
    let (_, attack) = ATTACKS.iter().find(|(known, _)| *known == name).unwrap();
    println!("{name}: {}", if attack(&outside) { "open" } else { "closed" });
}
