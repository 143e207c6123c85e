//! Account files, `User::find_in`: a user who is found has the ids that the C library finds, and no
//! group that it does not find. A group whose id is malformed is left out. The files are in `/etc`:
//! run this in a mount namespace with a tmpfs there.
#![no_main]

use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;

use autochroot::{Gid, User};

const NAME: &str = "svc";

/// The ids and the supplementary groups that the C library finds.
fn of_the_c_library() -> Option<(u32, u32, BTreeSet<u32>)> {
    let name = CString::new(NAME).unwrap();
    // SAFETY: the name is a C string, and one thread uses the entry before the next call.
    unsafe {
        let entry = libc::getpwnam(name.as_ptr()).as_ref()?;
        let mut groups = [0; 1024];
        let mut count = 1024;
        assert!(libc::getgrouplist(name.as_ptr(), entry.pw_gid, groups.as_mut_ptr(), &raw mut count) >= 0);
        let groups = groups[..usize::try_from(count).unwrap()].iter().copied();
        Some((entry.pw_uid, entry.pw_gid, groups.collect()))
    }
}

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    // A byte that no account file has separates the two.
    let (passwd, group) = match content.iter().position(|&byte| byte == 0xff) {
        Some(end) => (&content[..end], &content[end + 1..]),
        None => (content, &b""[..]),
    };
    fs::write("/etc/passwd", passwd).unwrap();
    fs::write("/etc/group", group).unwrap();
    let mut room = [Gid::ROOT; 1024];
    match User::find_in(NAME, &mut room) {
        Ok(user) => {
            let (uid, gid, groups) = of_the_c_library().expect("the C library finds no such user");
            let own: BTreeSet<u32> = user.groups().iter().map(|gid| gid.as_raw()).chain([user.gid().as_raw()]).collect();
            assert_eq!((user.uid().as_raw(), user.gid().as_raw()), (uid, gid));
            assert!(own.is_subset(&groups), "{own:?}, {groups:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
