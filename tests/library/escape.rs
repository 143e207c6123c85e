//! Every known way out, tried: first from a jail as it is usually made, to see that the attack
//! works on this kernel, then from ours.

#[path = "../payload/attacks.rs"]
#[allow(clippy::all, clippy::pedantic, reason = "the attacker's style")]
mod attacks;

use std::fs;
use std::io::{IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use self::attacks::{ATTACKS, Attack, Outside};
use crate::common::*;
use autochroot::{Jail, Jailed, Root, Step};
use rustix::io::Errno;

const SERVICE: u32 = 12345;

/// The stage of one attack: what there is outside, made before the jail by the process that is then
/// jailed.
struct Stage<'s> {
    outside: Outside,
    /// The parent of the jail; who is in it cannot remove it.
    parent: &'s Scratch,
    /// Open as long as the attack takes.
    _kept: Vec<fs::File>,
    _peers: [UnixStream; 5],
    _listener: std::os::unix::net::UnixListener,
}

impl Stage<'_> {
    fn set(parent: &Scratch, victim: u32) -> Stage<'_> {
        use std::os::linux::net::SocketAddrExt;
        let directory = fs::File::open("/").unwrap();
        let path = fs::File::options().read(true).custom_flags(libc::O_PATH).open("/").unwrap();
        let (socket, peer) = UnixStream::pair().unwrap();
        send_fd(&peer, &directory);
        let listener = listener_name();
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&listener).unwrap();
        let name = listener_name();
        let (pid, alive) = outsider(victim, || make_a_queue(&name), || remove_the_queue(&name));
        let (signalling, signalling_peer) = UnixStream::pair().unwrap();
        assert_eq!(unsafe { libc::fcntl(signalling.as_raw_fd(), libc::F_SETOWN, pid) }, 0);
        let in_a_namespace = || unsafe { assert_eq!(libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS), 0) };
        let (owner, owns) = outsider(victim, in_a_namespace, || {});
        make_a_key();
        let [program, capable] = powerful_payloads().each_ref().map(|path| fs::File::open(path).unwrap());
        Stage {
            outside: Outside {
                directory: directory.as_raw_fd(),
                path: path.as_raw_fd(),
                socket,
                pid,
                owned: signalling.as_raw_fd(),
                peer: signalling_peer.as_raw_fd(),
                alive: alive.as_raw_fd(),
                handle: handle_of_a_file_in(parent),
                owner,
                user_namespace: handle_of(&format!("/proc/{owner}/ns/user")).unwrap_or_default(),
                mount_namespace: handle_of(&format!("/proc/{owner}/ns/mnt")).unwrap_or_default(),
                program: program.as_raw_fd(),
                capable: capable.as_raw_fd(),
                listener,
            },
            parent,
            _kept: vec![directory, path, program, capable],
            _peers: [peer, alive, owns, signalling, signalling_peer],
            _listener: std::os::unix::net::UnixListener::bind_addr(&address).unwrap(),
        }
    }

    /// As many do it: `mkdir`, `chdir`, `rmdir` unasked, `chroot` and, where that is refused,
    /// `unshare` before it.
    fn plain_jail(&self) {
        let root = self.parent.0.join("root");
        fs::create_dir(&root).unwrap();
        std::env::set_current_dir(&root).unwrap();
        let _ = fs::remove_dir(&root);
        unsafe {
            if libc::chroot(c".".as_ptr()) != 0 {
                assert_eq!(libc::unshare(libc::CLONE_NEWUSER), 0);
                assert_eq!(libc::chroot(c".".as_ptr()), 0);
            }
            assert_eq!(libc::chdir(c"/".as_ptr()), 0);
        }
    }

    /// Ours, but for the check of open directories: these attacks are about what happens if one is
    /// open all the same.
    fn jail(&self, root: Root) -> Jailed {
        let jail = match root {
            Root::Detached => Jail::detached(),
            Root::Failfs => Jail::failfs(),
            _ => Jail::unlinked_in(self.parent.bytes()),
        };
        jail.allow_open_directories().enter().unwrap()
    }
}

fn listener_name() -> Vec<u8> {
    format!("autochroot-test-{}", std::process::id()).into_bytes()
}

/// A process of the user `uid`, outside, that ends with this one, and what it does first and last.
fn outsider(uid: u32, first: impl FnOnce(), last: impl FnOnce()) -> (i32, UnixStream) {
    let (ready, is_ready) = UnixStream::pair().unwrap();
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        close_all_but([is_ready.as_raw_fd(); 2]);
        unsafe {
            if libc::geteuid() == 0 && uid != 0 {
                assert_eq!(libc::setresgid(uid, uid, uid) | libc::setresuid(uid, uid, uid), 0);
            }
            libc::prctl(libc::PR_SET_DUMPABLE, 1);
            first();
            let _ = (&is_ready).write_all(b".");
            // A signal at the parent's death would not come: Landlock holds it back.
            let _ = (&is_ready).read(&mut [0]);
            last();
            libc::_exit(0);
        }
    }
    (&ready).read_exact(&mut [0]).unwrap();
    (pid, ready)
}

