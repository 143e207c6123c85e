//! An appliance: Debian's kernel under qemu, with an initramfs that holds the static launcher, a
//! static program, and an `/init` that runs the one with the other in every state of the machine.
//!
//! Needs `qemu-system-x86_64`, the kernels' paths in `AUTOCHROOT_KERNELS`, with colons between
//! them, and the static launcher's in `AUTOCHROOT_STATIC`: `.ci/run` provides them, `.ci/run full`
//! more of them.
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
        .arg(LIMIT.to_string())
        .args(machine)
        .args(["-accel", "tcg", "-nographic", "-no-reboot", "-append", parameters, "-kernel"])
        .arg(kernel)
        .arg("-initrd")
        .arg(&image)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert!(output.status.code() != Some(124), "killed after {LIMIT} s: {said}");
    said
}

/// The kernels to boot, and the static launcher.
fn kernels_and_launcher() -> Option<(Vec<PathBuf>, PathBuf)> {
    let [Some(kernels), Some(launcher)] = ["AUTOCHROOT_KERNELS", "AUTOCHROOT_STATIC"].map(std::env::var_os) else {
        skipped("AUTOCHROOT_KERNELS and AUTOCHROOT_STATIC are not set");
        return None;
    };
    Some((std::env::split_paths(&kernels).collect(), launcher.into()))
}

/// `AUTOCHROOT_AARCH64` names a directory with the kernel, the static launcher and test binaries
/// for that architecture.
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
    print_results("aarch64", &said);
}

/// Processors that CI boots, their machine in qemu and its console.
const CPUS: [(&str, &[&str], &str); 7] = [
    ("i686-unknown-linux-musl", &["qemu-system-i386", "-m", "512"], "ttyS0"),
    (
        "aarch64-unknown-linux-musl",
        &["qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a57", "-m", "1024"],
        "ttyAMA0",
    ),
    (
        "armv7-unknown-linux-musleabihf",
        &["qemu-system-arm", "-M", "virt", "-cpu", "cortex-a15", "-m", "1024"],
        "ttyAMA0",
    ),
    ("riscv64gc-unknown-linux-musl", &["qemu-system-riscv64", "-M", "virt", "-m", "1024"], "ttyS0"),
    // Without floating point, as in routers.
    ("mipsel-unknown-linux-musl", &["qemu-system-mipsel", "-M", "malta", "-cpu", "24Kc", "-m", "512"], "ttyS0"),
    ("powerpc64le-unknown-linux-musl", &["qemu-system-ppc64", "-M", "pseries", "-m", "1024"], "hvc0"),
    ("s390x-unknown-linux-musl", &["qemu-system-s390x", "-m", "1024"], "ttysclp0"),
];

