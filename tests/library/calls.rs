//! Every system call is classified: what keeps a sealed process from reaching outside with it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::common::*;

type Names<'t> = BTreeSet<&'t str>;

/// The classes of `tests/calls.txt`, each call in one of them.
fn classes() -> BTreeMap<&'static str, Names<'static>> {
    let text = include_str!("../calls.txt");
    let mut classes = BTreeMap::<_, Names<'_>>::new();
    let (mut class, mut seen) = ("", Names::new());
    for word in text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace) {
        if let Some(name) = word.strip_suffix(':') {
            class = name;
        } else {
            assert!(seen.insert(word), "{word} is in two classes");
            classes.entry(class).or_default().insert(word);
        }
    }
    classes
}

/// The names after `__NR_` in a text.
fn numbered(text: &str) -> Names<'_> {
    let end = |rest: &str| rest.find(|one: char| !(one.is_ascii_alphanumeric() || one == '_')).unwrap_or(rest.len());
    text.split("__NR_").skip(1).map(|rest| &rest[..end(rest)]).collect()
}

/// Where cargo keeps the source of linux-raw-sys.
fn source() -> Option<String> {
    let output = Command::new(option_env!("CARGO")?)
        .args(["metadata", "--format-version=1", "--offline", "--locked", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    let manifest = said.split('"').find(|word| word.contains("/linux-raw-sys-") && word.ends_with("/Cargo.toml"))?;
    std::fs::read_to_string(manifest.replace("Cargo.toml", "src/x86_64/general.rs")).ok()
}

#[test]
fn every_system_call_has_a_class() {
    own_process!();
    let Some(source) = source() else { return skipped("cargo does not find linux-raw-sys") };
    let known = numbered(&source);
    let classified: Names<'_> = classes().into_values().flatten().collect();
    assert_eq!(known.difference(&classified).collect::<Vec<_>>(), [] as [&&str; 0], "have no class");
    // Of kernels that are newer than its headers.
    let newer = ["uprobe", "listns", "rseq_slice_yield", "fchroot"];
    let unknown: Vec<_> = classified.difference(&known).filter(|name| !newer.contains(name)).collect();
    assert_eq!(unknown, [] as [&&str; 0], "are not in linux-raw-sys");
}

#[test]
fn the_classes_of_the_filter_are_those_of_its_tables() {
    own_process!();
    let source = include_str!("../../src/linux/seal/seccomp/calls.rs");
    let (_, tables) = source.split_once("    SEAL, SEAL_COUNT;").unwrap();
    let (seal, rest) = tables.split_once("CONNECT, CONNECT_COUNT;").unwrap();
    let (connect, _) = rest.split_once("\n}\n").unwrap();
    let elsewhere = ["fcntl64", "truncate64", "socketcall"];
    let of = |text| numbered(text).into_iter().filter(|name| !elsewhere.contains(name)).collect::<Names<'_>>();
    let classes = classes();
    assert_eq!(classes["filter"], of(seal));
    assert_eq!(classes["no-connect"], of(connect));
}
