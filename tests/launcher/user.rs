//! `--user` of the launcher: ids, names of /etc/passwd and /etc/group, and the groups that a login
//! has.

use std::fmt::Write;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::common::*;

const PASSWD: &str = "\
root:x:0:0::/:/bin/sh
+@netgroup::::::
+nis:x:1:1::/:
:x:0:0::/:
svc:x:7001:7002:a service:/:/bin/false
half:x:7009
bad:x:seven:7002::/:
twice:x:7010:7011::/:
twice:x:7012:7013::/:
none:x:4294967295:7002::/:
last:x:7020:7021::/:/bin/false";

/// The last line has no end.
const GROUP: &str = "\
root:x:0:
svc:x:7002:
a:x:7003:svc,other
b:x:7004:other
+:::
bad:x:seven:svc
c:x:7005:x, svc
svcs:x:7006:svcx,xsvc
again:x:7002:svc
none:x:4294967295:
d:x:7007:last";

/// The launcher, where these are /etc/passwd and /etc/group; `None`: where there is none.
fn ids(passwd: Option<&str>, group: Option<&str>, args: &[&str]) -> Output {
    ids_by(&[&["AUTOCHROOT"], args].concat(), passwd, group)
}

/// The same by this command, in which `AUTOCHROOT` is the launcher.
fn ids_by(args: &[&str], passwd: Option<&str>, group: Option<&str>) -> Output {
    let scratch = Scratch::new();
    let etc = |name: &str, content: Option<&str>| {
        let path = scratch.0.join(name);
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        (path, content.is_some())
    };
    let files = [etc("passwd", passwd), etc("group", group)];
    let output = scratch.0.join("output");
    let (launcher, payload) = (launcher(), payload());
    let said = ask_user(User::Root, || {
        own_mounts();
        mount_tmpfs(Path::new("/etc"), 0, "mode=755");
        for (path, is_there) in &files {
            if *is_there {
                fs::copy(path, Path::new("/etc").join(path.file_name().unwrap())).unwrap();
            }
        }
        let real = |arg: &str| if arg == "AUTOCHROOT" { launcher.into() } else { std::ffi::OsString::from(arg) };
        let mut command = command(Path::new(&real(args[0])));
        command.args(args[1..].iter().map(|arg| real(arg))).arg("--").arg(payload).args(["ids", "capabilities"]);
        let done = command.current_dir("/").stdin(Stdio::null()).output().unwrap();
        fs::write(&output, [&done.stdout[..], b"|", &done.stderr].concat()).unwrap();
        done.status.code().unwrap().to_string()
    });
    let text = fs::read(&output).unwrap();
    let at = text.iter().position(|byte| *byte == b'|').unwrap();
    Output {
        status: std::process::ExitStatus::from_raw(said.parse::<i32>().unwrap() << 8),
        stdout: text[..at].to_vec(),
        stderr: text[at + 1..].to_vec(),
    }
}

fn both(output: &Output) -> (&str, &str) {
    (std::str::from_utf8(&output.stdout).unwrap(), std::str::from_utf8(&output.stderr).unwrap())
}

#[test]
fn a_user_is_found_with_the_groups_that_a_login_has() {
    own_process!();
    root_only!();
    for (user, expected) in [
        ("7001:7002", "7001 7001 7002 7002 [7002]"),
        ("8001:8002", "8001 8001 8002 8002 [8002]"),
        ("svc", "7001 7001 7002 7002 [7002, 7003, 7005]"),
        ("7001", "7001 7001 7002 7002 [7002, 7003, 7005]"),
        ("svc:b", "7001 7001 7004 7004 [7004]"),
        ("svc:9", "7001 7001 9 9 [9]"),
        ("8001:b", "8001 8001 7004 7004 [7004]"),
        ("twice", "7010 7010 7011 7011 [7011]"),
        ("last", "7020 7020 7021 7021 [7007, 7021]"),
    ] {
        for seal in [None, Some("--no-seal")] {
            let args: Vec<_> = ["--user", user].into_iter().chain(seal).collect();
            let output = ids(Some(PASSWD), Some(GROUP), &args);
            let (said, told) = both(&output);
            assert!(said.contains(&format!("\nids: {expected}\n")), "{user}: {output:?}");
            assert!(said.ends_with("\n[0, 0, 0]\n"), "{user}: {output:?}");
            assert_eq!((told, output.status.code()), ("", Some(0)), "{user}");
        }
    }
}

