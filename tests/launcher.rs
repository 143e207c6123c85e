//! What the launcher promises, for a real static program, as root and as ordinary users.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "calls that std does not have")]

#[macro_use]
mod common;

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::fd::FromRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::*;
use rustix::io::Errno;

/// The launcher as `user`, with neither arguments nor a TMPDIR.
fn autochroot(user: User) -> Command {
    let mut command = command(launcher());
    start_as(&mut command, user);
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn run<A: AsRef<OsStr>>(user: User, args: impl IntoIterator<Item = A>) -> Output {
    autochroot(user).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// One line on standard error that ends with `message`, and this exit status.
#[track_caller]
fn assert_fails(output: &Output, status: i32, message: &str) {
    let line = text(&output.stderr);
    assert_eq!((line, output.status.code()), (&*format!("autochroot: {message}\n"), Some(status)));
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn a_program_runs_in_an_empty_root_with_its_pid_arguments_environment_and_exit_status() {
    let program = payload().to_str().unwrap();
    for (user, seal) in users().into_iter().flat_map(|user| [(user, None), (user, Some("--no-seal"))]) {
        let mut child = autochroot(user);
        child.args(seal).args(["--", program, "look", "--check", "-h", "env", "exit=7"]);
        let child = child.env_clear().env("A", "b c").stdout(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let output = child.wait_with_output().unwrap();
        // Landlock refuses to list it.
        let entries = if seal.is_some() || landlock_abi().is_none() { "Ok(0)" } else { "Err(PermissionDenied)" };
        assert_eq!(
            text(&output.stdout),
            format!(
                "name: {program}\npid: {pid}\nentries: {entries}\nmkdir: Err(NotFound)\ncreate: Err(NotFound)\n\
                 passwd: Err(NotFound)\nup: Err(NotFound)\narg: --check\narg: -h\nA=b c\n"
            ),
            "{user:?}"
        );
        assert_eq!(output.status.code(), Some(7));
    }
}

#[test]
fn standard_input_passes_through_and_so_does_death_by_a_signal() {
    for user in users() {
        let mut child = autochroot(user);
        let mut child = child.arg(payload()).arg("copy").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"through\n").unwrap();
        assert!(text(&child.wait_with_output().unwrap().stdout).ends_with("\nthrough\n"));
        let output = run(user, [payload(), Path::new("abort")]);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT));
    }
}

#[test]
fn busybox_runs() {
    let Some(busybox) = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists()) else {
        return skipped("no busybox");
    };
    for user in users() {
        let script = "cd /; pwd; echo *; mkdir x || echo refused; read a </etc/passwd || echo none";
        let output = run(user, [busybox, "sh", "-c", script]);
        if text(&output.stderr).contains("is not static") {
            return skipped("busybox is not static");
        }
        assert_eq!((text(&output.stdout), output.status.code()), ("/\n*\nrefused\nnone\n", Some(0)), "{output:?}");
    }
}

fn busybox() -> Option<&'static str> {
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists())?;
    let output = run(plain(), [busybox, "true"]);
    output.status.success().then_some(busybox)
}

#[test]
fn busybox_reads_hashes_and_serves_what_it_is_handed() {
    let Some(busybox) = busybox() else { return skipped("no static busybox") };
    for user in users() {
        let fed = |args: &[&str], input: &[u8]| {
            let mut child = autochroot(user);
            let mut child = child.arg(busybox).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(input).unwrap();
            String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
        };
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  -\n";
        assert_eq!(fed(&["sha256sum"], b""), empty);
        assert_eq!(fed(&["sh"], b"echo $((6 * 7)); exit 0"), "42\n");
        // httpd asks for its working directory, whose name is "/" in a detached root and which has none in an unlinked one.
        let mut child = autochroot(user);
        child.args(["--root=detached", busybox, "httpd", "-i"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = child.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"GET /etc/passwd HTTP/1.0\r\n\r\n").unwrap();
        let answer = child.wait_with_output().unwrap();
        assert!(text(&answer.stdout).starts_with("HTTP/1.1 404 "), "{answer:?}");
        let output = run(user, [busybox, "httpd", "-i"]);
        assert!(text(&output.stderr).starts_with("httpd: getcwd: No such file or directory\n"), "{output:?}");
    }
}

#[test]
fn a_shell_starts_it_and_gets_the_exit_status() {
    let Some(busybox) = busybox() else { return skipped("no static busybox") };
    let script = format!("{} {} exit=9; echo $?", launcher().display(), payload().display());
    let output = command(Path::new(busybox)).args(["sh", "-c", &script]).output().unwrap();
    assert!(text(&output.stdout).ends_with("\n9\n"), "{output:?}");
}

#[test]
fn the_mask_and_the_dispositions_of_signals_are_handed_over() {
    for user in users() {
        for ignored in [false, true] {
            let mut command = autochroot(user);
            unsafe {
                command.pre_exec(move || {
                    libc::signal(libc::SIGUSR1, if ignored { libc::SIG_IGN } else { libc::SIG_DFL });
                    let mut set = std::mem::zeroed();
                    libc::sigemptyset(&raw mut set);
                    libc::sigaddset(&raw mut set, libc::SIGUSR2);
                    libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
                    Ok(())
                });
            }
            let output = command.arg(payload()).arg("signals").output().unwrap();
            let expected = format!("\nblocked: 800, SIGUSR1: {}\n", u8::from(ignored));
            assert!(text(&output.stdout).ends_with(&expected), "{output:?}");
        }
    }
}

#[test]
fn a_set_id_program_gains_nothing() {
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

/// Give the file all capabilities that the process itself may pass on, or these.
fn set_file_capabilities(path: &Path, capabilities: u64) {
    // Version 2, effective; permitted and inheritable, twice 32 bits.
    let low = u32::try_from(capabilities & 0xffff_ffff).unwrap();
    let high = u32::try_from(capabilities >> 32).unwrap();
    let bytes: Vec<u8> = [0x0200_0001_u32, low, 0, high, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let name = c"security.capability";
    let set = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), bytes.as_ptr().cast(), bytes.len(), 0) };
    assert_eq!(set, 0, "setxattr: {}", std::io::Error::last_os_error());
}

