//! Errors: the step, the reason, and what could not be undone.

use core::fmt;

use rustix::io::Errno;

use crate::features::{FILES, HINTS};
use crate::hints::cause::Cause;
use crate::parents::{PARENTS, parent};
use crate::root::Root;
use crate::text::{debug_is_display, decimal, write_all};

mod fault;
mod residue;
mod step;

pub(crate) use fault::Fault;
pub(crate) use residue::Residue;
pub use step::Step;
pub(crate) use step::actions;

/// A kind of root that was tried, and the step that failed.
pub(crate) type Attempt = (Root, Step, Fault);

/// A refused entry: the step, the errno, and what could not be undone.
///
/// The text is, for example, `cannot create a user namespace: EPERM (operation not permitted)`. If
/// several roots or parents were tried, the text names each with its reason. [`step`](Error::step)
/// and [`raw_os_error`](Error::raw_os_error) are then about the first root. If the process is left
/// in a new user namespace, they are about the last root. If something could not be undone, the
/// text names what remains.
///
/// [`Debug`](fmt::Debug) prints the same text, because a `main` that returns an error prints
/// `Debug`. The error keeps no path: print the configured path too.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error {
    pub(crate) step: Step,
    pub(crate) fault: Fault,
    /// The descriptor, component of a path, file or group that the fault is about.
    pub(crate) number: Option<i32>,
    pub(crate) traces: Residue,
    /// Why each parent of the list failed.
    pub(crate) tried: [Option<Fault>; PARENTS],
    /// All roots, if several were tried.
    pub(crate) attempts: [Option<Attempt>; 3],
    pub(crate) cause: Option<Cause>,
}

impl Error {
    /// Makes an error without attempts.
    pub(crate) const fn inside(step: Step, fault: Fault, traces: Residue) -> Error {
        Error { step, fault, number: None, traces, tried: [None; PARENTS], attempts: [None; 3], cause: None }
    }

    /// Returns the step that failed. Costs no system call.
    #[must_use]
    pub const fn step(&self) -> Step {
        self.step
    }

    /// Returns the errno of the call that failed, or `None` if no call failed but a check did.
    #[must_use]
    pub const fn raw_os_error(&self) -> Option<i32> {
        match self.fault.errno() {
            Some(errno) => Some(errno.raw_os_error()),
            None => None,
        }
    }

    /// Returns the descriptor that is open on a directory or an `io_uring`, or that cannot be
    /// checked, after [`Step::Descriptors`].
    #[must_use]
    pub const fn fd(&self) -> Option<i32> {
        if let Step::Descriptors = self.step { self.number } else { None }
    }

    /// Returns the component of the path that is at fault, counted from 1, after
    /// [`Step::Directory`].
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counted from 1, and a path is short")]
    pub const fn component(&self) -> Option<u16> {
        match (self.step, self.number) {
            (Step::Directory, Some(number)) => Some(number as u16),
            _ => None,
        }
    }

    /// Returns the index of the file (`Jail::files`) that is at fault, counted from 0, after
    /// [`Step::Files`] and [`Step::Fill`]. The text counts from 1.
    #[must_use]
    pub fn file(&self) -> Option<usize> {
        match (self.step, self.number) {
            (Step::Files | Step::Fill, Some(number)) if FILES => usize::try_from(number).ok(),
            _ => None,
        }
    }

    /// Returns whether something could not be undone. If false, the process is as it was.
    ///
    /// The text names what remains: for example, the process is in a new user namespace, has the
    /// new root or another working directory, or the new directory could not be removed. After an
    /// error of `run_as`, `seal` or `verify` in a jail it is always true, because the process has
    /// the new root.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        self.traces.any()
    }

    fn fmt_failure(&self, step: Step, fault: Fault, path: Option<&[u8]>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if fault.is_of_parent(step) && self.tried.iter().any(Option::is_some) {
            let mut before = "cannot create a directory: in ";
            for (index, fault) in self.tried.iter().enumerate() {
                let Some(fault) = fault else { continue };
                write_all(f, &[before, parent(index), ": "])?;
                fmt::Display::fmt(fault, f)?;
                before = ", in ";
            }
            return Ok(());
        }
        write_all(f, &["cannot ", step.action(), ": "])?;
        let Some(number) = self.number else { return fmt::Display::fmt(&fault, f) };
        let component = self.component().is_some();
        let (what, from) = match self.file() {
            Some(_) => ("file ", 1),
            None if component => ("component ", 0),
            None if fault == Fault::OtherGroup => ("group ", 0),
            None => ("descriptor ", 0),
        };
        #[allow(clippy::cast_sign_loss, reason = "a group id has 32 bits, the others are positive")]
        let number = number as u32 + from;
        match path.filter(|_| component) {
            Some(path) => fmt::Display::fmt(&up_to(path, number).escape_ascii(), f)?,
            None => {
                f.write_str(what)?;
                decimal(f, number)?;
                f.write_str(if component { " of the path" } else { "" })?;
            }
        }
        match fault {
            fault if component && matches!(fault.errno(), Some(Errno::NOTDIR | Errno::LOOP)) => {
                f.write_str(" is a symbolic link or no directory")
            }
            Fault::Unsafe | Fault::OpenDirectory | Fault::OpenRing | Fault::OtherGroup => fmt::Display::fmt(&fault, f),
            fault => f.write_str(": ").and_then(|()| fmt::Display::fmt(&fault, f)),
        }
    }
}

/// Returns the path up to this component, counted from 1.
fn up_to(path: &[u8], number: u32) -> &[u8] {
    let mut names = 0;
    let end = path.windows(2).position(|pair| {
        names += u32::from(pair.last() == Some(&b'/') && pair.first() != Some(&b'/'));
        names == number
    });
    path.get(..end.map_or(path.len(), |end| end + 1)).unwrap_or_default()
}

/// Displays what failed and what remains, without the cause, which the launcher prints on its own
/// line. With the path of the directory, the error names the part of it that is at fault.
pub struct Failure<'e>(pub &'e Error, pub Option<&'e [u8]>);

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = self.0;
        let mut before = "cannot enter any root: ";
        for (root, step, fault) in error.attempts.into_iter().flatten() {
            write_all(f, &[before, root.name(), ": "])?;
            error.fmt_failure(step, fault, self.1, f)?;
            before = "; ";
        }
        if before != "; " {
            error.fmt_failure(error.step, error.fault, self.1, f)?;
        }
        // The new root has another working directory in any case.
        let remains = Residue { cwd: error.traces.cwd && !error.traces.root, ..error.traces };
        remains.texts().try_for_each(|text| write_all(f, &["; ", text]))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Failure(self, None).fmt(f)?;
        match self.cause.filter(|_| HINTS) {
            Some(cause) => f.write_str("; hint: ").and_then(|()| fmt::Display::fmt(&cause, f)),
            None => Ok(()),
        }
    }
}

debug_is_display!(Error);

impl core::error::Error for Error {}

#[cfg(feature = "std")]
impl From<Error> for std::io::Error {
    /// Makes an error of the kind of the errno, with this error inside.
    fn from(error: Error) -> Self {
        let kind = error
            .raw_os_error()
            .map_or(std::io::ErrorKind::Other, |errno| std::io::Error::from_raw_os_error(errno).kind());
        std::io::Error::new(kind, error)
    }
}
