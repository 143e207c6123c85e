//! What the README and the man page say: each command is run, with the programs and users of this
//! machine.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;

use crate::common::*;
use crate::{runsv, text};

const README: &str = include_str!("../../README.md");
const MAN_PAGE: &str = include_str!("../../src/bin/autochroot/autochroot.1");

/// The text between two others, with the programs of this machine.
fn recipe(start: &str, end: &str) -> String {
    let text = README.split_once(start).unwrap_or_else(|| panic!("no {start}")).1.split_once(end).unwrap().0;
    text.replace("/usr/bin/autochroot", launcher().to_str().unwrap())
        .replace("/usr/lib/server", payload().to_str().unwrap())
        .replace("-u www-data", "-u 7:8")
}

#[test]
fn systemd_takes_the_units() {
    own_process!();
    if !have("systemd-analyze") {
        return skipped("no systemd-analyze");
    }
    let scratch = Scratch::new();
    let verify = |unit: &Path| command(Path::new("systemd-analyze")).arg("verify").arg(unit).output().unwrap();
    let sound = scratch.0.join("sound.service");
    fs::write(&sound, "[Service]\nExecStart=/bin/sh\n").unwrap();
    let output = verify(&sound);
    if !output.status.success() {
        return skipped(&format!("systemd-analyze does not work here: {}", text(&output.stderr).replace('\n', " ")));
    }
    let (socket, service) = (scratch.0.join("server.socket"), scratch.0.join("server.service"));
    fs::write(
        &socket,
        recipe("# server.socket: the server must accept descriptor 3 (LISTEN_FDS)\n", "# server.service\n"),
    )
    .unwrap();
    fs::write(&service, recipe("# server.service\n", "```")).unwrap();
    for unit in [socket, service] {
        let output = verify(&unit);
        assert!(output.status.success() && !String::from_utf8_lossy(&output.stderr).contains("server."), "{output:?}");
    }
}

#[test]
fn runit_runs_the_launcher() {
    own_process!();
    root_only!();
    if !have("runsv") {
        return skipped("no runsv");
    }
    let line = recipe("runit's `run` | `", "` |");
    let scratch = Scratch::new();
    let (mut runsv, mut lines) = runsv(&scratch, &format!("{line} pid ids look"));
    let said: Vec<_> = lines.by_ref().take_while(|line| !line.starts_with("mkdir: ")).collect();
    assert!(said.contains(&"ids: 7 7 8 8 [8]".to_owned()), "{said:?}");
    assert!(said.contains(&"entries: Ok(0)".to_owned()), "{said:?}");
    runsv.kill().unwrap();
    runsv.wait().unwrap();
    // The program may be running again: it would panic if nobody read what it prints.
    lines.for_each(drop);
}

/// As systemd does with `CapabilityBoundingSet=`.
#[test]
fn the_capabilities_that_a_unit_leaves_are_enough() {
    own_process!();
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
    let hint = "; start as root, and allow it in a container or unit (systemd: CapabilityBoundingSet=, with User= also AmbientCapabilities=)";
    for (left, args, missing) in [
        (",+sys_chroot", &["-q", "-u7:8"][..], "missing: CAP_SETGID, CAP_SETUID"),
        (",+sys_chroot,+setuid,+setgid", &["-u7:8", "--require=securebits"], "missing: CAP_SETPCAP"),
        (",+sys_chroot,+setuid,+setgid,+setpcap", &["-u7:8", "--caps=net_admin"], "missing: CAP_NET_ADMIN"),
    ] {
        let output = run(left, args);
        assert!(text(&output.stderr).ends_with(&format!("hint: {missing}{hint}\n")), "{left} {args:?}: {output:?}");
        assert_eq!(output.status.code(), Some(125));
    }
}

/// The command of the man page by which a user that is not root keeps a capability, but for the user and the server.
#[test]
fn the_command_for_ambient_capabilities_runs() {
    own_process!();
    root_only!();
    if !have("setpriv") {
        return skipped("no setpriv");
    }
    let page = MAN_PAGE.replace("\\-", "-").replace("\\e\n", "");
    let line = page.lines().find_map(|line| line.strip_prefix("setpriv ")).unwrap();
    let line = line.replace("--reuid www-data --regid www-data --init-groups", "--reuid 7 --regid 8 --clear-groups");
    let mut setpriv = command(Path::new("setpriv"));
    for word in line.split_whitespace() {
        setpriv.arg(match word {
            "autochroot" => launcher(),
            "./server" => payload(),
            word => Path::new(word),
        });
    }
    let output = setpriv.args(["ids", "capabilities"]).current_dir("/").stdin(Stdio::null()).output().unwrap();
    let told = text(&output.stdout);
    assert!(
        told.contains("ids: 7 7 8 8 []") && told.contains("[400, 400, 400]") && output.stderr.is_empty(),
        "{output:?}"
    );
}

