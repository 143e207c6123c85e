//! Users: their names and ids, and the change to one.

pub(crate) mod accounts;
pub(crate) mod groups;
pub(crate) mod ids;
pub(crate) mod maps;
pub(crate) mod run_as;
pub(crate) mod way;
