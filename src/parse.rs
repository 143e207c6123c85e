//! The words for a jail in a configuration file: `auto`, kinds of root, `/`, a directory.

use core::fmt;

use crate::features::LINUX;
use crate::jail::Jail;
use crate::root::{Root, Roots};
use crate::text::debug_is_display;

/// The reason why a text describes no jail.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ParseError {
    /// The text is empty.
    Empty,
    /// The text is neither one of the words nor an absolute path.
    NotAbsolute,
    /// The parent is not an absolute path.
    RelativeParent,
    /// The path has a NUL byte.
    Nul,
    /// The path has 4096 bytes or more.
    TooLong,
    /// A parent follows a root that has none. Only `auto` and `unlinked` have one.
    NoParent,
    /// The root is `detached` or `failfs`, which exist on Linux only.
    NotHere,
    /// The root is `detached` or `failfs`, and its Cargo feature is left out of this build.
    LeftOut,
    /// A list has something else than `unlinked`, `detached` and `failfs`, or one of them twice.
    BadList,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParseError::Empty => "empty: auto, unlinked, detached, failfs, / or an absolute path is needed",
            ParseError::NotAbsolute => "neither auto, unlinked, detached, failfs, / nor an absolute path",
            ParseError::RelativeParent => "the parent must be an absolute path",
            ParseError::Nul => "a path with a NUL byte",
            ParseError::TooLong => "a path of more than 4095 bytes",
            ParseError::NoParent => "a parent is for auto and unlinked only",
            ParseError::NotHere => "detached and failfs exist on Linux only",
            ParseError::LeftOut => "this root is left out of this build",
            ParseError::BadList => "a list is of unlinked, detached and failfs, each once",
        })
    }
}

debug_is_display!(ParseError);

impl core::error::Error for ParseError {}

impl<'a> Jail<'a> {
    /// Returns the jail that a configuration names:
    ///
    /// - `auto`: [`Jail::auto`];
    /// - `unlinked`, `detached`, `failfs`: that kind of root (the last two on Linux only);
    /// - a list of these, such as `detached,unlinked`: the first that is available, see
    ///   [`Jail::or`];
    /// - `/`: no jail;
    /// - any other absolute path: that directory.
    ///
    /// After `auto`, `unlinked` and lists with `unlinked`, the parent may follow, separated by
    /// blanks. `auto PARENT` means `unlinked PARENT`, and takes no files: write
    /// `detached,unlinked PARENT` to try a detached root first. Blanks before the word, and blanks
    /// or a line end after it, are not removed: trim the line first.
    ///
    /// ```
    /// use autochroot::{Jail, ParseError};
    ///
    /// let jail = Jail::parse(b"auto /run/lock")?;
    /// assert_eq!(jail.to_string(), "auto /run/lock");
    /// assert_eq!(Jail::parse(b"var/empty").unwrap_err(), ParseError::NotAbsolute);
    /// # Ok::<(), ParseError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ParseError`]. [`check`](Jail::check) finds out whether a directory exists.
    pub fn parse(text: &'a [u8]) -> Result<Self, ParseError> {
        let (word, rest) = match text.iter().position(|&byte| byte == b' ' || byte == b'\t') {
            Some(end) if !text.starts_with(b"/") => text.split_at(end),
            _ => (text, &b""[..]),
        };
        let jail = match word {
            b"" if text.is_empty() => return Err(ParseError::Empty),
            b"auto" => Jail::auto(),
            b"/" => Jail::unjailed(),
            path if path.starts_with(b"/") => return absolute(path).map(Jail::directory),
            kinds => Jail::of(list(kinds)?),
        };
        match rest.trim_ascii_start() {
            [] => Ok(jail),
            _ if !jail.plan.roots.all().any(|root| root.facts().has_parent) => Err(ParseError::NoParent),
            parent => jail.in_checked_parent(parent),
        }
    }

    /// [`unlinked_in`](Jail::unlinked_in) for this jail. For the launcher.
    ///
    /// # Errors
    ///
    /// The path is invalid.
    #[doc(hidden)]
    pub fn in_checked_parent(self, parent: &'a [u8]) -> Result<Self, ParseError> {
        match absolute(parent) {
            Err(ParseError::NotAbsolute) => Err(ParseError::RelativeParent),
            parent => parent.map(|parent| self.in_parent(parent)),
        }
    }
}

fn list(kinds: &[u8]) -> Result<Roots, ParseError> {
    let mut words = kinds.split(|&byte| byte == b',');
    let is_word = |word: &[u8]| word == b"auto" || Root::made(word).is_some();
    let first = match kind(words.next().unwrap_or_default()) {
        Err(ParseError::NotAbsolute) if kinds.contains(&b',') && kinds.split(|&byte| byte == b',').any(is_word) => {
            return Err(ParseError::BadList);
        }
        first => first?,
    };
    words.try_fold(Roots::one(first), |roots, word| match kind(word) {
        Ok(root) if !roots.has(root) => roots.or(root).ok_or(ParseError::BadList),
        Err(missing @ (ParseError::NotHere | ParseError::LeftOut)) => Err(missing),
        Ok(_) | Err(_) => Err(ParseError::BadList),
    })
}

fn kind(word: &[u8]) -> Result<Root, ParseError> {
    match Root::made(word) {
        Some(root) if root.facts().is_here => Ok(root),
        Some(_) => Err(if LINUX { ParseError::LeftOut } else { ParseError::NotHere }),
        None => Err(ParseError::NotAbsolute),
    }
}

