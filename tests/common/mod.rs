//! A jail cannot be left, so each entry has a process of its own: a fork of the test, in which the test goes on.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(unsafe_code, reason = "fork and the calls that std does not have")]

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use rustix::io::Errno;

/// Whose process it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum User {
    /// Uid 0 with every capability.
    Root,
    /// An ordinary user. As root the tests take two: 65534, whose id is also the overflow id, and one whose id is not.
    Plain(u32),
}

pub const NOBODY: User = User::Plain(65534);
pub const SOMEBODY: User = User::Plain(12345);

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The users that this process can be.
pub fn users() -> Vec<User> {
    if is_root() { vec![User::Root, NOBODY, SOMEBODY] } else { vec![User::Plain(rustix::process::geteuid().as_raw())] }
}

/// An ordinary user that this process can be.
pub fn plain() -> User {
    *users().last().unwrap()
}

/// Say why a test does not run. Where `CI` is set that is a failure: CI is given all that a test can need.
pub fn skipped(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "skipped in CI: {why}");
    let line = format!("{} skipped: {why}\n", std::thread::current().name().unwrap_or("?"));
    // Past the harness, which swallows what a test that passes prints.
    let written = unsafe { libc::write(2, line.as_ptr().cast(), line.len()) };
    assert_eq!(usize::try_from(written), Ok(line.len()));
}

/// Return from a test that only root can run, and say so.
#[macro_export]
macro_rules! root_only {
    () => {
        if !$crate::common::is_root() {
            return $crate::common::skipped("not root");
        }
    };
}

/// Run `body` in a process of its own as `user`; if it panics there, so does the caller here.
#[track_caller]
pub fn as_user(user: User, body: impl FnOnce()) {
    as_user_watched(user, body, |_| ());
}

/// The same, and return what `body` says.
#[track_caller]
pub fn ask_user(user: User, body: impl FnOnce() -> String) -> String {
    in_fork(user, body, |_| ())
}

/// The same for every user.
#[track_caller]
pub fn as_each_user(body: impl Fn(User)) {
    for user in users() {
        as_user(user, || body(user));
    }
}

/// The same, where the caller looks at the process, by its id, after `body` and before its end.
#[track_caller]
pub fn as_user_watched(user: User, body: impl FnOnce(), watch: impl FnOnce(i32)) {
    in_fork(
        user,
        || {
            body();
            String::new()
        },
        watch,
    );
}

#[track_caller]
fn in_fork(user: User, body: impl FnOnce() -> String, watch: impl FnOnce(i32)) -> String {
    // One at a time: a fork holds the pipes of all others open.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    report_panics();
    let (mut report, write_report) = pipe();
    let (read_leave, leave) = pipe();
    // SAFETY: the child does what may be done in a fork of a process with threads where malloc survives a fork, as it
    // does in glibc and musl.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork: {}", std::io::Error::last_os_error());
    if pid == 0 {
        drop((report, leave));
        unsafe { libc::alarm(60) };
        IS_FORK.set(true);
        close_all_but([write_report.as_raw_fd(), read_leave.as_raw_fd()]);
        let said = catch_unwind(AssertUnwindSafe(|| {
            become_user(user);
            body()
        }));
        let panicked = said.is_err();
        let text = said.unwrap_or_else(|_| REPORT.take());
        let _ = (&write_report).write_all(text.as_bytes());
        drop(write_report);
        let _ = (&read_leave).read(&mut [0]);
        unsafe { libc::_exit(i32::from(panicked)) };
    }
    drop((write_report, read_leave));
    let mut text = String::new();
    report.read_to_string(&mut text).unwrap();
    let watched = catch_unwind(AssertUnwindSafe(|| watch(pid)));
    drop(leave);
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(status == 0, "as {user:?}, status {status:#x}: {text}");
    if let Err(panic) = watched {
        std::panic::resume_unwind(panic);
    }
    text
}

/// What other tests, and whoever runs them, have open is not this process's.
pub fn close_all_but(mut keep: [i32; 2]) {
    keep.sort_unstable();
    for (first, last) in [(3, keep[0] - 1), (keep[0] + 1, keep[1] - 1), (keep[1] + 1, i32::MAX)] {
        if first <= last {
            close_range(first, last, 0);
        }
    }
}

fn close_range(first: i32, last: i32, flags: u32) {
    assert_eq!(unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) }, 0);
}

/// A command that starts with no descriptors but the standard ones.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    // SAFETY: it marks descriptors to be closed, no more.
    unsafe {
        command.pre_exec(|| {
            close_range(3, i32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            Ok(())
        });
    }
    command
}

/// Have it start as `user`.
pub fn start_as(command: &mut Command, user: User) {
    if let (User::Plain(id), true) = (user, is_root()) {
        command.uid(id).gid(id);
    }
}

