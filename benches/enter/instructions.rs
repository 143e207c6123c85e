//! How many instructions an entry takes outside the kernel, counted by valgrind: wall time is
//! noisy, these are not.

use std::path::Path;
use std::process::Command;

use autochroot::Jail;

use crate::by_hand::{ByHand, load};

/// The word on the command line before what is to be done once.
pub const ONCE: &str = "once";

/// Valgrind's own descriptors are counted in /proc, and not to be seen: nobody looks for open
/// directories.
const WITHOUT: libc::c_int = 2;

const SAME: &str = "C: the same calls";

/// Of a library of C, a colon and what is to be done once.
pub fn once(what: &str) {
    let (library, what) = what.split_once(':').unwrap();
    let c = load(Path::new(library));
    let done = match what {
        "nothing" => Ok(()),
        "enter" => {
            Jail::unlinked_in(b"/dev/shm").allow_open_directories().enter().map(drop).map_err(|error| error.to_string())
        }
        SAME => c.same.enter("/dev/shm", WITHOUT),
        "C: HAProxy's calls" => c.haproxy.enter("/dev/shm", 0),
        _ => panic!("{what}"),
    };
    // SAFETY: it ends the process.
    unsafe { libc::_exit(done.map_or(1, |()| 0)) };
}

pub fn instructions(c: Option<&ByHand>) {
    let Some(c) = c else { return };
    let kinds = ["nothing", SAME, "enter", "C: HAProxy's calls"];
    let counts: Option<Vec<_>> = kinds.iter().map(|what| count(c, what)).collect();
    let Some(counts) = counts else {
        return println!("| There is no valgrind that works: instructions are not counted. | | | |");
    };
    println!("| **instructions outside the kernel, without the look for open directories** | instructions | | |");
    for (what, count) in kinds.iter().zip(&counts).skip(1) {
        let (own, same) = (count - counts[0], counts[1] - counts[0]);
        println!("| {what} | {own:.0} | {:.2} | {SAME} |", own / same);
    }
}

/// `None`: valgrind is not there, or can't do it.
fn count(c: &ByHand, what: &str) -> Option<f64> {
    let output = Command::new("valgrind")
        .args(["--tool=lackey", "--vgdb=no"])
        .arg(std::env::current_exe().unwrap())
        .args([ONCE, &format!("{}:{what}", c.library.display())])
        .output()
        .ok()?;
    let said = String::from_utf8(output.stderr).unwrap();
    let count = said.lines().find_map(|line| line.split_once("guest instrs:"))?.1;
    output.status.success().then(|| count.trim().replace(',', "").parse().unwrap())
}
