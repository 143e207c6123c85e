//! What an entry and the launcher cost, in one table: `cargo bench`.
//!
//! Each entry has a fresh fork, and the rows of a group take turns, so that what disturbs one
//! disturbs all. The hand-written C that they are measured against is `c.c`, compiled by `cc` if
//! there is one. `AUTOCHROOT_STATIC` names a small static launcher, `AUTOCHROOT_PEERS` a directory
//! with programs of others that were built here, and `AUTOCHROOT_SERVER` a server of Redis'
//! protocol. `cargo bench -- entries` prints that part alone; so do `roots`, `parts`, `launch` and
//! `steady`.
#![allow(missing_docs, unsafe_code, reason = "a program; fork and what goes with it")]

#[cfg(target_os = "linux")]
mod by_hand;
#[cfg(target_os = "linux")]
mod entries;
#[cfg(target_os = "linux")]
mod fork;
#[cfg(target_os = "linux")]
mod instructions;
#[cfg(target_os = "linux")]
mod launchers;
#[cfg(target_os = "linux")]
mod parts;
#[cfg(target_os = "linux")]
mod steady;
#[cfg(target_os = "linux")]
mod table;

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    // SAFETY: nothing here has opened one of them yet. Cargo or a shell may have left some.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    if let Some(once) = std::env::args().skip_while(|arg| arg != instructions::ONCE).nth(1) {
        return instructions::once(&once);
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let kernel = release.split('-').next().unwrap();
    let cpus = std::thread::available_parallelism().unwrap();
    println!("Linux {}, {cpus} processors; medians, in parentheses between which eight of ten lie\n", kernel.trim());
    let scratch = std::env::temp_dir().join(format!("autochroot-bench-{}", std::process::id()));
    std::fs::create_dir(&scratch).unwrap();
    std::fs::set_permissions(&scratch, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let users = if fork::is_root() { vec![Some(0), Some(65534)] } else { vec![None] };
    let only = std::env::args().find(|arg| ["entries", "roots", "parts", "launch", "steady"].contains(&&**arg));
    let wanted = |part: &str| only.as_ref().is_none_or(|only| only == part);
    let c = if wanted("entries") { by_hand::compile(&scratch) } else { None };
    table::head();
    for &user in &users {
        if wanted("entries") {
            entries::entries(user);
        }
        if let Some(c) = &c {
            entries::compared_with_c(user, c);
        }
        if wanted("roots") {
            entries::roots(user);
        }
    }
    for &user in users.iter().filter(|_| wanted("parts")) {
        parts::parts(user);
    }
    for &user in users.iter().filter(|_| wanted("launch")) {
        launchers::launchers(user, &scratch);
    }
    if wanted("steady") {
        steady::steady();
    }
    if only.is_none() {
        entries::growth(&users);
    }
    if wanted("roots") {
        entries::growth_with_mounts(&users, &scratch);
    }
    if only.is_none() {
        instructions::instructions(c.as_ref());
    }
    std::fs::remove_dir_all(scratch).unwrap();
}