/// Or any user could choose the root of a set-id program, or become root.
#[test]
fn a_launcher_with_privilege_from_its_file_refuses_to_run() {
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
            assert_fails(&command.args(args).output().unwrap(), 125, message);
        }
        // For whoever has that privilege anyway, it makes no difference.
        let output = command(program).arg("--check").output().unwrap();
        assert!(text(&output.stdout).ends_with("\njailed: yes\n"), "{output:?}");
    }
    // Ambient capabilities are those of whoever starts it.
    let mut setpriv = Command::new("setpriv");
    setpriv.args([
        "--reuid=12345",
        "--regid=12345",
        "--clear-groups",
        "--inh-caps=+sys_chroot",
        "--ambient-caps=+sys_chroot",
    ]);
    let output = setpriv.arg(launcher()).arg("--check").current_dir("/").output().unwrap();
    assert!(text(&output.stdout).contains("\nentered: privilege\n"), "{output:?}");
}

/// The right of an ordinary user to chroot would let a set-id program load his own library.
#[test]
fn a_set_id_program_gains_nothing_from_a_user_who_may_chroot() {
    root_only!();
    let scratch = Scratch::new();
    copy_program(payload(), &scratch.0.join("payload"), 0o4755);
    for root in ["--root=/", "--root=."] {
        let root = root.replace('.', scratch.0.to_str().unwrap());
        let mut setpriv = Command::new("setpriv");
        setpriv.args([
            "--reuid=12345",
            "--regid=12345",
            "--clear-groups",
            "--inh-caps=+sys_chroot",
            "--ambient-caps=+sys_chroot",
        ]);
        setpriv.arg(launcher()).args(["--no-seal", &root]).arg(scratch.0.join("payload")).arg("is-root");
        let status = setpriv.current_dir("/").status().unwrap();
        // Without a jail nothing has changed, and it is a set-id program as any other.
        assert_eq!(status.code(), Some(if root == "--root=/" { 42 } else { 0 }), "{root}");
    }
}

