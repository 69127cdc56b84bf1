//! The client of a request that came through proxies: the rightmost address that is not a trusted proxy. A client can
//! write anything to the left of what the first trusted proxy has added.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use axum::http::header::{FORWARDED, HeaderName};

use super::proxies::TrustedProxies;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// An entry of a chain. None if it is not an address: malformed, `unknown`, or an obfuscated name.
type Entry = Option<IpAddr>;

/// The client behind a trusted proxy. If the search reaches an entry that is not an address, the client is the proxy
/// that wrote the entry. If both headers exist and name different clients, one of them may come from the client itself,
/// so the result is the peer.
pub(super) fn client(headers: &HeaderMap, peer: IpAddr, proxies: &TrustedProxies) -> IpAddr {
    let peer = peer.to_canonical();
    let found = |chain: Option<Vec<Entry>>| chain.map(|chain| rightmost(&chain, peer, proxies));
    let listed = found(chain(headers, &X_FORWARDED_FOR, |line| line.split(',').map(listed).collect()));
    let named = found(chain(headers, &FORWARDED, |line| elements(line).unwrap_or_else(|| vec![Some(None)])));
    match (listed, named) {
        (Some(one), Some(other)) if one != other => peer,
        (one, other) => one.or(other).unwrap_or(peer),
    }
}

/// The entries of all lines of a header. Empty ones do not count (RFC 9110, section 5.6.1). None if there is no line.
fn chain(headers: &HeaderMap, name: &HeaderName, entries: impl Fn(&str) -> Vec<Option<Entry>>) -> Option<Vec<Entry>> {
    let mut lines = headers.get_all(name).iter().peekable();
    lines.peek()?;
    let malformed = || vec![Some(None)];
    Some(lines.flat_map(|line| line.to_str().map_or_else(|_| malformed(), &entries)).flatten().collect())
}

fn rightmost(chain: &[Entry], peer: IpAddr, proxies: &TrustedProxies) -> IpAddr {
    let mut client = peer;
    for entry in chain.iter().rev() {
        let Some(address) = entry else { return client };
        client = *address;
        if !proxies.contain(client) {
            return client;
        }
    }
    client
}

/// An entry of `X-Forwarded-For`. None if it is empty.
fn listed(text: &str) -> Option<Entry> {
    let text = text.trim();
    (!text.is_empty()).then(|| address(text))
}

/// An address with or without a port. IPv6 may have brackets.
fn address(text: &str) -> Entry {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let plain = bare.map_or_else(|| text.parse().ok(), |text| text.parse().ok().filter(IpAddr::is_ipv6));
    plain.or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip())).map(|address| address.to_canonical())
}

/// The `for` of each element of `Forwarded` (RFC 7239, section 4). None if the line is malformed.
fn elements(line: &str) -> Option<Vec<Option<Entry>>> {
    split(line, ',')?.into_iter().map(element).collect()
}

/// The `for` of an element; none within if the element is empty.
fn element(text: &str) -> Option<Option<Entry>> {
    if text.trim().is_empty() {
        return Some(None);
    }
    let mut found = None;
    for pair in split(text, ';')?.into_iter().filter(|pair| !pair.trim().is_empty()) {
        let (name, value) = pair.split_once('=')?;
        if name.trim().eq_ignore_ascii_case("for") && found.replace(address(&unquoted(value.trim())?)).is_some() {
            return None;
        }
    }
    Some(Some(found.flatten()))
}

/// The parts between separators outside quotes. None if a quote is not closed.
fn split(text: &str, separator: char) -> Option<Vec<&str>> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (index, character) in text.char_indices() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if character == separator && !is_quoted => {
                parts.push(&text[start..index]);
                start = index + character.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!is_quoted).then_some(parts)
}

