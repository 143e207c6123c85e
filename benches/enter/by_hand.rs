//! The functions of `c.c`.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

type Function = unsafe extern "C" fn(*const libc::c_char, libc::c_int) -> libc::c_int;

pub struct ByHand {
    pub library: PathBuf,
    pub same: Entry,
    pub fewest: Entry,
    pub haproxy: Entry,
}

#[derive(Clone, Copy)]
pub struct Entry(Function);

/// What `same` can leave out.
pub const WITHOUT: [(libc::c_int, &str); 6] = [
    (1, "the look for threads"),
    (2, "the look for open directories"),
    (4, "the saved working directory"),
    (8, "the look whether it is unlinked"),
    (16, "the verification"),
    (32, "the id maps"),
];

impl Entry {
    pub fn enter(self, parent: &str, without: libc::c_int) -> Result<(), String> {
        let parent = CString::new(parent).unwrap();
        // SAFETY: the path is a C string.
        match unsafe { self.0(parent.as_ptr(), without) } {
            0 => Ok(()),
            step => Err(format!("C, step {step}: {}", std::io::Error::last_os_error())),
        }
    }
}

/// `None`: there is no C compiler.
pub fn compile(scratch: &Path) -> Option<ByHand> {
    let library = scratch.join("c.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/enter/c.c");
    let compiled = Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    if !compiled.is_ok_and(|status| status.success()) {
        println!("There is no C compiler: the rows of C are missing.\n");
        return None;
    }
    Some(load(&library))
}

pub fn load(library: &Path) -> ByHand {
    let path = CString::new(library.as_os_str().as_bytes()).unwrap();
    let file = library.to_owned();
    // SAFETY: the functions of `c.c` have this type, and the library stays.
    unsafe {
        let library = libc::dlopen(path.as_ptr(), libc::RTLD_NOW);
        assert!(!library.is_null());
        let [same, fewest, haproxy] = [c"same", c"fewest", c"haproxy"].map(|name| {
            let function = libc::dlsym(library, name.as_ptr());
            assert!(!function.is_null());
            Entry(std::mem::transmute::<*mut libc::c_void, Function>(function))
        });
        ByHand { library: file, same, fewest, haproxy }
    }
}