#[test]
fn a_protection_that_is_missing_is_a_warning_or_an_error() {
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
            let warning = format!("autochroot: warning: not in force: {missing}\n");
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

#[test]
fn the_parent_death_signal_passes_through() {
    for user in users() {
        let mut ways = vec![vec![]];
        if user == User::Root {
            ways.extend([vec!["--user=7:8"], vec!["--user=7:8", "--userns=always"], vec!["--user=0:0"]]);
        }
        for options in ways {
            let mut command = autochroot(user);
            // SAFETY: the call is safe in a fork.
            unsafe {
                command.pre_exec(|| {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGUSR1);
                    Ok(())
                });
            }
            let output = command.args(&options).arg(payload()).arg("death-signal").output().unwrap();
            assert!(text(&output.stdout).ends_with("\ndeath signal: 10\n"), "{user:?} {options:?}: {output:?}");
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
    let mut server = autochroot(plain());
    let mut server = server.arg(payload()).arg("serve=127.0.0.1:0").stdout(Stdio::piped()).spawn().unwrap();
    let address = address_of(&mut server);
    assert_eq!(ask_service(&address), "HELLO");
    assert!(server.wait().unwrap().success());
}

#[test]
fn verbose_says_on_standard_error_what_check_would_and_runs_the_program() {
    for user in users() {
        let check = run(user, ["--check"]);
        let output = run(user, ["-v".as_ref(), payload(), "exit=5".as_ref()]);
        assert_eq!((text(&output.stderr), output.status.code()), (text(&check.stdout), Some(5)));
        let output = run(user, ["-v".as_ref(), "--root=/".as_ref(), payload(), "exit=5".as_ref()]);
        assert!(text(&output.stderr).ends_with("\njailed: no\n"), "{output:?}");
        assert_eq!(output.status.code(), Some(5));
    }
}

/// A container from scratch: a root file system with nothing in it but the static launcher and a static program.
#[test]
fn in_a_container_from_scratch_it_needs_nothing() {
    root_only!();
    let Some(launcher) = std::env::var_os("AUTOCHROOT_STATIC") else {
        return skipped("AUTOCHROOT_STATIC is not set");
    };
    let (scratch, payload) = (Scratch::new(), payload());
    for (options, read_only, expected) in [
        (&[][..], false, "root: unlinked\nparent: /\n"),
        (&[], true, "root: detached\nparent: none\n"),
        (&["--user=12345:12345"], true, "root: detached\nparent: none\n"),
    ] {
        let said = ask_user(User::Root, || {
            own_mounts();
            mount_tmpfs(&scratch.0, 0, "mode=755");
            copy_program(Path::new(&launcher), &scratch.0.join("autochroot"), 0o755);
            copy_program(payload, &scratch.0.join("payload"), 0o755);
            std::env::set_current_dir(&scratch.0).unwrap();
            unsafe {
                assert_eq!(libc::syscall(libc::SYS_pivot_root, c".".as_ptr(), c".".as_ptr()), 0);
                assert_eq!(libc::umount2(c".".as_ptr(), libc::MNT_DETACH), 0);
                if read_only {
                    let flags = libc::MS_REMOUNT | libc::MS_RDONLY;
                    let none = std::ptr::null();
                    assert_eq!(libc::mount(none, c"/".as_ptr(), none, flags, none.cast()), 0);
                }
            }
            let mut command = command(Path::new("/autochroot"));
            let output = command
                .args(options)
                .args(["-v", "/payload", "has=/payload", "capabilities"])
                .stdin(unsafe { Stdio::from_raw_fd(libc::dup(0)) })
                .output()
                .unwrap();
            format!("{}{}", text(&output.stderr), text(&output.stdout))
        });
        assert!(said.starts_with(expected), "{said}");
        assert!(said.ends_with("\njailed: yes\nname: /payload\nhas=/payload: false\n[0, 0, 0]\n"), "{said}");
    }
}

#[test]
fn check_says_what_it_found() {
    let parent = Scratch::new();
    for user in users() {
        let output = autochroot(user).arg("--check").arg("-p").arg(&parent.0).output().unwrap();
        let entered = if user == User::Root { "privilege" } else { "user namespace" };
        let landlock = landlock_abi().map_or("no".into(), |abi| format!("ABI {abi}"));
        let expected = format!(
            "root: unlinked\nparent: {}\nempty: yes\nwritable: no\nmode: changeable\nopen-directories: none\n\
             entered: {entered}\nidentity: kept\ncapabilities: none\nno-new-privs: yes\nbounding-set: none\n\
             securebits: locked\nlandlock: {landlock}\nseccomp: yes\nkeyring: own\nthreads: 1\nshared: no\nio-uring: none\njailed: yes\n",
            parent.0.display()
        );
        // Those of whoever runs the tests.
        let (before, groups) = text(&output.stdout).split_once("groups: ").unwrap();
        let said = format!("{before}{}", groups.split_once('\n').unwrap().1);
        assert_eq!((&*said, output.status.code()), (&*expected, Some(0)), "{output:?}");
        assert_eq!(text(&output.stderr), "");
    }
    assert_eq!(parent.entries(), [] as [&Path; 0]);
}

#[test]
fn every_root_is_entered_and_told() {
    let scratch = Scratch::new();
    fs::copy("/etc/hostname", scratch.0.join("file")).unwrap();
    for user in users() {
        let said = |root: &str| {
            let output = run(user, ["--check", "--root", root]);
            (text(&output.stdout).to_owned(), output.status.code())
        };
        let (detached, status) = said("detached");
        assert!(
            detached.starts_with("root: detached\nparent: none\nempty: yes\nwritable: no\nmode: fixed\n"),
            "{detached}"
        );
        assert_eq!(status, Some(0));
        let (unlinked, status) = said("unlinked /tmp");
        assert!(unlinked.starts_with("root: unlinked\nparent: /tmp\nempty: yes\n"), "{unlinked}");
        assert_eq!(status, Some(0));
        let (directory, status) = said(scratch.0.to_str().unwrap());
        assert!(
            directory.starts_with("root: directory\nparent: none\nempty: not asked\nwritable: not asked\n"),
            "{directory}"
        );
        assert_eq!((directory.ends_with("\njailed: yes\n"), status), (true, Some(0)));
        let (unjailed, status) = said("/");
        assert!(unjailed.starts_with("root: unjailed\n") && unjailed.ends_with("\njailed: no\n"), "{unjailed}");
        assert_eq!(status, Some(1));
        let root = format!("--root={}", scratch.0.display());
        // Nothing that would make anything: this is somebody's directory.
        let output = run(user, [root.as_ref(), payload(), "has=/file".as_ref(), "has=/etc/passwd".as_ref()]);
        assert!(text(&output.stdout).ends_with("\nhas=/file: true\nhas=/etc/passwd: false\n"), "{output:?}");
        let output = run(user, ["-r/".as_ref(), payload(), "has=/etc/passwd".as_ref()]);
        assert!(text(&output.stdout).ends_with("\nhas=/etc/passwd: true\n"), "{output:?}");
    }
}

#[test]
fn userns_never_and_always_are_heeded() {
    let message = "cannot chroot: EPERM (operation not permitted)\n  \
                   hint: run as root or with CAP_SYS_CHROOT, or do not forbid user namespaces";
    assert_fails(&run(plain(), ["--userns=never".as_ref(), payload()]), 125, message);
    let output = run(plain(), ["--check", "--id-map=none"]);
    assert!(text(&output.stdout).contains("\nidentity: overflow\n"), "{output:?}");
    let output = run(plain(), ["--check", "--userns=never"]);
    assert_eq!((text(&output.stdout), output.status.code()), ("jailed: no\n", Some(1)));
    assert_eq!(text(&output.stderr), format!("autochroot: {message}\n"));
    for user in users() {
        let output = run(user, ["--userns", "always", "--no-seal", "--check"]);
        assert!(
            text(&output.stdout).contains("entered: user namespace\nidentity: kept\ngroups: ")
                && text(&output.stdout).contains("\ncapabilities: none\n"),
            "{output:?}"
        );
    }
}

#[test]
fn bad_options_are_refused_with_125() {
    for user in users() {
        for (args, message) in [
            (&[][..], "no PROGRAM given (see --help)"),
            (&["--"], "no PROGRAM given (see --help)"),
            (&["--frobnicate"], "unknown option --frobnicate (see --help)"),
            (&["-x"], "unknown option -x (see --help)"),
            (&["-cx"], "unknown option -cx (see --help)"),
            (&["--check", "true"], "--check runs no PROGRAM"),
            (&["--check=yes"], "--check takes no value"),
            (&["--parent"], "--parent needs a value"),
            (&["-p"], "-p needs a value"),
            (&["--userns", "perhaps", "true"], "--userns is auto, never or always, not \"perhaps\""),
            (
                &["--root", "", "--check"],
                "--root \"\": empty: auto, unlinked, detached, / or an absolute path is needed",
            ),
            (&["--root=var", "--check"], "--root \"var\": neither auto, unlinked, detached, / nor an absolute path"),
            (&["--root=/none", "true"], "cannot use the directory: ENOENT (no such file or directory) (--root /none)"),
            (&["--root=/var", "-p/tmp", "--check"], "--parent goes with --root auto and unlinked only"),
            (
                &["--root=detached /x", "true"],
                "--root \"detached /x\": detached exists on Linux only, if built with it, and is made in no directory",
            ),
            (&["--id-map=all", "true"], "--id-map is identity or none, not \"all\""),
            (&["--no-seal=x", "true"], "--no-seal takes no value"),
            (&["--caps=none", "--no-seal", "true"], "--caps is part of the seal: it does not go with --no-seal"),
            (&["--caps", "net_bind", "--check"], "--caps: there is no capability \"net_bind\""),
            (&["--caps", "", "--check"], "--caps: there is no capability \"\""),
            (&["--caps=chown,", "--check"], "--caps: there is no capability \"\""),
            (&["--keep-fds=", "--check"], "--keep-fds: \"\" is no file descriptor"),
            (&["--keep-fds=1,x", "--check"], "--keep-fds: \"x\" is no file descriptor"),
            (&["--keep-fds=-1", "--check"], "--keep-fds: \"-1\" is no file descriptor"),
            (&["--keep-fds=99999999999", "--check"], "--keep-fds: \"99999999999\" is no file descriptor"),
            (&["--keep-fds=1,2147483647", "--check"], "--keep-fds: descriptor 2147483647 is not open"),
            (&["--require=", "--check"], "--require: there is no protection \"\""),
            (&["--require=landlock,Seccomp", "--check"], "--require: there is no protection \"Seccomp\""),
            (&["--require", "--check"], "--require: there is no protection \"--check\""),
            (
                &["--require=landlock", "--no-seal", "true"],
                "--require and --allow-io-uring are about the seal: they do not go with --no-seal",
            ),
            (
                &["--allow-io-uring", "--no-seal", "true"],
                "--require and --allow-io-uring are about the seal: they do not go with --no-seal",
            ),
            (&["--allow-io-uring=1", "true"], "--allow-io-uring takes no value"),
            (&["-qx", "true"], "-q takes no value"),
            (
                &["--userns=always", "--root=/", "true"],
                "--userns always does not go with --root /: there is no jail to enter",
            ),
            (&["--userns=", "true"], "--userns is auto, never or always, not \"\""),
            (&["-p", "tmp", "true"], "cannot use the parent directory: the path is not absolute (--parent tmp)"),
            (&["-p", "", "true"], "cannot use the parent directory: ENOENT (no such file or directory) (--parent )"),
            (
                &["-p/none", "true"],
                "cannot use the parent directory: ENOENT (no such file or directory) (--parent /none)",
            ),
            (
                &["--parent=/proc/version", "true"],
                "cannot use the parent directory: ENOTDIR (not a directory) (--parent /proc/version)",
            ),
        ] {
            assert_fails(&run(user, args), 125, message);
        }
    }
}

#[test]
fn a_program_that_cannot_be_run_is_126_and_one_that_is_not_there_127() {
    let scratch = Scratch::new();
    let file = |name: &str, mode: u32, content: &[u8]| {
        let path = scratch.0.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let plain_file = file("plain", 0o644, b"");
    let script = file("script", 0o755, b"#!/bin/sh\n");
    let rubbish = file("rubbish", 0o755, b"\x7fELF and no more");
    let fifo = scratch.0.join("fifo");
    assert_eq!(unsafe { libc::mkfifo(std::ffi::CString::new(fifo.to_str().unwrap()).unwrap().as_ptr(), 0o777) }, 0);
    let directory = scratch.0.to_str().unwrap();
    let dynamic = Path::new("/bin/ls").to_str().unwrap();
    for user in users() {
        for (program, status, message) in [
            (&*plain_file, 126, "is not executable"),
            (
                &*script,
                126,
                "is a script: its interpreter is not in the jail\n  hint: run the \
             interpreter, if it is a static program, and give it the script on standard input",
            ),
            (&*rubbish, 126, "is no program for this machine"),
            (fifo.to_str().unwrap(), 126, "is not a file"),
            (directory, 126, "is a directory"),
            (
                dynamic,
                126,
                "is not static: its dynamic loader is not in the jail\n  hint: \
             build it for a musl target, or name a directory with --root that holds the loader and the libraries",
            ),
            ("/nonexistent", 127, "not found"),
            ("/bin/ls/x", 127, "not found"),
            ("no-such-program", 127, "not found"),
        ] {
            assert_fails(&run(user, [program]), status, &format!("{program}: {message}"));
        }
        assert_fails(&run(user, [""]), 127, "PROGRAM is empty");
    }
}

#[test]
fn path_is_searched_as_a_shell_does() {
    let scratch = Scratch::new();
    let bin = scratch.0.join("bin");
    fs::create_dir_all(scratch.0.join("first/program")).unwrap();
    fs::create_dir(&bin).unwrap();
    copy_program(payload(), &bin.join("program"), 0o755);
    let search = |path: &str, program: &str| {
        let path = path.replace('@', scratch.0.to_str().unwrap());
        autochroot(plain()).env("PATH", path).current_dir(&bin).args([program, "exit=3"]).output().unwrap()
    };
    // One that others may execute, but not this user, is passed over.
    fs::create_dir(scratch.0.join("others")).unwrap();
    copy_program(payload(), &scratch.0.join("others/program"), 0o700);
    if is_root() {
        assert_eq!(search("@/others:@/bin", "program").status.code(), Some(3));
        assert_fails(&search("@/others", "program"), 126, "program: is not executable");
    }
    // Of several that will not do, the last is named.
    fs::create_dir(scratch.0.join("plain")).unwrap();
    fs::write(scratch.0.join("plain/program"), "").unwrap();
    assert_fails(&search("@/first:@/plain", "program"), 126, "program: is not executable");
    assert_fails(&search("@/plain:@/first", "program"), 126, "program: is a directory");
    // A directory of that name is passed over, an empty element is the working directory.
    for path in ["@/first:/nonexistent:@/bin", "@/bin", "/bin:", ":"] {
        assert_eq!(search(path, "program").status.code(), Some(3), "{path}");
    }
    assert_eq!(search("/bin", "./program").status.code(), Some(3));
    assert_fails(&search("@/first", "program"), 126, "program: is a directory");
    assert_fails(&search("", "none"), 127, "none: not found");
    assert_fails(
        &search("/bin", &"x".repeat(300)),
        126,
        &format!("{}: cannot open it: ENAMETOOLONG (file name too long)", "x".repeat(300)),
    );
}

#[test]
fn a_program_that_only_root_may_execute_is_not_run_as_another_user() {
    root_only!();
    let scratch = Scratch::new();
    let program = scratch.0.join("program");
    copy_program(payload(), &program, 0o700);
    let output = run(User::Root, ["--user=12345:12345".as_ref(), program.as_os_str()]);
    assert_fails(&output, 126, &format!("{}: may not be executed by that user", program.display()));
    let output = run(User::Root, [program.to_str().unwrap(), "exit=3"]);
    assert_eq!(output.status.code(), Some(3));
}

/// A disk that fills up while the last part is written.
#[test]
fn a_part_that_is_written_is_not_the_whole() {
    let whole = run(plain(), ["--help"]).stdout.len();
    let scratch = Scratch::new();
    for (room, status) in [(whole - 10, 125), (whole, 0)] {
        let file = fs::File::create(scratch.0.join(room.to_string())).unwrap();
        let mut command = autochroot(plain());
        // SAFETY: the calls are safe in a fork.
        unsafe {
            command.pre_exec(move || {
                libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
                let limit = libc::rlimit { rlim_cur: room as libc::rlim_t, rlim_max: room as libc::rlim_t };
                libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit);
                Ok(())
            });
        }
        let output = command.arg("--help").stdout(file).output().unwrap();
        let message = if status == 0 { "" } else { "autochroot: cannot write to standard output\n" };
        assert_eq!((text(&output.stderr), output.status.code()), (message, Some(status)));
    }
}

/// Without /proc, a process with a limit below the numbers of its descriptors cannot know of all.
#[test]
fn what_could_not_be_looked_at_is_told() {
    root_only!();
    let launcher = launcher();
    let said = ask_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/proc"), 0, "");
        let mut command = Command::new(launcher);
        let output = command.args(["--check", "--keep-fds=all"]).stdin(Stdio::null()).output().unwrap();
        text(&output.stdout).to_owned()
    });
    assert!(said.contains("\nopen-directories: none below the limit of descriptors\n"), "{said}");
}

