//! The library.

use std::path::Path;

use autochroot::{Gid, IdMap, Jail, Jailed, NamedFile, Uid};

use crate::by_hand::{ByHand, WITHOUT};
use crate::fork::{User, time, time_at_once};
use crate::table::{Row, group, row};

const TMPFS: &str = "/dev/shm";
const DISK: &str = "/var/tmp";

/// The special case that has the same calls in C.
const UNLINKED: Jail<'static> = Jail::unlinked_in(TMPFS.as_bytes());

fn enter(jail: Jail<'_>) -> Result<Jailed, String> {
    jail.enter().map_err(|error| error.to_string())
}

/// Returns a row for an entry, compared with the row `beside`.
fn entry<'r>(user: User, name: &str, beside: usize, jail: Jail<'static>) -> Row<'r> {
    row(name, beside, move || time(user, || (), || enter(jail).map(drop)))
}

/// The default, and what the README's example does.
pub fn entries(user: User) {
    let then = |name, then: fn() -> Result<(), autochroot::Error>| {
        row(name, 0, move || time(user, || (), || then().map_err(|error| error.to_string())))
    };
    let mut rows = vec![
        entry(user, "enter", 0, Jail::auto()),
        then("enter and seal", || Jail::auto().enter()?.seal().map(drop)),
        entry(user, "enter, open directories allowed", 0, Jail::auto().allow_open_directories()),
    ];
    if user == Some(0) {
        rows.push(then("enter_as and seal, the README's example", || {
            Jail::auto().enter_as(&autochroot::User::new(Uid::from_raw(7), Gid::from_raw(7), &[]))?.seal().map(drop)
        }));
    } else {
        rows.push(entry(user, "enter, without id maps", 0, Jail::auto().id_map(IdMap::None)));
    }
    rows.push(entry(user, "enter, unlinked in /dev/shm", 0, UNLINKED));
    rows.push(entry(user, "enter, unlinked on a disk", 0, Jail::unlinked_in(DISK.as_bytes())));
    group(&format!("an entry, {}", name(user)), 1000, &rows);
}

/// An unlinked root, compared with C.
pub fn compared_with_c(user: User, c: &ByHand) {
    let (same, fewest, haproxy) = (c.same, c.fewest, c.haproxy);
    let mut rows = vec![
        row("C: the same calls", 0, move || time(user, || (), || same.enter(TMPFS, 0))),
        entry(user, "enter, unlinked in /dev/shm", 0, UNLINKED),
    ];
    for (flag, what) in WITHOUT {
        if user != Some(0) || what != "the id maps" {
            let name = format!("C: the same, without {what}");
            rows.push(row(name, 0, move || time(user, || (), || same.enter(TMPFS, flag))));
        }
    }
    rows.push(row("C: the fewest calls", 0, move || time(user, || (), || fewest.enter(TMPFS, 0))));
    rows.push(row("C: HAProxy's calls, on a disk", rows.len(), move || time(user, || (), || haproxy.enter("/tmp", 0))));
    rows.push(entry(user, "enter", rows.len() - 1, Jail::auto()));
    group(&format!("an entry and the same calls in C, {}", name(user)), 1000, &rows);
}

/// As a program's configuration, its certificate and the resolver's.
const FILES: &[NamedFile] = &[
    NamedFile::write(&[b'a'; 4096], b"/etc/app.conf"),
    NamedFile::write(&[b'b'; 4096], b"/etc/cert.pem"),
    NamedFile::write(&[b'c'; 4096], b"/etc/resolv.conf"),
];

const COPIED: &[NamedFile] = &[
    NamedFile::copy(b"/dev/shm/autochroot-bench-1", b"/etc/app.conf"),
    NamedFile::copy(b"/dev/shm/autochroot-bench-2", b"/etc/cert.pem"),
    NamedFile::copy(b"/dev/shm/autochroot-bench-3", b"/etc/resolv.conf"),
];

