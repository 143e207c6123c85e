//! Sets of capabilities, and their names.

use core::fmt;
use core::ops::BitOr;

use crate::text::decimal;

/// A set of capabilities, as in [`capabilities(7)`](https://man7.org/linux/man-pages/man7/capabilities.7.html) (Linux).
///
/// Displayed as `net_bind_service,sys_time`, the empty set as `none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

/// Their names in the order of their numbers, as of Linux 6.18.
const NAMES: &str = "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable \
    net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace \
    sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control \
    setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore";

fn names() -> impl Iterator<Item = &'static str> {
    NAMES.split(' ')
}

impl Capabilities {
    /// The empty set.
    pub const NONE: Capabilities = Capabilities(0);

    /// To bind sockets to ports below 1024.
    pub const NET_BIND_SERVICE: Capabilities = Capabilities(1 << 10);

    /// The set whose bits these are: bit n stands for capability number n, whether it has a name or not.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Capabilities {
        Capabilities(bits)
    }

    /// Bit n stands for capability number n.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The capability of this name: `net_bind_service`, `CAP_NET_BIND_SERVICE`. `None` if there is no such name.
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

    /// Whether every capability of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Capabilities) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Capabilities {
    type Output = Capabilities;

    fn bitor(self, other: Capabilities) -> Capabilities {
        Capabilities(self.0 | other.0)
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("none");
        }
        let mut separator = "";
        for number in (0..u64::BITS).filter(|number| self.0 & (1 << number) != 0) {
            f.write_str(separator)?;
            match names().nth(number as usize) {
                Some(name) => f.write_str(name)?,
                None => decimal(f, number)?,
            }
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Capabilities;

    #[test]
    fn names_are_read_as_they_are_written() {
        for number in 0..41 {
            let capability = Capabilities::from_bits(1 << number);
            let name = capability.to_string();
            assert_eq!(Capabilities::named(name.as_bytes()), Some(capability));
            assert_eq!(Capabilities::named(format!("CAP_{}", name.to_uppercase()).as_bytes()), Some(capability));
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
