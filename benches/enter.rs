//! What an entry costs in each kind of root, as ratios of one run: `cargo bench`.
//!
//! Each entry has a fresh fork, and the kinds take turns, so that what disturbs one disturbs all.
#![allow(missing_docs, unsafe_code, reason = "a program; fork and what goes with it")]

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    const ROUNDS: usize = 2000;
    let kinds: [(&str, Jail<'_>); 3] = [
        ("unlinked on a tmpfs (/dev/shm)", Jail::unlinked().parent(b"/dev/shm")),
        ("unlinked on /var/tmp", Jail::unlinked().parent(b"/var/tmp")),
        ("detached", Jail::detached()),
    ];
    println!("| root | as | median | of the first | spread (10 % to 90 %) |\n| --- | --- | --- | --- | --- |");
    let users = if rustix::process::geteuid().is_root() { vec![0, 65534] } else { vec![u32::MAX] };
    for uid in users {
        let mut times = kinds.map(|_| Vec::with_capacity(ROUNDS));
        for _ in 0..ROUNDS {
            for ((_, jail), times) in kinds.iter().zip(&mut times) {
                times.push(time_in_a_fork(uid, *jail));
            }
        }
        for times in &mut times {
            times.sort_unstable();
        }
        let first = times[0][ROUNDS / 2];
        for ((name, _), times) in kinds.iter().zip(&times) {
            let [low, median, high] = [1, 5, 9].map(|tenth| f64::from(times[ROUNDS * tenth / 10]) / 1000.0);
            let user = if uid == 0 { "root" } else { "others" };
            let ratio = median * 1000.0 / f64::from(first);
            println!("| {name} | {user} | {median:.0} us | {ratio:.2} | {low:.0} to {high:.0} us |");
        }
    }
}

#[cfg(target_os = "linux")]
use autochroot::Jail;

/// In nanoseconds.
#[cfg(target_os = "linux")]
fn time_in_a_fork(uid: u32, jail: Jail<'_>) -> u32 {
    let mut pipe = [0; 2];
    let mut time = 0_u32;
    // SAFETY: this process has one thread; the descriptors are its own.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        let pid = libc::fork();
        if pid == 0 {
            if uid != 0 && uid != u32::MAX {
                assert_eq!(libc::setgroups(0, std::ptr::null()) | libc::setresgid(uid, uid, uid), 0);
                assert_eq!(libc::setresuid(uid, uid, uid) | libc::prctl(libc::PR_SET_DUMPABLE, 1), 0);
            }
            let start = std::time::Instant::now();
            let entered = jail.enter();
            let time = u32::try_from(start.elapsed().as_nanos()).unwrap();
            if let Err(error) = entered {
                eprintln!("{jail}: {error}");
                libc::_exit(1);
            }
            libc::write(pipe[1], (&raw const time).cast(), 4);
            libc::_exit(0);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(pid, &raw mut status, 0), pid);
        assert_eq!(status, 0, "refused");
        assert_eq!(libc::read(pipe[0], (&raw mut time).cast(), 4), 4);
        libc::close(pipe[0]);
        libc::close(pipe[1]);
    }
    time
}