/// A token, or the content of a quoted string (RFC 9110, section 5.6.4).
fn unquoted(value: &str) -> Option<String> {
    let Some(rest) = value.strip_prefix('"') else {
        return (!value.contains('"')).then(|| value.to_owned());
    };
    let mut characters = rest.strip_suffix('"')?.chars();
    let mut text = String::new();
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => text.push(characters.next()?),
            other => text.push(other),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PEER: &str = "10.0.0.1";

    fn found(lines: &[(HeaderName, &str)]) -> String {
        let proxies = TrustedProxies::try_from(vec!["10.0.0.0/8".to_owned(), "fd00::/8".to_owned()]).unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        client(&headers, PEER.parse().unwrap(), &proxies).to_string()
    }

    fn listed(lines: &[&str]) -> String {
        found(&lines.iter().map(|line| (X_FORWARDED_FOR, *line)).collect::<Vec<_>>())
    }

    fn named(lines: &[&str]) -> String {
        found(&lines.iter().map(|line| (FORWARDED, *line)).collect::<Vec<_>>())
    }

    #[test]
    fn the_client_is_the_rightmost_untrusted_address() {
        assert_eq!(found(&[]), PEER);
        for (line, client) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.1, 10.0.0.2", "192.0.2.1"),
            ("192.0.2.1,10.0.0.2,fd00::2", "192.0.2.1"),
            ("192.0.2.9, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            // A proxy asks for itself.
            ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("", PEER),
            (" , ,", PEER),
            ("192.0.2.1, ,", "192.0.2.1"),
        ] {
            assert_eq!(listed(&[line]), client, "{line}");
        }
        assert_eq!(listed(&["192.0.2.9", "192.0.2.1", "10.0.0.2"]), "192.0.2.1", "lines are one list");
    }

    #[test]
    fn nothing_left_of_a_malformed_entry_is_believed() {
        for (line, client) in [
            ("192.0.2.1, unknown", PEER),
            ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
            ("192.0.2.1, 192.0.2.256", PEER),
            ("192.0.2.1, 010.0.0.2", PEER),
            ("192.0.2.1, 10.0.0.2 10.0.0.3", PEER),
            ("192.0.2.1, [10.0.0.2]", PEER),
            ("192.0.2.1, localhost", PEER),
            ("192.0.2.1, 10.0.0.2:99999", PEER),
            ("192.0.2.1; 10.0.0.2", PEER),
            ("192.0.2.1, \u{e9}", PEER),
            ("evil\u{e9}, 192.0.2.1", PEER),
            ("\"192.0.2.1", PEER),
        ] {
            assert_eq!(listed(&[line]), client, "{line}");
        }
        assert_eq!(listed(&["\u{e9}", "192.0.2.1"]), "192.0.2.1", "a malformed line ends what is before it");
    }

    /// RFC 7239, sections 4 to 6.
    #[test]
    fn forwarded_is_read_like_its_grammar() {
        for (line, client) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=\"192.0.2.1:4711\"", "192.0.2.1"),
            ("for=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.2", "2001:db8::1"),
            ("proto=http; FOR=192.0.2.1, for=10.0.0.2", "192.0.2.1"),
            ("for=192.0.2.9, for=192.0.2.1", "192.0.2.1"),
            ("for=\"192.0.2.\\1\"", "192.0.2.1"),
            ("host=\"a,b;for=192.0.2.9\";for=192.0.2.1", "192.0.2.1"),
            (", for=192.0.2.1 ,", "192.0.2.1"),
            ("for=192.0.2.1;", "192.0.2.1"),
        ] {
            assert_eq!(named(&[line]), client, "{line}");
        }
        for hostile in [
            "for=192.0.2.1, for=unknown",
            "for=192.0.2.1, for=_hidden",
            "for=192.0.2.1, proto=https",
            "for=192.0.2.1;for=192.0.2.2",
            "for=\"192.0.2.1, for=192.0.2.2",
            "for=\"192.0.2.1\\\", for=192.0.2.2",
            "for=192.0.2.1\"",
            "for",
            "192.0.2.1",
            "for=",
        ] {
            assert_eq!(named(&[hostile]), PEER, "{hostile}");
        }
        assert_eq!(named(&["for=\"192.0.2.9", "for=192.0.2.1"]), "192.0.2.1", "each line is read by itself");
    }

    /// A proxy that writes one header may pass the other one on from its client.
    #[test]
    fn headers_that_differ_are_not_believed() {
        let both = |one, other| found(&[(X_FORWARDED_FOR, one), (FORWARDED, other)]);
        assert_eq!(both("192.0.2.1", "for=192.0.2.1"), "192.0.2.1");
        assert_eq!(both("192.0.2.1", "for=192.0.2.9"), PEER);
        assert_eq!(both("192.0.2.9", "for=192.0.2.1"), PEER);
        assert_eq!(both("192.0.2.1", "for=unknown"), PEER);
    }
}
