//! `User::find` and `Jail::enter_as`: who the process is afterwards, and what is refused before
//! anything has changed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use autochroot::{
    Capabilities, Cause, Entered, Error, Gid, IdMap, Jail, NamedFile, Protection, Root, Seal, Step, Uid, UserError,
    UserNamespace,
};
use rustix::io::Errno;

use crate::common::*;

/// `/etc/passwd` and `/etc/group` of this process alone.
fn accounts(passwd: &str, group: &str) {
    own_mounts();
    mount_tmpfs(Path::new("/etc"), 0, "mode=755");
    fs::write("/etc/passwd", passwd).unwrap();
    fs::write("/etc/group", group).unwrap();
}

#[test]
fn a_user_is_found_by_name_and_by_id_with_groups() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        accounts("root:x:0:0::/:\nbad:x:seven:8::/:\nwww:x:7:8::/:\n", "web:x:9:www\nadm:x:10:root,www\nbad:x:y:\n");
        let gids = |user: &autochroot::User<'_>| user.groups().iter().map(|gid| gid.as_raw()).collect::<Vec<_>>();
        for (text, uid, gid, groups) in [
            ("www", 7, 8, &[8, 9, 10][..]),
            ("7", 7, 8, &[8, 9, 10]),
            ("www:adm", 7, 10, &[10]),
            ("11:12", 11, 12, &[12]),
        ] {
            let user = autochroot::User::find(text).unwrap();
            assert_eq!((user.uid(), user.gid(), &*gids(&user)), (Uid::from_raw(uid), Gid::from_raw(gid), groups));
        }
        assert_eq!(
            format!("{:?}", autochroot::User::find("11:12").unwrap()),
            "User { uid: Uid(11), gid: Gid(12), groups: [Gid(12)] }"
        );
        for (text, error, kind, message) in [
            ("x", UserError::NoUser, "NotFound", "no such user in /etc/passwd (for LDAP give ids, as in 33:33)"),
            ("www:x", UserError::NoGroup, "NotFound", "no such group in /etc/group"),
            ("12", UserError::NeedsGroup, "NotFound", "no such user id in /etc/passwd: give a group too, as in 33:33"),
            ("", UserError::Syntax, "InvalidInput", "not USER or USER:GROUP"),
            ("www:", UserError::Syntax, "InvalidInput", "not USER or USER:GROUP"),
            ("1:4294967295", UserError::InvalidId, "InvalidInput", "not a valid id: ids are 0 to 4294967294"),
            (
                "bad",
                UserError::Malformed { file: "/etc/passwd", line: 2 },
                "InvalidData",
                "line 2 of /etc/passwd is malformed",
            ),
            (
                "1:bad",
                UserError::Malformed { file: "/etc/group", line: 3 },
                "InvalidData",
                "line 3 of /etc/group is malformed",
            ),
        ] {
            assert_eq!(autochroot::User::find(text).unwrap_err(), error, "{text}");
            assert_eq!((error.to_string(), format!("{error:?}")), (message.to_owned(), message.to_owned()));
            assert_eq!(format!("{:?}", std::io::Error::from(error).kind()), kind);
        }
        fs::remove_file("/etc/passwd").unwrap();
        fs::create_dir("/etc/passwd").unwrap();
        let error = autochroot::User::find("www").unwrap_err();
        assert_eq!(error.to_string(), "cannot read /etc/passwd: EISDIR (is a directory)");
    });
}

#[test]
fn a_user_in_many_groups_needs_room() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let line = |gid: u32| format!("g{gid}:x:{gid}:www\n");
        accounts("www:x:7:8::/:\n", &(100..65_635).map(line).collect::<String>());
        let error = autochroot::User::find("www").unwrap_err();
        assert_eq!(error, UserError::TooManyGroups { room: 64 });
        let mut room = vec![Gid::ROOT; 65_536];
        let user = autochroot::User::find_in("www", &mut room).unwrap();
        assert_eq!(user.groups().len(), 65_536);
        let _ = Jail::auto().enter_as(&user).unwrap();
        assert_eq!(groups().len(), 65_536);
    });
}

/// A group that is there twice does not make up for one that there is no room for.
#[test]
fn a_group_without_room_is_not_forgotten() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        accounts("www:x:7:8::/:\n", "a:x:9:www\nb:x:10:www\nc:x:9:www\nd:x:8:www\n");
        for (room, fits) in [(1, false), (2, false), (3, true)] {
            let mut groups = vec![Gid::ROOT; room];
            let found = autochroot::User::find_in("www", &mut groups).map(|user| user.groups().len());
            assert_eq!(found, if fits { Ok(3) } else { Err(UserError::TooManyGroups { room }) });
        }
    });
}

