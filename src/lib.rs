#![cfg_attr(any(target_os = "linux", target_os = "android"), doc = include_str!("crate.md"))]
#![cfg_attr(not(any(target_os = "linux", target_os = "android")), doc = include_str!("unix.md"))]
#![cfg_attr(not(any(feature = "std", test)), no_std)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(unreachable_pub)]
#![cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    allow(
        dead_code,
        unreachable_pub,
        reason = "machine, errors and proof are the same on every Unix; only on Linux is all of them reached"
    )
)]
#![warn(clippy::undocumented_unsafe_blocks)]
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used))]

mod capabilities;
mod check;
mod elf;
mod enter;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod enter_as;
mod entry;
mod error;
mod features;
mod files;
mod hints;
mod jail;
mod jailed;
mod libc;
mod machine;
mod opened;
mod parents;
mod parse;
mod protection;
mod root;
mod text;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux;
#[cfg(any(target_os = "linux", target_os = "android"))]
use linux as os;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod unix;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
use unix as os;

pub use check::Check;
pub use entry::{OpenDirectories, RootMutability};
pub use error::{Error, Step};
#[cfg(all(feature = "files", any(target_os = "linux", target_os = "android")))]
pub use files::NamedFile;
pub use jail::{Demands, Jail};
#[cfg(all(feature = "userns", any(target_os = "linux", target_os = "android")))]
pub use jail::{IdMap, UserNamespace};
pub use jailed::Jailed;
pub use parse::ParseError;
pub use root::Root;
#[cfg(any(target_os = "linux", target_os = "android"))]
pub use {
    capabilities::{Capabilities, UnknownCapability},
    hints::cause::{Cause, ThreadNames},
    jail::Entered,
    jailed::linux::Sealed,
    linux::{Gid, Seal, Uid, User, UserError},
    protection::{Protection, SessionKeyring},
};

/// Items that the launcher shares with the library. They are not part of the API. The name is long,
/// so `use autochroot::*` does not shadow a crate or a module of a program.
#[doc(hidden)]
pub mod for_the_launcher {
    pub use crate::elf::EM_CURRENT;
    pub use crate::entry::{LeadsTo, leads_to};
    pub use crate::error::Failure;
    pub use crate::libc::errno;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub use crate::linux::{
        bounding_set, fork, has_filters, install_filter, is_procfs, open_source, securebits_are_locked, syscall,
        user_and_group, wait_for, with_groups,
    };
    pub use crate::text::{Named, decimal, number};
}

// The programs in the guide use std, so as doctests they need the feature.
#[cfg(all(doc, any(not(doctest), feature = "std"), any(target_os = "linux", target_os = "android")))]
#[doc = include_str!("guide.md")]
pub mod guide {}

#[cfg(all(doc, any(target_os = "linux", target_os = "android")))]
#[doc = include_str!("audit.md")]
pub mod audit {}

/// The programs of the README are compiled.
#[cfg(all(doctest, feature = "std"))]
#[doc = include_str!("../README.md")]
mod readme {}
