//! The seal, a file for each kind of protection.

pub(crate) mod keyring;
pub(crate) mod landlock;
pub(crate) mod layers;
pub(crate) mod privileges;
pub(crate) mod seccomp;
