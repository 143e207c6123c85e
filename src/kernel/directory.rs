//! A directory of the caller's as the root: opened once, and looked at through that descriptor.

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Stat, fstat, openat, statat};

use super::{HELD, os};
use crate::error::Fault;
use crate::jail::Demands;

/// Open `path` if it meets the demands. `uid` is who we are.
pub(super) fn open(path: &[u8], demands: Demands, uid: u32) -> Result<(OwnedFd, Stat), Fault> {
    if !path.starts_with(b"/") {
        return Err(Fault::Relative);
    }
    let directory = if demands.safe_path { open_safely(path)? } else { openat(CWD, path, HELD, Mode::empty())? };
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
        os::see_empty(directory.as_fd())?;
    }
    Ok((directory, stat))
}

/// Each component opened in the one before: none may be a symbolic link, or belong to or be writable by any but root.
fn open_safely(path: &[u8]) -> Result<OwnedFd, Fault> {
    let mut directory = openat(CWD, c"/", HELD, Mode::empty())?;
    let mut number = 0;
    for name in path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()) {
        number += 1;
        directory = openat(&directory, name, HELD | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|errno| Fault::Component(number, errno))?;
        let stat = fstat(&directory)?;
        if stat.st_uid != 0 || is_writable_by_others(&stat) {
            return Err(Fault::Unsafe(number));
        }
    }
    Ok(directory)
}

fn is_writable_by_others(stat: &Stat) -> bool {
    Mode::from_raw_mode(stat.st_mode).intersects(Mode::WGRP | Mode::WOTH)
}
