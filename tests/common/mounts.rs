//! Mounts and directories of a test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Gives the process its own mount namespace, so that its mounts are not seen elsewhere.
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

/// Sets or removes TMPDIR.
pub fn set_tmpdir(path: Option<&Path>) {
    // SAFETY: no other thread reads the environment meanwhile: see `process.rs`.
    match path {
        Some(path) => unsafe { std::env::set_var("TMPDIR", path) },
        None => unsafe { std::env::remove_var("TMPDIR") },
    }
}

/// Creates a directory whose name nobody else has.
pub fn new_directory(purpose: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("autochroot-{purpose}-{}-{count}", std::process::id()));
        match std::fs::create_dir(&path) {
            // Of a process that was killed, or of one in another PID namespace.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            created => return created.map(|()| path).unwrap(),
        }
    }
}

/// A directory for one test, sticky and open to all like /tmp; removed at the end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Scratch {
        use std::os::unix::fs::PermissionsExt;
        let path = new_directory("test");
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
