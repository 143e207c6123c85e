//! The parents that are tried if the caller names none.

/// Returns a parent of the list, with a NUL for the system calls. A tmpfs comes first: an entry
/// takes half as long there as on a disk (`benches/enter`). "/" is for an initramfs that has
/// nothing else.
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

/// The index of the parent that the environment names.
pub(crate) const TMPDIR: usize = 0;

/// Returns the name of a parent, without the NUL.
pub(crate) fn parent(index: usize) -> &'static str {
    let path = listed(index);
    path.get(..path.len() - 1).unwrap_or_default()
}

/// The number of parents.
pub(crate) const PARENTS: usize = 6;