/// `AUTOCHROOT_CPUS` names a directory with a directory for each processor, which holds a kernel,
/// the launcher, a static busybox and, unless other steps run them, the tests of the library.
#[test]
#[ignore = "run by .ci/steps/cpus, which builds what it boots"]
fn on_other_processors_the_launcher_is_process_1_for_every_user() {
    let directory = PathBuf::from(std::env::var_os("AUTOCHROOT_CPUS").expect("AUTOCHROOT_CPUS is not set"));
    let id = "identity: 7:8\n";
    let jailed = "\njailed: yes\n";
    for (cpu, machine, console) in CPUS {
        let directory = directory.join(cpu);
        let [kernel, launcher, busybox] = ["vmlinuz", "autochroot", "busybox"].map(|name| directory.join(name));
        let files = [
            ("autochroot", &*launcher),
            ("busybox", &*busybox),
            ("hosts", Path::new("/etc/hosts")),
            ("foreign", payload()),
        ];
        let run = |init: &str| {
            boot_machine(machine, &kernel, &files, &format!("console={console} quiet panic=-1 rdinit={init}"))
        };
        for (command, expected) in [
            (
                "-v -u7:8 /busybox id",
                &["root: detached\n", id, jailed, "\nlandlock: ABI ", "\nseccomp: yes\n", "\nuid=7 gid=8 "][..],
            ),
            (
                "-v /busybox id",
                &["root: detached\n", jailed, "\ncapabilities: none\n", "\nsecurebits: locked\n", "\nuid=0 gid=0"],
            ),
            (
                "-v -r unlinked -u7:8 /busybox mkdir x",
                &[
                    "root: unlinked\nparent: /\n",
                    id,
                    jailed,
                    "mkdir: can't create directory 'x': No such file or directory",
                ],
            ),
            ("-v -u7:8 -f /hosts /busybox cat /hosts", &["root: detached\n", "file: /hosts\n", jailed, "localhost"]),
            // An ordinary user without /proc: with no jail and no seal the launcher becomes it, and
            // starts itself.
            (
                "--no-seal -r/ -u7:8 /autochroot -v --id-map none /busybox id",
                &["entered: user namespace\n", jailed, "\ncapabilities: none\n", "\nseccomp: yes\n"],
            ),
        ] {
            let said = run(&format!("/autochroot -- {command}"));
            for part in expected {
                assert!(said.contains(part), "{cpu}: {command}: {part}: {said}");
            }
        }
        // Here a shell is process 1, and waits: the machine ends with it, and what the console has
        // not sent by then is lost.
        for (command, expected) in [
            ("/autochroot -u7:8 /busybox cat /hosts", "cat: can't open '/hosts': No such file or directory"),
            ("/autochroot --no-seal -r/ -u7:8 /autochroot /busybox id", "hint: mount /proc, or go without id maps"),
            ("/autochroot -u svc /busybox id", "autochroot: --user svc: no such user in /etc/passwd"),
            ("/autochroot /none", "autochroot: /none: not found"),
            ("/autochroot /foreign", "autochroot: /foreign: is for another processor"),
        ] {
            let said = run(&format!("/busybox -- sh -c \"{command}; /busybox sleep 1\""));
            assert!(said.contains(expected), "{cpu}: {command}: {expected}: {said}");
        }
        let [library, allocations] = ["library", "allocations"].map(|name| directory.join(name));
        if library.exists() {
            let init = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payload/tests.sh");
            let files = [("init", &*init), ("busybox", &busybox), ("library", &library), ("allocations", &allocations)];
            let said = boot_machine(machine, &kernel, &files, &format!("console={console} quiet panic=-1"));
            for test in ["library", "allocations"] {
                assert!(said.contains(&format!("== {test}, status 0\n")), "{cpu}: {said}");
            }
            print_results(cpu, &said);
        }
    }
}

/// Becomes an ordinary user, and starts the launcher again.
const AS_USER: &str = "/autochroot --no-seal -r/ -u7:8 /autochroot";

/// What a kernel prints and how it ends on each of these commands, which a shell runs one after the
/// other.
fn boot_commands(kernel: &Path, launcher: &Path, parameters: &str, commands: &[&str]) -> Vec<String> {
    let scratch = Scratch::new();
    let script = scratch.0.join("script");
    let mut text = String::new();
    for command in commands {
        writeln!(text, "echo '== '; {command}; echo status $?").unwrap();
    }
    std::fs::write(&script, format!("{text}echo '== '; /busybox sleep 1\n")).unwrap();
    let busybox = Path::new("/bin/busybox");
    let files =
        [("autochroot", launcher), ("busybox", busybox), ("script", &script), ("hosts", Path::new("/etc/hosts"))];
    let parameters = format!("console=ttyS0 quiet panic=-1 {parameters} rdinit=/busybox -- sh /script");
    let said = boot_machine(&["qemu-system-x86_64", "-m", "256"], kernel, &files, &parameters);
    let said: Vec<_> = said.split("== \n").skip(1).map(str::to_owned).collect();
    assert!(said.len() > commands.len(), "{said:?}");
    said
}