fn absolute(path: &[u8]) -> Result<&[u8], ParseError> {
    if !path.starts_with(b"/") {
        Err(ParseError::NotAbsolute)
    } else if path.contains(&0) {
        Err(ParseError::Nul)
    } else if path.len() >= 4096 {
        Err(ParseError::TooLong)
    } else {
        Ok(path)
    }
}

impl<'a> TryFrom<&'a str> for Jail<'a> {
    type Error = ParseError;

    /// Calls [`parse`](Jail::parse).
    fn try_from(text: &'a str) -> Result<Self, ParseError> {
        Jail::parse(text.as_bytes())
    }
}

/// Displays the jail as [`parse`](Jail::parse) reads it. Bytes of a path that are not UTF-8 become
/// U+FFFD. Other options are not shown.
impl fmt::Display for Jail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        match self.root() {
            _ if self.auto => f.write_str("auto")?,
            Root::Unlinked | Root::Detached | Root::Failfs => {
                for root in self.plan.roots.all() {
                    f.write_str(before)?;
                    f.write_str(root.name())?;
                    before = ",";
                }
            }
            Root::Directory => {}
            Root::Unjailed => f.write_str("/")?,
        }
        let Some(path) = self.path else { return Ok(()) };
        if self.root() != Root::Directory {
            f.write_str(" ")?;
        }
        for chunk in path.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::{DETACHED, FAILFS};

    #[test]
    fn what_is_read_is_written() {
        for text in [
            "auto",
            "auto /run",
            "unlinked",
            "unlinked /a b",
            "/",
            "/var/empty",
            "/ /",
            "//",
            "/var/empty auto",
            "/\u{e9}",
        ] {
            assert_eq!(Jail::try_from(text).unwrap().to_string(), text);
        }
        assert_eq!(Jail::parse(b"auto \t /x ").unwrap().to_string(), "auto /x ");
        assert_eq!(Jail::parse(b"auto ").unwrap().to_string(), "auto");
        assert_eq!(Jail::parse(b"/\xff").unwrap().to_string(), "/\u{fffd}");
        if DETACHED && FAILFS {
            for text in ["detached", "detached,failfs", "failfs,unlinked,detached /run", "unlinked,detached"] {
                assert_eq!(Jail::parse(text.as_bytes()).unwrap().to_string(), text);
            }
        }
    }

    #[test]
    fn auto_tries_every_root_of_this_build() {
        let roots = Jail::auto().plan.roots;
        let has = [Root::Detached, Root::Unlinked, Root::Failfs].map(|root| roots.has(root));
        assert_eq!(has, [DETACHED, true, FAILFS]);
    }

    #[test]
    fn what_describes_no_jail_is_refused() {
        let missing = if LINUX { ParseError::LeftOut } else { ParseError::NotHere };
        let long = [b"/".repeat(4096), b"auto ".to_vec(), b"/".repeat(4096)].concat();
        for (text, error) in [
            (&b""[..], ParseError::Empty),
            (b" ", ParseError::NotAbsolute),
            (b" auto", ParseError::NotAbsolute),
            (b"auto\n", ParseError::NotAbsolute),
            (b"Auto", ParseError::NotAbsolute),
            (b"auto run", ParseError::RelativeParent),
            (b"auto\0", ParseError::NotAbsolute),
            (b"auto /\0", ParseError::Nul),
            (b"/\0", ParseError::Nul),
            (b"var/empty", ParseError::NotAbsolute),
            (b"none", ParseError::NotAbsolute),
            (b"failfs /run", if FAILFS { ParseError::NoParent } else { missing }),
            (b"detached /run", if DETACHED { ParseError::NoParent } else { missing }),
            (b"unlinked,", ParseError::BadList),
            (b",unlinked", ParseError::BadList),
            (b"unlinked,unlinked", ParseError::BadList),
            (b"unlinked,auto", ParseError::BadList),
            (b"auto,unlinked", ParseError::BadList),
            (b"unlinked,/", ParseError::BadList),
            (b"unlinked, failfs", ParseError::BadList),
            (&long[..4096], ParseError::TooLong),
            (&long[4096..], ParseError::TooLong),
        ] {
            assert_eq!(Jail::parse(text).unwrap_err(), error, "{:?}", text.escape_ascii().to_string());
            assert_eq!(std::format!("{error:?}"), error.to_string());
        }
    }

    /// Every text of up to six of these bytes and words: no panic, and what is read is written.
    #[test]
    #[cfg_attr(miri, ignore = "takes minutes")]
    fn a_million_texts_are_read_or_refused() {
        let parts: [&[u8]; 10] =
            [b"auto", b"unlinked", b"detached", b"failfs", b",", b"/", b" ", b"\t", b"\0", b"\xc3"];
        let mut read = 0;
        for number in 0..10_u32.pow(6) {
            let mut text = Vec::new();
            let mut rest = number;
            while rest > 0 {
                text.extend_from_slice(parts[(rest % 10) as usize]);
                rest /= 10;
            }
            let Ok(jail) = Jail::parse(&text) else { continue };
            read += 1;
            let written = jail.to_string();
            if std::str::from_utf8(&text).is_ok() {
                assert_eq!(Jail::try_from(&*written).unwrap().to_string(), written);
            }
        }
        println!("{read} of 1000000 texts are a jail");
    }
}