/// Enters a user namespace with this map for users and groups, which a process outside writes. The
/// ids are not mapped.
fn map_ids(map: &str) {
    let parent = std::process::id();
    let script = format!("read _; echo '{map}' >/proc/{parent}/uid_map && echo '{map}' >/proc/{parent}/gid_map");
    let mut writer = std::process::Command::new("sh");
    let mut writer = writer.args(["-c", &script]).stdin(std::process::Stdio::piped()).spawn().unwrap();
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, 0);
    drop(writer.stdin.take());
    writer.wait().unwrap();
    assert!(fs::read_to_string("/proc/self/gid_map").unwrap().contains("100000"));
}

/// Enters as this user and seals, and checks who it is and what it holds.
fn enter_and_seal(jail: Jail<'_>, user: &autochroot::User<'_>) -> Result<Entered, Error> {
    let jailed = jail.enter_as(user)?;
    let (uid, gid) = (user.uid().as_raw(), user.gid().as_raw());
    assert_eq!(ids(), [uid, uid, uid, gid, gid, gid]);
    let entered = jailed.entered();
    let is_jailed = jailed.root() != Root::Unjailed;
    let sealed = jailed.seal()?;
    assert_eq!((sealed.capabilities(), held()), (Capabilities::NONE, 0));
    assert_eq!(fs::read("/etc/passwd").is_err(), is_jailed);
    Ok(entered)
}

#[test]
fn one_call_is_right_for_root_for_that_user_and_without_a_jail() {
    own_process!();
    root_only!();
    let (uid, gid) = (12345, 12345);
    for configured in ["auto", "unlinked", "/"] {
        as_user(User::Root, || {
            let jail = Jail::try_from(configured).unwrap();
            let entered = enter_and_seal(jail, &account(uid, gid, &[gid, 5])).unwrap();
            assert_eq!(entered, if configured == "/" { Entered::Unjailed } else { Entered::Privilege });
            assert_eq!(groups(), [5, gid]);
        });
        // As that user. A group that it lacks is no loss.
        as_user(SOMEBODY, || {
            let jail = Jail::try_from(configured).unwrap();
            let entered = enter_and_seal(jail, &account(uid, gid, &[gid, 5])).unwrap();
            assert_eq!(entered, if configured == "/" { Entered::Unjailed } else { Entered::UserNamespace });
        });
        // As anybody else.
        as_user(NOBODY, || {
            let before = (ids(), held(), groups(), std::env::current_dir().unwrap());
            let error = Jail::try_from(configured).unwrap().enter_as(&account(uid, gid, &[])).unwrap_err();
            assert_eq!((error.step(), error.is_partial()), (Step::CheckIds, false));
            assert_eq!(
                error.to_string(),
                "cannot become that user: the process is neither that user nor privileged; hint: missing: CAP_SETGID, CAP_SETUID; start as root, and allow it in a container or unit (systemd: CapabilityBoundingSet=, with User= also AmbientCapabilities=)"
            );
            assert_eq!((ids(), held(), groups(), std::env::current_dir().unwrap()), before);
        });
    }
}

#[test]
fn a_group_of_the_process_that_the_user_is_not_in_is_left_or_refused() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        set_groups(&[4, 27]);
        let _ = Jail::auto().enter_as(&account(0, 0, &[0])).unwrap();
        assert_eq!(groups(), [0]);
    });
    as_user(User::Root, || {
        set_groups(&[4, 27]);
        unsafe {
            assert_eq!(libc::setresgid(8, 8, 8), 0);
            assert_eq!(libc::setresuid(7, 7, 7), 0);
            assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
        }
        let error = Jail::auto().enter_as(&account(7, 8, &[4])).unwrap_err();
        assert_eq!((error.step(), error.is_partial()), (Step::CheckIds, false));
        let text =
            "cannot become that user: group 27 of the process is not a group of the user; hint: missing: CAP_SETGID; ";
        assert!(error.to_string().starts_with(text), "{error}");
        // With all of them it is that user.
        let _ = Jail::auto().enter_as(&account(7, 8, &[27, 4, 8])).unwrap();
    });
}

