//! What takes the place of `files.rs` in a build without files.

use core::ffi::c_int;

use autochroot::Jail;

use crate::options::Options;

/// How often `--file` can be given.
pub(crate) const MOST: usize = 0;

/// There are none.
pub(crate) struct Files;

#[allow(clippy::unused_self, reason = "the other build needs it")]
impl Files {
    #[allow(clippy::unnecessary_wraps, reason = "the other build needs it")]
    pub(crate) const fn open(_: &Options) -> Result<Files, c_int> {
        Ok(Files)
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = c_int> {
        core::iter::empty()
    }

    pub(crate) const fn put_into(&self, jail: Jail<'static>) -> Jail<'static> {
        jail
    }
}
