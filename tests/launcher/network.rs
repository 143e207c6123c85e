//! `--no-connect` for programs of several languages.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::*;
use crate::{autochroot, text};

/// A name cannot be resolved, and the program is told at once.
#[test]
fn resolving_a_name_fails_at_once() {
    own_process!();
    let resolve = |user, program: &Path, args: &[&str]| {
        let mut launch = autochroot(user);
        launch.args(["-q", "--no-connect", "-f/etc/resolv.conf"]).arg(program).args(args);
        let output = launch.output().unwrap();
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    };
    if !Path::new("/etc/resolv.conf").exists() {
        return skipped("no /etc/resolv.conf");
    }
    for user in users() {
        // musl's EAI_SYSTEM with EPERM; glibc, if the target is not there, EAI_AGAIN.
        let said = resolve(user, payload(), &["resolve=name.invalid"]);
        assert!(said.contains("resolve=name.invalid: Err("), "{said}");
        assert!(said.contains("not permitted") || said.contains("failure in name resolution"), "{said}");
        if let Some(go) = compile_go() {
            let said = resolve(user, go, &["get", "http://name.invalid/"]);
            assert!(said.contains("socket: operation not permitted"), "{said}");
        }
    }
}

/// As systemd passes a socket on: as descriptor 3.
fn with_listener(launch: &mut Command) -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let fd = listener.as_raw_fd();
    // SAFETY: the calls are safe in a fork. They leave descriptor 3 without the flag that closes it.
    unsafe {
        launch.pre_exec(move || match libc::fcntl(libc::dup2(fd, 3), libc::F_SETFD, 0) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    listener
}

/// A server of Go's `net/http` on a socket that it is given, which takes threads, epoll and accept4.
#[test]
fn a_go_server_on_a_socket_that_it_is_given_answers() {
    own_process!();
    network_only!();
    let Some(go) = compile_go() else { return skipped("no go") };
    for user in users() {
        let mut launch = autochroot(user);
        let listener = with_listener(&mut launch);
        launch.args(["-q", "--no-connect", "--keep-fds=0,1,2,3"]).arg(go).arg("inherited");
        let mut server = launch.stdout(Stdio::piped()).spawn().unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(std::time::Duration::from_secs(60))).unwrap();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert!(said.ends_with("\r\n\r\ndial tcp 127.0.0.1:9: socket: operation not permitted\n"), "{said}");
        server.kill().unwrap();
        server.wait().unwrap();
    }
}
