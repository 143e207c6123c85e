//! Programs that a test runs.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{User, close_range, is_root, new_directory, raw};

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

/// Has it start as `user`.
pub fn start_as(command: &mut Command, user: User) {
    if let (User::Plain(id), true) = (user, is_root()) {
        command.uid(id).gid(id);
    }
}

/// The launcher, at a path that every user can reach.
pub fn launcher() -> &'static Path {
    static COPY: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    COPY.get_or_init(|| ready("autochroot").unwrap_or_else(|| reachable(Path::new(env!("CARGO_BIN_EXE_autochroot")))))
}

/// This program of `AUTOCHROOT_PROGRAMS`, a directory that a machine without a compiler has.
fn ready(name: &str) -> Option<PathBuf> {
    std::env::var_os("AUTOCHROOT_PROGRAMS").map(|directory| reachable(&Path::new(&directory).join(name)))
}

/// A static program: `tests/payload/payload.rs`.
pub fn payload() -> &'static Path {
    static BUILT: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    BUILT.get_or_init(|| compile("payload"))
}

/// Returns whether the payload is there or can be made.
pub fn has_payload() -> bool {
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    ready("payload").is_some() || Command::new(rustc).arg("-V").output().is_ok()
}

/// A static program of `tests/payload/`.
pub fn compile(name: &str) -> PathBuf {
    compile_with(name, &[])
}

/// The same, with these options of the compiler. Each test program compiles it once, and again if a
/// source changes.
pub fn compile_with(name: &str, options: &[&str]) -> PathBuf {
    if let Some(program) = ready(name) {
        return program;
    }
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payload");
    let source = sources.join(format!("{name}.rs"));
    let mut files: Vec<_> = std::fs::read_dir(sources).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let contents: Vec<_> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    // The path of the tests depends on the compiler.
    let made_of = (contents, options, std::env::var_os("RUSTC"), std::env::current_exe().unwrap());
    built_once(name, made_of, |program, _| {
        let mut compiler = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()));
        compiler.args(["--edition=2024", "-Ctarget-feature=+crt-static", "-Cpanic=abort", "-Copt-level=s", "-o"]);
        let status = compiler.args([program, &source]).args(options).status().unwrap();
        assert!(status.success(), "rustc: {status}");
    })
}

/// Has `build` make the program from this, in a directory of its own, unless it is there. Other
/// processes wait.
fn built_once(name: &str, made_of: impl Hash, build: impl FnOnce(&Path, &Path)) -> PathBuf {
    let mut hash = DefaultHasher::new();
    made_of.hash(&mut hash);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{:x}", hash.finish()));
    std::fs::create_dir_all(&directory).unwrap();
    let lock = std::fs::File::create(directory.join("lock")).unwrap();
    assert_eq!(unsafe { libc::flock(raw(&lock), libc::LOCK_EX) }, 0);
    let program = directory.join(name);
    if !program.exists() {
        let part = directory.join("part");
        build(&part, &directory);
        std::fs::rename(part, &program).unwrap();
    }
    reachable(&program)
}

/// The static program `tests/payload/tls.go`; `None` without a compiler.
pub fn compile_go() -> Option<&'static Path> {
    static BUILT: std::sync::OnceLock<Option<PathBuf>> = std::sync::OnceLock::new();
    let build = || {
        if !have("go") {
            return None;
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payload/tls.go");
        Some(built_once("tls", std::fs::read(&source).unwrap(), |program, directory| {
            let mut go = Command::new("go");
            go.env("CGO_ENABLED", "0").env("GOCACHE", directory.join("cache")).args(["build", "-o"]);
            assert!(go.arg(program).arg(source).status().unwrap().success());
        }))
    };
    BUILT.get_or_init(build).as_deref()
}

/// Returns whether `rustc` can build for this target.
pub fn have_target(target: &str) -> bool {
    let output = Command::new(std::env::var_os("RUSTC").unwrap_or("rustc".into()))
        .args(["--print", "target-libdir", "--target", target])
        .output();
    output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).exists())
}

/// A path at which all can execute the program, and that goes when the test ends: a link if that
/// will do, else a copy.
pub fn reachable(program: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    static DIRECTORY: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    extern "C" fn remove() {
        if let Some(directory) = DIRECTORY.get() {
            let _ = std::fs::remove_dir_all(directory);
        }
    }
    let directory = DIRECTORY.get_or_init(|| {
        let path = new_directory("programs");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        // SAFETY: the function is safe to call at exit.
        unsafe { libc::atexit(remove) };
        path
    });
    // Each in a directory of its own: programs for two processors have the same name.
    let directory = directory.join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
    std::fs::create_dir(&directory).unwrap();
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    let reachable = directory.join(program.file_name().unwrap());
    let mode = std::fs::metadata(program).unwrap().permissions().mode();
    if mode & 0o7777 != 0o755 || std::fs::hard_link(program, &reachable).is_err() {
        copy_program(program, &reachable, 0o755);
    }
    reachable
}

/// Copies a program by `cp`: if this process wrote the copy, a fork of another test could hold the
/// descriptor, and executing the copy would fail with `ETXTBSY`.
pub fn copy_program(program: &Path, copy: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    assert!(Command::new("cp").arg(program).arg(copy).status().unwrap().success());
    std::fs::set_permissions(copy, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns whether there is such a program.
pub fn have(program: &str) -> bool {
    Command::new("sh").args(["-c", &format!("command -v {program}")]).output().is_ok_and(|found| found.status.success())
}

/// Gives the file of a program these capabilities.
pub fn set_file_capabilities(path: &Path, capabilities: u64) {
    // Version 2, effective; permitted and inheritable, twice 32 bits.
    let low = u32::try_from(capabilities & 0xffff_ffff).unwrap();
    let high = u32::try_from(capabilities >> 32).unwrap();
    let bytes: Vec<u8> = [0x0200_0001_u32, low, 0, high, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let name = c"security.capability";
    let set = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), bytes.as_ptr().cast(), bytes.len(), 0) };
    assert_eq!(set, 0, "setxattr: {}", std::io::Error::last_os_error());
}
