//! `/init` of an appliance that has nothing but the launcher and a static program: runs the launcher in one state of the
//! machine after the other, and prints what it said. `rustc` alone compiles it.

use std::ffi::{CString, c_char, c_int, c_ulong};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::null;

unsafe extern "C" {
    fn mount(source: *const c_char, target: *const c_char, kind: *const c_char, flags: c_ulong, data: *const c_char) -> c_int;
    fn reboot(command: c_int) -> c_int;
    fn sync();
    fn socket(domain: c_int, kind: c_int, protocol: c_int) -> c_int;
    fn ioctl(fd: c_int, request: c_int, ...) -> c_int;
}

const MS_RDONLY: c_ulong = 1;
const MS_REMOUNT: c_ulong = 32;

fn mount_at(kind: &str, target: &str, flags: c_ulong) {
    let (kind, target) = (CString::new(kind).unwrap(), CString::new(target).unwrap());
    let mounted = unsafe { mount(kind.as_ptr(), target.as_ptr(), kind.as_ptr(), flags, null()) };
    assert_eq!(mounted, 0, "{target:?}: {}", std::io::Error::last_os_error());
}

/// Runs the launcher in the state that `case` names: as root, as an ordinary user, and as root that becomes that user; with
/// each root; sealed or not; to check, and to start a program.
fn run(case: &str) {
    for (who, uid, user) in [("root", 0, None), ("user", 65534, None), ("-u", 0, Some("--user=65534:65534"))] {
        for root in ["default", "unlinked", "detached", "failfs"] {
            for seal in ["sealed", "--no-seal"] {
                for task in [&["--check"][..], &["/payload", "has=/payload", "exit=3"]] {
                    let mut command = Command::new("/autochroot");
                    if root != "default" {
                        command.args(["--root", root]);
                    }
                    let options = if seal == "sealed" { &[][..] } else { &[seal, "--quiet"] };
                    command.args(options).args(user).args(task).uid(uid).gid(uid);
                    let output = command.output().unwrap();
                    let status = output.status.code().unwrap_or(-1);
                    println!("== {case}, {who}, {root}, {seal}, {}, status {status}", task[0]);
                    print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
                }
            }
        }
    }
}

/// The tests of the library, built for this machine, as root; they cover ordinary users too.
fn run_tests(tests: fs::ReadDir) {
    for (path, kind) in [("/proc", "proc"), ("/dev", "devtmpfs"), ("/dev/shm", "tmpfs"), ("/run", "tmpfs"), ("/tmp", "tmpfs"), ("/var/tmp", "tmpfs")] {
        fs::create_dir_all(path).unwrap();
        mount_at(kind, path, 0);
    }
    for directory in ["/usr", "/var", "/mnt", "/etc"] {
        fs::create_dir_all(directory).unwrap();
    }
    fs::write("/etc/passwd", "root:x:0:0::/:/bin/sh\n").unwrap();
    // This machine's "/" is a tmpfs that everyone can write to, unlike any other's.
    fs::set_permissions("/", fs::Permissions::from_mode(0o755)).unwrap();
    // SIOCSIFFLAGS of a `struct ifreq`: "lo" is up.
    let mut request = [0_u8; 40];
    request[..2].copy_from_slice(b"lo");
    request[16] = 1;
    assert_eq!(unsafe { ioctl(socket(2, 2, 0), 0x8914, request.as_ptr()) }, 0);
    let has_programs = fs::exists("/programs").unwrap();
    if has_programs {
        Command::new("/bin/busybox").args(["--install", "-s", "/bin"]).status().unwrap();
    }
    println!("== kernel {}", fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim());
    for test in tests.map(|entry| entry.unwrap().path()) {
        let mut command = Command::new(&test);
        command.arg(if test.ends_with("enter") { "roots" } else { "--test-threads=1" });
        if test.ends_with("library") {
            command.args(["files::", "jail::", "seal::"]);
            // These start other programs.
            if has_programs {
                command.args(["roots::", "escape::"]).env("AUTOCHROOT_PROGRAMS", "/programs");
            }
        }
        let output = command.output().unwrap();
        println!("== {}, status {}", test.display(), output.status.code().unwrap_or(-1));
        print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
}

fn main() {
    println!("== booted");
    if let Ok(tests) = fs::read_dir("/tests") {
        run_tests(tests);
    } else if fs::exists("/denied").unwrap() {
        run_under_apparmor();
    } else {
        run_states();
    }
    println!("== end");
    unsafe {
        sync();
        reboot(0x0123_4567);
    }
}

/// With a profile for the launcher that has no rule for user namespaces, with one that has, and with
/// the one of the packages, in which the launcher is in `/usr/bin`.
fn run_under_apparmor() {
    for (path, kind) in [("/proc", "proc"), ("/sys", "sysfs"), ("/sys/kernel/security", "securityfs")] {
        fs::create_dir_all(path).unwrap();
        mount_at(kind, path, 0);
    }
    println!("== kernel {}", fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim());
    let mask = fs::read_to_string("/sys/kernel/security/apparmor/features/namespaces/mask").unwrap_or_default();
    if !mask.contains("userns_create") {
        return println!("== too old");
    }
    fs::create_dir_all("/usr/bin").unwrap();
    fs::copy("/autochroot", "/usr/bin/autochroot").unwrap();
    for (profile, launcher) in
        [("denied", "/autochroot"), ("allowed", "/autochroot"), ("packaged", "/usr/bin/autochroot")]
    {
        fs::write("/sys/kernel/security/apparmor/.replace", fs::read(format!("/{profile}")).unwrap()).unwrap();
        for root in ["auto", "detached"] {
            let output =
                Command::new(launcher).args(["--check", "--root", root]).uid(65534).gid(65534).output().unwrap();
            println!("== {profile}, {root}, status {}", output.status.code().unwrap_or(-1));
            print!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        }
    }
    print!("{}", fs::read_to_string("/sys/kernel/security/apparmor/profiles").unwrap());
}

fn run_states() {
    run("bare");
    fs::create_dir("/proc").unwrap();
    mount_at("proc", "/proc", 0);
    println!("== kernel {}", fs::read_to_string("/proc/sys/kernel/osrelease").unwrap().trim());
    run("proc");
    fs::create_dir("/tmp").unwrap();
    fs::set_permissions("/tmp", fs::Permissions::from_mode(0o1777)).unwrap();
    run("normal");
    fs::write("/proc/sys/kernel/unprivileged_userns_clone", "0").unwrap();
    run("unprivileged_userns_clone=0");
    fs::write("/proc/sys/kernel/unprivileged_userns_clone", "1").unwrap();
    fs::write("/proc/sys/user/max_user_namespaces", "0").unwrap();
    run("max_user_namespaces=0");
    fs::write("/proc/sys/user/max_user_namespaces", "1000").unwrap();
    mount_at("proc", "/proc", MS_REMOUNT | MS_RDONLY);
    run("read-only proc");
    mount_at("rootfs", "/", MS_REMOUNT | MS_RDONLY);
    run("read-only root and proc");
    mount_at("proc", "/proc", MS_REMOUNT);
    run("read-only root");
}
