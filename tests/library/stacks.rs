//! The stack that the library needs: each call runs on a small one with a guard page below.

use std::cell::RefCell;

use autochroot::{Jail, NamedFile};

use crate::common::*;

thread_local! {
    static BODY: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// Runs `body` on a stack of this many bytes. One that is too small ends the process by `SIGSEGV`.
fn on_a_stack_of(bytes: usize, body: impl FnOnce() + 'static) {
    extern "C" fn run() {
        let body = BODY.with_borrow_mut(Option::take).unwrap();
        body();
    }
    const PAGE: usize = 4096;
    BODY.with_borrow_mut(|place| *place = Some(Box::new(body)));
    // SAFETY: the contexts are filled before they are used, and the stack outlives `run`.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let memory = libc::mmap(std::ptr::null_mut(), bytes + PAGE, libc::PROT_NONE, flags, -1, 0);
        assert_ne!(memory, libc::MAP_FAILED);
        let stack = memory.byte_add(PAGE);
        assert_eq!(libc::mprotect(stack, bytes, libc::PROT_READ | libc::PROT_WRITE), 0);
        let (mut here, mut there) = (std::mem::zeroed::<libc::ucontext_t>(), std::mem::zeroed::<libc::ucontext_t>());
        assert_eq!(libc::getcontext(&raw mut there), 0);
        (there.uc_stack.ss_sp, there.uc_stack.ss_size) = (stack, bytes);
        there.uc_link = &raw mut here;
        libc::makecontext(&raw mut there, run, 0);
        assert_eq!(libc::swapcontext(&raw mut here, &raw const there), 0);
    }
}

#[test]
fn an_entry_takes_less_than_4_kib() {
    own_process!();
    as_each_user(|_| {
        on_a_stack_of(4096, || {
            std::mem::forget(Jail::auto().enter().unwrap());
        });
    });
    as_each_user(|_| {
        on_a_stack_of(4096, || {
            std::mem::forget(Jail::unlinked().enter().unwrap());
        });
    });
}

#[test]
fn a_refusal_takes_less_than_4_kib() {
    own_process!();
    as_user(plain(), || {
        fake(libc::SYS_unshare, rustix::io::Errno::PERM);
        on_a_stack_of(4096, || assert!(Jail::auto().enter().unwrap_err().known_cause().is_some()));
        on_a_stack_of(4096, || assert!(Jail::unlinked().enter().unwrap_err().known_cause().is_some()));
    });
    as_each_user(|_| {
        let _directory = std::fs::File::open("/").unwrap();
        on_a_stack_of(4096, || assert!(Jail::auto().enter().unwrap_err().fd().is_some()));
    });
}

#[test]
fn everything_takes_less_than_16_kib() {
    own_process!();
    as_each_user(|user| {
        let id = if let User::Plain(id) = user { id } else { 7 };
        on_a_stack_of(16_384, move || {
            let jail = Jail::unlinked_in(b"/dev/shm");
            std::mem::forget(jail.enter_as(&account(id, id, &[])).and_then(autochroot::Jailed::seal).unwrap());
        });
    });
    as_each_user(|_| {
        on_a_stack_of(16_384, || {
            const FILES: &[NamedFile<'_>] = &[NamedFile::copy(b"/etc/passwd", b"/etc/passwd")];
            std::mem::forget(Jail::detached().files(FILES).enter().and_then(autochroot::Jailed::seal).unwrap());
        });
    });
    as_each_user(|_| {
        on_a_stack_of(16_384, || {
            let _ = autochroot::User::find("root").map(|user| user.uid());
            let _ = Jail::unlinked_in(b"/nowhere").check();
            assert!(Jail::unlinked_in(b"/nowhere").enter().is_err());
        });
    });
}
