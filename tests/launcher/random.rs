//! Command lines put together at random.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::common::*;
use crate::{run, text};

/// Command lines put together at random, each word as it is or with a byte changed: whatever they
/// are, there is an exit status that is listed, and a message for each that means a failure.
#[test]
fn every_command_line_runs_or_is_refused_with_a_reason() {
    own_process!();
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
            // There is no jail, or PROGRAM cannot be executed in it.
            1 => assert!(
                output.stdout.ends_with(b"jailed: no\n")
                    || output.stdout.starts_with(b"program: ") && !output.stdout.starts_with(b"program: yes"),
                "{}",
                case()
            ),
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
