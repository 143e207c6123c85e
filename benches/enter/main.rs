//! What an entry and the launcher cost, in one table: `cargo bench`.
//!
//! Each entry has a fresh fork, and the rows of a group take turns, so that what disturbs one
//! disturbs all. The hand-written C that they are measured against is `c.c`, compiled by `cc` if
//! there is one. `AUTOCHROOT_STATIC` names a small static launcher. `cargo bench -- roots` compares
//! the roots only.
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
    if std::env::args().any(|arg| arg == "roots") {
        table::head();
        for &user in &users {
            entries::roots(user);
        }
        entries::growth_with_mounts(&users, &scratch);
        return std::fs::remove_dir_all(scratch).unwrap();
    }
    let c = by_hand::compile(&scratch);
    table::head();
    for &user in &users {
        entries::entries(user, c.as_ref());
        entries::roots(user);
    }
    entries::growth(&users);
    entries::growth_with_mounts(&users, &scratch);
    for &user in &users {
        launchers::launchers(user, &scratch);
    }
    instructions::instructions(c.as_ref());
    std::fs::remove_dir_all(scratch).unwrap();
}