/// A process that could still set its user id back is not that user.
#[test]
fn a_saved_id_of_root_is_given_up() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        set_groups(&[]);
        unsafe {
            assert_eq!(libc::setresgid(8, 8, 0), 0);
            assert_eq!(libc::setresuid(7, 7, 0), 0);
        }
        assert_eq!(ids(), [7, 7, 0, 8, 8, 0]);
        let _ = Jail::auto().allow_dumpable().enter_as(&account(7, 8, &[])).unwrap();
        assert_eq!(ids(), [7, 7, 7, 8, 8, 8]);
    });
}

const MAY_CHANGE_USER: Capabilities = Capabilities::SETUID.union(Capabilities::SETGID);

/// An id that is not mapped shows as 65534: whoever has it is not the user with that id.
#[test]
fn nobody_of_a_user_namespace_may_be_somebody_else() {
    own_process!();
    root_only!();
    let overflow = account(65534, 65534, &[65534]);
    let nobody = || {
        unsafe {
            assert_eq!(libc::setresgid(65534, 65534, 65534), 0);
            assert_eq!(libc::setresuid(65534, 65534, 65534), 0);
        }
        keep_only(Capabilities::NONE);
        assert_eq!(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) }, 0);
    };
    // The ids are root's outside.
    as_user(User::Root, || {
        set_groups(&[]);
        map_ids("0 100000 65536");
        keep_only(Capabilities::NONE);
        assert_eq!(ids(), [65534; 6]);
        let error = Jail::auto().enter_as(&overflow).unwrap_err();
        assert_eq!((error.step(), error.is_partial()), (Step::CheckIds, false), "{error}");
    });
    // One of them is, the other one is mapped.
    for own in [SETRESUID, SETRESGID] {
        as_user(User::Root, || {
            set_groups(&[]);
            map_ids("0 100000 65536");
            assert_eq!(unsafe { libc::syscall(own, 65534, 65534, 65534) }, 0);
            keep_only(Capabilities::NONE);
            assert_eq!((ids(), unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) }), ([65534; 6], 0));
            let error = Jail::auto().enter_as(&overflow).unwrap_err();
            assert_eq!((error.step(), error.is_partial()), (Step::CheckIds, false), "{error}");
        });
    }
    // With the privilege it becomes nobody.
    as_user(User::Root, || {
        map_ids("0 100000 65536");
        let _ = Jail::unjailed().enter_as(&overflow).unwrap();
        assert_eq!((ids(), held()), ([65534; 6], 0));
    });
    // The groups are somebody else's.
    as_user(User::Root, || {
        set_groups(&[4, 27]);
        map_ids("0 100000 65536");
        nobody();
        let error = Jail::auto().enter_as(&overflow).unwrap_err();
        assert!(error.to_string().contains("group 65534 of the process is not a group of the user"), "{error}");
    });
    // It is nobody.
    as_user(User::Root, || {
        set_groups(&[]);
        map_ids("0 100000 65536");
        nobody();
        let _ = Jail::auto().enter_as(&overflow).unwrap();
    });
}

/// Up to the last id of a line and no further, and in as many lines as the kernel takes.
#[test]
fn the_ids_that_are_mapped_are_known() {
    own_process!();
    root_only!();
    for (id, is_mapped) in [(65535, true), (65536, false), (u32::MAX - 1, false)] {
        as_user(User::Root, || {
            map_ids("0 100000 65536");
            match Jail::unjailed().enter_as(&account(id, id, &[])) {
                Ok(_) => assert!(is_mapped && ids() == [id; 6], "{id}"),
                Err(error) => {
                    assert_eq!(
                        (error.step(), error.is_partial(), is_mapped),
                        (Step::CheckIds, false, false),
                        "{error}"
                    );
                    assert_eq!(error.known_cause(), Some(Cause::UnmappedUser), "{error}");
                }
            }
        });
    }
    as_user(User::Root, || {
        let line = |id: u32| format!("{id} {} 1\n", 100_000 + id);
        map_ids((0..50).map(line).collect::<String>().trim_end());
        let _ = Jail::unjailed().enter_as(&account(49, 48, &[47])).unwrap();
        assert_eq!((ids(), groups()), ([49, 49, 49, 48, 48, 48], vec![47]));
    });
}

/// Then 65534 may be any group that is not mapped.
#[test]
fn without_proc_the_group_of_nobody_is_not_known_to_be_it() {
    own_process!();
    root_only!();
    for (group, enters) in [(65534, false), (65533, true)] {
        as_user(User::Root, || {
            own_mounts();
            mount_tmpfs(Path::new("/proc"), 0, "");
            set_groups(&[group]);
            unsafe {
                assert_eq!(libc::setresgid(8, 8, 8), 0);
                assert_eq!(libc::setresuid(7, 7, 7), 0);
            }
            match Jail::unjailed().enter_as(&account(7, 8, &[group])) {
                Ok(_) => assert!(enters),
                Err(error) => {
                    assert_eq!((error.step(), error.is_partial(), enters), (Step::CheckIds, false, false), "{error}");
                    assert!(error.to_string().contains("group 65534 of the process is not a group of"), "{error}");
                }
            }
        });
    }
}

