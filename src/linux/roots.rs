//! The roots: how each is made and checked.

pub(crate) mod checks;
pub(crate) mod detached;
pub(crate) mod failfs;
pub(crate) mod files;
pub(crate) mod parent;
