//! The sources, types and attributes that are reserved for the host. Receivers trust them, so external clients may not
//! use them.

use super::{CAUSATION_ID, CAUSATION_SOURCE, HOPS};

/// The prefix of the sources of plugins' events.
pub(crate) const PLUGIN_SOURCES: &str = "/plugins/";

/// The extension attributes that the host sets: an event's cause, its depth in the cause tree, and its publisher
/// (CloudEvents Auth Context extension).
const HOST_ATTRIBUTES: [&str; 6] = [CAUSATION_ID, CAUSATION_SOURCE, HOPS, "authtype", "authid", "authclaims"];

/// The first word of an event type that is reserved for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReservedType {
    /// `schedule`: events of plugins' schedules.
    Schedule,
    /// `sandbus`: the host's own events.
    Host,
}

impl ReservedType {
    /// The reserved word that an event type begins with, if any. Case is ignored, so that no spelling can be mistaken
    /// for another.
    pub(crate) fn of(event_type: &str) -> Option<Self> {
        let word = event_type.split('.').next().unwrap_or_default();
        match word {
            word if word.eq_ignore_ascii_case("schedule") => Some(Self::Schedule),
            word if word.eq_ignore_ascii_case("sandbus") => Some(Self::Host),
            _ => None,
        }
    }
}

/// Whether an event type belongs to a plugin's own schedules: `schedule.NAME.…`.
pub(crate) fn is_schedule_of(plugin: &str, event_type: &str) -> bool {
    let rest = event_type.strip_prefix("schedule.").and_then(|rest| rest.strip_prefix(plugin));
    rest.is_some_and(|rest| rest.starts_with('.'))
}

/// Whether an extension attribute is set by the host.
pub(crate) fn is_host_attribute(name: &str) -> bool {
    HOST_ATTRIBUTES.contains(&name) || name.starts_with("sandbus")
}

/// The source of the events that a plugin publishes.
pub(crate) fn plugin_source(plugin: &str) -> String {
    format!("{PLUGIN_SOURCES}{plugin}")
}

/// The plugin that published an event, by its source.
pub(crate) fn publishing_plugin(source: &str) -> Option<&str> {
    source.strip_prefix(PLUGIN_SOURCES)
}

