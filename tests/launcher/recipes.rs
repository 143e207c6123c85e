//! The recipes of the README, as they stand there but for the paths of programs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use crate::common::*;
use crate::text;

const README: &str = include_str!("../../README.md");

/// The text between two others, with the programs of this machine.
fn recipe(start: &str, end: &str) -> String {
    let text = README.split_once(start).unwrap_or_else(|| panic!("no {start}")).1.split_once(end).unwrap().0;
    text.replace("/usr/bin/autochroot", launcher().to_str().unwrap())
        .replace("/usr/lib/server", payload().to_str().unwrap())
        .replace("-u www", "-u 7:8")
}

#[test]
fn systemd_takes_the_units() {
    if !have("systemd-analyze") {
        return skipped("no systemd-analyze");
    }
    let scratch = Scratch::new();
    let (socket, service) = (scratch.0.join("server.socket"), scratch.0.join("server.service"));
    fs::write(&socket, recipe("# server.socket\n", "# server.service\n")).unwrap();
    fs::write(&service, recipe("# server.service\n", "```")).unwrap();
    for unit in [socket, service] {
        let output = command(Path::new("systemd-analyze")).arg("verify").arg(unit).output().unwrap();
        assert!(output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("server."), "{output:?}");
    }
}

#[test]
fn runit_runs_the_launcher() {
    root_only!();
    if !have("runsv") {
        return skipped("no runsv");
    }
    let scratch = Scratch::new();
    let run = scratch.0.join("run");
    let line = recipe("`run` script of runit | `", "` |");
    fs::write(&run, format!("#!/bin/sh\n{line} pid ids look\n")).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o755)).unwrap();
    let mut runsv = command(Path::new("runsv")).arg(&scratch.0).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(runsv.stdout.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<_> = lines.take_while(|line| !line.starts_with("mkdir: ")).collect();
    assert!(said.contains(&"ids: 7 7 8 8 [8]".to_owned()), "{said:?}");
    assert!(said.contains(&"entries: Ok(0)".to_owned()), "{said:?}");
    runsv.kill().unwrap();
    runsv.wait().unwrap();
}

/// As systemd does with `CapabilityBoundingSet=`.
#[test]
fn the_capabilities_that_a_unit_leaves_are_enough() {
    root_only!();
    if !have("setpriv") {
        return skipped("no setpriv");
    }
    let run = |left: &str, args: &[&str]| {
        let mut command = command(Path::new("setpriv"));
        command.arg(format!("--bounding-set=-all{left}")).arg("--inh-caps=-all").arg(launcher()).args(args);
        command.arg(payload()).arg("ids").current_dir("/").stdin(Stdio::null());
        command.output().unwrap()
    };
    let base = ",+sys_chroot,+setuid,+setgid";
    let all = format!("{base},+setpcap,+net_bind_service");
    for (left, args) in [
        (&*all, &["-u7:8"][..]),
        (&*all, &["-u7:8", "--caps=net_bind_service"]),
        (base, &["-u7:8", "-q"]),
        (",+sys_chroot,+sys_admin,+setuid,+setgid,+setpcap", &["-u7:8", "-f/etc/passwd"]),
        (",+sys_chroot,+setpcap", &[]),
    ] {
        let output = run(left, args);
        let ids = if args.is_empty() { "ids: 0 0 0 0" } else { "ids: 7 7 8 8 [8]" };
        assert!(text(&output.stdout).contains(ids) && output.stderr.is_empty(), "{left} {args:?}: {output:?}");
    }
    // What is missing is named.
    let hint = "; run as root, or grant it: in systemd by AmbientCapabilities= with User=, and CapabilityBoundingSet=";
    for (left, args, missing) in [
        (",+sys_chroot", &["-q", "-u7:8"][..], "missing: setgid,setuid"),
        (",+sys_chroot,+setuid,+setgid", &["-u7:8", "--require=securebits"], "missing: setpcap"),
        (",+sys_chroot,+setuid,+setgid,+setpcap", &["-u7:8", "--caps=net_admin"], "missing: net_admin"),
    ] {
        let output = run(left, args);
        assert!(text(&output.stderr).ends_with(&format!("hint: {missing}{hint}\n")), "{left} {args:?}: {output:?}");
        assert_eq!(output.status.code(), Some(125));
    }
}
