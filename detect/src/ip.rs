//! IP networks in CIDR notation and the addresses that logs write.

use std::net::IpAddr;

/// A network. IPv4 is kept as IPv4-mapped IPv6, so that `::ffff:10.1.2.3` is in `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network {
    base: u128,
    mask: u128,
}

impl Network {
    /// Reads `10.0.0.0/8`, `fe80::/10` or a single address. Host bits may be set and are ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let (bits, offset) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let length: u32 = match length {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok()?,
            Some(_) => return None,
            None => bits,
        };
        if length > bits {
            return None;
        }
        let mask = u128::MAX.checked_shl(128 - (length + offset)).unwrap_or(0);
        Some(Self { base: mapped(address) & mask, mask })
    }

    /// The first address, IPv4 as IPv4-mapped IPv6.
    pub fn base(&self) -> u128 {
        self.base
    }

    /// Which bits count.
    pub fn mask(&self) -> u128 {
        self.mask
    }

    /// Whether every address of `inner` has the bits that count here.
    pub(crate) fn encloses(&self, inner: Self) -> bool {
        inner.base & self.mask == self.base && self.mask <= inner.mask
    }

    /// Whether an address as [`address`] gives it is inside.
    #[inline]
    pub fn contains(&self, address: u128) -> bool {
        // ::/0 is every IPv6 address, 0.0.0.0/0 every IPv4 one; neither is all of the other.
        address & self.mask == self.base && (self.mask != 0 || address >> 32 != 0xFFFF)
    }

    /// Whether the text is an address inside.
    pub fn contains_text(&self, text: &str) -> bool {
        address(text).is_some_and(|address| self.contains(address))
    }
}

fn mapped(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// The address in a text as logs write it: bare, in brackets, with a port (`10.0.0.1:443`,
/// `[fe80::1]:443`) or a zone (`fe80::1%eth0`). IPv4 comes as IPv4-mapped IPv6.
pub fn address(text: &str) -> Option<u128> {
    let text = text.trim();
    if text.len() > 64 {
        return None;
    }
    let bare = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, port) = rest.split_once(']')?;
            if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
                return None;
            }
            inside
        }
        None => match text.split_once(':') {
            Some((host, port)) if host.contains('.') && is_port(port) => host,
            _ => text,
        },
    };
    let bare = match bare.split_once('%') {
        Some((address, zone)) if address.contains(':') && !zone.is_empty() => address,
        _ => bare,
    };
    bare.parse().ok().map(mapped)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(network: &str, address: &str, expected: bool) {
        let network = Network::parse(network).unwrap();
        assert_eq!(network.contains_text(address), expected, "{network:?} {address}");
    }

    #[test]
    fn addresses_inside_and_outside() {
        check("10.0.0.0/8", "10.255.0.1", true);
        check("10.0.0.0/8", "11.0.0.1", false);
        check("10.1.2.3/8", "10.9.9.9", true);
        check("192.168.1.1", "192.168.1.1", true);
        check("10.0.0.0/8", "::ffff:10.1.2.3", true);
        check("10.0.0.0/8", "10.0.0.1:443", true);
        check("10.0.0.0/8", "10.0.0.1:99999", false);
        check("fe80::/10", "FE80:0:0::1%eth0", true);
        check("fe80::/10", "[fe80::1]:443", true);
        check("fe80::/10", "[fe80::1", false);
        check("::1/128", "0:0:0:0:0:0:0:1", true);
        check("0.0.0.0/0", "8.8.8.8", true);
        check("0.0.0.0/0", "2001:db8::1", false);
        check("::/0", "2001:db8::1", true);
        check("::/0", "8.8.8.8", false);
        check("10.0.0.0/8", "10.0.0.256", false);
        check("10.0.0.0/8", "host-10.0.0.1", false);
        check("10.0.0.0/8", "", false);
    }

    #[test]
    fn refuses_what_is_not_a_network() {
        for text in ["", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0/8", "::/129", "x/8"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }
}