/// With the groups that it has.
#[test]
fn root_is_root_already() {
    own_process!();
    root_only!();
    let output = ids(Some(PASSWD), Some(GROUP), &["--user=root"]);
    assert!(both(&output).0.contains("\nids: 0 0 0 0 [") && both(&output).0.ends_with("\n[0, 0, 0]\n"), "{output:?}");
}

#[test]
fn without_the_files_there_are_ids() {
    own_process!();
    root_only!();
    let output = ids(None, None, &["--user=8001:8002"]);
    assert!(both(&output).0.contains("\nids: 8001 8001 8002 8002 [8002]\n"), "{output:?}");
    let output = ids(Some(PASSWD), None, &["--user=svc"]);
    assert!(both(&output).0.contains("\nids: 7001 7001 7002 7002 [7002]\n"), "{output:?}");
}

#[test]
fn an_unknown_user_is_refused_before_anything_is_done() {
    own_process!();
    root_only!();
    let mut groups = String::new();
    (0..65_537).for_each(|n| writeln!(groups, "g{n}:x:{n}:svc").unwrap());
    for (user, group, message) in [
        ("", GROUP, "not USER or USER:GROUP"),
        (":", GROUP, "not USER or USER:GROUP"),
        (":5", GROUP, "not USER or USER:GROUP"),
        ("+nis", GROUP, "no such user in /etc/passwd (for LDAP give ids, as in 33:33)"),
        ("nobody", GROUP, "no such user in /etc/passwd (for LDAP give ids, as in 33:33)"),
        ("half", GROUP, "line 6 of /etc/passwd is malformed"),
        ("bad", GROUP, "line 7 of /etc/passwd is malformed"),
        ("8001", GROUP, "no such user id in /etc/passwd: give a group too, as in 33:33"),
        ("99999999999:1", GROUP, "not a valid id: ids are 0 to 4294967294"),
        ("-1:1", GROUP, "no such user in /etc/passwd (for LDAP give ids, as in 33:33)"),
        ("svc:", GROUP, "not USER or USER:GROUP"),
        ("svc:1:2", GROUP, "no such group in /etc/group"),
        ("svc:bad", GROUP, "line 6 of /etc/group is malformed"),
        ("svc:nogroup", GROUP, "no such group in /etc/group"),
        ("none", GROUP, "not a valid id: ids are 0 to 4294967294"),
        ("4294967295:1", GROUP, "not a valid id: ids are 0 to 4294967294"),
        ("svc:none", GROUP, "not a valid id: ids are 0 to 4294967294"),
        ("svc", &groups, "the user is in more than 65536 groups: give one, as in USER:GROUP"),
    ] {
        let output = ids(Some(PASSWD), Some(group), &["--user", user]);
        let expected = format!("autochroot: --user {user}: {message}\n");
        assert_eq!((both(&output), output.status.code()), (("", &*expected), Some(125)), "{user}");
    }
}

#[test]
fn a_group_may_have_thousands_of_members_and_names_of_any_length() {
    own_process!();
    root_only!();
    let member = "x".repeat(5000);
    let group = format!("many:x:7003:{}svc\n{member}:x:7004:svc\nlong:x:7005:{member},svc\n", "x,".repeat(10_000));
    let output = ids(Some(PASSWD), Some(&group), &["--user=svc"]);
    assert!(both(&output).0.contains("\nids: 7001 7001 7002 7002 [7002, 7003, 7004, 7005]\n"), "{output:?}");
    let output = ids(Some(PASSWD), Some(&group), &["--user", &format!("svc:{member}")]);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
}

