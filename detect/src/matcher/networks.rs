//! Networks asked of one field, decided together for one address.
//!
//! Two networks are nested or apart, and never cross. Sorted by their first address, the wider before the
//! narrower, each knows the one around it: a trie with compressed paths, laid out flat. All that contain an
//! address lie on the way outwards from the last one that begins at or before it.

use super::index::AtomId;
use crate::ip::Network;

/// See the module documentation.
#[derive(Debug, Default)]
pub(super) struct Networks {
    nested: Vec<Nested>,
}

#[derive(Clone, Copy, Debug)]
struct Nested {
    network: Network,
    atom: AtomId,
    /// The narrowest network that encloses it.
    around: Option<u32>,
}

impl Networks {
    pub(super) fn new(mut networks: Vec<(Network, AtomId)>) -> Self {
        networks.sort_unstable_by_key(|(network, _)| (network.base(), network.mask()));
        let mut nested: Vec<Nested> = Vec::with_capacity(networks.len());
        for (network, atom) in networks {
            let mut around = nested.len().checked_sub(1).map(|last| last as u32);
            while let Some(at) = around.filter(|at| !nested[*at as usize].network.encloses(network))
            {
                around = nested[at as usize].around;
            }
            nested.push(Nested { network, atom, around });
        }
        Self { nested }
    }

    /// Reports every network that contains an address as [`crate::ip::address`] gives it.
    pub(super) fn each(&self, address: u128, mut report: impl FnMut(AtomId)) {
        let begun = self.nested.partition_point(|nested| nested.network.base() <= address);
        let mut next = begun.checked_sub(1);
        while let Some(at) = next {
            let Nested { network, atom, around } = self.nested[at];
            if network.contains(address) {
                report(atom);
            }
            next = around.map(|at| at as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ip::address;

    fn check(networks: &[&str], text: &str) {
        let parsed: Vec<_> = networks.iter().map(|text| Network::parse(text).unwrap()).collect();
        let address = address(text).unwrap();
        let mut expected: Vec<u32> =
            (0..).zip(&parsed).filter(|(_, n)| n.contains(address)).map(|(at, _)| at).collect();
        let mut found = Vec::new();
        Networks::new(parsed.into_iter().zip(0..).collect()).each(address, |at| found.push(at));
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "{text} in {networks:?}");
    }

    #[test]
    fn finds_all_around_an_address_and_none_beside_it() {
        let private = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.2.0.0/16", "192.168.0.0/16"];
        for address in ["10.1.2.3", "10.1.9.9", "10.2.0.0", "10.255.255.255", "9.9.9.9", "11.0.0.0"]
        {
            check(&private, address);
        }
        let both = ["::/0", "0.0.0.0/0", "::1", "fe80::/10", "::ffff:0:0/96", "0.0.0.0/1"];
        for address in ["8.8.8.8", "::1", "fe80::9", "::", "ff::", "200.0.0.1", "::fffe:0:1"] {
            check(&both, address);
        }
        check(&[], "1.1.1.1");
    }

    /// Few bits, so that networks nest and addresses lie inside.
    fn network() -> impl Strategy<Value = String> {
        let v4 = (0..4_u8, 0..3_u8, 0..=32_u8).prop_map(|(a, b, len)| format!("{a}.{b}.0.0/{len}"));
        let v6 =
            (0..4_u16, 0..3_u16, 0..=128_u8).prop_map(|(a, b, n)| format!("{a:x}:{b:x}::/{n}"));
        prop_oneof![v4, v6]
    }

    fn one_address() -> impl Strategy<Value = String> {
        let v4 = (0..4_u8, 0..3_u8, 0..2_u8).prop_map(|(a, b, c)| format!("{a}.{b}.0.{c}"));
        let v6 = (0..4_u16, 0..3_u16, 0..2_u16).prop_map(|(a, b, c)| format!("{a:x}:{b:x}::{c:x}"));
        prop_oneof![v4, v6]
    }

    proptest! {
        #[test]
        fn agrees_with_asking_each(
            networks in proptest::collection::hash_set(network(), 0..20),
            addresses in proptest::collection::vec(one_address(), 1..20),
        ) {
            let networks: Vec<&str> = networks.iter().map(String::as_str).collect();
            addresses.iter().for_each(|address| check(&networks, address));
        }
    }
}