#[test]
fn a_program_that_may_be_executed_but_not_read_runs() {
    root_only!();
    let scratch = Scratch::new();
    let program = scratch.0.join("secret");
    copy_program(payload(), &program, 0o711);
    assert_eq!(run(NOBODY, [program.to_str().unwrap(), "exit=4"]).status.code(), Some(4));
}

/// The launcher with its standard descriptors and `files`, as descriptors 3 and up.
fn with_files(user: User, files: &[i32]) -> Command {
    // Out of the way of the numbers that they are to have.
    let copies: Vec<_> = files.iter().map(|fd| unsafe { libc::fcntl(*fd, libc::F_DUPFD_CLOEXEC, 100) }).collect();
    let mut command = autochroot(user);
    // SAFETY: the calls are safe in a fork.
    unsafe {
        command.pre_exec(move || {
            for (fd, copy) in (3..).zip(&copies) {
                libc::dup2(*copy, fd);
            }
            Ok(())
        });
    }
    command
}

#[test]
fn only_the_standard_descriptors_are_kept_unless_others_are_named() {
    let file = fs::File::open("/etc/passwd").unwrap();
    let files = [raw(&file); 4];
    for user in users() {
        for (keep, fds) in [
            (None, "[0, 1, 2]"),
            (Some("--keep-fds=1,5,3,5"), "[0, 1, 2, 3, 5]"),
            (Some("--keep-fds=0,1,2,6"), "[0, 1, 2, 6]"),
            (Some("--keep-fds=all"), "[0, 1, 2, 3, 4, 5, 6]"),
        ] {
            let output = with_files(user, &files).args(keep).arg(payload()).arg("fds").output().unwrap();
            assert!(text(&output.stdout).ends_with(&format!("\nfds: {fds}\n")), "{user:?} {keep:?}: {output:?}");
        }
    }
}

