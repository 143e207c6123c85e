//! A root that the caller names: opened once, and checked by that descriptor.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, fstat, statat};
use rustix::io::Errno;

use super::path::{absolute, open_path};
use crate::error::Fault;
use crate::jail::Demands;
use crate::os;

/// Opens `path` if it meets the demands. `uid` is the effective user.
pub(super) fn open(
    path: &[u8],
    demands: Demands,
    uid: u32,
    number: &mut Option<i32>,
) -> Result<(OwnedFd, Stat), Fault> {
    let path = absolute(path)?;
    let directory = if demands.safe_path { open_safely(path, number)? } else { open_whole(path, number)? };
    let stat = fstat(&directory)?;
    let here = statat(CWD, c"/", AtFlags::empty())?;
    if (stat.st_dev, stat.st_ino) == (here.st_dev, here.st_ino) {
        return Err(Fault::NoJail);
    }
    if demands.owner && stat.st_uid != 0 && stat.st_uid != uid {
        return Err(Fault::Owner);
    }
    if demands.unwritable && is_writable_by_others(&stat) {
        return Err(Fault::Writable);
    }
    if demands.empty {
        os::check_is_empty(directory.as_fd())?;
    }
    Ok((directory, stat))
}

/// Opens the path in one call. If that fails, leaves the number of the first component at fault in
/// `number`.
fn open_whole(path: &[u8], number: &mut Option<i32>) -> Result<OwnedFd, Errno> {
    let opened = open_path(CWD, path, OFlags::empty());
    if opened.is_err() {
        let _ = open_each(path, OFlags::empty(), number, |_| Ok(()));
    }
    opened
}

/// Opens a path whose components, except "/", all belong to root, are writable by root only, and
/// are not symbolic links.
fn open_safely(path: &[u8], number: &mut Option<i32>) -> Result<OwnedFd, Fault> {
    open_each(path, OFlags::NOFOLLOW, number, |stat| {
        if stat.st_uid != 0 || is_writable_by_others(stat) { Err(Fault::Unsafe) } else { Ok(()) }
    })
}

/// Opens each component in the one before, and checks it. Leaves the number of the component at
/// fault in `number`.
fn open_each(
    path: &[u8],
    flags: OFlags,
    number: &mut Option<i32>,
    check: impl Fn(&Stat) -> Result<(), Fault>,
) -> Result<OwnedFd, Fault> {
    let mut directory = open_path(CWD, b"/", OFlags::empty())?;
    for (before, name) in (0..).zip(path.split(|&byte| byte == b'/').filter(|name| !name.is_empty())) {
        *number = Some(before + 1);
        directory = open_path(directory.as_fd(), name, flags)?;
        check(&fstat(&directory)?)?;
    }
    *number = None;
    Ok(directory)
}

fn is_writable_by_others(stat: &Stat) -> bool {
    Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH)
}
