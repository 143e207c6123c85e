//! `--file`: a few files in the root, for programs that need them.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

/// As root, root that becomes a user, and root or a user in a user namespace.
fn ways() -> Vec<(User, &'static [&'static str])> {
    let mut ways: Vec<(User, &[&str])> = vec![(plain(), &[]), (plain(), &["--userns=always"])];
    if is_root() {
        ways.push((User::Root, &[]));
        ways.push((User::Root, &["-u7:8"]));
        ways.push((User::Root, &["--userns=always"]));
        ways.push((User::Root, &["--userns=always", "-u7:8"]));
    }
    ways
}

/// What the payload prints after its name.
fn said(output: &Output) -> &str {
    text(&output.stdout).split_once('\n').unwrap().1
}

#[test]
fn a_program_reads_the_files_that_are_named_and_no_others() {
    own_process!();
    let scratch = Scratch::new();
    fs::write(scratch.0.join("a=b"), "text\n").unwrap();
    fs::set_permissions(scratch.0.join("a=b"), fs::Permissions::from_mode(0o644)).unwrap();
    let strange = format!("{}=/etc/app/config", scratch.0.join("a=b").display());
    for (user, options) in ways() {
        let output = autochroot(user)
            .args(options)
            .args(["-f/etc/passwd", "--file", &strange, "--file=/proc/sys/kernel/ostype=/type"])
            .arg(payload())
            .args(["cat=/etc/app/config", "cat=/type", "has=/etc/passwd", "has=/etc/group", "has=/proc"])
            .output()
            .unwrap();
        let said = said(&output);
        let expected = "text\nLinux\nhas=/etc/passwd: true\nhas=/etc/group: false\nhas=/proc: false\n";
        assert_eq!((said, text(&output.stderr)), (expected, ""), "{user:?} {options:?}");
    }
}