/// Each kind of root, and the lists in both orders.
pub fn roots(user: User) {
    let paths = ["1", "2", "3"].map(|name| format!("/dev/shm/autochroot-bench-{name}"));
    for path in &paths {
        std::fs::write(path, [b'd'; 4096]).unwrap();
    }
    let list = |first: Jail<'static>, second| first.or(second).or(Jail::failfs());
    let rows: Vec<Row> = [
        ("unlinked", Jail::unlinked()),
        ("detached", Jail::detached()),
        ("failfs", Jail::failfs()),
        ("auto: detached,unlinked,failfs", Jail::auto()),
        ("detached, three files of 4 KiB from memory", Jail::detached().files(FILES)),
        ("detached, three files of 4 KiB", Jail::detached().files(COPIED)),
        ("unlinked,detached,failfs", list(Jail::unlinked(), Jail::detached())),
    ]
    .into_iter()
    .filter(|(_, jail)| jail.check().is_ok())
    .map(|(name, jail)| {
        row(name, usize::from(name.contains("files")), move || time(user, || (), || enter(jail).map(drop)))
    })
    .collect();
    group(&format!("the roots, {}", name(user)), 100, &rows);
    for path in &paths {
        std::fs::remove_file(path).unwrap();
    }
}

pub const fn name(user: User) -> &'static str {
    match user {
        Some(0) => "root",
        Some(_) => "another user",
        None => "this user",
    }
}

/// What is not flat.
pub fn growth(users: &[User]) {
    let user = users[0];
    let most = 100_000.min(limit() - 100);
    let more =
        [0, 10, 1000, most].map(|files| (format!("enter, with {files} more descriptors"), Jail::auto(), files, None));
    let far =
        [1000, most].map(|at| (format!("enter, with one descriptor more, number {at}"), Jail::auto(), 0, Some(at)));
    let threads = [0, 1000]
        .map(|files| (format!("enter, threads allowed, {files} more"), Jail::auto().allow_threads(), files, None));
    let rows: Vec<_> = more
        .into_iter()
        .chain(far)
        .chain(threads)
        .map(|(what, jail, files, far)| row(what, 0, move || time(user, || open(files, far), || enter(jail).map(drop))))
        .collect();
    group(&format!("growth with descriptors, {}", name(user)), 20, &rows);
    for &user in users {
        let rows: Vec<Row> = [1, 2, 8, 64]
            .into_iter()
            .map(|count| {
                row(format!("{count} enter at once, for each"), 0, move || {
                    time_at_once(user, count, || enter(Jail::auto()).map(drop))
                })
            })
            .collect();
        group(&format!("growth with concurrency, {}", name(user)), 50, &rows);
    }
}

pub fn growth_with_mounts(users: &[User], scratch: &Path) {
    if let &[Some(0), user] = users {
        let rows: Vec<Row> = [0, 100, 1000]
            .into_iter()
            .flat_map(|mounts| [("enter, unlinked", UNLINKED, mounts), ("enter", Jail::auto(), mounts)])
            .enumerate()
            .map(|(n, (what, jail, mounts))| {
                row(format!("{what}, with {mounts} more mounts"), n % 2, move || {
                    time(user, || mount(scratch, mounts), || enter(jail).map(drop))
                })
            })
            .collect();
        group("growth with mounts, another user", 20, &rows);
    }
}

/// How many descriptors there may be, raised as far as that is permitted; from now on also in a
/// fork.
fn limit() -> u32 {
    let mut limit = libc::rlimit { rlim_cur: 200_000, rlim_max: 200_000 };
    // SAFETY: the limit is valid for each call.
    unsafe {
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) != 0 {
            assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit), 0);
            limit.rlim_cur = limit.rlim_max;
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        }
    }
    u32::try_from(limit.rlim_max.min(200_000)).unwrap()
}

fn open(files: u32, far: Option<u32>) {
    // SAFETY: it makes descriptors that nobody uses.
    unsafe {
        (0..files).for_each(|_| assert!(libc::dup(0) > 0));
        if let Some(number) = far {
            assert!(libc::dup2(0, i32::try_from(number).unwrap()) > 0);
        }
    }
}

/// So many more, in a mount namespace of this process' own, which a descriptor keeps: to remove it
/// is no part of an entry.
fn mount(scratch: &Path, mounts: u32) {
    use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
    use rustix::thread::{UnshareFlags, unshare_unsafe};
    // SAFETY: what is unsafe is CLONE_FILES.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS).unwrap() };
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    std::mem::forget(std::fs::File::open("/proc/self/ns/mnt").unwrap());
    (0..mounts).for_each(|_| mount_bind(scratch.to_str().unwrap(), scratch.to_str().unwrap()).unwrap());
}
