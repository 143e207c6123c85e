//! Names of errnos, and decimal numbers, for the library and the launcher. Not part of the API.
//!
//! `core` could print and read numbers, but takes some kilobytes more.

use core::ffi::CStr;
use core::fmt;

use rustix::io::Errno;

/// Displays an errno as `EPERM (operation not permitted)`, and an unknown one as `errno 999`.
pub struct Named(pub Errno);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match ERRNOS.0.iter().zip(ERRNOS.1.split('\n')).find(|(errno, _)| **errno == self.0) {
            Some((_, text)) => f.write_str(text),
            None => f.write_str("errno ").and_then(|()| decimal(f, self.0.raw_os_error().unsigned_abs())),
        }
    }
}

/// Writes texts one after the other.
pub(crate) fn write_all(f: &mut fmt::Formatter<'_>, texts: &[&str]) -> fmt::Result {
    texts.iter().try_for_each(|text| f.write_str(text))
}

/// Implements `Debug` as the text of `Display`: a `main` that returns an error prints `Debug`.
macro_rules! debug_is_display {
    ($type:ty) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}
pub(crate) use debug_is_display;

/// Writes a number in decimal digits.
///
/// # Errors
///
/// The errors of `to`.
pub fn decimal(to: &mut dyn fmt::Write, number: u32) -> fmt::Result {
    if number > 9 {
        decimal(to, number / 10)?;
    }
    to.write_char(char::from(b'0' + (number % 10) as u8))
}

/// Reads a number of decimal digits. Returns `None` for anything else, and for more than 32 bits.
#[must_use]
pub fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u32, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// Returns the bytes as a C string in a buffer that is longer than they are: rustix would allocate
/// for a long path. Fails with `ENAMETOOLONG` if there is no room, and with `EINVAL` for a NUL
/// byte.
pub(crate) fn c_str<'b>(bytes: &[u8], buffer: &'b mut [u8]) -> Result<&'b CStr, Errno> {
    let whole = buffer.get_mut(..=bytes.len()).ok_or(Errno::NAMETOOLONG)?;
    whole.iter_mut().zip(bytes).for_each(|(place, &byte)| *place = byte);
    CStr::from_bytes_with_nul(whole).map_err(|_| Errno::INVAL)
}

/// Returns a number in eleven places, with spaces before it.
pub(crate) fn digits(number: u32) -> [u8; 11] {
    let (mut digits, mut rest) = ([b' '; 11], number);
    for place in digits.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    digits
}

/// The errnos that the man pages of our system calls list, and their texts in the same order.
#[rustfmt::skip]
const ERRNOS: (&[Errno], &str) = (&[
    Errno::PERM, Errno::NOENT, Errno::INTR, Errno::IO, Errno::BADF, Errno::AGAIN, Errno::NOMEM, Errno::ACCESS,
    Errno::BUSY, Errno::EXIST, Errno::NOTDIR, Errno::ISDIR, Errno::INVAL, Errno::NFILE, Errno::MFILE,
    Errno::FBIG, Errno::NOSPC, Errno::ROFS, Errno::MLINK, Errno::NAMETOOLONG, Errno::NOSYS, Errno::NOTEMPTY,
    Errno::LOOP, Errno::OVERFLOW, Errno::USERS, Errno::OPNOTSUPP, Errno::STALE, Errno::DQUOT, Errno::NOEXEC,
    Errno::TXTBSY, Errno::TOOBIG, Errno::NODEV, Errno::NXIO, Errno::NOTCONN, Errno::TIMEDOUT,
], "EPERM (operation not permitted)\n\
    ENOENT (no such file or directory)\n\
    EINTR (interrupted system call)\n\
    EIO (input/output error)\n\
    EBADF (bad file descriptor)\n\
    EAGAIN (resource temporarily unavailable)\n\
    ENOMEM (out of memory)\n\
    EACCES (permission denied)\n\
    EBUSY (device or resource busy)\n\
    EEXIST (file exists)\n\
    ENOTDIR (not a directory)\n\
    EISDIR (is a directory)\n\
    EINVAL (invalid argument)\n\
    ENFILE (too many open files in the system)\n\
    EMFILE (too many open files)\n\
    EFBIG (file too large)\n\
    ENOSPC (no space left or limit reached)\n\
    EROFS (read-only file system)\n\
    EMLINK (too many links)\n\
    ENAMETOOLONG (file name too long)\n\
    ENOSYS (the kernel does not have this call)\n\
    ENOTEMPTY (directory not empty)\n\
    ELOOP (too many symbolic links)\n\
    EOVERFLOW (value too large)\n\
    EUSERS (nested too deeply)\n\
    EOPNOTSUPP (operation not supported)\n\
    ESTALE (stale file handle)\n\
    EDQUOT (disk quota exceeded)\n\
    ENOEXEC (exec format error)\n\
    ETXTBSY (text file busy)\n\
    E2BIG (argument list too long)\n\
    ENODEV (no such device)\n\
    ENXIO (no such device or address)\n\
    ENOTCONN (the file system does not answer)\n\
    ETIMEDOUT (timed out)");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errno_has_its_name_or_its_number() {
        assert_eq!(ERRNOS.0.len(), ERRNOS.1.split('\n').count());
        let shown = |errno: Errno| std::format!("{}", Named(errno));
        assert_eq!(shown(Errno::PERM), "EPERM (operation not permitted)");
        assert_eq!(shown(Errno::TOOBIG), "E2BIG (argument list too long)");
        assert!(ERRNOS.0.iter().all(|errno| shown(*errno).starts_with('E')));
        assert_eq!(shown(Errno::from_raw_os_error(999)), "errno 999");
    }
}