/// A key in the session keyring, as whoever starts a service may have one.
fn make_a_key() {
    const JOIN: usize = 1;
    unsafe {
        if libc::syscall(libc::SYS_keyctl, JOIN, 0) < 0 {
            return; // this kernel has none
        }
        let key = libc::syscall(
            libc::SYS_add_key,
            c"user".as_ptr(),
            attacks::KEY.as_ptr(),
            b"secret".as_ptr(),
            6_usize,
            -3_isize,
        );
        assert!(key > 0, "add_key: {}", std::io::Error::last_os_error());
    }
}

/// A POSIX message queue, that goes with the process that makes it, which is not jailed.
fn make_a_queue(name: &[u8]) {
    let name = std::ffi::CString::new([b"/", name].concat()).unwrap();
    unsafe {
        let mut small: libc::mq_attr = std::mem::zeroed();
        (small.mq_maxmsg, small.mq_msgsize) = (1, 16);
        libc::mq_open(name.as_ptr(), libc::O_CREAT | libc::O_RDWR | libc::O_CLOEXEC, 0o600, &raw mut small);
    }
}

fn remove_the_queue(name: &[u8]) {
    let name = std::ffi::CString::new([b"/", name].concat()).unwrap();
    unsafe { libc::mq_unlink(name.as_ptr()) };
}

fn send_fd(socket: &UnixStream, file: &fs::File) {
    #[repr(C)]
    struct Control(libc::cmsghdr, i32);
    let mut control = Control(unsafe { std::mem::zeroed() }, file.as_raw_fd());
    control.0.cmsg_len = unsafe { libc::CMSG_LEN(4) } as _;
    control.0.cmsg_level = libc::SOL_SOCKET;
    control.0.cmsg_type = libc::SCM_RIGHTS;
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    let part = IoSlice::new(b".");
    message.msg_iov = (&raw const part).cast_mut().cast();
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = control.0.cmsg_len;
    assert_eq!(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, 0) }, 1);
}

fn handle_of_a_file_in(parent: &Scratch) -> Vec<u8> {
    let file = parent.0.join("secret");
    fs::write(&file, "").unwrap();
    handle_of(file.to_str().unwrap()).unwrap()
}

/// Namespaces have handles from Linux 6.18 on.
fn handle_of(path: &str) -> Option<Vec<u8>> {
    let path = std::ffi::CString::new(path).unwrap();
    let mut handle = vec![0_u8; 8 + 128];
    handle[0] = 128;
    let mut mount = 0_i32;
    let named = unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            libc::AT_FDCWD,
            path.as_ptr(),
            handle.as_mut_ptr(),
            &raw mut mount,
            libc::AT_SYMLINK_FOLLOW,
        )
    };
    (named == 0).then(|| {
        handle.truncate(8 + usize::from(handle[0]));
        handle
    })
}

/// The payload as root's set-uid program, and with all file capabilities; if we are not root, as it
/// is.
fn powerful_payloads() -> &'static [std::path::PathBuf; 2] {
    static COPIES: std::sync::OnceLock<[std::path::PathBuf; 2]> = std::sync::OnceLock::new();
    COPIES.get_or_init(|| {
        let set_uid = payload().with_file_name("set-uid-payload");
        copy_program(payload(), &set_uid, 0o4755);
        let capable = payload().with_file_name("capable-payload");
        copy_program(payload(), &capable, 0o755);
        if is_root() {
            set_file_capabilities(&capable, held()); // all that the process itself may pass on
        }
        [set_uid, capable]
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A jail as it is usually made.
    Plain,
    /// The same, then `setgid` and `setuid` to a service's user.
    PlainThenSetuid,
    /// What `enter` alone gives.
    Entered,
    /// The whole: `enter`, as root `run_as`, `seal`.
    Sealed,
    /// Root remains root.
    SealedAsRoot,
}

/// Returns whether the attack gets anywhere from that jail.
fn gets_out(user: User, kind: Kind, root: Root, attack: Attack) -> bool {
    powerful_payloads(); // not in the fork
    let parent = Scratch::new();
    let answer = ask_user(user, || {
        let service = match user {
            User::Plain(id) => id,
            User::Root if matches!(kind, Kind::PlainThenSetuid | Kind::Sealed) => SERVICE,
            User::Root => 0,
        };
        let stage = Stage::set(&parent, service);
        match kind {
            Kind::Plain => stage.plain_jail(),
            Kind::PlainThenSetuid => {
                stage.plain_jail();
                let done =
                    unsafe { libc::setresgid(service, service, service) | libc::setresuid(service, service, service) };
                assert_eq!(done, 0);
            }
            Kind::Entered => {
                let _ = stage.jail(root);
            }
            Kind::Sealed if user == User::Root => {
                stage.jail(root).run_as(&account(service, service, &[])).unwrap().seal().unwrap();
            }
            Kind::Sealed | Kind::SealedAsRoot => {
                stage.jail(root).seal().unwrap();
            }
        }
        attack(&stage.outside).to_string()
    });
    answer == "true"
}

/// The empty roots that this kernel has.
fn roots() -> &'static [Root] {
    let roots = &[Root::Unlinked, Root::Detached, Root::Failfs];
    if failfs() { roots } else { &roots[..2] }
}

