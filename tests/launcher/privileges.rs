//! What PROGRAM may do: capabilities, set-id bits, the protections of the seal.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use crate::common::*;
use crate::{assert_fails, assert_is_no_jail, autochroot, run, text};
use rustix::io::Errno;

#[test]
fn a_set_id_program_gains_nothing() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    let program = scratch.0.join("payload");
    copy_program(payload(), &program, 0o4755);
    let plainly = command(&program).arg("is-root").uid(12345).gid(12345).status().unwrap();
    assert_ne!(plainly.code(), Some(0), "outside of a jail it does");
    for user in [NOBODY, SOMEBODY] {
        for seal in [None, Some("--no-seal")] {
            let output = autochroot(user).args(seal).arg(&program).arg("is-root").output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
        }
    }
    let output = autochroot(User::Root).arg("--user=12345:12345").arg(&program).arg("is-root").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// Or any user could choose the root of a set-id program, or become root.
/// A command that an ordinary user starts who holds `CAP_SYS_CHROOT`.
fn with_sys_chroot() -> Command {
    let mut setpriv = Command::new("setpriv");
    setpriv.args(["--reuid=12345", "--regid=12345", "--clear-groups"]);
    setpriv.args(["--inh-caps=+sys_chroot", "--ambient-caps=+sys_chroot"]);
    setpriv
}

#[test]
fn a_launcher_with_privilege_from_its_file_refuses_to_run() {
    own_process!();
    const SYS_CHROOT: u64 = 1 << 18;
    root_only!();
    let copies = Scratch::new();
    let copy = |name: &str, mode: u32| {
        let path = copies.0.join(name);
        copy_program(launcher(), &path, mode);
        path
    };
    let (set_uid, set_gid, capable) = (copy("set-uid", 0o4755), copy("set-gid", 0o2755), copy("capable", 0o755));
    set_file_capabilities(&capable, SYS_CHROOT);
    let message = "refused: it got privilege from its own file, by a set-id bit or file capabilities\n  \
                   hint: remove them (chmod u-s,g-s or setcap -r), and start it with the privilege that it needs";
    for program in [&set_uid, &set_gid, &capable] {
        for args in [&["--no-seal", "-r/", "true"][..], &["--check"], &["-uroot", "true"], &["true"]] {
            let mut command = command(program);
            start_as(&mut command, SOMEBODY);
            let output = command.args(args).output().unwrap();
            if args == ["--check"] {
                assert_is_no_jail(&output, message);
            } else {
                assert_fails(&output, 125, message);
            }
        }
        // For whoever has that privilege anyway, it makes no difference.
        let output = command(program).arg("--check").output().unwrap();
        assert!(text(&output.stdout).ends_with("\njailed: yes\n"), "{output:?}");
    }
    // Ambient capabilities are those of whoever starts it.
    let mut setpriv = with_sys_chroot();
    let output = setpriv.arg(launcher()).arg("--check").current_dir("/").output().unwrap();
    assert!(text(&output.stdout).contains("\nentered: privilege\n"), "{output:?}");
}

