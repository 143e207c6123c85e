//! The library does not allocate.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "an allocator that counts, and calls that std does not have")]

#[macro_use]
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use autochroot::{Capabilities, Jail, Seal};
use common::*;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How often `action` allocates. In a fork there is no other thread that could.
fn allocations<T>(action: impl FnOnce() -> T) -> (usize, T) {
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let returned = action();
    (ALLOCATIONS.load(Ordering::Relaxed) - before, returned)
}

/// Text in an array.
struct Line([u8; 1024], usize);

impl Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.get_mut(self.1..self.1 + text.len()).ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.1 += text.len();
        Ok(())
    }
}

#[test]
fn a_way_into_a_sealed_jail_allocates_nothing() {
    own_process!();
    as_each_user(|user| {
        set_tmpdir(None);
        assert_eq!(allocations(|| Box::new(1)).0, 1, "it counts");
        let (uid, gid) = if let User::Plain(id) = user { (id, id) } else { (12345, 12345) };
        let (count, sealed) = allocations(|| {
            let jail = Jail::parse(b"auto")?;
            let jailed = jail.enter()?.run_as(&account(uid, gid, &[]))?;
            jailed.verify()?;
            jailed.seal_with(Seal::new().keep(Capabilities::NONE)).map_err(Box::<dyn std::error::Error>::from)
        });
        sealed.unwrap();
        assert_eq!(count, 0);
    });
}

#[test]
fn a_detached_root_and_a_check_allocate_nothing() {
    own_process!();
    as_each_user(|_| {
        for tmpdir in [Some(Path::new("/tmp")), None] {
            set_tmpdir(tmpdir);
            let (count, check) = allocations(|| Jail::unlinked().check());
            assert_eq!((check.unwrap().parent() == Some("$TMPDIR"), count), (tmpdir.is_some(), 0));
        }
        let (count, jailed) = allocations(|| Jail::detached().enter());
        let _ = jailed.unwrap();
        assert_eq!(count, 0);
    });
}

#[test]
fn a_long_path_allocates_nothing() {
    own_process!();
    as_each_user(|_| {
        let parent = format!("/{}dev/shm", "./".repeat(2000));
        let (count, check) = allocations(|| Jail::directory(parent.as_bytes()).check());
        check.unwrap();
        assert_eq!(count, 0);
        let (count, jailed) = allocations(|| Jail::unlinked_in(parent.as_bytes()).enter());
        let _ = jailed.unwrap();
        assert_eq!(count, 0);
    });
}

#[test]
fn a_refusal_and_its_text_and_cause_allocate_nothing() {
    own_process!();
    as_each_user(|_| {
        set_tmpdir(None);
        let mut line = Line([0; 1024], 0);
        let (count, ()) = allocations(|| {
            let error = Jail::parse(b"unlinked /nowhere").unwrap().enter().unwrap_err();
            let cause = error.known_cause();
            write!(line, "{error} {cause:?}").unwrap();
            write!(line, "{}", Capabilities::from_bits(u64::MAX)).unwrap();
        });
        assert_eq!(count, 0);
        assert!(line.0.starts_with(b"cannot use the parent directory: ENOENT"));
    });
}
