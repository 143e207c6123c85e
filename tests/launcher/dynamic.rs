//! Dynamically linked programs: what the line with `ldd` covers, and what it does not cover.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};

use crate::common::*;
use crate::{autochroot, text};

/// What the guide's line gives: `-f FILE` for each path that `ldd` prints.
fn listed(program: &Path) -> Vec<String> {
    let ldd = Command::new("ldd").arg(program).output().unwrap();
    assert!(ldd.status.success(), "{ldd:?}");
    let path = |word: &str| word.starts_with('/').then(|| format!("-f{word}"));
    text(&ldd.stdout).split_whitespace().filter_map(path).collect()
}

/// A directory with what these commands make there, in which DIR is its path. `None`: there is no C
/// compiler.
fn built(sources: &[(&str, &str)], commands: &[&[&str]]) -> Option<Scratch> {
    if !have("cc") || !have("ldd") {
        skipped("no cc or no ldd");
        return None;
    }
    let scratch = Scratch::new();
    for (name, text) in sources {
        std::fs::create_dir_all(scratch.0.join(name).parent().unwrap()).unwrap();
        std::fs::write(scratch.0.join(name), text).unwrap();
    }
    for command in commands {
        let args = command[1..].iter().map(|arg| arg.replace("DIR", scratch.0.to_str().unwrap()));
        let output = Command::new(command[0]).args(args).current_dir(&scratch.0).output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    }
    Some(scratch)
}

/// Makes libx.so.
const SHARED: &[&str] = &["cc", "-shared", "-fPIC", "-olibx.so", "x.c"];
const LIBRARY: &str = "int answer(void) { return 42; }";
const PROGRAM: &str = "int answer(void);\nint main(void) { return answer(); }";

fn launch<A: AsRef<OsStr>>(user: User, variables: &[(&str, &str)], args: impl IntoIterator<Item = A>) -> Output {
    autochroot(user).args(args).envs(variables.iter().copied()).output().unwrap()
}

/// The program runs with `more` and these variables, and not without them.
#[track_caller]
fn helps(program: &Path, options: &[String], more: &[String], variables: &[(&str, &str)]) {
    let program = program.to_str().unwrap().to_owned();
    for user in users() {
        let output = launch(user, &[], options.iter().chain([&program]));
        assert_ne!(output.status.code(), Some(42), "{output:?}");
        let output = launch(user, variables, options.iter().chain(more).chain([&program]));
        assert_eq!(output.status.code(), Some(42), "{output:?}");
    }
}

#[test]
fn a_library_that_ldd_lists_is_found() {
    own_process!();
    let sources = [("x.c", LIBRARY), ("p.c", PROGRAM)];
    let commands: [&[&str]; 2] = [SHARED, &["cc", "-op", "p.c", "-L.", "-lx", "-Wl,-rpath,DIR"]];
    let Some(scratch) = built(&sources, &commands) else { return };
    let program = scratch.0.join("p");
    let options = listed(&program);
    for user in users() {
        let output = launch(user, &[], options.iter().map(AsRef::as_ref).chain([program.as_os_str()]));
        assert_eq!(output.status.code(), Some(42), "{output:?}");
    }
}

/// A library in a directory of `/etc/ld.so.conf`: the loader looks it up in `/etc/ld.so.cache`.
#[test]
fn a_library_of_ld_so_conf_needs_the_cache() {
    own_process!();
    let sources = [("x.c", LIBRARY), ("p.c", PROGRAM)];
    let commands: [&[&str]; 2] =
        [&["cc", "-shared", "-fPIC", "-Wl,-soname,libx.so", "-olibx.so", "x.c"], &["cc", "-op", "p.c", "-L.", "-lx"]];
    let Some(scratch) = built(&sources, &commands) else { return };
    if !Path::new("/sbin/ldconfig").exists() {
        return skipped("no ldconfig");
    }
    let [library, conf, cache] = ["libx.so", "conf", "cache"].map(|name| scratch.0.join(name).display().to_string());
    std::fs::write(&conf, scratch.0.to_str().unwrap()).unwrap();
    assert!(Command::new("/sbin/ldconfig").args(["-X", "-C", &cache, "-f", &conf]).status().unwrap().success());
    // `ldd` would list it if the cache were the machine's.
    let options: Vec<_> = listed(Path::new("/bin/sh")).into_iter().chain([format!("-f{library}")]).collect();
    helps(&scratch.0.join("p"), &options, &[format!("-f{cache}=/etc/ld.so.cache")], &[]);
}

/// Without `/proc` the loader does not know where the program is.
#[test]
fn a_runpath_with_origin_needs_a_variable() {
    own_process!();
    let sources = [("x.c", LIBRARY), ("p.c", PROGRAM)];
    let commands: [&[&str]; 2] = [SHARED, &["cc", "-op", "p.c", "-L.", "-lx", "-Wl,-rpath,$ORIGIN"]];
    let Some(scratch) = built(&sources, &commands) else { return };
    let program = scratch.0.join("p");
    helps(&program, &listed(&program), &[], &[("LD_ORIGIN_PATH", scratch.0.to_str().unwrap())]);
}

/// A path with ".." is not one of a file in the root.
#[test]
fn a_library_with_dots_in_its_path_needs_its_own_path_and_a_variable() {
    own_process!();
    let sources = [("lib/x.c", LIBRARY), ("bin/p.c", PROGRAM)];
    let commands: [&[&str]; 2] = [
        &["cc", "-shared", "-fPIC", "-olib/libx.so", "lib/x.c"],
        &["cc", "-op", "bin/p.c", "-Llib", "-lx", "-Wl,-rpath,DIR/bin/../lib"],
    ];
    let Some(scratch) = built(&sources, &commands) else { return };
    let program = scratch.0.join("p");
    let (with_dots, others): (Vec<_>, Vec<_>) =
        listed(&program).into_iter().partition(|option| option.contains("/../"));
    let [with_dots] = &with_dots[..] else { panic!("{with_dots:?}") };
    let output = launch(plain(), &[], [with_dots.as_str(), program.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let library = scratch.0.join("lib/libx.so").display().to_string();
    let variables = [("LD_LIBRARY_PATH", scratch.0.join("lib").display().to_string())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    helps(&program, &others, &[format!("-f{library}")], &variables);
}

/// What is opened later is not listed.
#[test]
fn a_plugin_is_named_too() {
    own_process!();
    let program = "#include <dlfcn.h>\nint main(int n, char **args) {\n    void *library = dlopen(args[0][0] ? PLUGIN : 0, \
                   RTLD_NOW);\n    int (*answer)(void) = library ? dlsym(library, \"answer\") : 0;\n    return answer ? \
                   answer() : 1;\n}";
    let sources = [("x.c", LIBRARY), ("p.c", program)];
    let commands: [&[&str]; 2] = [
        &["cc", "-shared", "-fPIC", "-oplugin.so", "x.c"],
        &["cc", "-op", "p.c", "-DPLUGIN=\"DIR/plugin.so\"", "-ldl"],
    ];
    let Some(scratch) = built(&sources, &commands) else { return };
    let plugin = scratch.0.join("plugin.so").display().to_string();
    let program = scratch.0.join("p");
    helps(&program, &listed(&program), &[format!("-f{plugin}")], &[]);
}