/// Also if it is among the supplementary groups of the process and not of the user, or the other way
/// round.
#[test]
fn the_primary_group_is_one_of_the_user() {
    own_process!();
    root_only!();
    for (own, users) in [(&[8][..], &[][..]), (&[], &[8]), (&[4, 8], &[4])] {
        as_user(User::Root, || {
            set_groups(own);
            unsafe {
                assert_eq!(libc::setresgid(8, 8, 8), 0);
                assert_eq!(libc::setresuid(7, 7, 7), 0);
                assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
            }
            let jailed = Jail::auto().enter_as(&account(7, 8, users)).unwrap();
            assert_eq!(jailed.entered(), Entered::UserNamespace);
        });
        // In a user namespace no groups can be set.
        as_user(User::Plain(12345), || {
            let users: Vec<_> = users.iter().map(|gid| if *gid == 8 { 12345 } else { *gid }).collect();
            let jailed = Jail::auto().enter().unwrap();
            match jailed.run_as(&account(12345, 12345, &users)) {
                Ok(_) => assert!(!users.contains(&4)),
                Err(error) => assert!(users.contains(&4) && error.step() == Step::CheckIds, "{error}"),
            }
        });
    }
}

/// As `unshare -r` leaves it: root, with groups that it cannot leave.
#[test]
fn where_no_groups_can_be_set_nothing_changes() {
    own_process!();
    root_only!();
    for denies in [true, false] {
        as_user(User::Root, || {
            set_groups(&[4]);
            if denies {
                assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWUSER) }, 0);
                fs::write("/proc/self/uid_map", "0 0 1").unwrap();
                fs::write("/proc/self/setgroups", "deny").unwrap();
                fs::write("/proc/self/gid_map", "0 0 1").unwrap();
            }
            let before = (ids(), groups(), held());
            match Jail::unlinked().enter_as(&account(0, 0, &[])) {
                Ok(_) => assert!(!denies && groups().is_empty()),
                Err(error) => {
                    assert_eq!((error.step(), error.is_partial(), denies), (Step::CheckIds, false, true), "{error}");
                    assert_eq!(error.known_cause(), Some(Cause::SetgroupsDenied), "{error}");
                    assert_eq!(before, (ids(), groups(), held()));
                    assert!(fs::metadata("/etc").is_ok());
                }
            }
        });
    }
}

/// The kernel sorts the groups by their ids outside.
#[test]
fn groups_are_compared_in_whatever_order_they_are() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        map_ids("0 100000 1000\n1000 1000 1\n1001 101000 60000");
        unsafe {
            assert_eq!(libc::setresgid(0, 0, 0), 0);
            assert_eq!(libc::setresuid(0, 0, 0), 0);
        }
        let _ = Jail::unlinked().enter_as(&account(7, 8, &[1000, 4, 8])).unwrap();
        assert_eq!(groups(), [1000, 4, 8]);
    });
}

#[test]
fn without_the_privilege_to_enter_the_user_comes_first() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        keep_only(MAY_CHANGE_USER);
        let entered = enter_and_seal(Jail::auto().allow_dumpable(), &account(7, 8, &[8])).unwrap();
        assert_eq!(entered, Entered::UserNamespace);
    });
    as_user(User::Root, || {
        let jail = Jail::auto().id_map(IdMap::None).user_namespace(UserNamespace::Always);
        let jailed = jail.enter_as(&account(7, 8, &[])).unwrap();
        assert_eq!((jailed.entered(), jailed.ids_kept()), (Entered::UserNamespace, false));
        assert_eq!(held(), 0);
    });
    // What then fails is partial.
    as_user(User::Root, || {
        keep_only(MAY_CHANGE_USER);
        let error = Jail::unlinked_in(b"/nonexistent").allow_dumpable().enter_as(&account(7, 8, &[])).unwrap_err();
        assert_eq!((error.step(), error.is_partial(), ids()[0]), (Step::Parent, true, 7));
        assert!(error.to_string().contains("; the working directory has changed; the process is that user"), "{error}");
    });
}