/// `AUTOCHROOT_SMALL_KERNELS` names a directory with kernels that lack what appliances leave out:
/// "small" has users, `/proc` and a tmpfs; "tiny" has none of them. Neither has namespaces,
/// Landlock, seccomp, keys, sockets or `/sys`. "smack" is small, and labels files.
#[test]
#[ignore = "run by .ci/steps/appliances, which builds the kernels"]
fn on_a_small_kernel_every_caller_gets_the_jail_or_a_true_refusal() {
    let directory = std::env::var_os("AUTOCHROOT_SMALL_KERNELS").expect("AUTOCHROOT_SMALL_KERNELS is not set");
    let launcher = PathBuf::from(std::env::var_os("AUTOCHROOT_FILES").expect("AUTOCHROOT_FILES is not set"));
    let jailed = "jailed: yes\n";
    let not_in_force = "autochroot: warning: not in force: landlock, seccomp\n";
    let no_namespaces = "hint: this kernel has no user namespaces (CONFIG_USER_NS): run as root\n";
    let no_users = "hint: this kernel has no users and no capabilities (CONFIG_MULTIUSER)";
    let proc = "/busybox mkdir /proc; /busybox mount -t proc proc /proc";
    let small = [
        ("/autochroot -v /busybox id".into(), &[not_in_force, "root: detached\n", jailed, "uid=0 gid=0\n"][..]),
        (
            "/autochroot -v -u7:8 /busybox id".into(),
            &[not_in_force, "identity: 7:8\n", jailed, "uid=7 gid=8 groups=8\n"],
        ),
        (
            "/autochroot -r unlinked /busybox mkdir x".into(),
            &["can't create directory 'x': No such file", "status 1\n"],
        ),
        ("/autochroot -u7:8 -f /hosts /busybox cat /hosts".into(), &["localhost", "status 0\n"]),
        (
            "/autochroot --require seccomp /busybox id".into(),
            &["hint: this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)\n", "status 125\n"],
        ),
        ("/autochroot --require landlock /busybox id".into(), &["hint: this kernel has no Landlock", "status 125\n"]),
        ("/autochroot --require keyring /busybox id".into(), &["keyring is missing", "status 125\n"]),
        (format!("{AS_USER} /busybox id"), &["cannot open /proc/self: ENOENT", "status 125\n"]),
        (format!("{proc}; {AS_USER} /busybox id"), &[no_namespaces, "status 125\n"]),
        (format!("{AS_USER} -r unlinked /busybox id"), &[no_namespaces, "status 125\n"]),
        (format!("{AS_USER} --id-map none /busybox id"), &[no_namespaces, "status 125\n"]),
        (format!("{AS_USER} -r failfs /busybox id"), &["hint: failfs requires Linux 7.3", "status 125\n"]),
        ("/autochroot -v /busybox id".into(), &[not_in_force, jailed, "uid=0 gid=0\n"]),
    ];
    let tiny = [
        ("/autochroot --no-seal -v /busybox pwd".into(), &["root: detached\n", jailed, "/\nstatus 0\n"][..]),
        ("/autochroot --no-seal -v -r unlinked /busybox true".into(), &["root: unlinked\n", jailed, "status 0\n"]),
        (
            "/autochroot --no-seal /busybox mkdir x".into(),
            &["can't create directory 'x': Read-only file system", "status 1\n"],
        ),
        ("/autochroot /busybox pwd".into(), &["cannot keep the capabilities: ENOSYS", no_users, "status 125\n"]),
        ("/autochroot --check".into(), &["jailed: no\n", no_users, "status 1\n"]),
        ("/autochroot -u7:8 /busybox pwd".into(), &["cannot become that user: ENOSYS", no_users, "status 125\n"]),
        (
            "/autochroot --no-seal -u7:8 /busybox pwd".into(),
            &["cannot become that user: ENOSYS", no_users, "status 125\n"],
        ),
        ("/autochroot --caps kill -u7:8 /busybox pwd".into(), &["ENOSYS", no_users, "status 125\n"]),
        ("/autochroot --no-seal -f /hosts /busybox cat /hosts".into(), &["localhost", "status 0\n"]),
    ];
    // A tmpfs counts the labels of a security module like files.
    let smack =
        [("/autochroot -u7:8 -f /hosts=/a/hosts /busybox cat /a/hosts".into(), &["localhost", "status 0\n"][..])];
    for (kernel, commands) in [("small", &small[..]), ("tiny", &tiny), ("smack", &smack)] {
        let lines: Vec<&str> = commands.iter().map(|(line, _): &(String, _)| &**line).collect();
        let said = boot_commands(&Path::new(&directory).join(kernel), &launcher, "", &lines);
        for (said, (line, expected)) in said.iter().zip(commands) {
            for part in *expected {
                assert!(said.contains(part), "{kernel}: {line}: {part}: {said}");
            }
        }
    }
}

