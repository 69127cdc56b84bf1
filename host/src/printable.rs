//! Escapes text from guests, clients and files for a terminal or a log.
//!
//! A terminal interprets control sequences (ECMA-48): they move the cursor, rename the window, create links, and even
//! send input. A line break forges a line, and a bidirectional control reorders text (Unicode Technical Report 36,
//! "Bidirectional Text Spoofing"). So text is escaped where it is printed. JSON for programs stays exact.

use std::borrow::Cow;

/// A text in one line. Control characters, including line breaks and tabs, are escaped as in Rust.
#[must_use]
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, is_unprintable)
}

/// A text with several lines. Line feeds and tabs are kept.
#[must_use]
pub fn block(text: &str) -> Cow<'_, str> {
    escape(text, |character| !matches!(character, '\n' | '\t') && is_unprintable(character))
}

/// A text with several lines. All lines but the first are indented, so that they cannot be mistaken for other messages.
#[must_use]
pub fn paragraph(text: &str) -> String {
    block(text).replace('\n', "\n  ")
}

/// JSON with control characters as `\uXXXX`. Its value is the same.
#[must_use]
pub fn json(text: &str) -> String {
    use std::fmt::Write as _;
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        // JSON strings escape all other controls (RFC 8259, section 7).
        if character.is_ascii_whitespace() || !is_unprintable(character) {
            shown.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string cannot fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown
}

/// Whether a character is a control, or a format character that changes the order or position of others or breaks a
/// line.
#[must_use]
pub fn is_unprintable(character: char) -> bool {
    let is_format = matches!(character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
        // Line and paragraph separators, and embeddings, overrides and isolates.
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        // Invisible tags.
        | '\u{e0000}'..='\u{e007f}');
    character.is_control() || is_format
}

fn escape(text: &str, is_escaped: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&is_escaped) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_escaped(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text that misleads a terminal or a reader (ECMA-48; Unicode, chapter 23), and its escaped form.
    pub(crate) const MISLEADING: [(&str, &str); 17] = [
        ("\u{1b}c", "\\u{1b}c"),
        ("\u{1b}[2J\u{1b}[31mred", "\\u{1b}[2J\\u{1b}[31mred"),
        ("\u{9b}31mred", "\\u{9b}31mred"),
        ("\u{1b}]8;;http://evil\u{1b}\\link", "\\u{1b}]8;;http://evil\\u{1b}\\link"),
        ("\u{9d}0;title\u{9c}", "\\u{9d}0;title\\u{9c}"),
        ("\u{7}", "\\u{7}"),
        ("\u{8}\u{8}", "\\u{8}\\u{8}"),
        ("over\rwritten", "over\\rwritten"),
        ("a\nb", "a\\nb"),
        ("a\tb", "a\\tb"),
        ("a\u{85}b", "a\\u{85}b"),
        ("a\u{2028}b", "a\\u{2028}b"),
        ("\u{202e}gnp.exe", "\\u{202e}gnp.exe"),
        ("\u{2066}isolated\u{2069}", "\\u{2066}isolated\\u{2069}"),
        ("\u{7f}", "\\u{7f}"),
        ("\0", "\\u{0}"),
        ("\u{e0041}", "\\u{e0041}"),
    ];

    #[test]
    fn characters_that_control_a_terminal_are_escaped() {
        for (text, shown) in MISLEADING {
            assert_eq!(line(text), shown);
            assert_eq!(line(&format!("before {text} after")), format!("before {shown} after"));
        }
        for whole in ["", "Grüße, 世界 👩‍👩‍👧 نص", "a\\u{1b}b", "\u{fffd}"] {
            assert!(matches!(line(whole), Cow::Borrowed(same) if same == whole));
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        assert_eq!(line(&String::from_utf8_lossy(b"a\xff\x1bb")), "a\u{fffd}\\u{1b}b");
    }

    #[test]
    fn lines_may_stay_and_cannot_pass_for_another_line() {
        assert_eq!(block("a\n\tb\r\u{9b}c"), "a\n\tb\\r\\u{9b}c");
        assert_eq!(paragraph("a\nerror: b"), "a\n  error: b");
    }

    #[test]
    fn json_stands_for_the_same_value() {
        for (text, _) in MISLEADING {
            let value = serde_json::json!({ "text": text });
            for written in [value.to_string(), format!("{value:#}")] {
                let shown = json(&written);
                assert!(!shown.chars().any(|character| character != '\n' && is_unprintable(character)), "{shown:?}");
                assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
            }
        }
    }
}