/// The attacks that get out of a plain jail, of each kind that this process can make.
fn out_of_a_plain_jail(attack: Attack) -> Vec<(User, Kind)> {
    let plain = if is_root() {
        vec![(User::Root, Kind::Plain), (User::Root, Kind::PlainThenSetuid), (SOMEBODY, Kind::Plain)]
    } else {
        vec![(plain(), Kind::Plain)]
    };
    plain.into_iter().filter(|(user, kind)| gets_out(*user, *kind, Root::Unlinked, attack)).collect()
}

/// Those that no plain jail lets through: the kernel refuses them to every chrooted process.
const REFUSED_BY_THE_KERNEL: [&str; 1] = ["userns"];

/// Returns whether Landlock, if it takes Landlock, is there and new enough to hold the attack back.
/// A set-uid program gives nothing to uid 0.
fn is_held_back(name: &str, is_root: bool) -> bool {
    match name {
        "setuid" if is_root => landlock_abi().is_some(),
        "kill" | "abstract" => landlock_abi() >= Some(6),
        "directory" | "o_path" | "openat" | "received" => landlock_abi().is_some(),
        _ => true,
    }
}

#[test]
fn no_attack_gets_out_of_a_sealed_jail() {
    own_process!();
    let mut sealed = vec![(plain(), Kind::Sealed)];
    if is_root() {
        sealed.extend([(User::Root, Kind::Sealed), (User::Root, Kind::SealedAsRoot), (NOBODY, Kind::Sealed)]);
    }
    for (name, attack) in ATTACKS {
        let plain = out_of_a_plain_jail(*attack);
        println!("{name}: from a plain jail {plain:?}");
        if REFUSED_BY_THE_KERNEL.contains(name) {
            assert_eq!(plain, []);
        } else if plain.is_empty() && is_root() {
            skipped(&format!("{name} gets nowhere on this kernel anyway"));
        }
        for (user, kind) in &sealed {
            if !is_held_back(name, *kind == Kind::SealedAsRoot) {
                skipped(&format!("{name}, {kind:?}: Landlock of this kernel does not hold it back"));
                continue;
            }
            for root in roots() {
                assert!(!gets_out(*user, *kind, *root, *attack), "{name} from {kind:?} {root:?} as {user:?}");
            }
        }
    }
}

/// What `enter` alone closes for an ordinary user, without a seal.
#[test]
fn no_capability_of_the_user_namespace_is_of_use_after_enter() {
    own_process!();
    for name in [
        "setns",
        "fsopen",
        "open_tree",
        "proc",
        "mknod",
        "handle",
        "fanotify",
        "exec",
        "setuid",
        "chroot",
        "userns",
        "file-capabilities",
        "namespace",
        "namespaces",
        "ptrace",
        "vm_readv",
        "pidfd_getfd",
        "keyring",
    ] {
        let (_, attack) = ATTACKS.iter().find(|(known, _)| *known == name).unwrap();
        for root in roots() {
            // Without a user namespace, what belongs to the same user is left to the seal.
            let of_the_user = matches!(name, "namespaces" | "ptrace" | "vm_readv" | "pidfd_getfd" | "keyring");
            let open = of_the_user && *root == Root::Failfs;
            assert_eq!(gets_out(plain(), Kind::Entered, *root, *attack), open, "{name} {root:?}");
        }
    }
}

/// From ABI 9 on Landlock refuses it.
#[test]
fn a_socket_is_connected_to_through_an_open_directory_where_landlock_is_older() {
    own_process!();
    let connects = |seal: bool| {
        let scratch = Scratch::new();
        let _listener = std::os::unix::net::UnixListener::bind(scratch.0.join("socket")).unwrap();
        fs::set_permissions(scratch.0.join("socket"), fs::Permissions::from_mode(0o777)).unwrap();
        as_user(plain(), || {
            let directory = fs::File::open(&scratch.0).unwrap();
            let jailed = Jail::auto().allow_open_directories().enter().unwrap();
            let _sealed = seal.then(|| jailed.seal().unwrap());
            assert_eq!(unsafe { libc::fchdir(raw(&directory)) }, 0);
            let open = !seal || landlock_abi() < Some(9);
            assert_eq!(std::os::unix::net::UnixStream::connect("socket").is_ok(), open);
        });
    };
    connects(false);
    connects(true);
}