/// A directory of /proc, of which `fstat` says `ENOENT`, and which `fchdir` takes.
fn of_a_dead_thread() -> fs::File {
    let path = || format!("/proc/self/task/{}/fd", unsafe { libc::gettid() });
    std::thread::spawn(move || fs::File::open(path()).unwrap()).join().unwrap()
}

#[test]
fn a_directory_is_not_kept_and_one_that_is_not_kept_does_not_matter() {
    let directory = fs::File::open("/").unwrap();
    for user in users() {
        let output = with_files(user, &[raw(&directory)]).arg(payload()).arg("fds").output().unwrap();
        assert!(text(&output.stdout).ends_with("\nfds: [0, 1, 2]\n"), "{output:?}");
        let output = with_files(user, &[raw(&directory)]).arg("--keep-fds=0,1,2,3").arg(payload()).output().unwrap();
        assert_fails(&output, 125, "descriptor 3 is a directory: a program can leave the jail through it");
        let output =
            with_files(user, &[raw(&of_a_dead_thread())]).arg("--keep-fds=0,1,2,3").arg(payload()).output().unwrap();
        assert_fails(&output, 125, "descriptor 3, which may be a directory: ENOENT (no such file or directory)");
        let output = with_files(user, &[raw(&directory)]).arg("--keep-fds=all").arg(payload()).output().unwrap();
        let message = "cannot accept the open descriptors: descriptor 3 is a directory\n  \
                       hint: close that directory: a process leaves the jail through it";
        assert_fails(&output, 125, message);
        let output = autochroot(user).stdin(directory.try_clone().unwrap()).arg(payload()).output().unwrap();
        assert_fails(&output, 125, "descriptor 0 is a directory: a program can leave the jail through it");
    }
}

