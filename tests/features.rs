//! What a feature leaves out takes code with it, and no check: these run with any choice of them.
#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "calls that std does not have")]

#[macro_use]
mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;

use autochroot::{Capabilities, Jail, ParseError, Protection, Root, Seal, Step};
use common::*;

const USERNS: bool = cfg!(feature = "userns");

#[test]
fn root_enters_in_every_build_and_others_with_userns() {
    own_process!();
    as_each_user(|user| match Jail::unlinked().enter() {
        Ok(jailed) => {
            assert!(USERNS || user == User::Root);
            assert!(fs::read_dir("/").unwrap().next().is_none() && fs::metadata("/").unwrap().nlink() == 0);
            assert!(fs::create_dir("/x").is_err() && fs::metadata("/etc").is_err());
            jailed.verify().unwrap();
        }
        Err(error) => {
            assert!(!USERNS && user != User::Root, "{error}");
            assert_eq!((error.step(), error.raw_os_error()), (Step::Chroot, Some(libc::EPERM)));
            assert!(!error.is_partial() && fs::metadata("/etc").is_ok());
        }
    });
}

#[test]
fn every_check_before_the_entry_is_made_in_every_build() {
    own_process!();
    as_each_user(|_| {
        let directory = fs::File::open("/").unwrap();
        assert_eq!(Jail::unlinked().enter().unwrap_err().fd(), Some(raw(&directory)));
        drop(directory);
        let thread = Thread::start();
        assert_eq!(Jail::unlinked().enter().unwrap_err().step(), Step::Threads);
        drop(thread);
        assert_eq!(Jail::unjailed().or(Jail::unlinked()).enter().unwrap_err().step(), Step::Options);
    });
}

#[test]
fn a_seal_has_every_protection_but_the_one_that_is_left_out() {
    own_process!();
    root_only!();
    let landlock = cfg!(feature = "landlock") && landlock_abi().is_some();
    as_user(User::Root, || {
        let sealed = Jail::unlinked().enter().unwrap().run_as(&account(7, 8, &[])).unwrap().seal().unwrap();
        for protection in Protection::ALL {
            assert_eq!(sealed.has(protection), protection != Protection::Landlock || landlock, "{protection}");
        }
        assert_eq!((sealed.capabilities(), held()), (Capabilities::NONE, 0));
    });
    as_user(User::Root, || {
        let sealed = Jail::unlinked().enter().unwrap().seal_with(Seal::new().require(Protection::Landlock));
        assert_eq!(sealed.map_err(|error| error.step()).is_ok(), landlock);
    });
}

#[test]
fn a_root_that_is_left_out_is_an_error_where_it_is_named() {
    own_process!();
    for (name, root, is_here) in
        [("detached", Root::Detached, cfg!(feature = "detached")), ("failfs", Root::Failfs, cfg!(feature = "failfs"))]
    {
        let expected = if is_here { Ok(root) } else { Err(ParseError::LeftOut) };
        assert_eq!(Jail::try_from(name).map(|jail| jail.root()), expected);
        let list = format!("unlinked,{name}");
        assert_eq!(Jail::try_from(&*list).map(|jail| jail.root()), expected.map(|_| Root::Unlinked));
    }
}

#[test]
fn an_error_ends_with_the_remedy_unless_hints_are_left_out() {
    own_process!();
    as_each_user(|_| {
        let directory = fs::File::open("/").unwrap();
        let error = Jail::unlinked().enter().unwrap_err();
        let fault = format!("cannot accept the open descriptors: descriptor {} is a directory", raw(&directory));
        let hint = "; hint: close the directory: the process could leave the jail through it";
        let hints = cfg!(feature = "hints");
        assert_eq!(error.to_string(), if hints { format!("{fault}{hint}") } else { fault });
        assert_eq!(error.known_cause().is_some(), hints);
        keep_only(Capabilities::NONE);
        assert_eq!(Protection::Securebits.cause().is_some(), hints);
    });
}

/// Only std's environment is asked.
#[test]
fn tmpdir_is_a_parent_with_std_only() {
    own_process!();
    root_only!();
    let scratch = Scratch::new();
    as_user(User::Root, || {
        set_tmpdir(Some(&scratch.0));
        let expected = if cfg!(feature = "std") { "$TMPDIR" } else { "/dev/shm" };
        assert_eq!(Jail::unlinked().enter().unwrap().parent(), Some(expected));
    });
}

/// The crate `libc` and the words of a program keep their meaning.
#[test]
fn a_glob_import_hides_nothing() {
    mod program {
        #[allow(unused_imports, reason = "it must not be used")]
        use autochroot::*;
        pub(super) fn pid() -> i32 {
            unsafe { libc::getpid() }
        }
    }
    assert_eq!(u32::try_from(program::pid()), Ok(std::process::id()));
}