/// The last `=/` is the one before PATH, and letters may stand before `-f`.
#[test]
fn a_source_may_have_the_same_signs_as_the_option() {
    own_process!();
    let scratch = Scratch::new();
    fs::create_dir(scratch.0.join("a=")).unwrap();
    fs::set_permissions(scratch.0.join("a="), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(scratch.0.join("a=/b"), "text\n").unwrap();
    fs::set_permissions(scratch.0.join("a=/b"), fs::Permissions::from_mode(0o644)).unwrap();
    let source = scratch.0.join("a=/b").display().to_string();
    for (user, options) in ways() {
        for letters in ["-f", "-qf", "-qqf"] {
            let output = autochroot(user)
                .args(options)
                .arg(format!("{letters}{source}=/etc/c"))
                .args(["-f/etc/passwd", payload().to_str().unwrap(), "cat=/etc/c", "has=/etc/passwd", "has=/b"])
                .output()
                .unwrap();
            let expected = "text\nhas=/etc/passwd: true\nhas=/b: false\n";
            assert_eq!((said(&output), text(&output.stderr)), (expected, ""), "{user:?} {options:?} {letters}");
        }
    }
}

/// The launcher opens the files before it looks at the standard descriptors.
#[test]
fn a_file_does_not_take_the_number_of_a_standard_descriptor() {
    own_process!();
    for (user, options) in ways() {
        for closed in [&[0][..], &[1], &[2], &[0, 2], &[0, 1, 2]] {
            let mut command = autochroot(user);
            // SAFETY: it is the child's.
            unsafe {
                command.pre_exec(move || {
                    for fd in closed {
                        libc::close(*fd);
                    }
                    Ok(())
                });
            }
            let files = ["-f/etc/passwd=/a", "-f/etc/passwd=/b", "-f/etc/passwd=/c"];
            let output = command.args(options).args(files).arg(payload()).arg("null-exit").output().unwrap();
            // A bit for each that is /dev/null: the standard input always is, in this test.
            let expected = closed.iter().fold(1, |all, fd| all | 1 << fd);
            assert_eq!(output.status.code(), Some(expected), "{user:?} {options:?} {closed:?}: {output:?}");
        }
        let mut command = autochroot(user);
        // SAFETY: it is the child's.
        unsafe {
            command.pre_exec(|| {
                libc::close(0);
                Ok(())
            });
        }
        let output = command.args(options).arg("-f/proc/version").arg(payload()).args(["cat=/proc/version", "fds"]);
        let expected = format!("{}fds: [0, 1, 2]\n", fs::read_to_string("/proc/version").unwrap());
        assert_eq!(said(&output.output().unwrap()), expected, "{user:?} {options:?}");
    }
}

/// In bytes, and in the units of 1024 each.
#[test]
fn a_writable_directory_has_the_size_that_is_asked_for() {
    own_process!();
    let Some(busybox) = crate::busybox() else { return skipped("no static busybox") };
    for (size, bytes) in [
        ("65536", 65536),
        ("200K", 200 << 10),
        ("200k", 200 << 10),
        ("3M", 3 << 20),
        ("3m", 3 << 20),
        ("2G", 2_u64 << 30),
        ("2g", 2 << 30),
    ] {
        let output = autochroot(plain())
            .args([&format!("--writable={size}=/var/x"), busybox, "stat", "-f", "-c", "%a %S", "/var/x"])
            .output()
            .unwrap();
        let free: Vec<u64> = text(&output.stdout).split_whitespace().map(|number| number.parse().unwrap()).collect();
        assert!((bytes..bytes + 65536).contains(&(free[0] * free[1])), "{size}: {output:?}");
    }
    for size in ["", "K", "1T", "1KM", "-1", "0x1", "1 ", "18014398509481984K", "18446744073709551616"] {
        let message = format!("--writable: \"{size}\" is not a size: a number, which may have K, M or G after it");
        assert_fails(&run(plain(), [&format!("--writable={size}"), "true"]), 125, &message);
    }
}

#[test]
fn check_lists_the_files() {
    own_process!();
    for (user, options) in ways() {
        let output = autochroot(user)
            .args(options)
            .args(["--check", "-r", "unlinked,detached", "-f", "/etc/passwd=/b/c", "-f", "/proc/version"])
            .output()
            .unwrap();
        let start = "root: detached\nparent: none\nempty: only files\nfile: /b/c\nfile: /proc/version\nwritable: no\n\
                     mode: fixed\n";
        assert!(text(&output.stdout).starts_with(start), "{output:?}");
        assert!(text(&output.stdout).ends_with("\njailed: yes\n") && output.status.success(), "{output:?}");
    }
}

/// Nothing is entered, and PROGRAM does not run.
#[test]
fn what_cannot_be_copied_is_an_error_that_names_it() {
    own_process!();
    let scratch = Scratch::new();
    let device = "--file=/dev/null";
    let many: Vec<_> = (0..129).map(|n| format!("--file=/etc/passwd=/{n}")).collect();
    for (user, options) in ways() {
        for (args, message) in [
            (&["--file="][..], "--file \"\": FILE is empty"),
            (&["--file==/x"], "--file \"=/x\": FILE is empty"),
            (&["-f/proc/self/exe=/x"], "--file /proc/self/exe=/x: that is about autochroot itself, not about PROGRAM"),
            (
                &["-f//proc/./thread-self/environ=/x"],
                "--file //proc/./thread-self/environ=/x: that is about autochroot itself, not about PROGRAM",
            ),
            (
                &["-f", "/nonexistent=/x"],
                "--file /nonexistent=/x: cannot open the files for the root: ENOENT (no such file or directory)",
            ),
            (
                &["-f/etc"],
                "--file /etc: cannot open the files for the root: it is neither a file nor one of the devices null, zero, \
                 full, random and urandom",
            ),
            (
                &["-f/etc/passwd", "-f/proc/version=/etc/passwd"],
                "cannot open the files for the root: file 2: an earlier file has the same path in the root (--file \
                 /proc/version=/etc/passwd)",
            ),
            (
                &["-f/etc/passwd=/a", "-f/etc/passwd=/a/b"],
                "cannot open the files for the root: file 2: it and an earlier file are in each other's way (--file /etc/passwd=/a/b)",
            ),
            (
                &["-f/etc/passwd=/a/"],
                "cannot open the files for the root: file 1: the path in the root has an empty name, \".\", \"..\" or a NUL \
                 byte (--file /etc/passwd=/a/)",
            ),
            (
                &["-f/etc/passwd", "-runlinked"],
                "cannot use these options: only a detached root takes files or a writable directory (--root unlinked)\n  \
                 hint: use auto or detached, or a directory that has it",
            ),
            (
                &["-f/etc/passwd", "-r/usr"],
                "cannot use these options: only a detached root takes files or a writable directory (--root /usr)\n  \
                 hint: use auto or detached, or a directory that has it",
            ),
        ] {
            let args = [args, options, &["/bin/true"]].concat();
            assert_fails(&run(user, args), 125, message);
        }
        let relative =
            autochroot(user).args(options).current_dir("/etc").args(["-fpasswd", "/bin/true"]).output().unwrap();
        assert_fails(
            &relative,
            125,
            "cannot open the files for the root: file 1: the path in the root does not begin with \"/\" (--file \
             passwd)\n  hint: give another path: --file FILE=/PATH, --writable SIZE=/PATH",
        );
        assert_fails(
            &run(user, ["-f/etc/passwd=x", "/bin/true"]),
            125,
            "--file /etc/passwd=x: cannot open the files for the root: ENOENT (no such file or directory)\n  \
             hint: write it as FILE=/PATH",
        );
        assert_fails(
            &autochroot(user).args(&many).arg("/bin/true").output().unwrap(),
            125,
            "--file: more than 128 files",
        );
        if user != User::Root {
            assert_fails(
                &run(user, [options, &[device, payload().to_str().unwrap()]].concat()),
                125,
                "cannot open the files for the root: file 1: a device requires CAP_MKNOD and CAP_SYS_ADMIN, \
                 outside a user namespace (--file /dev/null)\n  hint: start as root, with --user or enter_as for another \
                 user, or name a directory with the device as the root (--root DIR)",
            );
        }
    }
    assert_eq!(scratch.entries(), [] as [&Path; 0]);
}

#[test]
fn root_gives_devices() {
    own_process!();
    root_only!();
    for options in [&["-u7:8"][..], &["--no-seal", "-u7:8"], &["--userns=always"]] {
        let output = autochroot(User::Root)
            .args(options)
            .args(["-f/dev/null", "-f/dev/urandom"])
            .arg(payload())
            .args(["has=/dev/null", "has=/dev/urandom", "has=/dev/zero"])
            .output()
            .unwrap();
        let expected = "has=/dev/null: true\nhas=/dev/urandom: true\nhas=/dev/zero: false\n";
        assert_eq!((said(&output), text(&output.stderr)), (expected, ""), "{options:?}");
    }
}

/// A network of its own, with a DNS server that knows one name, and the programs that ask for it.
fn with_a_name_server(body: impl FnOnce()) {
    as_user(User::Root, || {
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0);
        // SIOCSIFFLAGS of a `struct ifreq`: "lo" is up.
        let mut request = [0_u8; 40];
        request[..2].copy_from_slice(b"lo");
        request[16] = 1;
        unsafe {
            let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
            assert_eq!(libc::ioctl(socket, 0x8914, request.as_ptr()), 0);
            libc::close(socket);
        }
        let server = UdpSocket::bind("127.0.0.1:53").unwrap();
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            close_all_but([server.as_raw_fd(); 2]);
            loop {
                answer(&server);
            }
        }
        drop(server);
        body();
        unsafe { libc::kill(pid, libc::SIGKILL) };
    });
}

