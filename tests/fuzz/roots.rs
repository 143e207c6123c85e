//! The words for a root, `Jail::parse`: each text always gives the same jail, or an error with a text.
#![no_main]

use autochroot::Jail;

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    match Jail::parse(text) {
        Ok(jail) => assert_eq!(format!("{jail:?}"), format!("{:?}", Jail::parse(text).unwrap())),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
