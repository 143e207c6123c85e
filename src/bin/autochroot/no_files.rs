//! What takes the place of `files.rs` in a build without files.

use core::ffi::c_int;

use autochroot::Jail;

use crate::options::Options;
use crate::output::Stream;

/// There are none.
pub(crate) struct Files;

/// The rest of the launch, which runs once the options are checked.
type Rest<'r> = dyn FnMut(&mut Files) -> Result<c_int, c_int> + 'r;

#[allow(clippy::unused_self, reason = "the other build needs it")]
impl Files {
    pub(crate) fn with(_: &Options, rest: &mut Rest<'_>) -> Result<c_int, c_int> {
        rest(&mut Files)
    }

    #[allow(clippy::unnecessary_wraps, reason = "the other build needs it")]
    pub(crate) const fn open(&mut self) -> Result<(), c_int> {
        Ok(())
    }

    pub(crate) const fn text(&self, _: usize) -> Option<&'static [u8]> {
        None
    }

    pub(crate) const fn has(&self, _: &[u8]) -> bool {
        false
    }

    pub(crate) const fn source_of(&self, _: &[u8]) -> Option<&'static [u8]> {
        None
    }

    pub(crate) fn descriptors(&self) -> impl Iterator<Item = c_int> {
        core::iter::empty()
    }

    pub(crate) const fn put_into(&self, jail: Jail<'static>) -> Jail<'static> {
        jail
    }

    pub(crate) const fn report(&self, _: &mut Stream) {}

    pub(crate) const fn writable_path(&self) -> Option<&'static [u8]> {
        None
    }
}