/// The man page has the `AppArmor` profile of the packages.
#[test]
fn the_profile_of_the_man_page_is_that_of_the_packages() {
    let Ok(profile) = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.ci/apparmor")) else {
        return skipped("no .ci/apparmor: it is not in the package");
    };
    let (_first, profile) = profile.split_once('\n').unwrap();
    assert!(MAN_PAGE.contains(profile));
}

/// Each command of the README that starts the launcher, word for word but for the server, its user
/// and its directory.
#[test]
fn the_commands_of_the_readme_run() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    fs::create_dir(scratch.0.join("www")).unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).unwrap();
    let mut count = 0;
    for line in README.lines().filter(|line| line.starts_with("autochroot ")) {
        let words = line.split('#').next().unwrap().trim().replace("/srv/www", scratch.0.join("www").to_str().unwrap());
        let words = words.replace("-u www-data", "-u 7:8").replace("./server", payload().to_str().unwrap());
        let mut launcher = command(launcher());
        launcher.args(words.split_whitespace().skip(1)).args(["ids", "capabilities"]).current_dir("/");
        let output = launcher.stdin(Stdio::null()).output().unwrap();
        let said = text(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty(), "{line}: {output:?}");
        count += 1;
        if line.contains("--check") {
            assert!(said.starts_with("program: yes\n"), "{line}: {said}");
            continue;
        }
        assert_eq!(said.contains("ids: 7 7 8 8 [8]"), line.contains("-u www-data"), "{line}: {said}");
        assert_eq!(said.contains("[400, 400, 400]"), line.contains("--caps"), "{line}: {said}");
    }
    assert_eq!(count, 8);
}

/// The session at the top of the README is what a shell prints.
#[test]
fn the_session_of_the_readme_is_a_real_one() {
    own_process!();
    root_only!();
    let is_33 = autochroot::User::find("www-data").is_ok_and(|user| user.uid().as_raw() == 33);
    if !is_33 || !have("bash") || landlock_abi().is_none() {
        return skipped("no user www-data with the id 33, no bash, or no Landlock");
    }
    let session = README.split_once("```console\n").unwrap().1.split_once("```").unwrap().0;
    let scratch = Scratch::new();
    let server = scratch.0.join("server");
    copy_program(&compile("server"), &server, 0o755);
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).unwrap();
    let name = launcher().file_name().unwrap().to_str().unwrap();
    assert_eq!(name, "autochroot");
    let said = ask_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/mnt"), libc::MS_NOEXEC, "mode=755");
        copy_program(&server, Path::new("/mnt/server"), 0o755);
        // The commands, each shown after a prompt. What runs in the background has to begin first.
        let mut script = String::from("exec 2>&1\n");
        for line in session.lines().filter_map(|line| line.strip_prefix("# ")) {
            script.extend(["echo '# ", &line.replace('\'', "'\\''"), "'\n", line, "\n"]);
            if line.ends_with('&') {
                script +=
                    "until [ \"$(cat /proc/$!/comm)\" = server ]; do kill -0 $! || exit; sleep 0.1; done 2>/dev/null\n";
            }
        }
        let path = format!("{}:{}", launcher().parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut bash = command(Path::new("bash"));
        bash.args(["-c", &(script + "kill %1")]).env("PATH", path).current_dir(&scratch.0);
        let output = bash.stdin(Stdio::null()).output().unwrap();
        text(&output.stdout).to_owned()
    });
    assert_eq!(said, session);
}

/// The figures in the README are those of the table that `cargo bench` printed.
#[test]
fn the_figures_of_the_readme_are_those_of_the_table() {
    own_process!();
    let table = include_str!("../../benches/README.md");
    let row = |group: &str, row: &str| {
        let group = table.split_once(&format!("| **{group}** ")).unwrap_or_else(|| panic!("no {group}")).1;
        let line = group.lines().skip(1).find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("no {row}"));
        let mut cells = line.split('|').map(str::trim).skip(2);
        let us: f64 = cells.next().unwrap().parse().unwrap();
        (us, cells.next().unwrap().split(' ').next().unwrap().parse::<f64>().unwrap_or(1.0))
    };
    let [root, user] = ["root", "another user"].map(|user| row(&format!("an entry, {user}"), "| enter |").0);
    let [by_root, by_user] = ["root", "another user"].map(|user| row(&format!("a launch, {user}"), "| autochroot;"));
    let alone = row("a launch, root", "| a static musl program alone;").0;
    let readme = README.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in [
        format!("and {root} us or {user} us."),
        format!("takes {:.1} times as long as a static musl program alone as root", by_root.1),
        format!("{:.1} ms more, and {:.1} times otherwise", (by_root.0 - alone) / 1000.0, by_user.1),
    ] {
        assert!(readme.contains(&part), "{part}");
    }
}

