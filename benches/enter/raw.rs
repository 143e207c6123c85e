//! The same calls as `enter` makes, in its order, straight over `syscall(2)`.

use std::ffi::CString;
use std::mem::zeroed;

use libc::{AT_FDCWD, AT_REMOVEDIR, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_WRONLY, c_int, c_long, c_void};

const HELD: c_int = O_PATH | O_DIRECTORY | O_CLOEXEC;

/// One system call, whose failure is an error.
macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: pointers among the arguments are to memory that lives on, and of the size that the call takes.
        match unsafe { libc::syscall(libc::$number $(, $argument)*) } {
            result if result < 0 => Err(stringify!($number)),
            result => Ok(result),
        }
    };
}

fn look(fd: c_long) -> Result<libc::stat, &'static str> {
    // SAFETY: it is a structure of numbers.
    let mut status: libc::stat = unsafe { zeroed() };
    call!(SYS_fstat, fd, &raw mut status)?;
    Ok(status)
}

fn count() -> Result<i64, &'static str> {
    // SAFETY: as above.
    let mut status: libc::stat = unsafe { zeroed() };
    call!(SYS_newfstatat, AT_FDCWD, c"/proc/self/fd".as_ptr(), &raw mut status, 0)?;
    Ok(status.st_size)
}

fn expect(holds: bool) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err("a check failed") }
}

fn put(proc: c_long, file: &std::ffi::CStr, text: &str) -> Result<(), &'static str> {
    let fd = call!(SYS_openat, proc, file.as_ptr(), O_WRONLY | O_CLOEXEC)?;
    call!(SYS_write, fd, text.as_ptr(), text.len())?;
    call!(SYS_close, fd).map(drop)
}

pub fn enter(parent: &str) -> Result<(), &'static str> {
    let parent = CString::new(parent).unwrap();
    let uid = call!(SYS_geteuid)?;
    call!(SYS_unshare, libc::CLONE_THREAD)?;
    // SAFETY: as above.
    let mut proc_status: libc::statfs = unsafe { zeroed() };
    call!(SYS_statfs, c"/proc/self/fd".as_ptr(), &raw mut proc_status)?;
    expect(proc_status.f_type == libc::PROC_SUPER_MAGIC)?;
    let counted = count()?;
    let (mut more, mut fd) = (counted, 0);
    while more > 0 {
        if let Ok(status) = look(fd) {
            expect(status.st_mode & libc::S_IFMT != libc::S_IFDIR)?;
            more -= 1;
        }
        fd += 1;
    }
    expect(count()? == counted)?;
    let cwd = call!(SYS_openat, AT_FDCWD, c".".as_ptr(), HELD)?;
    let parent = call!(SYS_openat, AT_FDCWD, parent.as_ptr(), HELD)?;
    look(parent)?;
    let mut drawn = 0_u64;
    call!(SYS_getrandom, (&raw mut drawn).cast::<c_void>(), 8_usize, libc::GRND_INSECURE)?;
    let mut name = [0_u8; 17];
    for (n, place) in name[..16].iter_mut().enumerate() {
        *place = b'a' + (drawn >> (4 * n) & 15) as u8;
    }
    call!(SYS_mkdirat, parent, name.as_ptr(), 0o555)?;
    let directory = call!(SYS_openat, parent, name.as_ptr(), O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)?;
    expect(c_long::from(look(directory)?.st_uid) == uid)?;
    call!(SYS_unlinkat, parent, name.as_ptr(), AT_REMOVEDIR)?;
    expect(look(directory)?.st_nlink == 0)?;
    expect(call!(SYS_mkdirat, directory, name.as_ptr(), 0o555).is_err())?;
    call!(SYS_fchdir, directory)?;
    let here = c".".as_ptr();
    let mut proc = None;
    if call!(SYS_chroot, here).is_err() {
        let gid = call!(SYS_getegid)?;
        let held = call!(SYS_openat, AT_FDCWD, c"/proc/self".as_ptr(), HELD)?;
        call!(SYS_unshare, libc::CLONE_NEWUSER)?;
        put(held, c"uid_map", &format!("{uid} {uid} 1"))?;
        put(held, c"setgroups", "deny")?;
        put(held, c"gid_map", &format!("{gid} {gid} 1"))?;
        call!(SYS_chroot, here)?;
        proc = Some((held, gid));
    }
    call!(SYS_chdir, c"/".as_ptr())?;
    // SAFETY: as above.
    let mut root: libc::stat = unsafe { zeroed() };
    if let Some((held, gid)) = proc {
        let mut header = [0x2008_0522_u32, 0];
        let mut sets = [0_u32; 6];
        call!(SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)?;
        call!(SYS_capset, header.as_mut_ptr(), sets.as_mut_ptr())?;
        call!(SYS_newfstatat, AT_FDCWD, c"/".as_ptr(), &raw mut root, 0)?;
        call!(SYS_capget, header.as_mut_ptr(), sets.as_mut_ptr())?;
        expect(call!(SYS_prctl, libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)? == 1)?;
        expect((call!(SYS_geteuid)?, call!(SYS_getegid)?) == (uid, gid))?;
        call!(SYS_close, held)?;
    } else {
        call!(SYS_newfstatat, AT_FDCWD, c"/".as_ptr(), &raw mut root, 0)?;
    }
    [cwd, parent, directory].into_iter().try_for_each(|fd| call!(SYS_close, fd).map(drop))
}