#[test]
fn without_chroot_the_user_comes_first() {
    own_process!();
    root_only!();
    for (options, expected) in [
        (&["--user=svc"][..], "7001 7001 7002 7002 ["),
        (&["--user=0:0"], "0 0 0 0 ["),
        (&["--user=0:0", "--userns=always"], "0 0 0 0 ["),
    ] {
        let mut args = options.to_vec();
        let drop = ["--bounding-set", "-sys_chroot"];
        let without = |args: &[&str]| {
            let mut all = vec!["setpriv"];
            all.extend(drop);
            all.extend(["--groups", "4,27", "AUTOCHROOT"]);
            all.extend(args);
            ids_by(&all, Some(PASSWD), Some(GROUP))
        };
        args.push("-v");
        let output = without(&args);
        assert!(both(&output).0.contains(&format!("\nids: {expected}")), "{options:?}: {output:?}");
        assert!(both(&output).0.ends_with("\n[0, 0, 0]\n") && output.status.code() == Some(0), "{output:?}");
        let groups = both(&output).1.lines().find(|line| line.starts_with("groups: ")).unwrap();
        assert!(!groups.contains(" 4") && !groups.contains(" 27"), "{groups}");
    }
}

#[test]
fn an_ordinary_user_keeps_no_group_that_was_not_asked_for() {
    own_process!();
    root_only!();
    for userns in ["auto", "always"] {
        let mut args = vec!["setpriv", "--reuid=7001", "--regid=7002", "--groups=4,27", "AUTOCHROOT"];
        let userns = format!("--userns={userns}");
        args.extend(["--user=svc:svc", &userns]);
        let output = ids_by(&args, Some(PASSWD), Some(GROUP));
        let message = "autochroot: cannot become that user: group 4 of the process is not a group of the user (--user svc:svc)\n  \
                       hint: missing: CAP_SETGID; start as root, and allow it in a container or unit (systemd: CapabilityBoundingSet=, with User= also AmbientCapabilities=)\n";
        assert_eq!((both(&output), output.status.code()), (("", message), Some(125)));
        args[3] = "--groups=7002,7003,7005";
        args[5] = "--user=svc";
        let output = ids_by(&args, Some(PASSWD), Some(GROUP));
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

/// As a supervisor starts a service: the user already, with a capability.
#[test]
fn a_process_that_is_the_user_needs_no_privilege_and_keeps_none() {
    own_process!();
    root_only!();
    for (capability, options) in
        [("sys_chroot", &["-v"][..]), ("net_raw", &["--no-seal"]), ("net_raw", &["--no-seal", "--root=/"])]
    {
        let caps = format!("+{capability}");
        let mut args = vec!["setpriv", "--reuid=7001", "--regid=7002", "--groups=7002,7003,7005"];
        args.extend(["--inh-caps", &caps, "--ambient-caps", &caps, "AUTOCHROOT", "--user=svc"]);
        args.extend(options);
        let output = ids_by(&args, Some(PASSWD), Some(GROUP));
        let said = both(&output).0;
        assert!(
            said.contains("\nids: 7001 7001 7002 7002 [") && said.ends_with("\n[0, 0, 0]\n"),
            "{options:?}: {output:?}"
        );
    }
}

/// To become a user takes no other privilege where there is no jail to enter, and leaves the
/// working directory.
#[test]
fn without_a_jail_the_user_does_not_come_first() {
    own_process!();
    root_only!();
    let args = [
        "setpriv",
        "--bounding-set",
        "-sys_chroot",
        "AUTOCHROOT",
        "--user=svc",
        "--root=/",
        "--caps=net_bind_service",
        "-v",
    ];
    let output = ids_by(&args, Some(PASSWD), Some(GROUP));
    assert!(both(&output).1.contains("\ncapabilities: net_bind_service\n"), "{output:?}");
}

#[test]
fn no_descriptor_but_those_kept_is_open_while_the_user_is_not_root_any_more() {
    own_process!();
    root_only!();
    // The launcher, stopped where the id map is written, is looked at from outside.
    let scratch = Scratch::new();
    let secret = fs::File::create(scratch.0.join("secret")).unwrap();
    let mut strace = std::process::Command::new("strace");
    strace.args(["-f", "-o", "/dev/null", "-e", "inject=write:signal=STOP:when=1"]).arg(launcher());
    strace.args(["--user=12345:12345", "--userns=always"]).arg(payload());
    let secret = raw(&secret);
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut strace, move || {
            assert!(libc::dup2(secret, 77) == 77);
            Ok(())
        });
    }
    let Ok(mut child) = strace.current_dir(&scratch.0).stdout(Stdio::null()).spawn() else {
        return skipped("no strace");
    };
    let mut target = String::new();
    wait_until("the launcher is the user", || {
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap_or_default();
        children.split(' ').next().unwrap().clone_into(&mut target);
        fs::read_to_string(format!("/proc/{target}/status")).is_ok_and(|status| status.contains("Uid:\t12345"))
    });
    let open: Vec<_> = fs::read_dir(format!("/proc/{target}/fd"))
        .unwrap()
        .filter_map(|fd| fs::read_link(fd.unwrap().path()).ok())
        .filter(|path| path.starts_with(&scratch.0))
        .collect();
    assert_eq!(open, [] as [std::path::PathBuf; 0]);
    assert_ne!(fs::read_link(format!("/proc/{target}/cwd")).unwrap(), scratch.0);
    // It may not have stopped yet.
    wait_until("the launcher goes on", || {
        unsafe { libc::kill(target.parse().unwrap(), libc::SIGCONT) };
        child.try_wait().unwrap().is_some()
    });
    assert!(child.wait().unwrap().success());
}

