//! What the guide says of a program's life inside: backtraces, and files that are still open.

use std::backtrace::Backtrace;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, Write as _};
use std::process::{Command, Stdio};

use autochroot::Jail;

use crate::common::*;

#[test]
fn a_backtrace_has_names_if_one_was_captured_before() {
    own_process!();
    as_each_user(|_| {
        assert!(Backtrace::force_capture().to_string().contains("inside::"));
        let _sealed = Jail::auto().enter().unwrap().seal().unwrap();
        assert!(fs::read("/proc/self/maps").is_err());
        assert!(Backtrace::force_capture().to_string().contains("inside::"));
    });
}

#[test]
fn a_kept_descriptor_shows_an_edit_in_place_and_not_a_rename() {
    own_process!();
    as_each_user(|user| {
        let path = std::env::temp_dir().join(format!("autochroot-kept-{user:?}-{}", std::process::id()));
        fs::write(&path, "first").unwrap();
        // The editor is outside.
        let script =
            "read _; printf second >$0; echo; read _; printf third >$0.new; mv $0.new $0; cat $0; echo; read _; rm $0";
        let mut editor = Command::new("sh");
        editor.args(["-c", script]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut editor = editor.spawn().unwrap();
        let (mut stdin, mut stdout) = (editor.stdin.take().unwrap(), BufReader::new(editor.stdout.take().unwrap()));
        let mut edit = || {
            stdin.write_all(b"\n").unwrap();
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            line
        };
        let mut file = File::open(&path).unwrap();
        let mut read = || {
            let mut text = String::new();
            file.rewind().unwrap();
            file.read_to_string(&mut text).unwrap();
            text
        };
        let _sealed = Jail::auto().enter().unwrap().seal().unwrap();
        assert_eq!(read(), "first");
        edit();
        assert_eq!(read(), "second");
        assert_eq!(edit(), "third\n");
        assert_eq!(read(), "second");
        drop(stdin);
        editor.wait().unwrap();
    });
}