/// The working directory has changed by then.
#[test]
fn a_user_that_comes_first_and_cannot_be_set_leaves_the_process_in_the_root() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        std::env::set_current_dir("/usr").unwrap();
        fake(SET_IDS[2], Errno::PERM);
        keep_only(MAY_CHANGE_USER);
        let before = (ids(), held(), groups());
        let error = Jail::auto().allow_dumpable().enter_as(&account(7, 8, &[9])).unwrap_err();
        assert_eq!((error.step(), error.is_partial()), (Step::SetGroups, true), "{error}");
        assert!(error.to_string().contains("; the working directory has changed"), "{error}");
        assert_eq!(((ids(), held(), groups()), std::env::current_dir().unwrap()), (before, "/".into()));
    });
}

/// Where `enter` would allow it too: a user id is that of one thread.
#[test]
fn another_thread_is_found_before_the_entry() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let _thread = Thread::start();
        for jail in [Jail::auto(), Jail::unlinked(), Jail::unjailed()] {
            let error = jail.allow_threads().enter_as(&account(7, 8, &[])).unwrap_err();
            assert_eq!((error.step(), error.is_partial(), ids()), (Step::Threads, false, [0; 6]), "{error}");
            assert!(fs::metadata("/etc").is_ok());
        }
    });
}

#[test]
fn what_cannot_work_is_refused_before_anything_changes() {
    own_process!();
    root_only!();
    let always = Jail::auto().user_namespace(UserNamespace::Always);
    let web = Capabilities::NET_BIND_SERVICE;
    for (jail, user, keep, step, cause) in [
        (always, (7, 8), Capabilities::NONE, Step::Proc, Some(Cause::NotDumpable)),
        (always, (7, 8), web, Step::CheckCapabilities, Some(Cause::NothingKept)),
        (Jail::auto(), (0, 0), web, Step::CheckIds, None),
        (Jail::auto(), (u32::MAX, 8), web, Step::CheckIds, None),
        (Jail::unjailed().or(Jail::auto()), (7, 8), web, Step::Options, None),
    ] {
        as_user(User::Root, || {
            let before = (ids(), held(), groups(), std::env::current_dir().unwrap());
            let error = jail.enter_as_keeping(&account(user.0, user.1, &[]), keep).unwrap_err();
            assert_eq!((error.step(), error.is_partial(), error.known_cause()), (step, false, cause), "{error}");
            assert_eq!((ids(), held(), groups(), std::env::current_dir().unwrap()), before);
        });
    }
    // As in a unit whose CapabilityBoundingSet= is too small: what it lacks is named, and not a remedy in the code.
    for (jail, missing) in [
        (Jail::auto(), Capabilities::SYS_CHROOT),
        (Jail::detached(), Capabilities::SYS_CHROOT | Capabilities::SYS_ADMIN),
    ] {
        as_user(User::Root, || {
            keep_only(MAY_CHANGE_USER);
            let error = jail.enter_as(&account(7, 8, &[])).unwrap_err();
            let text = "cannot open /proc/self: as that user it is not dumpable, so the id maps belong to root";
            assert!(error.to_string().starts_with(text), "{error}");
            assert_eq!((error.step(), error.is_partial()), (Step::Proc, false));
            assert_eq!(error.known_cause(), Some(Cause::MissingCapabilities(missing)));
        });
        as_user(User::Root, || {
            keep_only(MAY_CHANGE_USER | missing);
            assert!(enter_and_seal(jail, &account(7, 8, &[])).is_ok());
        });
    }
    as_user(User::Root, || {
        keep_only(MAY_CHANGE_USER | Capabilities::SYS_CHROOT);
        let error = Jail::auto().enter_as_keeping(&account(7, 8, &[]), web).unwrap_err();
        assert_eq!((error.step(), error.is_partial()), (Step::CheckCapabilities, false));
        assert_eq!(error.known_cause(), Some(Cause::MissingCapabilities(web)));
    });
}

