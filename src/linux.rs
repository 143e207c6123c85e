//! What only Linux has.

mod accounts;
mod apparmor;
mod cause;
mod descriptors;
mod detached;
mod failfs;
mod files;
mod groups;
mod keyring;
mod landlock;
mod options;
mod parent;
mod privileges;
mod proc;
mod root;
mod run_as;
mod seal;
mod seccomp;
mod steps;
#[doc(hidden)]
pub mod syscall;
mod threads;
mod unshare;
mod user;
mod user_namespace;
mod way;

pub use files::open_source;
pub use groups::with_groups;
pub use proc::is_procfs;
pub use seal::Seal;
pub use user::{Gid, Uid, User, UserError};

pub(crate) use cause::explain;
pub(crate) use descriptors::{descriptor_limit, each_open, is_a_ring};
pub(crate) use detached::mount;
pub(crate) use failfs::{
    change_to as change_to_failfs, enter as enter_failfs, find as find_failfs, verify as verify_failfs,
};
pub(crate) use files::check_inodes;
pub(crate) use keyring::join as join_keyring;
pub(crate) use parent::{fill_with_random, open_tmpdir};
pub use privileges::{bounding_set, securebits_are_locked};
pub(crate) use privileges::{check_held, may_chroot_ever, not_effective, set_no_new_privs, user, verify_no_new_privs};
pub(crate) use root::{
    PATH_DIRECTORY, check_is_empty, check_root_is_empty, has_no_links, may_change_mode, takes_nameless_files,
};
pub(crate) use run_as::{Before, RunAs, check_arguments};
pub(crate) use seal::Sealing;
pub(crate) use steps::run_steps;
pub(crate) use threads::{only_thread, unshare_root_and_descriptors};
pub(crate) use user_namespace::{IdMaps, drop_capabilities, new as new_user_namespace};
pub(crate) use way::Way;
