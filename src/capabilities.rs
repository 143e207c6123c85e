//! Sets of capabilities, and their names.

use core::fmt::{self, Write as _};
use core::ops::{BitAnd, BitAndAssign, BitOr, BitOrAssign, Sub, SubAssign};
use core::str::FromStr;

use crate::text::{debug_is_display, decimal};

/// A set of capabilities, see [`capabilities(7)`](https://man7.org/linux/man-pages/man7/capabilities.7.html) (Linux).
///
/// `|` returns the union of two sets, `&` the intersection, `-` the difference. A set is displayed,
/// and read, as `net_bind_service,sys_time`; the empty set as `none`.
///
/// ```
/// # #[cfg(target_os = "linux")] {
/// use autochroot::Capabilities;
///
/// let keep = Capabilities::NET_BIND_SERVICE | Capabilities::SYS_TIME;
/// assert_eq!(keep.to_string(), "net_bind_service,sys_time");
/// assert_eq!("net_bind_service,CAP_SYS_TIME".parse(), Ok(keep));
/// assert_eq!(keep - Capabilities::SYS_TIME, Capabilities::NET_BIND_SERVICE);
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Capabilities(u64);

/// Defines a constant for each capability, and the names in the order of their numbers.
macro_rules! capabilities {
    ($first:ident $first_name:literal $($constant:ident $name:literal)*) => {
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "the numbers of the constants")]
        enum Number { $first, $($constant),* }

        impl Capabilities {
            #[doc = concat!("`", stringify!($first), "`")]
            pub const $first: Capabilities = Capabilities(1 << Number::$first as u8);
            $(#[doc = concat!("`", stringify!($constant), "`")]
            pub const $constant: Capabilities = Capabilities(1 << Number::$constant as u8);)*
        }

        const NAMES: &str = concat!($first_name $(, " ", $name)*);
    };
}

// As of Linux 7.3.
capabilities! {
    CHOWN "chown"
    DAC_OVERRIDE "dac_override"
    DAC_READ_SEARCH "dac_read_search"
    FOWNER "fowner"
    FSETID "fsetid"
    KILL "kill"
    SETGID "setgid"
    SETUID "setuid"
    SETPCAP "setpcap"
    LINUX_IMMUTABLE "linux_immutable"
    NET_BIND_SERVICE "net_bind_service"
    NET_BROADCAST "net_broadcast"
    NET_ADMIN "net_admin"
    NET_RAW "net_raw"
    IPC_LOCK "ipc_lock"
    IPC_OWNER "ipc_owner"
    SYS_MODULE "sys_module"
    SYS_RAWIO "sys_rawio"
    SYS_CHROOT "sys_chroot"
    SYS_PTRACE "sys_ptrace"
    SYS_PACCT "sys_pacct"
    SYS_ADMIN "sys_admin"
    SYS_BOOT "sys_boot"
    SYS_NICE "sys_nice"
    SYS_RESOURCE "sys_resource"
    SYS_TIME "sys_time"
    SYS_TTY_CONFIG "sys_tty_config"
    MKNOD "mknod"
    LEASE "lease"
    AUDIT_WRITE "audit_write"
    AUDIT_CONTROL "audit_control"
    SETFCAP "setfcap"
    MAC_OVERRIDE "mac_override"
    MAC_ADMIN "mac_admin"
    SYSLOG "syslog"
    WAKE_ALARM "wake_alarm"
    BLOCK_SUSPEND "block_suspend"
    AUDIT_READ "audit_read"
    PERFMON "perfmon"
    BPF "bpf"
    CHECKPOINT_RESTORE "checkpoint_restore"
}

fn names() -> impl Iterator<Item = &'static str> {
    NAMES.split(' ')
}

impl Capabilities {
    /// The empty set.
    pub const NONE: Capabilities = Capabilities(0);

    /// The capabilities that can undo a jail, sealed or not. For the launcher.
    #[doc(hidden)]
    pub const UNDO_A_JAIL: Capabilities = Capabilities::SYS_ADMIN
        .union(Capabilities::SYS_CHROOT)
        .union(Capabilities::SYS_MODULE)
        .union(Capabilities::SYS_RAWIO)
        .union(Capabilities::SYS_BOOT)
        .union(Capabilities::MKNOD);

    /// Returns the set with these bits: bit n stands for capability number n, whether it has a name
    /// or not.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Capabilities {
        Capabilities(bits)
    }

    /// Returns the bits: bit n stands for capability number n.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Returns the capability of this name, `net_bind_service` or `CAP_NET_BIND_SERVICE`, or `None`
    /// if there is no such name.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Capabilities> {
        let is = |text: &[u8], known: &str| text.iter().map(u8::to_ascii_lowercase).eq(known.bytes());
        let name = match name.split_at_checked(4) {
            Some((prefix, name)) if is(prefix, "cap_") => name,
            _ => name,
        };
        let number = names().position(|known| is(name, known))?;
        Some(Capabilities(1 << number))
    }

    /// Returns whether every capability of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Capabilities) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Returns the union, for constants.
    #[must_use]
    pub const fn union(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }
}