/// Numbers that look random, the same in every run.
pub struct Random(pub u64);

impl Random {
    /// A number from 0 up to and without this one.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }
}

thread_local! {
    static IS_FORK: Cell<bool> = const { Cell::new(false) };
    static REPORT: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keep what a fork panics with, for its report. Set before any fork, since the hook has a lock.
fn report_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IS_FORK.get() {
                REPORT.with_borrow_mut(|report| *report = info.to_string());
            } else {
                usual(info);
            }
        }));
    });
}

fn pipe() -> (File, File) {
    let mut fds = [0; 2];
    assert_eq!(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }, 0);
    // SAFETY: they were just made.
    unsafe { (File::from_raw_fd(fds[0]), File::from_raw_fd(fds[1])) }
}

/// The calls that set ids: on x86 those of the first kernels, which had 16 bits for them, are other ones.
#[cfg(not(target_arch = "x86"))]
pub const SET_IDS: [libc::c_long; 3] = [libc::SYS_setresuid, libc::SYS_setresgid, libc::SYS_setgroups];
#[cfg(target_arch = "x86")]
pub const SET_IDS: [libc::c_long; 3] = [libc::SYS_setresuid32, libc::SYS_setresgid32, libc::SYS_setgroups32];

/// A second thread, that ends when this is dropped. By `clone`, since `pthread_create` may wait for ever, in a fork, for a
/// lock that some thread held when the fork was made; not so in musl, whose `clone` makes no threads.
pub struct Thread(&'static AtomicU32);

impl Thread {
    pub fn start() -> Thread {
        extern "C" fn wait(goes_on: *mut libc::c_void) -> i32 {
            // SAFETY: it is the leaked counter.
            let goes_on = unsafe { &*goes_on.cast::<AtomicU32>() };
            while goes_on.load(Ordering::Acquire) == 1 {
                unsafe { libc::sched_yield() };
            }
            0
        }
        extern "C" fn wait_in_c(goes_on: *mut libc::c_void) -> *mut libc::c_void {
            wait(goes_on);
            std::ptr::null_mut()
        }
        let goes_on: &'static AtomicU32 = Box::leak(Box::new(AtomicU32::new(1)));
        if cfg!(target_env = "musl") {
            create_thread(wait_in_c, (&raw const *goes_on).cast_mut().cast());
            return Thread(goes_on);
        }
        let stack = vec![0_u128; 4096].leak();
        let flags = libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD;
        // SAFETY: the stack is the thread's own, and it uses nothing that the C library keeps for each thread.
        let thread = unsafe {
            libc::clone(wait, stack.as_mut_ptr_range().end.cast(), flags, (&raw const *goes_on).cast_mut().cast())
        };
        assert!(thread > 0, "clone: {}", std::io::Error::last_os_error());
        Thread(goes_on)
    }
}

type Start = extern "C" fn(*mut libc::c_void) -> *mut libc::c_void;

/// A thread of the C library's: for one of std's, a fork may wait for ever, for a lock of std's that some thread held when the
/// fork was made.
fn create_thread(start: Start, argument: *mut libc::c_void) -> libc::pthread_t {
    let mut thread = std::mem::MaybeUninit::uninit();
    unsafe {
        assert_eq!(libc::pthread_create(thread.as_mut_ptr(), std::ptr::null(), start, argument), 0);
        thread.assume_init()
    }
}

/// What `body` returns in such a thread.
pub fn in_thread<T>(body: impl FnOnce() -> T) -> T {
    struct Job<F, T>(Option<F>, Option<T>);
    extern "C" fn run<F: FnOnce() -> T, T>(job: *mut libc::c_void) -> *mut libc::c_void {
        // SAFETY: it is the one below, which waits.
        let Job(body, said) = unsafe { &mut *job.cast::<Job<F, T>>() };
        *said = body.take().map(|body| body());
        std::ptr::null_mut()
    }
    fn start<F: FnOnce() -> T, T>(_: &Job<F, T>) -> Start {
        run::<F, T>
    }
    let mut job = Job(Some(body), None);
    let thread = create_thread(start(&job), (&raw mut job).cast());
    assert_eq!(unsafe { libc::pthread_join(thread, std::ptr::null_mut()) }, 0);
    job.1.unwrap()
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
        // It takes a moment; in a jail nobody can tell.
        let stopped = std::time::Instant::now();
        while std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
            assert!(stopped.elapsed().as_secs() < 30);
        }
    }
}