/// Debian's list of security modules without TOMOYO, with which Linux 5.10 executes no program by
/// descriptor.
const NO_TOMOYO: &str = "lsm=landlock,lockdown,yama,integrity,apparmor,bpf";

/// The kernel hands what follows "--" to it.
#[test]
fn the_launcher_is_process_1_of_an_appliance() {
    let Some((kernels, launcher)) = kernels_and_launcher() else { return };
    for kernel in kernels {
        let said = boot(
            &kernel,
            &launcher,
            &format!("{NO_TOMOYO} rdinit=/autochroot -- -v --user=7:8 /payload look ids capabilities"),
        );
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
}

/// Files, devices, users by name, and ids that are not mapped, whatever they show as.
#[test]
fn files_devices_and_names_are_the_same_on_every_kernel() {
    const PREPARE: &str = "/busybox mkdir -p /proc /etc; /busybox mount -t proc proc /proc; \
                           echo web:x:7:8::/: >/etc/passwd; echo more:x:9:web >/etc/group; \
                           for kind in uid gid; do echo 99 >/proc/sys/kernel/overflow$kind; done";
    let Some((kernels, _)) = kernels_and_launcher() else { return };
    let Some(launcher) = std::env::var_os("AUTOCHROOT_FILES").map(PathBuf::from) else {
        return skipped("AUTOCHROOT_FILES is not set");
    };
    for kernel in kernels {
        let said = boot_commands(
            &kernel,
            &launcher,
            NO_TOMOYO,
            &[
                PREPARE,
                "/autochroot -v -u web -f /hosts=/etc/hosts /busybox id",
                "/autochroot -u web -f /hosts=/etc/hosts /busybox cat /etc/hosts",
                "/autochroot -u web -f /dev/null /busybox ls -l /dev/null",
                "/busybox unshare -U /autochroot -u 99:99 --root / /busybox id",
                "/busybox unshare -U /autochroot -u 0:0 --root / /busybox id",
                "/autochroot -u 99:99 --root / /busybox id",
            ],
        );
        let unmapped = "cannot become that user: an id is not mapped in this user namespace";
        let expected: [&[&str]; 7] = [
            &["status 0\n"],
            &["identity: 7:8\n", "file: /etc/hosts\n", "uid=7 gid=8 groups=8,9\n", "status 0\n"],
            &["localhost", "status 0\n"],
            &["crw-rw-rw-", "status 0\n"],
            &[unmapped, "status 125\n"],
            &["status 125\n"],
            &["uid=99 gid=99", "status 0\n"],
        ];
        for (said, expected) in said.iter().zip(expected) {
            for part in expected {
                assert!(said.contains(part), "{}: {part}: {said}", kernel.display());
            }
        }
    }
}

/// Debian 11 has TOMOYO in its list of security modules, and no fix for it.
#[test]
fn with_debians_own_security_modules_it_runs_or_says_what_is_in_the_way() {
    let Some((kernels, launcher)) = kernels_and_launcher() else { return };
    for kernel in kernels {
        let commands =
            ["/autochroot --check", "/autochroot -u7:8 /busybox id", "/autochroot --check -u7:8 /busybox id"];
        let said = boot_commands(&kernel, &launcher, "", &commands);
        assert!(said[0].contains("jailed: yes\n"), "{}: {}", kernel.display(), said[0]);
        let hint = "hint: before Linux 6.12, TOMOYO lets no program be executed by descriptor: leave it out of the boot \
                    parameter lsm=\n";
        let expected = if kernel.to_string_lossy().contains("-5.10") { hint } else { "uid=7 gid=8" };
        assert!(said[1].contains(expected), "{}: {}", kernel.display(), said[1]);
        // `--check` predicts it.
        let expected = if expected == hint { hint } else { "program: yes\n" };
        assert!(said[2].contains(expected), "{}: {}", kernel.display(), said[2]);
    }
}

/// The README's line of `/etc/inittab`, with something to ask of the program.
#[test]
fn busybox_starts_the_launcher() {
    let Some((kernels, launcher)) = kernels_and_launcher() else { return };
    let busybox = Path::new("/bin/busybox");
    if !busybox.exists() {
        return skipped("no busybox");
    }
    let line =
        include_str!("../README.md").split_once("`/etc/inittab` of busybox | `").unwrap().1.split_once('`').unwrap().0;
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
    let kernel = kernels.last().unwrap();
    let said = boot_machine(&["qemu-system-x86_64", "-m", "256"], kernel, &files, "console=ttyS0 quiet panic=-1");
    assert!(said.contains("\nids: 7 7 8 8 [8]\n") && said.contains("\nentries: Ok(0)\n"), "{said}");
}

/// The version of the kernel that booted.
fn release(said: &str) -> &str {
    let line = said.split_once("== kernel ").unwrap_or_else(|| panic!("it does not boot: {said}")).1;
    line.split_once('\n').unwrap().0
}

/// The exit status and what was printed, of the command that /init gave this title.
fn section<'s>(said: &'s str, title: &str) -> (i32, &'s str) {
    let title = format!("== {title}, status ");
    let (status, text) =
        said.split_once(&title).unwrap_or_else(|| panic!("no {title}: {said}")).1.split_once('\n').unwrap();
    (status.parse().unwrap(), &text[..text.find("== ").unwrap()])
}