/// Implements an operator and its assigning form.
macro_rules! operator {
    ($trait:ident $method:ident, $assign:ident $assign_method:ident, $result:expr) => {
        impl $trait for Capabilities {
            type Output = Capabilities;

            fn $method(self, other: Capabilities) -> Capabilities {
                let result: fn(u64, u64) -> u64 = $result;
                Capabilities(result(self.0, other.0))
            }
        }

        impl $assign for Capabilities {
            fn $assign_method(&mut self, other: Capabilities) {
                *self = $trait::$method(*self, other);
            }
        }
    };
}

operator!(BitOr bitor, BitOrAssign bitor_assign, |one, other| one | other);
operator!(BitAnd bitand, BitAndAssign bitand_assign, |one, other| one & other);
operator!(Sub sub, SubAssign sub_assign, |one, other| one & !other);

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() { f.write_str("none") } else { self.list(f, "", ",", |letter| letter) }
    }
}

/// Displays capabilities as `capabilities(7)` and systemd name them: `CAP_SETGID, CAP_SETUID`.
pub(crate) struct InCapitals(pub(crate) Capabilities);

impl fmt::Display for InCapitals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.list(f, "CAP_", ", CAP_", |letter| letter.to_ascii_uppercase())
    }
}

impl Capabilities {
    /// Writes the names, with this text before the first one and that one before each other.
    fn list(self, f: &mut fmt::Formatter<'_>, first: &str, other: &str, letter: fn(char) -> char) -> fmt::Result {
        let mut before = first;
        for number in (0..u64::BITS).filter(|number| self.0 & (1 << number) != 0) {
            f.write_str(before)?;
            match names().nth(number as usize) {
                Some(name) => name.chars().map(letter).try_for_each(|letter| f.write_char(letter))?,
                None => decimal(f, number)?,
            }
            before = other;
        }
        Ok(())
    }
}

/// A text that does not name capabilities (Linux).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct UnknownCapability;

impl fmt::Display for UnknownCapability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such capability")
    }
}

debug_is_display!(UnknownCapability);

impl core::error::Error for UnknownCapability {}

/// Reads names that are separated by commas, or `none`.
impl FromStr for Capabilities {
    type Err = UnknownCapability;

    fn from_str(text: &str) -> Result<Capabilities, UnknownCapability> {
        if text == "none" {
            return Ok(Capabilities::NONE);
        }
        text.split(',').try_fold(Capabilities::NONE, |all, name| {
            Capabilities::named(name.as_bytes()).map(|one| all | one).ok_or(UnknownCapability)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, UnknownCapability};

    #[test]
    fn names_are_read_as_they_are_written() {
        for number in 0..41 {
            let capability = Capabilities::from_bits(1 << number);
            let name = capability.to_string();
            assert_eq!(Capabilities::named(name.as_bytes()), Some(capability));
            assert_eq!(Capabilities::named(format!("CAP_{}", name.to_uppercase()).as_bytes()), Some(capability));
            assert_eq!(name.parse(), Ok(capability));
        }
        assert_eq!(Capabilities::CHECKPOINT_RESTORE.bits(), 1 << 40);
        assert_eq!("chown,CAP_KILL".parse(), Ok(Capabilities::CHOWN | Capabilities::KILL));
        assert_eq!("none".parse(), Ok(Capabilities::NONE));
        for text in ["", "none,chown", "chown,", "all", "63"] {
            assert_eq!(text.parse::<Capabilities>(), Err(UnknownCapability), "{text}");
        }
        assert_eq!(Capabilities::named(b"net_bind_service"), Some(Capabilities::NET_BIND_SERVICE));
        assert_eq!(
            Capabilities::from_bits(1 << 3 | 1 << 8 | 1 << 10 | 1 << 63).to_string(),
            "fowner,setpcap,net_bind_service,63"
        );
        assert_eq!(Capabilities::NONE.to_string(), "none");
        for name in ["", "cap_", "none", "all", "net_bind", "net_bind_service ", "chown dac_override", "CAP_CAP_CHOWN"]
        {
            assert_eq!(Capabilities::named(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn operators_are_those_of_sets() {
        let (one, two) = (Capabilities::from_bits(0b0110), Capabilities::from_bits(0b0011));
        assert_eq!(((one | two).bits(), (one & two).bits(), (one - two).bits()), (0b0111, 0b0010, 0b0100));
        let mut set = one;
        set |= two;
        set -= Capabilities::CHOWN;
        set &= one;
        assert_eq!(set, one);
        assert!(Capabilities::NONE.is_empty() && !one.is_empty() && one.union(two).contains(two));
    }

    #[test]
    #[cfg_attr(miri, ignore = "takes minutes")]
    fn nothing_near_a_name_is_a_name() {
        let names: Vec<_> = super::names().map(str::as_bytes).collect();
        let mut count = 0;
        let mut ask = |text: &[u8]| {
            let lower = text.to_ascii_lowercase();
            let known = names.contains(&lower.strip_prefix(b"cap_").unwrap_or(&lower));
            assert_eq!(Capabilities::named(text).is_some(), known, "{text:?}");
            count += 1;
        };
        for name in &names {
            for at in 0..=name.len() {
                for byte in 0..=u8::MAX {
                    let mut longer = name.to_vec();
                    longer.insert(at, byte);
                    ask(&longer);
                    ask(&[b"cap_", &longer[..]].concat());
                    if at < name.len() {
                        longer.remove(at + 1);
                        ask(&longer);
                    }
                }
                ask(&name[..at]);
                ask(&name[at..]);
            }
        }
        println!("figure: {count} names of capabilities");
    }
}