fn become_user(user: User) {
    if let (User::Plain(id), true) = (user, is_root()) {
        unsafe {
            assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
            assert_eq!(libc::setresgid(id, id, id), 0);
            assert_eq!(libc::setresuid(id, id, id), 0);
            // What an exec as that user would have done.
            assert_eq!(libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
        }
    }
}

/// From here on the system call `number` is not made and says `errno`: 0 is success.
pub fn fake(number: libc::c_long, errno: Errno) {
    fake_errno(number, u32::try_from(errno.raw_os_error()).unwrap());
}

pub fn fake_success(number: libc::c_long) {
    fake_errno(number, 0);
}

/// The same with any errno, up to 4095.
pub fn fake_errno(number: libc::c_long, errno: u32) {
    fake_where(number, None, errno);
}

/// The same only where the first argument is `argument`.
pub fn fake_where(number: libc::c_long, argument: Option<u32>, errno: u32) {
    filter_where(number, argument, libc::SECCOMP_RET_ERRNO | errno);
}

/// The system call with this first argument becomes a `SIGSYS`.
pub fn trap_where(number: libc::c_long, argument: u32) {
    filter_where(number, Some(argument), libc::SECCOMP_RET_TRAP);
}

/// The system call says `errno` where its second argument is `argument`.
pub fn filter_second_argument(number: libc::c_long, argument: u32, errno: Errno) {
    filter_argument(number, Some((1, argument)), libc::SECCOMP_RET_ERRNO | errno.raw_os_error().unsigned_abs());
}

/// The system call kills the process, with a `SIGSYS`.
pub fn kill_at(number: libc::c_long) {
    filter_where(number, None, libc::SECCOMP_RET_KILL_PROCESS);
}

/// The number of the call of its kind, counted from 0, and its first arguments; returns what the call returns, as the kernel does.
#[cfg(target_arch = "x86_64")]
pub type Stand = fn(usize, [usize; 4]) -> i64;

/// From here on `stand` is called in the place of the system call `number`, which it must not make itself.
#[cfg(target_arch = "x86_64")]
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_ptr_alignment, reason = "registers")]
pub fn stand_in(number: libc::c_long, stand: Stand) {
    static STANDS: Mutex<Vec<(libc::c_long, Stand, usize)>> = Mutex::new(vec![]);
    extern "C" fn handler(_: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel gives a context of that type, and in `si_syscall` the number.
        let (number, registers) = unsafe {
            let number = *info.cast::<u8>().add(24).cast::<i32>();
            (libc::c_long::from(number), &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs)
        };
        let args = [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10]
            .map(|register| registers[register as usize] as usize);
        let (stand, nth) = {
            let mut stands = STANDS.lock().unwrap();
            let (_, stand, count) = stands.iter_mut().find(|(trapped, ..)| *trapped == number).unwrap();
            *count += 1;
            (*stand, *count - 1)
        };
        registers[libc::REG_RAX as usize] = stand(nth, args);
    }
    STANDS.lock().unwrap().push((number, stand, 0));
    // SAFETY: the handler is of that type.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        assert_eq!(libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()), 0);
    }
    filter_where(number, None, libc::SECCOMP_RET_TRAP);
}

/// What a call of the C library returned, as the kernel returns it.
#[cfg(target_arch = "x86_64")]
pub fn answer(returned: i64) -> i64 {
    if returned < 0 { -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap()) } else { returned }
}

fn filter_where(number: libc::c_long, argument: Option<u32>, action: u32) {
    filter_argument(number, argument.map(|argument| (0, argument)), action);
}

/// Where the argument with this number, counted from 0, is this one.
fn filter_argument(number: libc::c_long, argument: Option<(u32, u32)>, action: u32) {
    use libc::{BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, sock_filter};
    let code = |code: u32, k: u32, jf: u8| sock_filter { code: u16::try_from(code).unwrap(), jt: 0, jf, k };
    let mut filter =
        vec![code(BPF_LD | BPF_W | BPF_ABS, 0, 0), code(BPF_JMP | BPF_JEQ | BPF_K, u32::try_from(number).unwrap(), 1)];
    if let Some((nth, argument)) = argument {
        filter[1].jf = 3;
        filter.push(code(BPF_LD | BPF_W | BPF_ABS, 16 + 8 * nth, 0));
        filter.push(code(BPF_JMP | BPF_JEQ | BPF_K, argument, 1));
    }
    filter.push(code(BPF_RET | BPF_K, action, 0));
    filter.push(code(BPF_RET | BPF_K, libc::SECCOMP_RET_ALLOW, 0));
    let program = libc::sock_fprog { len: u16::try_from(filter.len()).unwrap(), filter: filter.as_mut_ptr() };
    // SAFETY: the program is valid for the call.
    unsafe {
        if !is_root() {
            assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        }
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program), 0);
    }
}

/// An `io_uring`, if this kernel has them.
pub fn ring() -> Option<File> {
    let mut parameters = [0_u32; 30];
    // SAFETY: the parameters are 120 bytes long, as the call takes them.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr()) };
    // SAFETY: it was just made.
    (fd >= 0).then(|| unsafe { File::from_raw_fd(i32::try_from(fd).unwrap()) })
}