/// Prints what came of the tests there, which do not count as tests of this machine.
fn print_results(kernel: &str, said: &str) {
    // The bench prints its table.
    said.lines().filter(|line| line.starts_with("| ")).for_each(|line| println!("{kernel}: {line}"));
    let lines = said.lines().filter(|line| line.starts_with("test result: ") || line.contains(" skipped: "));
    for line in lines.collect::<std::collections::BTreeSet<_>>() {
        println!("{kernel}: {}", line.replace(" skipped: ", " was skipped: "));
    }
}

/// `AUTOCHROOT_TESTS` names a directory with static test binaries.
#[test]
fn the_tests_of_the_library_pass_on_every_kernel() {
    let Some((kernels, launcher)) = kernels_and_launcher() else { return };
    let (Some(tests), busybox) = (std::env::var_os("AUTOCHROOT_TESTS"), Path::new("/bin/busybox")) else {
        return skipped("AUTOCHROOT_TESTS is not set");
    };
    if !busybox.exists() {
        return skipped("no busybox");
    }
    let (init, library) = (compile("init"), Path::new(&tests).join("library"));
    let files: [(&str, &Path); 10] = [
        ("init", &init),
        ("bin", Path::new("")),
        ("bin/busybox", busybox),
        ("programs", Path::new("")),
        ("programs/autochroot", &launcher),
        ("programs/payload", payload()),
        ("tests", Path::new("")),
        ("tests/allocations", &Path::new(&tests).join("allocations")),
        ("tests/enter", &Path::new(&tests).join("enter")),
        ("tests/library", &library),
    ];
    for kernel in kernels {
        let machine = ["qemu-system-x86_64", "-m", "512"];
        let parameters = format!("console=ttyS0 quiet panic=-1 {NO_TOMOYO}");
        let said = boot_machine(&machine, &kernel, &files, &parameters);
        for name in ["library", "allocations", "enter"] {
            assert!(said.contains(&format!("== /tests/{name}, status 0\n")), "{}: {said}", kernel.display());
        }
        print_results(kernel.file_name().unwrap().to_str().unwrap(), &said);
    }
}

