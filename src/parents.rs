//! The parents that are tried if the caller names none.

/// Where the directory is made if the caller names no parent. What is usually a tmpfs comes first: an entry takes
/// half the time there that it does on a disk (`benches/enter`). "/" is for an initramfs that has nothing else. Each as the system
/// calls want it, with a NUL.
pub(crate) const fn listed(index: usize) -> &'static str {
    match index {
        TMPDIR => "$TMPDIR\0",
        1 => "/dev/shm\0",
        2 => "/run\0",
        3 => "/tmp\0",
        4 => "/var/tmp\0",
        _ => "/\0",
    }
}

/// The index of the one that the environment names.
pub(crate) const TMPDIR: usize = 0;

/// What it is called.
pub(crate) fn parent(index: usize) -> &'static str {
    let path = listed(index);
    path.get(..path.len() - 1).unwrap_or_default()
}

/// How many there are.
pub(crate) const PARENTS: usize = 6;
