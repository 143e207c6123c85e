//! A process of its own for each test, as `cargo nextest` has them. No other test runs in it: the
//! harness has a thread that waits, and holds no lock that a fork could need.

use std::any::type_name;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::Scratch;

/// The seconds after which whoever waits gives up: far more than any test takes, on a busy machine
/// too.
pub const LIMIT: u32 = 600;

/// Returns whether the long trials run whole, as in CI, and not a part of them.
pub fn is_long() -> bool {
    std::env::var_os("AUTOCHROOT_LONG").is_some()
}

/// What a trial adds to the figures that it prints.
pub fn length() -> &'static str {
    if is_long() { "" } else { ", a part of them: AUTOCHROOT_LONG=1 tries all" }
}

/// Set in the process of a test.
const IN_OWN_PROCESS: &str = "AUTOCHROOT_TEST_PROCESS";

/// A build whose panics abort has such processes already.
pub fn is_own_process() -> bool {
    cfg!(panic = "abort") || std::env::var_os(IN_OWN_PROCESS).is_some()
}

/// Runs the test that has this function in it, and fails if the test does.
#[track_caller]
pub fn run_in_own_process<F>(_: F) {
    let path = type_name::<F>();
    let name = path.split_once("::").and_then(|(_, path)| path.strip_suffix("::here")).unwrap();
    let scratch = Scratch::new();
    let log = scratch.0.join("log");
    let file = File::create(&log).unwrap();
    // A file, since a process that outlives the test would keep a pipe open.
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", name, "--include-ignored", "--nocapture", "--test-threads=1"]).env(IN_OWN_PROCESS, "1");
    test.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    // SAFETY: it sets a timer, no more.
    unsafe {
        test.pre_exec(|| {
            libc::alarm(2 * LIMIT);
            Ok(())
        });
    }
    let status = test.status().unwrap();
    let said = String::from_utf8_lossy(&std::fs::read(&log).unwrap()).into_owned();
    assert!(status.signal() != Some(libc::SIGALRM), "killed after {} s: {said}", 2 * LIMIT);
    assert!(status.success(), "{status}: {said}");
    assert!(said.contains("test result: ok. 1 passed"), "not one test ran: {said}");
    if let Some(why) = said.lines().find_map(|line| line.split_once("skipped: ")) {
        report_skipped(name, why.1);
    }
    said.lines().filter_map(|line| Some(&line[line.find("figure: ")?..])).for_each(|line| println!("{line}"));
}

/// Says why a test does not run. Where `CI` is set that is a failure: CI is given all that a test
/// can need.
#[track_caller]
pub fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {why}");
    if std::env::var_os(IN_OWN_PROCESS).is_some() {
        println!("skipped: {why}");
    } else {
        report_skipped(std::thread::current().name().unwrap_or("?"), why);
    }
}

/// Prints it past the harness, which swallows what a test that passes prints, and at the end how
/// many there were.
fn report_skipped(name: &str, why: &str) {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    static AT_EXIT: Once = Once::new();
    extern "C" fn report() {
        let count = COUNT.load(Relaxed);
        let were = if count == 1 { "test was" } else { "tests were" };
        let _ = writeln!(std::io::stderr(), "{count} {were} skipped; tests/README.md says how to run all of them.\n");
    }
    // SAFETY: the function may be called at exit.
    AT_EXIT.call_once(|| assert_eq!(unsafe { libc::atexit(report) }, 0));
    COUNT.fetch_add(1, Relaxed);
    std::io::stderr().write_all(format!("{name} skipped: {why}\n").as_bytes()).unwrap();
}