const NO_LANDLOCK: &str = "no: not in this kernel";

/// `AUTOCHROOT_APPARMOR` names a directory with two compiled policies for `/autochroot`, and the
/// one of the packages.
#[test]
fn apparmor_is_named_where_its_profile_refuses_the_user_namespace() {
    let Some((kernels, launcher)) = kernels_and_launcher() else { return };
    let Some(policies) = std::env::var_os("AUTOCHROOT_APPARMOR").map(PathBuf::from) else {
        return skipped("AUTOCHROOT_APPARMOR is not set");
    };
    let init = compile("init");
    let [denied, allowed, packaged] = ["denied", "allowed", "packaged"].map(|name| policies.join(name));
    let files: [(&str, &Path); 5] = [
        ("init", &init),
        ("autochroot", &launcher),
        ("denied", &denied),
        ("allowed", &allowed),
        ("packaged", &packaged),
    ];
    let mut tried = 0;
    for kernel in kernels {
        let parameters = format!("console=ttyS0 quiet panic=-1 {NO_TOMOYO} apparmor=1");
        let said = boot_machine(&["qemu-system-x86_64", "-m", "256"], &kernel, &files, &parameters);
        let release = release(&said);
        if said.contains("\n== too old\n") {
            println!("{release} has no rule for user namespaces");
            continue;
        }
        tried += 1;
        let hint =
            "hint: the AppArmor profile of this process refuses it: add \"userns,\" and flags=(attach_disconnected)";
        let refusal = "cannot create a user namespace: EACCES (permission denied)";
        let detached = format!("jailed: no\nautochroot: {refusal} (--root detached)\n  {hint}\n");
        assert_eq!(section(&said, "denied, detached"), (1, &*detached), "{release}");
        if Kernel::of_release(release).failfs {
            let (status, text) = section(&said, "denied, auto");
            assert!(status == 0 && text.starts_with("root: failfs\n"), "{release}: {said}");
        } else {
            let list = list_without_failfs(refusal, refusal);
            let text = format!("jailed: no\nautochroot: {list}\n  {hint}\n");
            assert_eq!(section(&said, "denied, auto"), (1, &*text), "{release}");
        }
        for (policy, root) in
            [("allowed", "auto"), ("allowed", "detached"), ("packaged", "auto"), ("packaged", "detached")]
        {
            let (status, text) = section(&said, &format!("{policy}, {root}"));
            assert!(status == 0 && text.starts_with("root: detached\n"), "{release}: {said}");
        }
        assert!(said.contains("\nautochroot (unconfined)\n"), "{release}: {said}");
    }
    assert!(tried > 0);
}

/// The states of the machine in `tests/payload/init.rs`.
const STATES: [&str; 8] = [
    "bare",
    "proc",
    "normal",
    "unprivileged_userns_clone=0",
    "max_user_namespaces=0",
    "read-only proc",
    "read-only root and proc",
    "read-only root",
];

/// What a kernel has.
struct Kernel {
    failfs: bool,
    /// As `--check` prints it.
    landlock: &'static str,
}

impl Kernel {
    fn of_release(release: &str) -> Kernel {
        let mut numbers = release.split(['.', '-']).map(|number| number.parse().unwrap());
        let version: (u32, u32) = (numbers.next().unwrap(), numbers.next().unwrap());
        let landlock = match version {
            (5, 10) => NO_LANDLOCK,
            (6, 1) => "ABI 2",
            (6, 12) => "ABI 6",
            (7, 3..) | (8.., _) => "ABI 9",
            _ => panic!("which version of Landlock has {release}?"),
        };
        Kernel { failfs: version >= (7, 3), landlock }
    }