/// As the table of the crate page has it.
#[test]
fn what_is_open_without_a_seal_and_stays_open_with_one() {
    own_process!();
    let find = |name: &str| ATTACKS.iter().find(|(known, _)| *known == name).unwrap().1;
    for name in ["directory", "o_path", "openat", "received", "kill", "abstract", "mq_open", "prlimit"] {
        for root in roots() {
            assert!(gets_out(plain(), Kind::Entered, *root, find(name)), "{name} {root:?}");
        }
    }
    if landlock_abi().is_none() {
        return skipped("this kernel has no Landlock");
    }
    // What the kernel has no better way to refuse, without breaking programs.
    let priority: Attack =
        |outside| unsafe { libc::setpriority(libc::PRIO_PROCESS, outside.pid.unsigned_abs(), 19) == 0 };
    assert!(roots().iter().all(|root| gets_out(plain(), Kind::Sealed, *root, priority)));
    as_each_user(|_| unsafe {
        let key = libc::getpid();
        let segment = libc::shmget(key, 4096, libc::IPC_CREAT | 0o600);
        let _sealed = Jail::auto().enter().unwrap().seal().unwrap();
        let found = libc::shmget(key, 4096, 0);
        libc::shmctl(segment, libc::IPC_RMID, std::ptr::null_mut());
        assert_eq!((segment >= 0, found), (true, segment));
    });
    let program = fs::read(payload()).unwrap();
    as_each_user(|_| {
        let _sealed = Jail::auto().enter().unwrap().seal().unwrap();
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            unsafe {
                let memory = libc::memfd_create(c"".as_ptr(), libc::MFD_CLOEXEC);
                assert_eq!(libc::write(memory, program.as_ptr().cast(), program.len()), program.len().cast_signed());
                let args = [c"payload".as_ptr(), c"exit=9".as_ptr(), std::ptr::null()];
                libc::fexecve(memory, args.as_ptr(), [std::ptr::null()].as_ptr());
                libc::_exit(1);
            }
        }
        assert_eq!(exit_status(pid), 1, "the filter refuses it");
    });
    // Through a directory that is still open, Landlock refuses to open, but not to look, and not to
    // change what is one's own.
    let looks: Attack = |outside| unsafe {
        libc::fchdir(outside.directory) == 0 && fs::metadata("etc/passwd").is_ok() && fs::read("etc/passwd").is_err()
    };
    assert!(roots().iter().all(|root| gets_out(plain(), Kind::Sealed, *root, looks)));
    let own = Scratch::new();
    as_each_user(|_| {
        let file = own.0.join(std::process::id().to_string());
        fs::write(&file, "").unwrap();
        let directory = fs::File::open(&own.0).unwrap();
        let _sealed = Jail::auto().allow_open_directories().enter().unwrap().seal().unwrap();
        assert_eq!(unsafe { libc::fchdir(raw(&directory)) }, 0);
        fs::set_permissions(file.file_name().unwrap(), fs::Permissions::from_mode(0o777)).unwrap();
    });
}

#[test]
fn an_open_directory_is_refused_with_its_number() {
    own_process!();
    as_each_user(|_| {
        let directory = fs::File::open("/").unwrap();
        let error = Jail::auto().enter().unwrap_err();
        assert_eq!(
            (error.step(), error.fd(), error.is_partial()),
            (Step::Descriptors, Some(directory.as_raw_fd()), false)
        );
        assert_eq!(
            error.to_string(),
            format!(
                "cannot accept the open descriptors: descriptor {} is a directory; hint: close the directory: the \
                 process could leave the jail through it",
                directory.as_raw_fd()
            )
        );
        drop(directory);
        let path = fs::File::options().read(true).custom_flags(libc::O_PATH).open("/tmp").unwrap();
        let error = Jail::auto().enter().unwrap_err();
        assert_eq!(error.fd(), Some(path.as_raw_fd()));
        drop(path);
        let _file = fs::File::open("/etc/passwd").unwrap();
        let _socket = UnixStream::pair().unwrap();
        assert_eq!(Jail::auto().enter().unwrap().open_directories(), autochroot::OpenDirectories::None);
    });
}