/// The user changes only if everything that can be checked is as it has to be.
#[test]
fn nothing_changes_before_what_can_be_checked_is_checked() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    let secret = scratch.0.join("secret");
    fs::write(&secret, "text").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let source = secret.to_str().unwrap().as_bytes();
    let files = [NamedFile::copy(source, b"/secret")];
    let (missing, device) = ([NamedFile::copy(b"/nonexistent", b"/x")], [NamedFile::copy(b"/dev/null", b"/null")]);
    let auto = Jail::auto().allow_dumpable();
    let without_ids = auto.id_map(IdMap::None);
    let nothing = || ();
    let hidden = || {
        own_mounts();
        mount_tmpfs(Path::new("/proc"), 0, "");
    };
    let filtered = || {
        rustix::thread::set_no_new_privs(true).unwrap();
        for call in [libc::SYS_unshare, libc::SYS_fsopen, libc::SYS_mount, libc::SYS_keyctl] {
            fake(call, Errno::PERM);
        }
    };
    for (what, prepare, jail, step) in [
        ("a file is missing", &nothing as &dyn Fn(), auto.files(&missing), Step::Files),
        ("a device in a user namespace", &nothing, auto.files(&device), Step::Files),
        ("files without ids", &nothing, without_ids.files(&files), Step::Proc),
        ("no /proc", &hidden, auto, Step::Proc),
        ("Docker's filter", &filtered, auto.files(&files), Step::NewUserNamespace),
    ] {
        as_user(User::Root, || {
            prepare();
            keep_only(MAY_CHANGE_USER | Capabilities::SYS_CHROOT | Capabilities::MKNOD);
            let jail = if what == "Docker's filter" || what == "a file is missing" {
                jail
            } else {
                jail.user_namespace(UserNamespace::Always)
            };
            let state = || (ids(), held(), groups(), std::env::current_dir().unwrap(), open_count());
            let before = state();
            let error = jail.enter_as(&account(7, 8, &[9])).unwrap_err();
            assert_eq!((error.step(), error.is_partial()), (step, false), "{what}: {error}");
            assert_eq!(state(), before, "{what}");
            if what == "Docker's filter" {
                let missing = Cause::MissingCapabilities(Capabilities::SYS_ADMIN);
                assert_eq!(error.known_cause(), cfg!(feature = "hints").then_some(missing), "{error}");
            }
        });
    }
    // An open directory too.
    as_user(User::Root, || {
        keep_only(MAY_CHANGE_USER);
        let _directory = fs::File::open("/").unwrap();
        let error = auto.enter_as(&account(7, 8, &[])).unwrap_err();
        assert_eq!((error.step(), error.is_partial(), ids()[0]), (Step::Descriptors, false, 0));
    });
    // What only root can read is opened as root.
    as_user(User::Root, || {
        keep_only(MAY_CHANGE_USER | Capabilities::SYS_CHROOT);
        let jailed = auto.files(&files).enter_as(&account(7, 8, &[])).unwrap();
        assert_eq!((jailed.entered(), ids()[0]), (Entered::UserNamespace, 7));
        assert_eq!(fs::read("/secret").unwrap(), b"text");
    });
}

fn open_count() -> Option<usize> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count())
}

/// A caller that goes on must not become the user with the capabilities of root.
#[test]
fn a_change_of_user_that_fails_half_way_leaves_no_privilege_and_says_so() {
    own_process!();
    root_only!();
    const HALF: &str = "the process is neither user: end it";
    let keeps = || unsafe { libc::prctl(libc::PR_GET_KEEPCAPS) };
    let securebits = || unsafe { libc::prctl(libc::PR_GET_SECUREBITS) };
    for keep in [Capabilities::NONE, Capabilities::NET_BIND_SERVICE] {
        for may_set in [true, false] {
            as_user(User::Root, || {
                rustix::thread::set_no_new_privs(true).unwrap();
                if !may_set {
                    keep_only(MAY_CHANGE_USER | Capabilities::SYS_CHROOT | Capabilities::SYS_ADMIN | keep);
                }
                let before = (held(), keeps(), securebits());
                fake(SET_IDS[0], Errno::PERM);
                let error = Jail::auto().enter_as_keeping(&account(7, 8, &[9]), keep).unwrap_err();
                assert_eq!((error.step(), error.is_partial()), (Step::SetUid, true));
                let told = error.to_string();
                assert!(told.contains("supplementary groups have changed; the group id has changed;"), "{told}");
                assert!(told.contains(HALF), "{told}");
                assert_eq!((held(), keeps(), securebits()), before, "{keep:?} {may_set}");
                unsafe {
                    assert_eq!(libc::setgid(8), 0);
                    assert_eq!(libc::setuid(7), 0);
                }
                assert_eq!(held(), 0, "{keep:?} {may_set}");
            });
            // Later steps: the user has changed, and the capabilities go.
            for call in [libc::SYS_keyctl, libc::SYS_prctl] {
                as_user(User::Root, || {
                    rustix::thread::set_no_new_privs(true).unwrap();
                    if !may_set {
                        keep_only(MAY_CHANGE_USER | Capabilities::SYS_CHROOT | Capabilities::SYS_ADMIN | keep);
                    }
                    let jailed = Jail::unlinked().enter().unwrap();
                    if call == libc::SYS_prctl {
                        filter_second_argument(libc::SYS_prctl, 2, Errno::NOMEM); // PR_CAP_AMBIENT_RAISE
                    } else {
                        fake(SET_IDS[1], Errno::NOMEM);
                    }
                    let Err(error) = jailed.run_as_keeping(&account(7, 8, &[9]), keep) else {
                        assert!(keep.is_empty() && call == libc::SYS_prctl);
                        return;
                    };
                    assert!(error.is_partial() && error.to_string().contains(HALF), "{error}");
                    assert!(ids()[0] == 0 || held() == 0, "{error}");
                    assert_eq!(keeps(), 0);
                });
            }
        }
    }
    as_user(User::Root, || {
        rustix::thread::set_no_new_privs(true).unwrap();
        let jailed = Jail::unlinked().enter().unwrap();
        fake(libc::SYS_capset, Errno::NOMEM);
        let told = jailed.run_as(&account(7, 8, &[])).unwrap_err().to_string();
        assert!(told.contains("; the process is that user; capabilities are still held; "), "{told}");
    });
}