    /// How `who` enters this root in this state, or the text of the refusal and its hint.
    fn expected(&self, state: &str, who: &str, root: &str) -> Result<&'static str, (String, &'static str)> {
        let refused = |(text, hint): Refusal| Err((text.to_owned(), hint));
        if root == "failfs" {
            return match who {
                _ if !self.failfs => refused(NO_FAILFS),
                "user" => Ok("failfs none, no_new_privs"),
                _ => Ok("failfs none, privilege"),
            };
        }
        // A parent comes first, then the privilege, then the user namespace.
        if root == "unlinked" && state.starts_with("read-only root") {
            return refused(NO_PARENT);
        }
        let in_the_way = match state {
            _ if who != "user" => None,
            "bare" => Some(NO_PROC),
            "unprivileged_userns_clone=0" => Some(NO_USERNS),
            "max_user_namespaces=0" => Some(NO_MORE_USERNS),
            "read-only proc" | "read-only root and proc" => Some(READ_ONLY_PROC),
            _ => None,
        };
        match (root, in_the_way) {
            ("default", Some(_)) if self.failfs => Ok("failfs none, no_new_privs"),
            ("default", Some((text, hint))) => {
                let (unlinked, _) = if state.starts_with("read-only root") { NO_PARENT } else { (text, hint) };
                Err((list_without_failfs(text, unlinked), hint))
            }
            (_, Some(refusal)) => refused(refusal),
            ("unlinked", None) => {
                let tmp = !matches!(state, "bare" | "proc");
                Ok(match (tmp, who) {
                    (true, "user") => "unlinked /tmp, user namespace",
                    (true, _) => "unlinked /tmp, privilege",
                    (false, "user") => "unlinked /, user namespace",
                    (false, _) => "unlinked /, privilege",
                })
            }
            (_, None) if who == "user" => Ok("detached none, user namespace"),
            (_, None) => Ok("detached none, privilege"),
        }
    }
}

/// The text and the hint.
type Refusal = (&'static str, &'static str);

const NO_PARENT: Refusal = (
    "cannot create a directory: in /dev/shm: ENOENT (no such file or directory), in /run: ENOENT (no such file or \
     directory), in /tmp: EROFS (read-only file system), in /var/tmp: ENOENT (no such file or directory), in /: EROFS \
     (read-only file system)",
    "name a directory that can be written, or use the root \"detached\"",
);

const NO_PROC: Refusal = (
    "cannot open /proc/self: ENOENT (no such file or directory)",
    "mount /proc, or go without id maps and files (IdMap::None, --id-map none)",
);

const NO_USERNS: Refusal = (
    "cannot create a user namespace: EPERM (operation not permitted)",
    "set the sysctl kernel.unprivileged_userns_clone, which is 0, to 1",
);

const NO_MORE_USERNS: Refusal = (
    "cannot create a user namespace: ENOSPC (no space left or limit reached)",
    "raise the sysctl user.max_user_namespaces, which is 0",
);

const READ_ONLY_PROC: Refusal = (
    "cannot open /proc/self: EROFS (read-only file system)",
    "/proc is read-only: mount it writable, or go without id maps and files (IdMap::None, --id-map none)",
);

const NO_FAILFS: Refusal = (
    "cannot use failfs: ENOSYS (the kernel does not have this call)",
    "failfs requires Linux 7.3: use another root, or a list such as detached,unlinked",
);

/// The text for `auto` where there is no failfs, given those for the other two roots.
fn list_without_failfs(detached: &str, unlinked: &str) -> String {
    format!("cannot enter any root: detached: {detached}; unlinked: {unlinked}; failfs: {}", NO_FAILFS.0)
}