/// Files are opened through a directory that is registered in it, without a descriptor of the
/// directory.
#[test]
fn a_ring_is_refused_with_its_number_and_nothing_else_that_has_no_file() {
    own_process!();
    if ring().is_none() {
        return skipped("this kernel has no io_uring");
    }
    for filter in [None, Some(Errno::PERM), Some(Errno::ACCESS), Some(Errno::NOSYS), Some(Errno::IO)] {
        as_each_user(|_| {
            let ring = ring().unwrap();
            if let Some(errno) = filter {
                fake(libc::SYS_io_uring_enter, errno);
            }
            let error = Jail::auto().enter().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "cannot accept the open descriptors: descriptor {} is an io_uring; hint: close the io_uring: the \
                     process could open files through a directory that is registered in it",
                    ring.as_raw_fd()
                )
            );
            assert_eq!((error.fd(), error.is_partial()), (Some(ring.as_raw_fd()), false));
            assert_eq!(error.known_cause(), Some(autochroot::Cause::OpenRing));
            let _ = Jail::auto().allow_open_directories().enter().unwrap();
        });
    }
    for filter in [None, Some(Errno::PERM), Some(Errno::NOSYS)] {
        as_each_user(|_| {
            let others = unsafe {
                [libc::eventfd(0, 0), libc::epoll_create(1), libc::inotify_init(), libc::timerfd_create(0, 0)]
            };
            assert!(others.iter().all(|fd| *fd >= 0));
            if let Some(errno) = filter {
                fake(libc::SYS_io_uring_enter, errno);
            }
            assert!(Jail::auto().enter().unwrap().rings_checked());
        });
    }
    root_only!();
    as_user(User::Root, || {
        let _other = unsafe { libc::eventfd(0, 0) };
        fake(libc::SYS_io_uring_enter, Errno::PERM);
        own_mounts();
        mount_tmpfs(Path::new("/proc"), 0, "");
        assert!(!Jail::auto().enter().unwrap().rings_checked(), "nothing tells what it is");
    });
}

/// A process made by `clone` with these flags, as by a `fork`: it does `body` when it is told to,
/// and ends.
fn clone_sharing(flags: libc::c_int, body: impl FnOnce()) -> impl FnOnce() {
    let ((go, goes), (done, is_done)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    // SAFETY: without CLONE_VM it is a fork.
    if unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) } == 0 {
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
        (&goes).read_exact(&mut [0]).unwrap();
        body();
        (&is_done).write_all(b".").unwrap();
        unsafe { libc::_exit(0) };
    }
    move || {
        let _open = (&goes, &is_done); // the other process may share the descriptors
        (&go).write_all(b".").unwrap();
        (&done).read_exact(&mut [0]).unwrap();
    }
}

/// Without a thread, another process can share the root, the working directory and the descriptors:
/// it must not move ours, nor open anything for us.
#[test]
fn a_process_that_shares_root_or_descriptors_cannot_lead_out() {
    own_process!();
    for (flags, jail) in [libc::CLONE_FS, libc::CLONE_FILES, libc::CLONE_FS | libc::CLONE_FILES]
        .into_iter()
        .flat_map(|flags| [(flags, Jail::unlinked()), (flags, Jail::detached())])
    {
        // What shares the root is in the new one too: it leads out by a directory that it has open.
        let shares_root = flags & libc::CLONE_FS != 0;
        let lead_out = || {
            clone_sharing(flags, || unsafe {
                libc::fchdir(77);
                libc::dup2(77, 333);
            })
        };
        let open_77 = || unsafe {
            let directory = libc::open(c"/usr".as_ptr(), libc::O_PATH);
            assert_eq!((libc::dup2(directory, 77), libc::close(directory)), (77, 0));
        };
        // First from a jail as it is usually made: it works.
        as_user(plain(), || {
            open_77();
            lead_out()();
            let moved = std::env::current_dir().unwrap() == Path::new("/usr");
            let opened = unsafe { libc::fcntl(333, libc::F_GETFD) } == 0;
            assert_eq!((moved, opened), (shares_root, flags & libc::CLONE_FILES != 0));
        });
        as_each_user(|_| {
            open_77();
            let go = lead_out();
            if flags & libc::CLONE_FILES == 0 {
                unsafe { libc::close(77) };
            }
            let jailed = jail.allow_open_directories().enter().unwrap();
            assert!(jailed.is_unshared());
            go();
            jailed.verify().unwrap();
            assert!(fs::metadata("lib").is_err());
            assert_eq!(unsafe { libc::fcntl(333, libc::F_GETFD) }, -1);
        });
    }
}