/// After the change of the user id too: what held the capabilities is put back, and what is gone is
/// named.
#[test]
fn a_failure_after_the_change_of_the_user_id_names_what_is_gone() {
    own_process!();
    root_only!();
    const KEEP_CAPS_LOCKED: i32 = 32;
    for bits in [0, KEEP_CAPS_LOCKED] {
        as_user(User::Root, || {
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits) }, 0);
            rustix::thread::set_no_new_privs(true).unwrap();
            let jailed = Jail::unlinked().enter().unwrap();
            fake_where(libc::SYS_prctl, Some(libc::PR_CAPBSET_DROP as u32), libc::EPERM as u32);
            let error = jailed.run_as(&account(7, 8, &[])).unwrap_err();
            assert_eq!((error.step(), error.is_partial()), (Step::BoundingSet, true));
            let told = error.to_string();
            assert!(told.contains("; the process is that user; a part of the privileges is gone; "), "{told}");
            assert_eq!((held(), unsafe { libc::prctl(libc::PR_GET_SECUREBITS) }), (0, bits), "{told}");
        });
    }
}

/// As `setpriv --securebits`, `capsh --secbits` and systemd's `SecureBits=` leave them.
#[test]
fn securebits_of_whoever_starts_the_process_are_met_before_anything_changes() {
    own_process!();
    root_only!();
    const NO_SETUID_FIXUP_LOCKED: i32 = 8;
    const KEEP_CAPS_LOCKED: i32 = 32;
    const NO_CAP_AMBIENT_RAISE: i32 = 64;
    let keep = Capabilities::NET_BIND_SERVICE;
    for bits in 0..256 {
        as_user(User::Root, || {
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits) }, 0);
            let refused = bits & NO_CAP_AMBIENT_RAISE != 0
                || bits & (NO_SETUID_FIXUP_LOCKED | KEEP_CAPS_LOCKED | 4 | 16)
                    == NO_SETUID_FIXUP_LOCKED | KEEP_CAPS_LOCKED;
            match Jail::unlinked().enter_as_keeping(&account(7, 8, &[]), keep) {
                Ok(jailed) => {
                    assert!(!refused, "{bits:#x}");
                    assert_eq!((ids()[0], held()), (7, keep.bits()), "{bits:#x}");
                    drop(jailed.seal().unwrap());
                }
                Err(error) => {
                    assert!(refused, "{bits:#x}: {error}");
                    assert_eq!((error.step(), error.is_partial(), ids()[0]), (Step::CheckCapabilities, false, 0));
                    assert_eq!(error.known_cause(), cfg!(feature = "hints").then_some(Cause::Securebits), "{bits:#x}");
                    assert_eq!(unsafe { libc::prctl(libc::PR_GET_SECUREBITS) }, bits);
                }
            }
        });
        // Without a capability to keep, everything works.
        as_user(User::Root, || {
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits) }, 0);
            let jailed = Jail::unlinked().enter_as(&account(7, 8, &[])).unwrap();
            let sealed = jailed.seal().unwrap();
            assert_eq!((ids()[0], held()), (7, 0), "{bits:#x}");
            let locked_off = (bits >> 1) & 0x55 & !(bits & 0x45 | !bits & 0x10) != 0;
            assert_eq!(sealed.has(Protection::Securebits), !locked_off, "{bits:#x}");
            let cause = (cfg!(feature = "hints") && locked_off).then_some(Cause::Securebits);
            assert_eq!(sealed.cause(Protection::Securebits), cause, "{bits:#x}");
        });
        // A seal that requires them finds it out in time.
        as_user(User::Root, || {
            assert_eq!(unsafe { libc::prctl(libc::PR_SET_SECUREBITS, bits) }, 0);
            let jailed = Jail::unlinked().enter().unwrap();
            let locked_off = (bits >> 1) & 0x55 & !(bits & 0x45 | !bits & 0x10) != 0;
            match jailed.seal_with(Seal::new().require(Protection::Securebits)) {
                Ok(_) => assert!(!locked_off, "{bits:#x}"),
                Err(error) => {
                    assert!(locked_off && error.step() == Step::Require, "{bits:#x}: {error}");
                    assert_eq!(error.known_cause(), cfg!(feature = "hints").then_some(Cause::Securebits));
                    assert_eq!(unsafe { libc::prctl(libc::PR_GET_SECUREBITS) }, bits);
                }
            }
        });
    }
}

