//! The edge to the C library: the strings that `main` is given, and `fexecve`.
#![allow(unsafe_code, reason = "the C library is reached in no other way")]

#[cfg(not(any(target_vendor = "apple", target_os = "openbsd")))]
use core::ffi::c_int;
use core::ffi::{CStr, c_char};

#[cfg(not(any(target_vendor = "apple", target_os = "openbsd")))]
use rustix::fd::AsRawFd as _;
use rustix::fd::OwnedFd;
use rustix::io::Errno;

#[cfg_attr(not(feature = "std"), link(name = "c"))]
unsafe extern "C" {
    #[cfg(not(any(target_vendor = "apple", target_os = "openbsd")))]
    fn fexecve(fd: c_int, argv: *const *const c_char, envp: *const *const c_char) -> c_int;
    #[cfg(not(feature = "std"))]
    safe fn abort() -> !;
}

/// The rest of an array of C strings that ends with a null pointer: the arguments or the
/// environment.
#[derive(Clone)]
pub(crate) struct Strings(*const *const c_char);

impl Strings {
    /// # Safety
    ///
    /// `array` must be an array of C strings that ends with a null pointer, and live as long as the
    /// program.
    pub(crate) const unsafe fn new(array: *const *const c_char) -> Strings {
        Strings(array)
    }

    /// Returns the value of an environment variable, if these strings are the environment.
    pub(crate) fn variable(&self, name: &[u8]) -> Option<&'static [u8]> {
        self.clone().find_map(|entry| entry.to_bytes().strip_prefix(name)?.strip_prefix(b"="))
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    pub(crate) const fn as_ptr(&self) -> *const *const c_char {
        self.0
    }

    /// Returns the next string without taking it.
    pub(crate) fn peek(&self) -> Option<&'static CStr> {
        self.clone().next()
    }
}

impl Iterator for Strings {
    type Item = &'static CStr;

    fn next(&mut self) -> Option<&'static CStr> {
        // SAFETY: `self.0` points into the array, at the null pointer at the latest, and is not
        // moved beyond it; every other pointer is a C string that lives as long as the program.
        unsafe {
            let string = *self.0;
            if string.is_null() {
                return None;
            }
            self.0 = self.0.add(1);
            Some(CStr::from_ptr(string))
        }
    }
}

/// These systems cannot execute a program that has no name.
#[cfg(any(target_vendor = "apple", target_os = "openbsd"))]
pub(crate) fn execute(_: &OwnedFd, _: &Strings, _: &Strings) -> Errno {
    Errno::NOSYS
}

/// Makes the process the program that `program` is open on. Returns only if that fails.
#[cfg(not(any(target_vendor = "apple", target_os = "openbsd")))]
pub(crate) fn execute(program: &OwnedFd, args: &Strings, environment: &Strings) -> Errno {
    // SAFETY: both are arrays of C strings that end with a null pointer.
    unsafe { fexecve(program.as_raw_fd(), args.0, environment.0) };
    autochroot::for_the_launcher::errno()
}

/// `core` of glibc's targets refers to it. Nothing unwinds: a panic aborts.
#[cfg(all(not(feature = "std"), not(target_env = "musl")))]
#[unsafe(no_mangle)]
const extern "C" fn rust_eh_personality() {}

#[cfg(not(feature = "std"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    abort()
}
