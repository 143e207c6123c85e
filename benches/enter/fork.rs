//! What is measured is done in forks, since there is no way back.

use std::time::Instant;

/// `None`: whoever runs this. Otherwise root runs it, and becomes that user.
pub type User = Option<u32>;

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Becomes the user, dumpable as after an `execve`.
pub fn become_user(user: User) {
    if let Some(id @ 1..) = user {
        // SAFETY: no memory is passed.
        unsafe {
            assert_eq!(libc::setgroups(0, std::ptr::null()) | libc::setresgid(id, id, id), 0);
            assert_eq!(libc::setresuid(id, id, id) | libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
        }
    }
}

/// How long `action` takes in a fork, after `prepare`, which root does: in nanoseconds. All pages
/// are there before, where that is permitted: what a fork has to fetch again depends on how many
/// the code is spread over, which is more for C's library.
pub fn time(user: User, prepare: impl FnOnce(), action: impl FnOnce() -> Result<(), String>) -> u32 {
    let [output, input] = pipe();
    let pid = fork(|| {
        prepare();
        // SAFETY: it moves nothing.
        unsafe { libc::mlockall(libc::MCL_CURRENT) };
        become_user(user);
        let start = Instant::now();
        let done = action();
        let time = u32::try_from(start.elapsed().as_nanos()).unwrap();
        or_exit(done);
        // SAFETY: the time is four bytes.
        unsafe { libc::write(input, (&raw const time).cast(), 4) };
    });
    let mut time = 0_u32;
    // SAFETY: the time is four bytes; the descriptors are those of the pipe.
    unsafe {
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        assert_eq!(status, 0, "refused");
        assert_eq!(libc::read(output, (&raw mut time).cast(), 4), 4);
        libc::close(output);
        libc::close(input);
    }
    time
}

/// How long it takes until all of so many forks have done it, divided by their number, in
/// nanoseconds; to wake them up included.
pub fn time_at_once(user: User, count: u32, action: impl Fn() -> Result<(), String>) -> u32 {
    let [gate, open_gate] = pipe();
    let [output, input] = pipe();
    let wait = |from: libc::c_int| {
        let mut byte = 0_u8;
        // SAFETY: it is one byte.
        unsafe { libc::read(from, (&raw mut byte).cast(), 1) }
    };
    let tell = || {
        // SAFETY: it is one byte.
        assert_eq!(unsafe { libc::write(input, b"x".as_ptr().cast(), 1) }, 1);
    };
    let pids: Vec<_> = (0..count)
        .map(|_| {
            fork(|| {
                // SAFETY: this process does not use it, and the other moves nothing.
                unsafe {
                    libc::close(open_gate);
                    libc::mlockall(libc::MCL_CURRENT);
                }
                become_user(user);
                tell();
                wait(gate);
                or_exit(action());
                tell();
            })
        })
        .collect();
    (0..count).for_each(|_| assert_eq!(wait(output), 1));
    let start = Instant::now();
    // SAFETY: all wait for that.
    unsafe { libc::close(open_gate) };
    (0..count).for_each(|_| assert_eq!(wait(output), 1));
    let time = u32::try_from(start.elapsed().as_nanos()).unwrap() / count;
    // SAFETY: the children and the descriptors are ours.
    unsafe {
        for pid in pids {
            assert_eq!(libc::waitpid(pid, std::ptr::null_mut(), 0), pid);
        }
        for fd in [gate, output, input] {
            libc::close(fd);
        }
    }
    time
}

fn or_exit(done: Result<(), String>) {
    if let Err(error) = done {
        eprintln!("{error}");
        // SAFETY: a fork of this program may end like that.
        unsafe { libc::_exit(1) };
    }
}

fn fork(child: impl FnOnce()) -> libc::pid_t {
    // SAFETY: this process has one thread.
    unsafe {
        let pid = libc::fork();
        assert!(pid >= 0);
        if pid == 0 {
            child();
            libc::_exit(0);
        }
        pid
    }
}

fn pipe() -> [libc::c_int; 2] {
    let mut pipe = [0; 2];
    // SAFETY: there is room for two.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    pipe
}