#[test]
fn a_seal_keeps_what_was_kept_before_unless_it_names_others() {
    own_process!();
    root_only!();
    let both = Capabilities::NET_BIND_SERVICE | Capabilities::NET_RAW;
    for (seal, kept) in [
        (Seal::new(), both),
        (Seal::new().require(Protection::Seccomp), both),
        (Seal::new().keep(Capabilities::NET_RAW), Capabilities::NET_RAW),
        (Seal::new().keep(Capabilities::NONE), Capabilities::NONE),
    ] {
        as_user(User::Root, || {
            let jailed = Jail::auto().enter_as_keeping(&account(7, 8, &[]), both).unwrap();
            let sealed = jailed.seal_with(seal).unwrap();
            assert_eq!(sealed.capabilities(), kept);
            assert_eq!(held(), kept.bits());
        });
    }
    as_user(User::Root, || {
        let sealed = Jail::auto().enter_as_keeping(&account(7, 8, &[]), both).unwrap().seal().unwrap();
        assert_eq!((sealed.capabilities(), held()), (both, both.bits()));
    });
    // A supervisor has started the process as that user, with more capabilities than it needs.
    as_user(User::Root, || {
        rustix::thread::set_keep_capabilities(true).unwrap();
        set_groups(&[]);
        unsafe {
            assert_eq!(libc::setresgid(8, 8, 8), 0);
            assert_eq!(libc::setresuid(7, 7, 7), 0);
        }
        keep_only(both | Capabilities::SYS_CHROOT | Capabilities::SYS_ADMIN | Capabilities::KILL);
        let jailed = Jail::auto().enter_as_keeping(&account(7, 8, &[]), both).unwrap();
        assert_eq!((jailed.entered(), held()), (Entered::Privilege, both.bits()));
    });
}

/// A service that systemd starts with `User=` and one capability needs another one to keep it.
#[test]
fn what_is_missing_to_keep_a_capability_is_named() {
    own_process!();
    root_only!();
    let web = Capabilities::NET_BIND_SERVICE;
    as_user(User::Root, || {
        keep_only(web);
        let error = Jail::auto().check_kept(web).unwrap_err();
        assert_eq!((error.step(), error.is_partial()), (Step::CheckCapabilities, false));
        assert_eq!(error.known_cause(), Some(Cause::MissingCapabilities(Capabilities::SYS_CHROOT)));
        let error = Jail::detached().check_kept(web | Capabilities::NET_RAW).unwrap_err();
        let missing = Capabilities::NET_RAW | Capabilities::SYS_CHROOT | Capabilities::SYS_ADMIN;
        assert_eq!(error.known_cause(), Some(Cause::MissingCapabilities(missing)));
        let always = Jail::auto().user_namespace(UserNamespace::Always);
        assert_eq!(always.check_kept(web).unwrap_err().known_cause(), Some(Cause::NothingKept));
        Jail::unjailed().check_kept(web).unwrap();
    });
    as_user(User::Root, || {
        keep_only(web | Capabilities::SYS_CHROOT);
        Jail::auto().check_kept(web).unwrap();
    });
}

/// A filter that refuses to read the ids does not make the process somebody else. The saved id is
/// not known, so all three are set.
#[test]
fn without_getresgid_the_process_is_still_that_user() {
    own_process!();
    as_user(plain(), || {
        let user = account(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw(), &[]);
        fake(GETRESGID, rustix::io::Errno::PERM);
        let _ = Jail::unlinked().allow_dumpable().enter_as(&user).unwrap();
    });
}