/// A security module may ask every program that it confines to distrust the environment, as `AppArmor`
/// does for `Px`: `AT_SECURE` is set then, though the file grants nothing.
#[cfg(target_arch = "x86_64")]
#[test]
fn ambient_capabilities_are_not_taken_for_those_of_the_file() {
    use rustix::thread::{CapabilitySet, CapabilitySets, configure_capability_in_ambient_set};
    use std::os::unix::fs::FileExt;
    own_process!();
    root_only!();
    const AT_SECURE: u64 = 23;
    let chroot = CapabilitySet::SYS_CHROOT;
    for permitted in [chroot, CapabilitySet::empty()] {
        let mut command = command(launcher());
        // SAFETY: it is the child's.
        unsafe {
            command.pre_exec(move || {
                rustix::thread::set_keep_capabilities(true)?;
                set_groups(&[]);
                assert_eq!((libc::setresgid(12345, 12345, 12345), libc::setresuid(12345, 12345, 12345)), (0, 0));
                let sets = CapabilitySets { effective: permitted, permitted, inheritable: permitted };
                rustix::thread::set_capabilities(None, sets)?;
                if permitted == chroot {
                    configure_capability_in_ambient_set(chroot, true)?;
                }
                assert_eq!(libc::ptrace(libc::PTRACE_TRACEME), 0);
                Ok(())
            });
        }
        command.arg("--check").current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        // It has stopped at its first instruction. On the stack are the arguments, the environment and the
        // auxiliary vector, as pairs of words; the first two end with a zero.
        let memory = fs::File::options().read(true).write(true).open(format!("/proc/{pid}/mem")).unwrap();
        unsafe {
            let (mut status, mut registers) = (0, std::mem::zeroed::<libc::user_regs_struct>());
            assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
            assert!(libc::WIFSTOPPED(status), "{status:#x}");
            assert_eq!(libc::ptrace(libc::PTRACE_GETREGS, pid, 0, &raw mut registers), 0);
            let word = |at: u64| {
                let mut word = [0; 8];
                memory.read_exact_at(&mut word, at).unwrap();
                u64::from_ne_bytes(word)
            };
            let past_zero = |at: u64| (0..1 << 20).map(|nth| at + 8 * nth).find(|at| word(*at) == 0).unwrap() + 8;
            let vector = past_zero(past_zero(registers.rsp + 8));
            let place = (0..1000).map(|nth| vector + 16 * nth).find(|at| word(*at) == AT_SECURE).unwrap();
            assert_eq!(word(place + 8), 0);
            memory.write_all_at(&1_u64.to_ne_bytes(), place + 8).unwrap();
            assert_eq!(libc::ptrace(libc::PTRACE_DETACH, pid, 0, 0), 0);
        }
        let output = child.wait_with_output().unwrap();
        let entered = if permitted == chroot { "privilege" } else { "user namespace" };
        assert!(text(&output.stdout).contains(&format!("\nentered: {entered}\n")), "{output:?}");
    }
}

/// The right of an ordinary user to chroot would let a set-id program load his own library.
#[test]
fn a_set_id_program_gains_nothing_from_a_user_who_may_chroot() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    copy_program(payload(), &scratch.0.join("payload"), 0o4755);
    for root in ["--root=/", "--root=."] {
        let root = root.replace('.', scratch.0.to_str().unwrap());
        let mut setpriv = with_sys_chroot();
        setpriv.arg(launcher()).args(["--no-seal", &root]).arg(scratch.0.join("payload")).arg("is-root");
        let status = setpriv.current_dir("/").status().unwrap();
        // Without a jail nothing has changed, and it is a set-id program as any other.
        assert_eq!(status.code(), Some(if root == "--root=/" { 42 } else { 0 }), "{root}");
    }
}

#[test]
fn a_protection_that_is_missing_is_a_warning_or_an_error() {
    own_process!();
    let run = |user, errno: Errno, calls: &'static [libc::c_long], options: &[&str]| {
        let mut command = autochroot(user);
        // SAFETY: the filter is for the child alone.
        unsafe {
            command.pre_exec(move || {
                for call in calls {
                    fake(*call, errno);
                }
                Ok(())
            });
        }
        let output = command.args(options).arg(payload()).arg("exit=3").output().unwrap();
        (text(&output.stderr).to_owned(), output.status.code())
    };
    let landlock = if landlock_abi().is_some() { "" } else { "landlock, " };
    for user in users() {
        for (calls, errno, missing) in [
            (&[libc::SYS_seccomp][..], Errno::NOSYS, format!("{landlock}seccomp")),
            (&[libc::SYS_landlock_create_ruleset], Errno::OPNOTSUPP, "landlock".into()),
            (&[libc::SYS_seccomp, libc::SYS_keyctl], Errno::PERM, format!("{landlock}seccomp, keyring")),
        ] {
            let hint = if missing == "landlock" {
                "  hint: Landlock is disabled: add landlock to the boot parameter lsm=\n"
            } else {
                "  hint: a seccomp filter is in force, which may have refused it (systemd: SystemCallFilter=; containers: the \
                 profile)\n"
            };
            let warning = format!("autochroot: warning: not in force: {missing}\n{hint}");
            assert_eq!(run(user, errno, calls, &[]), (warning, Some(3)));
            assert_eq!(run(user, errno, calls, &["-q"]), (String::new(), Some(3)));
            for option in missing.split(", ") {
                let (told, status) = run(user, errno, calls, &["--require", option]);
                let start = format!("autochroot: cannot put a required protection in force: {option} is missing");
                assert!(told.starts_with(&start) && status == Some(125), "{told}");
            }
        }
        if landlock.is_empty() {
            let all = "--require=landlock,seccomp,bounding-set,securebits,keyring";
            assert_eq!(run(user, Errno::NOSYS, &[], &[all]), (String::new(), Some(3)));
            // Without a key it does not matter, nor if the filter keeps the program from them.
            assert_eq!(run(user, Errno::NOSYS, &[libc::SYS_keyctl], &[]), (String::new(), Some(3)));
            assert_eq!(run(user, Errno::DQUOT, &[libc::SYS_keyctl], &[]), (String::new(), Some(3)));
        }
    }
}