#[test]
fn with_a_user_namespace_the_user_comes_first() {
    own_process!();
    root_only!();
    let output = ids(Some(PASSWD), Some(GROUP), &["--user=svc", "--userns=always", "-v"]);
    let (said, told) = both(&output);
    assert!(said.contains("\nids: 7001 7001 7002 7002 [") && said.ends_with("\n[0, 0, 0]\n"), "{output:?}");
    assert!(told.contains("\nentered: user namespace\nidentity: 7001:7002\ngroups: "), "{output:?}");
}

#[test]
fn an_ordinary_user_cannot_become_another() {
    own_process!();
    let User::Plain(id) = plain() else { unreachable!() };
    let (launcher, payload) = (launcher(), payload());
    as_user(plain(), || {
        let gid = unsafe { libc::getegid() };
        let run = |user: String| {
            command(launcher).arg(format!("--user={user}")).arg(payload).arg("ids").current_dir("/").output().unwrap()
        };
        let output = run(format!("{id}:{gid}"));
        assert!(both(&output).0.contains(&format!("\nids: {id} {id} {gid} {gid} [")), "{output:?}");
        let other = format!("{}:{gid}", id + 1);
        let output = run(other.clone());
        let message = "cannot become that user: the process is neither that user nor privileged";
        let hint = "missing: CAP_SETGID, CAP_SETUID; start as root, and allow it in a container or unit (systemd: CapabilityBoundingSet=, with User= also AmbientCapabilities=)";
        assert_eq!(both(&output), ("", &*format!("autochroot: {message} (--user {other})\n  hint: {hint}\n")));
        assert_eq!(output.status.code(), Some(125));
    });
}

