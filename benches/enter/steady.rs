//! A server of somebody else that answers requests inside and outside.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::table::{group, row};

const REQUESTS: u32 = 20_000;

/// Starts the server of `AUTOCHROOT_SERVER`, which takes `--port`, in three ways, and measures the
/// requests of one client.
pub fn steady() {
    let (Ok(server), Ok(launcher)) = (std::env::var("AUTOCHROOT_SERVER"), std::env::var("AUTOCHROOT_STATIC")) else {
        return println!("| AUTOCHROOT_SERVER or AUTOCHROOT_STATIC is not set: no server is measured. | | | |");
    };
    let ways: [(&str, Vec<&str>); 3] = [
        ("outside", vec![&server]),
        ("inside, not sealed", vec![&launcher, "--no-seal", "-q", &server]),
        ("inside, sealed", vec![&launcher, &server]),
    ];
    let started = ways.iter().zip(20_100_u16..).map(|((name, args), port)| {
        let mut command = Command::new(args[0]);
        command.args(&args[1..]).args(["--port", &port.to_string()]).stdout(Stdio::null()).stderr(Stdio::null());
        (*name, command.spawn().unwrap(), port)
    });
    let started: Vec<_> = started.collect();
    for (title, measures_cpu) in
        [("1,000 requests, until answered", false), ("1,000 requests, CPU time of the server", true)]
    {
        let rows: Vec<_> = started
            .iter()
            .map(|(name, child, port)| {
                row(*name, 0, move || {
                    let (wall, cpu) = requests(child.id(), *port);
                    if measures_cpu { cpu } else { wall }
                })
            })
            .collect();
        group(title, 12, &rows);
    }
    for (_, mut child, _) in started {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Makes requests, one after the other. Returns how long 1,000 of them take, and the CPU time of the
/// server, in nanoseconds.
fn requests(server: u32, port: u16) -> (u32, u32) {
    let connected = (0..100).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    let mut stream = connected.expect("the server does not start");
    stream.set_nodelay(true).unwrap();
    let (start, before) = (Instant::now(), cpu(server));
    for _ in 0..REQUESTS {
        stream.write_all(b"*2\r\n$3\r\nGET\r\n$1\r\nx\r\n").unwrap();
        assert_ne!(stream.read(&mut [0; 64]).unwrap(), 0);
    }
    let each = |nanoseconds: u128| u32::try_from(nanoseconds * 1000 / u128::from(REQUESTS)).unwrap();
    (each(start.elapsed().as_nanos()), each(u128::from(cpu(server) - before)))
}

/// Returns the CPU time of all threads of a process, in nanoseconds.
fn cpu(process: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_task = |task: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let said = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        said.split(' ').next()?.parse().ok()
    };
    tasks.filter_map(of_task).sum()
}
