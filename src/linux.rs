//! What only Linux has.

pub(crate) mod apparmor;
mod descriptors;
mod fork;
mod options;
pub(crate) mod proc;
pub(crate) mod roots;
pub(crate) mod seal;
mod steps;
#[doc(hidden)]
pub mod syscall;
pub(crate) mod threads;
pub(crate) mod unshare;
pub(crate) mod user;
pub(crate) mod user_namespace;

pub use proc::is_procfs;
pub use roots::files::open_source;
pub use seal::layers::Seal;
pub use user::groups::with_groups;
pub use user::ids::{Gid, Uid, User, UserError, user_and_group};

pub(crate) use crate::hints::explain::explain;
pub(crate) use descriptors::{descriptor_limit, each_open, has_registered_ring, is_a_ring};
pub(crate) use fork::SignalsBlocked;
pub use fork::{fork, wait_for};
pub(crate) use roots::checks::{
    PATH_DIRECTORY, check_is_empty, check_is_read_only, check_root_is_empty, has_no_links, may_change_mode,
    takes_nameless_files,
};
pub(crate) use roots::detached::mount;
pub(crate) use roots::failfs::{
    change_to as change_to_failfs, enter as enter_failfs, find as find_failfs, verify as verify_failfs,
};
pub(crate) use roots::files::check_inodes;
pub(crate) use roots::parent::{fill_with_random, open_tmpdir};
pub(crate) use seal::keyring::join as join_keyring;
pub(crate) use seal::layers::Sealing;
pub use seal::privileges::{bounding_set, securebits_are_locked};
pub(crate) use seal::privileges::{
    check_held, may_chroot_ever, not_effective, set_no_new_privs, user, verify_no_new_privs,
};
pub use seal::seccomp::{install_program as install_filter, is_available as has_filters};
pub(crate) use steps::run_steps;
pub(crate) use threads::{only_thread, unshare_root_and_descriptors};
pub(crate) use user::run_as::{Before, RunAs, check_arguments, check_kept};
pub(crate) use user::way::Way;
pub(crate) use user_namespace::{
    IdMaps, drop_capabilities, known_to_fail, new as new_user_namespace, new_mount_namespace, no_new_privs_will_do,
};
