//! The public API, line by line as the source declares it, against the list in `tests/api.txt`: a change that breaks somebody's
//! program is seen there. `AUTOCHROOT_WRITE_API=1 cargo test --test api` writes the list.

use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Every declaration that is public, with the `impl` or `enum` that it stands in.
fn declarations(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut list = String::new();
    let (mut context, mut in_enum, mut condition) = (String::new(), false, String::new());
    for line in source.lines() {
        let text = line.trim();
        if line.starts_with("impl") {
            text.trim_end_matches(['{', '}', ' ']).clone_into(&mut context);
            if context.contains(" for ") && !context.ends_with(" Fault") && !context.ends_with(" Named") {
                writeln!(list, "{condition}{context}").unwrap();
            }
        } else if line.starts_with("pub enum ") {
            in_enum = true;
            context.clear();
            writeln!(list, "{condition}{}", text.trim_end_matches(" {")).unwrap();
        } else if line == "}" {
            (in_enum, context) = (false, String::new());
        } else if in_enum
            && line.starts_with("    ")
            && !line.starts_with("     ")
            && !text.starts_with(['/', '#', '}'])
        {
            writeln!(list, "    {text}").unwrap();
        } else if text.starts_with("pub ") && !text.starts_with("pub use ") {
            let declaration = text.trim_end_matches([';', '{', ' ']);
            let place = if context.is_empty() { String::new() } else { format!("{context}: ") };
            writeln!(list, "{condition}{place}{declaration}").unwrap();
        }
        if line.starts_with("#[cfg(") || line.starts_with("    #[cfg(") {
            condition = format!("{text} ");
        } else if !text.starts_with("///") && !text.starts_with("#[") {
            condition.clear();
        }
    }
    list
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect();
    files.retain(|path| !path.ends_with("main.rs"));
    files.sort();
    files
}

#[test]
fn the_public_api_is_the_one_that_is_listed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = [sources(&root.join("src")), sources(&root.join("src/kernel"))].concat();
    let mut list = String::new();
    for path in files {
        let found = declarations(&std::fs::read_to_string(&path).unwrap());
        if !found.is_empty() {
            writeln!(list, "# {}\n{found}", path.strip_prefix(root).unwrap().display()).unwrap();
        }
    }
    let listed = root.join("tests/api.txt");
    if std::env::var_os("AUTOCHROOT_WRITE_API").is_some() {
        std::fs::write(&listed, &list).unwrap();
    }
    assert_eq!(list, std::fs::read_to_string(listed).unwrap());
}