/// An exec drops the mappings of a ring, but not the descriptor.
#[test]
fn a_ring_is_not_kept() {
    let Some(ring) = ring() else { return skipped("this kernel has no io_uring") };
    for user in users() {
        let output = with_files(user, &[raw(&ring)]).arg(payload()).arg("fds").output().unwrap();
        assert!(text(&output.stdout).ends_with("\nfds: [0, 1, 2]\n"), "{output:?}");
        let output = with_files(user, &[raw(&ring)]).arg("--keep-fds=0,1,2,3").arg(payload()).output().unwrap();
        assert_fails(&output, 125, "descriptor 3 is an io_uring: a program can leave the jail through it");
        let output = autochroot(user).stdin(ring.try_clone().unwrap()).arg(payload()).output().unwrap();
        assert_fails(&output, 125, "descriptor 0 is an io_uring: a program can leave the jail through it");
        let output = with_files(user, &[raw(&ring)]).arg("--keep-fds=all").arg(payload()).output().unwrap();
        let message = "cannot accept the open descriptors: descriptor 3 is an io_uring\n  \
                       hint: close that io_uring: a process opens files through a directory that is registered in it";
        assert_fails(&output, 125, message);
    }
}

/// A filter refuses it, as Docker's older profiles do, or the kernel is older than 5.9: as long as there are descriptors, whatever their
/// numbers and the limit.
#[test]
fn where_close_range_is_refused_no_other_descriptor_survives() {
    let file = fs::File::open("/etc/passwd").unwrap();
    let directory = fs::File::open("/").unwrap();
    for errno in [Errno::NOSYS, Errno::PERM, Errno::ACCESS, Errno::INVAL, Errno::IO] {
        for user in users() {
            let mut command = with_files(user, &[raw(&file), raw(&file), raw(&file), raw(&directory)]);
            // SAFETY: the filter and the limit are for the child alone.
            unsafe {
                command.pre_exec(move || {
                    let high = if is_root() { 300_000 } else { 1000 };
                    let limit = libc::rlimit { rlim_cur: high + 1, rlim_max: high + 1 };
                    libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
                    // Above the limit that is in force then.
                    libc::dup2(6, libc::c_int::try_from(high).unwrap());
                    let limit = libc::rlimit { rlim_cur: 64, rlim_max: high + 1 };
                    libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
                    fake(libc::SYS_close_range, errno);
                    Ok(())
                });
            }
            let started = std::time::Instant::now();
            let output = command.arg("--keep-fds=0,1,2,4").arg(payload()).args(["fds", "open-fds"]).output().unwrap();
            assert!(text(&output.stdout).contains("\nfds: [0, 1, 2, 4]\nopen: 4\n"), "{errno} {user:?}: {output:?}");
            assert!(started.elapsed().as_secs() < 20, "a call for each number");
        }
    }
    root_only!();
    let launcher = launcher();
    let said = ask_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/proc"), 0, "");
        fake(libc::SYS_close_range, Errno::PERM);
        let output = Command::new(launcher).arg("--check").stdin(Stdio::null()).output().unwrap();
        format!("{}{}{:?}", text(&output.stdout), text(&output.stderr), output.status.code())
    });
    let message = "cannot close the other descriptors: close_range is refused, and /proc does not list them";
    assert_eq!(said, format!("jailed: no\nautochroot: {message}\nSome(1)"));
}

/// What PROGRAM opens first must not become its standard output.
#[test]
fn a_standard_descriptor_that_is_closed_or_not_kept_is_dev_null() {
    let closing = |user, fds: &'static [i32]| {
        let mut command = autochroot(user);
        // SAFETY: it is the child's.
        unsafe {
            command.pre_exec(move || {
                for fd in fds {
                    libc::close(*fd);
                }
                Ok(())
            });
        }
        command
    };
    for user in users() {
        for (closed, kept) in [
            (&[0][..], None),
            (&[1], None),
            (&[2], None),
            (&[0, 1, 2], None),
            (&[], Some("--keep-fds=1")),
            (&[0], Some("--keep-fds=2,1")),
            (&[1], Some("--keep-fds=all")),
        ] {
            let mut command = closing(user, closed);
            let status = command.args(kept).arg(payload()).arg("null-exit").output().unwrap().status;
            let kept_fds: Vec<i32> = match kept {
                None | Some("--keep-fds=all") => (0..3).filter(|fd| !closed.contains(fd)).collect(),
                Some("--keep-fds=1") => vec![1],
                Some(_) => vec![1, 2],
            };
            // A bit for each that is /dev/null: the standard input always is, in this test.
            let expected: i32 = (0..3).filter(|fd| *fd == 0 || !kept_fds.contains(fd)).map(|fd| 1 << fd).sum();
            assert_eq!(status.code(), Some(expected), "{user:?} {closed:?} {kept:?}");
        }
        // A refusal is told on the standard error that the launcher was started with.
        let output = autochroot(user).args(["--keep-fds=0,1", "--root=/nowhere", "true"]).output().unwrap();
        let message = "cannot use the directory: ENOENT (no such file or directory) (--root /nowhere)";
        assert_fails(&output, 125, message);
        let output = autochroot(user).args(["--keep-fds=0,1", "/nowhere"]).output().unwrap();
        assert_fails(&output, 127, "/nowhere: not found");
        let output = autochroot(user).args(["--keep-fds=0,1", "/bin/ls"]).output().unwrap();
        assert!(text(&output.stderr).starts_with("autochroot: /bin/ls: is not static"), "{output:?}");
        // What is printed by --check is not lost.
        let output = autochroot(user).args(["--keep-fds=0", "--check"]).output().unwrap();
        assert!(text(&output.stdout).ends_with("\njailed: yes\n"), "{output:?}");
    }
    root_only!();
    // Without /dev/null they stay closed, and what the launcher opens does not take their numbers.
    let Some(busybox) = busybox() else { return skipped("no static busybox") };
    let launcher = launcher();
    as_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/dev"), 0, "");
        for what in [None, Some("not the device")] {
            if let Some(content) = what {
                fs::write("/dev/null", content).unwrap();
            }
            let mut command = command(launcher);
            command.args([busybox, "sh", "-c", "(exec 5<&0) || (exec 5>&1) || (exec 5>&2) || exit 7"]);
            unsafe {
                command.pre_exec(|| {
                    (0..3).for_each(|fd| _ = libc::close(fd));
                    Ok(())
                });
            }
            assert_eq!(command.status().unwrap().code(), Some(7), "{what:?}");
        }
    });
}

