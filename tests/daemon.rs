//! A daemon from start to end: a TCP server that reads, binds, enters, becomes its user, seals,
//! starts threads and serves; asked by clients, and looked at from outside.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "calls that std does not have")]

#[macro_use]
mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;

use autochroot::{Entered, Jail};
use common::*;

/// Answers each client in a thread of its own with what it said, in capitals, until one says "end".
/// `log` was opened before.
fn serve(listener: &TcpListener, mut log: &fs::File) {
    for client in listener.incoming() {
        let mut client = client.unwrap();
        let answered = std::thread::spawn(move || {
            let mut text = String::new();
            client.read_to_string(&mut text).unwrap();
            let reachable = fs::metadata("/etc").is_ok() || fs::File::create("x").is_ok();
            write!(client, "{} {reachable}", text.to_uppercase()).unwrap();
            text
        });
        let text = answered.join().unwrap();
        log.write_all(text.as_bytes()).unwrap();
        if text == "end" {
            break;
        }
    }
}

fn ask(port: u16, text: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    std::io::read_to_string(stream).unwrap()
}

/// The daemon, instead of tests: with this set, before `main`, where there is one thread.
const PORT: &str = "AUTOCHROOT_TEST_DAEMON";

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn before_main() {
        let Some(log) = std::env::var_os(PORT) else { return };
        let log = fs::File::create(log).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let jailed = Jail::auto().enter().unwrap();
        let jailed = match jailed.entered() {
            Entered::Privilege => jailed.run_as(&account(12345, 12346, &[12347])).unwrap(),
            _ => jailed,
        };
        let _sealed = jailed.seal().unwrap();
        println!("{port}");
        serve(&listener, &log);
        unsafe { libc::_exit(0) };
    }
    before_main
};

#[test]
fn a_daemon_serves_from_its_jail() {
    own_process!();
    network_only!();
    let daemon = reachable(&std::env::current_exe().unwrap());
    let logs = Scratch::new();
    for user in users() {
        let log = logs.0.join(format!("{user:?}"));
        let mut command = command(&daemon);
        start_as(&mut command, user);
        let mut daemon = command.env(PORT, &log).current_dir("/").stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0; 6];
        let mut length = 0;
        while !line[..length].ends_with(b"\n") {
            length += daemon.stdout.as_mut().unwrap().read(&mut line[length..]).unwrap();
        }
        let port = std::str::from_utf8(&line[..length]).unwrap().trim_end().parse().unwrap();
        assert_eq!(ask(port, "hello"), "HELLO false");
        look_at(daemon.id(), user);
        assert_eq!(ask(port, "end"), "END false");
        assert!(daemon.wait().unwrap().success());
        assert_eq!(fs::read_to_string(log).unwrap(), "helloend");
    }
}

/// What an administrator sees.
fn look_at(pid: u32, user: User) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let mut expected =
        vec!["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapAmb:\t0000000000000000", "NoNewPrivs:\t1"];
    if user == User::Root {
        expected.extend([
            "Uid:\t12345\t12345\t12345\t12345",
            "Gid:\t12346\t12346\t12346\t12346",
            "Groups:\t12347",
            "CapBnd:\t0000000000000000",
        ]);
    }
    for line in expected {
        assert!(status.contains(line), "{line}: {status}");
    }
    if is_root() {
        // Its root has no name, and whoever may look finds nothing there.
        assert_eq!(fs::read_dir(format!("/proc/{pid}/root/")).unwrap().count(), 0);
        for fd in fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
            assert!(!fs::metadata(fd.unwrap().path()).is_ok_and(|file| file.is_dir()), "a directory is open");
        }
    }
}

#[test]
fn systemd_hands_over_a_socket() {
    own_process!();
    network_only!();
    if !have("systemd-socket-activate") {
        return skipped("no systemd-socket-activate");
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut systemd = command(Path::new("systemd-socket-activate"));
    systemd.arg("-l").arg(format!("127.0.0.1:{port}")).arg(launcher()).arg(payload()).arg("accept");
    let mut service = systemd.stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    while TcpStream::connect(("127.0.0.1", port)).map(|stream| stream.shutdown(Shutdown::Both)).is_err() {
        std::thread::yield_now();
    }
    // The first connection starts it, and is answered.
    assert!(service.wait().unwrap().success());
}