#[test]
fn a_process_that_shares_the_memory_is_refused_and_named() {
    own_process!();
    extern "C" fn wait(_: *mut libc::c_void) -> i32 {
        unsafe { libc::pause() }
    }
    as_each_user(|_| {
        let stack = vec![0_u128; 4096].leak();
        let end = stack.as_mut_ptr_range().end.cast();
        // SAFETY: the stack is the other process's own, and it uses nothing else.
        let pid = unsafe { libc::clone(wait, end, libc::CLONE_VM | libc::SIGCHLD, std::ptr::null_mut()) };
        assert!(pid > 0);
        let error = Jail::auto().enter().unwrap_err();
        let cause = error.known_cause();
        unsafe {
            libc::kill(pid, libc::SIGKILL);
            libc::waitpid(pid, std::ptr::null_mut(), 0);
        }
        assert_eq!((error.step(), error.raw_os_error()), (Step::Threads, Some(libc::EINVAL)));
        assert_eq!(cause, Some(autochroot::Cause::SharedMemory));
        let _ = Jail::auto().enter().unwrap();
    });
}

/// The kernel counts it for a moment after `pthread_join` has returned.
#[test]
fn a_thread_that_was_just_joined_is_no_reason_to_refuse() {
    own_process!();
    as_each_user(|_| {
        for n in 0..400 {
            let pid = unsafe { libc::fork() };
            if pid == 0 {
                (0..8).for_each(|_| std::thread::spawn(|| ()).join().unwrap());
                let entered = Jail::auto().enter().is_ok();
                unsafe { libc::_exit(i32::from(!entered)) };
            }
            assert_eq!(exit_status(pid), 0, "entry {n}");
        }
    });
}

/// /proc/self is the first thread, whose descriptors are others.
#[test]
fn a_thread_with_descriptors_of_its_own_is_asked_for_those() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let look = || {
            assert_eq!(unsafe { libc::unshare(libc::CLONE_FILES | libc::CLONE_FS) }, 0);
            let directory = fs::File::open("/etc").unwrap();
            assert_eq!(unsafe { libc::dup2(directory.as_raw_fd(), 700) }, 700);
            drop(directory);
            let jail = Jail::auto().allow_threads();
            let error = jail.enter().unwrap_err();
            unsafe { libc::close(700) };
            (error.fd(), jail.enter().unwrap().open_directories())
        };
        let told = std::thread::spawn(look).join().unwrap();
        assert_eq!(told, (Some(700), autochroot::OpenDirectories::None));
    });
}

/// In the place of the look at descriptor 5, which is not open, or at 4, after which it is found, a
/// signal handler opens it: there is one more then than was counted, and the last, a directory, is
/// seen all the same.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_descriptor_that_a_signal_handler_opens_hides_none() {
    own_process!();
    extern "C" fn handler(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
        // SAFETY: the kernel gives a context of that type.
        let registers = unsafe { &mut (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs };
        let looks_at = registers[libc::REG_RDI as usize];
        unsafe { libc::dup2(0, 5) };
        registers[libc::REG_RAX as usize] = if looks_at == 5 {
            -i64::from(libc::EBADF)
        } else {
            let into = registers[libc::REG_RSI as usize];
            unsafe { libc::syscall(libc::SYS_newfstatat, looks_at, c"".as_ptr(), into, libc::AT_EMPTY_PATH) }
        };
    }
    if fs::metadata("/proc/self/fd").unwrap().len() == 0 {
        return skipped("this kernel does not count descriptors (Linux 6.2)");
    }
    for looks_at in [5, 4] {
        as_each_user(|_| {
            let directory = fs::File::open("/etc").unwrap();
            unsafe {
                assert_eq!(libc::dup2(directory.as_raw_fd(), 7), 7);
                drop(directory);
                close_range(3, 6, 0);
                assert_eq!((libc::dup2(0, 3), libc::dup2(0, 4), libc::close(0)), (3, 4, 0));
                assert_eq!(libc::dup2(3, 0), 0);
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = handler as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO;
                assert_eq!(libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()), 0);
            }
            trap_where(libc::SYS_fstat, looks_at);
            assert_eq!(Jail::auto().enter().unwrap_err().fd(), Some(7));
            assert_eq!(unsafe { libc::fcntl(5, libc::F_GETFD) }, 0, "the handler has run");
        });
    }
}

#[test]
fn without_proc_every_number_that_a_descriptor_can_have_is_looked_at() {
    own_process!();
    root_only!();
    as_user(User::Root, || {
        let limit = libc::rlimit { rlim_cur: 700, rlim_max: 700 };
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
        let high = unsafe { libc::fcntl(fs::File::open("/").unwrap().as_raw_fd(), libc::F_DUPFD, 650) };
        own_mounts();
        mount_tmpfs(Path::new("/proc"), 0, "");
        assert_eq!(Jail::auto().enter().unwrap_err().fd(), Some(high));
        // A /proc that lists nothing is none.
        fs::create_dir_all("/proc/self/fd").unwrap();
        assert_eq!(Jail::auto().enter().unwrap_err().fd(), Some(high));
        assert_eq!(unsafe { libc::close(high) }, 0);
        assert_eq!(Jail::auto().enter().unwrap().open_directories(), autochroot::OpenDirectories::NoneBelow(700));
    });
}