/// Malformed entries, comments and the like give nobody the ids of anybody else, by name or by
/// number: getpwnam(3) and getgrnam(3) do not know them either, or not with these ids.
#[test]
fn a_malformed_line_names_no_user() {
    own_process!();
    root_only!();
    for (passwd, user) in [
        ("svc:x:7001,0:7002,0::/:", "svc"),
        ("svc:x:7001:7002,0::/:", "svc"),
        ("svc:x:,7001:7002::/:", "svc"),
        ("svc:x: 7001:7002::/:", "svc"),
        ("svc:x:7001 :7002::/:", "svc"),
        ("svc:x:7001\r:7002::/:", "svc"),
        ("svc:x:+7001:7002::/:", "svc"),
        ("svc:x:-1:7002::/:", "svc"),
        ("svc:x:0x1:7002::/:", "svc"),
        ("svc:x::7002::/:", "svc"),
        ("svc:x:7001:::/:", "svc"),
        ("svc:x:7001", "svc"),
        ("svc:x:7001:7002", "svc"),
        ("svc:x:7001:7002\r", "svc"),
        ("svc:x:4294967296:7002::/:", "svc"),
        ("svc:x:18446744073709551616:7002::/:", "svc"),
        ("svc\0:x:7001:7002::/:", "svc"),
        ("svc:x:7001:7002:\0:/:", "svc"),
        ("#svc:x:7001:0:::", "7001"),
        ("#svc:x:7001:0:::", "#svc"),
        (" svc:x:7001:0:::", "7001"),
        (" svc:x:7001:0:::", "svc"),
        ("+svc:x:7001:0:::", "7001"),
        ("-svc:x:7001:0:::", "-svc"),
        (":x:7001:0:::", "7001"),
        ("svc,a:x:7001:0:::", "7001"),
        ("x,svc:x:7001:7002::/:", "svc"),
        ("svc :x:7001:7002::/:", "svc"),
        ("svc\r:x:7001:7002::/:", "svc"),
        ("a:x:1:1::/:\\nsvc:x:7001:7002::/:", "svc"),
    ] {
        let output = ids(Some(passwd), Some(""), &["--user", user]);
        assert_eq!((both(&output).0, output.status.code()), ("", Some(125)), "{passwd:?} {user}: {output:?}");
        assert!(both(&output).1.starts_with(&format!("autochroot: --user {user}: ")), "{output:?}");
    }
    let passwd = Some("svc:x:7001:7002::/:\n");
    for group in [
        "web:x:7,0:",
        "web:x: 7:",
        "web:x:7\r:",
        "web:x:+7:",
        "web:x::",
        "web:x:7",
        "#web:x:7:",
        " web:x:7:",
        "web,x:x:7:",
        "web:x:99999999999:",
        "+web:x:7:",
    ] {
        let output = ids(passwd, Some(group), &["--user=svc:web"]);
        assert_eq!((both(&output).0, output.status.code()), ("", Some(125)), "{group:?}: {output:?}");
        // Whoever is a member of such a group is in none.
        let output = ids(passwd, Some(&format!("{group}svc\n")), &["--user=svc"]);
        assert!(both(&output).0.contains("\nids: 7001 7001 7002 7002 [7002]\n"), "{group:?}: {output:?}");
    }
    // The shell may hold anything, a colon too; the ids may begin with zeros.
    let output = ids(Some("svc:x:000000000007001:07002:a, b:/:/bin/sh:x,\r\n"), None, &["--user=svc"]);
    assert!(both(&output).0.contains("\nids: 7001 7001 7002 7002 [7002]\n"), "{output:?}");
}

