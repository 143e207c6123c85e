//! The ways out of a chroot, as an attacker would write them. Each returns whether it succeeded.
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
    fn mq_open(name: *const c_char, flags: c_int, ...) -> c_int;
    fn mq_unlink(name: *const c_char) -> c_int;
    fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    fn write(fd: c_int, bytes: *const c_void, length: usize) -> isize;
    fn poll(fds: *mut Polled, count: usize, timeout: c_int) -> c_int;
    fn prlimit(pid: c_int, resource: c_int, new: *const c_void, old: *mut c_void) -> c_int;
}

#[repr(C)]
struct Polled {
    fd: c_int,
    events: i16,
    happened: i16,
}

/// Numbers that differ from one architecture to the next: keyctl, bpf, perf_event_open,
/// userfaultfd.
const NUMBERS: [c_long; 4] = match () {
    () if cfg!(target_arch = "x86_64") => [250, 321, 298, 323],
    () if cfg!(target_arch = "x86") => [288, 357, 336, 374],
    () if cfg!(target_arch = "arm") => [311, 386, 364, 388],
    () if cfg!(any(target_arch = "aarch64", target_arch = "riscv64")) => [219, 280, 241, 282],
    () if cfg!(target_arch = "mips") => [4282, 4355, 4333, 4357],
    () if cfg!(target_arch = "powerpc64") => [271, 361, 319, 364],
    () if cfg!(target_arch = "s390x") => [280, 351, 331, 355],
    () => panic!("the numbers of this processor have to be added"),
};

/// Newer calls have the same number everywhere, counted from here.
const FIRST: c_long = if cfg!(target_arch = "mips") { 4000 } else { 0 };
const IO_URING_SETUP: c_long = FIRST + 425;
const PIDFD_OPEN: c_long = FIRST + 434;
const PIDFD_GETFD: c_long = FIRST + 438;
const OPEN_TREE: c_long = FIRST + 428;
const FSOPEN: c_long = FIRST + 430;
const FSCONFIG: c_long = FIRST + 431;
const FSMOUNT: c_long = FIRST + 432;

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
    /// A socket that has that process as its owner for signals, its peer, and one that is closed
    /// when the process ends.
    pub owned: c_int,
    pub peer: c_int,
    pub alive: c_int,
    pub listener: Vec<u8>,
    /// The `struct file_handle` of a file on the file system that the jail is made on.
    pub handle: Vec<u8>,
    /// A process of the same user that has made a user namespace and a mount namespace.
    pub owner: c_int,
    /// A user namespace that another process of this user has made, and the mount namespace that
    /// belongs to it: their file handles, which are empty where the kernel has none for namespaces.
    pub user_namespace: Vec<u8>,
    pub mount_namespace: Vec<u8>,
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
    ("sigio", signal_the_owner),
    ("abstract", connect),
    ("setuid", execute_setuid),
    ("exec", execute_as_root),
    ("file-capabilities", execute_with_file_capabilities),
    ("namespace", join_a_namespace_by_handle),
    ("namespaces", join_the_namespaces_of_a_process),
    ("keyring", read_a_key),
    ("mq_open", open_a_queue),
    ("mq_unlink", remove_a_queue),
    ("prlimit", limit_another),
    ("io_uring", make_a_ring),
    ("bpf", make_a_map),
    ("perf", count_events),
    ("userfaultfd", handle_faults),
    ("chroot", chroot_again_and_climb),
    ("userns", new_user_namespace),
];

/// As nginx's master sets it for its workers: the kernel signals the owner.
fn signal_the_owner(outside: &Outside) -> bool {
    const F_GETFL: c_int = 3;
    const F_SETFL: c_int = 4;
    const F_SETSIG: c_int = 10;
    const O_ASYNC: c_int = if cfg!(target_arch = "mips") { 0x1000 } else { 0o20_000 };
    const SIGTERM: c_int = 15;
    const POLLHUP: i16 = 16;
    unsafe {
        let flags = fcntl(outside.owned, F_GETFL);
        if fcntl(outside.owned, F_SETSIG, SIGTERM) != 0 || fcntl(outside.owned, F_SETFL, flags | O_ASYNC) != 0 {
            return false;
        }
        write(outside.peer, b".".as_ptr().cast(), 1);
        let mut ended = Polled { fd: outside.alive, events: 0, happened: 0 };
        poll(&raw mut ended, 1, 5000) == 1 && ended.happened & POLLHUP != 0
    }
}

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