/// What is not /proc's own is not believed, nor is a call that a filter refuses taken for an
/// answer.
#[test]
fn no_open_directory_is_overlooked_where_proc_does_not_tell() {
    own_process!();
    fn open_directory() {
        let limit = libc::rlimit { rlim_cur: 64, rlim_max: 2000 };
        unsafe {
            assert_eq!(libc::fcntl(fs::File::open("/etc").unwrap().as_raw_fd(), libc::F_DUPFD, 1000), 1000);
            assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit), 0);
        }
    }
    as_each_user(|_| {
        open_directory();
        assert_eq!(Jail::auto().enter().unwrap_err().fd(), Some(1000));
    });
    #[cfg(target_pointer_width = "64")]
    let calls = [libc::SYS_statfs, libc::SYS_fstatfs, libc::SYS_getdents64];
    #[cfg(target_pointer_width = "32")]
    let calls = [libc::SYS_statfs64, libc::SYS_fstatfs64, libc::SYS_getdents64];
    for call in calls {
        as_each_user(|_| {
            open_directory();
            fake(call, Errno::PERM);
            let error = Jail::auto().enter().unwrap_err();
            assert_eq!((error.step(), error.raw_os_error()), (Step::Descriptors, Some(libc::EPERM)), "{call}");
        });
    }
    root_only!();
    // The size of an empty tmpfs is 40.
    as_user(User::Root, || {
        (0..60).for_each(|_| assert!(unsafe { libc::dup(0) } >= 0));
        let high = unsafe { libc::fcntl(fs::File::open("/etc").unwrap().as_raw_fd(), libc::F_DUPFD, 900) };
        own_mounts();
        mount_tmpfs(&Path::new("/proc").join(std::process::id().to_string()).join("fd"), 0, "");
        assert_eq!(Jail::auto().enter().unwrap_err().fd(), Some(high));
    });
}

/// The rows of the table that are open in a seal, so that none of them says more than is so.
#[test]
fn what_the_table_says_is_open_in_a_seal_is_open() {
    own_process!();
    let scratch = Scratch::new();
    let own = scratch.0.join("log");
    fs::write(&own, "text").unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o666)).unwrap();
    // Watching a directory that was received: fanotify and F_NOTIFY are refused.
    let watches: Attack = |outside| unsafe {
        libc::fchdir(outside.directory) == 0
            && libc::inotify_add_watch(libc::inotify_init(), c".".as_ptr(), libc::IN_CREATE) >= 0
            && libc::fcntl(outside.directory, libc::F_NOTIFY, 4) < 0
            && libc::syscall(libc::SYS_fanotify_init, 0x200, 0) < 0
    };
    assert!(roots().iter().all(|root| gets_out(plain(), Kind::Sealed, *root, watches)));
    as_each_user(|_| {
        // A kept descriptor of a log: what was written can be cut, unless it is a pipe.
        let mut log = fs::File::options().append(true).open(&own).unwrap();
        let mut terminal = [0; 2];
        let opened = unsafe {
            libc::openpty(
                &raw mut terminal[0],
                &raw mut terminal[1],
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null_mut(),
            )
        };
        let _sealed = Jail::auto().enter().unwrap().seal().unwrap();
        log.set_len(0).unwrap();
        log.write_all(b"other").unwrap();
        // An abstract name that somebody outside may connect to.
        use std::os::linux::net::SocketAddrExt;
        let name = format!("autochroot-open-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
        if opened == 0 {
            let size: libc::winsize = unsafe { std::mem::zeroed() };
            assert_eq!(unsafe { libc::ioctl(terminal[1], libc::TIOCSWINSZ, &raw const size) }, 0);
        }
    });
    assert_eq!(fs::read(&own).unwrap(), b"other");
}

