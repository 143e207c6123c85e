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

/// Sets or removes TMPDIR, in a fork: by the C library, since some thread may have held std's lock
/// when the fork was made.
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
