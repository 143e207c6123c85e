//! An appliance: Debian's kernel under qemu, with an initramfs that holds the static launcher, a static program, and an
//! `/init` that runs the one with the other in every state of the machine.
//!
//! Needs `qemu-system-x86_64`, the kernel's path in `AUTOCHROOT_KERNEL` and the static launcher's in `AUTOCHROOT_STATIC`;
//! `.ci/run` provides them.
#![cfg(target_os = "linux")]

mod common;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use common::*;

/// An initramfs in the format "newc" of `cpio(5)`.
fn initramfs(files: &[(&str, &Path)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut add = |inode: usize, name: &str, mode: u32, rdev: (u32, u32), content: &[u8]| {
        let mut header = String::from("070701");
        let fields = [
            inode,
            mode as usize,
            0,
            0,
            1,
            0,
            content.len(),
            0,
            0,
            rdev.0 as usize,
            rdev.1 as usize,
            name.len() + 1,
            0,
        ];
        for field in fields {
            write!(header, "{field:08x}").unwrap();
        }
        archive.extend_from_slice(header.as_bytes());
        archive.extend_from_slice(name.as_bytes());
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(4), 0);
    };
    add(1, "dev", 0o040_755, (0, 0), b"");
    add(2, "dev/console", 0o020_600, (5, 1), b"");
    add(3, "dev/null", 0o020_666, (1, 3), b"");
    for (n, (name, path)) in files.iter().enumerate() {
        if path.as_os_str().is_empty() {
            add(4 + n, name, 0o040_755, (0, 0), b"");
        } else {
            add(4 + n, name, 0o100_755, (0, 0), &std::fs::read(path).unwrap());
        }
    }
    add(0, "TRAILER!!!", 0, (0, 0), b"");
    archive
}

/// What the machine prints from its start to its end.
fn boot(kernel: &Path, launcher: &Path, parameters: &str) -> String {
    static INIT: OnceLock<PathBuf> = OnceLock::new();
    let init = INIT.get_or_init(|| compile("init"));
    let files = [("init", &**init), ("autochroot", launcher), ("payload", payload())];
    let parameters = format!("console=ttyS0 quiet panic=-1 {parameters}");
    boot_machine(&["qemu-system-x86_64", "-m", "256"], kernel, &files, &parameters)
}

