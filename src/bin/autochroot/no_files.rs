//! What takes the place of `files.rs` in a build without files.

use core::ffi::c_int;

use autochroot::Jail;

use crate::options::Options;

/// There are none.
pub(crate) struct Files;

#[allow(clippy::unused_self, reason = "the other build needs it")]
impl Files {
    #[allow(clippy::unnecessary_wraps, reason = "the other build needs it")]
    pub(crate) const fn named(_: &Options) -> Result<Files, c_int> {
        Ok(Files)
    }

    #[allow(clippy::unnecessary_wraps, reason = "the other build needs it")]
    pub(crate) const fn open(&mut self, _: &Options) -> Result<(), c_int> {
        Ok(())
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = c_int> {
        core::iter::empty()
    }

    pub(crate) const fn put_into(&self, jail: Jail<'static>) -> Jail<'static> {
        jail
    }
}