/// "service.test" has the address 127.0.0.1, and no other name exists.
fn answer(server: &UdpSocket) {
    let mut query = [0; 512];
    let (length, client) = server.recv_from(&mut query).unwrap();
    let known = b"\x07service\x04test\0";
    let question = &query[12..length];
    let end = question.iter().position(|byte| *byte == 0).unwrap() + 5;
    let is_known = question.starts_with(known);
    let is_address = question[end - 3] == 1;
    let mut reply = query[..12 + end].to_vec();
    reply[2] = 0x81;
    reply[3] = if is_known { 0x80 } else { 0x83 };
    reply[6..12].copy_from_slice(&[0, u8::from(is_known && is_address), 0, 0, 0, 0]);
    if is_known && is_address {
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    server.send_to(&reply, client).unwrap();
}

/// glibc's resolver and musl's.
#[test]
fn a_program_resolves_a_name_through_its_resolv_conf() {
    own_process!();
    root_only!();
    let musl = format!("{}-unknown-linux-musl", std::env::consts::ARCH);
    let scratch = Scratch::new();
    fs::write(scratch.0.join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    fs::set_permissions(scratch.0.join("resolv.conf"), fs::Permissions::from_mode(0o644)).unwrap();
    let file = format!("--file={}=/etc/resolv.conf", scratch.0.join("resolv.conf").display());
    let mut programs = vec![payload().to_owned()];
    if have_target(&musl) {
        programs.push(compile_with("payload", &["--target", &musl]));
    }
    with_a_name_server(|| {
        for program in &programs {
            for (user, options) in [(User::Root, &["-u7:8"][..]), (SOMEBODY, &[])] {
                let output = autochroot(user)
                    .args(options)
                    .arg(&file)
                    .arg(program)
                    .args(["resolve=service.test", "resolve=nothing.test"])
                    .output()
                    .unwrap();
                let said = said(&output);
                assert!(said.starts_with("resolve=service.test: Ok(Some(127.0.0.1:80))\n"), "{output:?}");
                assert!(said.contains("resolve=nothing.test: Err("), "{output:?}");
            }
        }
    });
}

/// A server with a certificate, a key and a configuration file, and a client with a CA bundle, both
/// written in Go.
#[test]
fn a_server_and_a_client_of_tls_have_their_certificates() {
    own_process!();
    root_only!();
    let Some(tls) = compile_go() else { return skipped("no go") };
    let scratch = Scratch::new();
    let make = Command::new(tls).arg("certificates").arg(&scratch.0).arg("service.test").status().unwrap();
    assert!(make.success());
    fs::write(scratch.0.join("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
    fs::write(scratch.0.join("app.conf"), "greeting = hello\n").unwrap();
    // What only root may read, the server gets from the launcher.
    for name in ["key.pem", "app.conf"] {
        fs::set_permissions(scratch.0.join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }
    let file = |name: &str, path: &str| format!("--file={}={path}", scratch.0.join(name).display());
    let client_files = [file("ca.pem", "/etc/ssl/certs/ca-certificates.crt"), file("resolv.conf", "/etc/resolv.conf")];
    let server_files =
        [file("cert.pem", "/etc/tls/cert.pem"), file("key.pem", "/etc/tls/key.pem"), file("app.conf", "/etc/app.conf")];
    with_a_name_server(|| {
        let mut server = autochroot(User::Root)
            .args(["-u7:8", "-q"])
            .args(&server_files)
            .arg(tls)
            .args(["serve", "127.0.0.1:4433"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
        let get = |files: &[String]| {
            let url = ["get", "https://service.test:4433/"];
            autochroot(SOMEBODY).args(files).arg(tls).args(url).output().unwrap()
        };
        let output = get(&client_files);
        assert_eq!((text(&output.stdout), text(&output.stderr)), ("greeting = hello\n", ""));
        // Without the files it is what the empty root makes of it.
        let output = get(&client_files[1..]);
        assert!(text(&output.stdout).contains("certificate signed by unknown authority"), "{output:?}");
        server.kill().unwrap();
        server.wait().unwrap();
    });
}

/// The files are those that whoever starts the launcher sees: before descriptors are closed or
/// replaced.
#[test]
fn a_file_can_be_named_by_a_descriptor_that_the_program_does_not_keep() {
    own_process!();
    for (user, options) in ways() {
        let script = r#""$0" "$@" 3</proc/version </etc/passwd"#;
        let mut command = command(Path::new("sh"));
        start_as(&mut command, user);
        let output = command
            .args(["-c", script])
            .arg(launcher())
            .args(options)
            .args(["--keep-fds=1,2", "-f/dev/fd/3=/version", "-f/proc/self/fd/0=/passwd"])
            .arg(payload())
            .args(["cat=/version", "fds"])
            .output()
            .unwrap();
        let expected = format!("{}fds: [0, 1, 2]\n", fs::read_to_string("/proc/version").unwrap());
        assert_eq!((said(&output), text(&output.stderr)), (&*expected, ""), "{user:?} {options:?}");
    }
}

/// Each root holds a megabyte, which is gone with the program.
#[test]
fn a_thousand_launches_leave_no_memory_behind() {
    own_process!();
    let scratch = Scratch::new();
    let file = scratch.0.join("file");
    fs::write(&file, vec![b'a'; 1 << 20]).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).unwrap();
    let shared = || -> u64 {
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
        let line = meminfo.lines().find_map(|line| line.strip_prefix("Shmem:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
    };
    let before = shared();
    let launches = if is_long() { 1000 } else { 200 };
    for _ in 0..launches {
        let option = format!("-f{}=/file", file.display());
        let output = run(plain(), [option.as_ref(), "--writable=1M".as_ref(), payload(), "has=/file".as_ref()]);
        assert_eq!(text(&output.stdout).lines().last(), Some("has=/file: true"), "{output:?}");
    }
    // Other programs use shared memory too.
    let more = shared().saturating_sub(before);
    assert!(more < launches * 1024 / 2, "{more} KiB more after {launches} launches");
}
