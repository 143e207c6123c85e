//! The errno of the C library, for the library and the launcher. Not part of the API.
#![allow(unsafe_code, reason = "the C library is reached in no other way")]

use core::ffi::c_int;

use rustix::io::Errno;

unsafe extern "C" {
    #[cfg_attr(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"), link_name = "__errno")]
    #[cfg_attr(any(target_os = "freebsd", target_os = "dragonfly", target_vendor = "apple"), link_name = "__error")]
    #[cfg_attr(any(target_os = "illumos", target_os = "solaris"), link_name = "___errno")]
    fn __errno_location() -> *mut c_int;
}

/// Returns why the last call of the C library failed.
#[must_use]
pub fn errno() -> Errno {
    // SAFETY: the pointer leads to the errno of this thread, which lives as long as the thread.
    Errno::from_raw_os_error(unsafe { *__errno_location() })
}