/// Directories that are registered in it would still lead out (`IORING_OP_FIXED_FD_INSTALL`).
#[test]
fn a_ring_without_a_descriptor_is_found() {
    own_process!();
    const IORING_REGISTER_RING_FDS: usize = 20;
    as_each_user(|_| {
        // At any index.
        for index in [0, 7, 15] {
            let Some(ring) = ring() else { return skipped("this kernel has no io_uring") };
            let mut update = [u64::try_from(index).unwrap(), ring.as_raw_fd().unsigned_abs().into()];
            let args = (ring.as_raw_fd(), IORING_REGISTER_RING_FDS, update.as_mut_ptr());
            if unsafe { libc::syscall(libc::SYS_io_uring_register, args.0, args.1, args.2, 1) } != 1 {
                return skipped("this kernel registers no rings");
            }
            assert_eq!(Jail::unlinked().check().unwrap_err().fd(), Some(ring.as_raw_fd()));
            drop(ring);
            let before = std::env::current_dir().unwrap();
            let error = Jail::auto().enter().unwrap_err();
            assert_eq!((error.step(), error.fd(), error.is_partial()), (Step::Descriptors, None, false), "{error}");
            assert!(error.to_string().contains("an io_uring without a descriptor"), "{error}");
            assert_eq!(std::env::current_dir().unwrap(), before);
            const IORING_UNREGISTER_RING_FDS: usize = 21;
            const IORING_REGISTER_USE_REGISTERED_RING: usize = 1 << 31;
            let args = (index, IORING_UNREGISTER_RING_FDS | IORING_REGISTER_USE_REGISTERED_RING, update.as_mut_ptr());
            if unsafe { libc::syscall(libc::SYS_io_uring_register, args.0, args.1, args.2, 1) } != 1 {
                return; // from Linux 6.3 on
            }
        }
        let jailed = Jail::auto().enter().unwrap();
        assert!(jailed.rings_checked());
    });
}

/// Whoever has registered it can enable it later.
#[test]
fn a_disabled_ring_without_a_descriptor_is_found() {
    own_process!();
    const IORING_SETUP_R_DISABLED: u32 = 1 << 6;
    const IORING_REGISTER_RING_FDS: usize = 20;
    as_each_user(|_| {
        let mut parameters = [0_u32; 30];
        parameters[2] = IORING_SETUP_R_DISABLED;
        let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 4, parameters.as_mut_ptr()) };
        let Ok(ring @ 0..) = i32::try_from(ring) else { return skipped("this kernel has no io_uring") };
        let mut update = [u64::from(u32::MAX), ring.unsigned_abs().into()]; // at any index
        let registered = unsafe {
            libc::syscall(libc::SYS_io_uring_register, ring, IORING_REGISTER_RING_FDS, update.as_mut_ptr(), 1)
        };
        if registered != 1 {
            return skipped("this kernel registers no rings");
        }
        close_range(ring, ring, 0);
        let error = Jail::auto().enter().unwrap_err();
        assert_eq!((error.step(), error.fd(), error.is_partial()), (Step::Descriptors, None, false), "{error}");
        assert!(error.to_string().contains("an io_uring without a descriptor"), "{error}");
    });
}

/// The launcher's payload makes the same attacks, with what the launcher lets it have: by privilege
/// as root and as another user, and by a user namespace.
#[test]
fn no_attack_gets_out_of_the_launcher() {
    own_process!();
    powerful_payloads();
    let mut ways: Vec<(User, Option<u32>)> = users().into_iter().map(|user| (user, None)).collect();
    if is_root() {
        ways.push((User::Root, Some(SERVICE)));
    }
    for (user, service) in ways {
        for root in roots() {
            // It keeps no descriptor that signals another process.
            for (name, _) in ATTACKS.iter().filter(|(name, _)| !matches!(*name, "handle" | "sigio")) {
                // It closes directories before.
                let closed = matches!(*name, "directory" | "o_path" | "openat");
                if !closed && !is_held_back(name, user == User::Root && service.is_none()) {
                    skipped(&format!("{name}: Landlock of this kernel does not hold it back"));
                    continue;
                }
                let said = attack_from_the_launcher(user, service, &root.to_string(), name);
                assert!(said.ends_with(&format!("\n{name}: closed\n")), "{user:?} {service:?} {root}: {said}");
            }
        }
    }
}

fn attack_from_the_launcher(user: User, service: Option<u32>, root: &str, name: &str) -> String {
    let (launcher, payload) = (launcher(), payload());
    let uid = service.unwrap_or(if let User::Plain(id) = user { id } else { 0 });
    let parent = Scratch::new();
    ask_user(user, || {
        let stage = Stage::set(&parent, uid);
        let outside = &stage.outside;
        let socket = outside.socket.as_raw_fd();
        // All of them would be inherited.
        for fd in [outside.directory, outside.path, socket, outside.program, outside.capable] {
            assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) }, 0);
        }
        let digits = |handle: &[u8]| handle.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
        let attack = format!(
            "attack={name},{},{},{socket},{},{},{},{},{},{},{}",
            outside.directory,
            outside.path,
            outside.pid,
            std::str::from_utf8(&outside.listener).unwrap(),
            outside.program,
            outside.capable,
            outside.owner,
            digits(&outside.user_namespace),
            digits(&outside.mount_namespace),
        );
        let keep = format!("--keep-fds=0,1,2,{socket},{},{}", outside.program, outside.capable);
        let output = std::process::Command::new(launcher)
            .args([&*keep, "--quiet", "--root", root])
            .args(service.map(|id| format!("--user={id}:{id}")))
            .args(["--".as_ref(), payload.as_os_str(), attack.as_ref()])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    })
}
