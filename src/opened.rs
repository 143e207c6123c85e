//! Descriptors that earlier steps have opened.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::ABS;

/// Returns the descriptor, or if no step has opened it one with which every call fails with `EBADF`.
#[allow(clippy::ref_option, reason = "an Option<&OwnedFd> takes more code to make")]
pub(crate) fn opened(fd: &Option<OwnedFd>) -> BorrowedFd<'_> {
    fd.as_ref().map_or(ABS, AsFd::as_fd)
}