/// What a client of the service at `address` gets for "hello".
fn ask_service(address: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    std::io::read_to_string(stream).unwrap()
}

/// Waits until the service says where it is bound.
fn address_of(server: &mut std::process::Child) -> String {
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(server.stdout.take().unwrap()));
    lines.find_map(|line| line.unwrap().strip_prefix("bound ").map(str::to_owned)).unwrap()
}

#[test]
fn a_server_binds_a_low_port_inside_with_the_capability_for_it_and_not_without() {
    own_process!();
    network_only!();
    root_only!();
    // One that is free.
    let free = (600..1024).rev().find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
    let serve = format!("serve=127.0.0.1:{free}");
    let mut server = autochroot(User::Root);
    server.args(["--user=12345:12345", "--caps=net_bind_service"]).arg(payload()).arg(&serve);
    let mut server = server.stdout(Stdio::piped()).spawn().unwrap();
    let address = address_of(&mut server);
    let status = fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    for line in
        ["Uid:\t12345\t12345\t12345\t12345", "CapEff:\t0000000000000400", "CapBnd:\t0000000000000400", "NoNewPrivs:\t1"]
    {
        assert!(status.contains(line), "{line}: {status}");
    }
    assert_eq!(fs::read_dir(format!("/proc/{}/root", server.id())).unwrap().count(), 0);
    assert_eq!(ask_service(&address), "HELLO");
    assert!(server.wait().unwrap().success());
    let mut without = autochroot(User::Root);
    let output = without.arg("--user=12345:12345").arg(payload()).arg(&serve).output().unwrap();
    assert!(text(&output.stderr).contains("PermissionDenied"), "{output:?}");
}