/// Not even by a descriptor that the launcher itself opens, and that would have its number.
#[test]
fn a_descriptor_that_is_not_open_cannot_be_kept() {
    for user in users() {
        for (keep, closed) in [("--keep-fds=0,1,2,3", 3), ("--keep-fds=0,1,2", 0), ("--keep-fds=4", 4)] {
            let mut command = autochroot(user);
            // SAFETY: it is the child's.
            unsafe {
                command.pre_exec(move || {
                    libc::close(closed);
                    Ok(())
                });
            }
            let output = command.arg(keep).arg(payload()).output().unwrap();
            assert_fails(&output, 125, &format!("--keep-fds: descriptor {closed} is not open"));
        }
        let script = "exec 3>&-; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$1\"";
        let mut shell = command(Path::new("/bin/sh"));
        shell.args(["-c", script]).arg(launcher()).arg(payload());
        assert_fails(&shell.output().unwrap(), 125, "LISTEN_FDS: descriptor 3 is not open");
        for bad in ["-1", "", "1 ", "4294967296"] {
            let mut shell = command(Path::new("sh"));
            shell
                .args(["-c", &format!("LISTEN_PID=$$ LISTEN_FDS='{bad}' exec \"$0\" \"$1\"")])
                .arg(launcher())
                .arg(payload());
            let message = format!("LISTEN_FDS: \"{bad}\" is no number of descriptors");
            assert_fails(&shell.output().unwrap(), 125, &message);
        }
    }
}

/// A file that is in no mounted file system, to which Landlock can have no rule.
#[test]
fn a_program_in_memory_runs() {
    for user in users() {
        let memory = unsafe { fs::File::from_raw_fd(libc::memfd_create(c"program".as_ptr(), 0)) };
        (&memory).write_all(&fs::read(payload()).unwrap()).unwrap();
        // While it can be written to, it is busy: what the launcher is given is a descriptor for reading alone.
        let path = format!("/proc/self/fd/{}", raw(&memory));
        unsafe { libc::fchmod(raw(&memory), 0o755) };
        let readable = fs::File::open(path).unwrap();
        drop(memory);
        let output = with_files(user, &[raw(&readable)]).args(["/proc/self/fd/3", "exit=5"]).output().unwrap();
        assert_eq!((text(&output.stderr), output.status.code()), ("", Some(5)), "{user:?}");
    }
}

#[test]
fn socket_activation_works() {
    use std::io::Read;
    for user in users() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // LISTEN_PID is the pid that the service has, known only once it is there: as a supervisor does it, by a shell.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "LISTEN_PID=$$ exec \"$0\" \"$@\""]).arg(launcher()).arg(payload()).args(["accept", "fds"]);
        shell.env("LISTEN_FDS", "1").stdin(Stdio::null()).stdout(Stdio::piped());
        start_as(&mut shell, user);
        let copy = unsafe { libc::fcntl(raw(&listener), libc::F_DUPFD_CLOEXEC, 100) };
        // SAFETY: the calls are safe in a fork.
        unsafe {
            shell.pre_exec(move || {
                libc::dup2(copy, 3);
                libc::dup2(copy, 4);
                Ok(())
            });
        }
        let child = shell.spawn().unwrap();
        let mut client = std::net::TcpStream::connect(address).unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_secs(30))).unwrap();
        client.write_all(b"hello").unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "HELLO");
        let output = child.wait_with_output().unwrap();
        // The second one was not announced, and descriptor 3 is closed by its owner.
        assert!(text(&output.stdout).ends_with("\nLISTEN_FDS=1\nfds: [0, 1, 2]\n"), "{user:?}: {output:?}");
        // A LISTEN_FDS that is meant for another process is not for us.
        let mut command = with_files(user, &[raw(&listener)]);
        let output = command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1").arg(payload()).arg("fds").output().unwrap();
        assert!(text(&output.stdout).ends_with("\nfds: [0, 1, 2]\n"), "{output:?}");
    }
}