/// The owner of a child user namespace has all capabilities in it, and setns does not ask about a
/// chroot.
fn join_a_namespace_by_handle(outside: &Outside) -> bool {
    const FD_NSFS_ROOT: c_int = -10003;
    let join = |handle: &[u8], kind| unsafe {
        let mut handle = handle.to_vec();
        !handle.is_empty() && setns(open_by_handle_at(FD_NSFS_ROOT, handle.as_mut_ptr().cast(), 0), kind) == 0
    };
    join(&outside.user_namespace, CLONE_NEWUSER)
        && unsafe { unshare(CLONE_FS) == 0 }
        && join(&outside.mount_namespace, CLONE_NEWNS)
        && opens(c"/etc/passwd")
}

/// The same, with the number of a process in place of handles (Linux 5.8).
fn join_the_namespaces_of_a_process(outside: &Outside) -> bool {
    unsafe {
        let process = syscall(PIDFD_OPEN, outside.owner, 0) as c_int;
        setns(process, CLONE_NEWUSER) == 0
            && unshare(CLONE_FS) == 0
            && setns(process, CLONE_NEWNS) == 0
            && opens(c"/etc/passwd")
    }
}

/// The name of the key that whoever starts us has in the session keyring.
pub const KEY: &CStr = c"autochroot-test";

fn read_a_key(_: &Outside) -> bool {
    const SESSION: isize = -3;
    const SEARCH: c_int = 10;
    const READ: c_int = 11;
    let mut secret = [0_u8; 16];
    unsafe {
        let key = syscall(NUMBERS[0], SEARCH, SESSION, c"user".as_ptr(), KEY.as_ptr(), 0_usize);
        key > 0 && syscall(NUMBERS[0], READ, key, secret.as_mut_ptr(), secret.len(), 0_usize) > 0
    }
}

fn queue(outside: &Outside) -> std::ffi::CString {
    std::ffi::CString::new([b"/", &outside.listener[..]].concat()).unwrap()
}

fn open_a_queue(outside: &Outside) -> bool {
    unsafe { mq_open(queue(outside).as_ptr(), 0) >= 0 }
}

fn remove_a_queue(outside: &Outside) -> bool {
    unsafe { mq_unlink(queue(outside).as_ptr()) == 0 }
}

/// Reads a limit. A process that may read it may also set it, for example one second of CPU time.
fn limit_another(outside: &Outside) -> bool {
    let mut limits = [0_u64; 2];
    unsafe { prlimit(outside.pid, 0, null(), limits.as_mut_ptr().cast()) == 0 }
}

fn make_a_ring(_: &Outside) -> bool {
    let mut parameters = [0_u32; 30];
    unsafe { syscall(IO_URING_SETUP, 4, parameters.as_mut_ptr()) >= 0 }
}

fn make_a_map(_: &Outside) -> bool {
    // BPF_MAP_CREATE of an array with one place of four bytes.
    let attributes = [2_u32, 4, 4, 1, 0, 0, 0, 0];
    unsafe { syscall(NUMBERS[1], 0, attributes.as_ptr(), size_of_val(&attributes)) >= 0 }
}

/// A software event of the process outside: the CPU clock, outside the kernel.
fn count_events(outside: &Outside) -> bool {
    let mut attributes = [0_u64; 8];
    attributes[0] = 1 | 64 << 32;
    attributes[5] = 0b1100000;
    unsafe { syscall(NUMBERS[2], attributes.as_ptr(), outside.pid, -1, -1, 0) >= 0 }
}

fn handle_faults(_: &Outside) -> bool {
    const USER_MODE_ONLY: c_int = 1;
    unsafe { syscall(NUMBERS[3], USER_MODE_ONLY) >= 0 }
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

/// Returns whether the payload, executed now, has what it looks for.
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
