//! Which IP addresses a request may go to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses at which clouds serve credentials to the machine itself: of Azure, of Scaleway, of EC2 and most
/// others, of ECS and EKS, of Alibaba and of Oracle.
const METADATA_V4: [Ipv4Addr; 7] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(169, 254, 42, 42),
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
];

/// As [`METADATA_V4`]: of Scaleway, Oracle, EC2, EKS and Google.
const METADATA_V6: [Ipv6Addr; 5] = [
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254),
];

/// Whether a cloud's metadata service is at an address. Its responses contain credentials of the machine, so nothing
/// can grant it.
pub(super) fn is_metadata(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => METADATA_V4.contains(&v4),
        IpAddr::V6(v6) => METADATA_V6.contains(&v6) || embedded_v4(v6).is_some_and(|v4| METADATA_V4.contains(&v4)),
    }
}

/// Whether a granted network can make an address reachable. The machine itself and its link are never part of a
/// network that somebody grants, whatever the range includes.
pub(super) fn is_routable(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            !(v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0)
        }
        IpAddr::V6(v6) => {
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unicast_link_local()
                || embeds_v4(v6))
        }
    }
}

/// Whether an address belongs to the public internet (the ranges of RFC 6890's registries).
pub(super) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            let shared = a == 100 && (64..128).contains(&b);
            let benchmark = a == 198 && (b == 18 || b == 19);
            !(v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || v4.is_multicast()
                || shared
                || benchmark
                // Protocol assignments (RFC 6890).
                || (a, b, c) == (192, 0, 0)
                || a == 0
                || a >= 240)
        }
        IpAddr::V6(v6) => {
            // Deprecated by RFC 3879 but still used as private addresses.
            let site_local = v6.segments()[0] & 0xffc0 == 0xfec0;
            !(v6.is_loopback()
                || v6.is_unspecified()
                || v6.is_multicast()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || site_local
                || embeds_v4(v6))
        }
    }
}

/// Whether an address stands for an IPv4 address, which would bypass the checks of that address.
fn embeds_v4(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let teredo = (first, second) == (0x2001, 0);
    teredo || embedded_v4(address).is_some()
}

/// The IPv4 address that an address stands for by NAT64, 6to4 or another translation.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match segments {
        [0x2002, high, low, ..] => Some(v4(high, low)),
        [0x64, 0xff9b, .., high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] | [0, 0, 0, 0, 0, 0, high, low] => {
            Some(v4(high, low))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn private_addresses_are_told_apart() {
        for address in [
            "127.0.0.1",
            "10.1.2.3",
            "169.254.169.254",
            "192.168.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "::7f00:1",
            "2001::1",
            "fec0::1",
            "192.0.0.1",
        ] {
            assert!(!is_public(ip(address)), "{address}");
        }
        for address in ["1.1.1.1", "93.184.216.34", "2606:4700::1111"] {
            assert!(is_public(ip(address)) && is_routable(ip(address)), "{address}");
        }
    }

    #[test]
    fn no_network_contains_the_machine_its_link_or_a_metadata_service() {
        for address in ["10.1.2.3", "172.18.0.5", "192.168.0.1", "100.64.0.1", "fd12::1", "::ffff:10.0.0.1"] {
            assert!(is_routable(ip(address)) && !is_metadata(ip(address)), "{address}");
        }
        for address in [
            "127.0.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.1.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
        ] {
            assert!(!is_routable(ip(address)), "{address}");
        }
        for address in [
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "::ffff:0:a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::",
            "100.100.100.200",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd00:c1::a9fe:a9fe",
        ] {
            assert!(is_metadata(ip(address)), "{address}");
        }
    }
}