/// What the guide says of a root, seen from outside.
#[test]
fn the_root_is_seen_from_outside_as_documented() {
    own_process!();
    root_only!();
    for (root, shown) in [("unlinked", " (deleted)"), ("detached", "/")] {
        let mut launcher = command(launcher());
        launcher.args(["-u", "7:8", "-r", root]).arg(payload()).args(["pid", "copy"]).current_dir("/");
        let mut child = launcher.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.starts_with("arg: ") || line.starts_with("pid: ")));
        let root = format!("/proc/{}/root", child.id());
        assert!(fs::read_link(&root).unwrap().to_str().unwrap().ends_with(shown));
        assert_eq!(fs::read_dir(format!("{root}/")).unwrap().count(), 0);
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}

/// The long and short names of the options in the order of the parser's table, which `--help`
/// prints.
fn options() -> Vec<(String, Option<String>)> {
    let help = command(launcher()).arg("--help").output().unwrap();
    let help = text(&help.stdout);
    assert!(help.lines().count() <= 26 && help.lines().all(|line| line.len() <= 80), "{help}");
    let options = help.lines().filter_map(|line| {
        let words: Vec<_> = line.trim_start().split([' ', ',']).filter(|word| !word.is_empty()).collect();
        let at = line.len() - line.trim_start().len();
        words.first().filter(|word| word.starts_with('-'))?;
        let long = words.iter().take(2).find_map(|word| word.strip_prefix("--"))?;
        let letter = words[0].strip_prefix('-').filter(|one| one.len() == 1).map(str::to_owned);
        (at > 0 && at < 8).then(|| (long.to_owned(), letter))
    });
    options.collect()
}

#[test]
fn the_man_page_has_the_options_of_the_parser() {
    own_process!();
    let in_the_man_page: Vec<_> = MAN_PAGE
        .lines()
        .filter_map(|line| {
            let words: Vec<_> = line.strip_prefix(".It Fl ")?.split(' ').collect();
            let long = words.iter().find_map(|word| word.strip_prefix("\\-"))?;
            Some((long.to_owned(), Some(words[0].to_owned()).filter(|word| word.len() == 1)))
        })
        .collect();
    assert_eq!(in_the_man_page, options());
}

#[test]
fn the_man_page_has_every_line_of_check() {
    own_process!();
    let scratch = Scratch::new();
    fs::write(scratch.0.join("file"), "").unwrap();
    fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o755)).unwrap();
    let section = MAN_PAGE.split_once(".Sh CHECK").unwrap().1.split_once(".Sh ").unwrap().0;
    let documented: Vec<_> = section.lines().filter_map(|line| line.strip_prefix(".It Cm ")).collect();
    let mut printed = std::collections::BTreeSet::new();
    for user in users() {
        let file = format!("-f{}=/file", scratch.0.join("file").display());
        for options in [
            &["-runlinked"][..],
            &["-rdetached"],
            &[&*file],
            &["-r/"],
            &["--no-connect", payload().to_str().unwrap()],
            &["-runlinked", "--no-seal", "--keep-fds=all"],
        ] {
            let mut launcher = command(launcher());
            start_as(&mut launcher, user);
            let output = launcher.arg("--check").args(options).current_dir("/").output().unwrap();
            for line in text(&output.stdout).lines() {
                let key = line.split_once(':').unwrap().0.to_owned();
                assert!(documented.contains(&&*key), "{line}");
                printed.insert(key);
            }
        }
    }
    assert!(documented.iter().all(|key| printed.contains(*key)), "{documented:?} {printed:?}");
}

#[test]
fn the_shells_complete_the_options_of_the_parser() {
    own_process!();
    const BASH: &str = include_str!("../../src/bin/autochroot/autochroot.bash");
    const ZSH: &str = include_str!("../../src/bin/autochroot/autochroot.zsh");
    const FISH: &str = include_str!("../../src/bin/autochroot/autochroot.fish");
    for (long, letter) in options() {
        let letter = letter.unwrap_or_default();
        let fish = if letter.is_empty() { format!("autochroot -l {long} ") } else { format!("-s {letter} -l {long} ") };
        let zsh = if letter.is_empty() { format!("'--{long}[") } else { format!("{{-{letter},--{long}}}") };
        assert!(FISH.contains(&fish) && ZSH.contains(&zsh), "{long}");
        assert!(BASH.split([' ', '\n', '\'']).any(|word| word == format!("--{long}")), "{long}");
    }
    // What bash offers.
    let script = r#"
        source "$0"
        for line in 'autochroot --ke' 'autochroot --root det' 'autochroot --require s'; do
            COMP_WORDS=($line)
            COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _autochroot
            echo "${COMPREPLY[@]}"
        done"#;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/autochroot/autochroot.bash");
    let output = command(Path::new("bash")).args(["-c", script]).arg(file).output().unwrap();
    assert_eq!(text(&output.stdout), "--keep-fds\ndetached\nseccomp securebits\n", "{output:?}");
}