/// Every kernel, every state, every root; as root, as an ordinary user, and with `-u`; sealed or
/// not.
#[test]
fn every_caller_gets_the_jail_or_a_true_remedy() {
    let Some((kernels, launcher)) = kernels_and_launcher() else { return };
    for path in kernels {
        let said = boot(&path, &launcher, NO_TOMOYO);
        let release = release(&said);
        println!("kernel {release}");
        if release.starts_with("5.10") {
            let said = boot(&path, &launcher, "");
            let tomoyo = "\nautochroot: /payload: cannot execute it: ENOENT (no such file or directory), although it is static\n  \
                          hint: before Linux 6.12, TOMOYO lets no program be executed by descriptor: leave it out of \
     the boot \
                          parameter lsm=\n";
            let (status, text) = section(&said, "normal, root, default, sealed, /payload");
            assert!(status == 126 && text.ends_with(tomoyo), "{status}: {text}");
        }
        let kernel = Kernel::of_release(release);
        for state in STATES {
            for who in ["root", "user", "-u"] {
                for root in ["default", "unlinked", "detached", "failfs"] {
                    for seal in ["sealed", "--no-seal"] {
                        let case = format!("{state}, {who}, {root}, {seal}");
                        let checked = section(&said, &format!("{case}, --check"));
                        let run = section(&said, &format!("{case}, /payload"));
                        let case = Case {
                            name: &format!("{release}, {case}"),
                            root,
                            sealed: seal == "sealed",
                            kernel: &kernel,
                        };
                        let expected = kernel.expected(state, who, root);
                        case.assert_checked(checked, &expected);
                        case.assert_run(run, &expected);
                    }
                }
            }
        }
    }
}

/// A run of the launcher.
struct Case<'c> {
    name: &'c str,
    root: &'c str,
    sealed: bool,
    kernel: &'c Kernel,
}

impl Case<'_> {
    fn refusal(&self, (text, hint): &(String, &str)) -> String {
        let option = if self.root == "default" { String::new() } else { format!(" (--root {})", self.root) };
        format!("autochroot: {text}{option}\n  hint: {hint}\n")
    }

    fn assert_checked(&self, (status, text): (i32, &str), expected: &Result<&str, (String, &str)>) {
        let Case { name, sealed, kernel, .. } = self;
        match expected {
            Err(refusal) => {
                let refusal = format!("jailed: no\n{}", self.refusal(refusal));
                assert_eq!((status, text), (1, &*refusal), "{name}");
            }
            Ok(expected) => {
                let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or("-");
                let entered = format!("{} {}, {}", value("root: "), value("parent: "), value("entered: "));
                assert_eq!((status, &*entered, value("jailed: ")), (0, *expected, "yes"), "{name}: {text}");
                assert_eq!(
                    value("landlock: "),
                    if *sealed { kernel.landlock } else { "not checked" },
                    "{name}: {text}"
                );
                assert_eq!(value("seccomp: "), if *sealed { "yes" } else { "not checked" }, "{name}: {text}");
                if *sealed {
                    assert_eq!(value("capabilities: "), "none", "{name}: {text}");
                }
            }
        }
    }

    fn assert_run(&self, (status, text): (i32, &str), expected: &Result<&str, (String, &str)>) {
        let name = self.name;
        match expected {
            Err(refusal) => assert_eq!((status, text), (125, &*self.refusal(refusal)), "{name}"),
            Ok(expected) => {
                // The first two take CAP_SETPCAP, which only a user namespace gives to an ordinary
                // user.
                let missing = match (expected.ends_with("no_new_privs"), self.kernel.landlock == NO_LANDLOCK) {
                    _ if !self.sealed => "",
                    (true, _) => {
                        "autochroot: warning: not in force: bounding-set, securebits\n  \
                         hint: missing: CAP_SETPCAP; start as root, and allow it in a container or unit (systemd: CapabilityBoundingSet=, with User= also AmbientCapabilities=)\n"
                    }
                    (false, true) => {
                        "autochroot: warning: not in force: landlock\n  \
                         hint: this kernel has no Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK)\n"
                    }
                    (false, false) => "",
                };
                let expected = format!("name: /payload\nhas=/payload: false\n{missing}");
                assert_eq!((status, text), (3, &*expected), "{name}");
            }
        }
    }
}
