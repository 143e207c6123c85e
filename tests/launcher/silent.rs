//! What changes in an empty root without an error, and the remedy that the guide gives for each.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::common::*;
use crate::text;

fn run(options: &[&str], environment: &[(&str, &str)], program: &[&str]) -> String {
    let mut launcher = command(launcher());
    launcher.current_dir("/").args(options).args(program).envs(environment.iter().copied());
    let output = launcher.stdin(Stdio::null()).output().unwrap();
    assert!(output.stderr.is_empty(), "{output:?}");
    text(&output.stdout).to_owned()
}

#[test]
fn a_time_zone_by_name_becomes_utc_and_one_by_rule_does_not() {
    own_process!();
    if !Path::new("/bin/busybox").exists() {
        return skipped("no busybox");
    }
    let scratch = Scratch::new();
    let zone = |tz: &str, options: &[&str]| run(options, &[("TZ", tz)], &["/bin/busybox", "date", "+%z"]);
    assert_eq!(zone("Asia/Tokyo", &[]), "+0000\n");
    assert_eq!(zone("JST-9", &[]), "+0900\n");
    // A zone file: version 1, one type, nine hours east of Greenwich.
    let mut file = b"TZif".to_vec();
    file.extend([0; 16]);
    for count in [0_u32, 0, 0, 0, 1, 4] {
        file.extend(count.to_be_bytes());
    }
    file.extend(32_400_u32.to_be_bytes());
    file.extend(*b"\0\0JST\0");
    fs::write(scratch.0.join("localtime"), file).unwrap();
    let bring = format!("--file={}=/etc/localtime", scratch.0.join("localtime").display());
    let local = |options: &[&str]| {
        let mut launcher = command(launcher());
        launcher.current_dir("/").env_remove("TZ").args(options).args([payload().to_str().unwrap(), "zone"]);
        text(&launcher.stdin(Stdio::null()).output().unwrap().stdout).to_owned()
    };
    assert!(local(&[]).ends_with("zone: 0\n"), "{}", local(&[]));
    assert!(local(&[&bring]).ends_with("zone: 32400\n"), "{}", local(&[&bring]));
}

/// musl asks 127.0.0.1, which nobody answers, and waits.
#[test]
fn localhost_needs_etc_hosts() {
    own_process!();
    network_only!();
    let machine = if cfg!(target_arch = "x86") { "i686" } else { std::env::consts::ARCH };
    let musl = format!("{machine}-unknown-linux-musl");
    if !have_target(&musl) {
        return skipped("no target for musl");
    }
    let program = compile_with("payload", &["--target", &musl]);
    let ask = |options: &[&str]| run(options, &[], &[program.to_str().unwrap(), "resolve=localhost"]);
    let said = ask(&["--file=/etc/hosts"]);
    assert!(said.contains("resolve=localhost: Ok(Some("), "{said}");
    let said = ask(&[]);
    assert!(said.contains("resolve=localhost: "), "{said}");
}

#[test]
fn a_go_server_has_a_short_backlog_without_somaxconn() {
    own_process!();
    let Some(program) = compile_go() else { return skipped("no go") };
    if !have("strace") {
        return skipped("no strace");
    }
    let most = fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    let backlog = |options: &[&str]| {
        let mut strace = command(Path::new("strace"));
        strace
            .args(["-f", "-qq", "-e", "trace=listen", "-e", "signal=none"])
            .arg(launcher())
            .args(options)
            .arg(program);
        let output = strace.args(["listen", "127.0.0.1:0"]).current_dir("/").stdin(Stdio::null()).output().unwrap();
        let calls = text(&output.stderr).to_owned();
        let (_, backlog) = calls.split_once("listen(").unwrap_or_else(|| panic!("{calls}")).1.split_once(", ").unwrap();
        backlog.split_once(')').unwrap().0.to_owned()
    };
    assert_eq!(backlog(&[]), "128");
    assert_eq!(backlog(&["--file=/proc/sys/net/core/somaxconn"]), most.trim());
}

#[test]
fn dev_urandom_can_be_brought_as_root() {
    own_process!();
    root_only!();
    let has = "has=/dev/urandom";
    let program = [payload().to_str().unwrap(), has];
    assert!(run(&["-u7:8"], &[], &program).ends_with("has=/dev/urandom: false\n"));
    assert!(run(&["-u7:8", "--file=/dev/urandom"], &[], &program).ends_with("has=/dev/urandom: true\n"));
}

#[test]
fn a_backtrace_has_no_names() {
    own_process!();
    let outside = command(payload()).arg("backtrace").output().unwrap();
    assert!(text(&outside.stdout).contains("payload::main"), "{outside:?}");
    let inside = run(&[], &[], &[payload().to_str().unwrap(), "backtrace"]);
    assert!(inside.contains("<unknown>") && !inside.contains("payload::main"), "{inside}");
}