/// As `getgrouplist(3)`, which takes a blank before a member for nothing, and one after it, or a
/// colon, for a part of the name.
#[test]
fn a_member_is_the_whole_text_between_two_commas() {
    own_process!();
    root_only!();
    let passwd = Some("svc:x:7001:7002::/:\n");
    let group = "a:x:7003:svc:extra\nb:x:7004:svc:\nc:x:7005:svc ,x\nd:x:7006:svc\r\ne:x:7007:, \tsvc\nf g:x:7008:x,svc\nh:x:7009:svc";
    let output = ids(passwd, Some(group), &["--user=svc"]);
    assert!(both(&output).0.contains("\nids: 7001 7001 7002 7002 [7002, 7007, 7008, 7009]\n"), "{output:?}");
    let output = ids(passwd, Some(group), &["--user=svc:f g"]);
    assert!(both(&output).0.contains("\nids: 7001 7001 7008 7008 [7008]\n"), "{output:?}");
    // The first line with the id counts, with zeros before it too; a malformed one is an error, and
    // not passed over.
    let output = ids(Some("a:x:00000000009:90::/:\nb:x:9:91::/:\n"), None, &["--user=9"]);
    assert!(both(&output).0.contains("\nids: 9 9 90 90 [90]\n"), "{output:?}");
    for first in [" a:x:9:90::/:", "a:x: 9:90::/:", "a:x:+9:90::/:", "a:x:9 :90::/:", "a,b:x:9:90::/:", "a:x:9:"] {
        let output = ids(Some(&format!("{first}\nb:x:9:91::/:\n")), None, &["--user=9"]);
        crate::assert_fails(&output, 125, "--user 9: line 1 of /etc/passwd is malformed");
    }
}

/// Whatever is in the two files, somebody is found or not, and no more.
#[test]
fn random_account_files_are_read_or_refused() {
    own_process!();
    root_only!();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for _ in 0..300 {
        let rubbish = |random: &mut Random| {
            let length = random.below(200);
            (0..length)
                .map(|_| {
                    ["svc", ":", ":", ":", "\n", "\n", "7", "0", ",", "x", "\0", "4294967296", " "][random.below(13)]
                })
                .collect::<String>()
        };
        let (passwd, group) = (rubbish(&mut random), rubbish(&mut random));
        let user = ["svc", "7", "svc:svc", "svc:7", "x"][random.below(5)];
        let output = ids(Some(&passwd), Some(&group), &["--user", user]);
        let (said, told) = both(&output);
        match output.status.code() {
            Some(0) => assert!(said.contains("ids: "), "{output:?}"),
            Some(125) => assert!(
                told.starts_with(&format!("autochroot: --user {user}: ")),
                "{passwd:?} {group:?} {user}: {output:?}"
            ),
            _ => panic!("{passwd:?} {group:?} {user}: {output:?}"),
        }
    }
    println!("figure: 300 pairs of /etc/passwd and /etc/group at random");
}

/// In a user namespace around the launcher, before anything has changed.
#[test]
fn a_user_outside_the_user_namespace_is_refused_and_the_own_one_is_not() {
    own_process!();
    let (launcher, payload) = (launcher(), payload());
    as_user(plain(), || {
        let start = || {
            let mut command = command(launcher);
            command.current_dir("/").stdin(std::process::Stdio::null());
            command
        };
        let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
        assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, 0);
        fs::write("/proc/self/uid_map", format!("0 {uid} 1")).unwrap();
        fs::write("/proc/self/setgroups", "deny").unwrap();
        fs::write("/proc/self/gid_map", format!("0 {gid} 1")).unwrap();
        for options in [&["-u0:0"][..], &["-qu0:0", "--no-seal"]] {
            let output = start().args(options).arg(payload).arg("exit=3").output().unwrap();
            assert_eq!((crate::text(&output.stderr), output.status.code()), ("", Some(3)), "{options:?}");
        }
        let unmapped = "the id is not mapped in this user namespace: map it in uid_map and gid_map";
        for user in ["100000:100", "0:100", "7:0"] {
            let output = start().args(["--user", user]).arg(payload).output().unwrap();
            let message = "cannot become that user: an id is not mapped in this user namespace";
            crate::assert_fails(&output, 125, &format!("{message} (--user {user})\n  hint: {unmapped}"));
        }
    });
}
