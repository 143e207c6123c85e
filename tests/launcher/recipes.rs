//! The recipes of the README, as they stand there but for the paths of programs.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use crate::common::*;

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
