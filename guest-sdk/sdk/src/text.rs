//! Texts that leave the plugin: reasons of failures, problems and log lines.

/// The longest text, in bytes. The host keeps reasons with dead letters and writes them to its log.
const MAX_BYTES: usize = 16 << 10;

/// Cuts a text that is too long, and says how long it was.
pub(crate) fn shorten(mut text: String) -> String {
    let length = text.len();
    if length > MAX_BYTES {
        text.truncate(text.floor_char_boundary(MAX_BYTES));
        text.push_str(&format!("… (cut; it had {length} bytes)"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!(shorten("short".to_owned()), "short");
        let whole = "a".repeat(MAX_BYTES);
        assert_eq!(shorten(whole.clone()), whole);
        let cut = shorten(format!("a{}", "ä".repeat(10 << 20)));
        assert!(cut.len() < MAX_BYTES + 64 && cut.ends_with("ä… (cut; it had 20971521 bytes)"), "{}", cut.len());
    }
}