/// A mount namespace of one's own, in which mounts are nobody else's business.
pub fn own_mounts() {
    unsafe {
        assert_eq!(libc::unshare(libc::CLONE_NEWNS), 0);
        assert_eq!(
            libc::mount(
                c"none".as_ptr(),
                c"/".as_ptr(),
                std::ptr::null(),
                libc::MS_REC | libc::MS_PRIVATE,
                std::ptr::null()
            ),
            0
        );
    }
}

pub fn mount_tmpfs(target: &Path, flags: libc::c_ulong, options: &str) {
    let target = std::ffi::CString::new(target.to_str().unwrap()).unwrap();
    let options = std::ffi::CString::new(options).unwrap();
    let mounted =
        unsafe { libc::mount(c"tmpfs".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), flags, options.as_ptr().cast()) };
    assert_eq!(mounted, 0, "mount: {}", std::io::Error::last_os_error());
}

/// Set or remove TMPDIR, in a fork: by the C library, since some thread may have held std's lock when the fork was made.
pub fn set_tmpdir(path: Option<&Path>) {
    let done = match path.map(|path| std::ffi::CString::new(path.to_str().unwrap()).unwrap()) {
        // SAFETY: this fork has one thread.
        Some(path) => unsafe { libc::setenv(c"TMPDIR".as_ptr(), path.as_ptr(), 1) },
        None => unsafe { libc::unsetenv(c"TMPDIR".as_ptr()) },
    };
    assert_eq!(done, 0);
}

/// A directory for one test, sticky and open to all like /tmp; removed at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        use std::os::unix::fs::PermissionsExt;
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("autochroot-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o1777)).unwrap();
        Scratch(path)
    }

    pub fn bytes(&self) -> &[u8] {
        self.0.as_os_str().as_encoded_bytes()
    }

    pub fn entries(&self) -> Vec<PathBuf> {
        std::fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The open descriptors of this process, but for the one that reads them.
pub fn open_fds() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc/self/fd").unwrap();
    let mut fds: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap()).collect();
    fds.retain(|fd| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok());
    fds.sort_unstable();
    fds
}

/// The effective, permitted and inheritable capabilities.
pub fn held() -> u64 {
    let sets = rustix::thread::capabilities(None).unwrap();
    (sets.effective | sets.permitted | sets.inheritable).bits()
}

/// The version of this kernel's Landlock.
pub fn landlock_abi() -> Option<i32> {
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, 1) };
    i32::try_from(abi).ok().filter(|abi| *abi > 0)
}

/// The launcher, at a path that every user can reach.
pub fn launcher() -> &'static Path {
    static COPY: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    COPY.get_or_init(|| reachable(Path::new(env!("CARGO_BIN_EXE_autochroot"))))
}

/// A static program: `tests/payload/payload.rs`, compiled once.
pub fn payload() -> &'static Path {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    BUILT.get_or_init(|| compile("payload"))
}

/// A static program of `tests/payload/`.
pub fn compile(name: &str) -> PathBuf {
    compile_with(name, &[])
}

/// The same, with these options of the compiler.
pub fn compile_with(name: &str, options: &[&str]) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let output = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{count}", std::process::id()));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/payload/{name}.rs"));
    let status = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--edition=2024", "-Ctarget-feature=+crt-static", "-Cpanic=abort", "-Copt-level=s", "-o"])
        .args([&output, &source])
        .args(options)
        .status()
        .unwrap();
    assert!(status.success(), "rustc: {status}");
    let program = reachable(&output);
    std::fs::remove_file(output).unwrap();
    program
}

/// A copy that all can execute, and that goes when the test binary ends.
pub fn reachable(program: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    static DIRECTORY: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    extern "C" fn remove() {
        if let Some(directory) = DIRECTORY.get() {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
    let directory = DIRECTORY.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("autochroot-programs-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        // SAFETY: the function is safe to call at exit.
        unsafe { libc::atexit(remove) };
        path
    });
    let copy = directory.join(program.file_name().unwrap());
    copy_program(program, &copy, 0o755);
    copy
}

/// By another process: a descriptor of ours that a fork of another test holds would make it "text file busy".
pub fn copy_program(program: &Path, copy: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    assert!(Command::new("cp").arg(program).arg(copy).status().unwrap().success());
    std::fs::set_permissions(copy, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub fn raw(file: &impl AsRawFd) -> i32 {
    file.as_raw_fd()
}

/// Whether there is such a program.
pub fn have(program: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {program}")]).output().is_ok_and(|found| found.status.success())
}

/// Of a fork, which must end by itself.
pub fn exit_status(pid: libc::pid_t) -> i32 {
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status), "{status:#x}");
    libc::WEXITSTATUS(status)
}