#[test]
fn an_ordinary_user_serves_on_a_high_port() {
    own_process!();
    network_only!();
    let mut server = autochroot(plain());
    let mut server = server.arg(payload()).arg("serve=127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
    let address = address_of(&mut server);
    assert_eq!(ask_service(&address), "HELLO");
    assert!(server.wait().unwrap().success());
}

#[test]
fn the_program_holds_no_capability_unless_named() {
    own_process!();
    root_only!();
    for (caps, held) in
        [(None, "[0, 0, 0]"), (Some("--caps=net_bind_service"), "[400, 400, 400]"), (Some("--caps=none"), "[0, 0, 0]")]
    {
        let output = autochroot(User::Root).args(caps).arg(payload()).arg("capabilities").output().unwrap();
        assert!(text(&output.stdout).ends_with(&format!("\n{held}\n")), "{caps:?}: {output:?}");
    }
    // Root that becomes root too.
    for (caps, held) in [("--caps=net_bind_service", "[400, 400, 400]"), ("--caps=none", "[0, 0, 0]")] {
        let output = autochroot(User::Root).args(["-u0:0", caps]).arg(payload()).arg("capabilities").output().unwrap();
        assert!(text(&output.stdout).ends_with(&format!("\n{held}\n")), "{caps:?}: {output:?}");
    }
    let all = format!("\n[{0:x}, {0:x}, {0:x}]\n", held());
    let output = run(User::Root, ["--caps=all".as_ref(), payload(), "capabilities".as_ref()]);
    assert!(text(&output.stdout).ends_with(&all), "{output:?}");
    let output = run(SOMEBODY, ["--caps=all".as_ref(), payload(), "capabilities".as_ref()]);
    assert!(text(&output.stdout).ends_with("\n[0, 0, 0]\n"), "{output:?}");
    let output = run(SOMEBODY, ["--caps=chown".as_ref(), payload()]);
    let message = "cannot keep the capabilities: chown is not held (--caps chown)\n  \
                   hint: missing: CAP_CHOWN, CAP_SYS_CHROOT; start as root, and allow it in a container or unit (systemd: CapabilityBoundingSet=, with User= also AmbientCapabilities=)";
    assert_fails(&output, 125, message);
}

#[test]
fn no_seal_leaves_what_was_there_before_and_no_more() {
    own_process!();
    for user in users() {
        let output = run(user, ["--no-seal".as_ref(), payload(), "capabilities".as_ref()]);
        let held = if user == User::Root { held() } else { 0 };
        assert!(text(&output.stdout).ends_with(&format!("\n[{held:x}, {held:x}, 0]\n")), "{output:?}");
        let output = run(user, ["--no-seal", "--check"]);
        let new_privileges = if user == User::Root { "no-new-privs: no\n" } else { "no-new-privs: yes\n" };
        assert!(text(&output.stdout).contains(new_privileges), "{output:?}");
        assert!(
            text(&output.stdout).contains("securebits: not locked\nlandlock: not checked\nseccomp: not checked\n"),
            "{output:?}"
        );
        assert!(text(&output.stdout).ends_with("jailed: yes\n"), "{output:?}");
    }
}

/// As `unshare -r`, `bwrap --uid 0 --cap-add ALL` and systemd's `PrivateUsers=` start it: the
/// capabilities do not count over the mount namespace.
#[test]
fn root_of_a_user_namespace_mounts_in_a_mount_namespace_of_its_own() {
    own_process!();
    let (uid, gid) = if is_root() { (12345, 12345) } else { unsafe { (libc::getuid(), libc::getgid()) } };
    let as_root_of_its_own = |args: &[&str]| {
        let mut command = autochroot(if is_root() { SOMEBODY } else { plain() });
        // SAFETY: it is the child's.
        unsafe {
            command.pre_exec(move || {
                assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
                assert_eq!(libc::unshare(libc::CLONE_NEWUSER), 0);
                std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
                std::fs::write("/proc/self/setgroups", "deny")?;
                std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
            });
        }
        command.args(args).output().unwrap()
    };
    for userns in ["--userns=auto", "--userns=never"] {
        let output = as_root_of_its_own(&[userns, "--check", "-f/etc/passwd=/a"]);
        assert!(text(&output.stdout).starts_with("root: detached\n"), "{output:?}");
        assert!(text(&output.stdout).contains("\nentered: privilege\n"), "{output:?}");
    }
    let output = as_root_of_its_own(&["-f/etc/passwd=/a", payload().to_str().unwrap(), "has=/a"]);
    assert!(text(&output.stdout).ends_with("has=/a: true\n"), "{output:?}");
}

/// Whoever starts it has set securebits: systemd's `SecureBits=`, `setpriv --securebits`.
#[test]
fn securebits_that_are_in_the_way_are_named() {
    own_process!();
    root_only!();
    let with_bits = |bits: i32, args: &[&str]| {
        let mut command = autochroot(User::Root);
        // SAFETY: it is the child's.
        unsafe {
            command.pre_exec(move || {
                assert_eq!(libc::prctl(libc::PR_SET_SECUREBITS, bits), 0);
                Ok(())
            });
        }
        command.args(args).arg(payload()).output().unwrap()
    };
    let hint = "  hint: the securebits were set or locked by whoever started the process: start it without (systemd: \
                SecureBits=)\n";
    let keeping = &["-u61235:61235", "--caps=net_bind_service"];
    let warning = format!("autochroot: warning: not in force: securebits\n{hint}");
    assert_eq!(text(&with_bits(8, keeping).stderr), warning);
    let output = with_bits(64, keeping);
    let message = "cannot keep the capabilities: the securebits forbid it (--caps net_bind_service)";
    assert_eq!(text(&output.stderr), format!("autochroot: {message}\n{hint}"));
    assert_eq!(text(&with_bits(2, &[]).stderr), warning);
    let output = with_bits(2, &["--require=securebits"]);
    let message = "cannot put a required protection in force: securebits is missing; the process has the new root";
    assert_eq!(text(&output.stderr), format!("autochroot: {message} (--require securebits)\n{hint}"));
}