#[test]
fn the_program_holds_no_capability_unless_named() {
    root_only!();
    for (caps, held) in
        [(None, "[0, 0, 0]"), (Some("--caps=net_bind_service"), "[400, 400, 400]"), (Some("--caps=none"), "[0, 0, 0]")]
    {
        let output = autochroot(User::Root).args(caps).arg(payload()).arg("capabilities").output().unwrap();
        assert!(text(&output.stdout).ends_with(&format!("\n{held}\n")), "{caps:?}: {output:?}");
    }
    let all = format!("\n[{0:x}, {0:x}, {0:x}]\n", held());
    let output = run(User::Root, ["--caps=all".as_ref(), payload(), "capabilities".as_ref()]);
    assert!(text(&output.stdout).ends_with(&all), "{output:?}");
    let output = run(SOMEBODY, ["--caps=all".as_ref(), payload(), "capabilities".as_ref()]);
    assert!(text(&output.stdout).ends_with("\n[0, 0, 0]\n"), "{output:?}");
    let output = run(SOMEBODY, ["--caps=chown".as_ref(), payload()]);
    let message = "cannot keep the capabilities: chown is not held; \
                   the process is in the new user namespace; the process has the new root\n  \
                   hint: in a user namespace no capability is kept: enter with privilege";
    assert_fails(&output, 125, message);
}

#[test]
fn no_seal_leaves_what_was_there_before_and_no_more() {
    for user in users() {
        let output = run(user, ["--no-seal".as_ref(), payload(), "capabilities".as_ref()]);
        let held = if user == User::Root { held() } else { 0 };
        assert!(text(&output.stdout).ends_with(&format!("\n[{held:x}, {held:x}, 0]\n")), "{output:?}");
        let output = run(user, ["--no-seal", "--check"]);
        let new_privileges = if user == User::Root { "no-new-privs: no\n" } else { "no-new-privs: yes\n" };
        assert!(text(&output.stdout).contains(new_privileges), "{output:?}");
        assert!(text(&output.stdout).contains("securebits: not locked\nlandlock: no\n"), "{output:?}");
        assert!(text(&output.stdout).ends_with("jailed: yes\n"), "{output:?}");
    }
}

#[test]
fn help_and_version_go_to_standard_output_and_a_full_disk_is_noticed() {
    let output = run(plain(), ["--help"]);
    assert!(text(&output.stdout).starts_with("Usage: autochroot [OPTIONS] [--] PROGRAM [ARG]...\n"));
    assert_eq!(output.status.code(), Some(0));
    let output = run(plain(), ["-V"]);
    assert_eq!(text(&output.stdout), concat!("autochroot ", env!("CARGO_PKG_VERSION"), "\n"));
    for option in ["--help", "--version", "--check"] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let child = autochroot(plain()).arg(option).stdout(full).stderr(Stdio::piped()).spawn().unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(
            (text(&output.stderr), output.status.code()),
            ("autochroot: cannot write to standard output\n", Some(125))
        );
    }
}

/// Command lines put together at random, each word as it is or with a byte changed: whatever they are, there is an exit status
/// that is listed, and a message for each that means a failure.
#[test]
fn no_command_line_does_anything_but_run_or_say_why_not() {
    const WORDS: [&str; 48] = [
        "-r",
        "--root",
        "--root=auto",
        "--root=",
        "-rdetached",
        "--root=unlinked /tmp",
        "--root=/nowhere",
        "-p",
        "--parent",
        "--parent=/tmp",
        "-p/dev/shm",
        "--userns",
        "--userns=always",
        "--userns=never",
        "auto",
        "--caps",
        "--caps=all",
        "--caps=none",
        "--caps=net_bind_service,chown",
        "--caps=,",
        "--id-map",
        "--id-map=none",
        "identity",
        "--keep-fds",
        "--keep-fds=0,1,2",
        "--keep-fds=all",
        "0,1,2,99999999999",
        "2,1,0,0",
        "--no-seal",
        "--no-seal=1",
        "--check",
        "--",
        "-",
        "",
        "-h",
        "--help",
        "-V",
        "--version=2",
        "--versio",
        "---",
        "-rp",
        "payload",
        "payload",
        "payload",
        "exit=3",
        "true",
        "/nowhere",
        "/",
    ];
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let user = plain();
    let mut statuses = std::collections::BTreeMap::new();
    for _ in 0..3000 {
        let mut words: Vec<Vec<u8>> = vec![];
        for _ in 0..random.below(7) {
            let mut word = match WORDS[random.below(WORDS.len())] {
                "payload" => payload().to_str().unwrap(),
                word => word,
            }
            .as_bytes()
            .to_vec();
            if random.below(6) == 0 {
                let (at, byte) = (random.below(word.len() + 1), u8::try_from(1 + random.below(255)).unwrap());
                word.splice(at..(at + random.below(2)).min(word.len()), [byte]);
            }
            words.push(word);
        }
        let output = run(user, words.iter().map(|word| OsStr::from_bytes(word)));
        let case = || {
            format!("{:?}: {output:?}", words.iter().map(|word| word.escape_ascii().to_string()).collect::<Vec<_>>())
        };
        let (said, told) = (output.stdout.is_empty(), text(&output.stderr));
        let status = output.status.code().unwrap_or_else(|| panic!("{}", case()));
        match status {
            0..125 if words.iter().any(|word| word.starts_with(b"exit=")) => {}
            0 => assert!(told.is_empty(), "{}", case()),
            1 => assert!(output.stdout.ends_with(b"jailed: no\n"), "{}", case()),
            125..=127 => assert!(said && told.starts_with("autochroot: ") && told.ends_with('\n'), "{}", case()),
            _ => panic!("{}", case()),
        }
        let lines: Vec<_> = told.lines().collect();
        assert!(lines.len() < 2 || lines.len() == 2 && lines[1].starts_with("  hint: "), "{}", case());
        assert!(told.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{}", case());
        *statuses.entry(status).or_insert(0) += 1;
    }
    println!("figure: 3000 command lines at random, exit status and how often: {statuses:?}");
    assert!([0, 1, 125, 126, 127].iter().all(|status| statuses.contains_key(status)), "{statuses:?}");
}