/// Whether a source is below `/plugins`, in any spelling that a reader may take for that (RFC 3986, section 6): in
/// another case, percent-encoded any number of times, with dot segments, empty segments or parameters, relative, or
/// with a scheme and no authority.
pub(crate) fn is_plugin_source(source: &str) -> bool {
    let plain = plain(source);
    let path = match without_scheme(&plain) {
        // Another authority's `/plugins`.
        Some(rest) if rest.strip_prefix("//").is_some_and(|rest| !rest.starts_with('/')) => return false,
        Some(rest) => rest,
        None => &plain,
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut depth = 0_usize;
    for segment in path.split('/') {
        match segment.split(';').next().unwrap_or_default() {
            "" | "." => {}
            ".." => depth = depth.saturating_sub(1),
            // Even if `..` follows, because a comparison of prefixes does not resolve dot segments.
            "plugins" if depth == 0 => return true,
            _ => depth += 1,
        }
    }
    false
}

/// A source in lower case with all escapes decoded, nested ones too.
fn plain(source: &str) -> String {
    let mut plain: Vec<u8> = Vec::with_capacity(source.len());
    for byte in source.bytes() {
        plain.push(byte);
        while let [.., b'%', high, low] = plain[..]
            && let (Some(high), Some(low)) = (digit(high), digit(low))
        {
            plain.truncate(plain.len() - 3);
            plain.push(16 * high + low);
        }
    }
    plain.make_ascii_lowercase();
    plain.iter_mut().filter(|byte| **byte == b'\\').for_each(|byte| *byte = b'/');
    String::from_utf8_lossy(&plain).into_owned()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// The part after the scheme (RFC 3986, section 3.1), if there is one.
fn without_scheme(source: &str) -> Option<&str> {
    let (scheme, rest) = source.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    (scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(plain)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 3986, sections 5.2.4 and 6.2.2: case, percent-encoding and path segments.
    #[test]
    fn sources_of_plugins_are_found_in_every_spelling() {
        let spellings = [
            "/plugins/payments",
            "/plugins/",
            "/plugins",
            "/plugins?x",
            "/plugins#x",
            "/Plugins/payments",
            "/PLUGINS/payments",
            "/%70lugins/payments",
            "/%50LUGINS/payments",
            "/plugins%2Fpayments",
            "%2fplugins%2fpayments",
            "/plugin%73/payments",
            "/%2570lugins/payments",
            "/%252570lugins/payments",
            "/%25%37%30lugins/payments",
            "/./plugins/payments",
            "/x/../plugins/payments",
            "/x/%2e%2E/plugins/payments",
            "/../plugins/payments",
            "/plugins/../shop",
            "//plugins/payments",
            "///plugins//payments",
            "/plugins;v=1/payments",
            "plugins/payments",
            "./plugins/payments",
            "../plugins/payments",
            "/%5Cplugins%5Cpayments",
            "file:///plugins/payments",
            "sandbus:/plugins/payments",
            "x:plugins/payments",
        ];
        for source in spellings {
            assert!(is_plugin_source(source), "{source}");
        }
    }

    #[test]
    fn other_sources_are_accepted() {
        let others = [
            "/shop",
            "/shop/plugins/payments",
            "/pluginsx",
            "/plugins-of-ours/payments",
            "https://example.com/plugins/payments",
            "https://plugins.example/payments",
            "urn:plugins:payments",
            "/x/y/../plugins",
            "mailto:plugins@example.com",
            "/100%25/plugins",
            "/?/plugins/payments",
        ];
        for source in others {
            assert!(!is_plugin_source(source), "{source}");
        }
    }

    #[test]
    fn nested_escapes_are_decoded_in_one_pass() {
        let deep = format!("/%{}70lugins", "25".repeat(2_000));
        assert!(is_plugin_source(&deep));
        let cut = format!("/%{}7", "25".repeat(2_000));
        assert!(!is_plugin_source(&cut));
    }

    /// The SDKs read the same table.
    #[test]
    fn host_attributes_are_those_of_the_table() {
        let table = include_str!("../../../../guest-sdk/conformance/host-attributes.json");
        let table: serde_json::Value = serde_json::from_str(table).unwrap();
        let texts = |name: &str| table[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
        assert!(texts("names").eq(HOST_ATTRIBUTES));
        for name in texts("names").chain(texts("prefixes").flat_map(|prefix| [format!("{prefix}x"), prefix])) {
            assert!(is_host_attribute(&name), "{name}");
        }
        for name in texts("others") {
            assert!(!is_host_attribute(&name), "{name}");
        }
    }

    #[test]
    fn reserved_types_are_whole_words() {
        for event_type in ["schedule.mailer.digest", "schedule", "Schedule.x", "SCHEDULE.X"] {
            assert_eq!(ReservedType::of(event_type), Some(ReservedType::Schedule), "{event_type}");
        }
        for event_type in ["sandbus.plugin.loaded", "sandbus", "Sandbus.x"] {
            assert_eq!(ReservedType::of(event_type), Some(ReservedType::Host), "{event_type}");
        }
        for event_type in ["scheduled.x", "order.schedule.x", "sandbus-x.y", "a"] {
            assert_eq!(ReservedType::of(event_type), None, "{event_type}");
        }
        assert!(is_schedule_of("mailer", "schedule.mailer.digest"));
        for other in ["schedule.mailer", "schedule.mailerx.digest", "schedule.other.digest", "Schedule.mailer.digest"] {
            assert!(!is_schedule_of("mailer", other), "{other}");
        }
    }
}
