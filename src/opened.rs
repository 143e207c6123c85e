//! Descriptors that earlier steps have opened.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::ABS;

/// Returns the descriptor. If no step has opened it, every call with the returned value fails with
/// `EBADF`.
#[allow(clippy::ref_option, reason = "an Option<&OwnedFd> takes more code to make")]
pub(crate) fn opened(fd: &Option<OwnedFd>) -> BorrowedFd<'_> {
    fd.as_ref().map_or(ABS, AsFd::as_fd)
}