fn boot_machine(machine: &[&str], kernel: &Path, files: &[(&str, &Path)], parameters: &str) -> String {
    let scratch = Scratch::new();
    let image = scratch.0.join("initramfs");
    std::fs::write(&image, initramfs(files)).unwrap();
    let output = Command::new("timeout")
        .arg("300")
        .args(machine)
        .args(["-accel", "tcg", "-nographic", "-no-reboot", "-append", parameters, "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(&image)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).replace('\r', "")
}

/// For each case: as root, as uid 65534. The root of an initramfs is a tmpfs that everyone can write to, and sticky. Either how it is entered, or what is said on standard error.
const CASES: [(&str, &str, &str); 8] = [
    ("bare", "detached none, privilege", NO_PROC),
    ("proc", "detached none, privilege", "detached none, user namespace"),
    ("normal", "detached none, privilege", "detached none, user namespace"),
    (
        "unprivileged_userns_clone=0",
        "detached none, privilege",
        "autochroot: cannot enter any root: detached: cannot create a user namespace: EPERM (operation not permitted); \
         unlinked: cannot create a user namespace: EPERM (operation not permitted); failfs: cannot use failfs: ENOSYS (the \
         kernel does not have this call)\n  \
         hint: set the sysctl kernel.unprivileged_userns_clone, which is 0, to 1\n",
    ),
    (
        "max_user_namespaces=0",
        "detached none, privilege",
        "autochroot: cannot enter any root: detached: cannot create a user namespace: ENOSPC (no space left or limit \
         reached); unlinked: cannot create a user namespace: ENOSPC (no space left or limit reached); failfs: cannot use \
         failfs: ENOSYS (the kernel does not have this call)\n  \
         hint: raise the sysctl user.max_user_namespaces, which is 0\n",
    ),
    (
        "read-only proc",
        "detached none, privilege",
        "autochroot: cannot open the id maps: EROFS (read-only file system); the process is in the new user namespace\n  \
         hint: /proc is read-only: mount it writable, or go without id maps\n",
    ),
    (
        "read-only root and proc",
        "detached none, privilege",
        "autochroot: cannot open the id maps: EROFS (read-only file system); the process is in the new user namespace\n  \
         hint: /proc is read-only: mount it writable, or go without id maps\n",
    ),
    ("read-only root", "detached none, privilege", "detached none, user namespace"),
];

const NO_PROC: &str = "autochroot: cannot enter any root: detached: cannot open /proc/self: ENOENT (no such file or \
    directory); unlinked: cannot open /proc/self: ENOENT (no such file or directory); failfs: cannot use failfs: ENOSYS (the \
    kernel does not have this call)\n  hint: mount /proc, or go without id maps\n";

fn kernel_and_launcher() -> Option<[PathBuf; 2]> {
    let files = ["AUTOCHROOT_KERNEL", "AUTOCHROOT_STATIC"].map(std::env::var_os);
    if let [Some(kernel), Some(launcher)] = files {
        Some([kernel.into(), launcher.into()])
    } else {
        skipped("AUTOCHROOT_KERNEL and AUTOCHROOT_STATIC are not set");
        None
    }
}

/// `AUTOCHROOT_AARCH64` names a directory with the kernel, the static launcher and test binaries for that architecture.
#[test]
fn on_aarch64_the_launcher_and_the_tests_of_the_library_pass() {
    let Some(directory) = std::env::var_os("AUTOCHROOT_AARCH64").map(PathBuf::from) else {
        return skipped("AUTOCHROOT_AARCH64 is not set");
    };
    let compile = |name| compile_with(name, &["--target=aarch64-unknown-linux-musl", "-Clinker=rust-lld"]);
    let (init, payload) = (compile("init"), compile("payload"));
    let launcher = directory.join("autochroot");
    let boot = |files: &[(&str, &Path)], parameters: &str| {
        let machine = ["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-m", "512"];
        let parameters = format!("console=ttyAMA0 quiet panic=-1 {parameters}");
        boot_machine(&machine, &directory.join("vmlinuz"), files, &parameters)
    };
    let said =
        boot(&[("autochroot", &launcher), ("payload", &payload)], "rdinit=/autochroot -- -v -u7:8 /payload look ids");
    for part in ["root: detached\nparent: none\n", "\njailed: yes\n", "\npid: 1\n", "\nids: 7 7 8 8 [8]\n"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let names = ["library", "allocations"];
    let tests: Vec<_> = names.iter().map(|name| (format!("tests/{name}"), directory.join(name))).collect();
    let mut files = vec![("init", &*init), ("tests", Path::new(""))];
    files.extend(tests.iter().map(|(name, path)| (&**name, &**path)));
    let said = boot(&files, "");
    for (name, _) in &tests {
        assert!(said.contains(&format!("== /{name}, status 0\n")), "{said}");
    }
    for line in said.lines().filter(|line| line.starts_with("test result: ") || line.contains(" skipped: ")) {
        println!("aarch64: {line}");
    }
}

/// The kernel hands what follows "--" to it.
#[test]
fn the_launcher_is_process_1_of_an_appliance() {
    let Some([kernel, launcher]) = kernel_and_launcher() else { return };
    let said = boot(&kernel, &launcher, "rdinit=/autochroot -- -v --user=7:8 /payload look ids capabilities");
    for part in [
        "root: detached\nparent: none\n",
        "\nidentity: 7:8\n",
        "\njailed: yes\n",
        "\npid: 1\nentries: Ok(0)\nmkdir: Err(ReadOnlyFilesystem)\n",
        "\nids: 7 7 8 8 [8]\n[0, 0, 0]\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// The README's line of `/etc/inittab`, with something to ask of the program.
#[test]
fn busybox_starts_the_launcher() {
    let Some([kernel, launcher]) = kernel_and_launcher() else { return };
    let busybox = Path::new("/bin/busybox");
    if !busybox.exists() {
        return skipped("no busybox");
    }
    let line = include_str!("../README.md").split_once("`/etc/inittab` | `").unwrap().1.split_once('`').unwrap().0;
    let scratch = Scratch::new();
    let inittab = scratch.0.join("inittab");
    std::fs::write(&inittab, format!("{line} pid ids look\n::once:/reboot -d 5 -f\n")).unwrap();
    let files = [
        ("init", busybox),
        ("reboot", busybox),
        ("etc", Path::new("")),
        ("etc/inittab", &inittab),
        ("autochroot", &launcher),
        ("server", payload()),
    ];
    let said = boot_machine(&["qemu-system-x86_64", "-m", "256"], &kernel, &files, "console=ttyS0 quiet panic=-1");
    assert!(said.contains("\nids: 7 7 8 8 [8]\n") && said.contains("\nentries: Ok(0)\n"), "{said}");
}

#[test]
fn an_appliance_on_another_kernel_gets_the_jail_or_is_told_what_to_change() {
    let Some([kernel, launcher]) = kernel_and_launcher() else { return };
    every_state(&kernel, &launcher, "ABI 2", false);
}

/// Linux 7.3, whose failfs is entered where there is no other root. `AUTOCHROOT_NEW_KERNEL` has its path.
#[test]
fn on_linux_7_3_an_ordinary_user_enters_failfs_where_there_is_no_other_root() {
    let Some([_, launcher]) = kernel_and_launcher() else { return };
    let Some(kernel) = std::env::var_os("AUTOCHROOT_NEW_KERNEL") else {
        return skipped("AUTOCHROOT_NEW_KERNEL is not set");
    };
    every_state(Path::new(&kernel), &launcher, "ABI 9", true);
}

fn every_state(kernel: &Path, launcher: &Path, landlock: &str, failfs: bool) {
    let said = boot(kernel, launcher, "");
    assert!(said.ends_with("== end\n") || said.contains("\n== end\n"), "{said}");
    println!("{}", said.lines().find(|line| line.starts_with("== kernel")).unwrap());
    let section = |title: &str| {
        let start = said.find(title).unwrap_or_else(|| panic!("no {title}: {said}")) + title.len();
        let (status, text) = said[start..].split_once('\n').unwrap();
        (status.trim().parse::<i32>().unwrap(), &text[..text.find("== ").unwrap()])
    };
    for (case, root, other) in CASES {
        for (uid, expected) in [(0, root), (65534, other)] {
            // It comes with the user namespace from Linux 7.1 on.
            let mounts = "in the new user namespace; and in an empty mount namespace, with another root\n";
            let with_mounts = expected.replace("in the new user namespace\n", mounts);
            let expected = if failfs { &*with_mounts } else { expected };
            let nowhere = expected.starts_with("autochroot: cannot enter any root");
            let expected = if failfs && nowhere { "failfs none, no_new_privs" } else { expected };
            // They take CAP_SETPCAP, which only a user namespace gives to an ordinary user.
            let warning =
                if failfs && nowhere { "autochroot: warning: not in force: bounding-set, securebits\n" } else { "" };
            let (check, found) = section(&format!("== {case}, uid {uid}, --check, status "));
            let (run, ran) = section(&format!("== {case}, uid {uid}, /payload, status "));
            if expected.starts_with("autochroot: ") {
                assert_eq!((check, found), (1, &*format!("jailed: no\n{expected}")), "{case}, uid {uid}");
                assert_eq!((run, ran), (125, expected), "{case}, uid {uid}");
            } else {
                let value = |key: &str| found.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("-");
                let entered = format!("{} {}, {}", value("root: "), value("parent: "), value("entered: "));
                assert_eq!((check, &*entered, value("jailed: ")), (0, expected, "yes"), "{case}, uid {uid}: {found}");
                assert_eq!((value("capabilities: "), value("landlock: ")), ("none", landlock), "{found}");
                assert_eq!(
                    (run, ran),
                    (3, &*format!("name: /payload\nhas=/payload: false\n{warning}")),
                    "{case}, uid {uid}"
                );
            }
        }
    }
}
