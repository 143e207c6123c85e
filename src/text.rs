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
        match ERRNOS.iter().find(|(errno, _)| *errno == self.0) {
            Some((_, text)) => f.write_str(text),
            None => match OTHERS.0.iter().zip(OTHERS.1.split(' ')).find(|(errno, _)| **errno == self.0) {
                Some((_, name)) => f.write_str(name),
                None => f.write_str("errno ").and_then(|()| decimal(f, self.0.raw_os_error().unsigned_abs())),
            },
        }
    }
}

/// Writes a number in decimal digits.
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

/// The errnos that the man pages of our system calls list.
const ERRNOS: [(Errno, &str); 32] = [
    (Errno::PERM, "EPERM (operation not permitted)"),
    (Errno::NOENT, "ENOENT (no such file or directory)"),
    (Errno::INTR, "EINTR (interrupted system call)"),
    (Errno::IO, "EIO (input/output error)"),
    (Errno::BADF, "EBADF (bad file descriptor)"),
    (Errno::AGAIN, "EAGAIN (resource temporarily unavailable)"),
    (Errno::NOMEM, "ENOMEM (out of memory)"),
    (Errno::ACCESS, "EACCES (permission denied)"),
    (Errno::FAULT, "EFAULT (bad address)"),
    (Errno::BUSY, "EBUSY (device or resource busy)"),
    (Errno::EXIST, "EEXIST (file exists)"),
    (Errno::NOTDIR, "ENOTDIR (not a directory)"),
    (Errno::ISDIR, "EISDIR (is a directory)"),
    (Errno::INVAL, "EINVAL (invalid argument)"),
    (Errno::NFILE, "ENFILE (too many open files in the system)"),
    (Errno::MFILE, "EMFILE (too many open files)"),
    (Errno::FBIG, "EFBIG (file too large)"),
    (Errno::NOSPC, "ENOSPC (no space left or limit reached)"),
    (Errno::ROFS, "EROFS (read-only file system)"),
    (Errno::MLINK, "EMLINK (too many links)"),
    (Errno::NAMETOOLONG, "ENAMETOOLONG (file name too long)"),
    (Errno::NOSYS, "ENOSYS (the kernel does not have this call)"),
    (Errno::NOTEMPTY, "ENOTEMPTY (directory not empty)"),
    (Errno::LOOP, "ELOOP (too many symbolic links)"),
    (Errno::OVERFLOW, "EOVERFLOW (value too large)"),
    (Errno::USERS, "EUSERS (nested too deeply)"),
    (Errno::OPNOTSUPP, "EOPNOTSUPP (operation not supported)"),
    (Errno::STALE, "ESTALE (stale file handle)"),
    (Errno::DQUOT, "EDQUOT (disk quota exceeded)"),
    (Errno::NOEXEC, "ENOEXEC (exec format error)"),
    (Errno::TXTBSY, "ETXTBSY (text file busy)"),
    (Errno::TOOBIG, "E2BIG (argument list too long)"),
];

/// All others that Linux has, and their names in the same order.
#[cfg(target_os = "linux")]
#[rustfmt::skip]
const OTHERS: (&[Errno], &str) = (&[
    Errno::ADDRINUSE, Errno::ADDRNOTAVAIL, Errno::ADV, Errno::AFNOSUPPORT, Errno::ALREADY, Errno::BADE, Errno::BADFD,
    Errno::BADMSG, Errno::BADR, Errno::BADRQC, Errno::BADSLT, Errno::BFONT, Errno::CANCELED, Errno::CHILD, Errno::CHRNG,
    Errno::COMM, Errno::CONNABORTED, Errno::CONNREFUSED, Errno::CONNRESET, Errno::DEADLK, Errno::DESTADDRREQ, Errno::DOM,
    Errno::DOTDOT, Errno::HOSTDOWN, Errno::HOSTUNREACH, Errno::HWPOISON, Errno::IDRM, Errno::ILSEQ, Errno::INPROGRESS,
    Errno::ISCONN, Errno::ISNAM, Errno::KEYEXPIRED, Errno::KEYREJECTED, Errno::KEYREVOKED, Errno::L2HLT, Errno::L2NSYNC,
    Errno::L3HLT, Errno::L3RST, Errno::LIBACC, Errno::LIBBAD, Errno::LIBEXEC, Errno::LIBMAX, Errno::LIBSCN, Errno::LNRNG,
    Errno::MEDIUMTYPE, Errno::MSGSIZE, Errno::MULTIHOP, Errno::NAVAIL, Errno::NETDOWN, Errno::NETRESET, Errno::NETUNREACH,
    Errno::NOANO, Errno::NOBUFS, Errno::NOCSI, Errno::NODATA, Errno::NODEV, Errno::NOKEY, Errno::NOLCK, Errno::NOLINK,
    Errno::NOMEDIUM, Errno::NOMSG, Errno::NONET, Errno::NOPKG, Errno::NOPROTOOPT, Errno::NOSR, Errno::NOSTR, Errno::NOTBLK,
    Errno::NOTCONN, Errno::NOTNAM, Errno::NOTRECOVERABLE, Errno::NOTSOCK, Errno::NOTTY, Errno::NOTUNIQ, Errno::NXIO,
    Errno::OWNERDEAD, Errno::PFNOSUPPORT, Errno::PIPE, Errno::PROTO, Errno::PROTONOSUPPORT, Errno::PROTOTYPE, Errno::RANGE,
    Errno::REMCHG, Errno::REMOTE, Errno::REMOTEIO, Errno::RESTART, Errno::RFKILL, Errno::SHUTDOWN, Errno::SOCKTNOSUPPORT,
    Errno::SPIPE, Errno::SRCH, Errno::SRMNT, Errno::STRPIPE, Errno::TIME, Errno::TIMEDOUT, Errno::TOOMANYREFS,
    Errno::UCLEAN, Errno::UNATCH, Errno::XDEV, Errno::XFULL,
], "EADDRINUSE EADDRNOTAVAIL EADV EAFNOSUPPORT EALREADY EBADE EBADFD EBADMSG EBADR EBADRQC EBADSLT EBFONT \
    ECANCELED ECHILD ECHRNG ECOMM ECONNABORTED ECONNREFUSED ECONNRESET EDEADLK EDESTADDRREQ EDOM EDOTDOT EHOSTDOWN \
    EHOSTUNREACH EHWPOISON EIDRM EILSEQ EINPROGRESS EISCONN EISNAM EKEYEXPIRED EKEYREJECTED EKEYREVOKED EL2HLT \
    EL2NSYNC EL3HLT EL3RST ELIBACC ELIBBAD ELIBEXEC ELIBMAX ELIBSCN ELNRNG EMEDIUMTYPE EMSGSIZE EMULTIHOP ENAVAIL \
    ENETDOWN ENETRESET ENETUNREACH ENOANO ENOBUFS ENOCSI ENODATA ENODEV ENOKEY ENOLCK ENOLINK ENOMEDIUM ENOMSG \
    ENONET ENOPKG ENOPROTOOPT ENOSR ENOSTR ENOTBLK ENOTCONN ENOTNAM ENOTRECOVERABLE ENOTSOCK ENOTTY ENOTUNIQ ENXIO \
    EOWNERDEAD EPFNOSUPPORT EPIPE EPROTO EPROTONOSUPPORT EPROTOTYPE ERANGE EREMCHG EREMOTE EREMOTEIO ERESTART \
    ERFKILL ESHUTDOWN ESOCKTNOSUPPORT ESPIPE ESRCH ESRMNT ESTRPIPE ETIME ETIMEDOUT ETOOMANYREFS EUCLEAN EUNATCH \
    EXDEV EXFULL");
#[cfg(not(target_os = "linux"))]
const OTHERS: (&[Errno], &str) = (&[], "");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_errno_has_a_name() {
        if OTHERS.0.is_empty() {
            return; // not Linux
        }
        assert_eq!(OTHERS.0.len(), OTHERS.1.split(' ').count());
        // Two numbers are not used on most machines.
        for number in (1..=133).filter(|number| ![41, 58].contains(number)) {
            let shown = std::format!("{}", Named(Errno::from_raw_os_error(number)));
            assert!(shown.starts_with('E'), "{number}: {shown}");
        }
        for (number, name) in [(libc::ESRCH, "ESRCH"), (libc::ESPIPE, "ESPIPE"), (libc::EXFULL, "EXFULL")] {
            assert_eq!(std::format!("{}", Named(Errno::from_raw_os_error(number))), name);
        }
    }
}
